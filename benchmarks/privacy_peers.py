"""How many markers of the planted file de-identified files of peers still hold, beside those of this project.

    python -m venv PEERS && PEERS/bin/pip install dicognito deid dicom-anonymizer
    python -m benchmarks.privacy_peers --peers PEERS/bin/python

The file is that of the tests (`tests/support/planter.py`): a unique text in every element of text of the dictionary, at
four depths, in private elements, overlays, an icon, padding, preamble and meta information. Each peer writes it as
DICOM with its defaults; where it has a switch for private elements, with that, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from pydicom import dcmread

from benchmarks.measure import ROOT
from crawler.privacy.search import Needles

sys.path.insert(0, str(ROOT / "tests"))
plant = import_module("support.planter").plant

KINDS = ("first level", "in sequences", "private", "elsewhere")
_DEID = """
import sys
from deid.config import DeidRecipe
from deid.dicom import replace_identifiers
replace_identifiers([sys.argv[1]], deid=DeidRecipe(), save=True, output_folder=sys.argv[2],
                    remove_private=sys.argv[3] == "private", strip_sequences=sys.argv[3] == "private")
"""
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


def kind_of(where: str) -> str:
    """The column of a marker, by where it was planted."""
    if where.startswith("depth"):
        return KINDS[1]
    if where.startswith("private"):
        return KINDS[2]
    return KINDS[3] if " " in where or where in ("padding", "preamble", "icon") else KINDS[0]


def left(folder: Path, markers: Mapping[str, str]) -> set[str]:
    """Markers in the bytes and names of all files below a folder."""
    needles = Needles(markers)
    found: set[int] = set()
    for path in folder.rglob("*"):
        found |= needles.found_in(path.name.encode())
        if path.is_file():
            found |= needles.found_in(path.read_bytes())
    return {needles.texts[number] for number in found}


def elements(folder: Path) -> int:
    """Elements of the first level in the DICOM file below a folder; 0 where none is."""
    for path in folder.rglob("*"):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            return len(dcmread(path))
    return 0


def commands(peers: str, source: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(name, package, command without its output folder) of each way."""
    for profile in ("basic", "research", "public"):
        yield f"dme, {profile}", "", [sys.executable, str(ROOT / "dme.py"), "privacy", "dicom", profile]
    if peers:
        beside = str(Path(peers).with_name("dicom-anonymizer"))
        yield "dicom-anonymizer", "dicom-anonymizer", [beside, str(source)]
        yield "dicognito", "dicognito", [peers, "-m", "dicognito", str(source), "-o"]
        yield "deid", "deid", [peers, "-c", _DEID, str(source)]
        yield "deid, private elements and sequences removed", "deid", [peers, "-c", _DEID, str(source)]


def completed(name: str, command: list[str], source: Path, work: Path) -> tuple[list[str], Path]:
    """A command with its output folder, and that folder."""
    out = work / name.replace(" ", "").replace(",", "-")
    if name.startswith("dme"):
        key = work / "key"
        if not key.exists():
            make = [sys.executable, str(ROOT / "dme.py"), "privacy", "key", str(key)]
            subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        config = work / f"{command[-1]}.yml"
        privacy = {"profile": command[-1], "private": str(work / f"{command[-1]}-private"), "key": {"file": str(key)}}
        settings = {"dicom": {"dir": str(source.parent)}, "output": {"dir": str(work / "unused")}, "privacy": privacy}
        config.write_text(json.dumps(settings))  # JSON is YAML
        return [*command[:-1], str(config), str(out)], out
    out.mkdir()
    if name == "dicom-anonymizer":
        return [*command, str(out / "image.dcm")], out
    return [*command, str(out), *([] if name == "dicognito" else ["private" if "," in name else "plain"])], out


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy_peers", description=__doc__)
    parser.add_argument("--peers", default="", metavar="PYTHON", help="python of an environment with the peers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        markers = plant(work / "planted", 1)
        source = work / "originals" / "image.dcm"  # its own name names nobody
        source.parent.mkdir()
        shutil.copyfile(next((work / "planted").rglob("*.dcm")), source)
        planted = Counter(kind_of(markers[marker]) for marker in left(source.parent, markers))
        print(f"| markers left in the DICOM file | all | {' | '.join(KINDS)} | elements |\n|---|{'---:|' * 6}")
        for name, package, command in [("planted", "", []), *commands(options.peers, source)]:
            counts, out = planted, source.parent
            if command:
                ready, out = completed(name, command, source, work)
                done = subprocess.run(ready, capture_output=True, text=True, check=False)
                if not elements(out):
                    print(f"{name}: no file was written\n{done.stderr[-800:]}", file=sys.stderr)
                    continue
                counts = Counter(kind_of(markers[marker]) for marker in left(out, markers))
            if package:
                asked = [options.peers, "-c", _VERSION, package]
                name = name.replace(package, f"{package} {subprocess.check_output(asked, text=True).strip()}", 1)
            cells = [sum(counts.values()), *(counts[kind] for kind in KINDS), elements(out)]
            print(f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""bids/ and bids.csv: NIfTI volumes of MR as a dataset of the Brain Imaging Data Structure (`output.layout: bids`).

Hard links to the volumes and their sidecars, by the rules of `mr/bids_rules.py`; bids.csv says of every volume where it
is, or why it is not in the dataset. Volumes, rows and series.csv stay as they are.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crawler.config.loader import BIDS, Config
from crawler.mr.bids_rules import Name, Rules, Series, label, load_bids_rules, name_of
from crawler.paths import portable
from crawler.tables.base import Context, View, rows_of
from crawler.tables.link_tree import LinkTree, Target
from crawler.tables.named import volumes_of

NEEDS = ("pandas",)
OLDEST = 89  # years: BIDS recommends that nobody is shown to be older, as they could be told ("participants.tsv")
_ENDINGS = (".nii.gz", ".nii", ".json", ".bval", ".bvec")
_PERSON = ("PatientID", "PatientAge", "PatientSex", "StudyDate", "StudyTime", "SeriesNumber")
README = """\
# Data

Made by dme from DICOM, one file an array. Names come from the class of each series and the rules of `bids.json`.
Subjects are patients, sessions are studies.
"""
PARTICIPANTS = {
    "age": {"Description": f"Age at the first study; {OLDEST} stands for that and more", "Units": "year"},
    "sex": {"Description": "Sex", "Levels": {"M": "male", "F": "female", "O": "other"}},
}


@dataclass(frozen=True, slots=True)
class _Volume:
    """One array as NIfTI: who it is of, its files by ending, its name in the dataset or why it has none."""

    scan_id: str
    layout: str
    person: dict[str, Any]
    files: dict[str, Target]
    sidecar: dict[str, Any]
    name: Name


def folder(config: Config) -> str:
    """Where the dataset lies."""
    return config.own_path(BIDS)


def path(config: Config) -> str | None:
    """bids.csv beside the summary, where the layout is asked for."""
    return config.own_path("bids.csv") if config.output.layout == "bids" else None


def shape(config: Config) -> Any:
    """A digest of the rules, and whether somebody deleted the folder."""
    listed = path(config)
    rules = repr(load_bids_rules(config.templates_dir)) if listed else ""
    deleted = listed is not None and os.path.exists(listed) and not os.path.isdir(folder(config))
    return [hashlib.blake2b(rules.encode(), digest_size=16).hexdigest(), deleted]


def build(context: Context, target: str) -> None:
    """Bring the dataset up to date, and list it."""
    config = context.config
    volumes = list(_volumes(context, load_bids_rules(config.templates_dir)))
    named = [one for one in volumes if one.name.suffix]
    places = _places(named)
    tree = LinkTree(context.ledger, folder(config))
    texts = dict(_texts(named, places))
    for one, place in zip(named, places, strict=True):
        files = [(ending, file) for ending, file in one.files.items() if place + ending not in texts]
        tree.add(f"{one.scan_id}-{one.layout}", place, files)
    tree.settle()
    tree.write(texts)
    where = {(one.scan_id, one.layout): place for one, place in zip(named, places, strict=True)}
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "name", "reason"])
        for one in volumes:
            image = one.files.get(".nii.gz") or one.files[".nii"]
            place = where.get((one.scan_id, one.layout), "")
            writer.writerow([portable(os.path.relpath(image.path, os.path.dirname(target))), place, one.name.reason])


def _volumes(context: Context, rules: Rules) -> Iterator[_Volume]:
    """Every NIfTI volume of MR, by scan and layout, with its name but for what depends on others."""
    cells = _cells(context)
    for scan_id, person in _people(context):
        for layout, found in volumes_of(context.config, context.ledger, scan_id).items():
            files = {ending: file for ending, file in found if ending in _ENDINGS}
            if not {".nii.gz", ".nii"} & files.keys():
                continue
            sidecar, told = _json(files.get(".json")), _json(dict(found).get(".provenance.json"))
            echoes = cells.get(scan_id, [])
            mine = next((one for one in echoes if one.get("EchoNumbers") == sidecar.get("EchoNumber")), None)
            mine = mine or (echoes[0] if echoes else None)
            if mine is None:
                name = Name(reason="not MR")
            else:
                axes = [axis for axis in told.get("axes", []) if axis not in ("slice", "row", "column")]
                mine = mine | {"several_echoes": len(echoes) > 1}
                name = name_of(Series(mine, axes, told.get("affine") is not None, list(files), sidecar), rules)
            yield _Volume(scan_id, layout, person, files, sidecar, name)


def _people(context: Context) -> Iterator[tuple[str, dict[str, Any]]]:
    """(scan_id, what is known of patient and study) of every series."""
    from crawler.dicom.dictionary import key_for

    style = rows_of(context.config).keys
    keys = {keyword: key_for(keyword, style) for keyword in (*_PERSON, "StudyInstanceUID")}
    seen: set[str] = set()
    for row in rows_of(context.config).rows():
        scan_id = row.get("scan_id")
        if scan_id and scan_id not in seen:
            seen.add(scan_id)
            yield scan_id, {keyword: row.get(key) for keyword, key in keys.items()}


def _cells(context: Context) -> dict[str, list[dict[str, Any]]]:
    """Cleaned columns of every MR series, one a number of an echo, by scan_id."""
    from crawler.tables import mr_cleaned  # pandas, which it needs, is slow to load

    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in mr_cleaned.table(context).rows():
        found[str(row["scan_id"])].append(dict(row))
    return found


def _places(volumes: list[_Volume]) -> list[str]:
    """Relative path of each volume, without ending: subjects and sessions told apart, repetitions numbered."""
    people = _distinct({_who(one) for one in volumes}, lambda who: label(who) or "unknown")
    sessions = _sessions(volumes, people)
    stems: list[tuple[str, list[tuple[str, str]], Name]] = []
    groups: dict[tuple[str, Name], list[int]] = defaultdict(list)
    for number, one in enumerate(volumes):
        who, study = people[_who(one)], sessions[_study(one)]
        top = f"sub-{who}/ses-{study}/{one.name.datatype}"
        groups[top, one.name].append(number)
        stems.append((top, [("sub", who), ("ses", study)], one.name))
    runs: dict[int, int] = {}
    for members in groups.values():
        members.sort(key=lambda number: _order(volumes[number]))
        runs |= {number: run for run, number in enumerate(members, 1) if len(members) > 1}
    places = []
    for number, (top, first, name) in enumerate(stems):
        entities = [*first, *((key, value or str(runs.get(number, ""))) for key, value in name.entities)]
        places.append(f"{top}/{'_'.join(f'{key}-{value}' for key, value in entities if value)}_{name.suffix}")
    return places


def _sessions(volumes: list[_Volume], people: dict[str, str]) -> dict[str, str]:
    """Label of each study: its date; of several on one date with a letter, by time."""
    days: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for one in volumes:
        day = label(str(one.person["StudyDate"] or "")) or _digest(_study(one))
        days[people[_who(one)], day].add((str(one.person["StudyTime"] or ""), _study(one)))
    found: dict[str, str] = {}
    for (_, day), studies in days.items():
        for number, (_, study) in enumerate(sorted(studies)):
            found[study] = day if len(studies) == 1 else f"{day}x{number + 1}"
    return found


def _distinct(texts: Iterable[str], make: Any) -> dict[str, str]:
    """Labels of texts; those that would be one on some file system get a part of a digest."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[make(text).casefold()].append(text)
    return {
        text: make(text) if len(group) == 1 else f"{make(text)}x{_digest(text)}"
        for group in groups.values()
        for text in group
    }


def _who(one: _Volume) -> str:
    """A patient: the identifier, or the study where there is none."""
    return str(one.person["PatientID"] or "") or f"unknown {_digest(_study(one))}"


def _study(one: _Volume) -> str:
    return str(one.person["StudyInstanceUID"] or one.scan_id)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _order(one: _Volume) -> tuple[float, str, int, str]:
    number = one.person["SeriesNumber"]
    return (number if isinstance(number, int | float) else 1e18, one.scan_id, len(one.layout), one.layout)


def _texts(volumes: list[_Volume], places: list[str]) -> Iterator[tuple[str, bytes]]:
    """What the dataset holds beside links: its description, participants, sidecars with a field more."""
    made = {"GeneratedBy": [{"Name": "dme"}], "DatasetType": "raw"}
    yield "dataset_description.json", _dump({"Name": "DICOM by dme", "BIDSVersion": "1.10.0", **made})
    yield "README.md", README.encode()
    rows: dict[str, tuple[str, _Volume]] = {}
    for one, place in zip(volumes, places, strict=True):
        who = place.partition("/")[0]
        first = rows.get(who)
        if first is None or str(one.person["StudyDate"] or "9") < first[0]:
            rows[who] = str(one.person["StudyDate"] or "9"), one
        if one.name.task is not None:
            yield f"{place}.json", _dump(one.sidecar | {"TaskName": one.name.task})
    lines = ["participant_id\tage\tsex"]
    lines += [f"{who}\t{_age(rows[who][1])}\t{_sex(rows[who][1])}" for who in sorted(rows)]
    yield "participants.tsv", ("\n".join(lines) + "\n").encode()
    yield "participants.json", _dump(PARTICIPANTS)


def _age(one: _Volume) -> str:
    """(0010,1010) *Patient's Age*, PS3.5 6.2: 045Y, 018M, 003W, 010D; in years."""
    found = re.fullmatch(r"(\d{3})([YMWD])", str(one.person["PatientAge"] or ""))
    if found is None:
        return "n/a"
    years = int(found[1]) / {"Y": 1, "M": 12, "W": 52.1775, "D": 365.25}[found[2]]
    return f"{min(years, OLDEST):.2f}".rstrip("0").rstrip(".")


def _sex(one: _Volume) -> str:
    sex = str(one.person["PatientSex"] or "")
    return sex if sex in ("M", "F", "O") else "n/a"


def _json(file: Target | None) -> dict[str, Any]:
    if file is None:
        return {}
    with open(file.path, encoding="utf-8") as text:
        found: dict[str, Any] = json.load(text)
    return found


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


VIEW = View("bids", path, build, shape)

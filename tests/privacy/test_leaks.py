"""Markers in every place of a file that may hold text: none of them may stand in anything that a run writes or says."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.planter import plant, plant_others
from support.runs import ROOT

from crawler.privacy.containers import contents
from crawler.privacy.search import Needles

EVERYTHING: dict[str, Any] = {
    "config": {},
    "metadata": {"tables": ["csv", "parquet", "xlsx"], "text": True, "mr_clean": True},
    "media": {},
    "image": {},
    "video": {"series": True, "extension": ["frames"]},
    "volume": {"formats": ["hdf5", "nifti", "npz", "metaimage", "mhd", "mat"]},
    "preview": {},
    "quality": {},
}


SOME = {name: EVERYTHING[name] for name in ("config", "metadata", "media", "quality")}
SOME["media"] = {"name": "{PatientName}/{StudyDate}_{InstanceNumber}_{ProtocolName}"}
SOME["volume"] = {"formats": ["hdf5", "nifti"], "name": "{PatientID}/{StudyDescription}_{SeriesDescription}"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Plain files, and the same in a zip, a tar and compressed."""
    folder = tmp_path_factory.mktemp("originals")
    root = folder / "MKR699010"
    markers = plant(root, 2) | plant_others(root / "others")
    first = next((root).rglob("*.dcm"))
    marker = "MKR699001"
    markers[marker] = "archive member"
    with zipfile.ZipFile(root / "MKR699002.zip", "w") as archive:
        archive.write(first, f"{marker}/{first.name}")
        archive.writestr("MKR699003.txt", b"no DICOM")
    with tarfile.open(root / "MKR699004.tar.gz", "w:gz") as archive:
        archive.add(first, f"MKR699005/{first.name}")
    (root / "MKR699006.dcm.gz").write_bytes(gzip.compress(first.read_bytes()))
    (root / "MKR699007.dcm").write_bytes(first.read_bytes()[:900])  # cut short
    (root / "MKR699008.txt").write_text("no DICOM")
    os.symlink(folder / "nowhere", root / "MKR699009.dcm")
    return root, {**markers, **{f"MKR6990{number:02d}": "path" for number in range(2, 11)}}


def command(
    source: Path, out: Path, privacy: Mapping[str, Any] | None, group: str = "folder", sections: Any = SOME
) -> tuple[str, dict[str, set[str]]]:
    """Run as a user does, with every output on; return what it said, and the files of the output."""
    out.mkdir(parents=True)
    document = {
        "num_workers": 0,
        "dicom": {"dir": str(source), "group": group},
        "output": {"dir": str(out / "output")},
        **sections,
    }
    if privacy is not None:
        document["privacy"] = {"private": str(out / "private"), **privacy}
    (out / "job.yml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [sys.executable, str(ROOT / "dme.py"), str(out / "job.yml"), "-v"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr[-2000:]
    return done.stdout + done.stderr, {}


def found(out: Path, said: str, markers: Mapping[str, str]) -> dict[str, list[str]]:
    """Which marker stands where."""
    needles = Needles(markers)
    hits: dict[str, list[str]] = {}

    def note(place: str, data: bytes) -> None:
        for number in needles.found_in(data):
            hits.setdefault(needles.texts[number], []).append(place)

    note("what it said", said.encode())
    for path in sorted((out / "output").rglob("*")):
        note("a name", str(path.relative_to(out)).encode())
        if path.is_file():
            for kind, data in contents(path):
                note(f"{path.name} ({kind})", data)
    return hits


@pytest.mark.parametrize(
    ("profile", "group"), [("basic", "folder"), ("research", "folder"), ("public", "folder"), ("research", "tree")]
)
def test_nothing_that_was_planted_is_in_any_output(
    profile: str, group: str, planted: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    source, markers = planted
    whole = (profile, group) == ("research", "folder")
    said, _ = command(source, tmp_path / "run", {"profile": profile}, group, EVERYTHING if whole else SOME)
    hits = found(tmp_path / "run", said, markers)
    assert {marker: (markers[marker], places[:4]) for marker, places in hits.items()} == {}
    if not whole:
        return
    names = {path.suffix for path in (tmp_path / "run" / "output").rglob("*")}
    assert {
        ".h5",
        ".gz",
        ".npz",
        ".mha",
        ".mhd",
        ".mat",
        ".png",
        ".jsonl",
        ".csv",
        ".parquet",
        ".xlsx",
        ".txt",
    } <= names


def test_the_same_search_finds_them_where_privacy_is_off(planted: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    source, markers = planted
    said, _ = command(source, tmp_path / "run", None)
    hits = found(tmp_path / "run", said, markers)
    assert len(hits) > 0.9 * len(markers)

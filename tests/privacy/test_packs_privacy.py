"""Packs and `verify` under privacy: nothing of the originals in a pack, its index, or what is found wrong."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.factories import ct_series
from support.planter import plant

from crawler.cli.main import main
from crawler.privacy.containers import contents
from crawler.privacy.search import Needles
from crawler.sinks.packs import members_of

pytestmark = pytest.mark.usefixtures("no_thread_of_zarr")


def job(source: Path, out: Path, **output: Any) -> Path:
    """A configuration with volumes and pictures."""
    document: dict[str, Any] = {
        "num_workers": 0,
        "dicom": {"dir": str(source)},
        "output": {"dir": str(out / "output"), **output},
        "metadata": {"tables": ["csv"]},
        "image": {},
        "volume": {"formats": ["hdf5", "nifti"]},
        "privacy": {"private": str(out / "private")},
    }
    path = out / "job.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def hits(folder: Path, said: str, texts: Any) -> set[str]:
    """Which texts stand in any output, or in what was said."""
    needles = Needles(texts)
    found = needles.found_in(said.encode())
    for path in folder.rglob("*"):
        found |= needles.found_in(str(path.relative_to(folder)).encode())
        if path.is_file():
            for _, data in contents(path):
                found |= needles.found_in(data)
    return {needles.texts[number] for number in found}


@pytest.mark.parametrize("form", ["tar", "hdf5", "zarr"])
@pytest.mark.parametrize("place", ["packs", "elsewhere"])
def test_nothing_that_was_planted_is_in_packs(
    form: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if form == "zarr":
        pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
    markers = plant(tmp_path / "in" / "MKR699010", 2)
    markers["MKR699010"] = "folder"
    where = "packs" if place == "packs" else str(tmp_path / "elsewhere")
    path = job(tmp_path / "in", tmp_path, pack={"format": form, "dir": where})
    assert main([str(path), "-q"]) == 0
    told = capsys.readouterr()
    packs = [path for path in tmp_path.rglob("*") if path.suffix in (".tar", ".h5", ".zip") and "in" not in path.parts]
    assert packs
    assert hits(tmp_path / "output", told.out + told.err, markers) == set()
    if place == "elsewhere":
        assert hits(tmp_path / "elsewhere", "", markers) == set()
    assert main(["verify", str(path)]) == 0
    assert main(["privacy", "audit", str(path)]) == 0
    report = (tmp_path / "output" / "privacy_audit.json").read_text()
    assert packs[0].name in report  # it was searched, wherever it lies


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A finished output; its configuration."""
    ct_series(tmp_path / "in" / "Quasten", 3, PatientName="Quastenflosser^Ludmilla", PatientID="MRN4711081")
    path = job(tmp_path / "in", tmp_path)
    assert main([str(path), "-q"]) == 0
    return path


SAID = ("Quasten", "Ludmilla", "MRN4711081")


def test_verify_passes_an_output_and_finds_what_was_changed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", str(made)]) == 0
    assert "compared" in capsys.readouterr().out
    volume = next((made.parent / "output" / "volumes").rglob("*.h5"))
    data = bytearray(volume.read_bytes())
    data[-1] ^= 255
    volume.write_bytes(data)
    next((made.parent / "output").rglob("*.png")).unlink()
    assert main(["verify", str(made)]) == 3
    told = capsys.readouterr()
    assert volume.name in told.out
    assert Needles(SAID).found_in((told.out + told.err).encode()) == set()


def test_verify_tells_no_place_of_a_private_ledger(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private = made.parent / "private"
    for ledger in private.glob("*.ledger"):
        ledger.write_bytes(b"no ledger")
    capsys.readouterr()
    assert main(["verify", str(made)]) == 1
    told = capsys.readouterr()
    assert str(private) not in told.out + told.err


def test_a_sample_is_refused_under_privacy(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made), "--sample", "2"]) == 1
    assert "privacy does not cover --sample" in capsys.readouterr().err


def test_a_second_run_finds_its_packs_and_a_change_leaves_none_behind(tmp_path: Path) -> None:
    """The ledger lies in another folder than the packs."""
    for number in range(3):
        ct_series(tmp_path / "in" / f"{number}", 3, SeriesInstanceUID=f"1.2.3.{number}")
    key = tmp_path / "key"
    assert main(["privacy", "key", str(key)]) == 0
    path = job(tmp_path / "in", tmp_path, pack={"format": "tar", "size": "20KB"})
    document = yaml.safe_load(path.read_text())
    document["privacy"]["key"] = {"file": str(key)}
    path.write_text(yaml.safe_dump(document))
    packs = tmp_path / "output" / "packs"

    def listed() -> set[str]:
        with open(packs / "index.csv", newline="", encoding="utf-8") as file:
            return {row["pack"] for row in csv.DictReader(file)}

    assert main([str(path), "-q"]) == 0
    before = {place.name: place.stat().st_ino for place in packs.glob("*.tar")}
    assert {*before} == listed()
    assert main([str(path), "-q"]) == 0
    assert {place.name: place.stat().st_ino for place in packs.glob("*.tar")} == before, "nothing was made again"
    ct_series(tmp_path / "in" / "0", 4, SeriesInstanceUID="1.2.3.0")
    assert main([str(path), "-q"]) == 0
    assert {place.name for place in packs.glob("*.tar")} == listed()
    names = [member for place in packs.glob("*.tar") for member in members_of(str(place))]
    assert len(names) == len({*names})


def test_packs_do_not_depend_on_workers_or_on_how_often_it_ran(tmp_path: Path) -> None:
    for number in range(4):
        who = {"PatientName": f"Quastenflosser^{number}", "PatientID": f"MRN471108{number}"}
        ct_series(tmp_path / "in" / f"Quasten{number}", 3, SeriesInstanceUID=f"1.2.3.{number}", **who)
    key = tmp_path / "key"
    assert main(["privacy", "key", str(key)]) == 0
    found: list[dict[str, bytes]] = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        out.mkdir()
        path = job(tmp_path / "in", out, pack={"format": "tar", "size": "20KB"})
        document = yaml.safe_load(path.read_text()) | {"num_workers": workers}
        document["privacy"]["key"] = {"file": str(key)}
        path.write_text(yaml.safe_dump(document))
        for _ in range(2):
            assert main([str(path), "-q"]) == 0
            members = {
                place.relative_to(out).as_posix(): place.read_bytes() for place in (out / "output").rglob("*.tar")
            }
            found.append(members)
    for first, second in (found[:2], found[2:]):
        assert first
        assert first == second
    alone, together = (members_in(tmp_path / str(workers) / "output") for workers in (0, 2))
    assert len(alone) > 8
    assert alone == together


def members_in(folder: Path) -> dict[str, bytes]:
    """The members of all packs: name -> bytes."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found

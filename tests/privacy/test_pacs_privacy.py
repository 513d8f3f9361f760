"""A PACS as the source under the policy: what it sent and what it said is in nothing that leaves the house."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from support.archive import Archive, FakeFinder, FakeTransport, Instance, refusing
from support.planter import plant
from support.runs import rows

from crawler.cli.main import main
from crawler.config.loader import Config
from crawler.engine import retrieving
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.privacy.containers import contents
from crawler.privacy.keys import make_key
from crawler.privacy.search import Needles

IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientID", "AccessionNumber")


@pytest.fixture
def markers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A PACS of one planted series of three, of which it refuses one; it says so with a marker."""
    markers = plant(tmp_path / "planted")
    held = []
    for path in sorted((tmp_path / "planted").rglob("*.dcm")):
        dataset = dcmread(io.BytesIO(path.read_bytes()))
        held.append(Instance({name: str(dataset[name].value) for name in IDENTITY}, path.read_bytes()))
    archive = Archive(held)
    archive.fault = refusing({held[1].uid}, 0xC123)
    monkeypatch.setattr(retrieving, "open_finder", lambda server: FakeFinder(archive))
    monkeypatch.setattr(retrieving, "open_transport", lambda way, server, **_: FakeTransport(archive, way))
    monkeypatch.chdir(tmp_path)
    number = held[0].attributes["PatientID"]
    (tmp_path / "list.csv").write_text(f"PatientID,#Note\n{number},MKR699050\nMKR699051,none\n")
    make_key(str(tmp_path / "key"))
    return {**markers, "MKR699050": "a note of the list", "MKR699051": "a request"}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "num_workers": 0,
        "output": {"dir": "out"},
        "config": {},
        "metadata": {"tables": ["csv"]},
        "volume": {},
        "pacs": {"host": "pacs", "port": 104, "list": "list.csv", "settle": 0, "dir": "incoming"},
        "privacy": {"private": "private", "key": {"file": "key"}},
        **changes,
    }


def test_nothing_of_a_pacs_is_in_the_outputs(
    markers: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yml").write_text(json.dumps(document()))
    assert main([str(tmp_path / "job.yml"), "-v"]) == 3
    said = "".join(capfd.readouterr())
    needles = Needles(markers)
    found = {needles.texts[number]: "said" for number in needles.found_in(said.encode())}
    for path in (tmp_path / "out").rglob("*"):
        places = [str(path.relative_to(tmp_path)).encode()]
        places += [data for _, data in contents(path)] if path.is_file() else []
        found.update({needles.texts[number]: path.name for data in places for number in needles.found_in(data)})
    assert found == {}
    assert len(rows(tmp_path / "out")) == 2
    failures = (tmp_path / "out" / "unreadable_files.csv").read_text()
    assert "refused (0xC123)," in failures
    assert "2 of 3" in (tmp_path / "out" / "series.csv").read_text()
    assert "1 refused (0xC123)" in (tmp_path / "out" / "series.csv").read_text()
    assert "RetrievedInstances" in next((tmp_path / "out").rglob("s*.h5")).read_bytes().decode("latin-1")
    whole = (tmp_path / "private" / "cohort.csv").read_text().splitlines()
    assert "MKR699050" in whole[1]
    assert ",3,2,2," in whole[1]  # found, received, exported


def test_a_retrieval_comes_to_what_its_files_come_to(markers: dict[str, str], tmp_path: Path) -> None:
    run(Config.from_mapping(document()))
    plain = {name: value for name, value in document().items() if name != "pacs"}
    plain |= {"dicom": {"dir": "incoming"}, "output": {"dir": "again"}}
    plain["privacy"] = {"private": "private-again", "key": {"file": "key"}}
    run(Config.from_mapping(plain))
    assert rows(tmp_path / "again") == rows(tmp_path / "out")


def test_received_files_lie_apart_from_outputs(markers: dict[str, str]) -> None:
    job = document()
    job["pacs"]["dir"] = "out/incoming"
    with pytest.raises(ConfigError, match=r"pacs\.dir lies below output\.dir"):
        run(Config.from_mapping(job))

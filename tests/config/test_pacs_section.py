"""The section `pacs`: addresses from three places, queries checked before anything is sent."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from crawler.config.loader import Config, load_config
from crawler.config.pacs import PacsSection
from crawler.errors import ConfigError
from crawler.pacs.address import ADDRESSES

SERVER = {"host": "pacs", "port": 104, "query": {"PatientID": "A*"}}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def section(**keys: Any) -> PacsSection:
    found = Config.from_mapping({"pacs": SERVER | keys}).pacs
    assert found is not None
    return found


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(document)
    return str(caught.value)


def test_received_files_are_the_input(tmp_path: Path) -> None:
    assert Config.from_mapping({"pacs": SERVER}).roots == (str(tmp_path / "incoming"),)
    config = Config.from_mapping({"dicom": {"group": "tree"}, "pacs": SERVER | {"dir": "in/pacs"}})
    assert config.roots == (config.pacs_dir,) == (str(tmp_path / "in" / "pacs"),)
    assert config.dicom.group == "tree"


def test_other_folders_stay_input(tmp_path: Path) -> None:
    config = Config.from_mapping({"dicom": {"dir": "disk"}, "pacs": SERVER})
    assert config.roots == (str(tmp_path / "disk"), str(tmp_path / "incoming"))
    within = Config.from_mapping({"dicom": {"dir": "data"}, "pacs": SERVER | {"dir": "data/pacs"}})
    assert within.roots == (str(tmp_path / "data"),)


def test_query_is_sent_as_dicom_has_it() -> None:
    query = {"StudyDate": "2024-01-31", "ModalitiesInStudy": ["CT", "MR"], "SeriesNumber": 3}
    assert section(query=query).keys == {
        "StudyDate": "20240131",
        "ModalitiesInStudy": "CT\\MR",
        "SeriesNumber": "3",
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"PatinetID": "1"}, "pacs.query.PatinetID: no DICOM keyword; nearest: PatientID"),
        ({"QueryRetrieveLevel": "STUDY"}, "pacs.query.QueryRetrieveLevel: cannot be asked for"),
        ({"PixelData": "1"}, "pacs.query.PixelData: cannot be matched"),
        ({"RequestAttributesSequence": "1"}, "pacs.query.RequestAttributesSequence: cannot be matched"),
        ({"StudyDate": "31.01.2024"}, "pacs.query.StudyDate: is no date: YYYYMMDD"),
        ({"StudyDate": "20241231-20240101"}, "is a range that ends before it begins"),
        ({"StudyTime": "2500"}, "pacs.query.StudyTime: is no time"),
        ({"StudyInstanceUID": "1.2.x"}, "pacs.query.StudyInstanceUID: is no UID"),
        ({"AccessionNumber": "1.23E+11"}, "was rounded by a spreadsheet"),
        ({"AccessionNumber": "12345678901234567"}, "has more than 16 characters"),
        ({"PatientID": "a\tb"}, "holds a control character"),
        ({"PatientID": "a\\b"}, "holds a backslash"),
        ({"PatientID": 10}, "pacs.query.PatientID: expected text; put it in quotes"),
        ({"PatientID": "*"}, "pacs.query: nothing is asked for: it would match the whole archive"),
        ({}, "required, or pacs.list: without either it would retrieve the whole archive"),
    ],
)
def test_query_is_checked_before_it_is_sent(query: dict[str, Any], message: str) -> None:
    told = refusal({"pacs": SERVER | {"query": query}})
    assert message in told
    assert all(value not in told for value in query.values() if len(str(value)) > 5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"host": None}, "pacs.host: required, here or as the variable PACS_IP"),
        ({"port": None}, "pacs.port: required, here or as the variable PACS_PORT"),
        ({"port": 70000}, "pacs.port = 70000: expected at most 65535"),
        ({"called_aet": "A" * 17}, "pacs.called_aet"),
        ({"retrieve": "move"}, "pacs.calling_port: required for move"),
        ({"retrieve": "web"}, "pacs.url: required for web"),
        ({"url": "http://name:secret@pacs"}, 'pacs.url = "(not shown)": expected http://'),
        ({"rate": "fast"}, 'pacs.rate = "fast": expected files a second (20), or bytes a second (5 MB)'),
        ({"window": "20-06"}, 'pacs.window = "20-06": expected two times of day'),
        ({"window": "20:00-06:00 Mars/Base"}, "expected a time zone such as Europe/Zurich"),
        ({"level": "patient"}, "expected study, series or image"),
        ({"tls": {"cert": "a.pem"}}, "pacs.tls.cert: cert and key belong together"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    assert message in refusal({"pacs": SERVER | keys})


def test_web_alone_needs_no_dicom_port() -> None:
    web = section(host=None, port=None, url="https://pacs/dicom-web")
    assert web.methods == ("web",)


def test_auto_tries_what_is_configured() -> None:
    assert section().methods == ("get",)
    assert section(calling_port=11112, url="http://pacs/web").methods == ("get", "move", "web")
    assert section(retrieve="move", calling_port=11112).methods == ("move",)


def test_environment_fills_in_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(ADDRESSES, ("from-env", "4242", "THEIRS", "OURS", "11112", "http://w/x"), strict=True):
        monkeypatch.setenv(name, value)
    found = Config.from_mapping({"pacs": {"query": {"PatientID": "1"}, "called_aet": "WRITTEN"}}).pacs
    assert found is not None
    assert (found.host, found.port, found.called_aet, found.calling_aet, found.calling_port, found.url) == (
        "from-env", 4242, "WRITTEN", "OURS", 11112, "http://w/x",
    )  # fmt: skip
    monkeypatch.setenv("PACS_PORT", "dicom")
    assert "the variable PACS_PORT is no port" in refusal({"pacs": {"query": {"PatientID": "1"}}})


def test_env_file_lies_beside_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    lines = ["# ours", 'export PACS_IP="10.0.0.1"', "PACS_PORT = 104 # theirs", "CALLED_AET='PACS'", "PATH=/nowhere"]
    (folder / ".env").write_text("\n".join(lines))
    (folder / "c.yml").write_text("pacs: {query: {PatientID: A1}}")
    monkeypatch.setenv("PACS_PORT", "4242")
    found = load_config(folder / "c.yml").pacs
    assert found is not None
    assert (found.host, found.port, found.called_aet) == ("10.0.0.1", 4242, "PACS")
    assert os.environ["PATH"] != "/nowhere"


def test_address_names_a_source(tmp_path: Path) -> None:
    config = Config.from_mapping({"dicom": {"dir": "dicom://pacs:4242/ORTHANC/1.2.3/1.2.3.4"}})
    assert config.roots == (str(tmp_path / "incoming"),)
    assert config.pacs is not None
    assert (config.pacs.host, config.pacs.port, config.pacs.called_aet) == ("pacs", 4242, "ORTHANC")
    assert config.pacs.keys == {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    both = Config.from_mapping({"dicom": {"dir": ["disk", "dicom://pacs:4242/A/1.2"]}, "pacs": {"associations": 1}})
    assert both.roots == (str(tmp_path / "disk"), str(tmp_path / "incoming"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"dicom": {"dir": "dicom://pacs/AET"}}, "expected dicom://host:port/AET"),
        ({"dicom": {"dir": "dicom://pacs:99999/AET"}}, "expected dicom://host:port/AET"),
        ({"dicom": {"dir": "dicom://pacs:104/AET/abc"}}, "a UID has digits and dots"),
        ({"dicom": {"dir": "dicom://pacs:104/AET"}}, "it would retrieve the whole archive"),
        ({"dicom": {"dir": "dicom://pacs:104/AET/1"}, "pacs": {"host": "b"}}, "names a server, too"),
        ({"dicom": {"dir": ["dicom://a:1/A/1", "dicom://b:1/A/1"]}}, "one PACS at most"),
        ({"pacs": SERVER, "media": {"dir": "incoming"}}, "media.dir"),
        ({"pacs": False}, "dicom.dir: required"),
    ],
)
def test_what_no_address_can_be(document: dict[str, Any], message: str) -> None:
    assert message in refusal(document)


def test_two_configurations_that_differ_in_the_server_write_the_same_outputs() -> None:
    first = Config.from_mapping({"pacs": SERVER, "volume": {}})
    second = dataclasses.replace(first, pacs=dataclasses.replace(first.pacs, host="other", rate=5.0))
    assert first.shaping() == second.shaping()

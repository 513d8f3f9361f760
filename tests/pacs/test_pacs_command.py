"""`dme pacs ...` against a server in this process: tables, JSON, CSV, exit codes, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from support.archive import Archive, FakeFinder, FakeTransport, make_instance, refusing
from support.fake_pacs import LONG, fake_pacs
from support.pacs_servers import free_port

from crawler.cli import pacs_commands
from crawler.cli.main import main
from crawler.config.loader import load_config
from crawler.engine import receiving, retrieving
from crawler.engine.interrupts import interrupts
from crawler.engine.progress import Silent
from crawler.engine.sending import send_paths
from crawler.errors import RequestError
from crawler.pacs.model import Server
from crawler.pacs.transports import open_channel

SERVER = ["--host", "pacs", "--port", "104"]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    held = Archive([make_instance(n, series, study) for study in range(2) for series in range(2) for n in range(3)])
    for module in (retrieving, pacs_commands):
        monkeypatch.setattr(module, "open_finder", lambda server, web=False: FakeFinder(held))
    monkeypatch.setattr(retrieving, "open_transport", lambda way, server, **_: FakeTransport(held, way))
    monkeypatch.chdir(tmp_path)
    return held


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["pacs", *words]) == code
    return capsys.readouterr().out


def test_find_prints_a_table(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "find", *SERVER, "StudyDate=20240101").splitlines()
    assert lines[0].split()[:3] == ["StudyDate", "ModalitiesInStudy", "PatientID"]
    assert lines[-1] == "2 studies"
    assert lines[1].rstrip().endswith(archive.instances[0].attributes["StudyInstanceUID"])


def test_conditions_and_flags_stand_in_any_order(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["StudyDate=20240101", "Modality=CT"]
    first = told(capsys, "find", *SERVER, *words, "--level", "series", "--csv")
    assert first.count("\n") == 5
    assert told(capsys, "find", "--level", "series", words[0], "--csv", words[1], *SERVER) == first
    with pytest.raises(SystemExit):
        main(["pacs", "find", *SERVER, "--no-such-flag", *words])


@pytest.mark.parametrize(("level", "number"), [("study", 2), ("series", 4), ("image", 12)])
def test_find_at_each_level_as_csv_and_json(
    archive: Archive, capsys: pytest.CaptureFixture[str], level: str, number: int
) -> None:
    words = ["find", "dicom://pacs:104/AET", "StudyDate=20240101-", "--level", level]
    rows = list(csv.DictReader(io.StringIO(told(capsys, *words, "--csv"))))
    assert len(rows) == number
    assert rows == json.loads(told(capsys, *words, "--json"))
    assert rows[0]["StudyInstanceUID"]
    assert len(list(csv.DictReader(io.StringIO(told(capsys, *words, "--csv", "--limit", "1"))))) == 1


def test_find_takes_a_configuration_and_more_conditions(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.yml").write_text("pacs: {host: pacs, port: 104, query: {StudyDate: 20240101}}")
    assert "1 study\n" in told(capsys, "find", "c.yml", "AccessionNumber=ACC1")
    assert archive.finds[-1][1]["StudyDate"] == "20240101"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["find", *SERVER, "PatinetID=1"], "PatinetID: no DICOM keyword; nearest: PatientID"),
        (["find", *SERVER, "StudyDate=1.1.2024"], "StudyDate: is no date"),
        (["find", *SERVER, "folder"], "'folder' is neither a server nor a condition"),
        (["find", "StudyDate=20240101"], "no server: give a configuration, dicom://host:port/AET"),
        (["find", "dicom://pacs/AET"], "expected dicom://host:port/AET"),
        (["find", "none.yml"], "none.yml: cannot be read"),
        (["find", "files.yml"], "files.yml: has no section pacs"),
        (["find", *SERVER, "--called-aet", "A" * 17], "pacs.called_aet"),
        (["get", *SERVER], "nothing is asked for"),
        (["send", *SERVER], "nothing to send"),
        (["send", *SERVER, "nowhere"], "nowhere does not exist"),
        (["receive", *SERVER], "no port to listen on"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    archive: Archive, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    Path("files.yml").write_text("dicom: {dir: in}")
    assert main(["pacs", *words]) == 1
    heard = capsys.readouterr()
    assert message in heard.err
    assert heard.err.count("\n") == 1
    assert "dicom.dir" not in heard.err  # nobody wrote such a key
    assert archive.finds == []


def test_server_that_fails_is_one_line(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(level: str, keys: object) -> None:
        raise RequestError("the server did not answer for 60 s", "silent")

    archive.find_fault = fail
    assert main(["pacs", "find", *SERVER, "PatientID=1"]) == 1
    assert capsys.readouterr().err == "dme: the server did not answer for 60 s\n"


def test_an_unknown_host_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pacs", "echo", "dicom://no-such-host.invalid:104/AET"]) == 1
    assert capsys.readouterr().err == "dme: pacs.host: no such host\n"


def test_convert_takes_an_address(archive: Archive) -> None:
    study = archive.instances[0].attributes["StudyInstanceUID"]
    assert main(["convert", f"dicom://pacs:104/AET/{study}", "-o", "out", "-q", "--workers", "0"]) == 0
    (records,) = Path("out", "records").iterdir()
    assert len(list(records.joinpath("received").rglob("*.dcm"))) == 6
    assert len(list(Path("out", study).rglob("*.txt"))) == 6
    assert sorted(path.name for path in Path().iterdir()) == ["out"]


def test_get_retrieves_and_accounts(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    bad = archive.instances[0].uid
    archive.fault = refusing({bad}, 0xC123)
    words = ["get", *SERVER, "AccessionNumber=ACC0", "-o", "here", "-q"]
    rows = list(csv.DictReader(io.StringIO(told(capsys, *words, "--csv", code=3))))
    assert len(rows) == 6
    assert [row["instance"] for row in rows if row["outcome"] == "refused"] == [bad]
    assert {row["code"] for row in rows} == {"", str(0xC123)}
    files = {path.stem: path for path in Path("here").rglob("*.dcm")}
    for row in rows:
        assert (row["instance"] in files) == (row["outcome"] == "received")
        if row["outcome"] == "received":
            assert int(row["size"]) == files[row["instance"]].stat().st_size
            assert row["transport"] == "get"
    archive.fault = lambda request, meant: None
    everything = json.loads(told(capsys, *words, "--json"))
    assert everything["counts"]["received"] == 6
    assert everything["failures"] == []
    assert set(archive.sent.values()) == {1}
    text = told(capsys, *words[:-1])
    assert "received           6" in text
    assert "ACC0" not in text


def test_get_takes_a_list(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.csv").write_text("AccessionNumber\nACC1\nNONE\n")
    text = told(capsys, "get", *SERVER, "--list", "list.csv", code=3)
    assert "request: no match" in text
    assert "pacs.list, line 3: no match; no study matches" in text
    assert "NONE" not in text
    assert len(list(Path("incoming").rglob("*.dcm"))) == 6


# -- against a server of pynetdicom ---------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_pacs() as started:
        yield started


def flags(server: Server) -> list[str]:
    return ["--host", server.host, "--port", str(server.port), "--called-aet", server.called_aet]


def test_echo(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert "The server answers" in told(capsys, "echo", *flags(server))
    assert json.loads(told(capsys, "echo", *flags(server), "--json"))["ok"] is True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaks a refused socket
def test_echo_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pacs", "echo", "--host", "127.0.0.1", "--port", str(free_port())]) == 1
    assert capsys.readouterr().err.startswith("dme: ")


def test_check_prints_a_line_a_trial(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "check", *flags(server)).splitlines()
    assert any(line.startswith("yes  C-ECHO") for line in lines)
    found = json.loads(told(capsys, "check", *flags(server), "--json"))
    assert len(found) == len(lines)
    assert {one["name"] for one in found if one["works"]} >= {"C-ECHO"}


# -- receiving, and sending to it -----------------------------------------------------------------------------------


def write(folder: Path, instances: list[Any]) -> None:
    folder.mkdir(parents=True)
    for number, one in enumerate(instances):
        (folder / f"{number}.dcm").write_bytes(one.data)


def test_send_and_receive_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Files, a zip and what is no DICOM go from one command to the other, and come out as rows and volumes."""
    monkeypatch.chdir(tmp_path)
    instances = [make_instance(n, series, 0) for series in range(2) for n in range(4)]
    write(tmp_path / "folder", instances[:4])
    (tmp_path / "folder" / "notes.txt").write_text("no DICOM")
    with zipfile.ZipFile("study.zip", "w") as archive:
        for number, one in enumerate(instances[4:]):
            archive.writestr(f"a/{number}.dcm", one.data)
    port = free_port()
    Path("c.yml").write_text(
        f"num_workers: 0\noutput: {{dir: out, report: false}}\nmetadata:\nvolume:\n"
        f"pacs: {{calling_port: {port}, settle: 0.2, timeouts: {{idle: 30}}}}\n"
    )
    config = load_config("c.yml", retrieves=False)
    stop = threading.Event()
    monkeypatch.setattr(receiving, "interrupts", lambda: _stopping(stop))
    summaries: list[Any] = []
    server = retrieving.server_of(config)

    def listen() -> None:
        for summary in receiving.receive(config, server, Silent()):
            summaries.append(summary)
            if summary.found == len(instances):
                stop.set()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        words = ["send", f"dicom://127.0.0.1:{port}/DME", "folder", "study.zip", "--csv", "-q", "--associations", "2"]
        rows = list(csv.DictReader(io.StringIO(told(capsys, *words))))
        thread.join(60)
    finally:
        stop.set()
        thread.join()
    assert sorted(row["outcome"] for row in rows) == ["skipped", *["stored"] * 8]
    assert {row["status"] for row in rows if row["outcome"] == "stored"} == {"0"}
    last = summaries[-1]
    assert (last.found, last.exported, last.scans) == (8, 8, 2)
    assert {path.stem for path in Path("incoming").rglob("*.dcm")} == {one.uid for one in instances}
    assert not [path for path in Path("incoming", ".dme-tmp").rglob("*") if path.is_file()]
    for one in instances:
        [path] = Path("incoming").rglob(f"{one.uid}.dcm")
        assert pydicom.dcmread(path).PixelData == pydicom.dcmread(io.BytesIO(one.data)).PixelData


def _stopping(stop: threading.Event) -> Any:
    import contextlib

    return contextlib.nullcontext(stop)


def test_inbox_waits_until_a_series_is_quiet(tmp_path: Path) -> None:
    from support.archive import received_of

    now = [0.0]
    inbox = receiving.Inbox(tmp_path, lambda: now[0])

    def arrive(one: Any) -> bool:
        path = inbox.temp / "part"
        path.write_bytes(one.data)
        return inbox.take(received_of(one, path), None)  # type: ignore[arg-type]

    first, second = make_instance(0), make_instance(1)
    assert arrive(first)
    now[0] = 1.5
    assert arrive(second)
    now[0] = 3.0
    assert inbox.settle(2.0) == 0
    assert not list(tmp_path.glob("*/*/*.dcm"))
    now[0] = 3.5
    assert inbox.settle(2.0) == 1
    assert len(list(tmp_path.glob("2.25.*/*/*.dcm"))) == 2
    assert inbox.arriving == 0
    assert arrive(first), "the same bytes again are no failure"
    assert inbox.arriving == 0
    assert not arrive(type(first)(first.attributes, make_instance(0, SeriesDescription="changed").data))
    assert inbox.refused == 1


def test_received_before_a_kill_is_not_lost(tmp_path: Path) -> None:
    from support.archive import received_of

    inbox = receiving.Inbox(tmp_path)
    one = make_instance(0)
    path = inbox.temp / "part"
    path.write_bytes(one.data)
    inbox.take(received_of(one, path), None)  # type: ignore[arg-type]
    (inbox.temp / "torn").write_bytes(b"half")
    again = receiving.Inbox(tmp_path)
    assert not (again.temp / "torn").exists()
    assert again.settle(0.0) == 1
    assert [path.stem for path in tmp_path.glob("2.25.*/*/*.dcm")] == [one.uid]


def test_send_to_a_server_that_is_away_names_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in", [make_instance(n) for n in range(3)])
    monkeypatch.setattr("crawler.pacs.send._PAUSE", 0.001)
    channel = open_channel(Server("127.0.0.1", free_port(), timeouts=LONG))
    with interrupts() as stop:
        sent = list(send_paths([str(tmp_path / "in")], [channel], stop))
    assert [one.outcome for one in sent] == ["failed"] * 3  # type: ignore[union-attr]
    assert all("127.0.0.1" not in one.reason for one in sent)

"""A whole run with a section `pacs`, against a PACS in memory: one accounting identity over both halves."""

from __future__ import annotations

import csv
import json
import logging
import re
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.archive import Archive, FakeFinder, FakeTransport, Instance, make_instance, refusing

from crawler.cli.main import main
from crawler.cli.terminal import status_table
from crawler.config.loader import Config
from crawler.config.sizes import size_text
from crawler.engine import retrieving
from crawler.engine.run import run
from crawler.errors import ConfigError, PacsError
from crawler.ledger.status import read_status
from crawler.ledger.summary import Summary
from crawler.pacs.model import Answer, Request, Server


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    """Three studies of two series; every run of the test finds it."""
    held = Archive([make_instance(n, series, study) for study in range(3) for series in range(2) for n in range(4)])
    monkeypatch.setattr(retrieving, "open_finder", lambda server: FakeFinder(held))
    monkeypatch.setattr(retrieving, "open_transport", lambda way, server, **_: FakeTransport(held, way))
    monkeypatch.chdir(tmp_path)
    return held


def document(**pacs: Any) -> dict[str, Any]:
    section = {"host": "pacs", "port": 104, "query": {"StudyDate": "20240101-"}, "settle": 0, **pacs}
    section = {key: value for key, value in section.items() if value is not None}
    return {"num_workers": 0, "output": {"dir": "out", "report": False}, "metadata": {}, "volume": {}, "pacs": section}


def table(name: str) -> list[dict[str, str]]:
    with open(Path("out", name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check(summary: Summary) -> None:
    """Both halves add up, and meet."""
    counts = summary.retrieval
    assert counts is not None
    assert counts.found == counts.received + counts.missing + counts.refused
    assert summary.found == summary.exported + sum(summary.skipped.values()) + sum(summary.failed.values())
    assert summary.found == summary.listed == counts.received + counts.others
    rows = [row for row in table("unreadable_files.csv") if row["stage"] == "retrieve"]
    assert len(rows) == sum(counts.failed.values())
    written = json.loads(Path("out", "summary.json").read_text())
    assert written["retrieval"]["received"] == counts.received
    assert written["exit_code"] == summary.exit_code


def test_everything_is_received_and_exported(archive: Archive) -> None:
    summary = run(Config.from_mapping(document()))
    check(summary)
    assert (summary.found, summary.exported, summary.scans, summary.exit_code) == (24, 24, 6, 0)
    assert {row["retrieved"] for row in table("series.csv")} == {"all"}
    assert not Path("out", "cohort.csv").exists()


def test_second_run_transfers_nothing_and_changes_nothing(archive: Archive) -> None:
    config = Config.from_mapping(document())
    run(config)
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.csv")}
    archive.requests.clear()
    again = run(config)
    check(again)
    assert archive.requests == []
    assert again.handled == 0
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.csv")}


def test_what_stays_missing_is_a_failure_with_its_reason(archive: Archive) -> None:
    bad = archive.instances[5].uid
    archive.fault = refusing({bad}, 0xC123)
    summary = run(Config.from_mapping(document()))
    check(summary)
    assert (summary.found, summary.exported, summary.exit_code) == (23, 23, 3)
    [row] = table("unreadable_files.csv")
    assert row["file"].endswith(f"/{bad}.dcm")
    assert (row["stage"], row["reason"], row["detail"]) == ("retrieve", "refused (0xC123)", "some failed")
    assert sorted(row["retrieved"] for row in table("series.csv")) == ["3 of 4", *["all"] * 5]
    archive.fault = lambda request, meant: None
    again = run(Config.from_mapping(document()))
    check(again)
    assert again.exit_code == 0
    assert table("unreadable_files.csv") == []
    assert again.handled == 4  # the series that was incomplete, and no other
    assert again.exported == 24


def test_a_series_that_is_not_whole_says_so_wherever_it_is_seen(archive: Archive) -> None:
    """In its volume, in its row, in the report; and no more once the rest has come."""
    bad = archive.instances[5]
    archive.fault = refusing({bad.uid}, 0xC123)
    config = Config.from_mapping(document() | {"output": {"dir": "out"}})
    run(config)

    def told() -> dict[str, str | None]:
        return {
            str(image.attrs["SeriesInstanceUID"]): image.attrs.get("RetrievedInstances")
            for path in sorted(Path("out").rglob("*.h5"))
            if path.name != "pixel_data.h5"
            for image in [h5py.File(path)["image"]]
        }

    series = bad.attributes["SeriesInstanceUID"]
    assert told()[series] == "3 of 4"
    assert [uid for uid, text in told().items() if text is not None] == [series]
    rows = {row["series_uid"]: row for row in table("series.csv")}
    assert rows[series]["retrieval_reason"] == "1 refused (0xC123): some failed"
    assert {row["retrieval_reason"] for uid, row in rows.items() if uid != series} == {""}
    page = Path("out", "report.html").read_text()
    retrieval = page.partition("<h2>Retrieval</h2>")[2].partition("</dl>")[0]
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", retrieval))
    assert tiles == {"expected": "24", "received": "23", "missing": "0", "refused": "1", "series": "6",
                     "of them whole": "5"}  # fmt: skip
    assert "<b>1</b> retrieve: refused (0xC123)" in page
    archive.fault = lambda request, meant: None
    run(config)
    assert told()[series] is None
    page = Path("out", "report.html").read_text()
    assert "refused (0xC123)" not in page
    assert "<dt>received</dt><dd>24</dd>" in page


def test_received_folder_beside_others(archive: Archive) -> None:
    disk = Path("disk")
    disk.mkdir()
    (disk / "a.dcm").write_bytes(make_instance(0, 0, 99, name="disk").data)
    archive.fault = refusing({archive.instances[0].uid}, 0xC123)
    summary = run(Config.from_mapping(document() | {"dicom": {"dir": "disk"}}))
    assert (summary.found, summary.exported) == (24, 24)
    [row] = table("unreadable_files.csv")
    assert row["file"].startswith("incoming/2.25.")
    assert Path("incoming", row["file"].removeprefix("incoming/")).parent.is_dir()


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_cohort_comes_back_with_what_became_of_each_row(archive: Archive, group: str) -> None:
    archive.fault = refusing({archive.instances[0].uid}, 0xC123)
    study = archive.instances[8].attributes["StudyInstanceUID"]
    rows = ["Accession Number;StudyInstanceUID;#who", "ACC0;;a", "NONE;;b", f";{study};c", ";;d", "ACC2;;e", "ACC2;;f"]
    Path("cohort.csv").write_text("\n".join([*rows, ";1.2.x;g"]))
    summary = run(Config.from_mapping(document(list="cohort.csv", query=None) | {"dicom": {"group": group}}))
    check(summary)
    back = table("cohort.csv")
    assert [row["#who"] for row in back] == list("abcdefg")
    numbers = [[row[name] for name in ("line", "found", "expected", "received", "exported")] for row in back]
    assert numbers == [
        ["2", "1", "8", "7", "7"],
        ["3", "0", "0", "0", "0"],
        ["4", "1", "8", "8", "8"],
        ["5", "0", "0", "0", "0"],
        ["6", "1", "8", "8", "8"],
        ["7", "1", "8", "8", "8"],
        ["8", "0", "0", "0", "0"],
    ]
    reasons = [row["reason"] for row in back]
    assert reasons[0] == "1 instances are missing: see unreadable_files.csv"
    assert reasons[1].startswith("no match")
    assert reasons[2] == reasons[4] == ""
    assert reasons[3] == "wrong value: holds no value"
    assert reasons[5] == "the same request as line 6"
    assert reasons[6] == "wrong value: StudyInstanceUID: is no UID: digits and dots, 64 characters at most"
    assert summary.exit_code == 3
    assert [row["file"] for row in table("unreadable_files.csv")][1:] == [f"pacs.list, line {n}" for n in (3, 5, 8)]


KINDS = {
    # kind of row -> (accession number, study date), what becomes of it
    "found": (("ACC{n}", ""), ""),
    "none": (("GONE{n}", ""), "no match"),
    "several": (("TWIN", ""), "2 studies match"),
    "empty": (("", ""), "holds no value"),
    "date": (("ACC{n}", "1.1.2024"), "StudyDate: is no date"),
    "long": (("A" * 17, ""), "has more than 16 characters"),
    "rounded": (("1.2E+11", ""), "was rounded by a spreadsheet"),
    "backslash": (("A\\B", ""), "holds a backslash"),
    "universal": (("*", ""), "it would match the whole archive"),
    "control": (("A\x01B", ""), "holds a control character"),
    "quote": (('"ACC{n}', ""), "a quote is not closed"),
    "cells": (("ACC{n},x", "y"), "cells for"),
    "other": (("ACC{n}", "20200101"), "no match"),
}


def test_cohort_of_200_rows_with_every_kind_of_bad_row(archive: Archive) -> None:
    archive.instances = [make_instance(n, 0, study) for study in range(20) for n in range(2)]
    archive.instances += [make_instance(0, 0, study, AccessionNumber="TWIN") for study in (50, 51)]
    written, expected = ["AccessionNumber,StudyDate,#kind"], []
    for number in range(200):
        kind = list(KINDS)[number % len(KINDS)]
        (accession, date), reason = KINDS[kind]
        written.append(f"{accession.format(n=number % 20)},{date},{kind}")
        expected.append((kind, reason))
    Path("cohort.csv").write_bytes("\n".join(written).encode())
    summary = run(Config.from_mapping(document(list="cohort.csv", query=None)))
    check(summary)
    back = table("cohort.csv")
    assert len(back) == 200
    for number, (row, (kind, reason)) in enumerate(zip(back, expected, strict=True)):
        assert row["line"] == str(number + 2)
        assert reason in row["reason"], (kind, row)
        good = {"found": ("1", "2"), "several": ("2", "2")}.get(kind, ("0", "0"))
        assert (row["found"], row["expected"]) == good, (kind, row)
        assert row["received"] == row["exported"] == row["expected"]
    assert set(archive.sent.values()) == {1}
    counts = summary.retrieval
    assert counts is not None
    assert counts.requests == 200
    assert counts.unanswered == sum(kind not in ("found", "several") for kind, _ in expected)
    assert summary.exported == counts.received == len(archive.sent)


def test_select_saves_what_it_would_leave_out(archive: Archive) -> None:
    archive.instances.append(make_instance(0, 9, 0, Modality="SR"))
    summary = run(Config.from_mapping(document() | {"select": {"modality": ["CT"]}}))
    check(summary)
    assert archive.instances[-1].uid not in archive.sent
    assert summary.found == 24


def test_status_tells_both_halves(archive: Archive) -> None:
    archive.fault = refusing({archive.instances[0].uid}, 0xC123)
    config = Config.from_mapping(document())
    summary = run(config)
    status = read_status(config)
    assert status.summary is not None
    assert status.summary.retrieval == summary.retrieval
    told = " ".join(status_table(status, "dme c.yml").split())
    assert "in PACS 24 instances" in told
    assert "missing 1 1 refused (0xC123)" in told
    assert "found 23 files" in told


def test_command_tells_both_halves_and_no_identifiers(
    archive: Archive, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    archive.fault = refusing({archive.instances[0].uid}, 0xC123)
    Path("cohort.csv").write_text("AccessionNumber\nACC0\nSECRET7\n")
    text = "output: {dir: out}\nmetadata:\npacs: {host: pacs, port: 104, list: cohort.csv}\nnum_workers: 0\n"
    Path("c.yml").write_text(text)
    assert main(["c.yml", "-v"]) == 3
    told = capsys.readouterr()
    assert "in PACS" in told.out
    assert "received           7" in told.out
    assert "refused (0xC123)" in told.out
    assert "request: no match" in told.out
    heard = told.out + told.err + Path("out", "run.log").read_text() + caplog.text
    for secret in ("ACC0", "SECRET7", "QUICK", "Test^"):
        assert secret not in heard


def test_interrupted_retrieval_is_an_interrupted_run(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    archive.before_send = lambda instance: signal.raise_signal(signal.SIGINT) if len(archive.sent) == 3 else None
    monkeypatch.setattr("crawler.pacs.retrieval._TICK", 0.001)
    config = Config.from_mapping(document(associations=1, rate=50))
    summary = run(config)
    assert summary.interrupted
    assert summary.exit_code == 130
    archive.before_send = lambda instance: None
    again = run(Config.from_mapping(document()))
    check(again)
    assert again.exit_code == 0
    assert set(archive.sent.values()) == {1}


def test_server_that_answers_nothing_leaves_what_is_here(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Config.from_mapping(document()))
    monkeypatch.setattr("crawler.pacs.pauses.WAITS", ())

    def gone(level: str, keys: object) -> None:
        from crawler.errors import RequestError

        raise RequestError("connection refused", "dropped")

    archive.find_fault = gone
    monkeypatch.setattr("crawler.pacs.pauses.Pauses.sleep", lambda self, seconds: None)
    summary = run(Config.from_mapping(document()))
    assert (summary.found, summary.exported, summary.exit_code) == (24, 24, 3)
    [row] = table("unreadable_files.csv")
    assert row == {
        "file": "pacs.query",
        "stage": "retrieve",
        "reason": "request: the server failed it",
        "detail": "connection refused",
    }
    assert summary.retrieval is not None
    assert (summary.retrieval.found, summary.retrieval.others) == (0, 24)


def test_list_that_cohort_csv_would_write_over_is_refused(archive: Archive) -> None:
    Path("out").mkdir()
    Path("out", "cohort.csv").write_text("PatientID\nP0\n")
    with pytest.raises(ConfigError, match=r"pacs\.list = .*lies where cohort\.csv is written"):
        Config.from_mapping(document(list="out/cohort.csv", query=None))


def test_server_is_made_of_section_and_environment(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_USER", "me")
    monkeypatch.setenv("PACS_PASSWORD", "secret")
    config = Config.from_mapping(
        document(called_aet="THEM", calling_port=11112, timeouts={"idle": 5}, tls={"ca": "ca.pem"})
    )
    server = retrieving.server_of(config)
    assert (server.host, server.port, server.called_aet, server.calling_aet) == ("pacs", 104, "THEM", "DME")
    assert (server.timeouts.connect, server.timeouts.idle, server.timeouts.total) == (10, 5, None)
    assert server.tls is not None
    assert server.tls.ca == Path.cwd() / "ca.pem"
    assert server.user == ("me", "secret")
    assert "secret" not in repr(server) + repr(config) + config.text


def test_address_in_the_place_of_a_folder(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Server] = []
    monkeypatch.setattr(retrieving, "open_finder", lambda server: asked.append(server) or FakeFinder(archive))
    study = archive.instances[0].attributes["StudyInstanceUID"]
    made = {
        "num_workers": 0,
        "output": {"dir": "out"},
        "metadata": {},
        "dicom": {"dir": f"dicom://host:4242/AET/{study}"},
    }
    summary = run(Config.from_mapping(made))
    assert (summary.found, summary.exported) == (8, 8)
    assert (asked[0].host, asked[0].port, asked[0].called_aet) == ("host", 4242, "AET")


def stubborn(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer]:
    """A server that claims success and sends nothing."""
    return [], Answer("get", "complete", 0, len(meant), 0)


def test_claimed_success_is_not_believed(archive: Archive) -> None:
    archive.fault = stubborn
    summary = run(Config.from_mapping(document()))
    check(summary)
    assert (summary.found, summary.exit_code) == (0, 3)
    assert {row["reason"] for row in table("unreadable_files.csv")} == {"missing"}


def test_dry_run_asks_and_transfers_a_probe_at_most(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cohort.csv").write_text("AccessionNumber\nACC0\nNONE\nA\\B\n")
    Path("c.yml").write_text("output: {dir: out}\npacs: {host: pacs, port: 104, list: cohort.csv}\nnum_workers: 0\n")
    assert main(["c.yml", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "8 instances of 2 series, 1 studies; 0 of them are here" in told
    assert "1  no match" in told
    assert "1  wrong value" in told
    assert "ACC0" not in told
    size = size_text(8 * len(archive.instances[0].data))
    assert f"8 instances, about {size} and 1 s, by a probe of 1 instance" in told
    [probe] = archive.requests
    assert len(probe.instance_uids) == 1
    assert {path.name for path in Path.cwd().iterdir()} == {"cohort.csv", "c.yml"}
    assert main(["c.yml", "-q"]) == 3
    assert main(["c.yml", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "8 of them are here" in told
    assert "0 instances, nothing to transfer" in told
    assert len(archive.requests) == 1 + len({one.attributes["SeriesInstanceUID"] for one in archive.instances[:8]})
    assert "found" in told


@pytest.mark.parametrize("how", ["not listed", "refused", "broken"])
def test_dry_run_says_what_it_cannot_know(archive: Archive, capsys: pytest.CaptureFixture[str], how: str) -> None:
    archive.lists = how != "not listed"

    def fault(request: Request, meant: list[Instance]) -> Any:
        if how == "broken":
            raise PacsError("pacs.calling_port: cannot listen")
        return [], Answer("get", "refused", 0xA900, reason="the server answers 0xA900")

    archive.fault = fault
    Path("c.yml").write_text("output: {dir: out}\npacs: {host: pacs, port: 104, query: {PatientID: P1}}\n")
    assert main(["c.yml", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "8 instances of 2 series, 1 studies" in told
    reason = {"not listed": "lists no instances", "refused": "0xA900", "broken": "cannot listen"}[how]
    assert "8 instances, of unknown size and time (" in told
    assert reason in told.partition("unknown size and time (")[2].partition(")")[0]

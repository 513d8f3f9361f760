"""Whole runs against real servers: Orthanc by every way, and dcmqrscp, which lists less; equal to a run from disk."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from support.pacs_servers import ENVIRONMENT, dcmqrscp, orthanc

from crawler.config.loader import Config
from crawler.engine import overlap
from crawler.engine.interrupts import Stop
from crawler.engine.run import run
from crawler.errors import PacsError
from crawler.pacs.model import Server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def files(dicom_files: list[Path]) -> dict[str, Path]:
    """Real files by SOP Instance UID: one of each instance, those that any PACS can keep."""
    found: dict[str, Path] = {}
    for path in dicom_files:
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            uids = [dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.SOPClassUID]
            known = bool(dataset.file_meta.TransferSyntaxUID) and bool(dataset.PatientID)
        except Exception:
            continue
        if all(uids) and known:
            found.setdefault(str(dataset.SOPInstanceUID), path)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]) -> Iterator[Server]:
    """Orthanc with these files; those that it does not take are not part of what is expected."""
    with orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        base = str(started.url).removesuffix("/dicom-web")
        for path in files.values():
            request = urllib.request.Request(f"{base}/instances", data=path.read_bytes(), method="POST")
            try:
                urllib.request.urlopen(request).close()
            except OSError:
                continue
        yield started


def held(server: Server) -> set[str]:
    base = str(server.url).removesuffix("/dicom-web")
    with urllib.request.urlopen(f"{base}/instances?expand") as answer:
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in json.load(answer)}


def document(server: Server, **pacs: Any) -> dict[str, Any]:
    section = {
        "host": server.host,
        "port": server.port or None,
        "called_aet": server.called_aet,
        "calling_port": server.calling_port,
        "url": server.url,
        "query": {"PatientID": "?*"},
        "settle": 0,
        **pacs,
    }
    section = {key: value for key, value in section.items() if value is not None}
    return {"num_workers": 0, "output": {"dir": "out", "report": False}, "metadata": {}, "pacs": section}


def rows(out: Path) -> dict[str, dict[str, Any]]:
    lines = (json.loads(line) for line in (out / "metadata.jsonl").read_text("utf-8").splitlines())
    return {row["SOPInstanceUID"]: row for row in lines}


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Rows without what says where a file lies and who wrote its file meta information."""
    of_place = ("dicom_file", "scan_id", "outcome", "stage", "reason", "media", "volume", "DataSetTrailingPadding")
    of_writer = ("ImplementationClassUID", "ImplementationVersionName", "SourceApplicationEntityTitle", "FileMeta")
    more = ("MediaStorage", "SendingApplication", "ReceivingApplication", "PrivateInformation")
    dropped = (*of_place, *of_writer, *more)
    return {
        uid: {key: value for key, value in row.items() if not key.startswith(dropped) and not key.endswith(",0000)")}
        for uid, row in rows(out).items()
    }


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    keys = ours.keys() | theirs.keys()
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def compared_with_disk(server: Server, files: dict[str, Path], expected: set[str]) -> dict[str, dict[str, Any]]:
    """Name of a file -> what differs between its record by way of the PACS, and straight from the disk."""
    disk = Path("disk")
    disk.mkdir()
    for uid in expected:
        (disk / f"{uid}.dcm").symlink_to(files[uid])
    straight = document(server) | {"dicom": {"dir": "disk"}, "output": {"dir": "straight", "report": False}}
    del straight["pacs"]
    run(Config.from_mapping(straight))
    ours, theirs = records(Path("out")), records(Path("straight"))
    assert ours.keys() == theirs.keys() == expected
    return {files[uid].name: differences(ours[uid], theirs[uid]) for uid in ours if ours[uid] != theirs[uid]}


@pytest.mark.parametrize("retrieve", ["get", "move", "web", "auto"])
def test_orthanc_gives_back_every_file_as_it_was(
    server: Server, files: dict[str, Path], retrieve: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = held(server)
    assert len(expected) > 100
    summary = run(Config.from_mapping(document(server, retrieve=retrieve)))
    counts = summary.retrieval
    assert counts is not None
    received = {path.stem: path for path in Path("incoming").rglob("*.dcm")}
    lost = expected - received.keys()
    # explicit_VR-UN.dcm lies about its VRs, and Orthanc cannot send it over DIMSE: it fails getscu, too (0xC000).
    assert {files[uid].name for uid in lost} <= ({"explicit_VR-UN.dcm"} if retrieve in ("get", "move") else set())
    assert (counts.found, counts.received, counts.duplicates) == (len(expected), len(received), 0)
    assert sum(counts.failed.values()) == len(lost)
    assert summary.found == len(received)
    assert summary.exit_code == (3 if lost or summary.failed else 0)
    expected -= lost
    assert received.keys() == expected
    for uid, path in received.items():
        before, after = (pydicom.filereader.read_file_meta_info(one) for one in (files[uid], path))
        assert before.TransferSyntaxUID == after.TransferSyntaxUID
    different = compared_with_disk(server, files, expected)
    if retrieve != "web":  # compressed pixel data are OB (PS3.5 A.4); over DIMSE Orthanc mends what says OW
        mended = {"PixelData": ({"vr": "OB", "length": None}, {"vr": "OW", "length": None})}
        different = {name: found for name, found in different.items() if found != mended}
    assert different == {}


def test_second_run_transfers_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.from_mapping(document(server, query={"ModalitiesInStudy": ["CT", "MR"]}))
    first = run(config)
    monkeypatch.setattr("crawler.pacs.get.GetTransport.fetch", None)  # to call it would be an error
    again = run(config)
    assert first.retrieval == again.retrieval
    assert again.handled == 0
    assert first.found == first.retrieval.received > 10  # type: ignore[union-attr]


def test_asynchronous_move_loses_nothing(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SynchronousCMove: false`: the server says "completed" long before."""
    monkeypatch.chdir(tmp_path)
    with orthanc(tmp_path / "server", SynchronousCMove=False) as started:
        base = str(started.url).removesuffix("/dicom-web")
        for path in list(files.values())[:60]:
            request = urllib.request.Request(f"{base}/instances", data=path.read_bytes(), method="POST")
            try:
                urllib.request.urlopen(request).close()
            except OSError:
                continue
        expected = held(started)
        summary = run(Config.from_mapping(document(started, retrieve="move", level="study")))
    assert summary.retrieval is not None
    assert summary.retrieval.failed == {}
    assert summary.found == summary.retrieval.received == len(expected) > 20


@pytest.mark.parametrize("retrieve", ["get", "move"])
def test_dcmqrscp(files: dict[str, Path], retrieve: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells no counts, keeps uncompressed files only, and answers at image level."""
    import subprocess

    monkeypatch.chdir(tmp_path)
    with dcmqrscp(tmp_path / "server") as started:
        port = str(started.port)
        sent = Counter[str]()
        for uid, path in files.items():
            syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
            if syntax.is_compressed or syntax.is_deflated or not syntax.is_little_endian:
                continue
            command = ["storescu", "-aec", "DCMQR", "127.0.0.1", port, path]
            if subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False).returncode == 0:
                sent[uid] += 1
        summary = run(Config.from_mapping(document(started, retrieve=retrieve)))
    assert summary.retrieval is not None
    assert summary.retrieval.failed == {}
    assert {path.stem for path in Path("incoming").rglob("*.dcm")} == sent.keys()
    assert summary.found == summary.retrieval.received == len(sent) > 10
    # storescu proposes Explicit VR first, and converts Implicit VR when it sends; the retrieval changes nothing.
    different = compared_with_disk(started, files, set(sent))
    assert {name: found for name, found in different.items() if found.keys() != {"TransferSyntaxUID"}} == {}


def test_exporting_begins_while_retrieving_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With workers the retrieval is a process of its own; the result is that of a run that does one after the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(overlap, "_LEAST", 0.0)
    monkeypatch.setattr(overlap, "_REST", 0.0)
    passes: list[int] = []
    of_pass = overlap.Overlap._pass

    def counted(self: overlap.Overlap, helper: Any) -> None:
        of_pass(self, helper)
        passes.append(self.handled)

    monkeypatch.setattr(overlap.Overlap, "_pass", counted)
    both = run(Config.from_mapping(document(server, rate=60) | {"num_workers": 1}))
    assert passes
    assert passes[0] < both.found, "the first pass saw a part of what came"
    assert both.handled == both.found == both.listed
    straight = document(server, dir="again") | {"output": {"dir": "straight", "report": False}}
    after = run(Config.from_mapping(straight))
    assert both.retrieval == after.retrieval
    assert (both.found, both.exported, both.failed, both.scans) == (
        after.found,
        after.exported,
        after.failed,
        after.scans,
    )
    assert sorted(map(str, rows(Path("out")).items())) == sorted(map(str, rows(Path("straight")).items()))


def test_helper_ends_with_the_run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the server reaches the caller as it is; a wish to stop ends both processes."""
    monkeypatch.chdir(tmp_path)
    broken = document(server, host="no.such.host.invalid", url=None, calling_port=None, retrieve="get")
    with pytest.raises(PacsError):
        run(Config.from_mapping(broken | {"num_workers": 1, "output": {"dir": "none"}}))
    stop = Stop()
    monkeypatch.setattr("crawler.engine.run.interrupts", lambda: contextlib.nullcontext(stop))
    taken = overlap.Overlap._take

    def take(self: overlap.Overlap, event: dict[str, Any]) -> None:
        taken(self, event)
        if event.get("standing", {}).get("received", 0) >= 5:
            stop.set()

    monkeypatch.setattr(overlap.Overlap, "_take", take)
    config = Config.from_mapping(document(server, rate=10) | {"num_workers": 1})
    summary = run(config)
    assert summary.interrupted
    assert summary.retrieval is not None
    assert 5 <= summary.retrieval.received < summary.retrieval.found
    stop.clear()
    monkeypatch.setattr(overlap.Overlap, "_take", taken)
    again = run(Config.from_mapping(document(server) | {"num_workers": 1}))
    assert again.retrieval is not None
    assert again.retrieval.failed == {}
    assert again.found == again.retrieval.received

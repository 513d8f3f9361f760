"""Real servers: all of pydicom's files through Orthanc and dcmqrscp, by every way, byte for byte."""

from __future__ import annotations

import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from support.factories import quick_dataset, save
from support.pacs_servers import ENVIRONMENT, dcmqrscp, orthanc

from crawler.errors import NotDicom
from crawler.pacs.model import Answer, Received, Request, Server, Transport
from crawler.pacs.send import Sent, outgoing, send
from crawler.pacs.transports import Way, open_channel, open_finder, open_transport

pytestmark = pytest.mark.system

PADDING = 0xFFFCFFFC
UNCOMPRESSED = {f"1.2.840.10008.1.2{rest}" for rest in ("", ".1", ".2")}


@dataclass
class Holding:
    """A server and what it was given: by SOP instance UID, the file."""

    server: Server
    files: dict[str, Path]


def unique_files(dicom_files: list[Path]) -> dict[str, Path]:
    """One file for each SOP instance UID of pydicom's data folder.

    One is left out: its UIDs have the VR UN, so that dcmtk does not see them, and announces none.
    """
    found: dict[str, Path] = {}
    for path in dicom_files:
        if path.name == "explicit_VR-UN.dcm":
            continue
        try:
            one = outgoing(str(path), lambda path=path: path.open("rb"))  # type: ignore[misc]
        except NotDicom:
            continue
        if one.whole:
            found.setdefault(one.sop_uid, path)
    return found


def send_all(server: Server, files: dict[str, Path], *, web: bool = False) -> list[Sent]:
    instances = [outgoing(uid, lambda path=path: path.open("rb")) for uid, path in files.items()]  # type: ignore[misc]
    with closing(open_channel(server, web=web)) as channel:
        return list(send(instances, channel, threading.Event()))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.pacs.send._PAUSE", 0.01)


@pytest.fixture(scope="module")
def full_orthanc(dicom_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holding]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        assert server.url is not None
        held: dict[str, Path] = {}
        for uid, path in unique_files(dicom_files).items():
            rest = f"{server.url.removesuffix('/dicom-web')}/instances"
            request = urllib.request.Request(rest, path.read_bytes(), {"Expect": ""})
            try:
                with urllib.request.urlopen(request) as response:
                    response.read()
            except urllib.error.HTTPError:
                continue  # without patient or study: Orthanc takes none of those
            held[uid] = path
        assert len(held) > 110
        yield Holding(server, held)


@pytest.fixture(scope="module")
def full_dcmqrscp(dicom_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holding]:
    with dcmqrscp(tmp_path_factory.mktemp("dcmqrscp") / "server") as server:
        files = unique_files(dicom_files)
        results = send_all(server, files)
        held = {one.sop_uid: files[one.sop_uid] for one in results if one.outcome == "stored"}
        assert len(held) > 70
        refused = [one for one in results if one.outcome != "stored"]
        assert {one.outcome for one in refused} == {"refused"}
        assert any("transfer syntax" in one.reason for one in refused), "it takes uncompressed ones alone"
        yield Holding(server, held)


def studies(server: Server, *, web: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    """Studies of a server, and the SOP classes in each as far as it tells."""
    classes: dict[str, set[str]] = {}
    with closing(open_finder(server, web=web)) as finder:
        for match in finder.find("image", {}):
            classes.setdefault(str(match["StudyInstanceUID"]), set()).add(str(match.get("SOPClassUID", "")))
    return [(study, tuple(sorted(found - {""}))) for study, found in classes.items()]


def fetch_all(transport: Transport, temp: Path, wanted: list[tuple[str, tuple[str, ...]]]) -> dict[str, Received]:
    received: dict[str, Received] = {}
    lock = threading.Lock()

    def deliver(one: Received) -> None:
        uid = outgoing("", lambda: one.path.open("rb")).sop_uid  # file meta information may differ
        with lock:
            assert uid not in received
            received[uid] = one

    for study, classes in wanted:
        answer: Answer = transport.fetch(Request(study, sop_classes=classes), temp, deliver, threading.Event())
        assert answer.ok, answer
    return received


def dataset_of(path: Path) -> bytes:
    one = outgoing("", lambda: path.open("rb"))
    return path.read_bytes()[one.offset :]


def elements(path: Path) -> list[tuple[int, object]]:
    """Tags and values, but for the trailing padding and group lengths, which dcmtk drops when it sends.

    Nor VRs: it writes OB where a file has OW with encapsulated pixel data.
    """
    return _values(pydicom.dcmread(path))


def _values(dataset: Dataset) -> list[tuple[int, object]]:
    return [
        (element.tag, [_values(item) for item in element.value] if element.VR == "SQ" else element.value)
        for element in dataset
        if element.tag != PADDING and element.tag.element
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["get", "move", "web"])
def test_all_come_back_from_orthanc_as_they_are(full_orthanc: Holding, tmp_path: Path, way: Way) -> None:
    with closing(open_transport(way, full_orthanc.server)) as transport:
        received = fetch_all(transport, tmp_path, studies(full_orthanc.server, web=way == "web"))
    assert received.keys() == full_orthanc.files.keys()
    equal = 0
    for uid, one in received.items():
        path = full_orthanc.files[uid]
        assert one.transfer_syntax == outgoing("", lambda path=path: path.open("rb")).transfer_syntax  # type: ignore[misc]
        if way == "web":
            assert one.path.read_bytes() == path.read_bytes()
        equal += dataset_of(one.path) == dataset_of(path)
        assert elements(one.path) == elements(path), path.name
    assert equal > 100, "most have no padding and no group lengths, and are equal byte for byte"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["get", "move"])
def test_all_come_back_from_dcmqrscp_as_they_are(full_dcmqrscp: Holding, tmp_path: Path, way: Way) -> None:
    with closing(open_transport(way, full_dcmqrscp.server)) as transport:
        received = fetch_all(transport, tmp_path, studies(full_dcmqrscp.server))
    assert received.keys() == full_dcmqrscp.files.keys()
    for uid, one in received.items():
        assert one.transfer_syntax in UNCOMPRESSED
        path = full_dcmqrscp.files[uid]
        if way == "get" and one.transfer_syntax == outgoing("", lambda path=path: path.open("rb")).transfer_syntax:  # type: ignore[misc]
            assert elements(one.path) == elements(path), path.name


@pytest.mark.filterwarnings("ignore")
def test_datasets_are_those_that_getscu_gets(full_orthanc: Holding, tmp_path: Path) -> None:
    """dcmtk's bit-preserving mode is the oracle: whatever the server sends is what we store."""
    wanted = [one for one in studies(full_orthanc.server) if len(one[1]) == 1][:12]
    with closing(open_transport("get", full_orthanc.server)) as transport:
        received = fetch_all(transport, tmp_path, wanted)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for study, _ in wanted:
        subprocess.run(
            ["getscu", "+B", "-aec", "ORTHANC", "-S", "-k", "QueryRetrieveLevel=STUDY",
             "-k", f"StudyInstanceUID={study}", "-od", theirs, "127.0.0.1", str(full_orthanc.server.port)],
            env=ENVIRONMENT, check=False, capture_output=True,
        )  # fmt: skip
    compared = 0
    for path in theirs.iterdir():
        one = outgoing("", lambda path=path: path.open("rb"))  # type: ignore[misc]
        mine = received[one.sop_uid]
        if mine.transfer_syntax == one.transfer_syntax:  # getscu proposes one context for several syntaxes
            assert dataset_of(mine.path) == dataset_of(path)
            compared += 1
    assert compared > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("web", [False, True], ids=["C-STORE", "STOW-RS"])
def test_what_is_sent_is_what_orthanc_holds(dicom_files: list[Path], tmp_path: Path, web: bool) -> None:
    with orthanc(tmp_path / "server") as server:
        files = unique_files(dicom_files)
        results = send_all(server, files, web=web)
        stored = {one.sop_uid for one in results if one.outcome == "stored"}
        with closing(open_finder(server)) as finder:
            assert {match["SOPInstanceUID"] for match in finder.find("image", {})} == stored
        assert len(results) == len(files)
        assert len(stored) > 105
        assert all(one.reason and one.status != 0 for one in results if one.outcome != "stored")


def test_completed_too_early_loses_nothing(tmp_path: Path) -> None:
    """Orthanc with SynchronousCMove false says "100 completed" when one has arrived."""
    for n in range(100):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{n}", InstanceNumber=n), tmp_path / "in" / f"{n}.dcm")
    files = {f"1.2.3.{n}": tmp_path / "in" / f"{n}.dcm" for n in range(100)}
    with orthanc(tmp_path / "server", SynchronousCMove=False) as server:
        assert {one.outcome for one in send_all(server, files)} == {"stored"}
        temp = tmp_path / "out"
        temp.mkdir()
        with closing(open_transport("move", server)) as transport:
            received = fetch_all(transport, temp, studies(server))
    assert received.keys() == files.keys()


@pytest.mark.parametrize("name", ["orthanc", "dcmqrscp"])
def test_faults_of_real_servers(tmp_path: Path, name: str) -> None:
    """A study that is not there, and a destination that the server does not know or cannot reach."""
    start: Callable[[Path], object] = {"orthanc": orthanc, "dcmqrscp": dcmqrscp}[name]
    files = {"1.2.3": save(quick_dataset(SOPInstanceUID="1.2.3"), tmp_path / "one.dcm")}
    with start(tmp_path / "server") as server:  # type: ignore[attr-defined]
        assert [one.outcome for one in send_all(server, files)] == ["stored"]
        ways: list[Way] = ["get", "move", "web"] if server.url else ["get", "move"]
        for way in ways:
            with closing(open_transport(way, server)) as transport:
                answer = transport.fetch(Request("1.2.999"), tmp_path, lambda _: None, threading.Event())
            assert not answer.ok
            assert answer.received == 0
            assert answer.reason
    assert {path.name for path in tmp_path.iterdir()} == {"one.dcm", "server"}


def test_memory_does_not_grow_with_an_instance(tmp_path: Path) -> None:
    """An instance of 150 MB passes through a process that holds some 1 MB of it."""
    path = tmp_path / "large.dcm"
    dataset = quick_dataset(SOPInstanceUID="1.2.3", Rows=7_500, Columns=10_000)
    dataset.PixelData = bytes(2)
    with path.open("wb") as stream:
        dataset.save_as(stream, enforce_file_format=True)
    content = path.read_bytes()
    assert content.endswith(b"OW\0\0\x02\0\0\0\0\0")
    with path.open("wb") as stream:
        stream.write(content[:-6] + (150_000_000).to_bytes(4, "little"))
        stream.truncate(len(content) - 2 + 150_000_000)
    program = """
import resource, sys, threading
from pathlib import Path
from crawler.pacs.model import Request, Server, Timeouts
from crawler.pacs.transports import open_transport
port, way, temp, url, calling = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
server = Server("127.0.0.1", port, "ORTHANC", "DME", calling, url, timeouts=Timeouts(idle=120))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
transport = open_transport(way, server)
sizes = []
request = Request(sys.argv[6], sop_classes=("1.2.840.10008.5.1.4.1.1.2",))
answer = transport.fetch(request, temp, lambda one: (sizes.append(one.size), one.path.unlink()), threading.Event())
transport.close()
assert answer.ok, answer
print(sizes[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    with orthanc(tmp_path / "server") as server:
        assert [one.outcome for one in send_all(server, {"1.2.3": path})] == ["stored"]
        for way in ("get", "move", "web"):
            arguments = [server.port, way, tmp_path, server.url, server.calling_port, dataset.StudyInstanceUID]
            run = subprocess.run(
                [os.sys.executable, "-c", program, *map(str, arguments)],  # type: ignore[attr-defined]
                capture_output=True,
                text=True,
                check=False,
            )
            assert not run.returncode, run.stderr
            size, grown = map(int, run.stdout.split())
            assert size > 150_000_000
            assert grown < 40_000, f"{way}: {grown} kB"

"""C-MOVE to a receiver of ours: matching, waiting, refusing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from support.factories import make_uid, quick_dataset
from support.fake_pacs import LONG, fake_pacs, reply, scripted
from support.pacs_servers import free_port

from crawler.errors import PacsError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association, Discarded
from crawler.pacs.command import Command
from crawler.pacs.model import Answer, Late, Received, Request, Server, Timeouts
from crawler.pacs.move import MoveTransport
from crawler.pacs.negotiation import associate
from crawler.pacs.receiver import Receiver

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
STUDY = make_uid("study")
REQUEST = Request(STUDY, make_uid("series"))


@contextmanager
def moving(server: Server, late: Late | None = None) -> Iterator[MoveTransport]:
    transport = MoveTransport(server, late)
    try:
        yield transport
    finally:
        transport.close()


def push(port: int, instances: dict[str, int | None], title: str = "DME", originator: str = "DME") -> list[int | None]:
    """Send instances to a receiver, as a server does: UID -> Message ID of the C-MOVE; the statuses of the answers."""
    server = Server("127.0.0.1", port, title, "FAKE", timeouts=LONG)
    association = associate(server, [(CT, [EXPLICIT])], threading.Event())
    try:
        context = association.context_for(CT)
        assert context is not None
        statuses = []
        for uid, message in instances.items():
            command = Command(
                dimse.STORE,
                CT,
                association.next_message(),
                priority=0,
                data=dimse.WITH_DATA,
                sop_uid=uid,
                originator=None if message is None else originator,
                originator_message=message,
            )
            study = STUDY.encode() + b"\0" * (len(STUDY) % 2)
            association.send(context.number, command, b"\x20\0\x0d\0UI" + len(study).to_bytes(2, "little") + study)
            answer = association.read(lambda *_: Discarded())
            assert answer is not None
            statuses.append(answer[1].status)
    finally:
        association.release()
    return statuses


def test_instances_come_as_they_are(tmp_path: Path) -> None:
    datasets = [quick_dataset(SOPInstanceUID=make_uid(n), InstanceNumber=n) for n in range(5)]
    port = free_port()
    received: list[Received] = []
    with fake_pacs(datasets, calling_port=port) as server, moving(server) as transport:
        answer = transport.fetch(REQUEST, tmp_path, received.append, threading.Event())
    assert answer == Answer("move", "complete", 0, 5, 0, 0, 5)
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in datasets}
    assert {one.sop_uid for one in received} == by_uid.keys()
    assert all(pydicom.dcmread(one.path) == by_uid[one.sop_uid] for one in received)


def test_several_at_once_get_their_own(tmp_path: Path) -> None:
    datasets = [
        quick_dataset(SOPInstanceUID=make_uid(study, n), StudyInstanceUID=make_uid(study))
        for study in range(3)
        for n in range(4)
    ]
    port = free_port()
    received: dict[int, list[Received]] = {study: [] for study in range(3)}
    answers: list[Answer] = []
    with fake_pacs(datasets, calling_port=port, maximum_associations=20) as server, moving(server) as transport:

        def fetch(study: int) -> None:
            request = Request(make_uid(study))
            answers.append(transport.fetch(request, tmp_path, received[study].append, threading.Event()))

        threads = [threading.Thread(target=fetch, args=(study,)) for study in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answer.outcome for answer in answers] == ["complete"] * 3
    for study, got in received.items():
        assert {one.sop_uid for one in got} == {make_uid(study, n) for n in range(4)}


def test_completed_too_early_is_waited_for(tmp_path: Path) -> None:
    """As Orthanc says with SynchronousCMove false: its answer comes before its instances."""
    port = free_port()
    senders: list[threading.Thread] = []

    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, 0, completed=3, failed=0, warning=0))
        sender = threading.Thread(target=push, args=(port, {f"1.{n}": command.message for n in range(3)}))
        senders.append(sender)
        sender.start()

    received: list[Received] = []
    with scripted(script, LONG, calling_port=port) as server, moving(server) as transport:
        answer = transport.fetch(REQUEST, tmp_path, received.append, threading.Event())
        for sender in senders:
            sender.join()
    assert (answer.outcome, answer.received) == ("complete", 3)
    assert len(received) == 3


@pytest.mark.parametrize(
    ("status", "counts", "outcome"),
    [
        (0x0000, {"completed": 3, "failed": 0}, "partial"),
        (0xA702, {"completed": 0, "failed": 3}, "busy"),
        (0xA801, {}, "refused"),
        (0xB000, {"completed": 0, "failed": 3}, "partial"),
        (0xC000, {}, "failed"),
    ],
)
def test_what_never_comes_is_not_waited_for_without_end(
    tmp_path: Path, status: int, counts: dict[str, int], outcome: str
) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, status, **counts))

    with scripted(script, calling_port=0) as server, moving(server) as transport:
        answer = transport.fetch(REQUEST, tmp_path, lambda _: None, threading.Event())
    assert (answer.outcome, answer.status, answer.received) == (outcome, status, 0)
    assert answer.reason


def test_instances_that_arrive_are_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may say nothing over the association that asked while it sends."""
    port = free_port()
    now = [1000.0]
    for module in ("wire", "retrieve", "receiver", "move"):
        monkeypatch.setattr(f"crawler.pacs.{module}.monotonic", lambda: now[0])

    def script(association: Association, number: int, command: Command) -> None:
        for n in range(6):
            now[0] += 25
            push(port, {f"1.{n}": command.message})
        association.send(number, reply(command, 0, completed=6, failed=0))

    with scripted(script, Timeouts(idle=30), calling_port=port) as server, moving(server) as transport:
        answer = transport.fetch(REQUEST, tmp_path, lambda _: None, threading.Event())
    assert (answer.outcome, answer.received) == ("complete", 6)


def test_silence_and_stop_end_it(tmp_path: Path) -> None:
    commands: list[int] = []

    def script(association: Association, number: int, command: Command) -> None:
        commands.append(command.field)

    with scripted(script, calling_port=0) as server, moving(server) as transport:
        answer = transport.fetch(REQUEST, tmp_path, lambda _: None, threading.Event())
        stop = threading.Event()
        stop.set()
        stopped = transport.fetch(REQUEST, tmp_path, lambda _: None, stop)
    assert answer.outcome == "silent"
    assert stopped.outcome == "stopped"
    assert commands[:2] == [dimse.MOVE, dimse.CANCEL], "the server is asked to send no more"


def test_what_comes_late_is_handed_over_or_turned_down(tmp_path: Path) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, 0, completed=0, failed=0))

    late: list[Received] = []

    def wanted(one: Received) -> bool:
        late.append(one)
        return True

    takers: list[Late | None] = [wanted, lambda _: False, None]
    for taker in takers:
        with scripted(script, calling_port=0) as server, moving(server, taker) as transport:
            transport.fetch(REQUEST, tmp_path, lambda _: None, threading.Event())
            statuses = push(transport.receiver.port, {"1.2": 1})
        assert statuses == ([0] if taker is wanted else [0xA700])
    assert [one.sop_uid for one in late] == ["1.2"]
    assert list(tmp_path.iterdir()) == [late[0].path]


@pytest.mark.parametrize("named", [True, False], ids=["by UID", "by study"])
def test_a_server_that_names_no_move_is_understood(tmp_path: Path, named: bool) -> None:
    port = free_port()

    def script(association: Association, number: int, command: Command) -> None:
        push(port, {"1.5": None})
        association.send(number, reply(command, 0, completed=1, failed=0))

    request = replace(REQUEST, instance_uids=("1.5",)) if named else REQUEST
    received: list[Received] = []
    with scripted(script, LONG, calling_port=port) as server, moving(server) as transport:
        answer = transport.fetch(request, tmp_path, received.append, threading.Event())
    assert answer.ok
    assert [one.sop_uid for one in received] == ["1.5"]


def test_an_error_of_the_taker_is_raised(tmp_path: Path) -> None:
    port = free_port()

    def script(association: Association, number: int, command: Command) -> None:
        push(port, {"1.5": command.message})

    def take(_: Received) -> None:
        raise PacsError("no room")

    with (
        scripted(script, calling_port=port) as server,
        moving(server) as transport,
        pytest.raises(PacsError, match="no room"),
    ):
        transport.fetch(REQUEST, tmp_path, take, threading.Event())
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PacsError, match="calling_port"):
        MoveTransport(Server("127.0.0.1", 1, calling_port=other.getsockname()[1]))


# -- the receiver alone ---------------------------------------------------------------------------------------------


@contextmanager
def receiving(
    folder: Path, received: list[Received], notes: list[str], timeouts: Timeouts = LONG
) -> Iterator[Receiver]:
    def take(one: Received, _: object) -> bool:
        received.append(one)
        return True

    receiver = Receiver(Server("127.0.0.1", 0, timeouts=timeouts), lambda _: folder, take, notes.append)
    try:
        yield receiver
    finally:
        receiver.close()


def test_receiver_takes_what_pynetdicom_sends(tmp_path: Path) -> None:
    dataset = quick_dataset()
    received: list[Received] = []
    with receiving(tmp_path, received, []) as receiver:
        ae = AE("ANY")
        ae.add_requested_context("1.2.840.10008.1.1")
        ae.add_requested_context("1.2.840.10008.5.1.4.1.2.2.1")
        ae.add_requested_context(CT, EXPLICIT)
        association = ae.associate("127.0.0.1", receiver.port, ae_title="DME")
        assert [context.abstract_syntax for context in association.accepted_contexts] == ["1.2.840.10008.1.1", CT]
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(dataset).Status == 0
        association.release()
    (one,) = received
    assert pydicom.dcmread(one.path) == dataset


def test_receiver_rejects_who_calls_another_title(tmp_path: Path) -> None:
    notes: list[str] = []
    with receiving(tmp_path, [], notes) as receiver, pytest.raises(PacsError, match="called AE title"):
        push(receiver.port, {"1.2": None}, title="OTHER")
    for _ in range(1000):  # the receiver tells of it after it answered
        if notes:
            break
        time.sleep(0.01)
    assert notes == ["a caller was rejected: it called another AE title"]


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x01\0\0\0\0\x44" + bytes(68), b"\x01\0\xff\xff\xff\xff", b"\x01\0\0\0\0\x02ab"],
)
def test_receiver_survives_nonsense(tmp_path: Path, sent: bytes) -> None:
    received: list[Received] = []
    with receiving(tmp_path, received, [], Timeouts(idle=0.2)) as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port)) as sock:
            sock.sendall(sent)
        assert push(receiver.port, {"1.2": None}) == [0]
    assert len(received) == 1


def test_receiver_removes_what_is_cut_off(tmp_path: Path) -> None:
    class Notes(list[str]):
        told = threading.Event()

        def append(self, text: str) -> None:
            super().append(text)
            self.told.set()

    notes = Notes()
    with receiving(tmp_path, [], notes) as receiver:
        server = Server("127.0.0.1", receiver.port, "DME", timeouts=LONG)
        association = associate(server, [(CT, [EXPLICIT])], threading.Event())
        command = Command(dimse.STORE, CT, 1, priority=0, data=dimse.WITH_DATA, sop_uid="1.2")
        association.send_stream(1, command, iter([memoryview(b"x" * 100), memoryview(b"y" * 100)]), 200)
        assert association.read(lambda *_: Discarded()) is not None
        half = iter([memoryview(b"x" * 100)])
        with pytest.raises(Exception, match="changed"):
            association.send_stream(1, command, half, 200)
        association.abort()
        assert notes.told.wait(30)
    assert notes == ["the other side aborted the association"]
    assert len(list(tmp_path.iterdir())) == 1

"""C-GET against a server that behaves, and against one that does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
import xxhash
from pydicom.uid import JPEG2000Lossless, RLELossless
from support.factories import make_uid, quick_dataset
from support.fake_pacs import SHORT, Script, fake_pacs, reply, scripted, store

from crawler.errors import PacsError, RequestError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association
from crawler.pacs.command import Command
from crawler.pacs.get import GetTransport
from crawler.pacs.model import Answer, Received, Request, Server, Timeouts

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY = make_uid("study")
SERIES = make_uid("series")
REQUEST = Request(STUDY, SERIES, sop_classes=(CT,))


def fetch(
    server: Server, temp: Path, request: Request = REQUEST, stop: threading.Event | None = None
) -> tuple[Answer, list[Received]]:
    """The answer and what came."""
    received: list[Received] = []
    answer = GetTransport(server).fetch(request, temp, received.append, stop or threading.Event())
    return answer, received


def left(temp: Path, received: list[Received]) -> set[str]:
    """Files that nobody was given."""
    return {path.name for path in temp.iterdir()} - {one.path.name for one in received}


def test_instances_come_as_they_are(tmp_path: Path) -> None:
    datasets = [quick_dataset(SOPInstanceUID=make_uid(n), InstanceNumber=n) for n in range(5)]
    with fake_pacs(datasets) as server:
        answer, received = fetch(server, tmp_path)
    assert answer == Answer("get", "complete", 0, 5, 0, 0, 5)
    assert {one.sop_uid for one in received} == {dataset.SOPInstanceUID for dataset in datasets}
    for one, dataset in zip(received, datasets, strict=True):
        content = one.path.read_bytes()
        assert (one.size, one.xxh3) == (len(content), xxhash.xxh3_64(content).hexdigest())
        assert one.transfer_syntax == dataset.file_meta.TransferSyntaxUID
        assert pydicom.dcmread(one.path) == dataset
        assert one.seconds >= 0


def test_only_the_instances_that_are_named_come(tmp_path: Path) -> None:
    datasets = [quick_dataset(SOPInstanceUID=make_uid(n)) for n in range(5)]
    wanted = (make_uid(1), make_uid(3))
    with fake_pacs(datasets) as server:
        answer, received = fetch(server, tmp_path, replace(REQUEST, instance_uids=wanted))
    assert answer.ok
    assert {one.sop_uid for one in received} == set(wanted)


def test_lists_of_instances_are_asked_for_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.pacs.get.CHUNK", 2)
    datasets = [quick_dataset(SOPInstanceUID=make_uid(n)) for n in range(5)]
    wanted = tuple(make_uid(n) for n in range(5))
    with fake_pacs(datasets) as server:
        answer, received = fetch(server, tmp_path, replace(REQUEST, instance_uids=wanted))
    assert answer == Answer("get", "complete", 0, 5, 0, 0, 5)
    assert len(received) == 5


def test_classes_that_no_one_named_are_found(tmp_path: Path) -> None:
    """By associations of their own, since the first one has no room for them."""
    raw = "1.2.840.10008.5.1.4.1.1.66"
    datasets = [quick_dataset(SOPInstanceUID=make_uid(n), SOPClassUID=sop) for n, sop in enumerate([CT, raw, MR])]
    with fake_pacs(datasets) as server:
        answer, received = fetch(server, tmp_path, Request(STUDY))
    assert (answer.outcome, answer.received) == ("complete", 3)
    assert sorted(one.sop_class for one in received) == sorted([CT, raw, MR])


def test_compressed_instances_keep_their_syntax(tmp_path: Path) -> None:
    path = pydicom.data.get_testdata_file("MR_small_RLE.dcm", read=False)
    jpeg = pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm", read=False)
    datasets = [pydicom.dcmread(path), pydicom.dcmread(jpeg)]
    datasets[1].SOPInstanceUID = datasets[1].file_meta.MediaStorageSOPInstanceUID = make_uid("other")
    for dataset in datasets:
        dataset.StudyInstanceUID = STUDY
    with fake_pacs(datasets) as server:
        answer, received = fetch(server, tmp_path, Request(STUDY, sop_classes=(MR,)))
    assert answer.ok
    assert [one.transfer_syntax for one in received] == [RLELossless, JPEG2000Lossless]
    assert all(pydicom.dcmread(one.path) == dataset for one, dataset in zip(received, datasets, strict=True))


# -- faults ---------------------------------------------------------------------------------------------------------


def final(status: int, sent: int = 0, **counts: int) -> Script:
    """A server that sends some instances and ends with a status."""

    def script(association: Association, number: int, command: Command) -> None:
        for n in range(sent):
            assert store(association, CT, make_uid(n)) == 0
        association.send(number, reply(command, status, **counts))

    return script


@pytest.mark.parametrize(
    ("status", "sent", "counts", "outcome", "reason"),
    [
        (0x0000, 2, {"completed": 2, "failed": 0}, "complete", ""),
        (0x0000, 2, {"completed": 2, "failed": 3}, "partial", "success, although 3 sub-operations failed"),
        (0x0000, 1, {"completed": 3, "failed": 0}, "partial", "says that 3 were sent, and 1 arrived"),
        (0x0000, 0, {"completed": 0, "failed": 0}, "partial", "nothing arrived"),
        (0xA700, 0, {}, "busy", "0xA700 (out of resources)"),
        (0xA702, 1, {"completed": 1, "failed": 4}, "busy", "0xA702"),
        (0xB000, 2, {"completed": 2, "failed": 1}, "partial", "0xB000 (sub-operations failed)"),
        (0xA900, 0, {}, "refused", "0xA900"),
        (0xC000, 0, {}, "failed", "0xC000"),
    ],
)
def test_the_last_word_is_weighed_against_what_came(
    tmp_path: Path, status: int, sent: int, counts: dict[str, int], outcome: str, reason: str
) -> None:
    with scripted(final(status, sent, **counts)) as server:
        answer, received = fetch(server, tmp_path)
    assert (answer.outcome, answer.status, answer.received) == (outcome, status, sent)
    assert reason in answer.reason
    assert bool(reason) == bool(answer.reason)
    assert answer.completed == counts.get("completed")
    assert len(received) == sent
    assert not left(tmp_path, received)


def ends(how: Callable[[Association, int, Command], None]) -> Script:
    """A server that sends one instance, begins another one, and then does something else."""

    def script(association: Association, number: int, command: Command) -> None:
        store(association, CT, make_uid(0))
        context = association.context_for(CT)
        assert context is not None
        whole = Command(dimse.STORE, CT, 78, priority=0, data=dimse.WITH_DATA, sop_uid=make_uid(1))
        with suppress(RequestError):
            association.send_stream(
                context.number, whole, iter([memoryview(b"x" * 100)]), 100 + 1
            )  # without its last fragment
        how(association, number, command)

    return script


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        (lambda association, *_: association.wire.close(), "dropped"),
        (lambda association, *_: association.abort(), "dropped"),
        (lambda association, *_: association.release(), "dropped"),
        (lambda *_: None, "silent"),
        (lambda association, *_: association.wire.send(b"\x09\0\0\0\0\x04abcd"), "failed"),
        (lambda association, *_: association.wire.send(b"\x04\0\0\0\0\x06\0\0\0\x10\x03\0"), "failed"),
        (lambda association, number, command: association.send(number, reply(command, 0)), "failed"),
    ],
    ids=["closed", "aborted", "released", "silent", "unknown PDU", "wrong length", "a response inside a dataset"],
)
def test_an_exchange_that_breaks_is_named_and_leaves_nothing(tmp_path: Path, how: Script, outcome: str) -> None:
    with scripted(ends(how)) as server:
        answer, received = fetch(server, tmp_path)
    assert (answer.outcome, answer.received, answer.status) == (outcome, 1, None)
    assert answer.again
    assert answer.reason
    assert [one.sop_uid for one in received] == [make_uid(0)]
    assert not left(tmp_path, received)


def test_pending_without_end_is_not_waited_for(tmp_path: Path) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        while True:
            association.send(number, reply(command, dimse.PENDING, remaining=5, completed=0, failed=0, warning=0))

    with scripted(script, Timeouts(idle=0.5)) as server:  # a busy machine sends nothing for some 0.02 s
        answer, _ = fetch(server, tmp_path)
    assert (answer.outcome, answer.received) == ("silent", 0)
    assert "says pending" in answer.reason


def test_the_total_time_is_bounded_when_it_is_given(tmp_path: Path) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        for n in range(1 << 20):
            association.send(number, reply(command, dimse.PENDING, remaining=n % 60000))

    with scripted(script, Timeouts(idle=30, total=0.3)) as server:
        answer, _ = fetch(server, tmp_path)
    assert answer.outcome == "silent"
    assert "timeouts.total" in answer.reason


def test_slow_instances_are_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The idle time begins anew with each byte, so an exchange may take many times as long."""
    now = [1000.0]
    for module in ("wire", "retrieve"):
        monkeypatch.setattr(f"crawler.pacs.{module}.monotonic", lambda: now[0])

    def script(association: Association, number: int, command: Command) -> None:
        for n in range(8):
            now[0] += 25
            store(association, CT, make_uid(n))  # waits for the answer, so that no two waits run together
        association.send(number, reply(command, 0, completed=8, failed=0))

    with scripted(script, Timeouts(idle=30)) as server:
        answer, _ = fetch(server, tmp_path)
    assert (answer.outcome, answer.received) == ("complete", 8)


def test_stop_ends_it(tmp_path: Path) -> None:
    stop = threading.Event()

    def script(association: Association, number: int, command: Command) -> None:
        stop.set()

    with scripted(script, Timeouts(idle=600)) as server:
        answer, _ = fetch(server, tmp_path, stop=stop)
    assert answer.outcome == "stopped"


def test_duplicates_and_other_uids_are_handed_over(tmp_path: Path) -> None:
    """They are for the manifest to judge."""

    def script(association: Association, number: int, command: Command) -> None:
        for uid in ("1.2.3", "1.2.3", "../../etc", ""):
            store(association, CT, uid)
        association.send(number, reply(command, 0, completed=4, failed=0))

    with scripted(script) as server:
        answer, received = fetch(server, tmp_path)
    assert answer.received == 4
    assert [one.sop_uid for one in received] == ["1.2.3", "1.2.3", "../../etc", ""]
    assert len({one.path for one in received}) == 4
    assert all(one.path.parent == tmp_path for one in received)


def test_contexts_that_are_refused_for_no_lasting_reason_get_their_own_association(tmp_path: Path) -> None:
    """Some servers take one context a SOP class: the others are asked for apart."""
    calls: list[list[str]] = []
    refuse = {RLELossless: 2}

    def script(association: Association, number: int, command: Command) -> None:
        calls.append([context.syntaxes[0] for context in association.contexts.values()])
        first = len(calls) == 1
        for uid in ["1.1"] if first else ["1.1", "1.2"]:  # what came before is sent again, converted perhaps
            store(association, CT, uid)
        refuse.clear()
        sent = {"completed": 1, "failed": 1} if first else {"completed": 2, "failed": 0}
        association.send(number, reply(command, 0xB000 if first else 0, **sent))

    with scripted(script, refuse=refuse) as server:
        answer, received = fetch(server, tmp_path)
    assert len(calls) == 2
    assert calls[1][1:] == [RLELossless]
    assert (answer.outcome, answer.completed, answer.failed, answer.received) == ("complete", 2, 0, 2)
    assert [one.sop_uid for one in received] == ["1.1", "1.2"]
    assert not left(tmp_path, received)


def test_contexts_that_stay_refused_are_named(tmp_path: Path) -> None:
    with scripted(final(0xB000, 1, completed=1, failed=1), refuse={RLELossless: 2}) as server:
        answer, received = fetch(server, tmp_path)
    assert (answer.outcome, answer.status, answer.received) == ("partial", 0xB000, 1)
    assert {(one.kind, one.syntax, one.code) for one in answer.refused} == {("context", RLELossless, 2)}
    assert len(received) == 1


def test_a_server_that_accepts_no_class_is_named(tmp_path: Path) -> None:
    with scripted(final(0), refuse={CT: 3}) as server:
        answer, _ = fetch(server, tmp_path)
    assert (answer.outcome, answer.again) == ("refused", False)
    assert "none of the SOP classes" in answer.reason
    assert {one.uid for one in answer.refused} == {CT}


def test_a_server_without_get_is_named(tmp_path: Path) -> None:
    with scripted(final(0), refuse={"1.2.840.10008.5.1.4.1.2.2.3": 3}) as server:
        answer, _ = fetch(server, tmp_path)
    assert (answer.outcome, answer.reason) == ("refused", "the server does not support C-GET")


def test_a_server_that_is_away_is_dropped(tmp_path: Path) -> None:
    with scripted(final(0)) as server:
        pass
    answer, _ = fetch(server, tmp_path)
    assert (answer.outcome, answer.again) == ("dropped", True)


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ({"called_aet": "OTHER"}, {"require_called_aet": True}, r"called_aet.*called AE title not recognised"),
        ({"calling_aet": "OTHER"}, {"require_calling_aet": ["DME"]}, r"calling_aet.*calling AE title not"),
        ({"host": "no-such-host.invalid"}, {}, r"pacs\.host: no such host"),
    ],
)
def test_wrong_settings_stop_it(tmp_path: Path, change: dict[str, str], options: dict[str, object], match: str) -> None:
    with fake_pacs(**options) as server, pytest.raises(PacsError, match=match):
        fetch(replace(server, **change), tmp_path)


def test_an_error_of_the_taker_ends_it(tmp_path: Path) -> None:
    def take(_: Received) -> None:
        raise RuntimeError("disk")

    with scripted(final(0, 1, completed=1)) as server, pytest.raises(RuntimeError, match="disk"):
        GetTransport(replace(server, timeouts=SHORT)).fetch(REQUEST, tmp_path, take, threading.Event())
    assert not list(tmp_path.iterdir())

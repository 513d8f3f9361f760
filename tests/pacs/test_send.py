"""C-STORE as SCU: a result for each instance, original bytes, retries."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, evt
from support.factories import make_uid, quick_dataset, save
from support.fake_pacs import LONG, SHORT, Script, reply, scripted

from crawler.errors import NotDicom, PacsError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association
from crawler.pacs.command import Command
from crawler.pacs.model import Received, Server
from crawler.pacs.receiver import Receiver
from crawler.pacs.send import Outgoing, Sent, Verdict, outgoing, send, send_over
from crawler.pacs.store import StoreScu

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.pacs.send._PAUSE", 0.01)


def instance(content: bytes, name: str = "one") -> Outgoing:
    return outgoing(name, lambda: BytesIO(content))


def ct(n: int = 0, **keywords: Any) -> Outgoing:
    stream = BytesIO()
    quick_dataset(SOPInstanceUID=make_uid(n), **keywords).save_as(stream, enforce_file_format=True)
    return instance(stream.getvalue(), f"file {n}")


def sent(server: Server, instances: Iterable[Outgoing], stop: threading.Event | None = None) -> list[Sent]:
    with closing(StoreScu(server)) as channel:
        return list(send(instances, channel, stop or threading.Event(), attempts=3))


def answering(*statuses: int) -> tuple[Script, list[str]]:
    """A server that answers with these statuses in turn, the last one for ever."""
    asked: list[str] = []

    def script(association: Association, number: int, command: Command) -> None:
        asked.append(command.sop_uid or "")
        association.send(number, reply(command, statuses[min(len(asked), len(statuses)) - 1]))

    return script, asked


def test_pynetdicom_gets_what_is_sent(tmp_path: Path) -> None:
    paths = [pydicom.data.get_testdata_file(name, read=False) for name in ("CT_small.dcm", "MR_small_jp2klossless.dcm")]
    got: dict[str, tuple[str, bytes]] = {}

    def on_store(event: Any) -> int:
        got[event.request.AffectedSOPInstanceUID] = event.context.transfer_syntax, event.request.DataSet.getvalue()
        return 0

    ae = AE("FAKE")
    ae.add_supported_context(CT, ["1.2.840.10008.1.2.1"])
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.4", [JPEG2000Lossless])
    listener = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    try:
        server = Server("127.0.0.1", listener.socket.getsockname()[1], "FAKE", timeouts=LONG)
        files = [instance(Path(path).read_bytes()) for path in paths]
        assert [one.outcome for one in sent(server, files)] == ["stored", "stored"]
    finally:
        listener.shutdown()
    for path, one in zip(paths, files, strict=True):
        assert got[one.sop_uid] == (one.transfer_syntax, Path(path).read_bytes()[one.offset :])


def test_several_associations_share_the_files(tmp_path: Path) -> None:
    """Each file goes once, whichever association takes it; all of them work at the same time."""
    received: list[str] = []
    callers: set[int] = set()
    together = threading.Barrier(3, timeout=30)

    def take(one: Received, _: object) -> bool:
        first = threading.get_ident() not in callers
        callers.add(threading.get_ident())
        received.append(one.sop_uid)
        one.path.unlink()
        if first:
            together.wait()  # until the other associations have got one, too
        return True

    files = [ct(n) for n in range(100)]
    receiver = Receiver(Server("127.0.0.1", 0, timeouts=LONG), lambda _: tmp_path, take)
    server = Server("127.0.0.1", receiver.port, "DME", timeouts=LONG)
    channels = [StoreScu(server) for _ in range(3)]
    try:
        results = list(send_over(files, channels, threading.Event()))
    finally:
        for channel in channels:
            channel.close()
        receiver.close()
    assert sorted(received) == sorted(one.sop_uid for one in files)
    assert sorted(one.sop_uid for one in results) == sorted(received)
    assert {one.outcome for one in results} == {"stored"}
    assert len(callers) == 3


def test_wrong_settings_end_all_associations() -> None:
    class Wrong:
        def prepare(self, instances: list[Outgoing]) -> None:
            """Nothing is agreed upon."""

        def store(self, instance: Outgoing, stop: threading.Event) -> Verdict:
            raise PacsError("wrong")

        def close(self) -> None:
            """Nothing is open."""

    with pytest.raises(PacsError, match="wrong"):
        list(send_over((ct(n) for n in range(1000)), [Wrong(), Wrong()], threading.Event()))
    stopped = threading.Event()
    stopped.set()
    results = list(send_over([ct(n) for n in range(50)], [Wrong(), Wrong()], stopped))
    assert [one.outcome for one in results] == ["unsent"] * 50


def test_our_receiver_gets_what_is_sent(tmp_path: Path) -> None:
    received: dict[str, Received] = {}

    def take(one: Received, _: object) -> bool:
        received[one.sop_uid] = one
        return True

    files = [ct(n, ImageComments="x" * n * 1000) for n in range(20)]
    receiver = Receiver(Server("127.0.0.1", 0, timeouts=LONG), lambda _: tmp_path, take)
    try:
        results = sent(Server("127.0.0.1", receiver.port, "DME", timeouts=LONG), files)
    finally:
        receiver.close()
    assert [(one.name, one.outcome, one.attempts, one.status) for one in results] == [
        (f"file {n}", "stored", 1, 0) for n in range(20)
    ]
    for one in files:
        assert received[one.sop_uid].path.read_bytes().endswith(one.open().read()[one.offset :])


@pytest.mark.parametrize(
    ("statuses", "outcome", "attempts"),
    [
        ([0x0000], "stored", 1),
        ([0xB000], "warning", 1),
        ([0xB007], "warning", 1),
        ([0xA900], "refused", 1),
        ([0xC123], "refused", 1),
        ([0x0122], "refused", 1),
        ([0xA700, 0xA700, 0x0000], "stored", 3),
        ([0xA700], "failed", 3),
    ],
)
def test_statuses(statuses: list[int], outcome: str, attempts: int) -> None:
    script, asked = answering(*statuses)
    with scripted(script, LONG) as server:
        results = sent(server, [ct()])
    assert [(one.outcome, one.status, one.attempts) for one in results] == [(outcome, statuses[-1], attempts)]
    assert len(asked) == attempts
    assert bool(results[0].reason) == (outcome != "stored")


def test_one_that_fails_does_not_end_the_others() -> None:
    script, _ = answering(0, 0xA900, 0)
    with scripted(script, LONG) as server:
        results = sent(server, [ct(n) for n in range(3)])
    assert [one.outcome for one in results] == ["stored", "refused", "stored"]


def test_a_context_that_is_refused_is_named() -> None:
    script, asked = answering(0)
    with scripted(script, LONG, refuse={CT: 3}) as server:
        results = sent(server, [ct(0), ct(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.4")])
    assert [one.outcome for one in results] == ["refused", "stored"]
    assert "does not accept this SOP class in this transfer syntax" in results[0].reason
    assert asked == [make_uid(1)]


def test_an_association_that_breaks_is_opened_again() -> None:
    calls: list[int] = []

    def script(association: Association, number: int, command: Command) -> None:
        calls.append(number)
        if len(calls) == 2:
            association.wire.close()
        else:
            association.send(number, reply(command, 0))

    with scripted(script, LONG) as server:
        results = sent(server, [ct(n) for n in range(3)])
    assert [(one.outcome, one.attempts) for one in results] == [("stored", 1), ("stored", 2), ("stored", 1)]


def test_a_server_that_is_silent_or_away_fails_them() -> None:
    with scripted(lambda *_: None, SHORT) as server:
        (one,) = sent(server, [ct()])
        assert (one.outcome, one.status, one.attempts) == ("failed", None, 3)
        assert "timeouts.idle" in one.reason
    results = sent(server, [ct(n) for n in range(5)])
    assert [one.outcome for one in results] == ["failed"] * 5
    assert [one.attempts for one in results] == [3, 3, 1, 1, 1], "nobody is there: the others are tried once"


def test_stop_leaves_the_others_unsent() -> None:
    stop = threading.Event()

    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, 0))
        stop.set()

    with scripted(script, LONG) as server:
        results = sent(server, [ct(n) for n in range(3)], stop)
    assert results[0].outcome in {"stored", "unsent"}
    assert [one.outcome for one in results[1:]] == ["unsent"] * 2


def test_wrong_titles_stop_it() -> None:
    ae = AE("FAKE")
    ae.require_called_aet = True
    ae.add_supported_context(CT)
    listener = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        server = Server("127.0.0.1", listener.socket.getsockname()[1], "OTHER", timeouts=LONG)
        with pytest.raises(PacsError, match="called_aet"):
            sent(server, [ct()])
    finally:
        listener.shutdown()


def test_more_classes_than_one_association_has_contexts_for() -> None:
    script, asked = answering(0)
    files = [ct(n, SOPClassUID=f"1.2.3.{n}") for n in range(150)]
    with scripted(script, LONG) as server:
        results = sent(server, files)
    assert {one.outcome for one in results} == {"stored"}
    assert asked == [one.sop_uid for one in files]


def test_small_pdus_of_the_server_are_respected() -> None:
    """Fragments have an even length, and the last one says so."""
    lengths: list[int] = []

    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, dimse.SUCCESS))

    with scripted(script, LONG) as server, closing(StoreScu(server)) as channel:
        channel.prepare([one := ct(ImageComments="x" * 5000)])
        association = channel._opened((one.sop_class, one.transfer_syntax), threading.Event())
        association._max_sent = 129
        send_bytes = association.wire.send
        association.wire.send = lambda data: (lengths.append(len(data)), send_bytes(data))[1]  # type: ignore[method-assign]
        (result,) = send([one], channel, threading.Event())
    assert result.outcome == "stored"
    assert max(lengths[1:]) <= 129 + 6
    assert all(length % 2 == 0 for length in lengths[1:])


# -- what files say of themselves -----------------------------------------------------------------------------------


def test_a_dataset_without_meta_says_what_it_is(tmp_path: Path) -> None:
    dataset = quick_dataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    content = save(dataset, tmp_path / "one.dcm").read_bytes()
    bare = content[instance(content).offset :]
    found = instance(bare)
    assert (found.sop_uid, found.sop_class) == (dataset.SOPInstanceUID, dataset.SOPClassUID)
    assert (found.transfer_syntax, found.offset, found.whole) == (ImplicitVRLittleEndian, 0, False)
    group_2 = instance(content[132:])
    assert (group_2.sop_uid, group_2.transfer_syntax) == (dataset.SOPInstanceUID, ImplicitVRLittleEndian)
    assert (content[132:][group_2.offset :], group_2.whole) == (bare, False)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all" * 100, bytes(200)])
def test_what_is_no_dicom(content: bytes) -> None:
    with pytest.raises(NotDicom):
        instance(content)


def test_a_dicomdir_is_no_instance() -> None:
    path = Path(pydicom.data.get_testdata_file("DICOMDIR", read=False))
    with pytest.raises(NotDicom, match="DICOMDIR"):
        outgoing("x", lambda: path.open("rb"))


def test_a_file_that_changes_meanwhile_is_not_stored(tmp_path: Path) -> None:
    path = save(quick_dataset(), tmp_path / "one.dcm")
    one = outgoing("one", lambda: path.open("rb"))
    script, asked = answering(0)
    with scripted(script, LONG) as server:
        (result,) = sent(server, [replace(one, size=one.size + 10)])
    assert result.outcome == "failed"
    assert "changed" in result.reason
    assert not asked

"""Servers whose bytes are unusual and right, and such that are wrong: fragments, lengths, commands, syntaxes, UIDs."""

from __future__ import annotations

import random
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from support.archive import Archive, FakeFinder, make_instance
from support.factories import quick_dataset
from support.fake_pacs import LONG, SHORT, Script, fake_pacs, reply, scripted

from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs import pdu
from crawler.pacs.association import Association, Discarded, Target
from crawler.pacs.cfind import FindScu
from crawler.pacs.command import Command
from crawler.pacs.fetching import Transports
from crawler.pacs.find import SearchFinder
from crawler.pacs.get import GetTransport
from crawler.pacs.manifest import open_manifest
from crawler.pacs.model import Answer, Match, Received, Request, Server, Timeouts
from crawler.pacs.part10 import read_meta
from crawler.pacs.pauses import Pauses
from crawler.pacs.pdu import Context
from crawler.pacs.retrieval import Retrieval
from crawler.pacs.storing import StoreScp
from crawler.pacs.wanted import Ask
from crawler.pacs.wire import Wire

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{rest}" for rest in ("", ".1", ".2", ".1.99"))
INSTANCE = make_instance(0)


def encoded(dataset: Dataset, syntax: str) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT, syntax != BIG
    write_dataset(out, dataset)
    return bytes(out.getvalue())


DATASET = encoded(pydicom.dcmread(BytesIO(INSTANCE.data)), IMPLICIT)


def pdv(context: int, flags: int, content: bytes) -> bytes:
    return struct.pack(">IBB", len(content) + 2, context, flags) + content


def unit(*pdvs: bytes, length: int | None = None) -> bytes:
    body = b"".join(pdvs)
    return pdu.HEADER.pack(pdu.DATA, len(body) if length is None else length) + body


def request(uid: str = INSTANCE.uid, data: int = dimse.WITH_DATA) -> bytes:
    return dimse.encode(Command(dimse.STORE, CT, 77, priority=0, data=data, sop_uid=uid))


def sends(*pieces: Callable[[int], bytes], each: int = 0) -> Script:
    """A server that sends bytes, and ends a C-GET as if one instance had been sent; `each`: bytes a packet."""

    def script(association: Association, number: int, command: Command) -> None:
        if command.field != dimse.GET:
            return
        context = association.context_for(CT, IMPLICIT)
        assert context is not None
        final = dimse.encode(reply(command, 0, completed=1, failed=0, warning=0))
        content = b"".join(piece(context.number) for piece in pieces) + unit(pdv(number, 3, final))
        for at in range(0, len(content), each or len(content)):
            association.wire.send(content[at : at + (each or len(content))])

    return script


def fetch(server: Server, temp: Path) -> tuple[Answer, list[Received]]:
    received: list[Received] = []
    temp.mkdir(exist_ok=True)
    asked = Request(INSTANCE.attributes["StudyInstanceUID"], sop_classes=(CT,))
    answer = GetTransport(server).fetch(asked, temp, received.append, threading.Event())
    return answer, received


def dataset_of(one: Received) -> bytes:
    content = one.path.read_bytes()
    meta = read_meta(content)
    assert meta is not None
    assert meta.transfer_syntax == IMPLICIT
    return content[meta.end :]


HALF = len(DATASET) // 2


@pytest.mark.parametrize(
    ("pieces", "each"),
    [
        ([lambda n: unit(pdv(n, 3, request()), pdv(n, 2, DATASET))], 0),
        ([lambda n: unit(pdv(n, 3, request()), pdv(n, 2, DATASET))], 1),
        ([lambda n: unit(pdv(n, 3, request())), lambda n: unit(pdv(n, 2, DATASET))], 1),
        ([lambda n: unit(pdv(n, 3, request())), lambda n: unit(pdv(n, 0, DATASET)), lambda n: unit(pdv(n, 2, b""))], 0),
        (
            [
                lambda n: unit(pdv(n, 1, b""), pdv(n, 1, request()[:7]), pdv(n, 3, request()[7:])),
                lambda n: unit(pdv(n, 0, b""), pdv(n, 0, DATASET[:1]), pdv(n, 0, DATASET[1:HALF])),
                lambda n: unit() + unit(pdv(n, 2, DATASET[HALF:])),
            ],
            5,
        ),
        ([lambda n: unit(pdv(n, 3, request()))]
         + [lambda n, at=at: unit(pdv(n, 2 * (at + 1 == len(DATASET)), DATASET[at : at + 1]))  # type: ignore[misc]
            for at in range(len(DATASET))], 0),
    ],
    ids=["one unit", "one unit, byte by byte", "byte by byte", "empty last fragment", "odd fragments", "bytes alone"],
)  # fmt: skip
def test_fragments_of_any_size_make_the_same_file(
    tmp_path: Path, pieces: list[Callable[[int], bytes]], each: int
) -> None:
    with scripted(sends(*pieces, each=each), LONG) as server:
        answer, received = fetch(server, tmp_path)
    assert (answer.outcome, answer.received, answer.reason) == ("complete", 1, "")
    assert [dataset_of(one) for one in received] == [DATASET]


@pytest.mark.parametrize(
    ("piece", "outcome"),
    [
        (lambda n: unit(pdv(n, 3, request())) + unit(pdv(n, 2, DATASET), length=0xFFFFFFFF), "silent"),
        (lambda n: unit(pdv(n, 3, request())) + unit(struct.pack(">IBB", 0xFFFFFFFF, n, 0), length=6), "failed"),
        (lambda n: unit(pdv(n, 3, request())) + unit(struct.pack(">IBB", 1, n, 0)), "failed"),
        (lambda n: unit(pdv(n, 3, request())) + unit(b"\0\0\0"), "failed"),
        (lambda n: unit(pdv(n, 2, DATASET)), "failed"),
        (lambda n: unit(pdv(n, 1, bytes(1 << 16))) + unit(pdv(n, 3, b"x")), "failed"),
        (lambda n: unit(pdv(n, 3, b"no command set")), "failed"),
        (lambda n: unit(pdv(n, 3, request())) + unit(pdv(n + 2, 2, DATASET)), "failed"),
        (lambda n: pdu.HEADER.pack(pdu.REQUEST, 0xFFFFFFF0), "failed"),
        (lambda n: unit(pdv(n, 3, request())) + pdu.encode_end(pdu.ABORT, 2, 1), "dropped"),
        (lambda n: pdu.encode_end(pdu.RELEASE), "dropped"),
    ],
    ids=["huge unit", "huge fragment", "fragment of length 1", "half a header", "data without command",
         "endless command", "no command", "another context", "huge A-ASSOCIATE", "A-ABORT", "A-RELEASE"],
)  # fmt: skip
def test_wrong_lengths_and_orders_end_the_exchange_with_a_reason(
    tmp_path: Path, piece: Callable[[int], bytes], outcome: str
) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        if command.field != dimse.GET:
            return
        context = association.context_for(CT, IMPLICIT)
        assert context is not None
        association.wire.send(piece(context.number))

    with scripted(script, Timeouts(connect=10, idle=0.3)) as server:
        answer, received = fetch(server, tmp_path)
    assert answer.outcome == outcome
    assert answer.reason
    # What came whole before the fault is kept; nothing half is left.
    assert answer.received == len(received) == (1 if outcome == "silent" else 0)
    assert list(tmp_path.iterdir()) == [one.path for one in received]


@pytest.mark.parametrize("field", [0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, dimse.ECHO, dimse.FIND])
@pytest.mark.parametrize("data", [b"", b"\x08\0\x16\0\x04\0\0\x001.2\0"])
def test_requests_that_nobody_waits_for_are_answered_and_do_no_harm(tmp_path: Path, field: int, data: bytes) -> None:
    answers: list[Command] = []

    def script(association: Association, number: int, command: Command) -> None:
        if command.field & dimse.RESPONSE:
            answers.append(command)
            return
        event = Command(field, "1.2.840.10008.1.20.1", 9, data=dimse.WITH_DATA if data else dimse.NO_DATA)
        association.send(number, event, data)
        if command.field == dimse.GET:
            sends(lambda n: unit(pdv(n, 3, request()), pdv(n, 2, DATASET)))(association, number, command)
        else:
            association.send(number, reply(command, 0))

    with scripted(script, LONG) as server:
        answer, received = fetch(server, tmp_path)
        with closing(FindScu(server)) as finder:
            assert list(finder.ask("study", {"PatientID": "1"})) == []
    assert answer.ok
    assert len(received) == 1
    statuses = {one.status for one in answers if one.field == field | dimse.RESPONSE}
    assert statuses == {0 if field == dimse.ECHO else 0x0211}
    assert {one.message for one in answers if one.field == field | dimse.RESPONSE} == {9}


# -- transfer syntaxes that were not agreed upon --------------------------------------------------------------------


def retrieved(root: Path, script: Script, timeouts: Timeouts = LONG) -> dict[str, tuple[str, str]]:
    """SOP Instance UID -> (outcome, reason), of a retrieval of one series of one instance."""
    with scripted(script, timeouts) as server, open_manifest(root) as manifest:
        transports = Transports({"get": lambda: GetTransport(server)})
        pauses = Pauses(root, lambda: False, waits=())
        asks = [Ask(0, {"StudyInstanceUID": INSTANCE.attributes["StudyInstanceUID"]})]
        with suppress(RequestError):
            Retrieval(manifest, FakeFinder(Archive([INSTANCE])), transports, pauses).run(asks)
        return {row["instance"]: (row["outcome"], row["reason"]) for row in manifest.outcomes()}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_little_endian_of_the_other_kind_is_received_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    """The context says Implicit VR; some servers send what they have."""
    monkeypatch.chdir(tmp_path)
    data = encoded(pydicom.dcmread(BytesIO(INSTANCE.data)), syntax)
    script = sends(lambda n: unit(pdv(n, 3, request()), pdv(n, 2, data)))
    assert retrieved(tmp_path / "incoming", script) == {INSTANCE.uid: ("received", "")}
    document = {"num_workers": 0, "dicom": {"dir": "incoming"}, "output": {"dir": "out", "report": False}}
    summary = run(Config.from_mapping(document | {"metadata": {}, "volume": {}}))
    assert (summary.exported, summary.failed) == (1, {})


@pytest.mark.parametrize(
    "data",
    [encoded(pydicom.dcmread(BytesIO(INSTANCE.data)), BIG), b"", b"\0", b"\x78\x9c nothing", bytes(1000), DATASET[:30]],
    ids=["big endian", "empty", "a byte", "deflated perhaps", "zeros", "cut off"],
)
def test_datasets_that_cannot_be_read_are_named_and_not_kept(tmp_path: Path, data: bytes) -> None:
    found = retrieved(tmp_path, sends(lambda n: unit(pdv(n, 3, request()), pdv(n, 2, data))))
    outcome, reason = found[INSTANCE.uid]
    assert outcome == "missing"
    assert "no SOP Instance UID that can be read" in reason
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_dataset_that_is_not_deflated_as_agreed_is_named(tmp_path: Path) -> None:
    def script(association: Association, number: int, command: Command) -> None:
        context = association.context_for(CT, DEFLATED)
        assert context is not None
        association.send(
            context.number, Command(dimse.STORE, CT, 7, data=dimse.WITH_DATA, sop_uid=INSTANCE.uid), DATASET
        )
        association.read(lambda *_: None)  # type: ignore[arg-type, return-value]
        association.send(number, reply(command, 0, completed=1, failed=0))

    assert retrieved(tmp_path, script)[INSTANCE.uid][0] == "missing"


def test_instances_on_a_context_that_was_not_agreed_upon_are_refused(tmp_path: Path) -> None:
    statuses: list[int | None] = []

    def script(association: Association, number: int, command: Command) -> None:
        if command.field == dimse.STORE | dimse.RESPONSE:
            statuses.append(command.status)
            return
        association.wire.send(unit(pdv(251, 3, request()), pdv(251, 2, DATASET)))
        association.send(number, reply(command, 0, completed=1, failed=0))

    with scripted(script, LONG) as server:
        answer, received = fetch(server, tmp_path)
    assert (answer.outcome, received) == ("partial", [])
    assert [(one.kind, one.uid, one.code) for one in answer.refused if one.kind == "instance"] == [
        ("instance", INSTANCE.uid, 0x0122)
    ]
    assert statuses == [0x0122]


def test_a_dataset_without_trailing_pad_and_of_odd_length_is_kept_as_it_is(tmp_path: Path) -> None:
    odd = DATASET + struct.pack("<HHI", 0x7FE1, 0x1001, 3) + b"abc"
    with scripted(sends(lambda n: unit(pdv(n, 3, request()), pdv(n, 2, odd))), LONG) as server:
        _, received = fetch(server, tmp_path)
    assert [dataset_of(one) for one in received] == [odd]


# -- answers of finds -----------------------------------------------------------------------------------------------


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


@contextmanager
def answering(*answers: bytes) -> Iterator[Server]:
    """A server that answers every find with these identifiers, in Explicit or Implicit VR as it was agreed."""

    def script(association: Association, number: int, command: Command) -> None:
        for body in answers:
            association.send(number, reply_with(command), body)
        association.send(number, reply(command, 0))

    with scripted(script, SHORT) as server:
        yield server


def reply_with(command: Command) -> Command:
    field = command.field | dimse.RESPONSE
    return Command(field, command.sop_class, command.message, data=dimse.WITH_DATA, status=dimse.PENDING)


def found(server: Server, keys: dict[str, str] | None = None) -> list[Match]:
    with closing(SearchFinder(FindScu(server))) as finder:
        return list(finder.find("study", keys or {"StudyInstanceUID": "", "PatientName": ""}))


@pytest.mark.parametrize("end", [b"", b"\0", b" ", b"\0\0", b"  ", b" \0"])
def test_padding_of_uids_is_no_part_of_them(end: bytes) -> None:
    answers = [element(0x0020000D, b"1.2.3" + end), element(0x0020000D, b"1.2.3\0"), element(0x0020000D, b"1.2.4 ")]
    with answering(*answers) as server:
        assert [match["StudyInstanceUID"] for match in found(server)] == ["1.2.3", "1.2.4"]


def test_answers_without_a_uid_are_left_out_and_told() -> None:
    notes: list[str] = []
    answers = [element(0x0020000D, b""), element(0x00100010, b"A^B "), element(0x0020000D, b"1.2.4\0")]
    with answering(*answers) as server, closing(SearchFinder(FindScu(server))) as finder:
        matches = list(finder.find("study", {"StudyInstanceUID": ""}, notes.append))
    assert [match["StudyInstanceUID"] for match in matches] == ["1.2.4"]
    assert any("UID" in note for note in notes)
    assert "A^B" not in "".join(notes)


@pytest.mark.parametrize("charset", [b"ISO_IR 999 ", b"PRIVATE1", b"\\ISO 2022 IR 999", b"\xff\xfe"])
def test_names_in_a_character_set_of_the_makers_own_do_no_harm(charset: bytes) -> None:
    answer = element(0x00080005, charset) + element(0x00100010, b"M\xfcller^J\xf6rg ") + element(0x0020000D, b"1.2.4\0")
    with answering(answer) as server:
        (match,) = found(server)
    assert match["StudyInstanceUID"] == "1.2.4"
    assert str(match["PatientName"]).startswith("M")


@pytest.mark.parametrize(
    "body",
    [b"\x20\0\x0d\0\xff\xff\0\0", b"\xff" * 40, b"\0" * 7, element(0x0020000D, b"1.2")[:-1]],
    ids=["longer than it is", "no tags", "half an element", "cut off"],
)
def test_answers_that_are_no_datasets_are_no_silence(body: bytes) -> None:
    """Either the query failed by name, or what can be read of the answers was read: never "no match"."""
    with answering(body, element(0x0020000D, b"1.2.4\0")) as server:
        try:
            uids = [match.get("StudyInstanceUID") for match in found(server)]
        except RequestError as error:
            uids = [error.reason]
    assert "1.2.4" in uids or uids == ["the server sent an answer that cannot be read"]


def test_pynetdicom_sends_the_same_file_in_pdus_of_any_size(tmp_path: Path) -> None:
    """The other implementation: what we announce bounds it, and what it sends is what there is."""
    dataset = quick_dataset(SOPInstanceUID="1.2.3", StudyInstanceUID=INSTANCE.attributes["StudyInstanceUID"])
    with fake_pacs([dataset]) as server:
        answer, received = fetch(server, tmp_path)
    assert answer.ok
    assert [pydicom.dcmread(one.path) == dataset for one in received] == [True]


# -- bytes at random ------------------------------------------------------------------------------------------------


class Stream:
    """A socket that gives some bytes, in pieces, and then closes."""

    def __init__(self, content: bytes, rng: random.Random) -> None:
        self._content, self._rng = content, rng

    def settimeout(self, seconds: float) -> None:
        """It never waits."""

    def close(self) -> None:
        """It is closed at its end."""

    def send(self, data: memoryview) -> int:
        return len(data)

    def recv_into(self, view: memoryview) -> int:
        piece = self._content[: min(len(view), self._rng.randrange(1, 2000))]
        self._content = self._content[len(piece) :]
        view[: len(piece)] = piece
        return len(piece)


def test_mutated_bytes_end_in_an_error_that_is_named(tmp_path: Path) -> None:
    """Whatever comes: instances that are whole, a release, or a RequestError, and no file that is not whole."""
    rng = random.Random(15)
    good = b"".join(unit(pdv(1, 3, request(f"1.2.{n}")), pdv(1, 0, DATASET[:99])) + unit(pdv(1, 2, DATASET[99:]))
                    for n in range(3)) + pdu.encode_end(pdu.RELEASE)  # fmt: skip
    ends: Counter[str] = Counter()
    taken: list[Received] = []

    def take(one: Received, _: Command) -> bool:
        taken.append(one)
        return True

    for _ in range(400):
        content = bytearray(good)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(content))
            how = rng.randrange(3)
            if how == 0:
                content[at] = rng.randrange(256)
            elif how == 1:
                del content[at : at + rng.randrange(1, 9)]
            else:
                content[at:at] = rng.randbytes(rng.randrange(1, 9))
        stop = threading.Event()
        wire = Wire(Stream(bytes(content), rng), Timeouts(), stop)  # type: ignore[arg-type]
        association = Association(wire, {1: Context(1, CT, (IMPLICIT,))}, 16384)
        taken.clear()
        store = StoreScp(association, iter(map(str, range(9))), lambda _: tmp_path, take)

        def opener(number: int, command: Command, store: StoreScp = store) -> Target:
            return store.open(number, command) if command.field == dimse.STORE else Discarded()

        try:
            while (message := association.read(opener)) is not None:
                if message[1].field == dimse.STORE:
                    store.finish(message[0], message[1])
            ends["released"] += 1
        except RequestError as error:
            ends[error.outcome] += 1
        finally:
            store.discard()
        assert {path.name for path in tmp_path.iterdir()} == {one.path.name for one in taken}
        for one in taken:
            one.path.unlink()
    assert set(ends) == {"released", "failed", "dropped"}


def test_mutated_negotiations_end_in_an_error_that_is_named() -> None:
    rng = random.Random(16)
    contexts = tuple(Context(2 * n + 1, CT, (IMPLICIT,)) for n in range(4))
    good = pdu.encode_associate(pdu.Associate("DME", "FAKE", contexts, 16384, {CT: (False, True)}), pdu.ACCEPT)
    for _ in range(2000):
        content = bytearray(good[6:])
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        del content[rng.choice([len(content), rng.randrange(len(content))]) :]
        with suppress(ValueError):  # the one error that it may raise
            answer = pdu.decode_associate(bytes(content))
            assert all(isinstance(context.number, int) for context in answer.contexts)
        with suppress(ValueError):
            dimse.decode(bytes(content))

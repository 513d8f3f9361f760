"""Sending files to a PACS: what becomes of each, with retries, whichever way they go.

The bytes of a dataset go as they are, in the transfer syntax that they are in. How one instance is stored is up to
`store.py` (C-STORE) and `stow.py` (STOW-RS).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import BinaryIO, Literal, Protocol

from crawler.dicom import uids
from crawler.dicom.elements import Coding
from crawler.dicom.files import size_of
from crawler.dicom.sniff import dataset_start, guess_coding
from crawler.dicom.walk import walk
from crawler.errors import HeaderError, NotDicom, RequestError
from crawler.pacs.part10 import PREAMBLE, Meta, read_meta

_HEAD = 1 << 16
_DIRECTORY = "1.2.840.10008.1.3.10"
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
# By (implicit VR, little endian), for datasets whose syntax nobody tells.
_SYNTAXES = {
    (True, True): uids.ImplicitVRLittleEndian,
    (False, True): uids.ExplicitVRLittleEndian,
    (False, False): uids.ExplicitVRBigEndian,
}
# Files that are looked at ahead, so that one association has contexts for all of them.
_AHEAD = 256
_SHARE = 16  # the same, where several associations share the files
# Attempts at one instance, and seconds before the second one; doubled for each further.
ATTEMPTS = 4
_PAUSE = 0.5
# After as many instances in a row to which nobody answered, the others get one attempt each.
_AWAY = 2

OutcomeOfSending = Literal["stored", "warning", "refused", "failed", "unsent"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to send.

    Parameters
    ----------
    name
        What the result is told by: a path, or an archive and a member.
    open
        Gives its bytes, seekable, from the beginning; called once an attempt.
    offset
        Where the dataset begins.
    whole
        Whether it is a file of PS3.10 as it is, with preamble and file meta information.
    """

    name: str
    open: Callable[[], BinaryIO]
    sop_class: str
    sop_uid: str
    transfer_syntax: str
    offset: int
    size: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one instance.

    Parameters
    ----------
    outcome
        "stored"; "warning": stored, and the server changed or dislikes something; "refused": by its last word;
        "failed": the server is busy or away, after all attempts; "unsent": stopped before.
    status
        DIMSE or HTTP status of the last answer; None when there was none.
    """

    name: str
    sop_uid: str
    outcome: OutcomeOfSending
    status: int | None = None
    attempts: int = 0
    size: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server said of one attempt; `again` when it may say otherwise later."""

    outcome: OutcomeOfSending
    status: int | None = None
    reason: str = ""
    again: bool = False


class Channel(Protocol):
    """A way to store one instance after the other; one thread at a time."""

    def prepare(self, instances: list[Outgoing]) -> None:
        """Tell what comes next."""
        ...

    def store(self, instance: Outgoing, stop: threading.Event) -> Verdict:
        """Store one.

        Raises
        ------
        RequestError
            The connection broke, or there is none.
        PacsError
            The settings are wrong.
        """
        ...

    def close(self) -> None:
        """Close the connection; idempotent."""
        ...


def outgoing(name: str, open: Callable[[], BinaryIO]) -> Outgoing:
    """Look at a file that is to be sent.

    Raises
    ------
    NotDicom
        It is no DICOM, is a DICOMDIR, or says neither what it is nor which one.
    """
    with open() as stream:
        size = size_of(stream)
        start = dataset_start(stream, size)
        # As if a preamble stood before it: some files begin with their group 2.
        meta = read_meta(PREAMBLE + stream.read(_HEAD)) or Meta("", "", "", len(PREAMBLE))
        if meta.sop_class == _DIRECTORY:
            raise NotDicom("a DICOMDIR is no instance")
        offset = start + meta.end - len(PREAMBLE)
        stream.seek(offset)
        coding = guess_coding(stream.read(6))
        syntax = meta.transfer_syntax or _SYNTAXES[coding.implicit, coding.little]
        # The dataset's own UIDs, which a server compares with those that are announced; file meta information may lie.
        own = {} if syntax == uids.DeflatedExplicitVRLittleEndian else _uids(stream, offset, coding, size)
    sop_class, sop_uid = own.get(_SOP_CLASS) or meta.sop_class, own.get(_SOP_INSTANCE) or meta.sop_uid
    if not sop_class or not sop_uid:
        raise NotDicom("not DICOM", "or without SOP Class UID and SOP Instance UID")
    whole = start == len(PREAMBLE) and meta.transfer_syntax != ""
    return Outgoing(name, open, sop_class, sop_uid, syntax, offset, size, whole)


def _uids(stream: BinaryIO, offset: int, coding: Coding, size: int) -> dict[int, str]:
    """The elements up to SOP Instance UID, as text; those before a fault if there is one."""
    found = {}
    stream.seek(offset)
    with suppress(HeaderError):
        for element in walk(stream, coding, size, stop=lambda tag: tag > _SOP_INSTANCE):
            if isinstance(element.value, bytes):
                found[element.tag] = element.value.decode("ascii", "replace").strip("\0 ")
    return found


def send(
    instances: Iterable[Outgoing],
    channel: Channel,
    stop: threading.Event,
    attempts: int = ATTEMPTS,
    ahead: int = _AHEAD,
) -> Iterator[Sent]:
    """Store instances, and yield what became of each, in order; `ahead` are looked at before the first one goes.

    Raises
    ------
    PacsError
        The settings are wrong; what was not yielded is not stored.
    """
    source = iter(instances)
    away = 0
    while batch := list(islice(source, ahead)):
        channel.prepare(batch)
        for instance in batch:
            sent = _one(instance, channel, stop, 1 if away >= _AWAY else attempts)
            away = away + 1 if sent.outcome == "failed" and sent.status is None else 0
            yield sent


def send_over(
    instances: Iterable[Outgoing], channels: Sequence[Channel], stop: threading.Event, attempts: int = ATTEMPTS
) -> Iterator[Sent]:
    """Store instances through several channels at a time; yield what became of each, in the order in which they end.

    Raises
    ------
    PacsError
        The settings are wrong; what was not yielded is not stored.
    """
    if len(channels) == 1:
        yield from send(instances, channels[0], stop, attempts)
        return
    source, lock, ended = iter(instances), threading.Lock(), threading.Event()
    results: queue.Queue[Sent | None] = queue.Queue()

    def share() -> Iterator[Outgoing]:
        while not ended.is_set():
            with lock:
                instance = next(source, None)
            if instance is None:
                return
            yield instance

    def work(channel: Channel) -> None:
        done = False
        try:
            for sent in send(share(), channel, stop, attempts, ahead=_SHARE):
                results.put(sent)
            done = True
        finally:
            if not done:
                ended.set()  # the others take no more
            results.put(None)

    with ThreadPoolExecutor(len(channels), thread_name_prefix="pacs-send") as pool:
        working = [pool.submit(work, channel) for channel in channels]
        try:
            for _ in working:
                while (sent := results.get()) is not None:
                    yield sent
        finally:
            ended.set()
    for future in working:
        future.result()


def _one(instance: Outgoing, channel: Channel, stop: threading.Event, attempts: int) -> Sent:
    """Store one instance."""
    began = monotonic()
    verdict = Verdict("unsent", reason="stopped")
    count = 0
    while not stop.is_set() and count < attempts:
        count += 1
        try:
            verdict = channel.store(instance, stop)
        except RequestError as error:
            outcome: OutcomeOfSending = {"stopped": "unsent", "refused": "refused"}.get(error.outcome, "failed")  # type: ignore[assignment]
            verdict = Verdict(outcome, error.status, error.reason, outcome == "failed")
        if not verdict.again or count == attempts:
            break
        stop.wait(_PAUSE * 2 ** (count - 1))
    return Sent(
        instance.name,
        instance.sop_uid,
        verdict.outcome,
        verdict.status,
        count,
        instance.size,
        monotonic() - began,
        verdict.reason,
    )

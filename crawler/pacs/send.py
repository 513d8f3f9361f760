"""Sending files to a PACS: what becomes of each, with retries, whichever way they go.

The bytes of a dataset go as they are, in the transfer syntax that they are in. How one instance is stored is up to
`store.py` (C-STORE) and `stow.py` (STOW-RS).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import BinaryIO, Literal, Protocol

from crawler.dicom import uids
from crawler.errors import NotDicom, RequestError
from crawler.pacs.part10 import PREAMBLE, file_meta, read_meta

_HEAD = 1 << 16
# Files that are looked at ahead, so that one association has contexts for all of them.
_AHEAD = 256
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
    """

    name: str
    open: Callable[[], BinaryIO]
    sop_class: str
    sop_uid: str
    transfer_syntax: str
    offset: int
    size: int

    @property
    def head(self) -> bytes:
        """What a file of PS3.10 lacks before its dataset: "" when it has its own file meta information."""
        return b"" if self.offset else file_meta(self.sop_class, self.sop_uid, self.transfer_syntax)


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
        head = stream.read(_HEAD)
        size = stream.seek(0, 2)
        meta = read_meta(head)
        if meta is not None and meta.sop_class == _DIRECTORY:
            raise NotDicom("a DICOMDIR is no instance")
        if meta is not None and meta.sop_class and meta.sop_uid and meta.transfer_syntax:
            return Outgoing(name, open, meta.sop_class, meta.sop_uid, meta.transfer_syntax, meta.end, size)
        stream.seek(0)
        return _without_meta(name, open, stream, meta.end if meta else 0, size)


_DIRECTORY = "1.2.840.10008.1.3.10"


def _without_meta(name: str, open: Callable[[], BinaryIO], stream: BinaryIO, end: int, size: int) -> Outgoing:
    """A dataset without (usable) file meta information: its own elements say what it is."""
    import pydicom  # slow to import, and hardly ever needed

    try:
        dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=True, specific_tags=_TAGS)
        implicit, little = dataset.original_encoding
        found = [str(dataset.get(tag, "")) for tag in _TAGS]
    except (ValueError, EOFError, NotImplementedError, TypeError, KeyError) as error:
        raise NotDicom("no DICOM") from error
    if not all(found):
        raise NotDicom("no DICOM", "or without SOP class and SOP instance UID")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) or (
        uids.ImplicitVRLittleEndian if implicit else uids.ExplicitVRLittleEndian if little else uids.ExplicitVRBigEndian
    )
    if not end:
        with open() as again:
            end = len(PREAMBLE) if again.read(len(PREAMBLE))[128:] == b"DICM" else 0
    return Outgoing(name, open, found[0], found[1], syntax, end, size)


_TAGS = ["SOPClassUID", "SOPInstanceUID"]


def send(
    instances: Iterable[Outgoing], channel: Channel, stop: threading.Event, attempts: int = ATTEMPTS
) -> Iterator[Sent]:
    """Store instances, and yield what became of each, in order.

    Raises
    ------
    PacsError
        The settings are wrong; what was not yielded is not stored.
    """
    source = iter(instances)
    away = 0
    while ahead := list(islice(source, _AHEAD)):
        channel.prepare(ahead)
        for instance in ahead:
            sent = _one(instance, channel, stop, 1 if away >= _AWAY else attempts)
            away = away + 1 if sent.outcome == "failed" and sent.status is None else 0
            yield sent


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

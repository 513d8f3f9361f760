"""C-STORE as SCU (PS3.4 annex B): datasets from files, piece by piece, in their own transfer syntax.

One presentation context for each SOP class and transfer syntax, so nothing is converted; what the server accepts no
context for is refused. Retries are in `send.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import BinaryIO

from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs import contexts
from crawler.pacs.association import Association, Discarded
from crawler.pacs.command import Command
from crawler.pacs.model import Server
from crawler.pacs.negotiation import associate
from crawler.pacs.send import Outgoing, Verdict
from crawler.pacs.status import WARNINGS, outcome_of, words


class StoreScu:
    """A `Channel` over an association that stays open while its contexts do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._association: Association | None = None
        self._proposed: set[tuple[str, str]] = set()
        self._next: list[tuple[str, str]] = []

    def close(self) -> None:
        """Release the association; idempotent."""
        if self._association is not None:
            self._association.release()
            self._association = None

    def prepare(self, instances: list[Outgoing]) -> None:
        """Note the contexts that these need."""
        self._next = list(dict.fromkeys((one.sop_class, one.transfer_syntax) for one in instances))

    def store(self, instance: Outgoing, stop: threading.Event) -> Verdict:
        """Store one; see `Channel`."""
        pair = (instance.sop_class, instance.transfer_syntax)
        association = self._opened(pair, stop)
        context = association.context_for(*pair)
        if context is None:
            return Verdict("refused", reason="the server does not accept this SOP class in this transfer syntax")
        command = Command(
            dimse.STORE,
            instance.sop_class,
            association.next_message(),
            priority=dimse.MEDIUM,
            data=dimse.WITH_DATA,
            sop_uid=instance.sop_uid,
        )
        try:
            with instance.open() as stream:
                stream.seek(instance.offset)
                size = instance.size - instance.offset
                association.send_stream(context.number, command, _pieces(stream, association.piece_size), size)
            while (message := association.read(lambda *_: Discarded())) is not None:
                answer = message[1]
                if answer.field == dimse.STORE | dimse.RESPONSE and answer.message == command.message:
                    return _verdict(answer)
            raise RequestError("the server released the association before its answer", "dropped")
        except BaseException:
            self._association = None
            association.abort()
            raise

    def _opened(self, pair: tuple[str, str], stop: threading.Event) -> Association:
        """An association that proposed this pair."""
        if self._association is not None and pair in self._proposed:
            return self._association
        self.close()
        pairs = list(dict.fromkeys([pair, *self._next, *self._proposed]))[: contexts.LIMIT]
        self._association = associate(self._server, [(sop_class, (syntax,)) for sop_class, syntax in pairs], stop)
        self._proposed = set(pairs)
        return self._association


def _pieces(stream: BinaryIO, size: int) -> Iterator[memoryview]:
    """The rest of a file."""
    view = memoryview(bytearray(size - size % 2))  # a fragment has an even length (PS3.8 annex E)
    while got := stream.readinto(view):  # type: ignore[attr-defined]  # binary files have it
        yield view[:got]


def _verdict(answer: Command) -> Verdict:
    status = answer.status if answer.status is not None else 0xC000
    if status == dimse.SUCCESS:
        return Verdict("stored", status)
    reason = f"the server answers {words(status)}"
    if status in WARNINGS:
        return Verdict("warning", status, reason)
    busy = outcome_of(status) == "busy"
    return Verdict("failed" if busy else "refused", status, reason, busy)

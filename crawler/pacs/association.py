"""An open association (PS3.8): DIMSE messages in both directions, then its release or abort.

Commands are read whole; the fragments of a dataset go to a target as they arrive, so memory does not depend on their
size or on that of the PDUs. What the messages mean is up to `get.py`, `move.py`, `receiver.py` and `send.py`.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from crawler.errors import CrawlerError, RequestError
from crawler.pacs import command as dimse
from crawler.pacs import pdu
from crawler.pacs.command import Command
from crawler.pacs.pdu import Context
from crawler.pacs.wire import Wire

# What we send at most to a peer that announces no limit.
_MAX_SENT = 1 << 18
_MAX_COMMAND = 1 << 16
_MAX_IDENTIFIER = 1 << 22
_PDV = struct.Struct(">IBB")
_FIRST = struct.Struct(">BxIIBB")  # the header of a P-DATA-TF and of the fragment that begins it
_COMMAND, _LAST = 1, 2
# Seconds that the other side has for the answer to our A-RELEASE-RQ.
_FAREWELL = 2.0


class Target(Protocol):
    """Takes the bytes of a dataset."""

    def write(self, data: memoryview) -> object:
        """Take some bytes; the view is of no use afterwards."""
        ...


Opener = Callable[[int, Command], Target]


class Discarded:
    """A target for datasets that nobody wants."""

    def write(self, data: memoryview) -> None:
        """Drop the bytes."""


class Collected:
    """A target for the identifier of a response, kept in memory up to a size."""

    def __init__(self) -> None:
        self.body = bytearray()

    def write(self, data: memoryview) -> None:
        """Append the bytes."""
        if len(self.body) + len(data) <= _MAX_IDENTIFIER:
            self.body += data


class Association:
    """An open association.

    Parameters
    ----------
    wire
        A connected socket.
    contexts
        Those that were accepted, by their numbers, with the one syntax that was chosen.
    max_sent
        Largest PDU that the other side takes.
    refused
        Contexts that it did not accept, with the result.
    """

    def __init__(
        self,
        wire: Wire,
        contexts: Mapping[int, Context],
        max_sent: int,
        implementation: str = "",
        refused: Sequence[Context] = (),
    ) -> None:
        self.wire = wire
        self.contexts = contexts
        self.refused = refused
        self.implementation = implementation
        self._max_sent = max(min(max_sent or _MAX_SENT, _MAX_SENT), 128)
        self._left = 0  # bytes of the current P-DATA-TF that are still to come
        self._messages = itertools.cycle(range(1, 0x10000))

    def next_message(self) -> int:
        """A Message ID that no other open request of this association has."""
        return next(self._messages)

    def context_for(self, sop_class: str, syntax: str | None = None) -> Context | None:
        """The accepted context of a SOP class (and transfer syntax)."""
        return next(
            (
                context
                for context in self.contexts.values()
                if context.sop_class == sop_class and (syntax is None or context.syntaxes[0] == syntax)
            ),
            None,
        )

    # -- messages ---------------------------------------------------------------------------------------------------

    def read(self, opener: Opener) -> tuple[int, Command, Target | None] | None:
        """Read one message.

        Parameters
        ----------
        opener
            Called with the number of the context and the command when a dataset follows; returns its target.

        Returns
        -------
        tuple or None
            Context, command and the target (None without a dataset); None when the other side released.

        Raises
        ------
        RequestError
            The connection broke, fell silent, or carried nonsense.
        """
        body = bytearray()
        context = 0
        while True:
            pdv = self._next_pdv()
            if pdv is None:
                return None
            length, context, control = pdv
            if not control & _COMMAND or len(body) + length > _MAX_COMMAND:
                raise self._nonsense("a dataset without its command")
            while length:
                piece = self.wire.some(length)
                length -= len(piece)
                body += piece
            if control & _LAST:
                break
        try:
            command = dimse.decode(body)
        except ValueError as error:
            raise self._nonsense(str(error)) from error
        if not command.has_data:
            return context, command, None
        target = opener(context, command)
        some, write = self.wire.some, target.write
        while True:
            pdv = self._next_pdv()
            if pdv is None:
                raise RequestError("the server released the association in the middle of a dataset", "dropped")
            length, number, control = pdv
            if control & _COMMAND or number != context:
                raise self._nonsense("a command in the middle of a dataset")
            while length:
                piece = some(length)
                length -= len(piece)
                write(piece)
            if control & _LAST:
                return context, command, target

    def answer(self, context: int, command: Command) -> bool:
        """Answer a request that nobody waits for, such as N-EVENT-REPORT; False for a response.

        C-ECHO succeeds; the others get 0x0211, *unrecognized operation* (PS3.7 annex C.5.9).
        """
        if command.field & dimse.RESPONSE:
            return False
        if command.field != dimse.CANCEL:
            status = dimse.SUCCESS if command.field == dimse.ECHO else dimse.UNRECOGNIZED
            field = command.field | dimse.RESPONSE
            self.send(context, Command(field, command.sop_class, command.message, status=status))
        return True

    def send(self, context: int, command: Command, data: bytes = b"") -> None:
        """Send a message; both halves in one write, so that Nagle's algorithm cannot part them."""
        out = bytearray()
        for content, flag in ((dimse.encode(command), _COMMAND), (data, 0)):
            for at in range(0, len(content), self._max_sent - 6):
                piece = content[at : at + self._max_sent - 6]
                last = _LAST if at + len(piece) == len(content) else 0
                out += pdu.HEADER.pack(pdu.DATA, len(piece) + 6) + _PDV.pack(len(piece) + 2, context, flag | last)
                out += piece
        self.wire.send(out)

    def send_stream(self, context: int, command: Command, pieces: Iterator[memoryview], size: int) -> None:
        """Send a command and a dataset of `size` bytes, in pieces of at most `piece_size`.

        Raises
        ------
        RequestError
            The connection broke, or there are fewer bytes, or more: the association cannot be used any more.
        """
        self.send(context, command)
        sent = 0
        for piece in pieces:
            sent += len(piece)
            flag = _LAST if sent == size else 0
            head = pdu.HEADER.pack(pdu.DATA, len(piece) + 6) + _PDV.pack(len(piece) + 2, context, flag)
            self.wire.send(head + piece)
        if sent != size:
            raise RequestError("a file changed while it was sent")

    @property
    def piece_size(self) -> int:
        """Bytes of a dataset that fit into one PDU."""
        return self._max_sent - 6

    # -- the end ----------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """End the association politely, and close the connection."""
        with suppress(CrawlerError):
            self.wire.send(pdu.encode_end(pdu.RELEASE))
            self.wire.hurry(_FAREWELL)
            while True:
                kind, length = self.wire.unpack(pdu.HEADER)
                if kind in {pdu.RELEASED, pdu.ABORT}:
                    break
                while length:
                    length -= len(self.wire.some(length))
        self.wire.close()

    def farewell(self, context: int, command: Command) -> None:
        """Send a last command, if the connection still takes it."""
        with suppress(CrawlerError):
            self.wire.hurry(_FAREWELL)
            self.send(context, command)

    def abort(self) -> None:
        """End the association at once (A-ABORT by the service user), and close the connection."""
        with suppress(CrawlerError):
            self.wire.hurry(_FAREWELL)
            self.wire.send(pdu.encode_end(pdu.ABORT))
        self.wire.close()

    # -- PDUs -------------------------------------------------------------------------------------------------------

    def _next_pdv(self) -> tuple[int, int, int] | None:
        """Length of the fragment, number of its context, and its control header; None after a release."""
        wire = self.wire
        if not self._left and (first := wire.glance(_FIRST)):  # both headers in one step, where they are here
            kind, left, length, context, control = first
            if kind == pdu.DATA and 2 <= length <= left - 4:
                wire.skip(_FIRST.size)
                self._left = left - 4 - length
                return length - 2, context, control
        while not self._left:
            kind, self._left = wire.unpack(pdu.HEADER)
            if kind == pdu.DATA:
                continue
            if kind == pdu.RELEASE:
                wire.exactly(4)
                wire.send(pdu.encode_end(pdu.RELEASED))
                return None
            if kind == pdu.ABORT:
                raise RequestError("the other side aborted the association", "dropped")
            raise self._nonsense(f"a protocol unit of type {kind}")
        if self._left < 6:
            raise self._nonsense("a protocol unit that ends inside a fragment's header")
        length, context, control = wire.unpack(_PDV)
        self._left -= 4 + length
        if length < 2 or self._left < 0:
            raise self._nonsense("a fragment longer than its protocol unit")
        return length - 2, context, control

    def _nonsense(self, what: str) -> RequestError:
        return RequestError(f"the other side broke the protocol: {what}")

"""Queries by C-FIND in the Study Root model (PS3.4 C.4.1), one association for many of them.

Over our own associations: 10,000 answers take 0.3 s, where pynetdicom takes 9 s, keeps all of them in a queue, and may
lose the response to a request that follows another one at once. Levels and splitting are in `find.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs import contexts
from crawler.pacs.association import Association, Collected
from crawler.pacs.command import Command
from crawler.pacs.contexts import STUDY_FIND
from crawler.pacs.find import CutOff
from crawler.pacs.matches import from_identifier, to_identifier
from crawler.pacs.model import Level, Match, Server
from crawler.pacs.negotiation import associate
from crawler.pacs.status import outcome_of, words

# A server that closed the connection since the last query is asked once more.
_ATTEMPTS = 2


class FindScu:
    """Asks over associations that stay open: one for each query that is under way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Association] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def close(self) -> None:
        """Release the associations that no query uses, and end the others; idempotent."""
        self._stop.set()
        with self._lock:
            free, self._free = self._free, []
        for association in free:
            association.release()

    def ask(self, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        """Yield the answers to one query; see `Asker`."""
        for attempt in range(1, _ATTEMPTS + 1):
            association, used = self._take()
            answered = False
            try:
                for match in self._ask(association, level, keys):
                    answered = True
                    yield match
            except CutOff:
                self._give(association)
                raise
            except RequestError as error:
                association.abort()
                if not used or answered or error.outcome != "dropped" or attempt == _ATTEMPTS:
                    raise
            except BaseException:  # the consumer left: the rest of the answers is of no use
                association.abort()
                raise
            else:
                self._give(association)
                return

    def _take(self) -> tuple[Association, bool]:
        """An association, and whether it was used before."""
        with self._lock:
            if self._free:
                return self._free.pop(), True
        return associate(self._server, [(STUDY_FIND, contexts.PLAIN)], self._stop), False

    def _give(self, association: Association) -> None:
        with self._lock:
            self._free.append(association)

    def _ask(self, association: Association, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        context = association.context_for(STUDY_FIND)
        if context is None:
            raise RequestError("the server does not support C-FIND in the Study Root model", "refused")
        syntax = context.syntaxes[0]
        command = Command(
            dimse.FIND, STUDY_FIND, association.next_message(), priority=dimse.MEDIUM, data=dimse.WITH_DATA
        )
        association.send(context.number, command, to_identifier(level, keys, syntax))
        while True:
            message = association.read(lambda *_: Collected())
            if message is None:
                raise RequestError("the server released the association before its last response", "dropped")
            number, answer, body = message
            if association.answer(number, answer):
                continue
            if answer.field != dimse.FIND | dimse.RESPONSE or answer.message != command.message:
                raise RequestError(f"the server broke the protocol: command 0x{answer.field:04X} in a query")
            status = answer.status if answer.status is not None else 0xC000
            if answer.is_pending:
                if isinstance(body, Collected):
                    yield _read(bytes(body.body), syntax)
            elif status == dimse.CANCELLED or status >> 8 == 0xA7:
                raise CutOff(f"the server answers {words(status)}", outcome_of(status), status)
            elif status == dimse.SUCCESS:
                return
            else:
                raise RequestError(f"the server answers {words(status)}", outcome_of(status), status)


def _read(body: bytes, syntax: str) -> Match:
    try:
        return from_identifier(body, syntax)
    except ValueError as error:
        raise RequestError("the server sent an answer that cannot be read") from error

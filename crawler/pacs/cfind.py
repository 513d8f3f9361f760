"""Queries by C-FIND in the Study Root model (PS3.4 C.4.1), one association for many of them.

Builds identifiers, and sorts the statuses of the answers. Splitting and levels are in `find.py`, the association in
`scu.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs.contexts import STUDY_FIND
from crawler.pacs.find import CutOff
from crawler.pacs.matches import from_identifier, to_identifier
from crawler.pacs.model import Level, Match, Server
from crawler.pacs.scu import Scu
from crawler.pacs.status import outcome_of, words

# A server that lost the connection since the last query is asked once more.
_ATTEMPTS = 2


class FindScu:
    """Asks over associations that stay open: one for each query that is under way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Scu] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release the associations that no query uses; idempotent."""
        with self._lock:
            free, self._free = self._free, []
        for scu in free:
            with scu:
                pass

    def ask(self, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        """Yield the answers to one query; see `Asker`."""
        for attempt in range(1, _ATTEMPTS + 1):
            scu, used = self._take()
            answered = False
            try:
                for match in self._ask(scu, level, keys):
                    answered = True
                    yield match
            except CutOff:
                self._give(scu)
                raise
            except RequestError as error:
                scu.association.abort()
                if not used or answered or error.outcome != "dropped" or attempt == _ATTEMPTS:
                    raise
            except BaseException:  # the consumer left: the rest of the answers is of no use
                scu.association.abort()
                raise
            else:
                self._give(scu)
                return

    def _take(self) -> tuple[Scu, bool]:
        """An association, and whether it was used before."""
        with self._lock:
            while self._free:
                scu = self._free.pop()
                if scu.association.is_established:
                    return scu, True
        return Scu(self._server, [STUDY_FIND]), False

    def _give(self, scu: Scu) -> None:
        with self._lock:
            self._free.append(scu)

    def _ask(self, scu: Scu, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        for status, dataset in scu.find(STUDY_FIND, to_identifier(level, keys)):
            if status in {dimse.PENDING, dimse.PENDING_WARNING}:
                if dataset is None:
                    raise RequestError("the server sent an answer that cannot be read")
                yield from_identifier(dataset)
            elif status == dimse.CANCELLED or status >> 8 == 0xA7:
                raise CutOff(f"the server answers {words(status)}", outcome_of(status), status)
            elif status != dimse.SUCCESS:
                raise RequestError(f"the server answers {words(status)}", outcome_of(status), status)

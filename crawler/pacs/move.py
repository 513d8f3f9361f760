"""C-MOVE (PS3.4 C.4.2): the server is asked to send instances to our own receiver, over associations that it opens.

What arrives is matched to the request that asked for it. The server's last word is not the end: some say "completed"
while they have hardly begun, so a fetch waits for as many instances as the server counts, or until nothing comes.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs import contexts
from crawler.pacs.association import Association
from crawler.pacs.command import Command
from crawler.pacs.contexts import STUDY_MOVE
from crawler.pacs.get import summed
from crawler.pacs.model import Answer, Deliver, Late, Note, Received, Request, Server
from crawler.pacs.negotiation import associate
from crawler.pacs.receiver import Receiver, Sender
from crawler.pacs.retrieve import CHUNK, converse, identifier
from crawler.pacs.status import judge
from crawler.pacs.wire import SLICE

# Seconds to wait for more when the server tells no count of what it sent.
_QUIET = 5.0


@dataclass(slots=True, eq=False)
class _Flight:
    """A fetch that is under way."""

    request: Request
    temp: Path
    deliver: Deliver
    messages: set[int] = field(default_factory=set)
    received: int = 0
    failure: BaseException | None = None
    moved: threading.Event = field(default_factory=threading.Event)


class MoveTransport:
    """Retrieves by C-MOVE to a receiver that listens from the start.

    Parameters
    ----------
    server
        `calling_port` is where the server sends to when it is asked for `calling_aet`: its settings, not ours.
    late
        Offered instances that come after the fetch that asked for them has ended; without it they are turned down.
    note
        See `Receiver`.

    Raises
    ------
    PacsError
        The port is taken.
    """

    name = "move"

    def __init__(self, server: Server, late: Late | None = None, note: Note | None = None) -> None:
        self._server = server
        self._late = late
        self._lock = threading.Lock()
        self._flights: list[_Flight] = []
        self._messages = itertools.cycle(range(1, 0x10000))
        self._temp: Path | None = None
        self.receiver = Receiver(server, self._folder, self._take, note)

    def close(self) -> None:
        """Stop listening; idempotent."""
        self.receiver.close()

    def fetch(self, request: Request, temp: Path, deliver: Deliver, stop: threading.Event) -> Answer:
        """Retrieve instances; see `Transport`."""
        flight = _Flight(request, temp, deliver)
        with self._lock:
            self._flights.append(flight)
            self._temp = temp
        try:
            answers = self._ask(flight, stop)
        except RequestError as error:
            if flight.failure is not None:
                raise flight.failure from error
            return Answer(
                self.name,
                error.outcome,  # type: ignore[arg-type]  # an OutcomeOfRequest, see RequestError
                error.status,
                received=flight.received,
                reason=error.reason,
            )
        finally:
            with self._lock:
                self._flights.remove(flight)
        return summed(answers)

    # -- the association that asks ----------------------------------------------------------------------------------

    def _ask(self, flight: _Flight, stop: threading.Event) -> list[Answer]:
        """Ask for the whole, or for lists of instances in turn."""
        association = associate(self._server, [(STUDY_MOVE, contexts.PLAIN)], stop)
        association.wire.elsewhere = self.receiver.heard
        try:
            uids = flight.request.instance_uids
            lists = [uids[at : at + CHUNK] for at in range(0, max(len(uids), 1), CHUNK)]
            answers = [self._move(association, flight, wanted, stop) for wanted in lists]
        except RequestError as error:
            if error.outcome in {"stopped", "silent"}:
                _cancel(association, flight)
            association.abort()
            raise
        except BaseException:
            association.abort()
            raise
        association.release()
        return answers

    def _move(
        self, association: Association, flight: _Flight, wanted: tuple[str, ...], stop: threading.Event
    ) -> Answer:
        """Ask once, and wait for what the server says it sent."""
        context = association.context_for(STUDY_MOVE)
        if context is None:
            raise RequestError("the server does not support C-MOVE", "refused")
        before = flight.received
        message = next(self._messages)
        flight.messages.add(message)
        command = Command(
            dimse.MOVE,
            STUDY_MOVE,
            message,
            destination=self._server.calling_aet,
            priority=dimse.MEDIUM,
            data=dimse.WITH_DATA,
        )
        body = identifier(flight.request, wanted, context.syntaxes[0])
        idle = self._server.timeouts.idle
        final, _ = converse(association, context.number, command, body, None, idle, lambda: flight.received)
        self._settle(flight, final, before, len(wanted), stop)
        if flight.failure is not None:
            raise RequestError("an instance could not be delivered", "failed")
        return judge(self.name, final, flight.received - before, len(wanted))

    def _settle(self, flight: _Flight, final: Command, before: int, wanted: int, stop: threading.Event) -> None:
        """Wait until as many came as the server counts, or until nothing comes any more."""
        idle = self._server.timeouts.idle
        if final.completed is not None:
            expected = final.completed + (final.warning or 0)
        else:
            expected, idle = wanted or 1 << 31, idle if wanted else min(idle, _QUIET)
        since = monotonic()
        while flight.received - before < expected and flight.failure is None:
            if stop.is_set():
                raise RequestError("stopped", "stopped")
            flight.moved.clear()
            if not flight.moved.wait(min(SLICE, idle)) and monotonic() - max(since, self.receiver.heard()) > idle:
                return

    # -- the receiver's threads -------------------------------------------------------------------------------------

    def _folder(self, sender: Sender) -> Path | None:
        """Where an instance goes."""
        with self._lock:
            flight = self._known(sender)
            if flight is not None:
                return flight.temp
            return self._temp if self._flights or self._late else None

    def _take(self, received: Received, sender: Sender) -> bool:
        """Deliver an instance to the fetch that asked for it."""
        with self._lock:
            flight = self._known(sender)
            if flight is None and self._flights and not self._is_ours(sender):
                study = _study_of(received.path)
                flight = next((one for one in self._flights if one.request.study_uid == study), None)
        if flight is None:
            return self._late is not None and self._late(received)
        try:
            flight.deliver(received)
        except BaseException as error:
            flight.failure = error
            raise
        with self._lock:
            flight.received += 1
        flight.moved.set()
        return True

    def _is_ours(self, sender: Sender) -> bool:
        """Whether the sender names the C-MOVE that it belongs to: then one that is under way, or one that has ended."""
        return sender.message is not None and sender.originator == self._server.calling_aet

    def _known(self, sender: Sender) -> _Flight | None:
        """The fetch that an instance belongs to, by the Message ID of its C-MOVE (PS3.7 9.1.1.1) or by its UID."""
        if self._is_ours(sender):
            return next((one for one in self._flights if sender.message in one.messages), None)
        return next((one for one in self._flights if sender.sop_uid in one.request.instance_uids), None)


def _cancel(association: Association, flight: _Flight) -> None:
    """Ask the server to send no more (PS3.7 9.3.2.3)."""
    context = association.context_for(STUDY_MOVE)
    for message in sorted(flight.messages):
        if context is not None:
            association.farewell(context.number, Command(dimse.CANCEL, message=message))


def _study_of(path: Path) -> str:
    """StudyInstanceUID of a file, for servers that do not say which C-MOVE an instance belongs to."""
    import pydicom  # slow to import, and hardly ever needed
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
    except (InvalidDicomError, ValueError, EOFError, NotImplementedError):
        return ""
    return str(dataset.get("StudyInstanceUID", ""))

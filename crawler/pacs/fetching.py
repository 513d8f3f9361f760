"""One worker's task: all that is wanted of a study's series, asked for until it is here or every way was tried.

The ways, in order: the whole (study, series), the missing instances as a list, each by itself, and then the same over
the next transport. A busy or absent server gets pauses that grow. It plans nothing and puts no file in place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crawler.errors import PacsError
from crawler.pacs.identify import identify
from crawler.pacs.intake import Intake
from crawler.pacs.manifest import Manifest
from crawler.pacs.model import Answer, Late, Received, Request, Transport
from crawler.pacs.pauses import Pauses
from crawler.pacs.schedule import Throttle
from crawler.pacs.wanted import Series

ALONE = 5  # instances that are asked for one by one without any coming, before the rest is given up
_AWAY = ("busy", "dropped", "silent")


class Transports:
    """The ways to retrieve, each opened when it is first needed: a receiver takes a port.

    Parameters
    ----------
    makers
        Name -> what opens it, in the order in which they are tried.
    """

    def __init__(self, makers: dict[str, Callable[[], Transport]]) -> None:
        self._makers = makers
        self._late: Late | None = None
        self._open: dict[str, Transport] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all, in order."""
        return tuple(self._makers)

    def get(self, name: str) -> Transport:
        """Open one, or return the open one; raises PacsError."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._makers[name]()
            return self._open[name]

    def set_late(self, late: Late) -> None:
        """Say who takes what comes when nobody waits for it any more."""
        self._late = late

    def late(self, received: Received) -> bool:
        """Offer it to them; see `Late`."""
        return self._late is not None and self._late(received)

    def close(self) -> None:
        """Close all that were opened."""
        for transport in self._open.values():
            transport.close()


@dataclass(slots=True)
class Unit:
    """What one worker takes: series of one study; `whole` asks for the study as such, `by_list` for lists only."""

    study: str
    series: list[Series]
    whole: bool = False
    by_list: bool = False
    reasons: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    """SOP Instance UID -> (status, reason) of what a server refused."""


@dataclass(slots=True)
class _Tried:
    """How one transport fared: the last reason for what did not come, and whether the server was away at the end."""

    reason: str = ""
    away: bool = False


class Fetcher:
    """Fetches units; one serves all workers. `arrived` is told the bytes of each instance that is new here."""

    def __init__(
        self,
        manifest: Manifest,
        transports: Transports,
        pauses: Pauses,
        throttle: Throttle,
        temp: Path,
        arrived: Callable[[int], None],
    ) -> None:
        self._manifest, self._transports, self._pauses = manifest, transports, pauses
        self._throttle, self._temp, self._arrived = throttle, temp, arrived
        self._working: dict[tuple[str, str], Series] = {}

    def late(self, received: Received) -> bool:
        """Take an instance that came when nobody waited for it any more; False for one that nobody wants."""
        identity = identify(received.path)
        with self._manifest.lock:
            working = self._working.get((identity.study, identity.series))
            series = working or self._manifest.asked_series(identity.study, identity.series)
            if series is None or (series.listed and identity.instance not in series.wanted):
                return False
        intake = Intake(self._manifest, [series], "move", self._throttle, self._arrived)
        intake.deliver(received)
        if working is None and intake.new:
            state = "complete" if series.complete else "incomplete"
            self._manifest.close_series(series, state, "a part came late", 0.0)
        return bool(intake.new)

    def fetch(self, unit: Unit) -> None:
        """Ask until all is here, or nothing is left to try; the manifest holds what became of it.

        Raises
        ------
        PacsError
            No transport can work at all.
        OutputError
            What comes cannot be written.
        """
        mine = {(one.study, one.uid): one for one in unit.series}
        with self._manifest.lock:
            self._working |= mine
        try:
            self._fetch(unit)
        finally:
            with self._manifest.lock:
                for key in mine:
                    self._working.pop(key, None)

    def _fetch(self, unit: Unit) -> None:
        began = time.monotonic()
        last, away = "", 0
        broken: list[PacsError] = []
        for name in self._transports.names:
            if _complete(unit) or self._pauses.ended:
                break
            try:
                tried = self._by(name, unit)
            except PacsError as error:
                broken.append(error)
                last = str(error)
            else:
                last = tried.reason or last
                away += tried.away
        if broken and len(broken) == len(self._transports.names):
            raise broken[0]
        if away and away + len(broken) == len(self._transports.names):
            self._pauses.away()
        self._close(unit, last, time.monotonic() - began)

    def _by(self, name: str, unit: Unit) -> _Tried:
        """Ask over one transport."""
        transport = self._transports.get(name)
        tried = _Tried()
        for stage in ("whole", "list", "alone"):
            if stage == "list" and tried.away:
                continue  # it waited long enough: either the server is gone, or one instance makes it hang up
            idle = 0
            for request, series in _requests(unit, stage):
                if not self._pauses.may_go_on():
                    return tried
                answer, new = self._ask(transport, request, series, unit, self._pauses.patience(stage == "alone"))
                tried.reason = answer.reason or tried.reason
                tried.away = not new and answer.outcome in ("dropped", "silent")
                idle = 0 if new else idle + 1
                if stage == "alone" and idle >= ALONE:
                    return tried
                if stage == "whole" and answer.outcome == "refused" and not new and not answer.refused:
                    return tried  # it will not do this at all
            if _complete(unit):
                return _Tried()
        return tried

    def _ask(
        self, transport: Transport, request: Request, series: list[Series], unit: Unit, waits: tuple[float, ...]
    ) -> tuple[Answer, int]:
        """Send one request, again after a pause where the server was away; return its last answer and what is new."""
        for wait in (*waits, None):
            intake = Intake(self._manifest, series, transport.name, self._throttle, self._arrived)
            for one in series:
                self._manifest.tried(one, request.instance_uids)
            answer = transport.fetch(request, self._temp, intake.deliver, self._pauses.halt)
            self._learn(series, answer, unit)
            if intake.new or answer.outcome not in _AWAY:
                self._pauses.answered()
            if intake.new or wait is None or not self._pauses.may_go_on():
                break
            if answer.outcome == "stopped":
                continue  # the window was closed in the meantime
            if answer.outcome not in _AWAY:
                break
            self._pauses.sleep(max(wait, answer.wait))
        if answer.outcome == "busy" and intake.new:
            self._pauses.sleep(max(answer.wait, waits[0] if waits else 0.0))
        return answer, intake.new

    def _learn(self, series: Sequence[Series], answer: Answer, unit: Unit) -> None:
        """Keep what the server says of single instances, and of the size of what it does not list."""
        for refusal in answer.refused:
            if refusal.kind == "instance" and refusal.uid:
                unit.reasons[refusal.uid] = (refusal.code, answer.reason)
        if len(series) == 1 and not series[0].listed and series[0].expected is None and answer.ok:
            counted = (answer.completed or 0) + (answer.warning or 0)
            series[0].expected = max(counted, len(series[0].here))

    def _close(self, unit: Unit, last: str, seconds: float) -> None:
        """Note what became of everything that was wanted."""
        ended = self._pauses.ended
        with self._manifest.lock:
            for series in unit.series:
                for uid in series.wanted:
                    code, reason = unit.reasons.get(uid, (None, ""))
                    if code is not None:
                        self._manifest.mark(series.id, uid, "refused", code, reason)
                    else:
                        why = series.notes.get(uid) or ended or last or "the server did not send it"
                        self._manifest.mark(series.id, uid, "missing", None, why)
                state = "complete" if series.complete else "incomplete"
                reason = ended or last
                if series.complete:
                    reason = f"grew by {series.grew:,} while it was retrieved" if series.grew else ""
                self._manifest.close_series(series, state, reason, seconds)


def _complete(unit: Unit) -> bool:
    return all(series.complete for series in unit.series)


def _requests(unit: Unit, stage: str) -> Iterator[tuple[Request, list[Series]]]:
    """What a stage asks for, of that which is missing when it is asked."""
    if stage == "whole" and unit.whole and len(unit.series) > 1 and not any(one.here for one in unit.series):
        yield _for(unit.study, None, (), unit.series), unit.series
        return
    for series in unit.series:
        if series.complete:
            continue
        if stage == "whole":
            # A series of which a part is here is asked for by list, where there is one: nothing comes twice.
            if not series.listed or not (series.here or unit.by_list):
                yield _for(unit.study, series.uid, (), [series]), [series]
        elif series.listed and stage == "list":
            yield _for(unit.study, series.uid, tuple(sorted(series.wanted)), [series]), [series]
        elif series.listed:
            for uid in sorted(series.wanted):
                yield _for(unit.study, series.uid, (uid,), [series]), [series]


def _for(study: str, uid: str | None, instances: tuple[str, ...], series: Sequence[Series]) -> Request:
    """A request that says what a find told of the classes and syntaxes that will come."""
    pairs = [pair for one in series for pair in one.wanted.values()]
    classes = tuple(dict.fromkeys(first for first, _ in pairs if first))
    syntaxes = tuple(dict.fromkeys(second for _, second in pairs if second))
    return Request(study, uid, instances, classes, syntaxes)

"""A retrieval: requests are planned, series fetched by several workers, and the server asked once more at the end.

One thread plans, some fetch, and the caller's own looks after them: it commits, tells how it goes on, and has all of
them end when they must. What is received lies below one folder, with the manifest.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from crawler.errors import RequestError
from crawler.pacs.accounts import Counts
from crawler.pacs.fetching import Fetcher, Transports, Unit
from crawler.pacs.manifest import Manifest
from crawler.pacs.model import Finder, Note
from crawler.pacs.pauses import Pauses
from crawler.pacs.planner import Accept, Planner, Study
from crawler.pacs.schedule import Rate, Throttle
from crawler.pacs.wanted import Ask
from crawler.paths import TEMP

T = TypeVar("T")

COMMIT_SECONDS = 0.5
ROUNDS = 3  # most times that a study which grows is asked about again
_TICK = 0.1
_WAITING = 256  # units that are planned ahead
_AWAY = ("busy", "dropped", "silent")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a retrieval stands: what is planned up to now, and what of it is done."""

    requests: int = 0
    planned: int = 0
    series: int = 0
    series_done: int = 0
    wanted: int = 0
    received: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waiting: bool = False
    over: bool = False


@dataclass(slots=True)
class _Tally:
    lock: threading.Lock = field(default_factory=threading.Lock)
    planned: int = 0
    series: int = 0
    series_done: int = 0
    wanted: int = 0
    received: int = 0
    bytes: int = 0

    def add(self, **counts: int) -> None:
        with self.lock:
            for name, number in counts.items():
                setattr(self, name, getattr(self, name) + number)


class Retrieval:
    """One retrieval into an open manifest.

    Parameters
    ----------
    level
        What one request retrieves: "study", "series" or "image".
    workers
        Fetches at a time.
    accept
        Whether a series is wanted, by the server's answer at series level.
    show
        Told how it stands, several times a second.
    complete
        Told of each (study, series) that is here as a whole, in any thread.
    """

    def __init__(
        self,
        manifest: Manifest,
        finder: Finder,
        transports: Transports,
        pauses: Pauses,
        *,
        level: str = "series",
        workers: int = 1,
        rate: Rate = Rate(),  # noqa: B008 - a frozen value
        accept: Accept = lambda match: True,
        note: Note = lambda text: None,
        show: Callable[[Standing], None] = lambda standing: None,
        complete: Callable[[str, str], None] = lambda study, series: None,
    ) -> None:
        self._manifest, self._finder, self._transports, self._pauses = manifest, finder, transports, pauses
        self._level, self._workers, self._note, self._show = level, workers, note, show
        self._complete = complete
        self._planner = Planner(finder, accept, note)
        self._temp = manifest.root / TEMP / "arriving"
        self._tally = _Tally()
        throttle = Throttle(rate, pauses.sleep)
        self._fetcher = Fetcher(manifest, transports, pauses, throttle, self._temp, self._arrived)
        transports.set_late(self._fetcher.late)
        self._units: queue.Queue[Unit] = queue.Queue(_WAITING)
        self._queued: set[int] = set()
        self._studies: dict[tuple[str, int], Study] = {}
        self._deferred: set[int] = set()
        self._failures: list[BaseException] = []

    def run(self, asks: Sequence[Ask]) -> Counts:
        """Retrieve what is asked for, or as much as can be.

        Raises
        ------
        PacsError
            The server cannot be used.
        OutputError, LedgerError
            What comes cannot be kept.
        """
        self._began = time.monotonic()
        self._asks = asks
        self._temp.mkdir(parents=True, exist_ok=True)
        for left in self._temp.iterdir():  # of a killed retrieval; the manifest's lock is ours
            left.unlink(missing_ok=True)
        self._manifest.begin()
        self._round(lambda: self._plan(asks))
        for _ in range(ROUNDS):
            if self._pauses.ended or not (self._studies or self._deferred):
                break
            studies, self._studies = self._studies, {}
            self._queued.clear()
            self._round(lambda todo=studies: self._plan_again(todo))  # type: ignore[misc]
        if self._pauses.ended:
            self._manifest.leave(self._pauses.ended)
        self._manifest.commit()
        self._tell(over=True)
        if self._failures:
            raise self._failures[0]
        return self._manifest.counts()

    # -- threads -------------------------------------------------------------------------------------------------

    def _round(self, plan: Callable[[], None]) -> None:
        """Plan and fetch until both are done."""
        planned = threading.Event()

        def planning() -> None:
            try:
                plan()
            finally:
                planned.set()

        committed = time.monotonic()
        pool = ThreadPoolExecutor(self._workers + 1, thread_name_prefix="dme-pacs")
        try:
            waiting = {pool.submit(planning), *(pool.submit(self._work, planned) for _ in range(self._workers))}
            while waiting:
                done, waiting = wait(waiting, _TICK, FIRST_COMPLETED)
                self._failures += [error for future in done if (error := future.exception()) is not None]
                if self._failures:
                    self._pauses.end("stopped")
                self._pauses.look()
                if self._pauses.ended:
                    self._finder.close()  # a find that waits for its server would hold everything up
                self._tell()
                if time.monotonic() - committed > COMMIT_SECONDS:
                    self._manifest.commit()
                    committed = time.monotonic()
        finally:
            self._pauses.end("stopped") if waiting else None
            pool.shutdown(wait=not waiting, cancel_futures=True)

    def _work(self, planned: threading.Event) -> None:
        while not self._pauses.ended:
            try:
                unit = self._units.get(timeout=_TICK)
            except queue.Empty:
                if planned.is_set():
                    return
                continue
            self._fetcher.fetch(unit)
            for series in unit.series:
                if series.complete:
                    self._complete(series.study, series.uid)
            self._tally.add(series_done=len(unit.series))

    def _arrived(self, size: int) -> None:
        self._tally.add(received=1, bytes=size)

    def _tell(self, over: bool = False) -> None:
        tally = self._tally
        self._show(
            Standing(
                len(self._asks),
                tally.planned,
                tally.series,
                tally.series_done,
                tally.wanted,
                tally.received,
                tally.bytes,
                time.monotonic() - self._began,
                self._pauses.waiting,
                over,
            )
        )

    # -- planning ------------------------------------------------------------------------------------------------

    def _plan(self, asks: Sequence[Ask]) -> None:
        for ask in asks:
            if ask.wrong:
                self._manifest.add_request(ask, "bad", ask.wrong)
            elif self._pauses.may_go_on():
                self._plan_one(ask, self._manifest.add_request(ask))
            else:
                self._manifest.add_request(ask, "failed", f"not asked: {self._pauses.ended}")
            self._tally.add(planned=1)

    def _plan_one(self, ask: Ask, request: int) -> None:
        studies = series = 0
        try:
            uids = self._patiently(lambda: list(self._planner.studies(ask.keys)))
            for uid in uids:
                study = self._patiently(lambda uid=uid: self._planner.study(uid, ask.keys))  # type: ignore[misc]
                studies += bool(study.series)
                series += len(study.series)
                self._take(study, request)
        except RequestError as error:
            self._manifest.end_request(request, "failed", error.reason, studies)
            return
        if not uids:
            self._manifest.end_request(request, "none", "no study matches", 0)
        elif not series:
            self._manifest.end_request(request, "none", "the study has no such series or instance", len(uids))
        elif studies > 1:
            reason = "; ".join(filter(None, [f"{studies:,} studies match", ask.remark]))
            self._manifest.end_request(request, "several", reason, studies)
        else:
            self._manifest.end_request(request, "found", ask.remark, studies)

    def _take(self, study: Study, request: int, again: bool = False) -> None:
        """Note what is wanted of a study, and queue what is not here."""
        todo = []
        for listed in study.series:
            series, new = self._manifest.want(listed, request)
            if series.id in self._queued:  # by another request; what this one wants beyond comes in the next round
                self._deferred.add(series.id)
                continue
            if again and new:
                series.grew = new
                self._note("a series grew while it was retrieved: what is new is asked for, too")
            if series.complete:
                if not again:
                    self._manifest.close_series(series, "complete", "", 0.0)
                    self._complete(series.study, series.uid)
            else:
                self._queued.add(series.id)
                todo.append(series)
        if not todo:
            return
        self._manifest.commit()  # what arrives is noted by its series, which must be known after a kill
        self._studies[study.uid, request] = study
        self._tally.add(series=len(todo), wanted=sum(len(one.wanted) or one.expected or 0 for one in todo))
        if self._level == "study" and not study.some:
            self._put(Unit(study.uid, todo, whole=study.whole))
        else:
            for series in todo:
                self._put(Unit(study.uid, [series], by_list=study.some or self._level == "image"))

    def _put(self, unit: Unit) -> None:
        while not self._pauses.ended:
            try:
                self._units.put(unit, timeout=_TICK)
            except queue.Full:
                continue
            return

    def _plan_again(self, studies: Mapping[tuple[str, int], Study]) -> None:
        """Ask once more about studies of which something was fetched: they may have grown in the meantime."""
        deferred, self._deferred = self._deferred, set()
        for series in map(self._manifest.series, sorted(deferred)):
            if self._manifest.untried(series):
                self._queued.add(series.id)
                self._put(Unit(series.study, [series], by_list=True))
        for (uid, request), study in studies.items():
            if not self._pauses.may_go_on():
                return
            known = self._manifest.known(uid)
            try:
                now = self._patiently(
                    lambda uid=uid, study=study, known=known: self._planner.study(uid, study.keys, known)  # type: ignore[misc]
                )
            except RequestError as error:
                self._note(f"the server was not asked a second time about a study: {error.reason}")
                continue
            self._take(self._grown(now), request, again=True)

    def _grown(self, study: Study) -> Study:
        """Of a study that is looked at again: the series that hold more than was known."""
        known = self._manifest.instances_of(study.uid)
        series = [
            one
            for one in study.series
            if one.uid not in known or (one.instances is not None and not one.instances.keys() <= known[one.uid])
        ]
        return Study(study.uid, study.keys, tuple(series), False, study.some)

    def _patiently(self, find: Callable[[], T]) -> T:
        """Do a find, again after a pause where the server was away or busy."""
        for pause in self._pauses.waits:
            try:
                return find()
            except RequestError as error:
                if error.outcome not in _AWAY or not self._pauses.may_go_on():
                    raise
                pause = max(pause, error.wait)
            self._pauses.sleep(pause)
        return find()

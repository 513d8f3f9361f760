"""Exporting while retrieving goes on: the retrieval runs in a process of its own, and complete series pass a gate.

A thread would share the interpreter's lock with the engine, and keep its workers from being forked. The helper process
tells its progress, and each series that is complete, as lines of JSON; it ends when its standard input does, so that it
never outlives the run. The last pass of the engine, over everything, is the caller's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crawler import errors
from crawler.config.loader import Config
from crawler.engine.crawl import Engine
from crawler.engine.interrupts import GRACE
from crawler.engine.own_outputs import own_outputs
from crawler.engine.progress import Progress, Silent
from crawler.engine.retrieving import retrieve
from crawler.errors import StopError
from crawler.ledger.store import Store
from crawler.pacs.accounts import Counts
from crawler.pacs.identify import place
from crawler.pacs.retrieval import Standing
from crawler.privacy.policy import Policy
from crawler.sources.directory import Outputs, Root

log = logging.getLogger("dme")

_TICK = 0.1
# A pass walks the tree of received files: it waits so many times longer than the last walk took.
_REST = 10.0
_LEAST = 2.0  # seconds between two passes


class Gate(Outputs):
    """Own outputs, and every series of the received files that is not known to be complete: not crawled yet."""

    def __init__(self, ours: Outputs, received: str) -> None:
        super().__init__()
        self.folders, self.files = ours.folders, ours.files
        self._received = os.path.realpath(received)
        self.admitted: set[str] = set()

    def admit(self, study: str, series: str) -> None:
        """Let a series through from now on."""
        self.admitted.add(os.path.join(self._received, *place(study, series, "").split("/")[:2]))

    def hides(self, real: str) -> bool:
        """Whether a folder is ours, or may be incomplete."""
        if super().hides(real):
            return True
        return os.path.dirname(os.path.dirname(real)) == self._received and real not in self.admitted


class Overlap:
    """One retrieval with engine passes in between.

    Parameters
    ----------
    stopped
        Whether the user wants the run to end.
    """

    def __init__(
        self,
        store: Store,
        roots: list[Root],
        progress: Progress,
        stopped: Callable[[], bool],
        policy: Policy | None = None,
    ) -> None:
        self._policy = policy
        self._store, self._roots, self._progress, self._stopped = store, roots, progress, stopped
        config = store.config
        self._settle = config.pacs.settle if config.pacs else 0.0
        self._gate = Gate(own_outputs(config), config.pacs_dir or "")
        self._complete: dict[tuple[str, str], float] = {}
        self._buffer = b""
        self._end: dict[str, Any] = {}
        self.handled = 0
        self.passes = 0

    def run(self) -> tuple[Counts, str]:
        """Retrieve, and export what is complete; as `retrieve`, whose errors it raises, too."""
        with _helper(self._store.config) as helper:
            rest = time.monotonic() + _LEAST
            while self._pump(helper):
                if time.monotonic() >= rest and not self._stopped() and self._admit():
                    began = time.monotonic()
                    self._pass(helper)
                    rest = time.monotonic() + max(_LEAST, _REST * (time.monotonic() - began) if self.passes > 3 else 0)
                else:
                    time.sleep(_TICK)
            code = helper.wait()
        if "error" in self._end:
            name, text = self._end["error"]
            kind = getattr(errors, name, StopError)
            raise kind(text)
        if "counts" not in self._end:
            raise StopError(f"the process that retrieves ended too early (exit code {code}); run again to go on")
        return Counts(**self._end["counts"]), str(self._end["fingerprint"])

    def _admit(self) -> bool:
        """Open the gate for series that were complete for a while; whether there are any."""
        now = time.monotonic()
        ready = [series for series, since in self._complete.items() if now - since >= self._settle]
        for series in ready:
            del self._complete[series]
            self._gate.admit(*series)
        return bool(ready)

    def _pass(self, helper: subprocess.Popen[bytes]) -> None:
        """Export what the gate lets through; what the ledger knows beyond is left as it is."""
        self._store.ledger.begin_survey()
        progress = _Pumping(lambda: self._pump(helper))
        engine = Engine(self._store, self._roots, progress, self._stopped, self._gate, policy=self._policy)
        engine.run()
        self.handled += engine.handled
        self.passes += 1

    def _pump(self, helper: subprocess.Popen[bytes]) -> bool:
        """Take in what the helper says; False when it has ended. It learns at once that it has to stop."""
        assert helper.stdout is not None, "it is a pipe"
        if helper.stdin is not None and not helper.stdin.closed and self._stopped():
            helper.stdin.close()
        while True:
            try:
                data = os.read(helper.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        if "standing" in event:
            self._progress.retrieving(Standing(**event["standing"]))
        elif "complete" in event:
            study, series = event["complete"]
            self._complete[study, series] = time.monotonic()
        elif "note" in event:
            level, text = event["note"]
            log.log(level, "%s", text)
        else:
            self._end = event


class _Pumping(Silent):
    """Progress of a pass: nothing is shown, but what the helper says meanwhile is taken in."""

    def __init__(self, pump: Callable[[], object]) -> None:
        self._pump = pump

    def advance(self, files: int, size: int, failed: int) -> None:
        """Look at the helper."""
        self._pump()


@contextlib.contextmanager
def _helper(config: Config) -> Any:
    """The helper process, with the configuration sent to it; ended in any case."""
    package = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {package!r}); from crawler.engine.overlap import serve; serve()"
    helper = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it ended at once; its exit code tells
            pickle.dump(config, helper.stdin)
            helper.stdin.flush()
        os.set_blocking(helper.stdout.fileno(), False)
        yield helper
    finally:
        with contextlib.suppress(OSError):
            helper.stdin.close()
        try:
            helper.wait(timeout=10)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()
        helper.stdout.close()


# -- in the helper process ------------------------------------------------------------------------------------------


def serve() -> None:
    """Be the helper: retrieve by the configuration on standard input, and tell how it goes on standard output."""
    import select
    import signal
    import threading
    import warnings

    # Ctrl-C goes to the whole group, and so do a scheduler's signals; the parent says when to stop.
    for name in ("SIGINT", *GRACE):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    warnings.simplefilter("ignore")  # they may quote values of elements
    config: Config = pickle.load(sys.stdin.buffer)
    lock = threading.Lock()

    def tell(**event: Any) -> None:
        with lock:
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(note=[record.levelno, record.getMessage()])

    class Told(Silent):
        def retrieving(self, standing: Standing) -> None:
            tell(standing=asdict(standing))

    def stopped() -> bool:
        readable, _, _ = select.select([sys.stdin], [], [], 0)
        return bool(readable) and not os.read(sys.stdin.fileno(), 1)

    log.addHandler(Forward())
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        counts, fingerprint = retrieve(config, Told(), stopped, lambda study, series: tell(complete=[study, series]))
    except StopError as error:
        tell(error=[type(error).__name__, str(error)])
    except BrokenPipeError:  # the parent is gone
        os._exit(1)
    else:
        tell(counts=counts.to_json(), fingerprint=fingerprint)

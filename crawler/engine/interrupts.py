"""Ctrl-C, SIGTERM and SIGUSR1 as a wish: the run looks at it between two steps and stops with everything in order."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger("dme")

# Seconds that tasks at hand may still take. After SIGTERM a scheduler waits 30 s before it kills (KillWait of
# slurm.conf, terminationGracePeriodSeconds of Kubernetes); SIGUSR1 comes when the user of `sbatch --signal` wants it,
# and the scripts of `dme slurm` have it come 120 s before the limit.
GRACE = {"SIGTERM": 20.0, "SIGUSR1": 90.0}


class Stop(threading.Event):
    """Whether the run shall end, and until when what is at hand may be finished.

    Attributes
    ----------
    until
        Moment, as `time.monotonic` has it; the past when the run shall end at once.
    """

    until = 0.0

    def is_patient(self) -> bool:
        """Whether what is at hand may still be finished."""
        return time.monotonic() < self.until


@contextlib.contextmanager
def interrupts() -> Iterator[Stop]:
    """Ctrl-C asks for a clean stop, SIGTERM and SIGUSR1 for one after the tasks at hand; a second one stops at once.

    A scheduler may send both in a row: SIGUSR1 near the time limit, SIGTERM at it. SIGTERM then shortens the grace.
    """
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if stop.is_set() and (name == "SIGINT" or not stop.is_patient()):
            raise KeyboardInterrupt
        grace = time.monotonic() + GRACE.get(name, 0.0)
        stop.until = min(stop.until, grace) if stop.is_set() else grace
        stop.set()
        log.warning("stopping: what is done is kept (interrupt again to stop at once)")

    wanted = [getattr(signal, name) for name in ("SIGINT", *GRACE) if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, ask) for number in wanted} if main else {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C and SIGTERM as a wish: the run looks at it between two steps and stops with everything in order."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger("dme")


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM ask for a clean stop; a second one stops at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        log.warning("stopping: what is done is kept (interrupt again to stop at once)")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)} if main else {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

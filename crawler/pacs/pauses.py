"""What makes a retrieval wait or end: the user, the hours of the day, the space on the disk, a server that is away.

One event says "not now" to everything that is under way. It connects to nothing.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from crawler.pacs.schedule import Window

# Seconds before a request is repeated that met a busy server or none: two minutes in all, so that one that restarts
# loses nothing.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
HURRY = 3  # series in a row for which that was in vain: from then on, one short pause each
GIVE_UP = 20  # series in a row: the server is gone. Some could be such that it hangs up on them; so many hardly are
_LOOK = 0.25  # seconds between two looks while nothing may be done


class Pauses:
    """Asked by workers before each request, and told by the main thread to look around.

    Parameters
    ----------
    stopped
        Whether the user wants it to end.
    waits
        As `WAITS`.
    """

    def __init__(
        self,
        folder: Path,
        stopped: Callable[[], bool],
        window: Window | None = None,
        free_space: int = 0,
        waits: tuple[float, ...] = WAITS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._stopped, self._window, self._free_space = folder, stopped, window, free_space
        self._now = now
        self.waits = waits
        self.halt = threading.Event()
        self._lock = threading.Lock()
        self._ended = ""
        self._closed = False
        self._away = 0
        self.look()

    @property
    def ended(self) -> str:
        """Why nothing more is asked for; empty while it goes on."""
        return self._ended

    @property
    def waiting(self) -> bool:
        """Whether the window is closed."""
        return self._closed and not self._ended

    def look(self) -> None:
        """See whether the retrieval may go on, and halt what is under way when it may not."""
        if self._stopped():
            self.end("interrupted")
        elif self._free_space and shutil.disk_usage(self._folder).free < self._free_space:
            self.end("too little space is free on the disk: see pacs.free_space")
        self._closed = self._window is not None and self._window.wait(self._now()) > 0
        if self._closed or self._ended:
            self.halt.set()
        else:
            self.halt.clear()

    def end(self, reason: str) -> None:
        """Have everything end, for the first reason that is given."""
        with self._lock:
            self._ended = self._ended or reason
            self.halt.set()

    def may_go_on(self) -> bool:
        """Wait for the window to open; False when all is to end."""
        while not self._ended:
            if not self._closed:
                return True
            threading.Event().wait(_LOOK)
        return False

    def sleep(self, seconds: float) -> None:
        """Wait, unless all is halted."""
        self.halt.wait(seconds)

    def answered(self) -> None:
        """Note that the server does its work."""
        self._away = 0

    def patience(self, short: bool) -> tuple[float, ...]:
        """The pauses that a request is worth; `short` for one of many."""
        return self.waits[:1] if short or self._away >= HURRY else self.waits

    def away(self) -> None:
        """Note that a series was given up because the server was away all along."""
        with self._lock:
            self._away += 1
            gone = self._away >= GIVE_UP
        if gone:
            self.end("the server was away, or too busy, for too long")

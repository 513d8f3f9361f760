"""How kind we are to a server: the hours in which it may be asked, and how much a second.

It reads no clock but the one it is given, so that tests need not wait.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from datetime import time as Clock
from typing import NamedTuple

_WINDOW = re.compile(r"\s*(\d{1,2}:\d\d)\s*-\s*(\d{1,2}:\d\d)(?:\s+(\S+))?\s*", re.ASCII)
_RATE = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([kKmMgG]?)[bB](?:/s)?\s*", re.ASCII)
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


class Window(NamedTuple):
    """Hours of each day, such as 20:00 to 06:00; `zone` is None for the machine's own time."""

    start: Clock
    end: Clock
    zone: tzinfo | None = None

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read "20:00-06:00" or "20:00-06:00 Europe/Zurich".

        Raises
        ------
        ValueError
            Says what is expected.
        """
        match = _WINDOW.fullmatch(text)
        try:
            if match is None:
                raise ValueError(text)
            start, end = (datetime.strptime(part, "%H:%M").time() for part in match.group(1, 2))
        except ValueError:
            raise ValueError('two times of day, such as "20:00-06:00", and a time zone if need be') from None
        if start == end:
            raise ValueError("two different times of day")
        return cls(start, end, _zone(match[3]) if match[3] else None)

    def wait(self, moment: datetime) -> float:
        """Seconds from an aware moment until the window is open; 0 when it is."""
        local = moment.astimezone(self.zone)
        now = local.time()
        inside = self.start <= now < self.end if self.start < self.end else now >= self.start or now < self.end
        if inside:
            return 0.0
        opens = local.replace(hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0)
        if opens <= local:
            opens += timedelta(days=1)
        # by the clock of the wall first, then in true seconds: a night of 23 or 25 hours is one too
        return max(0.0, opens.timestamp() - local.timestamp())


class Rate(NamedTuple):
    """At most so much a second; None: no bound."""

    files: float | None = None
    bytes: float | None = None

    @classmethod
    def parse(cls, written: str | float) -> Rate:
        """Read a number (files a second) or a text such as "20 MB" (bytes a second).

        Raises
        ------
        ValueError
            Says what is expected.
        """
        if isinstance(written, int | float) and not isinstance(written, bool):
            if written > 0:
                return cls(files=float(written))
        elif isinstance(written, str) and (match := _RATE.fullmatch(written)) and float(match[1]) > 0:
            return cls(bytes=float(match[1]) * _UNITS[match[2].lower()])
        raise ValueError("files a second (20), or bytes a second (5 MB)")


class Throttle:
    """Spaces transfers of several threads: each arrival pays for itself, and waits while the account is empty.

    Parameters
    ----------
    clock, sleep
        Monotonic seconds, and a wait that a stop may end early (`threading.Event.wait`).
    """

    def __init__(
        self, rate: Rate, sleep: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._sleep, self._clock = rate, sleep, clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def spend(self, size: int) -> None:
        """Account for one file of so many bytes; return when the next one may come."""
        cost = 0.0
        if self._rate.files:
            cost = 1 / self._rate.files
        if self._rate.bytes:
            cost = max(cost, size / self._rate.bytes)
        if not cost:
            return
        with self._lock:
            now = self._clock()
            self._free_at = max(now, self._free_at) + cost
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # 5 ms, and no run without a window needs it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a time zone such as Europe/Zurich or UTC after the times") from None

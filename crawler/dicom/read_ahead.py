"""Files opened ahead of their reader, in threads, where an open costs milliseconds: meanwhile others are decoded.

Whoever reads many files in a known order announces them (`ReadAhead.announce`). On a local disk that does nothing: an
open takes some 30 us there, and a thread would cost more. The first opens are measured to tell. What is ready is
bounded in number and in bytes. It knows no file formats: how a file is made ready is the caller's.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, BinaryIO

from crawler.model import File

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# Median seconds of the last opens, with the first block read, above which files are opened ahead. A local disk needs
# 20 to 100 us, a parallel file system 1 to 50 ms.
SLOW = 0.001
_MEASURED, _LEAST = 9, 5
# Opened at a time by one process: at 20 ms an open, 1.5 files a millisecond, about what a worker's headers take.
IN_FLIGHT = 32
BUDGET = 64 << 20  # bytes made ready at a time by one process

Prepared = tuple[File, int]
"""A file, and the bytes that it holds once it is ready."""


class ReadAhead:
    """What this process opens ahead.

    Attributes
    ----------
    slow
        Whether opens were found to cost time.
    """

    def __init__(self) -> None:
        self.slow = False
        self._seconds: deque[float] = deque(maxlen=_MEASURED)
        self._plans: list[_Plan] = []

    def measured(self, seconds: float) -> None:
        """Note what an open took that nobody had announced, or that came before it was known."""
        if not self.slow:
            self._seconds.append(seconds)
            self.slow = len(self._seconds) >= _LEAST and median(self._seconds) >= SLOW

    @contextlib.contextmanager
    def announce(
        self, files: Sequence[Prepared], prepare: Callable[[int], BinaryIO], is_on: Callable[[], bool]
    ) -> Iterator[None]:
        """Say which files are opened next, in order; what nobody took by the end is closed.

        Parameters
        ----------
        prepare
            Opens the file of that number; called in threads.
        is_on
            Whether it is worth while by now.
        """
        plan = _Plan(files, prepare, is_on)
        self._plans.append(plan)
        try:
            plan.fill()
            yield
        finally:
            self._plans.remove(plan)
            plan.close()

    def take(self, file: File) -> BinaryIO | None:
        """A file that is ready, or on its way: then it is waited for. None when it has to be opened now.

        Raises
        ------
        As opening it does.
        """
        for plan in reversed(self._plans):
            found = plan.take(file)
            if found is not None:
                return found
        return None


class _Plan:
    """Files of one announcement."""

    def __init__(
        self, files: Sequence[Prepared], prepare: Callable[[int], BinaryIO], is_on: Callable[[], bool]
    ) -> None:
        self._files, self._prepare, self._is_on = files, prepare, is_on
        self._numbers: dict[File, int] = {}
        self._next = 0  # the first that was neither begun nor passed
        self._waiting: dict[int, Future[BinaryIO]] = {}
        self._bytes = 0
        self._threads: ThreadPoolExecutor | None = None

    def take(self, file: File) -> BinaryIO | None:
        if not self._is_on():
            return None
        if not self._numbers:
            self._numbers = {one: number for number, (one, _) in enumerate(self._files)}
        number = self._numbers.get(file)
        if number is None:
            return None
        future = self._waiting.pop(number, None)
        if future is not None:
            self._bytes -= self._files[number][1]
        self._next = max(self._next, number + 1)
        self.fill()
        return None if future is None else future.result()

    def fill(self) -> None:
        """Begin as many as there is room for."""
        if self._next >= len(self._files) or not self._is_on():
            return
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # where storage is slow, and nowhere else

            self._threads = ThreadPoolExecutor(min(IN_FLIGHT, len(self._files)))
        while self._next < len(self._files) and len(self._waiting) < IN_FLIGHT:
            size = self._files[self._next][1]
            if self._waiting and self._bytes + size > BUDGET:
                return
            self._waiting[self._next] = self._threads.submit(self._prepare, self._next)
            self._bytes += size
            self._next += 1

    def close(self) -> None:
        """Close what nobody took."""
        if self._threads is None:
            return
        self._threads.shutdown(wait=True, cancel_futures=True)
        for future in self._waiting.values():
            if not future.cancelled() and future.exception() is None:
                future.result().close()
        self._waiting.clear()


# What this process has learnt of its storage, and what is ready: no result depends on it.
read_ahead = ReadAhead()

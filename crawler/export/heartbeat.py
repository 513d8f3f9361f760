"""Where a worker says what it is on: which item of its task, at which stage, and since when.

The notes lie in memory that worker and parent share, so the parent can name the culprit when the process dies, hangs or
outgrows its memory. Nothing here starts or stops a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STAGES = ("find", "header", "layout", "pixels", "write")
SLOT = 4  # doubles a worker: item, stage, since, ticket


class Heartbeat:
    """Where a worker says what it is on. In the parent's own process (`Inline`) it only remembers."""

    def __init__(self, slots: Any, base: int = 0) -> None:
        self._slots = slots
        self._base = base
        self.clear()

    def note(self, item: int, stage: str) -> None:
        """Say that work on `item` enters `stage`, or makes progress in it: the clock starts anew."""
        slots, base = self._slots, self._base
        slots[base] = item
        slots[base + 1] = STAGES.index(stage)
        slots[base + 2] = time.monotonic()

    def clear(self) -> None:
        """Say that nothing in particular is being worked on."""
        self._slots[self._base] = -1
        self._slots[self._base + 1] = 0
        self._slots[self._base + 2] = time.monotonic()

    def begin(self, ticket: int) -> None:
        """Say that a task has arrived."""
        self.clear()
        self._slots[self._base + 3] = ticket

    def begun(self) -> int:
        """Ticket of the last task that arrived."""
        return int(self._slots[self._base + 3])

    def where(self) -> tuple[int | None, str, float]:
        """Item (None if none was noted), stage and time of the last note."""
        item, stage, since, _ = self._slots[self._base : self._base + SLOT]
        return (int(item) if item >= 0 else None), STAGES[int(stage)], since


Work = Callable[[Any, Heartbeat], Any]

"""`output.min_free`: a run ends in order before the disk of its outputs is full.

It looks now and then between two steps; what a single task writes may still pass the bound.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from crawler.config.loader import Config
from crawler.engine.interrupts import Stop
from crawler.errors import OutputError
from crawler.ledger.store import output_roots
from crawler.paths import portable

EVERY = 1.0  # seconds from one look to the next; a look takes some microseconds


class FreeSpace:
    """Whether a run shall stop: because it was asked to, or because too little space is left.

    Parameters
    ----------
    stop
        The wish of the user; set, too, when space runs out.
    """

    def __init__(self, config: Config, stop: Stop) -> None:
        self._least, self._roots, self._stop = config.output.min_free, output_roots(config), stop
        self._next = 0.0
        self._short: str | None = None

    def stopped(self) -> bool:
        """As `Stop.is_set`."""
        if self._least and not self._stop.is_set() and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._short = next((root for root in self._roots if _free(root) < self._least), None)
            if self._short is not None:
                self._stop.set()
        return self._stop.is_set()

    def require(self) -> None:
        """Say why the run ended; to be called when all is in order.

        Raises
        ------
        OutputError
            Too little space was left.
        """
        if self._short is not None:
            raise OutputError(
                f"less than {self._least / 1e9:,.3g} GB (output.min_free) are free where {portable(self._short)} lies:"
                " stopped, and what is done is kept; free space and run again"
            )


def _free(folder: str) -> float:
    """Bytes that are free for a folder, which may not be there yet."""
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free
    return float("inf")  # it cannot be told: a write that fails says so

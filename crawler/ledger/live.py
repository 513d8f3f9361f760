"""How far a run is, for others: a small file beside its ledger, which the run's lock keeps them from reading.

The run writes it twice a second at most (`engine/progress_file.py`) and removes it when it ends. It is no record: the
ledger alone says what is done. It holds counts and times, and neither paths nor identifiers.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from crawler.config.loader import Config
from crawler.ledger.store import ledger_of

ENDING = ".progress.json"
_LARGEST = 1 << 16  # bytes; ours have some 500


@dataclass(slots=True)
class Live:
    """The state of a run that goes on.

    Attributes
    ----------
    state
        "starting", "retrieving", "survey" (folders are listed), "running" (files are exported) or "finishing" (tables
        are made).
    began, since, told
        Seconds since the epoch: start of the run, of this state, and when this was written.
    to_do, size
        Files and bytes that this run has to do; what archives hold is known when they are opened.
    done, done_size, failed
        Those that are done.
    retrieval
        Counts of what comes from a PACS, as `pacs.retrieval.Standing` has them; empty without one.
    process, where
        Process id and host.
    """

    state: str
    began: float
    since: float
    told: float
    to_do: int = 0
    size: int = 0
    done: int = 0
    done_size: int = 0
    failed: int = 0
    retrieval: dict[str, Any] = field(default_factory=dict)
    process: int = 0
    where: str = ""

    @property
    def rate(self) -> float:
        """Files a second since the export began; 0 while that is not known."""
        seconds = self.told - self.since
        return self.done / seconds if self.state == "running" and seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """By the rate up to now; None when it cannot be told: nothing is done yet, or archives held more than known."""
        left = self.to_do - self.done
        return left / self.rate if self.rate and left >= 0 else None


def live_path(config: Config) -> str:
    """Where the file of a configuration lies: beside its ledger, and named like it."""
    return os.path.splitext(ledger_of(config))[0] + ENDING


def read_live(path: str) -> Live | None:
    """The last state that a run told; None when there is none, or it is of another version."""
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read(_LARGEST))
        live = Live(**values)
        float(live.rate + (live.seconds_left or 0.0))  # they are numbers
        return live
    except (OSError, ValueError, TypeError):
        return None

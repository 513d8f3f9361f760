"""The bars: what is compared with what in a job, how far apart the two must be, and whether they are.

Ratios are of medians; their spread is that of the rounds, each of which ran both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.measure import Runs
from benchmarks.peers import OURS

MEMORY = 400e6  # bytes of any process, on all jobs
WALK_TIMES, WALK_SECONDS = 3.0, 0.5  # what a second run may cost beside a bare listing

Kind = Literal["speed", "size", "walk"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A demand on this project.

    Attributes
    ----------
    peer
        Name of the contender that it is held against.
    least
        "speed": so many times as fast, at least; 0 for a ratio without a demand. "size": outputs no larger, with least
        = 1. "walk": no slower than `WALK_TIMES` the peer and `WALK_SECONDS`, with least = 1.
    """

    peer: str
    least: float
    kind: Kind = "speed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a bar was met: the ratio, its smallest and largest of all rounds, in words too."""

    ratio: float
    low: float
    high: float
    text: str
    met: bool | None


def judge(bar: Bar, runs: Mapping[str, Runs]) -> Verdict | None:
    """Hold our runs against the peer's; None when the peer did not run."""
    mine, other = runs[OURS], runs.get(bar.peer)
    if other is None:
        return None
    if bar.kind == "size":
        ratio = other.size / mine.size
        return Verdict(ratio, ratio, ratio, "no larger", ratio >= bar.least)
    if bar.kind == "walk":
        ratios = [allowed(its) / my for its, my in zip(other.seconds, mine.seconds, strict=True)]
        ratio, text = allowed(other.middle) / mine.middle, f"≤ {WALK_TIMES:g} walks + {WALK_SECONDS:g} s"
        return Verdict(ratio, min(ratios), max(ratios), text, ratio >= bar.least)
    ratios = [its / my for its, my in zip(other.seconds, mine.seconds, strict=True)]
    ratio = other.middle / mine.middle
    text, met = (f"≥ {bar.least:.2g}x", ratio >= bar.least) if bar.least else ("", None)
    return Verdict(ratio, min(ratios), max(ratios), text, met)


def allowed(walk: float) -> float:
    """Seconds that a second run may take where a bare listing takes `walk`."""
    return WALK_TIMES * walk + WALK_SECONDS

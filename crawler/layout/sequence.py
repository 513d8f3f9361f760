"""Which planes were acquired as one volume: read from a clock or from numbers that run on from plane to plane.

Planes of one volume follow each other, and every volume runs through the positions in the same order. That holds for
acquisition times, trigger times and instance numbers alike. A missing plane leaves the others where they are: a plane
is told by its distance to the start of its volume, never by counting. Where the pattern does not hold, or where it
could begin at several positions, the answer is None. Knows no other element of the header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from crawler.geometry import Floats, Integers

DAY = 86_400.0
"""Seconds of a day."""

DISTINCT_GAP = 1.5
"""The pause between two volumes tells where one begins when it is this much longer than any step within a volume."""

WHOLE = 2
"""Volumes without a gap that it takes to show the pattern: a single one may be made of parts of two."""

TIGHT = 1.1
"""A run through all positions that takes longer than the shortest by this factor may be parts of two volumes."""

STEADY = 0.25
"""Positions that keep their own time drift apart by more than this share of a step before a phase of one falls together
with the next phase of another; where all follow one clock they do not."""


SKIPS = 1.8
"""Paces of two positions that differ by more than this: one lacks every second phase, as no heart beats."""


def volumes_in_turn(slots: Integers, clock: Floats, numbered: bool = False, steady: bool = False) -> Integers | None:
    """Number the volumes of planes that were acquired volume by volume.

    Parameters
    ----------
    slots
        Shape (n,): position number of each plane.
    clock
        Shape (n,): a time or a number that increases in the order of acquisition.
    numbered
        The clock is a number that counts planes, from 1 or a multiple of a volume's planes.
    steady
        The clock may begin anew at each position, as a trigger time does: None where the positions drift apart.

    Returns
    -------
    ndarray or None
        Shape (n,): the volume of each plane, from 0, in the order of acquisition; no volume holds a position twice, and
        `WHOLE` of them hold all. None where the clock does not show volumes.
    """
    slots = np.unique(slots, return_inverse=True)[1].reshape(-1)
    count = int(slots.max()) + 1
    order = np.lexsort((slots, clock))
    repeats = _repeats(slots, clock)
    if len(repeats) == 0 or not np.isfinite(clock).all() or repeats.min() <= 0:
        return None  # nothing is repeated, or the clock ties where it should tell
    period, shortest = float(np.median(repeats)), float(repeats.min())
    profile = _profile(slots, clock, order, count)
    if profile is None:
        return None
    run, steps = profile  # positions in their order, and when each comes after the first
    whole = len(slots) % count == 0 and all(len(part) == count for part in _parts(slots, order))
    place = int(np.flatnonzero(run == slots[order[0]])[0])
    start = _start(run, steps, period, whole, (float(clock[order[0]]), place) if numbered else None)
    if start is None:
        return None
    offsets = np.empty(count)
    offsets[run] = steps + np.where(np.arange(count) < start, period, 0.0)
    begins = clock - offsets[slots]
    ranked = np.argsort(begins, kind="stable")
    volumes = np.empty(len(slots), dtype=np.intp)
    volumes[ranked] = np.concatenate([[0], np.cumsum(np.diff(begins[ranked]) > shortest / 2)])
    if steady and _spread(begins, volumes) > STEADY * shortest:
        return None
    sizes = np.bincount(volumes)
    if np.count_nonzero(sizes == count) < WHOLE or len(np.unique(volumes * count + slots)) < len(slots):
        return None
    return volumes


def volumes_by_slice(slots: Integers, numbers: Floats) -> Integers | None:
    """Number the volumes of planes that are numbered slice by slice: all of one position, then all of the next.

    Returns
    -------
    ndarray or None
        As `volumes_in_turn`. None unless every position has equally many planes, their numbers go up by one step
        everywhere, and the first is the first that there can be: a gap in the numbers would shift all that follow.
    """
    counts = np.bincount(slots)
    if not np.isfinite(numbers).all() or counts.min() != counts.max() or counts.max() < 2 or len(counts) < 2:
        return None
    table = np.sort(numbers[np.lexsort((numbers, slots))].reshape(len(counts), -1), axis=1)
    steps, starts = np.diff(table, axis=1), np.sort(table[:, 0])
    step = steps[0, 0]
    if step <= 0 or (steps != step).any() or (np.diff(starts) != step * counts[0]).any():
        return None
    if starts[0] > step and (starts[0] - 1) % (step * counts[0]):
        return None
    return _ranks(slots, numbers)


def phases_by_slice(slots: Integers, clock: Floats) -> Integers | None:
    """Number the phases of a cycle that every position runs through at its own pace, as the heart sets it.

    Returns
    -------
    ndarray or None
        As `volumes_in_turn`. None unless every position has equally many planes, begins alike and leaves none out.
    """
    counts = np.bincount(slots)
    if not np.isfinite(clock).all() or counts.min() != counts.max() or counts.max() < 2:
        return None
    table = np.sort(clock[np.lexsort((clock, slots))].reshape(len(counts), -1), axis=1)
    steps = np.diff(table, axis=1)
    usual = steps.min(axis=1, keepdims=True)
    spread = float(np.ptp(table[:, 0]))  # of a whole step where one position lacks its first phase
    if steps.min() <= 0 or (steps > DISTINCT_GAP * usual).any() or spread > usual.min() / 2:
        return None
    return _ranks(slots, clock)


def phases_by_pace(slots: Integers, clock: Floats) -> Integers | None:
    """Number the phases of such a cycle where some are missing: in whole steps of each position's pace.

    Returns
    -------
    ndarray or None
        As `volumes_in_turn`; the first of all planes is of phase 0. None unless every plane lies near a whole step, and
        every position has three planes: fewer show no pace.
    """
    counts = np.bincount(slots)
    if not np.isfinite(clock).all() or counts.min() < 3:
        return None
    ordered = np.lexsort((clock, slots))
    parts = np.split(clock[ordered], np.cumsum(counts)[:-1])
    pace = np.array([np.median(np.diff(times)) for times in parts])
    if pace.min() <= 0 or pace.max() > SKIPS * pace.min():
        return None
    place = (clock - clock.min()) / pace[slots]
    phases = np.rint(place).astype(np.intp)
    if np.abs(place - phases).max() > STEADY or len(np.unique(phases * len(counts) + slots)) < len(slots):
        return None
    if np.count_nonzero(np.bincount(phases) == len(counts)) < WHOLE:
        return None
    return np.asarray(np.unique(phases, return_inverse=True)[1].reshape(-1), dtype=np.intp)


def past_midnight(times: Floats) -> Floats:
    """Times of day (s) of one scan, which go on past midnight: cut where the day's circle has its longest pause."""
    ordered = np.sort(times)
    pauses = np.append(np.diff(ordered), ordered[0] + DAY - ordered[-1])
    first = ordered[(int(pauses.argmax()) + 1) % len(ordered)]
    return np.asarray(np.where(times < first, times + DAY, times), dtype=np.float64)


def _spread(begins: Floats, volumes: Integers) -> float:
    """The longest time between two planes' beginnings of one volume."""
    earliest, latest = np.full(int(volumes.max()) + 1, np.inf), np.full(int(volumes.max()) + 1, -np.inf)
    np.minimum.at(earliest, volumes, begins)
    np.maximum.at(latest, volumes, begins)
    return float((latest - earliest).max())


def _repeats(slots: Integers, clock: Floats) -> Floats:
    """Steps of the clock between successive planes at one position."""
    order = np.lexsort((clock, slots))
    same = np.diff(slots[order]) == 0
    return np.asarray(np.diff(clock[order])[same], dtype=np.float64)


def _parts(slots: Integers, order: Integers) -> list[list[int]]:
    """Planes in their order, cut where a position comes again."""
    parts: list[list[int]] = []
    seen: set[int] = set()
    for plane, slot in zip(order.tolist(), slots[order].tolist(), strict=True):
        if slot in seen or not parts:
            seen = set()
            parts.append([])
        seen.add(slot)
        parts[-1].append(plane)
    return parts


def _profile(slots: Integers, clock: Floats, order: Integers, count: int) -> tuple[Integers, Floats] | None:
    """The order of positions in a volume, and the clock of each after the first: from volumes that are whole."""
    whole = [part for part in _parts(slots, order) if len(part) == count]
    if not whole:
        return None
    spans = [clock[part[-1]] - clock[part[0]] for part in whole]
    runs = [tuple(slots[part].tolist()) for part in whole]
    tight = [number for number, span in enumerate(spans) if span <= TIGHT * min(spans)]
    usual = Counter(runs[number] for number in tight).most_common(1)[0][0]
    steps = np.array([clock[whole[number]] - clock[whole[number][0]] for number in tight if runs[number] == usual])
    return np.array(usual, dtype=np.intp), np.asarray(np.median(steps, axis=0), dtype=np.float64)


def _start(run: Integers, steps: Floats, period: float, whole: bool, first: tuple[float, int] | None) -> int | None:
    """Where in the run a volume begins: the profile may be cut out of two volumes that follow without a pause.

    Told by the longest pause; else by numbers that count from one, and by positions that go up, down, or by twos. Where
    these do not agree it is not told.

    Parameters
    ----------
    run, steps
        As of `_profile`.
    period
        From a volume to the next.
    whole
        No position is missing if the run begins where it does.
    first
        The smallest number, and its place in the run; None for a clock.
    """
    pauses = np.append(np.diff(steps), period - steps[-1])
    longest = int(pauses.argmax())
    if pauses[longest] > DISTINCT_GAP * np.delete(pauses, longest).max(initial=0.0):
        return (longest + 1) % len(run)
    ends = np.flatnonzero((run < 2) | (run > len(run) - 3)).tolist()  # where a natural order can begin
    natural = [start for start in ends if _is_natural(np.roll(run, -start).tolist())]
    if first is not None:
        number, place = first
        behind = (number - (number != 0)) % round(period)
        counted = [start for start in range(len(run)) if round(steps[place] - steps[start]) % round(period) == behind]
        both = [start for start in counted if start in natural]
        if both or not natural:
            return both[0] if both else (counted[0] if counted and whole else None)
        return None if counted else natural[0] if len(natural) == 1 else None
    if len(natural) == 1:
        return natural[0]
    return 0 if whole else None


def _is_natural(run: Sequence[int]) -> bool:
    """Whether positions go up or down, one by one, or first every other one and then those between."""
    count = len(run)
    ups = [list(range(count)), [*range(0, count, 2), *range(1, count, 2)], [*range(1, count, 2), *range(0, count, 2)]]
    return any(list(run) in (up, up[::-1]) for up in ups)  # from the other end they are the other one backwards


def _ranks(slots: Integers, clock: Floats) -> Integers:
    """Rank of each plane among those at its position."""
    order = np.lexsort((clock, slots))
    ordered = slots[order]
    ranks = np.empty(len(slots), dtype=np.intp)
    ranks[order] = np.arange(len(slots)) - np.searchsorted(ordered, ordered)
    return ranks

"""Volumes read from a clock or from numbers: where the pattern holds they are the true ones, else there are none."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from crawler.layout.sequence import (
    DAY,
    past_midnight,
    phases_by_pace,
    phases_by_slice,
    volumes_by_slice,
    volumes_in_turn,
)

Shot = tuple[int, int, float]
"""Volume, position, clock."""


def turns(volumes: int, run: list[int], step: float = 1.0, pause: float = 1.0) -> list[Shot]:
    """Volumes one after the other, each through the positions of `run`; `pause` from one to the next."""
    period = step * (len(run) - 1) + pause
    return [
        (volume, slot, volume * period + step * place) for volume in range(volumes) for place, slot in enumerate(run)
    ]


def told(shots: list[Shot], numbered: bool = False) -> list[int] | None:
    """What is told of shots in any order, in the order that is given here."""
    order = random.Random(3).sample(range(len(shots)), len(shots))
    slots = np.array([shots[number][1] for number in order], dtype=np.intp)
    clock = np.array([shots[number][2] for number in order], dtype=np.float64)
    found = volumes_in_turn(slots, clock, numbered)
    if found is None:
        return None
    back = dict(zip(order, found.tolist(), strict=True))
    return [back[number] for number in range(len(shots))]


def true(shots: list[Shot]) -> list[int]:
    return [volume for volume, _, _ in shots]


UP, TWOS, LATE = [0, 1, 2, 3, 4, 5], [0, 2, 4, 1, 3, 5], [1, 3, 5, 0, 2, 4]
RUNS = [UP, TWOS, LATE, UP[::-1], TWOS[::-1], LATE[::-1], [3, 0, 4, 1, 5, 2]]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize(("start", "step"), [(0.0, 1.0), (1.0, 1.0)])
def test_volumes_in_turn(run: list[int], numbered: bool, start: float, step: float) -> None:
    shots = [(volume, slot, time + start) for volume, slot, time in turns(3, run, step)]
    assert told(shots, numbered) == true(shots)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("lost", range(18))
def test_a_lost_plane_moves_no_other(run: list[int], lost: int) -> None:
    """With a pause of two steps there is no doubt about where a volume begins, whatever the order."""
    shots = turns(3, run, pause=2.0)
    del shots[lost]
    assert told(shots) == true(shots)


@pytest.mark.parametrize("run", RUNS[:6])
@pytest.mark.parametrize("lost", range(24))
def test_a_lost_plane_of_a_series_without_pauses(run: list[int], lost: int) -> None:
    """A natural order tells where a volume begins, unless it is one from either half on: none is better then."""
    shots = turns(4, run)
    del shots[lost]
    found = told(shots)
    assert found in (true(shots), None)
    if run in (UP, UP[::-1]):
        assert found is not None
    assert told([(volume, slot, time + 1) for volume, slot, time in shots], numbered=True) == true(shots)


TWOS_OF_FIVE, LATE_OF_FIVE = [0, 2, 4, 1, 3], [1, 3, 0, 2, 4]
ODD_RUNS = [
    *(TWOS_OF_FIVE, TWOS_OF_FIVE[::-1], [4 - slot for slot in TWOS_OF_FIVE]),
    *(LATE_OF_FIVE, LATE_OF_FIVE[::-1], [4 - slot for slot in LATE_OF_FIVE]),
]


@pytest.mark.parametrize("run", ODD_RUNS)
@pytest.mark.parametrize("lost", range(20))
def test_a_lost_plane_of_an_odd_number_of_slices(run: list[int], lost: int) -> None:
    """Backwards, and from the other end, are two orders where the number of slices is odd."""
    shots = [(volume, slot, time + 1) for volume, slot, time in turns(4, run)]
    del shots[lost]
    assert told(shots, numbered=True) == true(shots)


def test_two_whole_volumes_show_the_pattern() -> None:
    shots = turns(3, UP, pause=2.0)
    assert told([shot for shot in shots if shot[:2] != (1, 3)]) is not None
    assert told([shot for shot in shots if shot[:2] not in ((1, 3), (2, 0))]) is None
    assert told(turns(2, UP, pause=2.0)) == [0] * 6 + [1] * 6
    assert told(turns(1, UP)) is None, "nothing is repeated"


def test_clocks_that_tell_nothing() -> None:
    shots = turns(3, UP)
    assert told([(volume, slot, time if slot else 7.0) for volume, slot, time in shots]) is None, "ties"
    assert told([*shots[:-1], (2, 5, math.nan)]) is None
    assert told([(volume, slot, 100.0 * slot + volume) for volume, slot, _ in shots]) is None, "slice by slice"


def test_positions_that_all_share_a_time() -> None:
    """A whole volume at once, as of a mosaic."""
    shots = [(volume, slot, 2.0 * volume) for volume in range(3) for slot in range(4)]
    assert told(shots) == true(shots)


@pytest.mark.parametrize(("pause", "begins"), [(1.4, None), (1.6, True)])
def test_a_pause_tells_where_a_volume_begins_when_it_is_half_as_long_again(pause: float, begins: bool | None) -> None:
    """The order of the positions is no natural one, so that only the pause can tell it; a plane is lost."""
    shots = turns(4, [3, 0, 4, 1, 5, 2], pause=pause)
    del shots[8]
    assert told(shots) == (true(shots) if begins else None)


def test_the_series_begins_within_a_volume() -> None:
    """The first two planes are missing: the pause tells that they are, and not the start of the series."""
    shots = turns(4, UP, pause=3.0)[2:]
    assert told(shots) == true(shots)
    evenly = turns(4, UP)[2:]
    assert told(evenly) == true(evenly), "going up is natural"
    numbered = [(volume, slot, time + 1) for volume, slot, time in evenly]
    assert told(numbered, numbered=True) == true(numbered), "3 is the third of its volume"


def test_numbers_that_begin_anew_where_no_volume_does() -> None:
    """From 1 on at the third position: the numbers say that a volume begins there, the order that none does."""
    shots = turns(4, UP)[2:]
    anew = [(volume, slot, time - 1) for volume, slot, time in shots]
    assert told(anew, numbered=True) is None


def test_volumes_whose_times_wander() -> None:
    """A plane belongs to its volume as long as it is off by less than half of the time between two."""
    rng = random.Random(5)
    shots = [(volume, slot, time + rng.uniform(-0.2, 0.2)) for volume, slot, time in turns(5, UP, pause=2.0)]
    assert told(shots) == true(shots)


def test_slots_need_not_be_without_gaps() -> None:
    shots = [(volume, 10 * slot + 7, time) for volume, slot, time in turns(3, UP)]
    assert told(shots) == true(shots)


# -- slice by slice


def by_slice(slices: int, volumes: int, first: float = 1, step: float = 1) -> tuple[np.ndarray, np.ndarray]:
    slots = np.repeat(np.arange(slices), volumes)
    return slots, first + step * np.arange(slices * volumes, dtype=np.float64)


@pytest.mark.parametrize(("first", "step", "known"), [
    *((1, 1, True), (0, 1, True), (2, 1, False), (3, 1, False), (4, 1, True), (7, 1, True), (5, 1, False)),
    *((1, 2, True), (2, 2, True), (0, 2, True), (3, 2, False), (7, 2, True), (6, 2, False), (4, 3, False)),
])  # fmt: skip
def test_numbers_slice_by_slice(first: float, step: float, known: bool) -> None:
    """Three volumes. A number beyond the first that there can be is that of a whole slice that lies before."""
    slots, numbers = by_slice(4, 3, first, step)
    shuffled = np.random.default_rng(0).permutation(12)
    found = volumes_by_slice(slots[shuffled], numbers[shuffled])
    assert (found is not None) == known
    if found is not None:
        assert found.tolist() == (np.arange(12) % 3)[shuffled].tolist()


def test_numbers_slice_by_slice_that_tell_nothing() -> None:
    slots, numbers = by_slice(4, 3)
    assert volumes_by_slice(slots[:-1], numbers[:-1]) is None, "unequal numbers of planes"
    assert volumes_by_slice(slots[:3], numbers[:3]) is None, "one position"
    assert volumes_by_slice(*by_slice(4, 1)) is None, "one volume"
    for place in range(1, 12):
        later = numbers.copy()
        later[place:] += 1
        assert volumes_by_slice(slots, later) is None, f"a gap in front of plane {place}"
    numbers[4] = math.nan
    assert volumes_by_slice(slots, numbers) is None
    assert volumes_by_slice(slots, np.full(12, 5.0)) is None, "all alike"


def test_two_volumes_of_two_slices() -> None:
    slots, numbers = by_slice(2, 2)
    found = volumes_by_slice(slots, numbers)
    assert found is not None
    assert found.tolist() == [0, 1, 0, 1]


# -- phases of the heart


def phases(*rows: list[float]) -> list[int] | None:
    slots = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    found = phases_by_slice(slots, np.concatenate([np.array(row, dtype=np.float64) for row in rows]))
    return None if found is None else found.tolist()


def test_every_position_at_its_own_pace() -> None:
    assert phases([0, 100, 200, 300], [330, 110, 220, 0], [5, 95, 185, 275]) == [0, 1, 2, 3, 3, 1, 2, 0, 0, 1, 2, 3]
    assert phases([0, 100], [0, 90]) == [0, 1, 0, 1]


def test_phases_that_are_left_out_are_seen() -> None:
    assert phases([0, 100, 200, 300], [0, 100, 200]) is None, "unequal numbers"
    assert phases([0, 100, 200, 300], [0, 100, 200, 400]) is None, "one within"
    assert phases([0, 100, 200, 300], [0, 100, 200, 350]) == [0, 1, 2, 3] * 2
    assert phases([0, 100, 200, 300], [100, 200, 300, 400]) is None, "the first"
    assert phases([0, 100, 200, 300], [0, 100, 200, 300], [100, 200, 300, 400]) is None
    assert phases([0, 100, 200, 300], [50, 150, 250, 350]) == [0, 1, 2, 3] * 2
    assert phases([0, 100, 200, 300], [51, 151, 251, 351]) is None
    assert phases([0, 100, 100, 300], [0, 100, 200, 300]) is None, "a tie"
    assert phases([0, 100, 200, 300], [0, 100, 200, math.nan]) is None
    assert phases([0], [10]) is None, "nothing is repeated"
    assert phases([0, 100, 300], [0, 90, 180]) is None, "one within three"


def paced(*rows: list[float]) -> list[int] | None:
    slots = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    found = phases_by_pace(slots, np.concatenate([np.array(row, dtype=np.float64) for row in rows]))
    return None if found is None else found.tolist()


def test_a_phase_that_is_missing_shifts_no_other() -> None:
    assert paced([0, 100, 200, 300], [0, 90, 180, 360]) == [0, 1, 2, 3, 0, 1, 2, 4]
    assert paced([0, 100, 200, 300], [330, 110, 220]) == [0, 1, 2, 3, 3, 1, 2], "the first"
    assert paced([0, 100, 200], [0, 80, 160, 240]) == [0, 1, 2, 0, 1, 2, 3], "the last"
    assert paced([0, 100, 200], [80, 160, 240]) == [0, 1, 2, 1, 2, 3], "two are whole"
    assert paced([330, 430, 530], [410, 490, 570]) == [0, 1, 2, 1, 2, 3], "wherever the clock begins"
    assert paced([9, 109, 209, 409], [5, 85, 165, 325]) == [0, 1, 2, 3] * 2, "one that is missing everywhere is no step"


def test_a_pace_in_seconds() -> None:
    assert paced([0, 0.8, 1.6], [0, 0.9, 1.8]) == [0, 1, 2] * 2


def test_what_has_no_pace_has_no_phases() -> None:
    assert paced([0, 100, 200, 300], [0, 90]) is None, "one step is none"
    assert paced([0, 100, 200], [25, 125, 225]) == [0, 1, 2] * 2
    assert paced([0, 100, 200], [26, 126, 226]) is None, "between two steps"
    assert paced([0, 100, 100, 200], [0, 100, 200, 300]) is None, "a tie"
    assert paced([0, 0, 0], [0, 0, 0]) is None
    assert paced([0, 100, math.inf], [0, 100, 200]) is None
    assert paced([0, 100, 200], [0, 180, 360, 540]) == [0, 1, 2, 0, 1, 2, 3], "a pace of its own"
    assert paced([0, 100, 200], [0, 181, 362, 543]) is None, "every second one"
    assert paced([0, 100, 200], [200, 300, 400]) is None, "one volume alone is whole"


def test_positions_that_drift_apart_are_no_volumes_in_turn() -> None:
    slots = np.repeat([0, 1, 2], 6)
    for share, apart in ((0.0, False), (0.04, False), (0.06, True)):
        turns = np.arange(6)
        clock = np.concatenate([100.0 * turns + 5 * slot + share * slot * 50 * turns for slot in range(3)])
        assert volumes_in_turn(slots, clock) is not None
        assert (volumes_in_turn(slots, clock, steady=True) is None) is apart, share


# -- the day


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([86_399.0, 1.0, 2.0], [86_399.0, 86_401.0, 86_402.0]),
        ([1.0, 86_399.0, 2.0], [86_401.0, 86_399.0, 86_402.0]),
        ([0.0, 86_399.5], [86_400.0, 86_399.5]),
        ([36_000.0, 36_002.0], [36_000.0, 36_002.0]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([5.0], [5.0]),
        ([0.0, 20_000.0, 40_000.0], [0.0, 20_000.0, 40_000.0]),
        ([10_000.0, 40_000.0, 80_000.0], [96_400.0, 126_400.0, 80_000.0]),  # the longest pause is that before 80,000
        ([7.0, 7.0], [7.0, 7.0]),
    ],
)
def test_times_go_on_past_midnight(times: list[float], expected: list[float]) -> None:
    assert past_midnight(np.array(times)).tolist() == expected
    assert DAY == 86_400


def test_a_run_of_no_natural_order_begins_where_numbers_say_if_nothing_is_missing() -> None:
    """With a plane missing the numbers may count from any."""
    run, volumes = [2, 1, 4, 0, 3], 3
    slots, clock = np.array(run * volumes), np.arange(1.0, 16.0)
    whole = volumes_in_turn(slots, clock, numbered=True)
    assert whole is not None
    assert whole.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert volumes_in_turn(np.delete(slots, 6), np.delete(clock, 6), numbered=True) is None

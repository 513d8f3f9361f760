"""When volumes and slices were acquired: what is told, and everything that is too doubtful to tell."""

from __future__ import annotations

import pytest
from support.volumes import matrix, subject, with_coordinates

from crawler.model import Coordinates
from crawler.sinks.bids import sidecar
from crawler.sinks.timing import period, slice_times

AXES = ("time", "slice", "row", "column")


def series(values, unit="s", axis="time", **attributes):
    made = subject(matrix(), (len(values), 3, 5, 7), (axis, *AXES[1:]), **attributes)
    return with_coordinates(made, Coordinates(axis, tuple(values), unit=unit))


@pytest.mark.parametrize(
    ("values", "unit", "repetition", "expected"),
    [
        ((0.0, 2.0, 4.0), "s", None, 2.0),
        ((10.0, 2010.0, 4010.0), "ms", None, 2.0),
        ((0.0, 2.0), "s", 5000.0, 2.0),  # two volumes show a step
        ((0.0, 2.435, 4.870), "s", 2435.37, 2.43537),  # a clock of 2.5 ms, and the element that says it exactly
        ((0.0, 30.0, 60.0), "s", 5.0, 30.0),  # the repetition time of a 3-D sequence is that of a line
        ((0.0, 2.0, 4.1), "s", 2000.0, None),
        ((0.0, 2.0, None), "s", 2000.0, None),
        ((4.0, 2.0, 0.0), "s", None, None),
        ((1, 2, 3), "", 2000.0, 2.0),  # they count
        ((1, 2, 3), "", None, None),
        ((0.0,), "s", 2000.0, 2.0),
    ],
)
def test_the_step_from_volume_to_volume(values, unit, repetition, expected):
    attributes = {} if repetition is None else {"RepetitionTime": repetition}
    assert period(series(values, unit, **attributes)) == expected


def test_trigger_times_are_times_and_echo_times_no_steps_of_time():
    assert period(series((0.0, 25.0, 50.0), "ms", "trigger_time", RepetitionTime=5.0)) == 0.025
    assert period(series((3.0, 5.0, 7.0), "ms", "te", RepetitionTime=5000.0)) is None
    assert period(series((1000.0, 2000.0), "s/mm2", "b", RepetitionTime=5000.0)) is None
    assert period(subject(matrix(), RepetitionTime=5000.0)) is None


def slices(times, keyword="AcquisitionTime", axes=AXES, **attributes):
    """A series whose slices, in array order, have these times; files are in the opposite order."""
    count, shape = len(times), (len(times) // 3, 3) if axes[0] == "time" else (3, len(times) // 3)
    traits = tuple({keyword: times[count - 1 - number]} for number in range(count))
    return subject(matrix(), (*shape, 5, 7), axes, traits=traits, **attributes)


PATTERN = (0.0, 1.0, 0.5)
STEADY = tuple(36_000.0 + 2.0 * volume + offset for volume in range(3) for offset in PATTERN)


def test_slices_in_a_steady_pattern():
    assert slice_times(slices(STEADY, RepetitionTime=2000.0)) == list(PATTERN)
    milliseconds = tuple(1000.0 * (time - STEADY[0]) for time in STEADY)
    assert slice_times(slices(milliseconds, "TriggerTime", RepetitionTime=2000.0)) == list(PATTERN)
    assert sidecar(slices(STEADY, RepetitionTime=2000.0))["SliceTiming"] == list(PATTERN)


def test_slices_before_time_in_the_array():
    by_slice = tuple(STEADY[volume * 3 + number] for number in range(3) for volume in range(3))
    made = slices(by_slice, axes=("slice", "time", "row", "column"), RepetitionTime=2000.0)
    assert slice_times(made) == list(PATTERN)


@pytest.mark.parametrize(
    ("times", "repetition"),
    [
        (STEADY, None),
        (STEADY, 2500.0),  # volumes come faster than they are repeated
        (STEADY, 900.0),
        (tuple(36_000.0 for _ in STEADY), 2000.0),  # the time of the series
        (tuple(36_000.0 + 2.0 * volume for volume in range(3) for _ in PATTERN), 2000.0),  # that of the volume
        ((*STEADY[:-1], None), 2000.0),
        ((*STEADY[:-1], STEADY[-1] + 0.1), 2000.0),
        (STEADY[:3], 2000.0),  # one volume proves no pattern
    ],
)
def test_doubtful_slice_times_are_not_told(times, repetition):
    attributes = {} if repetition is None else {"RepetitionTime": repetition}
    made = slices(times, **attributes)
    assert slice_times(made) is None
    assert "SliceTiming" not in sidecar(made)


def test_a_list_of_echo_times_is_one_value_a_volume():
    shape, axes = (2, 3, 5, 7), ("te", *AXES[1:])
    values = ({"EchoTime": 7.38},) * 3 + ({"EchoTime": 4.92},) * 3  # files are in the opposite order
    assert sidecar(subject(matrix(), shape, axes, traits=values))["EchoTime"] == [0.00492, 0.00738]
    mixed = ({"EchoTime": 7.38}, {"EchoTime": 4.92})
    assert "EchoTime" not in sidecar(subject(matrix(), shape, axes, traits=mixed))
    five = subject(matrix(), (2, 2, 3, 5, 7), ("te", *AXES), traits=values)
    assert "EchoTime" not in sidecar(five)

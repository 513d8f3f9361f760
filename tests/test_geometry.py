"""Laws of `crawler.geometry`: pure arithmetic, checked against the equations of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crawler import geometry

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

angles = st.floats(-np.pi, np.pi)
lengths = st.floats(0.05, 20.0)
coordinates = st.floats(-1000.0, 1000.0)


def rotated(a: float, b: float, c: float) -> np.ndarray:
    """Orientation of an axial plane turned about x, y and z, by angles in rad."""
    sine, cosine = np.sin([a, b, c]), np.cos([a, b, c])
    about_x = np.array([[1, 0, 0], [0, cosine[0], -sine[0]], [0, sine[0], cosine[0]]])
    about_y = np.array([[cosine[1], 0, sine[1]], [0, 1, 0], [-sine[1], 0, cosine[1]]])
    about_z = np.array([[cosine[2], -sine[2], 0], [sine[2], cosine[2], 0], [0, 0, 1]])
    turn = about_z @ about_y @ about_x
    return np.concatenate([turn[:, 0], turn[:, 1]])


orientations = st.builds(rotated, angles, angles, angles)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(AXIAL, (0, 0, 1)), (SAGITTAL, (-1, 0, 0)), (CORONAL, (0, 1, 0))],
)
def test_normal_is_row_cross_column(orientation: tuple[float, ...], expected: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(geometry.normal(orientation), expected)


@pytest.mark.parametrize(
    "orientation",
    [
        None,
        (),
        (1.0, 0.0, 0.0),
        (0.0,) * 6,
        (2.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        (1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        (1.0, 0.0, 0.0, 0.6, 0.8, 0.0),
        (float("nan"),) * 6,
        (float("inf"), 0.0, 0.0, 0.0, 1.0, 0.0),
        (1e300, 0.0, 0.0, 0.0, 1e300, 0.0),
    ],
)
def test_what_is_no_orientation_is_refused(orientation: tuple[float, ...] | None) -> None:
    assert geometry.normal(orientation) is None
    if orientation:
        assert geometry.affine(orientation, (0, 0, 0), (1, 1), (0, 0, 1)) is None


def test_cosines_of_two_digits_are_an_orientation() -> None:
    assert geometry.normal((0.71, 0.71, 0.0, -0.71, 0.71, 0.0)) is not None


@pytest.mark.parametrize(
    ("position", "spacing", "step"),
    [
        ((0, 0, 0), (0, 1), (0, 0, 1)),
        ((0, 0, 0), (1, -1), (0, 0, 1)),
        ((0, 0, 0), (1, 1), (0, 0, 0)),
        ((0, 0, 0), (1, 1), (1, 1, 0)),
        ((0, 0, float("nan")), (1, 1), (0, 0, 1)),
        ((0, 0, 0), (1,), (0, 0, 1)),
    ],
)
def test_a_singular_affine_is_refused(position: tuple[float, ...], spacing: tuple[float, ...], step: object) -> None:
    assert geometry.affine(AXIAL, position, spacing, step) is None


@given(
    orientations,
    st.tuples(coordinates, coordinates, coordinates),
    st.tuples(lengths, lengths),
    lengths,
    st.tuples(*[st.integers(0, 500)] * 3),
)
def test_affine_is_the_equation_of_the_standard(orientation, position, spacing, gap, index) -> None:
    """PS3.3 C.7.6.2.1-1: P = S + X di i + Y dj j, with i the column index and di the spacing between columns."""
    step = gap * geometry.normal(orientation)
    matrix = geometry.affine(orientation, position, spacing, step)
    number, row, column = index
    origin = np.array(position) + number * step
    point = origin + orientation[:3] * spacing[1] * column + orientation[3:] * spacing[0] * row
    np.testing.assert_allclose((matrix @ [number, row, column, 1])[:3], point, atol=1e-6)


@given(orientations, st.tuples(coordinates, coordinates, coordinates), st.tuples(lengths, lengths), lengths)
def test_lps_to_ras_twice_is_identity(orientation, position, spacing, gap) -> None:
    matrix = geometry.affine(orientation, position, spacing, gap * geometry.normal(orientation))
    np.testing.assert_array_equal(geometry.lps_to_ras(geometry.lps_to_ras(matrix)), matrix)
    np.testing.assert_array_equal(geometry.ras_to_lps(geometry.lps_to_ras(matrix)), matrix)
    point = np.array([3, 5, 7, 1])
    np.testing.assert_allclose(geometry.lps_to_ras(matrix) @ point, (matrix @ point) * [-1, -1, 1, 1])


@given(st.floats(0.0, 44.9))
def test_obliquity_is_the_angle_of_the_turn(degrees: float) -> None:
    direction = geometry.normal(rotated(np.radians(degrees), 0, 0))
    assert geometry.obliquity(direction) == pytest.approx(degrees, abs=1e-6)


@given(orientations, st.floats(0.0, 80.0), lengths)
def test_tilt_is_the_angle_of_the_line(orientation, degrees: float, gap: float) -> None:
    direction = geometry.normal(orientation)
    step = gap * (direction + np.tan(np.radians(degrees)) * orientation[3:])
    assert geometry.tilt(direction, step) == pytest.approx(degrees, abs=1e-6)
    assert geometry.tilt(direction, -step) == pytest.approx(degrees, abs=1e-6)


def test_slots_join_jitter_and_keep_order() -> None:
    np.testing.assert_array_equal(geometry.slots(np.array([5.0, 0.0, 2.5, 2.500012, 5.001])), [2, 0, 1, 1, 2])


@pytest.mark.parametrize("scale", [None, 0.0045, 0.045])
def test_slots_of_micrometres_do_not_run_together(scale: float | None) -> None:
    """A fixed tolerance of 0.005 mm would make one position of all."""
    along = np.repeat(0.0045 * np.arange(8), 2) + np.tile([0.0, 1e-6], 8)
    np.testing.assert_array_equal(geometry.slots(along, scale), np.repeat(np.arange(8), 2))


def test_slots_of_thick_slices_join_what_the_table_moved() -> None:
    along = np.array([0.0, 0.03, 3.0, 3.04, 6.01, 6.0])
    np.testing.assert_array_equal(geometry.slots(along, 3.0), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(geometry.slots(along, 3.0, 0.01), [0, 1, 2, 3, 5, 4])


@pytest.mark.parametrize(("share", "uniform"), [(0.01, False), (0.1, True), (0.2, True)])
def test_the_tolerance_is_a_share_of_the_spacing(share: float, uniform: bool) -> None:
    assert geometry.is_uniform(line([1.0, 1.0, 1.0502]), Z, share) is uniform
    assert geometry.is_uniform(line([3.0] * 4, [0, 0.15, 0, 0.15, 0]), Z, share) is (share == 0.2)


def test_positions_are_missing_only_where_most_gaps_say_what_the_step_is() -> None:
    assert geometry.missing_positions(np.array([2.0, 2.0, 4.0, 2.0])) == 1
    assert geometry.missing_positions(np.array([1.0, 2.0, 2.0, 2.0])) == 0
    assert geometry.missing_positions(np.array([2.0, 2.1, 4.1, 2.0])) == 1


def line(gaps: list[float], aside: list[float] | None = None) -> np.ndarray:
    """Positions along z with these gaps; `aside` along x."""
    z = np.concatenate([[0.0], np.cumsum(gaps)])
    return np.column_stack([aside if aside else np.zeros(len(z)), np.zeros(len(z)), z])


Z = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("positions", "uniform"),
    [
        (line([2.0] * 9), True),
        (line([0.63, 0.62, 0.63, 0.62]), True),  # 0.625 printed with two decimals
        (line([1.0, 1.005, 0.995]), True),
        (line([1.0, 1.0, 1.05]), True),  # every plane within 0.04 of its place
        (line([1.003, 1.0, 1.5]), False),
        (line([7.0] * 18 + [7.0704]), True),
        (line([3.03, 2.93, 3.06, 2.95, 3.07, 2.94, 3.02]), True),  # 0.04 mm off, as a table that shakes
        (line([3.03, 2.73, 3.26, 2.95, 3.07]), False),
        (line([0.6, 0.6, 0.7, 0.6, 0.6]), True),  # 0.625 printed with one decimal
        (line([0.0045] * 7), True),
        (line([0.0045] * 3 + [0.009]), False),
        (line([1.0, 1.0, 2.0]), False),
        (line([0.0203, 0.0202, 0.0302]), False),  # micro-CT: a fixed tolerance of 0.01 mm would let this pass
        (line([0.0215, 0.017, 0.0215]), True),  # every plane within a tenth of its place
        (line([0.0235, 0.0131, 0.0235]), False),
        (line([0.995] * 500 + [1.005] * 500), False),  # each gap is good, the middle is 2.5 mm off
        (line([2.0] * 4, [0, 1, 2, 3, 4]), True),  # tilted
        (line([2.0] * 4, [0, 1, 0, 1, 0]), False),
        (line([3.0] * 4, [0, 0.2, 0, 0.2, 0]), False),
        (line([2.0] * 4, [0, 0.01, 0, 0.01, 0]), True),
    ],
)
def test_uniform(positions: np.ndarray, uniform: bool) -> None:
    assert geometry.is_uniform(positions, Z) is uniform
    assert geometry.is_uniform(positions + np.array([500.0, -300.0, 700.0]), Z) is uniform


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([1, 1, 2, 1, 1], [(0, 3), (3, 6)]),
        ([3, 1, 1, 1], [(0, 1), (1, 5)]),  # the longer run takes the plane that both could claim
        ([1] * 49 + [5] * 20, [(0, 50), (50, 70)]),
        ([1, 1, 4], [(0, 3), (3, 4)]),
        ([1, 2], [(0, 2), (2, 3)]),
        ([1, 2, 1, 2, 1], [(0, 2), (2, 4), (4, 6)]),
        ([0.995] * 500 + [1.005] * 500, None),
        ([2.05, 2.25, 2.45], [(0, 1), (1, 2), (2, 4)]),  # a drift, whose cuts leave planes alone
    ],
)
def test_runs(gaps: list[float], expected: list[tuple[int, int]] | None) -> None:
    found = geometry.runs(line(gaps), Z)
    if expected:
        assert found == expected
    assert sum(stop - start for start, stop in found) == len(gaps) + 1


@given(st.lists(st.floats(0.01, 10.0), min_size=2, max_size=60))
def test_runs_are_a_partition_into_uniform_parts(gaps: list[float]) -> None:
    positions = line(gaps)
    found = geometry.runs(positions, Z)
    assert [index for start, stop in found for index in range(start, stop)] == list(range(len(positions)))
    for start, stop in found:
        assert stop - start < 3 or geometry.is_uniform(positions[start:stop], Z)


@given(st.integers(1, 40), st.sets(st.integers(1, 60), max_size=10), lengths)
def test_missing_positions_are_counted(size: int, removed: set[int], spacing: float) -> None:
    kept = [number for number in range(size + 62) if number not in removed]
    gaps = np.diff(np.array(kept)) * spacing
    assume(np.median(gaps) == spacing)
    assert geometry.missing_positions(gaps) == len(removed)


# -- the tolerances, at their ends


@pytest.mark.parametrize(("number", "plausible"), [(999_999.0, True), (-999_999.0, True), (1e6, False), (-1e6, False)])
def test_a_kilometre_is_no_coordinate(number: float, plausible: bool) -> None:
    rows = np.array([[0.0, number], [0.0, 0.0], [np.nan, 0.0]])
    assert geometry.finite(rows).tolist() == [plausible, True, False]


@pytest.mark.parametrize(("error", "valid"), [(0.0099, True), (-0.0099, True), (0.0101, False), (-0.0101, False)])
def test_cosines_are_off_by_a_hundredth_at_most(error: float, valid: bool) -> None:
    cosines = [
        (1 + error, 0, 0, 0, 1, 0),
        (1, 0, 0, 0, 1 + error, 0),
        (1, 0, 0, error, np.sqrt(1 - error**2), 0),
    ]
    assert geometry.valid_orientations(np.array(cosines)).tolist() == [valid] * 3


@pytest.mark.parametrize(
    ("scale", "share", "limit"),
    [
        *((3.0, 0.1, 0.05), (0.5, 0.1, 0.05), (0.3, 0.1, 0.03), (None, 0.1, 0.005)),
        *((3.0, 0.2, 0.1), (3.0, 0.01, 0.005), (0.3, 0.2, 0.06), (None, 0.2, 0.01)),
    ],
)
def test_positions_nearer_than_the_limit_are_one(scale: float | None, share: float, limit: float) -> None:
    for gap, one in ((0.99 * limit, True), (1.01 * limit, False)):
        found = geometry.slots(np.array([0.0, gap, 5.0]), scale, share)
        assert found.tolist() == ([0, 0, 1] if one else [0, 1, 2])


def test_a_chain_of_near_positions_is_no_single_one() -> None:
    """Neighbours within the limit of 0.05 mm, over twice that in all, are told apart as far as they can be."""
    assert geometry.slots(np.array([0.0, 0.005])).tolist() == [0, 0], "the limit itself"
    assert geometry.slots(np.array([0.0, 0.04, 0.08]), 3.0).tolist() == [0, 0, 0]
    assert geometry.slots(np.array([0.0, 0.04, 0.08, 0.12]), 3.0).tolist() == [0, 1, 2, 3]
    wide = np.array([0.0, 0.02, 0.065, 0.085, 0.13, 0.15])
    assert geometry.slots(wide, 3.0).tolist() == [0, 0, 1, 1, 2, 2], "half of the limit is enough"
    pairs = np.array([0.0, 0.01, 0.045, 0.055, 0.09, 0.1, 0.135])
    assert geometry.slots(pairs, 3.0).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert geometry.slots(np.linspace(0.0, 0.11, 12_001), 3.0).max() == 0, "steps of no stack"
    assert geometry.slots(np.array([1.0]), 3.0).tolist() == [0]


@pytest.mark.parametrize(
    ("spacing", "share", "expected"), [(0.5, 0.1, 0.05), (7.0, 0.1, 0.1), (7.0, 0.2, 0.2), (0.5, 0.01, 0.005)]
)
def test_the_line_tolerance_has_a_ceiling(spacing: float, share: float, expected: float) -> None:
    assert geometry.line_tolerance(spacing, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("number", "unit"), [(3.0, 0.1), (2.5, 0.1), (2.25, 0.01), (2.125, 0.001), (2.0625, 0.0), (2.1000000001, 0.1)]
)
def test_the_last_decimal_of_positions(number: float, unit: float) -> None:
    assert geometry.printed_unit(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, number]])) == pytest.approx(unit)


def test_rounded_positions_may_be_off_by_a_unit_and_by_less_than_half_a_step() -> None:
    assert geometry.is_uniform(line([0.3, 0.4, 0.3, 0.3, 0.4]), Z), "0.34 printed with one decimal"
    assert geometry.is_uniform(line([0.1, 0.2, 0.2, 0.1, 0.2, 0.1, 0.1, 0.2]), Z), "0.15, and none is off by 0.06"
    assert geometry.is_uniform(line([0.4, 0.2, 0.3]), Z), "by a third of a step"
    assert not geometry.is_uniform(line([0.3, 0.1, 0.2, 0.2]), Z), "by half a step"
    assert not geometry.is_uniform(line([1.0, 1.2, 0.8]), Z), "by two units"


@pytest.mark.parametrize(("aside", "even"), [(0.0, True), (0.5, True)])
def test_even_along_the_normal_whatever_lies_aside(aside: float, even: bool) -> None:
    positions = line([2.0] * 4, [0, aside, 0, aside, 0])
    assert geometry.is_evenly_spaced(positions, Z) is even
    assert geometry.is_uniform(positions, Z) is (aside == 0.0)
    assert not geometry.is_evenly_spaced(line([2.0, 2.0, 3.0]), Z)


def test_order_is_part_of_evenness() -> None:
    assert not geometry.is_uniform(line([2.0, 2.0, -2.0, 2.0]), Z)
    assert not geometry.is_uniform(line([2.0, 0.0, 2.0]), Z)
    assert not geometry.is_uniform(line([-2.0, -2.0]), Z)


def test_the_typical_gap_is_the_lower_median() -> None:
    assert geometry.typical_gap(np.array([4.0, 1.0, 3.0, 2.0])) == 2.0
    assert geometry.typical_gap(np.array([3.0, 1.0, 2.0])) == 2.0
    assert geometry.typical_gap(np.array([5.0])) == 5.0
    assert geometry.typical_gap(np.array([9.0, 1.0])) == 1.0
    for seed in range(5):
        assert geometry.typical_gap(np.random.default_rng(seed).permutation(81.0 * np.ones(81) - np.arange(81))) == 41.0


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([2.0, 2.0, 4.19], 1),  # within twice the tolerance of a line, 0.1 mm
        ([2.0, 2.0, 4.21], 0),
        ([2.0, 2.0, 3.81], 1),
        ([2.0, 2.0, 3.79], 0),
        ([2.0, 2.0, 4.0, 4.0], 2),  # half of the gaps are as the typical one
        ([2.0, 3.1, 4.0, 4.9], 0),
        ([2.0, 2.0, 8.0], 3),
        ([2.0], 0),
    ],
)
def test_missing_positions_are_whole_multiples(gaps: list[float], expected: int) -> None:
    assert geometry.missing_positions(np.array(gaps)) == expected


@pytest.mark.parametrize(("aside", "tilted"), [(0.0108, False), (0.0114, True)])
def test_a_stack_is_tilted_by_a_tenth_of_a_millimetre_from_end_to_end(aside: float, tilted: bool) -> None:
    positions = line([3.0] * 9, [aside * number for number in range(10)])
    assert geometry.is_tilted(Z, positions) is tilted
    assert geometry.is_tilted(Z, positions[::-1]) is tilted


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ((0, 0, 1), 0.0),
        ((0, -1, 0), 0.0),
        ((0, np.sin(np.radians(10)), np.cos(np.radians(10))), 10.0),
        ((np.cos(np.radians(10)), 0, -np.sin(np.radians(10))), 10.0),
        ((0.0, np.sqrt(0.5), np.sqrt(0.5)), 45.0),
    ],
)
def test_obliquity_is_from_the_nearest_axis(direction: tuple[float, ...], expected: float) -> None:
    assert geometry.obliquity(np.array(direction, dtype=np.float64)) == pytest.approx(expected)


def test_the_step_is_fixed_by_the_ends() -> None:
    positions = line([2.0, 2.5, 1.5, 2.0], [0, 1, 5, 3, 4])
    assert geometry.mean_step(positions).tolist() == [1.0, 0.0, 2.0]
    np.testing.assert_allclose(
        geometry.line_deviations(positions), [[0, 0, 0], [0, 0, 0], [3, 0, 0.5], [0, 0, 0], [0, 0, 0]]
    )


@pytest.mark.parametrize(
    ("gaps", "share", "expected"),
    [
        ([1.0, 1.0, 1.3, 1.0, 1.0], 0.1, [(0, 3), (3, 6)]),
        ([2.0, 2.0, 2.0, 1.0, 1.0, 1.0], 0.1, [(0, 3), (3, 7)]),  # of two as long, the denser takes the plane between
        ([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], 0.1, [(0, 4), (4, 7)]),
        ([1.0, 1.0, 1.5, 1.0, 1.0], 0.5, [(0, 6)]),
        ([0.01, 0.01, 0.01, 0.02, 0.02, 0.02], 0.1, [(0, 4), (4, 7)]),
        ([1.0, 1.0, 1.0, 1.45, 1.45, 1.45], 0.1, [(0, 4), (4, 7)]),  # a turn of more than four tolerances
        ([1.0, 4.0, 1.0], 0.1, [(0, 2), (2, 4)]),
        ([1.0, 4.0, 9.0], 0.1, [(0, 2), (2, 4)]),
        ([5.0], 0.1, [(0, 2)]),
    ],
)
def test_which_run_has_a_plane_that_two_could_claim(
    gaps: list[float], share: float, expected: list[tuple[int, int]]
) -> None:
    assert geometry.runs(line(gaps), Z, share) == expected


def test_a_slow_drift_is_cut_where_it_is_farthest_from_a_line() -> None:
    found = geometry.runs(line([0.995] * 20 + [1.005] * 20), Z, 0.01)
    assert all(geometry.is_uniform(line([0.995] * 20 + [1.005] * 20)[a:b], Z, 0.01) for a, b in found if b - a > 2)
    assert (found[0][0], found[-1][1]) == (0, 41)
    assert 20 in {edge for run in found for edge in run}

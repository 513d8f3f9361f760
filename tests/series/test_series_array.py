"""Series as arrays: numpy's behaviour, axes that follow, and positions that are true or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.indices import keys

from crawler import Series
from crawler.series.axis import Axis, UniformLengthAxis, VariableAxis
from crawler.series.errors import DoNotSetSlicesError, FieldNotSet, GeometryMismatch, NotTimeOrder

SHAPE = (3, 4, 5, 6)
# Oblique, with three different spacings: no two axes or signs can be mistaken for each other.
AFFINE = np.array([[1.1, -0.3, 0.2, -7.0], [0.4, 0.9, -0.1, 11.0], [-0.2, 0.3, 2.2, 3.0], [0, 0, 0, 1.0]])
SPATIAL = ("slice", "row", "column")


def made() -> Series:
    """An array whose voxels tell their own indices: value = time, slice, row, column as digits."""
    time, *voxel = np.indices(SHAPE)
    series = Series(time * 1000 + voxel[0] * 100 + voxel[1] * 10 + voxel[2], "time")
    series.affine = AFFINE
    return series


def assert_true_positions(array: Any) -> None:
    """Every voxel lies where the original voxel of its value does, or nothing says where it lies."""
    if not isinstance(array, Series) or array.affine is None:
        return
    names, indices, values = array.axes.names, np.indices(array.shape), array.values
    places = np.stack([indices[names.index(name)] if name in names else values * 0 for name in SPATIAL], axis=-1)
    own = np.stack([values // 100 % 10, values // 10 % 10, values % 10], axis=-1)
    expected = own @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    found = places @ array.affine[:3, :3].T + array.affine[:3, 3]
    assert np.abs(found - expected)[values >= 0].max(initial=0) < 1e-9  # below 0 is padding


@given(keys(SHAPE))
@settings(max_examples=100, deadline=None)
def test_indices_are_numpys_and_positions_true(key: tuple[Any, ...]) -> None:
    series = made()
    expected = series.values[key]
    found = series[key]
    assert np.array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    if isinstance(found, Series):
        assert tuple(map(len, found.axes)) == found.shape
        assert found.frames.shape == tuple(len(a) for a in found.axes if a.name not in ("row", "column"))
    assert_true_positions(found)


OPERATIONS: dict[str, Any] = {
    "transpose": lambda a, n: np.transpose(a, np.roll(range(a.ndim), n)),
    "flip": lambda a, n: np.flip(a, n % a.ndim),
    "step": lambda a, n: a[tuple(slice(None, None, 2) if i == n % a.ndim else slice(None) for i in range(a.ndim))],
    "crop": lambda a, n: a[tuple(slice(1, None) if i == n % a.ndim else slice(None) for i in range(a.ndim))],
    "pad": lambda a, n: np.pad(
        a, [(n % 3, 1) if i == n % a.ndim else (0, 0) for i in range(a.ndim)], constant_values=-1
    ),
    "moveaxis": lambda a, n: np.moveaxis(a, n % a.ndim, 0),
    "swap": lambda a, n: np.swapaxes(a, 0, n % a.ndim),
    "take": lambda a, n: np.take(a, [0], axis=n % a.ndim),
    "join": lambda a, n: np.concatenate([a, a], axis=n % a.ndim),
    "split": lambda a, n: np.array_split(a, 2, axis=n % a.ndim)[0],
    "copy": lambda a, n: np.copy(a),
    "add": lambda a, n: a + 0,
}


@given(st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 5)), max_size=5))
@settings(max_examples=100, deadline=None)
def test_positions_are_true_after_any_chain(chain: list[tuple[str, int]]) -> None:
    array: Any = made()
    expected = array.values
    for name, number in chain:
        if 0 in array.shape or array.size > 5000:
            break
        array, expected = OPERATIONS[name](array, number), OPERATIONS[name](expected, number)
        assert np.array_equal(array, expected), name
    assert_true_positions(array)


@pytest.mark.parametrize(
    "function",
    [np.mean, np.sum, np.max, np.min, np.std, np.median, np.nanmean, np.any, np.argmax, np.ptp, np.count_nonzero],
)
def test_reductions_keep_the_place_along_time_and_lose_it_along_rows(function: Any) -> None:
    series = made()
    over_time, over_rows = function(series, axis=0), function(series, axis=2)
    assert np.allclose(over_time, function(series.values, axis=0))
    assert over_time.axes.names == SPATIAL
    assert over_time.affine == pytest.approx(AFFINE)
    assert over_rows.axes.names == ("time", "slice", "column")
    assert over_rows.affine is None
    assert function(series) == function(series.values)
    assert not isinstance(function(series), Series)


def test_methods_take_names_of_axes() -> None:
    series = made()
    assert series.mean(axis="time").axes.names == SPATIAL
    assert series.sum(("time", "slice")).axes.names == ("row", "column")
    assert np.mean(series, axis=0, keepdims=True).axes.names == ("time", *SPATIAL)
    assert series.max(axis=0).shape == SHAPE[1:]


def test_percentiles() -> None:
    series = made()
    assert np.percentile(series, 50, axis=0).affine == pytest.approx(AFFINE)
    several = np.percentile(series, [25, 75], axis=0)
    assert type(several) is np.ndarray
    assert several.shape == (2, *SHAPE[1:])


def test_what_is_not_followed_is_a_plain_array() -> None:
    series = made()
    for result in (
        np.fft.fft2(series),
        np.roll(series, 1, 0),
        np.sort(series, axis=0),
        np.diff(series, axis=0),
        series.reshape(12, 30),
        np.add.outer(series[0, 0, 0], [1, 2]),
        series[series > 20],
        series[[0, 1], [0, 1]],
        np.tile(series, 2),
    ):
        assert type(result) is np.ndarray


def test_arithmetic_is_numpys_and_elsewhere_is_refused() -> None:
    series = made()
    assert np.array_equal((series + series) / 2, series.values)
    assert np.array_equal(2 - series, 2 - series.values)
    assert isinstance(series > 5, Series)
    assert (series > 5).dtype == bool
    other = made()
    other.affine = AFFINE + np.eye(1, 16, 3).reshape(4, 4) * 5
    for operation in (np.add, np.maximum):
        with pytest.raises(GeometryMismatch, match="5 mm apart"):
            operation(series, other)
    with pytest.raises(GeometryMismatch):
        series += other
    assert type(np.asarray(series) + np.asarray(other)) is np.ndarray
    assert np.where(series > 5, series, 0).affine == pytest.approx(AFFINE)
    assert np.clip(series, 0, 5).affine == pytest.approx(AFFINE)


def test_arrays_of_fewer_axes_join_in() -> None:
    series = made()
    weights = series[0] * 0 + 2
    assert (series * weights).axes.names == ("time", *SPATIAL)
    assert (weights * series).affine == pytest.approx(AFFINE)
    assert (series * np.arange(3)[:, None, None, None]).axes.names == ("time", *SPATIAL)


def test_in_place() -> None:
    series = made()
    kept = series
    series += 1
    assert series is kept
    assert np.array_equal(series, made().values + 1)
    out = made()
    assert np.add(series, 1, out=out) is out
    series[0] = 0
    assert not series.values[0].any()
    series[series > 5] = 5
    assert series.max() == 5


def test_values_are_not_moved_in_place() -> None:
    series = made()
    for name in ("sort", "partition", "resize"):
        with pytest.raises(TypeError, match="plain array"):
            getattr(series, name)(1)
    assert type(np.sort(series)) is np.ndarray
    assert np.array_equal(series, made())


def test_copies_do_not_share_fields() -> None:
    """imagedata 3.10: `Series(a)`, `a[0]`, `a + 1`, then setting a position or a spacing, changes `a`."""
    series = made()
    for other in (Series(series), series[0], series + 1, series.copy(), np.copy(series)):
        other.spacing = (9, 9, 9)
        other.imagePositions = {0: (1, 2, 3)}
        other.seriesNumber = 77
        other.axes = [Axis(axis.name, range(len(axis))) for axis in other.axes]
    assert series.affine == pytest.approx(AFFINE)
    assert series.getDicomAttribute("SeriesNumber") is None
    copied = Series(series)
    copied[0, 0, 0, 0] = 99
    assert series.values[0, 0, 0, 0] == 0


def test_plain_numpy_calls_of_the_seed_that_raised() -> None:
    """imagedata 3.10: `a[1:10]` beyond the end, `np.stack` and `np.pad` raise."""
    series = made()
    assert series[1:10].shape == (2, 4, 5, 6)
    assert np.pad(series, ((0, 0), (1, 1), (0, 0), (0, 0))).affine is not None
    assert np.stack([series, series]).axes.names == ("axis0", "time", *SPATIAL)


def test_stacked_planes_are_slices_again() -> None:
    series = made()[0]
    again = np.stack([series[number] for number in range(4)])
    assert again.axes.names == SPATIAL
    assert again.affine == pytest.approx(AFFINE)
    assert np.stack([series[0], series[1], series[3]]).affine is None
    assert np.concatenate([series[:2], series[2:]]).affine == pytest.approx(AFFINE)
    assert np.concatenate([series[2:], series[:2]]).affine is None


def test_spacing_and_matrix_follow_a_step() -> None:
    """imagedata 3.10: spacing 4.17 and matrix 2.08 for `a[:, ::2, ::2]`."""
    series = made()[0]
    half = series[:, ::2, ::2]
    assert half.spacing == pytest.approx(series.spacing * [1, 2, 2])
    assert np.linalg.norm(half.transformationMatrix[:3, 1]) == pytest.approx(half.spacing[1])


def test_sel_takes_values() -> None:
    series = made()
    series.axes = [VariableAxis("te", [10.0, 20.0, 40.0]), *series.axes[1:]]
    assert series.sel(te=20).axes.names == SPATIAL
    assert np.array_equal(series.sel(te=20), series.values[1])
    assert series.sel(te=[40, 10]).axes.te.values.tolist() == [40, 10]
    assert series.sel(te=slice(15, 50)).axes.te.values.tolist() == [20, 40]
    assert series.isel(te=0, row=slice(1, 3)).shape == (4, 2, 6)
    with pytest.raises(KeyError, match="no step"):
        series.sel(te=99)
    with pytest.raises(KeyError, match="no axis"):
        series.sel(b=0)


def test_fields_of_an_array_without_a_place() -> None:
    series = Series(np.eye(128))
    assert series.axes.names == ("row", "column")
    assert series.affine is None
    assert series.spacing.tolist() == [1, 1, 1]
    assert (series.slices, series.rows, series.columns) == (1, 128, 128)
    assert series.seriesDescription == ""
    with pytest.raises(ValueError, match="not set"):
        _ = series.seriesNumber
    with pytest.raises(NotTimeOrder):
        _ = series.timeline
    with pytest.raises(DoNotSetSlicesError):
        series.slices = 3
    with pytest.raises(IndexError):
        series.shape = (1, 2)
    series.seriesNumber = 1004
    series.spacing = (3, 2, 1)
    assert series.seriesNumber == 1004
    assert series.spacing.tolist() == [3, 2, 1]
    assert series.affine is not None


def test_lost_geometry_is_an_error_to_read() -> None:
    series = made()[0][[0, 1, 3]]
    assert series.affine is None
    with pytest.raises(FieldNotSet, match="no geometry"):
        _ = series.spacing


def test_voxels_and_positions() -> None:
    series = made()[0]
    points = np.array([[1, 2, 3], [0, 0, 0]])
    places = series.getPositionForVoxel(points)
    assert places[0, ::-1] == pytest.approx(AFFINE[:3, :3] @ [1, 2, 3] + AFFINE[:3, 3])
    assert series.getVoxelForPosition(places).tolist() == points.tolist()
    column = series.getPositionForVoxel(points[:1].T)
    assert column.shape == (3, 1)


def test_positions_and_locations_are_set() -> None:
    series = Series(np.zeros((3, 4, 5)))
    series.spacing = (3, 2, 1)
    series.imagePositions = {0: (10, 20, 30), 1: (13, 20, 30), 2: (16, 20, 30)}
    assert series.imagePositions[2].tolist() == [16, 20, 30]
    assert series[1:].imagePositions[0].tolist() == [13, 20, 30]
    series.sliceLocations = [1, 5, 9]
    assert series.sliceLocations == pytest.approx([1, 5, 9])
    with pytest.raises(ValueError, match="even line"):
        series.imagePositions = {0: (0, 0, 0), 1: (1, 0, 0), 2: (9, 0, 0)}
    matrix = series.transformationMatrix
    series.transformationMatrix = matrix * [[2], [2], [2], [1]]
    assert series.transformationMatrix == pytest.approx(matrix * [[2], [2], [2], [1]])


def test_tags_are_set() -> None:
    series = made()
    series.tags = {0: [(0.0,), (10.0,), (20.0,)]}
    assert series.timeline.tolist() == [0, 10, 20]
    assert [tag for (tag,) in series.tags[3]] == [0, 10, 20]
    with pytest.raises(ValueError, match="tags for steps"):
        series.tags = {0: [(1,)]}
    with pytest.raises(ValueError, match="one an axis"):
        series.tags = {0: [(1, 2), (1, 2), (1, 2)]}
    with pytest.raises(IndexError, match=r"slices \[4\] for 4"):
        series.tags[4] = [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        series.tags[0][1] = (5,)
    with pytest.raises(TypeError, match="neither added nor taken away"):
        series.tags.pop(0)


def test_each_slice_has_tags_of_its_own() -> None:
    """They were lost, but for those of the first slice."""
    series = made()
    series.tags = {number: np.arange(3) + 10 * number for number in range(4)}
    assert [list(series.tags[number]) for number in (0, 3)] == [[(0,), (1,), (2,)], [(30,), (31,), (32,)]]
    assert [list(tags) for tags in series[1:, ::-2].tags.values()] == [[(31,), (32,)], [(11,), (12,)]]
    assert list(series.T.tags[3]) == [(30,), (31,), (32,)]
    series.tags[3] = np.array([(7,), (8,), (9,)], dtype=tuple)  # numpy makes a table of it
    series.tags[0] = [4, 5, 6]
    assert [next(iter(tags)) for tags in series.tags.values()] == [(4,), (10,), (20,), (7,)]
    assert series.axes.time.values.tolist() == [4, 5, 6]
    series.input_order = "te"
    assert list(series.tags[1]) == [(10,), (11,), (12,)]
    copied = dict(series.tags)
    copied[1] = [0, 0, 0]
    assert list(series.tags[1]) == [(10,), (11,), (12,)]
    series.axes = series.axes._replace(te=VariableAxis("te", [1, 2, 3]))
    assert list(series.tags[1]) == [(1,), (2,), (3,)]  # those of other steps are gone
    assert series.mean(axis="te").tags[1].tolist() == [(0,)]
    assert np.mean(series, axis=(1, 2, 3)).input_order == "te"


def test_tags_of_several_axes() -> None:
    series = Series(np.zeros((2, 3, 2, 4, 4)), "time,te")
    tags = np.empty((2, 3), dtype=object)
    for index in np.ndindex(2, 3):
        tags[index] = (index[0] * 10.0, index[1] * 5)
    series.tags = {0: tags}
    assert series.axes.time.values.tolist() == [0, 10]
    assert series.axes.te.values.tolist() == [0, 5, 10]
    tags[1, 2] = (11.0, 10)
    series.tags[1] = tags
    assert series.tags[0][1, 2] == (10.0, 10)
    assert series[:, 2].tags[1].tolist() == [(0.0,), (11.0,)]


def test_a_place_is_set_through_its_slice() -> None:
    series = Series(np.zeros((3, 4, 5)))
    series.imagePositions[0] = (10, 20, 30)
    assert series.imagePositions[0].tolist() == [10, 20, 30]
    series.imagePositions[2] = (14, 20, 30)
    assert series.spacing[0] == 2


def test_axes_are_frozen() -> None:
    axis = UniformLengthAxis("row", 0, 4, 2)
    with pytest.raises(AttributeError):
        axis.values = np.zeros(4)
    with pytest.raises(ValueError, match="read-only"):
        axis.values[0] = 5
    assert (axis.start, axis.stop, axis.step, len(axis)) == (0, 8, 2, 4)
    assert axis[1:3].values.tolist() == [2, 4]


def test_colour_channels_have_letters() -> None:
    series = Series(np.zeros((2, 3, 4, 3), np.uint8))
    series.axes = [
        Axis(name, range(n)) for name, n in zip(("slice", "row", "column", "sample"), (2, 3, 4, 3), strict=True)
    ]
    assert series.color
    assert series["R"].shape == (2, 3, 4)
    assert series[..., 1].axes.names == SPATIAL
    with pytest.raises(IndexError, match="no field"):
        _ = series["A B"]


def test_numbers_come_out_as_numbers(tmp_path: Path) -> None:
    series = made()
    assert series[0, 1, 2, 3] == 123
    assert isinstance(series[0, 1, 2, 3], np.integer)
    assert float(series[0, 0, 0, 1:2].squeeze(0)) == 1.0
    assert [one.shape for one in series] == [SHAPE[1:]] * 3
    assert 123 in series
    assert series.tolist() == series.values.tolist()
    assert "time" in str(series)
    assert repr(series).startswith("Series(")

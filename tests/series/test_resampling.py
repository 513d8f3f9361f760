"""Other grids: interpolation held to SciPy-free truths and to SimpleITK, matching and turning to positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mr import mr_series

from crawler import Series
from crawler.series.errors import GeometryMismatch, NoGeometry

AFFINE = np.array([[0.1, 0.0, 2.0, -7.0], [0.0, 1.5, 0.1, 11.0], [3.0, 0.1, 0.0, 3.0], [0, 0, 0, 1.0]])


def linear(shape: tuple[int, int, int] = (6, 7, 8), affine: Any = AFFINE) -> Series:
    """An array whose values are a linear function of the place: interpolation gives them exactly."""
    indices = np.stack(np.indices(shape), axis=-1)
    places = indices @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3]
    series = Series(places @ [1.0, 10.0, 100.0])
    series.affine = affine
    return series


def expected(series: Any) -> Any:
    indices = np.stack(np.indices(series.shape), axis=-1)
    return (indices @ series.affine[:3, :3].T + series.affine[:3, 3]) @ [1.0, 10.0, 100.0]


def test_linear_functions_are_kept() -> None:
    source = linear()
    like = Series(np.zeros((3, 4, 5)))
    turned = AFFINE.copy()
    turned[:3, :3] = AFFINE[:3, [1, 2, 0]] * 0.7
    turned[:3, 3] = source.position((2, 2, 2))
    like.affine = turned
    found = source.resample(like=like)
    assert found.affine == pytest.approx(turned)
    inside = found.values != 0
    assert inside.sum() > 20
    interior = np.abs(found.values - expected(found)) < 1e-9
    assert interior.sum() > 0.8 * inside.sum()  # those at the edge take the value of the nearest centre


def test_the_same_grid_changes_nothing() -> None:
    source = linear()
    for how in ("nearest", "linear", "cubic"):
        assert np.allclose(source.resample(like=source, interpolation=how), source.values, atol=1e-6)


def test_spacing() -> None:
    source = linear()
    half = source.resample(spacing=source.spacing * [1, 2, 0.5])
    assert half.shape == (6, 4, 16)
    assert half.spacing == pytest.approx(source.spacing * [1, 2, 0.5])
    middle = (np.array(half.shape) - 1) / 2
    assert half.position(middle) == pytest.approx(source.position((np.array(source.shape) - 1) / 2), abs=0.6)
    with pytest.raises(ValueError, match="give like"):
        source.resample()


def test_beside_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="pip install SimpleITK")
    random = np.random.default_rng(0)
    source = Series(random.normal(size=(6, 7, 8)))
    source.affine = np.diag([3.0, 1.5, 2.0, 1.0])[[2, 1, 0, 3]]
    like = Series(np.zeros((9, 5, 6)))
    like.affine = np.diag([1.7, 1.9, 2.1, 1.0])[[2, 1, 0, 3]] + np.eye(1, 16, 3).reshape(4, 4)
    other = sitk.Resample(source.to_sitk(), like.to_sitk(), sitk.Transform(), sitk.sitkLinear, 0.0)
    assert np.allclose(source.resample(like=like), sitk.GetArrayFromImage(other), atol=1e-9)


def test_integers_are_rounded_and_fill_is_told() -> None:
    source = linear().astype(np.int16)
    found = source.resample(spacing=(1, 1, 1), interpolation="linear")
    assert found.dtype == np.int16
    elsewhere = Series(np.zeros((2, 2, 2)))
    elsewhere.affine = AFFINE + np.eye(1, 16, 3).reshape(4, 4) * 1000
    assert (source.resample(like=elsewhere, fill=-5) == -5).all()


def test_frames_of_reference_must_agree(tmp_path: Path) -> None:
    mr_series(tmp_path / "a", times=1)
    mr_series(tmp_path / "b", times=1, FrameOfReferenceUID="2.25.5")
    a, b = Series(tmp_path / "a"), Series(tmp_path / "b")
    with pytest.raises(GeometryMismatch, match="frames of reference"):
        a.resample(like=b)
    assert a.align(b, force=True).shape == b.shape
    with pytest.raises(NoGeometry):
        Series(np.zeros((2, 2, 2))).resample(spacing=(1, 1, 1))


@given(
    st.permutations(["slice", "row", "column"]), st.tuples(*[st.booleans()] * 3), st.integers(0, 2), st.integers(0, 2)
)
@settings(max_examples=30, deadline=None)
def test_match_undoes_turning_and_cropping(order: list[str], flips: tuple[bool, ...], start: int, pad: int) -> None:
    source = linear()
    other = source[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)].transpose(*order)
    other = np.pad(other[start:], pad)
    back = other.match(source)
    assert back.affine == pytest.approx(source.affine)
    assert back.shape == source.shape
    known = back.values != 0
    assert np.array_equal(back.values[known], source.values[known])
    assert known.sum() >= source.size * (6 - 2 * start) / 8 * 0.9


def test_grids_that_are_not_parts_of_one() -> None:
    source, other = linear(), linear()
    other.affine = AFFINE + np.eye(1, 16, 3).reshape(4, 4) * 0.9
    with pytest.raises(GeometryMismatch, match="resample"):
        source.match(other)
    coarse = source[:, ::2]
    with pytest.raises(GeometryMismatch, match="along row"):
        coarse.match(source)


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAI", "SAR"])
def test_canonical_axes(code: str) -> None:
    import nibabel

    source = linear()
    found = source.canonical(code)
    assert expected(found) == pytest.approx(found.values)
    matrix = found.ras_affine[:, [2, 1, 0, 3]]
    assert "".join(nibabel.aff2axcodes(matrix)) == code
    assert sorted(found.values.ravel()) == sorted(source.values.ravel())
    with pytest.raises(NoGeometry):
        source.canonical("RRA")


def test_canonical_is_nibabels() -> None:
    import nibabel

    source = linear()
    theirs = nibabel.as_closest_canonical(source.to_nibabel())
    ours = source.canonical("RAS").to_nibabel()
    assert np.array_equal(theirs.dataobj, ours.dataobj)
    assert theirs.affine == pytest.approx(ours.affine)


def test_there_and_back(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=2, orientation="oblique")
    a = Series(tmp_path / "in", "time")
    b = Series.from_nibabel(a.to_nibabel(), template=a)
    assert np.array_equal(a, b)
    assert b.affine == pytest.approx(a.affine)
    assert b.axes == a.axes
    sitk = pytest.importorskip("SimpleITK", reason="pip install SimpleITK")
    c = Series.from_sitk(a[0].to_sitk(), template=a[0])
    assert np.array_equal(c, a[0])
    assert c.affine == pytest.approx(a.affine)
    assert isinstance(a[0].to_sitk(), sitk.Image)
    with pytest.raises(ValueError, match="one step"):
        a.to_sitk()


def test_xarray_has_names_and_units(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="pip install xarray")
    mr_series(tmp_path / "in", times=2)
    found = Series(tmp_path / "in", "time").to_xarray()
    assert found.dims == ("time", "slice", "row", "column")
    assert found.coords["time"].attrs["units"] == "s"
    assert found.sel(time=36002.5).shape == (4, 6, 5)

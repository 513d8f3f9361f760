"""Laws that every volume obeys, from files to arrays on disk; and the verdict and policy of each irregularity."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage
from support.factories import ct_series, make_uid, quick_dataset, save, slice_pixels
from support.runs import export

COUNTER = itertools.count()
orientations = st.sampled_from(["axial", "sagittal", "coronal", "oblique"])
law = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def volumes(out: Path) -> list[tuple[np.ndarray, np.ndarray | None, dict[str, Any]]]:
    """Voxels, affine (None when there is none) and attributes of every volume, by name."""
    found = []
    for path in sorted((out / "volumes").rglob("*.h5")):
        if path.name == "pixel_data.h5":
            continue
        with h5py.File(path) as file:
            image = file["image"]
            attributes = dict(image.attrs)
            found.append((image[()], attributes.get("affine"), attributes))
    return found


def verdicts(out: Path) -> list[dict[str, str]]:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fresh(tmp_path: Path) -> tuple[Path, Path]:
    """Folders for one example: input (named alike every time, as the series takes its UID from it) and output."""
    home = tmp_path / f"{next(COUNTER)}"
    return home / "in" / "series", home / "out"


def volume_of(source: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    export(source.parent, out, metadata={}, volume={})
    ((voxels, affine, _),) = volumes(out)
    assert affine is not None
    return voxels, affine


@law
@given(orientation=orientations, count=st.integers(2, 6), seed=st.integers(0, 99), tilt=st.sampled_from([0.0, 12.5]))
def test_the_order_of_files_changes_nothing(
    tmp_path: Path, orientation: str, count: int, seed: int, tilt: float
) -> None:
    plain, out = fresh(tmp_path)
    ct_series(plain, count, orientation, tilt=tilt)
    expected, affine = volume_of(plain, out)
    shuffled, again = fresh(tmp_path)
    paths = ct_series(shuffled, count, orientation, tilt=tilt)
    for path, number in zip(paths, np.random.default_rng(seed).permutation(count), strict=True):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = int(number) + 1
        path.unlink()
        dataset.save_as(path.with_name(f"x{number}"))
    voxels, other = volume_of(shuffled, again)
    np.testing.assert_array_equal(voxels, expected)
    np.testing.assert_allclose(other, affine, atol=1e-9)


@law
@given(orientation=orientations, angles=st.tuples(*[st.floats(-3, 3)] * 3), shift=st.tuples(*[st.floats(-99, 99)] * 3))
def test_a_moved_series_has_the_moved_affine(
    tmp_path: Path, orientation: str, angles: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    plain, out = fresh(tmp_path)
    ct_series(plain, 4, orientation)
    voxels, affine = volume_of(plain, out)
    motion = np.eye(4)
    motion[:3, :3] = _rotation(angles)
    motion[:3, 3] = shift
    moved, again = fresh(tmp_path)
    for path in ct_series(moved, 4, orientation):
        dataset = pydicom.dcmread(path)
        position = motion @ [*map(float, dataset.ImagePositionPatient), 1]
        cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3) @ motion[:3, :3].T
        dataset.ImagePositionPatient = [f"{value:.9f}" for value in position[:3]]
        dataset.ImageOrientationPatient = [f"{value:.12f}"[:16] for value in cosines.ravel()]
        dataset.save_as(path)
    found, other = volume_of(moved, again)
    np.testing.assert_array_equal(found, voxels)
    np.testing.assert_allclose(other, motion @ affine, atol=1e-4)


def _rotation(angles: tuple[float, ...]) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one, two = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        turned = turn @ turned
    return turned


@law
@given(orientation=orientations, count=st.integers(5, 9), data=st.data())
def test_a_dropped_slice_is_found_and_its_gap_named(
    tmp_path: Path, orientation: str, count: int, data: st.DataObject
) -> None:
    source, out = fresh(tmp_path)
    dropped = data.draw(st.integers(1, count - 2))
    ct_series(source, count, orientation)[dropped].unlink()
    export(source.parent, out, metadata={}, volume={"irregular": "keep"})
    (verdict,) = verdicts(out)
    assert verdict["uniform_spacing"] == "False"
    assert verdict["missing_positions"] == "1"
    assert float(verdict["largest_gap"]) == pytest.approx(4.0, abs=1e-4)
    assert float(verdict["spacing"]) == pytest.approx(2.0, abs=1e-4)
    assert (verdict["regular_volume"], verdict["policy"]) == ("False", "keep")
    ((_, affine, _),) = volumes(out)
    assert affine is None


@law
@given(orientation=orientations, count=st.integers(2, 5), seed=st.integers(0, 99), slopes=st.booleans())
def test_classic_and_enhanced_are_one_volume(
    tmp_path: Path, orientation: str, count: int, seed: int, slopes: bool
) -> None:
    classic, out = fresh(tmp_path)
    paths = ct_series(classic, count, orientation)
    single = [pydicom.dcmread(path) for path in paths]
    for number, (dataset, path) in enumerate(zip(single, paths, strict=True)):
        if slopes:
            dataset.RescaleSlope = 1 + number / 2
            dataset.save_as(path)
    expected, affine = volume_of(classic, out)
    enhanced, again = fresh(tmp_path)
    order = np.random.default_rng(seed).permutation(count)
    _enhanced([single[number] for number in order], enhanced / "e.dcm")
    voxels, other = volume_of(enhanced, again)
    np.testing.assert_array_equal(voxels, expected)
    assert voxels.dtype == expected.dtype
    np.testing.assert_allclose(other, affine, atol=1e-6)


def _item(**keywords: Any) -> Dataset:
    dataset = Dataset()
    dataset.update(keywords)
    return dataset


def _enhanced(frames: list[Dataset], path: Path) -> None:
    """The same frames as one enhanced CT object, PS3.3 A.38."""
    first = frames[0]
    shared = _item(
        PixelMeasuresSequence=[_item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=first.ImageOrientationPatient)],
    )
    groups = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=frame.ImagePositionPatient)],
            PixelValueTransformationSequence=[
                _item(RescaleSlope=frame.RescaleSlope, RescaleIntercept=frame.RescaleIntercept, RescaleType="HU")
            ],
        )
        for frame in frames
    ]
    save(
        quick_dataset(
            np.stack([frame.pixel_array for frame in frames]),
            SOPClassUID=EnhancedCTImageStorage,
            SOPInstanceUID=make_uid("enhanced"),
            SeriesInstanceUID=first.SeriesInstanceUID,
            FrameOfReferenceUID=first.FrameOfReferenceUID,
            SharedFunctionalGroupsSequence=[shared],
            PerFrameFunctionalGroupsSequence=groups,
        ),
        path,
    )


# -- irregular input: what the verdict says, and what each policy makes of it ---------------------------------------


def _mixed_size(folder: Path) -> None:
    ct_series(folder / "a", 3, uid="1.2.3")
    ct_series(folder / "b", 3, size=(8, 10), uid="1.2.3")
    _flatten(folder)


def _mixed_orientation(folder: Path) -> None:
    ct_series(folder / "a", 3, uid="1.2.3")
    ct_series(folder / "b", 3, "sagittal", uid="1.2.3")
    _flatten(folder)


def _missing(folder: Path) -> None:
    ct_series(folder, 7, gap=4)


def _duplicate(folder: Path) -> None:
    """A second image of slice 2, with other pixels."""
    paths = ct_series(folder, 5)
    dataset = pydicom.dcmread(paths[2])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = make_uid("again")
    dataset.PixelData = slice_pixels(99).tobytes()
    dataset.save_as(folder / "again.dcm")


def _tilted(folder: Path) -> None:
    ct_series(folder, 6, tilt=17.0)


def _uneven(folder: Path) -> None:
    for number, path in enumerate(ct_series(folder, 6)):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [-10, -20, [0, 1, 2.4, 4.1, 6.5, 9.9][number]]
        dataset.save_as(path)


def _one_position(folder: Path) -> None:
    for path in ct_series(folder, 5):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [0, 0, 0]
        dataset.save_as(path)


def _flatten(folder: Path) -> None:
    for path in sorted(folder.rglob("*.dcm")):
        path.rename(folder / f"{path.parent.name}{path.name}")


# What series.csv says; then slices of the layouts, and which of them have an affine, under "split".
IRREGULAR: dict[str, tuple[Any, dict[str, str], list[int], list[bool]]] = {
    "mixed size": (
        _mixed_size, {"consistent_size": "False", "n_layouts": "2", "regular_volume": "True"}, [3, 3], [True, True],
    ),
    "mixed orientation": (
        _mixed_orientation,
        {"single_orientation": "False", "n_layouts": "2", "regular_volume": "True"}, [3, 3], [True, True],
    ),
    "missing slice": (
        _missing,
        {"uniform_spacing": "False", "missing_positions": "1", "policy": "split", "regular_volume": "False"},
        [4, 3], [True, True],
    ),
    "duplicate slice": (
        _duplicate,
        {"unique_positions": "False", "duplicate_positions": "1", "n_layouts": "2"}, [5, 1], [True, True],
    ),
    "gantry tilt": (_tilted, {"uniform_spacing": "True", "reason": "tilted", "policy": ""}, [6], [True]),
    "irregular spacing": (
        _uneven, {"uniform_spacing": "False", "policy": "split", "regular_volume": "False"}, [1, 1, 2, 2], [True] * 4,
    ),
    "one position for all": (
        _one_position, {"unique_positions": "False", "reason": "one position for all slices"}, [5], [False],
    ),
}  # fmt: skip


@pytest.mark.parametrize("policy", ["split", "keep", "refuse"])
@pytest.mark.parametrize("name", IRREGULAR)
def test_irregular_series_have_their_verdict_and_no_untrue_affine(tmp_path: Path, name: str, policy: str) -> None:
    write, expected, sizes, placed = IRREGULAR[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"irregular": policy})
    (verdict,) = verdicts(tmp_path / "out")
    applied = expected.get("policy", "") and policy
    shown = {**expected, "policy": applied}
    if applied in ("keep", "refuse"):
        sizes, placed = [sum(sizes)], [False]
    assert {key: verdict[key] for key in shown} == shown
    found = volumes(tmp_path / "out")
    if applied == "refuse":
        assert (found, sum(summary.failed.values())) == ([], sum(sizes))
        return
    assert not summary.failed
    assert sorted(len(voxels) for voxels, _, _ in found) == sorted(sizes)
    assert [affine is not None for _, affine, _ in found] == placed
    for path in (tmp_path / "out" / "volumes").rglob("*.h5"):
        if path.name != "pixel_data.h5":
            _check_positions(path)


def _check_positions(path: Path) -> None:
    """An affine leads from each index to the position in the header of the slice that lies there."""
    with h5py.File(path) as file:
        affine = file["image"].attrs.get("affine")
        if affine is None:
            return
        for row in file["provenance"][()]:
            index = [row["index_slice"], 0, 0, 1]
            np.testing.assert_allclose((affine @ index)[:3], row["position"], atol=1e-3)


def test_a_tilted_stack_is_sheared_exactly(tmp_path: Path) -> None:
    _tilted(tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    (verdict,) = verdicts(tmp_path / "out")
    assert float(verdict["tilt_degrees"]) == pytest.approx(17.0, abs=1e-3)
    ((_, affine, attributes),) = volumes(tmp_path / "out")
    assert affine is not None
    expected = 2.0 * np.array([0, np.sin(np.radians(17)), np.cos(np.radians(17))])
    np.testing.assert_allclose(affine[:3, 0], expected, atol=1e-3)
    assert "tilted" in attributes["verdict_reason"]

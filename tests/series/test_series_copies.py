"""Files that keep their UIDs are the files that were read; planes without a grid lie where their headers put them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from support.factories import ct_series
from support.mr import mr_series

from crawler import Series
from crawler.series.errors import NoGeometry

NOT_COMPARED = {"InstanceCreationDate", "InstanceCreationTime"}


def change(dataset: Dataset) -> None:
    dataset.add_new(0x00290010, "LO", "VENDOR")
    dataset.add_new(0x00291001, "OB", bytes([dataset.InstanceNumber, 1]))
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Müller^Änne"
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.SmallestImagePixelValue = 3
    dataset.WindowCenterWidthExplanation = "OWN"
    item = Dataset()
    item.CodeValue = f"{dataset.InstanceNumber}"
    dataset.ProcedureCodeSequence = [item]


def same(one: Path, other: Path, ignored: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    first, second = dcmread(one), dcmread(other)
    tags = {element.tag for element in first} ^ {element.tag for element in second}
    assert not tags
    return all(element == second[element.tag] for element in first if element.keyword not in ignored)


def pairs(folder: Path, out: Path) -> list[tuple[Path, Path]]:
    files = sorted(folder.iterdir(), key=lambda path: dcmread(path).InstanceNumber)
    return list(zip(files, sorted(out.rglob("*.dcm")), strict=True))


def test_a_copy_with_its_uids_is_the_file(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=2, slices=3, change=change)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out", keep_uid=True)
    for one, other in pairs(tmp_path / "in", tmp_path / "out"):
        assert same(one, other)


def test_only_what_was_changed_is_changed(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=2, slices=3, change=change)
    a = Series(tmp_path / "in")
    a.seriesDescription = "MINE"
    a.setDicomAttribute("EchoTime", 7.5, slice=1, tag=0)
    a.write(tmp_path / "out", keep_uid=True, sernum=9)
    for number, (one, other) in enumerate(pairs(tmp_path / "in", tmp_path / "out")):
        written = dcmread(other)
        assert (written.SeriesDescription, written.SeriesNumber) == ("MINE", 9)
        assert written.EchoTime == (7.5 if number == 1 else 2.5)
        del written.SeriesDescription
        written.save_as(tmp_path / "plain.dcm")
        assert same(one, tmp_path / "plain.dcm", {"SeriesNumber", "EchoTime"})


def test_moved_planes_get_their_new_place(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3, change=change)
    a = Series(tmp_path / "in")
    a.affine = a.affine @ np.diag([2.0, 1.0, 1.0, 1.0])
    a.write(tmp_path / "out", keep_uid=True)
    b = Series(tmp_path / "out")
    assert np.allclose(a.affine, b.affine)
    assert dcmread(next((tmp_path / "out").iterdir()))[0x00291001].value
    a[..., 1:, 2:].write(tmp_path / "crop", keep_uid=True)
    assert np.allclose(Series(tmp_path / "crop").affine, a[..., 1:, 2:].affine)


def test_rescaled_values_keep_their_stored_ones(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 3)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out", keep_uid=True)
    for one, other in pairs(tmp_path / "in", tmp_path / "out"):
        first, second = dcmread(one), dcmread(other)
        assert (first.RescaleIntercept, first.BitsStored) == (second.RescaleIntercept, second.BitsStored)
        assert first.PixelData == second.PixelData
    b = a.copy()
    b[0, 0, 0] = 60000  # more than 16 bits hold beside the intercept
    b.write(tmp_path / "other", keep_uid=True)
    assert np.array_equal(Series(tmp_path / "other"), b)


def signed(dataset: Dataset) -> None:
    """Twelve bits with a sign, and a rescale."""
    values = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64) - 150
    values[:2] = -2048, 2047
    dataset.PixelData = values.astype("<i2").tobytes()
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 12, 11
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-10"


def test_signed_values_of_twelve_bits_keep_their_stored_ones(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3, change=signed)
    a = Series(tmp_path / "in")
    assert a[0].ravel()[:3].tolist() == [-2048 * 2 - 10, 2047 * 2 - 10, -148 * 2 - 10]
    a.write(tmp_path / "out", keep_uid=True)
    for one, other in pairs(tmp_path / "in", tmp_path / "out"):
        assert same(one, other)
    b = a.copy()
    for value in (2048 * 2 - 10, -2049 * 2 - 10, 3):  # too great, too small, no step of the slope
        b.values[0, 0, 0] = value  # behind its back: its UIDs are still those of the files
        out = tmp_path / str(value)
        b.write(out, keep_uid=True)
        assert np.array_equal(Series(out), b)
        assert dcmread(sorted(out.iterdir())[0]).BitsStored == 16
        assert dcmread(sorted(out.iterdir())[1]).BitsStored == 12


def test_other_spacing_is_written(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3, change=change)
    a = Series(tmp_path / "in")
    a.spacing = a.spacing * [1, 1.01, 1]
    a.write(tmp_path / "out", keep_uid=True)
    assert np.allclose(Series(tmp_path / "out").spacing, a.spacing)
    a.setDicomAttribute("EchoTime", None)
    a.write(tmp_path / "less", keep_uid=True)
    written = dcmread(next((tmp_path / "less").iterdir()))
    assert "EchoTime" not in written
    assert written[0x00291001].value


def test_without_the_files_a_template_serves(tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "in", times=1, slices=3, change=change)
    a = Series(tmp_path / "in")
    uids = a.SOPInstanceUIDs
    for path in paths:
        path.unlink()
    a.write(tmp_path / "out", keep_uid=True)
    b = Series(tmp_path / "out")
    assert np.array_equal(a, b)
    assert b.SOPInstanceUIDs == uids


def uneven(folder: Path, orientation: str = "oblique") -> Any:
    mr_series(folder, times=2, slices=5, orientation=orientation)
    return Series(folder, "time")[:, [0, 1, 4]]


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
@pytest.mark.parametrize(
    "cut",
    [(...,), (..., slice(1, None), slice(None)), (..., slice(None, None, -1), slice(1, 4)),
     (slice(None), slice(None, None, -1)), (0,), (..., slice(None, None, 2), slice(None))],
)  # fmt: skip
def test_uneven_planes_lie_where_their_headers_put_them(tmp_path: Path, orientation: str, cut: Any) -> None:
    whole = uneven(tmp_path / "in", orientation)
    original = Series(tmp_path / "in", "time")
    assert whole.affine is None
    a = whole[cut]
    report = a.write(tmp_path / "out")
    assert "evenly" in report.notes[0]
    # Every voxel: where the whole array has its value. Values are unique within a time.
    flat = np.asarray(original[0]).ravel()
    for path in sorted((tmp_path / "out").iterdir()):
        dataset = dcmread(path)
        place = np.array(dataset.ImagePositionPatient, dtype=float)
        along, down = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between, beside = map(float, dataset.PixelSpacing)
        values = dataset.pixel_array.astype(int) % 1000
        for row, column in ((0, 0), (values.shape[0] - 1, values.shape[1] - 1), (1, 0)):
            found = place + row * between * down + column * beside * along
            number = int(np.flatnonzero(flat == values[row, column])[0])
            expected = original[0].position(np.unravel_index(number, original.shape[1:]))
            assert np.allclose(found, expected, atol=1e-4)
        assert "SpacingBetweenSlices" not in dataset
        assert dataset.SliceThickness == 5
    b = Series(tmp_path / "out", uneven="keep")
    assert sorted(np.asarray(b).ravel().tolist()) == sorted(np.asarray(a).ravel().tolist())


def test_uneven_stacks_go_round(tmp_path: Path) -> None:
    a = uneven(tmp_path / "in")
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out", "time", uneven="keep")
    assert np.array_equal(a, b)
    assert b.axes[0] == a.axes[0]
    b.write(tmp_path / "again")
    c = Series(tmp_path / "again", "time", uneven="keep")
    assert np.array_equal(a, c)
    places = [[header.plane.position for header in one.frames[0]] for one in (a, b, c)]
    assert np.allclose(places[0], places[1])
    assert np.allclose(places[0], places[2])


def test_what_has_no_place_in_its_headers_is_refused(tmp_path: Path) -> None:
    a = uneven(tmp_path / "in")
    for gone in (a.mean(axis="slice"), a.mean(axis="row"), np.pad(a, ((0, 0), (1, 0), (0, 0), (0, 0))),
                 np.concatenate([a, a], axis=2), a.without_geometry()):  # fmt: skip
        with pytest.raises((NoGeometry, ValueError)):
            gone.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (a.mean(axis="time")).write(tmp_path / "mean")
    assert Series(tmp_path / "mean", uneven="keep").shape == a.shape[1:]

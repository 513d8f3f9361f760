"""Series written as DICOM and read again: voxels, place, axes, and what the files say of where they come from."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from support.factories import ct_series
from support.mr import mr_series

from crawler import Series
from crawler.series.axis import Axis
from crawler.series.errors import (
    CannotSort,
    FileAlreadyExistsError,
    LossRefused,
    NoGeometry,
    WriteNotImplemented,
)


def headers(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def placed_values(series: Any) -> dict[tuple[float, ...], float]:
    """Value by place (rounded to 0.01 mm) of every voxel of a volume."""
    names = series.axes.names
    found = {}
    for index in np.ndindex(series.shape):
        place = [index[names.index(name)] if name in names else 0 for name in ("slice", "row", "column")]
        found[tuple(np.round(series.position(place), 2) + 0.0)] = float(series.values[index])
    return found


CUTS: dict[str, Any] = {
    "whole": lambda a: a,
    "crop": lambda a: a[:, 3:, 2:],
    "step": lambda a: a[:, ::2, ::3],
    "slices reversed": lambda a: a[::-1],
    "rows reversed": lambda a: a[:, ::-1],
    "columns reversed": lambda a: a[..., ::-1],
    "every other slice": lambda a: a[::2],
    "transposed": lambda a: a.T,
    "padded": lambda a: np.pad(a, 1),
    "one slice": lambda a: a[2],
    "sagittal cut": lambda a: a[..., 4],
    "coronal cut": lambda a: a[:, 4],
}


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
@pytest.mark.parametrize("cut", CUTS)
def test_cuts_land_where_they_were(tmp_path: Path, cut: str, orientation: str) -> None:
    """imagedata 3.10: a crop is written 47 mm off, `a[::-1]` with all slices at 0, `a[:, ::-1]` with spacing -2.08."""
    ct_series(tmp_path / "in", orientation=orientation)
    part = CUTS[cut](Series(tmp_path / "in"))
    part.write(tmp_path / "out")
    assert placed_values(Series(tmp_path / "out")) == placed_values(part)
    for dataset in headers(tmp_path / "out"):
        assert min(dataset.PixelSpacing) > 0
        assert "DERIVED" in dataset.ImageType


@given(
    st.tuples(*[st.tuples(st.integers(0, 3), st.sampled_from([1, 2, -1])) for _ in range(3)]),
    st.sampled_from(["uint16", "int16", "uint8", "bool", "int32"]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_law(tmp_path_factory: pytest.TempPathFactory, cut: Any, kind: str) -> None:
    folder = tmp_path_factory.mktemp("law")
    values = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(kind)
    series = Series(values)
    series.affine = [[0.1, 0, 2, -7], [0, 1.5, 0.1, 11], [3, 0.0, 0, 3], [0, 0, 0, 1]]
    series.affine = [[0, 0, 2, -7], [0.6, 1.2, 0, 11], [2.4, -0.9 * 0, 0, 3], [0, 0, 0, 1.0]]
    part = series[tuple(slice(start, None, step) if step > 0 else slice(None, None, -1) for start, step in cut)]
    part.write(folder / "out")
    again = Series.open(folder / "out")
    assert placed_values(again) == placed_values(part)
    assert again.is_lazy is False  # its values were looked at


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 4), st.integers(2, 5), st.integers(2, 5)),
    st.lists(st.floats(-1, 1), min_size=9, max_size=9),
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.sampled_from([("te", "b"), ("time", "fa"), ("ti", "EchoTrainLength")]),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_n_d_round_trip_law(
    tmp_path_factory: pytest.TempPathFactory, shape: Any, numbers: list[float], spacing: Any, names: tuple[str, str]
) -> None:
    """DICOM -> Series -> DICOM, and NIfTI -> back with the template: values, affine and axes stay."""
    folder = tmp_path_factory.mktemp("law")
    rotation, _ = np.linalg.qr(np.array(numbers).reshape(3, 3) + 2 * np.eye(3))
    rotation[:, 0] = np.cross(rotation[:, 2], rotation[:, 1])  # slices along the normal: others come back reversed
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = np.array(numbers[:3]) * 100
    a = Series(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), list(names))
    a.affine = affine
    steps = [Axis(name, np.arange(count) * 7.0 + 5) for name, count in zip(names, shape, strict=False)]
    a.axes = [*steps, *a.axes[2:]]
    a.write(folder / "one")
    b = Series(folder / "one", list(names))
    kept = [name for name, count in zip(names, shape, strict=False) if count > 1]
    assert b.axes.names == (*kept, "slice", "row", "column")
    assert np.array_equal(b.values.reshape(shape), a.values)
    assert b.affine == pytest.approx(affine, abs=1e-6)
    for name in kept:
        assert b.axes[name].values.tolist() == a.axes[name].values.tolist()
    b.write(folder / "nifti", formats=["nifti"])
    c = Series(folder / "nifti", template=b)
    assert c.axes == b.axes
    assert np.array_equal(c, b)
    assert c.affine == pytest.approx(b.affine)
    c.write(folder / "two")
    d = Series(folder / "two", list(names))
    assert np.array_equal(d, b)
    assert d.axes == b.axes


def test_time_series_round_trip(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=3, slices=4)
    a = Series(tmp_path / "in", "time")
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out", "time")
    assert np.array_equal(a, b)
    assert a.affine == pytest.approx(b.affine)
    assert a.axes == b.axes
    assert a.timeline.tolist() == b.timeline.tolist() == [0.0, 2.5, 5.0]
    assert {number: list(tags) for number, tags in a.tags.items()} == {k: list(v) for k, v in b.tags.items()}
    assert np.array_equal(Series(tmp_path / "out"), a)
    assert np.array_equal(Series.open(tmp_path / "out")[1], a[1])


def test_readme_example(tmp_path: Path) -> None:
    mr_series(tmp_path / "dirA", times=2, slices=3)
    mr_series(tmp_path / "dirB", times=2, slices=3, offset=10)
    a, b = Series(tmp_path / "dirA", "time"), Series(tmp_path / "dirB", "time")
    c = (a + b) / 2
    c.write(tmp_path / "dirMean")
    again = Series(tmp_path / "dirMean", "time")
    assert np.abs(again - (a.values + b.values) / 2).max() == 0


def test_axes_of_n_d_go_back_into_their_elements(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=2)
    values = np.arange(2 * 3 * 2 * 6 * 5, dtype=np.uint16).reshape(2, 3, 2, 6, 5)
    template = Series(tmp_path / "in")
    a = Series(values, ["te", "b"], template=template, geometry=template)
    a.axes = [Axis("te", [10.0, 20.0], "ms"), Axis("b", [0, 400, 800], "s/mm2"), *a.axes[2:]]
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out", ["te", "b"])
    assert np.array_equal(a, b)
    assert b.axes.te.values.tolist() == [10, 20]
    assert b.axes.b.values.tolist() == [0, 400, 800]
    assert Series(tmp_path / "out").axes.names == b.axes.names
    assert Series(tmp_path / "out", "b,te").shape == (3, 2, 2, 6, 5)


def test_identity_of_what_is_written(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    (a * 2).write(tmp_path / "out", sernum=1004, serdes="Processed data")
    originals, made = headers(tmp_path / "in"), headers(tmp_path / "out")
    for dataset in made:
        assert dataset.StudyInstanceUID == originals[0].StudyInstanceUID
        assert dataset.FrameOfReferenceUID == originals[0].FrameOfReferenceUID
        assert dataset.PatientID == originals[0].PatientID
        assert dataset.SeriesInstanceUID != originals[0].SeriesInstanceUID
        assert dataset.SeriesInstanceUID.startswith("2.25.")
        assert pydicom.uid.UID(dataset.SOPInstanceUID).is_valid
        assert (dataset.SeriesNumber, dataset.SeriesDescription) == (1004, "Processed data")
        assert list(dataset.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID in {one.SOPInstanceUID for one in originals}
        assert "multiply" in dataset.DerivationDescription
    assert len({dataset.SOPInstanceUID for dataset in made}) == 3
    assert [dataset.InstanceNumber for dataset in made] == [1, 2, 3]


COPIES: dict[str, tuple[bool, Any]] = {
    "whole": (True, lambda a: a),
    "one time": (True, lambda a: a[1]),
    "slices reversed": (True, lambda a: a[:, ::-1]),
    "transposed": (True, lambda a: a.T),
    "as float": (True, lambda a: a.astype(np.float64)),
    "rows reversed": (False, lambda a: a[:, :, ::-1]),
    "cut": (False, lambda a: a[:, :, :4]),
    "computed": (False, lambda a: a + 0),
    "wrapped": (False, lambda a: a.astype(np.uint8)),
    "moved": (False, lambda a: set_affine(a.copy())),
    "spaced": (False, lambda a: spaced(a.copy())),
    "turned": (False, lambda a: turned(a.copy())),
    "assigned": (False, lambda a: assigned(a.copy())),
    "assigned behind its back": (False, lambda a: assigned(a.copy(), a.copy().values)),
}


def set_affine(a: Any) -> Any:
    a.affine = a.affine @ np.diag([2.0, 1, 1, 1])
    return a


def spaced(a: Any) -> Any:
    a.spacing = a.spacing * [1, 1, 1.01]
    return a


def turned(a: Any) -> Any:
    a.orientation = [0, 1, 0, 0, 0, 1]  # columns and rows change places: (z, y, x) of each
    return a


def assigned(a: Any, values: Any = None) -> Any:
    if values is None:
        a[0, 0, 0, 0] = 7
    else:
        a.values[0, 0, 0, 0] = 7
    return a


@pytest.mark.parametrize("name", COPIES)
def test_images_that_are_as_they_were_read_stay_original(tmp_path: Path, name: str) -> None:
    """PS3.3 C.7.6.1.1.2: ORIGINAL are pixels as the source has them. An array is one series, and has one answer."""
    mr_series(tmp_path / "in", times=2, slices=3)
    stays, change = COPIES[name]
    a = change(Series(tmp_path / "in", "time"))
    a.write(tmp_path / "out")
    for dataset in headers(tmp_path / "out"):
        assert list(dataset.ImageType) == (["ORIGINAL", "PRIMARY", "M"] if stays else ["DERIVED", "SECONDARY", "M"])
        assert ("DerivationDescription" in dataset) is not stays
        assert len(dataset.SourceImageSequence) == 1  # under its new UID a copy still says of what


def test_copies_of_rescaled_values_stay_original(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 3, RescaleSlope="0.1", RescaleIntercept="-1024", ImageType=["ORIGINAL", "PRIMARY"])
    Series(tmp_path / "in").write(tmp_path / "out")
    assert [list(one.ImageType) for one in headers(tmp_path / "out")] == [["ORIGINAL", "PRIMARY"]] * 3
    again = Series(tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    again.write(tmp_path / "third")  # nothing is left that would show it
    assert headers(tmp_path / "third")[0].ImageType[0] == "DERIVED"


def test_assigned_values_get_another_uid(tmp_path: Path) -> None:
    """Two images of one UID are one image: what was computed or assigned is another, also where UIDs are kept."""
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    b = a.copy()
    b[0] = 0
    assert b.seriesInstanceUID != a.seriesInstanceUID
    b.write(tmp_path / "out", keep_uid=True)
    assert not set(Series(tmp_path / "out").SOPInstanceUIDs.values()) & set(a.SOPInstanceUIDs.values())


def test_a_mean_names_all_its_sources(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=3, slices=2)
    np.mean(Series(tmp_path / "in", "time"), axis=0).write(tmp_path / "out")
    for dataset in headers(tmp_path / "out"):
        assert len(dataset.SourceImageSequence) == 3


def test_uids_are_kept_on_request(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out", keep_uid=True)
    b = Series(tmp_path / "out")
    assert b.seriesInstanceUID == a.seriesInstanceUID
    assert b.SOPInstanceUIDs == a.SOPInstanceUIDs
    assert "SourceImageSequence" not in headers(tmp_path / "out")[0]


def test_floats_are_rounded_and_the_error_is_told(tmp_path: Path) -> None:
    """imagedata 3.10 cuts them: errors up to one step."""
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in") * 0.37 - 11.3
    report = a.write(tmp_path / "out")
    again = Series(tmp_path / "out", dtype=float)
    slope = float(headers(tmp_path / "out")[0].RescaleSlope)
    assert 0 < report.rounding <= 0.5 * slope * 1.0001
    assert np.abs(again.values - a.values).max() <= report.rounding + 1e-4 * slope + 1e-5


def test_large_integers_do_not_wrap(tmp_path: Path) -> None:
    """imagedata 3.10: uint32 70000 becomes 4464."""
    mr_series(tmp_path / "in", times=1, slices=3)
    template = Series(tmp_path / "in")
    values = np.full(template.shape, 5, np.uint32)
    values[0, 0, 0] = 70000
    report = Series(values, template=template, geometry=template).write(tmp_path / "out")
    assert report.rounding <= 0.6
    assert Series(tmp_path / "out").max() == pytest.approx(70000, abs=0.6)
    values[values == 5] = 4465  # as many steps as 16 bits have: nothing is rounded
    values[0, 0, 1] = 4467
    report = Series(values, template=template, geometry=template).write(tmp_path / "exact")
    assert report.rounding == 0
    assert np.array_equal(Series(tmp_path / "exact"), values)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 65535, np.int64),
        (-32768, 32767, np.int32),
        (-40000, 10000, np.int32),
        (-70000, -69000, np.float64),
        (0, 3, bool),
    ],
)
def test_whole_numbers_that_fit_are_exact(tmp_path: Path, low: int, high: int, dtype: Any) -> None:
    values = np.linspace(low, high, 60).round().astype(dtype).reshape(3, 4, 5)
    report = Series(values).write(tmp_path / "out")
    assert report.rounding == 0
    assert np.array_equal(Series(tmp_path / "out"), values)


@pytest.mark.parametrize(("factor", "offset"), [(0.37, 0), (-1.7, 0), (0.37, -300)])
def test_pet_has_no_intercept(tmp_path: Path, factor: float, offset: float) -> None:
    """PS3.3 C.8.9.4: a slope alone; what is below 0 is stored as signed numbers."""
    mr_series(tmp_path / "in", times=1, slices=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.128", Modality="PT")
    a = Series(tmp_path / "in") * factor + offset
    report = a.write(tmp_path / "out")
    slope = float(headers(tmp_path / "out")[0].RescaleSlope)
    assert {float(one.RescaleIntercept) for one in headers(tmp_path / "out")} == {0}
    steps = 65535 if a.min() >= 0 else 32767
    assert slope == pytest.approx(np.abs(a.values).max() / steps, rel=1e-6)
    assert report.rounding <= 0.5001 * slope
    assert np.abs(Series(tmp_path / "out").values - a.values).max() <= 0.51 * slope + 1e-4


def test_nan_is_refused_unless_told(tmp_path: Path) -> None:
    """imagedata 3.10: one NaN writes all voxels as 0."""
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in") * 0.5
    a[0, 0, 0] = np.nan
    with pytest.raises(LossRefused, match="1 values are not finite"):
        a.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = a.write(tmp_path / "out", nan=0)
    assert report.replaced == 1
    again = Series(tmp_path / "out")
    assert again[0, 0, 0] == 0
    assert np.nanmax(np.abs(again.values - a.values)) < 1


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """imagedata 3.10: old files stay among the new."""
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out")
    with pytest.raises(FileAlreadyExistsError, match="holds DICOM files"):
        a[:2].write(tmp_path / "out")
    a[:2].write(tmp_path / "out", replace=True)
    assert len(headers(tmp_path / "out")) == 2
    with pytest.raises(FileAlreadyExistsError):
        a.write(tmp_path / "in", replace=True)  # those are not ours
    assert len(headers(tmp_path / "in")) == 3
    a.write(tmp_path / "nifti", formats=["nifti"])
    with pytest.raises(FileAlreadyExistsError):
        a.write(tmp_path / "nifti", formats=["nifti"])
    assert not list(tmp_path.rglob(".dme-tmp"))


def test_template_elements_do_not_lie(tmp_path: Path) -> None:
    """imagedata 3.10 copies nested elements to the top level; tables and windows of other pixels stay."""

    def spoil(dataset: Dataset) -> None:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "nested"
        dataset.ProcedureCodeSequence = [item]
        dataset.PixelPaddingValue = 0
        dataset.SmallestImagePixelValue = 1
        dataset.LossyImageCompression = "01"
        dataset.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
        dataset.add_new(0x00291010, "OB", b"place of another image")

    mr_series(tmp_path / "in", times=1, slices=2, change=spoil)
    Series(tmp_path / "in")[:, 2:].write(tmp_path / "out")
    for dataset in headers(tmp_path / "out"):
        assert dataset.ProcedureCodeSequence[0].CodeMeaning == "nested"
        assert "CodeMeaning" not in dataset
        for keyword in ("PixelPaddingValue", "SmallestImagePixelValue"):
            assert keyword not in dataset
        assert dataset.LossyImageCompression == "01"  # that was so, and stays so (PS3.3 C.7.6.1.1.5)
        assert not any(element.tag.is_private for element in dataset)


def test_colour_becomes_secondary_capture(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=2)
    template = Series(tmp_path / "in")
    a = Series(np.random.default_rng(0).integers(0, 255, (2, 6, 5, 3), dtype=np.uint8))
    a.axes = [*template.axes, Axis("sample", range(3))]
    b = Series(a, template=template, geometry=template)
    b.write(tmp_path / "out")
    dataset = headers(tmp_path / "out")[0]
    assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
    assert dataset.PhotometricInterpretation == "RGB"
    again = Series(tmp_path / "out")
    assert np.array_equal(again, a)
    assert again.affine == pytest.approx(template.affine)
    assert again.color


def test_arrays_without_a_place(tmp_path: Path) -> None:
    report = Series(np.arange(60, dtype=np.uint16).reshape(3, 4, 5)).write(tmp_path / "out")
    assert "no place" in report.notes[0]
    assert np.array_equal(Series(tmp_path / "out"), np.arange(60).reshape(3, 4, 5))
    mr_series(tmp_path / "in", times=1, slices=4)
    with pytest.raises(NoGeometry):
        Series(tmp_path / "in")[[0, 1, 3]].without_geometry().write(tmp_path / "uneven")
    with pytest.raises(WriteNotImplemented):
        (Series(tmp_path / "in") * 1j).write(tmp_path / "complex")


def test_fields_are_written(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.seriesNumber, a.seriesDescription, a.patientID = 7, "mine", "P"
    a.setDicomAttribute("EchoTime", 33.0)
    a.setDicomAttribute("ImageComments", "second", slice=1)
    a.windowCenter, a.windowWidth = 50, 20
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out")
    assert (b.seriesNumber, b.seriesDescription, b.patientID) == (7, "mine", "P")
    assert b.getDicomAttribute("EchoTime") == 33
    assert [b.getDicomAttribute("ImageComments", slice=number) for number in range(3)] == [None, "second", None]
    assert (b.windowCenter, b.windowWidth) == (50, 20)
    a.write(tmp_path / "single", ImageComments="all", imagetype="DERIVED\\PRIMARY\\X")
    assert Series(tmp_path / "single").imageType == ["DERIVED", "PRIMARY", "X"]


def test_archives_and_names(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=2, slices=3)
    a = Series(tmp_path / "in", "time")
    a.write(tmp_path / "new.zip", formats=["dicom"])
    a.write(f"{tmp_path}/parts.zip?dir_a", output_dir="multi")
    assert zipfile.ZipFile(tmp_path / "new.zip").namelist() == [f"Image_{number:05d}.dcm" for number in range(6)]
    assert "dir_a/time01/Image_00002.dcm" in zipfile.ZipFile(tmp_path / "parts.zip").namelist()
    assert np.array_equal(Series(f"{tmp_path}/new.zip", "time"), a)
    assert np.array_equal(Series(f"{tmp_path}/parts.zip?dir_a/time00"), a[0])
    assert np.array_equal(Series(f"{tmp_path}/parts.zip?*/time0[01]", "time"), a)
    with pytest.raises(FileAlreadyExistsError):
        a.write(tmp_path / "new.zip")


@pytest.mark.parametrize("name", ["nifti", "metaimage", "itk", "mat", "npz", "hdf5"])
def test_formats_round_trip(tmp_path: Path, name: str) -> None:
    """A folder with a file of a format is found again, as the README of imagedata shows it."""
    mr_series(tmp_path / "in", times=3, slices=4, orientation="oblique")
    a = Series(tmp_path / "in", "time")
    for number, part in enumerate((a, a[0], a[1] * 0.5, a[0, :, ::-1])):
        part.write(tmp_path / f"{name}{number}", formats=[name])
        b = Series(tmp_path / f"{name}{number}", "time")
        assert np.array_equal(b, part), (name, number)
        assert b.dtype == part.dtype
        assert b.affine == pytest.approx(part.affine, abs=1e-4)
        assert b.axes.names == part.axes.names


@pytest.mark.parametrize("name", ["nifti", "npz", "hdf5", "mat", "metaimage"])
def test_the_way_back_to_dicom(tmp_path: Path, name: str) -> None:
    """imagedata issue 174: `b = Series('niftiResult', template=a)`, then `b.write('dicomResult')`."""
    mr_series(tmp_path / "in", times=2, slices=4, orientation="oblique")
    a = Series(tmp_path / "in", "time")
    a.write(tmp_path / "mid", formats=[name])
    for template in (a, tmp_path / "in"):
        b = Series(tmp_path / "mid", template=template)
        b.seriesNumber = 1004
        folder = tmp_path / f"back{type(template).__name__}"
        b.write(folder)
        c = Series(folder, "time")
        assert np.array_equal(c, a)
        assert c.affine == pytest.approx(a.affine)
        assert c.axes == a.axes
        assert (c.seriesNumber, c.patientID) == (1004, a.patientID)
        assert len(headers(folder)[0].SourceImageSequence) == 1


def test_diffusion_goes_through_nifti(tmp_path: Path) -> None:
    directions = [None, (1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.0, 0.6, 0.8)]

    def change(dataset: Dataset) -> None:
        number = (dataset.InstanceNumber - 1) // 3
        dataset.DiffusionBValue = 800.0 if number else 0.0
        if number:
            dataset.DiffusionGradientOrientation = list(directions[number] or ())

    mr_series(tmp_path / "in", times=4, slices=3, orientation="oblique", change=change)
    a = Series(tmp_path / "in")
    assert a.axes.names[0] == "b"
    a.write(tmp_path / "nifti", formats=["nifti"])
    b = Series(tmp_path / "nifti")
    assert np.array_equal(a, b)
    assert b.axes.b.values.tolist() == a.axes.b.values.tolist()
    for mine, theirs in zip(a.axes.b.directions, b.axes.b.directions, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or theirs == pytest.approx(mine, abs=1e-5)


def test_flipped_nifti_goes_back_into_the_slices_it_came_from(tmp_path: Path) -> None:
    """Other tools flip and reorder axes: voxels stay where they are, images get their own rows and columns again."""
    import nibabel

    mr_series(tmp_path / "in", times=1, slices=4, orientation="oblique")
    a = Series(tmp_path / "in")
    a.write(tmp_path / "mid", formats=["nifti"])
    image: Any = nibabel.load(tmp_path / "mid" / "Image.nii.gz")
    nibabel.save(nibabel.as_closest_canonical(image), tmp_path / "canonical.nii.gz")
    b = Series(tmp_path / "canonical.nii.gz", template=a)
    assert np.array_equal(b, a)
    assert b.affine == pytest.approx(a.affine)
    b.write(tmp_path / "out")
    assert np.array_equal(Series(tmp_path / "out"), a)


def test_pictures(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "png", formats=["png"], window=(50, 100))
    assert Series(tmp_path / "png").shape == a.shape
    a[0].write(tmp_path / "one.png")
    assert Series(tmp_path / "one.png").axes.names == ("row", "column")


def test_several_formats(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.write(f"{tmp_path}/%p", formats=["nifti", "mat"])
    assert (tmp_path / "nifti" / "Image.nii.gz").exists()
    assert (tmp_path / "mat" / "Image.mat").exists()
    with pytest.raises(WriteNotImplemented, match="unknown format"):
        a.write(tmp_path / "x", formats=["abc"])
    with pytest.raises(TypeError, match="unknown option"):
        a.write(tmp_path / "x", nonsense=1)


def test_elsewhere_is_refused_by_geometry(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    with pytest.raises(ValueError, match="the array has"):
        Series(np.zeros((3, 5, 5)), geometry=a)
    b = Series(np.zeros(a.shape), template=a)
    assert b.affine == pytest.approx(a.affine)
    assert b.patientID == a.patientID
    cut = Series(np.zeros((3, 3, 2)), geometry=a[:, ::2, 1:3])  # its place, said as an index of the other
    assert cut.position((1, 1, 1)) == pytest.approx(a.position((1, 2, 2)))


@pytest.mark.parametrize("axis", ["row", "column"])
def test_arrays_side_by_side_have_no_place(tmp_path: Path, axis: str) -> None:
    """imagedata writes the second where nothing was seen. Halves that were cut apart have their place again."""
    mr_series(tmp_path / "in", times=2, slices=3)
    a = Series(tmp_path / "in", "time")
    number = a.axes.names.index(axis)
    both = np.concatenate((a, a), axis=number)
    assert both.shape[number] == 2 * a.shape[number]
    assert both.affine is None
    with pytest.raises(NoGeometry, match="asarray"):
        both.write(tmp_path / "out")
    Series(np.asarray(both), "time", template=a).write(tmp_path / "out")
    again = Series(tmp_path / "out", "time")
    assert np.array_equal(again, both)
    assert again.affine is None
    assert again.timeline.tolist() == a.timeline.tolist()
    cut = [slice(None)] * number
    joined = np.concatenate((a[(*cut, slice(0, 2))], a[(*cut, slice(2, None))]), axis=number)
    assert joined.affine == pytest.approx(a.affine)


def test_one_side_of_a_window_is_enough(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=2)
    a = Series(tmp_path / "in")
    a.windowWidth = 7
    a.write(tmp_path / "out")
    b = Series(tmp_path / "out")
    assert (b.windowCenter, b.windowWidth) == (50, 7)


def test_an_array_without_a_place_has_none_after_dicom(tmp_path: Path) -> None:
    """Else a template of another orientation would turn it."""
    mr_series(tmp_path / "in", times=1, slices=3, orientation="coronal")
    a = Series(tmp_path / "in")
    Series(np.asarray(a)).write(tmp_path / "out")
    b = Series(tmp_path / "out")
    assert b.affine is None
    c = Series(tmp_path / "out", template=a)
    assert np.array_equal(a, c)
    assert np.allclose(a.affine, c.affine)


def test_arrays_of_one_series_cannot_be_sorted_into_one(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=2)
    a = Series(tmp_path / "in")
    b = a + 1
    b.seriesInstanceUID = a.seriesInstanceUID
    a.write(tmp_path / "out" / "0", keep_uid=True)
    b.write(tmp_path / "out" / "1", keep_uid=True)
    with pytest.raises(CannotSort, match="2 arrays"):
        Series(tmp_path / "out")

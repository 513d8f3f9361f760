"""Names of files that targets ask for, rows of NIfTI, several files that are no DICOM."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.io import savemat
from support.mr import mr_series

from crawler import Series
from crawler.series.errors import MultipleSeriesError
from crawler.series.file_names import numbered, split_name

DICOM = (".dcm", ".ima")


@pytest.mark.parametrize(
    ("url", "target", "pattern"),
    [
        ("dir", "dir", ""),
        ("dir/Image.dcm", "dir", "Image.dcm"),
        ("Image_{:05d}.dcm", ".", "Image_{:05d}.dcm"),
        ("dir/Image%05d", "dir", "Image%05d"),
        ("dir?Image%05d.dcm", "dir", "Image%05d.dcm"),
        ("a.zip", "a.zip", ""),
        ("a.zip?dir", "a.zip?dir", ""),
        ("a.zip?dir/Image_{:05d}.dcm", "a.zip?dir", "Image_{:05d}.dcm"),
        ("a.zip?Image_%05d.dcm", "a.zip", "Image_%05d.dcm"),
    ],
)
def test_targets(url: str, target: str, pattern: str) -> None:
    assert split_name(url, DICOM) == (target, pattern)


def test_names_do_not_lead_out() -> None:
    with pytest.raises(ValueError, match="leads out"):
        split_name("dir?../Image.dcm", DICOM)


def test_numbers() -> None:
    assert numbered("Image.dcm", 0, 1, ".dcm") == "Image.dcm"
    assert numbered("Image.dcm", 2, 3, ".dcm") == "Image_00002.dcm"
    assert numbered("Scan{:03d}.dcm", 2, 3, ".dcm") == "Scan002.dcm"
    assert numbered("Scan%02d", 2, 3, ".dcm") == "Scan02.dcm"
    assert numbered("Scan{}.dcm", 2, 3, ".dcm") == "Scan2.dcm"


def test_dicom_is_written_under_asked_names(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out" / "Scan{:02d}.dcm", formats=["dicom"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Scan00.dcm", "Scan01.dcm", "Scan02.dcm"]
    a[1].write(tmp_path / "single" / "Image.dcm")
    assert np.array_equal(Series(tmp_path / "single" / "Image.dcm"), a[1])
    a.write(f"{tmp_path}/b.zip?deep/Image_%03d.dcm")
    assert np.array_equal(Series(f"{tmp_path}/b.zip?deep/Image_001.dcm"), a[1])
    a.write(f"{tmp_path}/mat?Image%02d", formats=["mat"])
    assert np.array_equal(Series(tmp_path / "mat" / "Image00.mat"), a)
    a.write(tmp_path / "plain" / "map.nii")
    assert nibabel.load(tmp_path / "plain" / "map.nii").shape == (5, 6, 3)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal", "oblique"])
def test_nifti_has_rows_as_dcm2niix_writes_them(tmp_path: Path, orientation: str) -> None:
    mr_series(tmp_path / "in", times=1, slices=3, orientation=orientation, InPlanePhaseEncodingDirection="COL")
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out", formats=["nifti"])
    image = nibabel.load(tmp_path / "out" / "Image.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), np.asarray(a)[:, ::-1].T)
    assert image.header.get_dim_info() == (0, 1, 2)
    assert np.linalg.det(image.affine) < 0
    for index in ((0, 0, 0), (2, 5, 4)):
        lps = a.position(index)
        found = image.affine @ [index[2], a.rows - 1 - index[1], index[0], 1]
        assert np.allclose(found[:3], lps * [-1, -1, 1], atol=1e-4)
    b = Series(tmp_path / "out")
    assert np.array_equal(a, b)
    assert np.allclose(a.affine, b.affine, atol=1e-5)
    # Of another program: the same file without our note.
    plain = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine)
    nibabel.save(plain, tmp_path / "plain.nii.gz")
    assert np.array_equal(Series(tmp_path / "plain.nii.gz"), a)
    # A right-handed file is taken as it is.
    nibabel.save(a.to_nibabel(), tmp_path / "right.nii.gz")
    assert np.array_equal(Series(tmp_path / "right.nii.gz"), a)


@pytest.mark.parametrize(
    "flip", [(slice(None, None, -1),), (slice(None), slice(None, None, -1)), (..., slice(None, None, -1))]
)
def test_turned_arrays_come_back_as_they_were(tmp_path: Path, flip: tuple[slice, ...]) -> None:
    mr_series(tmp_path / "in", times=1, slices=3)
    a = Series(tmp_path / "in")[flip]
    a.write(tmp_path / "out", formats=["nifti"])
    b = Series(tmp_path / "out")
    assert np.array_equal(a, b)
    assert np.allclose(a.affine, b.affine)


def test_several_files_are_the_steps_of_an_order(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=3, slices=4)
    a = Series(tmp_path / "in")
    for number in range(3):
        a[number].write(tmp_path / "out" / f"t{number}.mha", formats=["metaimage"])
    b = Series(tmp_path / "out", "time")
    assert b.axes.names == a.axes.names
    assert np.array_equal(a, b)
    assert np.allclose(a.affine, b.affine)
    assert Series([tmp_path / "out" / "t0.mha", tmp_path / "out" / "t2.mha"], "time").shape == (2, *a.shape[1:])
    assert Series(tmp_path / "out", "none").axes.names[0] == "none"
    with pytest.raises(MultipleSeriesError):
        Series(tmp_path / "out")


def test_matlab_has_rows_and_columns_first(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    savemat(tmp_path / "other.mat", {"volume": values.transpose(2, 3, 1, 0)})
    assert np.array_equal(Series(tmp_path / "other.mat", "time"), values)

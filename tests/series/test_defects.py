"""What imagedata 3.10.0 does wrong, seen by running it, row by row, and the tests that hold what is done here.

`DEFECTS` and `WISHES` map each row to its tests; those of this file read what was written by pydicom alone.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from support.mr import mr_series

from crawler import Series
from crawler.errors import StopError
from crawler.series.axis import VariableAxis

TESTS = Path(__file__).parents[1]
DEFECTS = {
    "crop: written 47 mm off": "here::test_a_crop_lies_where_it_was "
    "series/test_series_write.py::test_cuts_land_where_they_were",
    "step: spacing and matrix disagree": "series/test_series_array.py::test_spacing_and_matrix_follow_a_step "
    "here::test_a_step_is_in_both",
    "a[::-1]: every slice at 0,0,0": "here::test_reversed_slices_keep_their_places",
    "a[:, ::-1]: Pixel Spacing below 0": "here::test_reversed_rows_turn_the_orientation",
    "a.T: most pixels are missing": "here::test_a_transposed_array_is_written_whole",
    "fields set on a copy change the array": "series/test_series_array.py::test_copies_do_not_share_fields "
    "series/test_series_array.py::test_axes_are_frozen",
    "a + b elsewhere": "series/test_series_array.py::test_arithmetic_is_numpys_and_elsewhere_is_refused",
    "one NaN makes all voxels 0": "series/test_series_write.py::test_nan_is_refused_unless_told",
    "floats are cut": "series/test_series_write.py::test_floats_are_rounded_and_the_error_is_told",
    "derived images say ORIGINAL": "series/test_series_write.py::test_identity_of_what_is_written "
    "series/test_series_write.py::test_images_that_are_as_they_were_read_stay_original",
    "hex letters in UIDs": "here::test_uids_are_numbers",
    "nested elements at the top level": "series/test_series_write.py::test_template_elements_do_not_lie",
    "RGB as MR Image Storage": "series/test_series_write.py::test_colour_becomes_secondary_capture",
    "old files among the new": "series/test_series_write.py::test_nothing_is_written_over",
    "a[1:10], np.stack, np.pad raise": "series/test_series_array.py::test_plain_numpy_calls_of_the_seed_that_raised",
    "a folder of NIfTI is not found": "here::test_a_folder_of_another_format_is_read",
    "axes with a path raise": "series/test_reading.py::test_axes_may_be_given_with_a_path",
    "dicom_dump, image_list, --dtype float raise": "cli/test_image_commands.py::test_dump_and_sort "
    "cli/test_image_commands.py::test_list_and_statistics cli/test_image_commands.py::test_types",
    "the calculator runs any Python": "cli/test_image_commands.py::test_no_expression_is_run",
    "CannotSort, and nothing is read": "series/test_reading.py::test_uneven_slices "
    "here::test_a_missing_image_leaves_the_others",
    "dicom:// without limits or results": "series/test_series_send.py::test_a_refusal_is_told "
    "series/test_series_send.py::test_a_server_that_never_answers_has_its_limit",
}
WISHES = {
    174: "series/test_series_write.py::test_the_way_back_to_dicom",
    127: "series/test_series_names.py::test_nifti_has_rows_as_dcm2niix_writes_them",
    152: "here::test_five_dimensions_go_through_nifti",
    164: "series/test_series_array.py::test_each_slice_has_tags_of_its_own",
    137: "series/test_reading.py::test_diffusion_with_directions",
    94: "here::test_one_of_several_acquisitions",
    96: "here::test_a_format_may_be_named",
    32: "series/test_reading.py::test_orders",
    8: "series/test_series_elsewhere.py::test_one_plane_of_many_files_opens_one",
    4: "here::test_one_file_opens_no_other",
    142: "here::test_the_viewer_steps_through_several_axes",
    73: "series/test_colouring.py::test_outlines_are_the_masks_again",
    114: "series/test_series_array.py::test_stacked_planes_are_slices_again",
    116: "series/test_series_array.py::test_sel_takes_values",
    26: "series/test_resampling.py::test_frames_of_reference_must_agree",
    24: "series/test_series_copies.py::test_a_copy_with_its_uids_is_the_file",
}
"""Issue of imagedata -> tests."""


@pytest.mark.parametrize("row", [*DEFECTS, *WISHES])
def test_every_row_has_its_tests(row: Any) -> None:
    for name in {**DEFECTS, **WISHES}[row].split():
        file, _, function = name.partition("::")
        tree = ast.parse((Path(__file__) if file == "here" else TESTS / file).read_text("utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two times of three axial slices; first voxel at (-10, -20, -30) LPS; steps of 3 (slices), 0.5, 0.7 mm."""
    mr_series(tmp_path / "in", times=2, slices=3, size=(8, 6))
    return tmp_path


def written(folder: Path) -> list[Dataset]:
    """Data sets in the order of their first pixel, which counts times and slices."""
    found = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    return sorted(found, key=lambda one: int(one.pixel_array.min()))


def test_a_crop_lies_where_it_was(place: Path) -> None:
    Series(place / "in", "time")[:, 1:, 4:, 2:].write(place / "out")
    first = written(place / "out")[0]
    assert first.ImagePositionPatient == pytest.approx([-10 + 2 * 0.7, -20 + 4 * 0.5, -30 + 3])
    assert first.pixel_array[0, 0] == 100 + 4 * 6 + 2


def test_a_step_is_in_both(place: Path) -> None:
    Series(place / "in", "time")[:, :, ::2, ::3].write(place / "out")
    first = written(place / "out")[0]
    assert first.PixelSpacing == pytest.approx([1.0, 2.1])
    assert first.ImagePositionPatient == pytest.approx([-10, -20, -30])
    assert first.pixel_array.tolist() == [[0, 3], [12, 15], [24, 27], [36, 39]]


def test_reversed_slices_keep_their_places(place: Path) -> None:
    Series(place / "in", "time")[0, ::-1].write(place / "out")
    found = written(place / "out")
    assert [one.ImagePositionPatient[2] for one in found] == pytest.approx([-30, -27, -24])
    assert [int(one.pixel_array[0, 0]) for one in found] == [0, 100, 200]


def test_reversed_rows_turn_the_orientation(place: Path) -> None:
    Series(place / "in", "time")[0, :, ::-1].write(place / "out")
    first = written(place / "out")[0]
    assert first.PixelSpacing == pytest.approx([0.5, 0.7])
    assert first.ImageOrientationPatient == pytest.approx([1, 0, 0, 0, -1, 0])
    assert first.ImagePositionPatient == pytest.approx([-10, -20 + 7 * 0.5, -30])
    assert first.pixel_array[0, 0] == 7 * 6


def test_a_transposed_array_is_written_whole(place: Path) -> None:
    a = Series(place / "in", "time")
    a.T.write(place / "out")
    found = written(place / "out")
    assert sum(len(one.PixelData) for one in found) == a.size * 2
    assert np.array_equal(np.stack([one.pixel_array for one in found]), a.values.reshape(6, 8, 6))


def test_uids_are_numbers(place: Path) -> None:
    (Series(place / "in", "time") * 2).write(place / "out")
    Series(np.eye(8)).write(place / "eye")
    for one in [*written(place / "out"), *written(place / "eye")]:
        made = [one.SOPInstanceUID, one.SeriesInstanceUID, one.file_meta.MediaStorageSOPInstanceUID]
        for uid in [*made, one.FrameOfReferenceUID, one.StudyInstanceUID]:
            assert uid.is_valid
            assert len(uid) <= 64
        assert all(uid.startswith("2.25.") for uid in made)


@pytest.mark.parametrize("name", ["nifti", "metaimage", "mat", "npz", "hdf5"])
def test_a_folder_of_another_format_is_read(place: Path, name: str) -> None:
    """README of imagedata: `a.write('niftiDir', formats=['nifti'])`, then `Series('niftiResult', template=a)`."""
    a = Series(place / "in", "time")
    a.write(place / "out", formats=[name])
    (place / "out").rename(place / "result")
    b = Series(place / "result", "time", template=a)
    assert np.array_equal(a, b)
    assert b.affine == pytest.approx(a.affine, abs=1e-4)
    assert (b.patientID, b.timeline.tolist()) == ("QUICK", [0, 2.5])


def test_a_missing_image_leaves_the_others(place: Path) -> None:
    (place / "in" / "01_002.dcm").unlink()
    found = Series.read_all(place / "in")
    assert sum(int(np.prod(one.shape[:-2])) for one in found) == 5
    with pytest.raises(StopError):
        Series(place / "in", "time", strict=True)


def test_five_dimensions_go_through_nifti(place: Path) -> None:
    template = Series(place / "in", "time")[0]
    values = np.arange(2 * 4 * 3 * 8 * 6, dtype=np.int16).reshape(2, 4, 3, 8, 6)
    a = Series(values, "time,te", template=template, geometry=template)
    a.axes = a.axes._replace(te=VariableAxis("te", [1.0, 2, 4, 8], "ms"))
    a.write(place / "nifti", formats=["nifti"])
    b = Series(place / "nifti", "time,te", template=a)
    assert np.array_equal(a, b)
    assert b.axes.te.values.tolist() == [1, 2, 4, 8]
    assert b.affine == pytest.approx(template.affine, abs=1e-4)


def test_one_of_several_acquisitions(place: Path) -> None:
    def number(dataset: Dataset) -> None:
        dataset.AcquisitionNumber = 1 + (dataset.InstanceNumber > 3)

    mr_series(place / "two", times=2, slices=3, size=(8, 6), change=number)
    for acquisition in (1, 2):
        a = Series(place / "two", acquisition=acquisition)
        assert a.shape == (3, 8, 6)
        assert a[0, 0, 0] == 1000 * (acquisition - 1)
        assert np.array_equal(Series(place / "two", opts={"input_options": {"input_acquisition": acquisition}}), a)


def test_a_format_may_be_named(place: Path) -> None:
    a = Series(place / "in", "time")
    a[0].write(place / "in" / "also.nii.gz", formats=["nifti"])
    assert Series(place / "in", "time", input_format="dicom").shape == a.shape
    assert Series(place / "in", input_format="nifti").shape == a.shape[1:]


def test_one_file_opens_no_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawler.series import read_dicom

    opened: list[str] = []
    real = read_dicom.read_instance
    monkeypatch.setattr(read_dicom, "read_instance", lambda file: opened.append(file.key) or real(file))
    assert Series(place / "in" / "00_001.dcm")[0, 0] == 100
    assert [Path(name).name for name in opened] == ["00_001.dcm"]


def test_the_viewer_steps_through_several_axes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    a = Series(np.zeros((2, 3, 4, 8, 6)), "time,te")
    a.axes = a.axes._replace(te=VariableAxis("te", [(1, "x"), (2, "y"), (3, "z")]))
    figure = a.view(block=False, how="window")
    figure.savefig(place / "view.png")
    pyplot.close("all")
    assert (place / "view.png").stat().st_size > 1000

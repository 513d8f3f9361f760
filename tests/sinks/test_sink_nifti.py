"""NIfTI as nibabel reads it: voxels, world coordinates, the two affines, and the companions."""

import gzip
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.factories import ct_series
from support.runs import export
from support.volumes import ORIENTATIONS, matrix, subject, voxels, write

from crawler.errors import SinkError
from crawler.model import Frame
from crawler.sinks.base import Target
from crawler.sinks.nifti import NiftiSink

MARKED = [(0, 0, 0), (2, 4, 6), (1, 3, 2)]
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def load(tmp_path, made):
    return nibabel.load(write(NiftiSink(), tmp_path, made)[0])


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_world_coordinates(tmp_path, orientation):
    made = subject(matrix(orientation))
    image = load(tmp_path, made)
    assert image.shape == (7, 5, 3)
    for index in MARKED:
        assert image.dataobj[index[::-1]] == voxels(made)[index]
        expected = TO_RAS @ matrix(orientation) @ (*index, 1)
        np.testing.assert_allclose(image.affine @ (*index[::-1], 1), expected, atol=1e-4)
        np.testing.assert_allclose(image.header.get_qform() @ (*index[::-1], 1), expected, atol=1e-4)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 0.75, 2.5))
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    assert (image.dataobj.slope, image.dataobj.inter) == (1.0, 0.0)


def test_a_tilted_stack_has_a_sform_only(tmp_path):
    image = load(tmp_path, subject(matrix("axial", shear=0.5)))
    assert image.header.get_sform(coded=True)[1] == 1
    assert image.header.get_qform(coded=True) == (None, 0)
    np.testing.assert_allclose(image.affine, TO_RAS @ matrix("axial", shear=0.5)[:, [2, 1, 0, 3]], atol=1e-4)


def test_cosines_of_few_digits_keep_the_qform(tmp_path):
    place = matrix("oblique")
    place[:3, :3] += 1e-4 * np.array([[1, -1, 1], [-1, 1, 1], [1, 1, -1]])
    header = load(tmp_path, subject(place)).header
    assert int(header["qform_code"]) == 1


def test_without_affine_there_is_none(tmp_path):
    image = load(tmp_path, subject(axes=("frame", "row", "column")))
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 0)
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 0.75, 1.0))
    rows_up = voxels(subject(axes=("frame", "row", "column")))[:, ::-1]
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, rows_up)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">i2"])
def test_types_are_kept(tmp_path, dtype):
    made = subject(matrix(), dtype=dtype)
    image = load(tmp_path, made)
    assert image.get_data_dtype() == np.dtype(dtype).newbyteorder("<")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, voxels(made))


@pytest.mark.parametrize("samples", [3, 4])
def test_colour(tmp_path, samples):
    made = subject(matrix(), (2, 5, 7, samples), ("slice", "row", "column", "sample"), np.uint8)
    image = load(tmp_path, made)
    assert image.shape == (7, 5, 2)
    found = np.asanyarray(image.dataobj)
    np.testing.assert_array_equal(
        np.stack([found[name] for name in "RGBA"[:samples]], -1).T, voxels(made).transpose(3, 0, 1, 2)
    )


def test_deep_colour_is_refused(tmp_path):
    made = subject(None, (2, 5, 7, 3), ("slice", "row", "column", "sample"), np.uint16)
    with pytest.raises(SinkError, match="3 samples of uint16: use hdf5"):
        write(NiftiSink(), tmp_path, made)
    assert os.listdir(tmp_path / "temp") == []


@pytest.mark.parametrize("axes", [("time", "slice", "row", "column"), ("slice", "time", "row", "column")])
def test_time_is_the_fourth_axis(tmp_path, axes):
    made = subject(matrix(), (2, 3, 5, 7), axes, RepetitionTime=2300)
    image = load(tmp_path, made)
    slices = axes.index("slice")
    assert image.shape == (7, 5, made.layout.shape[slices], made.layout.shape[1 - slices])
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, np.moveaxis(voxels(made), slices, 1))
    assert image.header.get_zooms()[3] == pytest.approx(2.3)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_a_single_plane(tmp_path):
    made = subject(None, (5, 7), ("row", "column"))
    assert load(tmp_path, made).shape == (7, 5, 1)


def test_many_frames_take_a_larger_header(tmp_path):
    made = subject(None, (40_000, 1, 2), ("frame", "row", "column"), np.uint8)
    image = load(tmp_path, made)
    assert type(image).__name__ == "Nifti2Image"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, voxels(made))


def test_the_sidecar_speaks_bids_and_names_nobody(tmp_path):
    traits = ({"EchoTime": 3.3, "FlipAngle": 8.0, "ImageType": ("ORIGINAL", "PRIMARY", "M")},)
    made = subject(matrix(), traits=traits, RepetitionTime=2300, ManufacturerModelName="Prisma", PatientID="42")
    volume, fields, _ = write(NiftiSink(), tmp_path, made)
    assert fields == volume.removesuffix(".nii.gz") + ".json"
    with open(fields, encoding="utf-8") as file:
        assert json.load(file) == {
            "Modality": "MR",
            "ManufacturersModelName": "Prisma",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "EchoTime": 0.0033,
            "RepetitionTime": 2.3,
            "FlipAngle": 8.0,
        }


def test_what_differs_between_frames_is_left_out(tmp_path):
    made = subject(matrix(), traits=({"EchoTime": 3.3}, {"EchoTime": 5.5}), RepetitionTime="odd", Units="")
    with open(write(NiftiSink(), tmp_path, made)[1], encoding="utf-8") as file:
        assert json.load(file) == {"Modality": "MR"}


def test_provenance(tmp_path):
    made = subject(matrix())
    made = replace(made, layout=made.layout._replace(affine=None))
    with open(write(NiftiSink(), tmp_path, made)[2], encoding="utf-8") as file:
        found = json.load(file)
    assert found["affine"] is None
    assert found["spacing"] == [None, 0.75, 0.5]
    assert (found["axes"], found["shape"]) == (["slice", "row", "column"], [3, 5, 7])
    assert found["frames"][2] == {
        "index_slice": 2,
        "SOPInstanceUID": "1.2.3.0",
        "source": "säge/0.dcm",
        "frame_number": 1,
        "position": [-10.0, -20.0, 30.0],
        "slope": 2.0,
        "intercept": 0.0,
    }


def test_memory_stays_small(tmp_path):
    made = subject(None, (2_000, 64, 64), ("frame", "row", "column"))
    frame = Frame(0, np.zeros((64, 64), np.int16), "MONOCHROME2")
    (tmp_path / "temp").mkdir()
    sink = NiftiSink()
    tracemalloc.start()
    sink.open(Target(str(tmp_path / "out"), str(tmp_path / "temp")), made)
    for place in made.layout.placement:
        sink.put(place.index, frame)
    sink.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20  # the volume has 16 MB


def test_the_engine_writes_it(tmp_path):
    ct_series(tmp_path / "in", 4)
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"formats": ["nifti", "metaimage"]})
    assert summary.exported == 4
    names = sorted(path.name for path in (tmp_path / "out" / "volumes").rglob("*") if path.is_file())
    assert [name.partition(".")[2] for name in names] == [
        "json",
        "mha",
        "mha.provenance.json",
        "nii.gz",
        "provenance.json",
    ]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">i2", "u4", "i8", "f4", "f8", ">f8"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (3, 7, 1)])
def test_every_type_and_shape(tmp_path, dtype, shape):
    made = subject(matrix(), shape, dtype=dtype)
    found = np.asanyarray(load(tmp_path, made).dataobj)
    assert found.dtype == np.dtype(dtype).newbyteorder("<")
    np.testing.assert_array_equal(found.T, voxels(made))


def test_the_volume_is_ordinary_gzip_without_name_and_time(tmp_path):
    made = subject(matrix(), (9, 64, 65))
    first, second = (Path(write(NiftiSink(), tmp_path, made)[0]).read_bytes() for _ in range(2))
    assert first == second
    assert first[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # RFC 1952 2.3: no flags, no time
    assert gzip.decompress(first)[352:] == voxels(made).tobytes()


@pytest.mark.parametrize(("frames", "kind"), [(32_767, "Nifti1Image"), (32_768, "Nifti2Image")])
def test_the_header_is_the_smallest_that_counts_the_frames(tmp_path, frames, kind):
    image = load(tmp_path, subject(None, (frames, 1, 1), ("frame", "row", "column"), np.uint8))
    assert (type(image).__name__, image.shape[2]) == (kind, frames)


def test_axes_that_are_no_time_have_steps_of_one_and_no_unit(tmp_path):
    header = load(tmp_path, subject(matrix(), (2, 3, 3, 5, 7), ("te", "b", "slice", "row", "column"))).header
    np.testing.assert_allclose(header.get_zooms(), (0.5, 0.75, 2.5, 1.0, 1.0))
    assert header.get_xyzt_units() == ("mm", "unknown")


def test_the_qform_is_kept_up_to_a_tenth_of_a_millimetre_at_the_corners(tmp_path):
    """Where the two matrices lead the eight corners, by an own nearest rotation (polar decomposition)."""
    kept = []
    for shear in np.linspace(0.0, 0.3, 61):
        made = subject(matrix("axial", shear=float(shear)))
        (tmp_path / f"{shear:.3f}").mkdir()
        header = load(tmp_path / f"{shear:.3f}", made).header
        sform = header.get_sform()
        sizes = np.linalg.norm(sform[:3, :3], axis=0)
        u, _, v = np.linalg.svd(sform[:3, :3] / sizes)
        difference = (u @ v) * sizes - sform[:3, :3]
        corners = np.array([(i, j, k) for i in (0, 6) for j in (0, 4) for k in (0, 2)], float)
        moved = np.linalg.norm(corners @ difference.T, axis=1).max()
        kept.append(int(header["qform_code"]) == 1)
        if abs(moved - 0.1) > 1e-3:
            assert kept[-1] == (moved < 0.1), f"shear {shear}, moved {moved}"
    assert True in kept
    assert False in kept

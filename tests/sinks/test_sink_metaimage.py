"""MetaImage as ITK reads it."""

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from support.volumes import ORIENTATIONS, matrix, subject, voxels, write

from crawler.errors import SinkError
from crawler.sinks.base import Target
from crawler.sinks.metaimage import DetachedMetaImageSink, MetaImageSink

MARKED = [(0, 0, 0), (2, 4, 6), (1, 3, 2)]


def load(tmp_path, made):
    return SimpleITK.ReadImage(write(MetaImageSink(), tmp_path, made)[0])


def header(tmp_path, made):
    with open(write(MetaImageSink(), tmp_path, made)[0], "rb") as file:
        lines = file.read().partition(b"ElementDataFile")[0].decode("ascii").splitlines()
    return dict(line.split(" = ") for line in lines)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_world_coordinates(tmp_path, orientation):
    made = subject(matrix(orientation))
    image = load(tmp_path, made)
    for index in MARKED:
        assert image[tuple(reversed(index))] == voxels(made)[index]
        place = image.TransformIndexToPhysicalPoint(tuple(reversed(index)))
        np.testing.assert_allclose(place, (matrix(orientation) @ (*index, 1))[:3], atol=1e-9)


def test_a_tilted_stack(tmp_path):
    made = subject(matrix("axial", shear=0.5))
    place = load(tmp_path, made).TransformIndexToPhysicalPoint((6, 4, 2))
    np.testing.assert_allclose(place, (matrix("axial", shear=0.5) @ (2, 4, 6, 1))[:3], atol=1e-9)


@pytest.mark.parametrize(
    ("orientation", "letters"), [("axial", "RAI"), ("prone", "LPI"), ("sagittal", "ASL"), ("coronal", "RSA")]
)
def test_letters_tell_where_axes_come_from(tmp_path, orientation, letters):
    # DICOM's own directions are RAI in ITK's terms, where an axis is named by its origin.
    place = matrix(orientation)
    assert header(tmp_path, subject(place))["AnatomicalOrientation"] == letters
    reader = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines
    towards = reader(load(tmp_path, subject(place)).GetDirection())
    opposite = str.maketrans("RLAPIS", "LRPASI")
    assert letters == towards.translate(opposite)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">i2"])
def test_types_are_kept(tmp_path, dtype):
    made = subject(matrix(), dtype=dtype)
    found = SimpleITK.GetArrayFromImage(load(tmp_path, made))
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, voxels(made))


def test_other_types_are_refused(tmp_path):
    sink = MetaImageSink()
    with pytest.raises(SinkError, match="MetaImage has no complex64"):
        sink.open(Target(str(tmp_path / "out"), str(tmp_path)), subject(dtype=np.complex64))
    sink.abort()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("samples", [3, 4])
def test_colour(tmp_path, samples):
    made = subject(matrix(), (2, 5, 7, samples), ("slice", "row", "column", "sample"), np.uint16)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(load(tmp_path, made)), voxels(made))


def test_a_fourth_axis(tmp_path):
    made = subject(matrix(), (3, 2, 5, 7), ("slice", "time", "row", "column"))
    image = load(tmp_path, made)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), voxels(made).swapaxes(0, 1))
    assert image.GetSpacing() == (0.5, 0.75, 2.5, 1.0)
    assert image.GetOrigin() == (-10.0, -20.0, 30.0, 0.0)
    assert image.GetDirection() == tuple(np.eye(4).ravel())


def test_a_place_for_every_axis(tmp_path):
    made = subject(matrix(), (2, 3, 2, 5, 7), ("te", "slice", "time", "row", "column"))
    fields = header(tmp_path, made)
    assert fields["Offset"] == "-10 -20 30 0 0"
    assert fields["ElementSpacing"] == "0.5 0.75 2.5 1 1"
    assert len(fields["TransformMatrix"].split()) == 25
    assert fields["CenterOfRotation"] == "0 0 0 0 0"


def test_without_affine_there_is_none(tmp_path):
    made = subject(axes=("frame", "row", "column"))
    fields = header(tmp_path, made)
    assert not {"TransformMatrix", "Offset", "AnatomicalOrientation", "ElementSpacing"} & set(fields)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(load(tmp_path, made)), voxels(made))


def test_a_single_plane_has_its_spacing(tmp_path):
    assert load(tmp_path, subject(None, (5, 7), ("row", "column"))).GetSpacing() == (0.5, 0.75)


def test_provenance(tmp_path):
    made = subject(matrix())
    made = replace(made, layout=made.layout._replace(name="2"))
    volume, origin = write(MetaImageSink(), tmp_path, made)
    assert origin == volume + ".provenance.json"
    with open(origin, encoding="utf-8") as file:
        found = json.load(file)
    assert (found["layout"], found["affine"]) == ("2", matrix().tolist())
    assert [row["SOPInstanceUID"] for row in found["frames"]] == ["1.2.3.2", "1.2.3.1", "1.2.3.0"]


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (9, 64, 65)])
def test_compressed_data_are_an_ordinary_zlib_stream(tmp_path, dtype, shape):
    made = subject(matrix(), shape, dtype=dtype)
    paths = write(DetachedMetaImageSink(), tmp_path, made)
    compressed = Path(paths[1]).read_bytes()
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(paths[0])), voxels(made))
    assert zlib.decompress(compressed) == voxels(made).astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    assert Path(write(DetachedMetaImageSink(), tmp_path, made)[1]).read_bytes() == compressed

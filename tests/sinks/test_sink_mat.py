"""MAT files as scipy reads them."""

import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from support.volumes import matrix, subject, voxels, write

from crawler.errors import SinkError
from crawler.sinks.base import Target
from crawler.sinks.mat import MatSink


def load(tmp_path, made):
    (path,) = write(MatSink(), tmp_path, made)
    return scipy.io.loadmat(path, simplify_cells=True)


def test_array_and_world_coordinates(tmp_path):
    made = subject(matrix("oblique"))
    found = load(tmp_path, made)
    np.testing.assert_array_equal(found["A"], voxels(made))
    np.testing.assert_array_equal(found["affine"], matrix("oblique"))
    assert found["affine_convention"] == "index (slice,row,column) -> patient LPS, mm"
    assert found["axes"].tolist() == ["slice", "row", "column"]
    np.testing.assert_allclose(found["spacing"], (2.5, 0.75, 0.5))
    assert found["values"] == "modality"


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_types_are_kept(tmp_path, dtype):
    made = subject(dtype=dtype)
    found = load(tmp_path, made)["A"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, voxels(made))


def test_without_affine_there_is_none(tmp_path):
    assert not {"affine", "affine_convention"} & set(load(tmp_path, subject(axes=("frame", "row", "column"))))


def test_slices_follow_further_axes(tmp_path):
    made = subject(matrix(), (3, 2, 5, 7, 3), ("slice", "time", "row", "column", "sample"))
    found = load(tmp_path, made)
    assert found["axes"].tolist() == ["time", "slice", "row", "column", "sample"]
    np.testing.assert_array_equal(found["A"], voxels(made).swapaxes(0, 1))


@pytest.mark.parametrize("count", [1, 3])
def test_provenance(tmp_path, count):
    (path,) = write(MatSink(), tmp_path, subject(None, (count, 5, 7)))
    found = scipy.io.loadmat(path)["provenance"][0, 0]  # as MATLAB has it: a struct of columns
    assert [cell.item() for cell in found["source"].ravel()] == [f"säge/{n}.dcm" for n in range(count)][::-1]
    assert [cell.item() for cell in found["SOPInstanceUID"].ravel()] == [f"1.2.3.{n}" for n in range(count)][::-1]
    assert found["position"].tolist() == [[-10, -20, 30 + n] for n in range(count)][::-1]
    assert found["frame_number"].tolist() == [[1]] * count


def test_what_matlab_cannot_read_is_refused_before_anything_is_written(tmp_path):
    made = subject()
    large = replace(made, layout=made.layout._replace(shape=(3, 20_000, 20_000)))
    sink = MatSink()
    with pytest.raises(SinkError, match=r"2,400,000,000 bytes, .* use hdf5"):
        sink.open(Target(str(tmp_path / "out"), str(tmp_path)), large)
    sink.abort()
    assert os.listdir(tmp_path) == []

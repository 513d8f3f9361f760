"""NPZ as numpy reads it: display orientation, the affine of what is stored, provenance."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.volumes import ORIENTATIONS, matrix, subject, voxels, write

from crawler.sinks import npz
from crawler.sinks.npz import NpzOptions, NpzSink, to_display
from crawler.sinks.volume_base import ArrayFormat, VolumeFile

MARKED = [(0, 0, 0), (2, 4, 6), (1, 3, 2)]


def load(tmp_path, made):
    with np.load(*write(NpzSink(), tmp_path, made)) as file:  # refuses pickles
        return dict(file)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_display_orientation_and_world_coordinates(tmp_path, orientation):
    made = subject(matrix(orientation))
    found = load(tmp_path, made)
    data, affine = found["data"], found["affine"]
    assert data.dtype == np.float32
    assert data.flags.c_contiguous
    assert found["axes"].tolist() == ["Z", "Y", "X"]
    # Z falls from head (+z of LPS) to foot, Y goes to the back (+y), X to the left (+x).
    assert affine[2, 0] < 0
    assert affine[1, 1] > 0
    assert affine[0, 2] > 0
    np.testing.assert_allclose(found["spacing"], np.linalg.norm(affine[:3, :3], axis=0))
    assert not np.signbit(affine[affine == 0]).any(), "no -0.0"
    for index in MARKED:
        (place,) = np.argwhere(data == voxels(made)[index])
        np.testing.assert_allclose(affine @ (*place, 1), matrix(orientation) @ (*index, 1), atol=1e-9)


def test_an_axial_stack_is_turned_head_first(tmp_path):
    made = subject(matrix("axial"))
    np.testing.assert_array_equal(load(tmp_path, made)["data"], voxels(made)[::-1])


def test_without_affine_the_array_is_as_it_comes(tmp_path):
    made = subject(axes=("frame", "row", "column"))
    found = load(tmp_path, made)
    np.testing.assert_array_equal(found["data"], voxels(made))
    assert "affine" not in found
    assert found["axes"].tolist() == ["frame", "row", "column"]
    np.testing.assert_array_equal(found["spacing"], [np.nan, 0.75, 0.5])


def test_further_axes_stay_around(tmp_path):
    made = subject(matrix("axial"), (3, 2, 5, 7, 3), ("slice", "time", "row", "column", "sample"), np.uint16)
    found = load(tmp_path, made)
    assert found["axes"].tolist() == ["time", "Z", "Y", "X", "sample"]
    np.testing.assert_array_equal(found["data"], np.moveaxis(voxels(made), 0, 1)[:, ::-1])


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
@pytest.mark.parametrize("budget", [1, 100, 300])
def test_blocks_of_any_size_give_the_same_array(tmp_path, monkeypatch, orientation, budget):
    made = subject(matrix(orientation), (2, 3, 5, 7), ("time", "slice", "row", "column"))
    expected = load(tmp_path, made)["data"]
    released = []
    monkeypatch.setattr(npz, "BUDGET", budget)
    monkeypatch.setattr(VolumeFile, "release", lambda volume_file: released.append(volume_file))
    np.testing.assert_array_equal(load(tmp_path, made)["data"], expected)
    assert released


def test_a_released_view_reads_the_same(tmp_path):
    volume_file = VolumeFile(
        str(tmp_path / "raw"), ArrayFormat(b"head", np.dtype("<i2")), (2, 3, 4), ("slice", "row", "column")
    )
    volume_file.put((1,), np.ones((3, 4), np.int16))
    volume_file.close()
    seen = volume_file.view()
    assert seen.sum() == 12
    volume_file.release()
    assert seen.sum() == 12


def test_a_single_plane(tmp_path):
    made = subject(None, (5, 7), ("row", "column"))
    np.testing.assert_array_equal(load(tmp_path, made)["data"], voxels(made))


def test_provenance(tmp_path):
    found = load(tmp_path, subject(matrix()))
    assert found["index_slice"].tolist() == [0, 1, 2]
    assert found["SOPInstanceUID"].tolist() == ["1.2.3.2", "1.2.3.1", "1.2.3.0"]
    assert found["source"].tolist() == ["säge/2.dcm", "säge/1.dcm", "säge/0.dcm"]
    assert found["frame_number"].tolist() == [1, 1, 1]
    assert found["position"].tolist() == [[-10, -20, 32], [-10, -20, 31], [-10, -20, 30]]
    assert found["slope"].tolist() == [2.0] * 3


def test_members_are_compressed_as_asked_and_hold_no_time(tmp_path):
    made = subject(None, (8, 64, 64))
    sizes = []
    for level in (0, 2):
        (path,) = write(NpzSink(NpzOptions(level)), tmp_path, made)
        with zipfile.ZipFile(path) as archive:
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            sizes.append(archive.getinfo("data.npy").compress_size)
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", ">i2", "u2", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (3, 7, 1)])
def test_every_type_is_float32(tmp_path, dtype, shape):
    made = subject(None, shape, dtype=dtype)
    found = load(tmp_path, made)["data"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, voxels(made).astype(np.float32))


def test_equal_volumes_have_equal_bytes(tmp_path):
    made = subject(matrix(), (9, 64, 65))
    assert len({Path(*write(NpzSink(), tmp_path, made)).read_bytes() for _ in range(2)}) == 1


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3), st.floats(-0.3, 0.3))
def test_every_orientation_keeps_every_voxel_where_it_is(order, signs, turn):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs)[:, list(order)] * (2.5, 0.75, 0.5)
    cosine, sine = np.cos(turn), np.sin(turn)
    affine[:3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ affine[:3]
    voxels = np.arange(24).reshape(2, 3, 4)
    turned, made = to_display(voxels, affine, 0)
    assert made[2, 0] < 0 < min(made[1, 1], made[0, 2])
    for index in np.ndindex(2, 3, 4):
        (place,) = np.argwhere(turned == voxels[index])
        np.testing.assert_allclose(made @ (*place, 1), affine @ (*index, 1), atol=1e-9)

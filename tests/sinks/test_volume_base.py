"""What the spooled formats share: which frames they take, and what failures leave behind (nothing)."""

import errno
import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.volumes import matrix, subject, voxels, with_coordinates, write

from crawler.errors import OutputError, SinkError
from crawler.model import Coordinates, Frame
from crawler.sinks import LAYOUT_SINKS, SINKS
from crawler.sinks.base import Target
from crawler.sinks.deflate import ZLIB, CompressedFile
from crawler.sinks.volume_base import ArrayFormat, VolumeFile, VolumeSink

SPOOLED = [name for name, sink in SINKS.items() if issubclass(sink, VolumeSink)]


@pytest.fixture(params=SPOOLED)
def sink(request):
    return SINKS[request.param]()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out"), str(tmp_path / "temp"))


def fill(sink, made):
    for place in made.layout.placement:
        sink.put(place.index, Frame(0, voxels(made)[place.index], "MONOCHROME2"))


def test_what_does_not_fit_is_refused(sink, target):
    made = subject(matrix())
    sink.open(target, made)
    good = voxels(made)[0]
    for index, values in [
        ((3,), good),
        ((0, 0), good),
        ((0,), good[1:]),
        ((0,), good.astype(np.float32)),
        ((0,), good.astype(np.uint16)),
    ]:
        with pytest.raises(SinkError):
            sink.put(index, Frame(0, values, "MONOCHROME2"))
    sink.put((0,), Frame(0, good, "MONOCHROME2"))
    with pytest.raises(SinkError, match="out of place"):
        sink.put((0,), Frame(0, good, "MONOCHROME2"))
    with pytest.raises(SinkError, match="2 of 3"):
        sink.close()
    sink.abort()
    assert os.listdir(target.temp) == []


def test_a_disk_that_fills_up_ends_the_run(sink, target, monkeypatch):
    made = subject(matrix())
    sink.open(target, made)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(VolumeFile, "_write", full)
    monkeypatch.setattr(CompressedFile, "write", full)
    with pytest.raises(OutputError, match="disk full"):
        fill(sink, made)
    sink.abort()
    assert os.listdir(target.temp) == []


def test_half_a_set_of_files_is_none(sink, target, tmp_path):
    """The last companion cannot be put in place: the volume, which is there already, goes again."""
    made = subject(matrix())
    sink.open(target, made)
    fill(sink, made)
    last = sink._finish(made, sink._volume_file)[-1].extension
    os.makedirs(target.path + last)
    with pytest.raises(SinkError, match="a folder lies at the target"):
        sink.close()
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["temp", "out" + last])


@pytest.mark.parametrize("name", [name for name in LAYOUT_SINKS if name != "mat"])  # scipy takes the volume as a whole
def test_a_thousand_volumes_take_no_more_memory_than_their_places(name, target, tmp_path):
    made = subject(matrix("oblique"), (1_000, 5, 64, 64), ("time", "slice", "row", "column"))
    times = Coordinates("time", tuple(2.0 * number for number in range(1_000)), unit="s")
    write(LAYOUT_SINKS[name](), tmp_path, subject(matrix()))  # what is imported does not count
    made, sink = with_coordinates(made, times), LAYOUT_SINKS[name]()
    frame = Frame(0, np.zeros((64, 64), np.int16), "MONOCHROME2")
    tracemalloc.start()
    sink.open(target, made)
    for place in made.layout.placement:
        sink.put(place.index, frame)
    sink.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20  # the voxels have 39 MB; measured: 1 to 3, most of it the table of 5,000 frames


def test_close_serves_once(sink, target):
    made = subject(matrix())
    sink.open(target, made)
    fill(sink, made)
    sink.close()
    with pytest.raises(SinkError, match="it is closed"):
        sink.close()


def test_a_sparse_layout_has_zeros_between(tmp_path):
    volume_file = VolumeFile(
        str(tmp_path / "raw"), ArrayFormat(b"head", np.dtype("<i2")), (2, 3, 4), ("slice", "row", "column")
    )
    volume_file.put((1,), np.ones((3, 4), np.int8))
    volume_file.close()
    np.testing.assert_array_equal(volume_file.view(), [np.zeros((3, 4)), np.ones((3, 4))])
    assert (tmp_path / "raw").read_bytes()[:4] == b"head"


@given(st.permutations(range(6)), st.integers(0, 6))
def test_frames_in_any_order_are_packed_in_the_arrays_own(tmp_path_factory, order, count):
    folder = tmp_path_factory.mktemp("compressed")
    expected = np.zeros((2, 3, 4), "<i2")
    compressed = CompressedFile(str(folder / "compressed"), 2, ZLIB)
    axes = ("time", "slice", "row")
    volume_file = VolumeFile(
        str(folder / "raw"), ArrayFormat(b"head", np.dtype("<i2")), expected.shape, axes, compressed
    )
    for number in order[:count]:
        index = divmod(number, 3)
        expected[index] = 1 + number
        volume_file.put(index, np.full(4, 1 + number, np.int16))
    volume_file.compress_rest()
    compressed.finish()
    volume_file.close()
    assert zlib.decompress((folder / "compressed").read_bytes()) == b"head" + expected.tobytes()


def test_frames_in_order_leave_the_disk_alone(tmp_path):
    compressed = CompressedFile(str(tmp_path / "compressed"), 2, ZLIB)
    path = tmp_path / "raw"
    volume_file = VolumeFile(
        str(path), ArrayFormat(b"", np.dtype("<i2")), (40, 64, 64), ("slice", "row", "column"), compressed
    )
    for number in range(40):
        volume_file.put((number,), np.full((64, 64), number + 1, np.int16))
    volume_file.compress_rest()
    compressed.finish()
    volume_file.close()
    assert not any(path.read_bytes())
    found = np.frombuffer(zlib.decompress(Path(compressed.path).read_bytes()), "<i2")
    np.testing.assert_array_equal(found[:: 64 * 64], range(1, 41))

"""What the spooled formats share: which frames they take, and what failures leave behind (nothing)."""

import errno
import os

import numpy as np
import pytest
from volumes import matrix, subject, voxels

from crawler.errors import OutputError, SinkError
from crawler.model import Frame
from crawler.sinks import SINKS
from crawler.sinks.base import Target
from crawler.sinks.raster import Plan, Raster, RasterSink

SPOOLED = [name for name, sink in SINKS.items() if issubclass(sink, RasterSink)]


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

    def full(raster, offset, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Raster, "_write", full)
    with pytest.raises(OutputError, match="disk full"):
        fill(sink, made)
    sink.abort()
    assert os.listdir(target.temp) == []


def test_half_a_set_of_files_is_none(sink, target, tmp_path):
    """The last companion cannot be put in place: the volume, which is there already, goes again."""
    made = subject(matrix())
    sink.open(target, made)
    fill(sink, made)
    last = sink._finish(made, sink._raster)[-1].extension
    os.makedirs(target.path + last)
    with pytest.raises(SinkError, match="a folder lies at the target"):
        sink.close()
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["temp", "out" + last])


def test_close_serves_once(sink, target):
    made = subject(matrix())
    sink.open(target, made)
    fill(sink, made)
    sink.close()
    with pytest.raises(SinkError, match="it is closed"):
        sink.close()


def test_a_sparse_layout_has_zeros_between(tmp_path):
    raster = Raster(str(tmp_path / "raw"), Plan(b"head", np.dtype("<i2")), (2, 3, 4), ("slice", "row", "column"))
    raster.put((1,), np.ones((3, 4), np.int8))
    raster.close()
    np.testing.assert_array_equal(raster.view(), [np.zeros((3, 4)), np.ones((3, 4))])
    assert (tmp_path / "raw").read_bytes()[:4] == b"head"

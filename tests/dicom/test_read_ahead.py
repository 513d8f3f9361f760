"""Files opened ahead: the same outputs, in flight together, bounded, off on fast storage, and nothing left open."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from support.factories import ct_series
from support.runs import content, export
from support.shards import mixed_tree

from crawler.archives.streams import LoadedStream
from crawler.dicom import files, read_ahead
from crawler.dicom.read_ahead import BUDGET, IN_FLIGHT, ReadAhead
from crawler.model import File

SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5"]}, "quality": {}}


def some(count: int, size: int = 1) -> list[tuple[File, int]]:
    return [(File("/root", f"{number}", size, 0), size) for number in range(count)]


@pytest.fixture
def slow_storage(monkeypatch) -> None:
    """Opens cost time, as far as anybody can tell."""
    monkeypatch.setattr(read_ahead.read_ahead, "slow", True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("group", ["folder", "tree"])
def test_outputs_are_the_same(tmp_path, monkeypatch, workers, group):
    tree = mixed_tree(tmp_path / "tree")
    export(tree, tmp_path / "one", dicom={"group": group}, **SECTIONS)
    monkeypatch.setattr(read_ahead.read_ahead, "slow", True)
    export(tree, tmp_path / "ahead", workers, dicom={"group": group}, **SECTIONS)
    assert content(tmp_path / "ahead") == content(tmp_path / "one")
    assert not [one for one in threading.enumerate() if "ThreadPool" in one.name]


def test_several_are_opened_together():
    """Each of the first eight waits until eight are on their way."""
    together = threading.Barrier(8, timeout=60)

    def prepare(number: int) -> BinaryIO:
        if number < 8:
            together.wait()
        return io.BytesIO(bytes([number]))

    ahead, wanted = ReadAhead(), some(40)
    ahead.slow = True
    with ahead.announce(wanted, prepare, lambda: ahead.slow):
        for number, (file, _) in enumerate(wanted):
            stream = ahead.take(file)
            assert stream is not None
            assert stream.read() == bytes([number])
        assert ahead.take(wanted[3][0]) is None, "it was taken"
        assert ahead.take(File("/root", "another", 1, 0)) is None


@pytest.mark.parametrize(("size", "most"), [(1, IN_FLIGHT), (BUDGET // 4, 4), (BUDGET * 2, 1)])
def test_what_is_ready_is_bounded(size, most):
    begun: list[int] = []
    gate = threading.Event()

    def prepare(number: int) -> BinaryIO:
        begun.append(number)
        gate.wait()
        return io.BytesIO()

    ahead, wanted = ReadAhead(), some(100, size)
    with ahead.announce(wanted, prepare, lambda: True):
        (plan,) = ahead._plans
        assert sorted(plan._waiting) == list(range(most))
        gate.set()
        ahead.take(wanted[0][0])
        assert sorted(plan._waiting) == list(range(1, most + 1))
    assert len(begun) <= most + 1


def test_what_nobody_took_is_closed_and_errors_come_where_the_file_is_taken():
    opened: list[io.BytesIO] = []

    def prepare(number: int) -> BinaryIO:
        if number == 1:
            raise FileNotFoundError(2, "gone")
        opened.append(io.BytesIO())
        return opened[-1]

    ahead, wanted = ReadAhead(), some(5)
    with ahead.announce(wanted, prepare, lambda: True):
        first = ahead.take(wanted[0][0])
        with pytest.raises(FileNotFoundError):
            ahead.take(wanted[1][0])
    assert first is not None
    assert not first.closed
    assert all(stream.closed for stream in opened if stream is not first)  # others never began


@pytest.mark.parametrize(("seconds", "slow"), [(0.00003, False), (0.0009, False), (0.001, True), (0.02, True)])
def test_slow_storage_is_known_by_the_median_of_the_first_opens(seconds, slow):
    ahead = ReadAhead()
    for number in range(5):
        assert not ahead.slow
        ahead.measured(seconds if number else 0.5)  # the first wakes the disk
    assert ahead.slow is slow


def test_a_local_disk_has_no_threads(tmp_path, monkeypatch):
    def refuse(*of: object) -> None:
        raise AssertionError("a file was opened ahead")

    monkeypatch.setattr(read_ahead, "SLOW", 1e9)
    monkeypatch.setattr(read_ahead, "_Plan", type("Plan", (read_ahead._Plan,), {"fill": lambda self: None}))
    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", refuse)
    ct_series(tmp_path / "tree", n=12)
    assert export(tmp_path / "tree", tmp_path / "out", **SECTIONS).exported == 12


def test_pixels_are_in_memory_when_their_turn_comes(tmp_path, monkeypatch, slow_storage):
    """Every read of the pixels happens in a thread."""
    ct_series(tmp_path / "tree", n=12, size=(64, 64))
    readers: set[str] = set()
    read = LoadedStream.readinto

    def noted(self: LoadedStream, buffer: bytearray) -> int:
        readers.add("loaded" if self._start <= self._position < self._start + len(self._data) else "elsewhere")
        return read(self, buffer)

    monkeypatch.setattr(LoadedStream, "readinto", noted)
    export(tmp_path / "tree", tmp_path / "out", volume={})
    assert readers == {"loaded"}


def test_a_loaded_stream_reads_as_the_whole_does(tmp_path: Path):
    data = bytes(range(200))
    stream = io.BufferedReader(LoadedStream(io.BytesIO(data), 200, 50, data[50:150]), 16)
    assert files.size_of(stream) == 200  # type: ignore[arg-type]
    for start, count in ((0, 10), (40, 30), (60, 20), (140, 30), (190, 50), (0, 300)):
        stream.seek(start)
        assert stream.read(count) == data[start : start + count]

"""Each own reader or writer beside the library that it stands in for: one process, one core, in turn.

These rows have no bar. They are the reason why the own piece exists: one that does not win by much should go. Where a
format is written whole, both sides end with the same file on disk.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Runs
from benchmarks.peers import version_of

FRAMES = 24  # of the volume: 12 MB, so that a round of the slowest takes under a second
FILES = 200
TASKS = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to do one thing.

    Attributes
    ----------
    ours, theirs
        Do it `count` times, and return the bytes that they made, 0 for none.
    """

    name: str
    library: str
    count: int
    unit: str
    ours: Callable[[], int]
    theirs: Callable[[], int]


def measure(pairs: Iterable[Pair], repeats: int, tell: Callable[[str], None]) -> list[tuple[Pair, Runs, Runs]]:
    """Run pairs in turn, round by round, after one round that does not count."""
    found = []
    for pair in pairs:
        runs = Runs(), Runs()
        pair.ours(), pair.theirs()
        for _ in range(repeats):
            for side, work in zip(runs, (pair.ours, pair.theirs), strict=True):
                began = time.perf_counter()
                side.size = work()
                side.seconds.append(time.perf_counter() - began)
        tell(f"{pair.name}: {runs[1].middle / runs[0].middle:.1f}x {pair.library}")
        found.append((pair, *runs))
    return found


def pairs(ct: Path, mr: Path) -> Iterator[Pair]:
    """All pairs whose library is installed; `ct` and `mr` are trees."""
    for name, tree in (("CT", ct), ("MR with CSA", mr)):
        files = sorted(path for path in tree.rglob("*.dcm"))[:FILES]
        yield _headers(f"header to record, {name}", files)
    with tempfile.TemporaryDirectory() as folder:
        volume = _Volume(sorted(ct.rglob("*.dcm"))[:FRAMES], Path(folder))
        yield volume.hdf5()
        if version_of("nibabel"):
            yield volume.nifti()
        yield volume.npz()
        yield from volume.pictures()
    if version_of("pebble"):
        yield _pool()


def _headers(name: str, paths: list[Path]) -> Pair:
    from pydicom import dcmread

    from benchmarks.loops import json_record
    from crawler.instance.header import read_instance
    from crawler.model import File

    files = [File(str(one.parent), one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in paths]

    def mine() -> int:
        for file in files:
            read_instance(file)
        return 0

    def theirs() -> int:
        for path in paths:
            dataset = dcmread(path, stop_before_pixels=True)
            json_record(dataset.file_meta)
            json_record(dataset)
        return 0

    return Pair(name, f"pydicom {version_of('pydicom')}", len(paths), "files", mine, theirs)


class _Volume:
    """One CT volume in memory, and the ways to write it."""

    def __init__(self, paths: list[Path], folder: Path) -> None:
        import numpy as np

        from crawler.instance.header import read_instance
        from crawler.layout.layouts import layouts
        from crawler.layout.scan import group_scans
        from crawler.model import File
        from crawler.pixels.frames import frames
        from crawler.sinks.base import LayoutSubject

        files = [File(str(one.parent), one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in paths]
        scan = group_scans([read_instance(file) for file in files], "")[0]
        layout = layouts(scan)[0]
        by_file = [next(iter(frames(instance))) for instance in scan.instances]
        self._frames = [(place.index, by_file[place.instance]) for place in layout.placement]
        self._array = np.stack([frame.values for _, frame in self._frames])
        first = self._frames[0][1]
        self._subject = LayoutSubject(scan, layout, first.values.dtype, "stored", first.photometric, {})
        self._folder = folder

    def hdf5(self) -> Pair:
        """`write_direct_chunk` beside h5py's own filters."""
        import h5py

        from crawler.sinks.hdf5 import Hdf5Sink

        def theirs() -> int:
            path = self._folder / "theirs.h5"
            with h5py.File(path, "w") as file:
                chunks = (1, *self._array.shape[1:])
                shape, dtype = self._array.shape, self._array.dtype
                image = file.create_dataset(
                    "image", shape, dtype, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True
                )
                for index, frame in self._frames:
                    image[index] = frame.values
            return path.stat().st_size

        return self._pair("HDF5, gzip + shuffle", "h5py", lambda: self._sink(Hdf5Sink()), theirs)

    def nifti(self) -> Pair:
        """ISA-L beside nibabel, which deflates by zlib."""
        import nibabel
        import numpy as np

        from crawler.sinks.nifti import NiftiSink

        def theirs() -> int:
            path = self._folder / "theirs.nii.gz"
            nibabel.save(nibabel.Nifti1Image(self._array.transpose(2, 1, 0), np.eye(4)), path)
            return path.stat().st_size

        return self._pair(".nii.gz", "nibabel", lambda: self._sink(NiftiSink()), theirs)

    def npz(self) -> Pair:
        """A zip archive of ours beside numpy's."""
        import numpy as np

        from crawler.sinks.deflate import LEVEL
        from crawler.sinks.zip_writer import ZipWriter

        def mine() -> int:
            with open(self._folder / "ours.npz", "wb") as file:
                archive = ZipWriter(file, LEVEL)
                with archive.member("image.npy") as member:
                    header = io.BytesIO()
                    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(self._array))
                    member.write(header.getvalue())
                    member.write(self._array.data)
                archive.finish()
                return file.tell()

        def theirs() -> int:
            path = self._folder / "theirs.npz"
            np.savez_compressed(path, image=self._array)
            return path.stat().st_size

        return self._pair(".npz", "numpy", mine, theirs)

    def pictures(self) -> Iterator[Pair]:
        """PNG of 16 bits, 8 bits, and RGB."""
        import numpy as np
        from PIL import Image

        from crawler.sinks.png import encode

        deep = self._array.astype(np.uint16)
        flat = (deep >> 4).clip(0, 255).astype(np.uint8)
        for name, pictures in (("16 bit", deep), ("8 bit", flat), ("RGB", np.stack([flat] * 3, -1))):

            def mine(pictures: Any = pictures) -> int:
                return sum(len(encode(one)) for one in pictures)

            def theirs(pictures: Any = pictures) -> int:
                made = 0
                for one in pictures:
                    Image.fromarray(one).save(buffer := io.BytesIO(), "PNG")
                    made += buffer.tell()
                return made

            yield self._pair(f"PNG, {name}", "pillow", mine, theirs)

    def _pair(self, name: str, library: str, mine: Callable[[], int], theirs: Callable[[], int]) -> Pair:
        return Pair(name, f"{library} {version_of(library)}", len(self._array), "frames", mine, theirs)

    def _sink(self, sink: Any) -> int:
        from crawler.sinks.base import Target

        sink.open(Target(os.fspath(self._folder / "ours"), os.fspath(self._folder)), self._subject)
        for index, frame in self._frames:
            sink.put(index, frame)
        return sum(product.size for product in sink.close())


def _pool() -> Pair:
    from pebble import ProcessPool

    from crawler.engine.pool import Limits, Pool

    def mine() -> int:
        pool = Pool(2, _answer, Limits(60.0, 1 << 32))
        for task in range(TASKS):
            pool.submit(task)
        while pool.backlog:
            pool.events()
        pool.close()
        return 0

    def theirs() -> int:
        with ProcessPool(max_workers=2) as pool:
            for future in [pool.schedule(_echo, (task,)) for task in range(TASKS)]:
                future.result()
        return 0

    return Pair("pool, empty tasks", f"pebble {version_of('pebble')}", TASKS, "tasks", mine, theirs)


def _answer(task: int, _watch: Any) -> int:
    return task


def _echo(task: int) -> int:
    return task

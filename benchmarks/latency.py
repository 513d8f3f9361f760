"""Storage where each open and each read costs time: dme beside a plain process pool with pydicom, in one run.

    python -m benchmarks.latency [--files 400] [--workers 2] [--opens 0 5 20] [--read 1]

The storage is a local folder whose files sleep when they are opened and read (`SlowFile`), for both alike. The peer
is what most scripts do: a pool of as many processes, `dcmread`, every element of the header as JSON; and for volumes a
task for each series, its slices sorted along the normal and written to one HDF5 with gzip.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from benchmarks.loops import json_record
from benchmarks.trees import ct_tree

JOBS = ("headers", "hdf5")


class SlowFile(io.FileIO):
    """A file on storage with latency: every open and every read sleeps first."""

    open_seconds = read_seconds = 0.0

    def __init__(self, path: str) -> None:
        time.sleep(self.open_seconds)
        super().__init__(path, "rb")

    def readinto(self, buffer: Any, /) -> int | None:
        time.sleep(self.read_seconds)
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(self.read_seconds)
        return super().read(-1 if size is None else size) or b""

    def readall(self) -> bytes:
        time.sleep(self.read_seconds)
        return super().readall() or b""


def slow_open(path: Any, mode: str = "rb", buffering: int = -1) -> BinaryIO:
    """As `open`, for files that are read."""
    size = io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering
    return cast(BinaryIO, io.BufferedReader(SlowFile(os.fspath(path)), size))


@contextlib.contextmanager
def latency(open_ms: float, read_ms: float) -> Iterator[None]:
    """Have dme and pydicom read from such storage, in processes forked meanwhile, too."""
    from pydicom import filereader

    from crawler.dicom import files

    SlowFile.open_seconds, SlowFile.read_seconds = open_ms / 1000, read_ms / 1000
    for module in (files, filereader):
        vars(module)["open"] = slow_open
    try:
        yield
    finally:
        for module in (files, filereader):
            del vars(module)["open"]


def ours(tree: Path, out: Path, job: str, workers: int) -> None:
    from crawler.engine.run import run

    sections: dict[str, Any] = {"volume": {"formats": ["hdf5"]}} if job == "hdf5" else {}
    summary = run(
        {
            "num_workers": workers,
            "output": {"dir": str(out), "report": False},
            "dicom": {"dir": str(tree)},
            "metadata": {"tables": []},
            **sections,
        }
    )
    assert summary.exit_code == 0


def theirs(tree: Path, out: Path, job: str, workers: int) -> None:
    out.mkdir()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        if job == "headers":
            paths = sorted(path for path in tree.rglob("*") if path.is_file())
            with open(out / "rows.jsonl", "w", encoding="utf-8") as rows:
                for line in pool.imap(header_line, paths, chunksize=16):
                    rows.write(line + "\n")
        else:
            folders = sorted({path.parent for path in tree.rglob("*") if path.is_file()})
            list(pool.imap_unordered(series_volume, [(folder, out) for folder in folders]))


def header_line(path: Path) -> str:
    from pydicom import dcmread

    dataset = dcmread(path, stop_before_pixels=True)
    return json.dumps(json_record(dataset.file_meta) | json_record(dataset))


def series_volume(place: tuple[Path, Path]) -> None:
    import h5py
    import numpy as np
    from pydicom import dcmread

    folder, out = place
    slices = [dcmread(path) for path in sorted(folder.iterdir())]
    slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    array = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
    with h5py.File(out / f"{folder.name}-{len(list(out.iterdir()))}-{os.getpid()}.h5", "w") as file:
        file.create_dataset("image", data=array.astype(np.int16), chunks=(1, *array.shape[1:]), compression="gzip")


def seconds_of(do: Callable[[Path, Path, str, int], None], tree: Path, job: str, workers: int) -> float:
    """The best of two: the machine is seldom quiet."""
    best = float("inf")
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            do(tree, Path(folder) / "out", job, workers)
            best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--opens", type=float, nargs="+", default=[0, 5, 20], help="ms an open")
    parser.add_argument("--read", type=float, default=1, help="ms a read")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        tree = ct_tree(options.files, per_folder=100).build(folder)
        print("| job | ms an open, a read | dme, files/s | pydicom pool, files/s | ratio | of our rate at the first |")
        print("|---|---|---|---|---|---|")
        for job in options.jobs:
            first = 0.0
            for opens in options.opens:
                with latency(opens, options.read):
                    mine, peer = (options.files / seconds_of(do, tree, job, options.workers) for do in (ours, theirs))
                first = first or mine
                print(
                    f"| {job} | {opens:g}, {options.read:g} | {mine:.0f} | {peer:.0f} | {mine / peer:.1f}"
                    f" | {mine / first:.2f} |",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""What peers do that have no package, as plain loops; each runs in a process of its own.

    python -m benchmarks.loops NAME TREE OUT

`pydicom_json`: one process, every element of every header as JSON. `native_headers`: one process, headers parsed by a
native reader, and no more. `bare_deflate`: what no way to gzip HDF5 can do without. `scan_hdf5`: seeds/004
(DICOMDataExtractor), one header a series and an uncompressed dataset. `media`: seeds/003 (dicom-media-exporter), PNG or
MP4 of every file and its header as text. `walk`: listing alone. POSIX only, for its locks.

Both seeds are written after what is known of their steps, without what keeps them from finishing or makes them slower
by mistake: grey stills fail in seeds/003, and its colours are converted twice.
"""

from __future__ import annotations

import csv
import fcntl
import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

WORKERS = 2
SLICE = 512 * 512  # pixels of 16 bits, which end the files of the CT tree


def walk(tree: Path, out: Path) -> None:
    """List the tree and stat each file."""
    folders, count = [os.fspath(tree)], 0
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    count += 1
    (out / "walk.txt").write_text(f"{count}\n")


def json_value(element: Any) -> Any:
    """An element's value as JSON holds it; of binary ones the length."""
    value = element.value
    if element.VR == "SQ":
        return [json_record(item) for item in value]
    if isinstance(value, bytes):
        return {"vr": element.VR, "length": len(value)}
    if element.VR in ("DS", "FL", "FD"):
        convert: Callable[[Any], Any] = float
    elif element.VR in ("IS", "US", "SS", "UL", "SL", "UV", "SV"):
        convert = int
    else:
        convert = str
    if value is None or value == "":
        return None
    return [convert(one) for one in value] if element.VM > 1 else convert(value)


def json_record(dataset: Any) -> dict[str, Any]:
    """All elements by keyword, private ones by tag."""
    return {element.keyword or str(element.tag): json_value(element) for element in dataset}


def pydicom_json(tree: Path, out: Path) -> None:
    """Headers to JSON lines."""
    from pydicom import dcmread

    with open(out / "metadata.jsonl", "w", encoding="utf-8") as rows:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                dataset = dcmread(path, stop_before_pixels=True)
                rows.write(json.dumps(json_record(dataset.file_meta) | json_record(dataset)) + "\n")


def native_headers(tree: Path, out: Path) -> None:
    """Headers parsed by a reader written in Rust, and counted; what is in them is not looked at."""
    from fastdicom import dcmread

    count = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            dcmread(os.path.join(folder, name), stop_before_pixels=True)
            count += 1
    (out / "headers.txt").write_text(f"{count}\n")


def bare_deflate(tree: Path, out: Path) -> None:
    """Files read whole, and the chunks that HDF5 would hold of them deflated: no header, no order, no output."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    with multiprocessing.Pool(WORKERS) as pool:
        sizes = pool.map(_deflated, paths, chunksize=50)
    (out / "sizes.txt").write_text(f"{sum(sizes)}\n")


def _deflated(path: Path) -> int:
    import numpy as np

    from crawler.sinks.deflate import deflated, shuffled

    data = path.read_bytes()
    return len(deflated(shuffled(np.frombuffer(data, "<u2", SLICE, len(data) - 2 * SLICE))))


def scan_hdf5(tree: Path, out: Path) -> None:
    """Series to datasets: files are read for their UID, for their number, and for their pixels.

    Its pool runs over folders (`par_over_folder`), the faster way where a folder is a series.
    """
    folders = sorted(path for path in tree.iterdir() if path.is_dir())
    with multiprocessing.Pool(WORKERS) as pool:
        pool.starmap(_folder, [(folder, out) for folder in folders], chunksize=1)


def _folder(folder: Path, out: Path) -> None:
    from pydicom import dcmread

    scans: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        scans.setdefault(str(dcmread(path).SeriesInstanceUID), []).append(path)
    for uid, paths in scans.items():
        _scan(str(folder / uid).replace("/", "_"), paths, out)


def _scan(name: str, paths: list[Path], out: Path) -> None:
    import h5py
    import numpy as np
    from pydicom import dcmread

    ordered = [path for _, path in sorted((int(dcmread(path).InstanceNumber), path) for path in paths)]
    first = dcmread(ordered[0])
    volume = np.zeros((1, first.Rows, first.Columns, len(ordered)), first.pixel_array.dtype)
    for number, path in enumerate(ordered):
        volume[0, :, :, number] = dcmread(path).pixel_array
    row = {f"{one.name} {one.tag}": str(one.value) for one in first if one.tag != 0x7FE00010}
    with open(out / "lock", "wb") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        with h5py.File(out / "pixel_data.h5", "a", libver="latest") as file:
            file.create_dataset(name, data=volume)
        with open(out / "metadata.csv", "a", newline="", encoding="utf-8") as table:
            csv.writer(table).writerow([name, len(ordered), *row.values()])


def media(tree: Path, out: Path) -> None:
    """Files to PNG or MP4."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    with ProcessPoolExecutor(WORKERS) as pool:
        for future in [pool.submit(_medium, path, tree, out) for path in paths]:
            future.result()


def _medium(path: Path, tree: Path, out: Path) -> None:
    from pydicom import dcmread

    dataset = dcmread(path)
    record = {one.name: str(one.value) for one in dataset if one.VR not in ("SQ", "OB", "OW")}
    cine = int(dataset.get("NumberOfFrames", 1) or 1) > 1
    target = (out / path.relative_to(tree)).with_suffix(".mp4" if cine else ".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    (_write_cine if cine else _write_still)(dataset.pixel_array, target)
    record |= {"dicom_file": path.relative_to(tree).as_posix(), "media_file": target.relative_to(out).as_posix()}
    with open(out / "metadata.jsonl", "a", encoding="utf-8") as rows:
        fcntl.lockf(rows, fcntl.LOCK_EX)
        rows.write(json.dumps(record, sort_keys=True) + "\n")


def _write_still(pixels: Any, target: Path) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)).save(target)


def _write_cine(pixels: Any, target: Path) -> None:
    import av

    with av.open(os.fspath(target), "w") as container:
        stream = container.add_stream("h264", rate=30, options={"crf": "17"})
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


LOOPS = {one.__name__: one for one in (walk, pydicom_json, native_headers, bare_deflate, scan_hdf5, media)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    LOOPS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))

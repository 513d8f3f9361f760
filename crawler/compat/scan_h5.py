"""pixel_data_ID.h5 of `run_crawler.py`: one self-contained file, one dataset a Scan ID, slices last.

Made from the volumes of the engine without decoding anything: a frame is one compressed chunk there and one here, and
the bytes of a chunk are the same whether the slice axis comes first or last. So memory holds one compressed frame.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from crawler.compat.catalogue import Catalogue, Entry
from crawler.errors import OutputError
from crawler.paths import portable

VERSIONS = ("v108", "v108")  # as the volumes: readable since HDF5 1.8
# The names of axes, which stand in another order here, and the engine's own name of the scan.
_LEFT_OUT = frozenset({"DIMENSION_LABELS", "DIMENSION_LIST", "scan_id"})

Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames of one volume that belong together: their chunks, and the axes that they share."""

    image: Any
    places: Sequence[Place]

    @property
    def plane(self) -> tuple[int, ...]:
        """(rows, columns), in colour (rows, columns, samples)."""
        shape = tuple(self.image.shape)
        return shape[len(self.places[0]) :]


def write_pixels(catalogue: Catalogue, root: str, target: str, *, stack: bool) -> None:
    """Write the datasets of all stored scans.

    Parameters
    ----------
    root
        Folder that the paths of volumes are relative to.
    stack
        One dataset a volume, (1, rows, columns, slices[, samples]); otherwise one a file, (1, rows, columns[, samples])
        and, with several frames, (1, rows, columns, frames[, samples]).

    Raises
    ------
    OutputError
        The disk has no room for it.
    """
    _require_room(catalogue, root, target)
    with h5py.File(target, "w", libver=VERSIONS) as file:
        for entries, paths in catalogue.volumes():
            volumes = [os.path.join(root, path) for path in paths]
            if stack:
                _write_series(file, catalogue, entries[0], volumes)
            else:
                _write_files(file, entries, volumes)


def _require_room(catalogue: Catalogue, root: str, target: str) -> None:
    """HDF5 may crash on a full disk, and compressed chunks are copied as they are: their size is known before."""
    needed = sum(os.path.getsize(os.path.join(root, path)) for _, paths in catalogue.volumes() for path in paths)
    free = shutil.disk_usage(os.path.dirname(target)).free
    if needed > free:
        raise OutputError(
            f"the disk is full: {portable(target)} needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free;"
            " free space and run again"
        )


def _write_series(file: Any, catalogue: Catalogue, entry: Entry, volumes: Iterable[str]) -> None:
    """One dataset a volume: the Scan ID, then ``_2``, ``_3`` for further layouts of the series."""
    name, number = entry.scan_id, 1
    for path in volumes:
        while name in file or (number > 1 and catalogue.has(name)):
            number += 1
            name = f"{entry.scan_id}_{number}"
        with h5py.File(path, "r") as volume:
            image, rows = volume["image"], volume["provenance"][:]
            frames = _Frames(image, _places(rows))
            dataset = _create(file, name, frames, len(rows), several=True)
            _copy(frames, dataset, range(len(rows)))
            for attribute in image.attrs:
                if attribute not in _LEFT_OUT:
                    kind = image.attrs.get_id(attribute).dtype
                    dataset.attrs.create(attribute, image.attrs[attribute], dtype=kind)
            dataset.attrs["slope"], dataset.attrs["intercept"] = rows["slope"], rows["intercept"]


def _write_files(file: Any, entries: Sequence[Entry], volumes: Sequence[str]) -> None:
    """One dataset a file, whichever volumes of its series hold its frames."""
    ids = {entry.source.encode(): entry.scan_id for entry in entries}
    found: dict[bytes, list[tuple[int, float, float]]] = {}
    for path in volumes:
        with h5py.File(path, "r") as volume:
            rows = volume["provenance"][:]
            for source, *frame in rows[["source", "frame_number", "slope", "intercept"]].tolist():
                found.setdefault(source, []).append(tuple(frame))
    for frames_of in found.values():
        frames_of.sort()
    for path in volumes:
        with h5py.File(path, "r") as volume:
            image, rows = volume["image"], volume["provenance"][:]
            places = _places(rows)
            for source, members in _by_source(rows["source"].tolist()).items():
                if source not in ids:  # it failed, though its series did not
                    continue
                numbers, slopes, intercepts = zip(*found[source], strict=True)
                frames = _Frames(image, [places[member] for member in members])
                dataset = file.get(ids[source])
                if dataset is None:
                    dataset = _create(file, ids[source], frames, len(numbers), several=len(numbers) > 1)
                    dataset.attrs["slope"], dataset.attrs["intercept"] = slopes, intercepts
                ranks = {number: rank for rank, number in enumerate(numbers)}
                _copy(frames, dataset, [ranks[number] for number in rows["frame_number"][members].tolist()])


def _by_source(sources: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Files of a volume, with the numbers of their frames in it."""
    found: dict[bytes, list[int]] = {}
    for number, source in enumerate(sources):
        found.setdefault(source, []).append(number)
    return found


def _places(rows: Any) -> list[Place]:
    """Index of each frame along the leading axes of its volume."""
    names = [name for name in rows.dtype.names if name.startswith("index_")]
    return [tuple(place) for place in np.stack([rows[name] for name in names], axis=1).tolist()]


def _create(file: Any, name: str, frames: _Frames, count: int, *, several: bool) -> Any:
    """A dataset whose chunks are filtered as the volume's: they are copied as they are."""
    image, (rows, columns, *samples) = frames.image, frames.plane
    return file.create_dataset(
        name,
        shape=(1, rows, columns, *((count,) if several else ()), *samples),
        chunks=(1, rows, columns, *((1,) if several else ()), *samples),
        dtype=image.dtype,
        compression=image.compression,
        compression_opts=image.compression_opts,
        shuffle=image.shuffle,
        track_times=False,
    )


def _copy(frames: _Frames, dataset: Any, numbers: Iterable[int]) -> None:
    """Copy chunks to their places along the last but the colour axis."""
    plane = frames.plane
    several = len(dataset.shape) > 1 + len(plane)
    for place, number in zip(frames.places, numbers, strict=True):
        mask, data = frames.image.id.read_direct_chunk((*place, *(0,) * len(plane)))
        offset = (0, 0, 0, *((number,) if several else ()), *(0,) * (len(plane) - 2))
        dataset.id.write_direct_chunk(offset, data, mask)

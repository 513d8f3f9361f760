"""pixel_data_ID.h5 of `run_crawler.py`: one self-contained file, one dataset a Scan ID, slices last.

Made from the volumes of the engine without decoding anything: a frame is one compressed chunk there and one here, and
the bytes of a chunk are the same whether the slice axis comes first or last. So memory holds one compressed frame.
"""

from __future__ import annotations

import contextlib
import os
import re
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


def write_pixels(catalogue: Catalogue, root: str, target: str, *, stack: bool) -> dict[str, list[str]]:
    """Write the datasets of all stored scans; return the names of those scans that have several.

    Parameters
    ----------
    root
        Folder that the paths of volumes are relative to.
    stack
        One dataset a size, (1, rows, columns, slices[, samples]); otherwise one a file, (1, rows, columns[, samples])
        and, with several frames, (1, rows, columns, frames[, samples]).

    Raises
    ------
    OutputError
        The disk has no room for it.
    """
    _require_room(catalogue, root, target)
    several: dict[str, list[str]] = {}
    with h5py.File(target, "w", libver=VERSIONS) as file:
        for entries, paths in catalogue.volumes():
            volumes = [os.path.join(root, path) for path in paths]
            if stack:
                names = _write_series(file, catalogue, entries[0], volumes)
                several |= {entries[0].scan_id: names} if len(names) > 1 else {}
            else:
                _write_files(file, entries, volumes)
    return several


def _require_room(catalogue: Catalogue, root: str, target: str) -> None:
    """HDF5 may crash on a full disk, and compressed chunks are copied as they are: their size is known before."""
    needed = sum(os.path.getsize(os.path.join(root, path)) for _, paths in catalogue.volumes() for path in paths)
    free = shutil.disk_usage(os.path.dirname(target)).free
    if needed > free:
        raise OutputError(
            f"the disk is full: {portable(target)} needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free;"
            " free space and run again"
        )


def _write_series(file: Any, catalogue: Catalogue, entry: Entry, volumes: Sequence[str]) -> list[str]:
    """One dataset a size: the Scan ID, then ``_2``, ``_3`` for frames of other sizes or types; return their names.

    What the engine keeps apart for its geometry (two orientations, a gap) follows one after the other, and the
    attribute ``volume`` says of each slice which one it is of.
    """
    sizes: dict[Any, list[str]] = {}
    for path in volumes:
        with h5py.File(path, "r") as volume:
            image = volume["image"]
            leading = len(_places(volume["provenance"][:1])[0])
            kind = image.shape[leading:], image.dtype.str, image.compression, image.compression_opts, image.shuffle
        sizes.setdefault(kind, []).append(path)
    names: list[str] = []
    number = 1
    for paths in sizes.values():
        name = entry.scan_id if number == 1 else f"{entry.scan_id}_{number}"
        while name in file or (number > 1 and catalogue.has(name)):
            number += 1
            name = f"{entry.scan_id}_{number}"
        names.append(name)
        with contextlib.ExitStack() as opened:
            files = [opened.enter_context(h5py.File(path, "r")) for path in paths]
            _join(file, name, _in_order(files))
    return names


def _join(file: Any, name: str, volumes: Sequence[Any]) -> None:
    """A dataset of the frames of volumes, one after the other, with the attributes in which all of them agree."""
    tables = [volume["provenance"][:] for volume in volumes]
    frames = [_Frames(volume["image"], _places(rows)) for volume, rows in zip(volumes, tables, strict=True)]
    dataset = _create(file, name, frames[0], sum(map(len, tables)), several=True)
    at = 0
    for some, rows in zip(frames, tables, strict=True):
        _copy(some, dataset, range(at, at + len(rows)))
        at += len(rows)
    first, *others = (volume["image"].attrs for volume in volumes)
    for attribute in first:
        value = first[attribute]
        same = all(attribute in other and np.array_equal(other[attribute], value) for other in others)
        if attribute not in _LEFT_OUT and same:
            dataset.attrs.create(attribute, value, dtype=first.get_id(attribute).dtype)
    for column in ("slope", "intercept"):
        dataset.attrs[column] = np.concatenate([rows[column] for rows in tables])
    for axis in [name[6:] for name in tables[0].dtype.names if name.startswith("index_") and name != "index_slice"]:
        values = [_along(volume["image"].attrs, axis, rows) for volume, rows in zip(volumes, tables, strict=True)]
        if all(value is not None for value in values):
            dataset.attrs[f"{axis}_of_slice"] = np.concatenate(values)
    if others:
        dataset.attrs["volume"] = np.repeat(np.arange(1, len(tables) + 1), [len(rows) for rows in tables])


def _along(attributes: Any, axis: str, rows: Any) -> Any:
    """Value of an axis before the slices for each frame; None where the volume has no such axis, or no values."""
    steps = attributes.get(f"axis_{axis}")
    if steps is None or f"index_{axis}" not in rows.dtype.names:
        return None
    return np.asarray(steps)[rows[f"index_{axis}"]]


def _in_order(volumes: list[Any]) -> list[Any]:
    """Volumes in their order; single images without a place by their files' names, numbers in them by value."""
    if any("affine" in volume["image"].attrs or len(volume["provenance"]) > 1 for volume in volumes):
        return volumes
    return sorted(volumes, key=lambda volume: _natural(volume["provenance"][0]["source"].decode()))


def _natural(name: str) -> list[Any]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name)]


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

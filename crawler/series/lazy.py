"""Voxels that are still in their files: decoded when they are looked at, frame by frame, by the pipeline's decoders.

An index over whole frames opens nothing; what is read is read once and kept by whoever asked for it. Of a file that
changed since its header was read nothing is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.display.colour import to_rgb
from crawler.errors import FileError, SourceError
from crawler.instance.mosaic import tiles_of
from crawler.layout.derived import has_palette
from crawler.model import File, Frame, Instance, Plane
from crawler.paths import readable
from crawler.pixels.frames import frames
from crawler.pixels.modality import modality, value_type

Array = npt.NDArray[Any]
PIXEL_LIMIT = 2 * 10**9
"""Bytes of one decoded frame: `limits.pixels` of a run."""


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A frame (of a mosaic: a tile) of an instance, by its number in the reader."""

    instance: int
    frame: int


class FrameReader:
    """Decodes frames of some instances as modality values (PS3.3 C.11.1) of one type, colour as RGB.

    Parameters
    ----------
    instances
        Whose frames are read.
    planes
        Of the frames: their rescale decides the type.
    keep
        What must live as long as the files are read: a temporary folder, for example.
    """

    def __init__(self, instances: Sequence[Instance], planes: Sequence[Plane], keep: Any = None) -> None:
        self.instances = tuple(instances)
        self._keep = keep
        self._rgb = any(one.pixels is not None and one.pixels.samples == 3 for one in instances)
        self._palette = has_palette(instances)
        self.tables = _tables(self.instances, self._palette)
        if self._palette:
            self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        else:
            self.dtype = value_type(self.instances, planes, "modality", list(self.tables.values()))

    @property
    def samples(self) -> tuple[int, ...]:
        """What colour adds to the shape of a frame."""
        return (3,) if self._rgb or self._palette else ()

    def read(self, refs: npt.NDArray[Any], out: Array) -> None:
        """Decode frames into an array: ``out[index]`` gets the frame ``refs[index]``; each file is opened once."""
        wanted: dict[int, dict[int, list[tuple[int, ...]]]] = {}
        for index in np.ndindex(refs.shape):
            ref: Any = refs[index]
            wanted.setdefault(ref.instance, {}).setdefault(ref.frame, []).append(index)
        for number, places in wanted.items():
            try:
                self._read_one(number, places, out)
            except FileError as error:
                raise SourceError(f"{self.instances[number].file.key}: {error}") from error

    def _read_one(self, number: int, places: Mapping[int, Sequence[tuple[int, ...]]], out: Array) -> None:
        instance = self.instances[number]
        require_unchanged(instance.file)
        numbers = [0] if instance.mosaic is not None else sorted(places)
        for frame in frames(instance, numbers, PIXEL_LIMIT, self._rgb):
            for part in tiles_of(instance, frame):
                values = self._values(number, part) if part.number in places else None
                for index in places.get(part.number, ()):
                    out[index] = values

    def _values(self, number: int, frame: Frame) -> Array:
        table = self.tables.get(number)
        if self._palette:
            assert table is not None
            return np.asarray(table(frame.values))
        if self._rgb:
            return to_rgb(frame)
        plane = self.instances[number].plane(frame.number)
        return modality(replace(frame, slope=plane.slope, intercept=plane.intercept), self.dtype, table)


class LazyArray:
    """Frames of files, as an array.

    Parameters
    ----------
    refs
        `FrameRef` for each frame, along the leading axes.
    plane
        Shape of a frame: rows, columns, and samples of colour.
    dtype
        Of the voxels when they are read; that of the reader by default.
    """

    def __init__(
        self,
        refs: npt.NDArray[Any],
        plane: tuple[int, ...],
        reader: FrameReader,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        self._refs, self._plane, self._reader = refs, plane, reader
        self.dtype = reader.dtype if dtype is None else dtype
        self.shape = (*refs.shape, *plane)

    def read(self) -> Array:
        """All voxels."""
        out = np.empty(self.shape, self._reader.dtype)
        self._reader.read(self._refs, out)
        return out.astype(self.dtype, copy=False)

    def __getitem__(self, key: tuple[Any, ...]) -> LazyArray | Array:
        """What an index leaves: still on disk, or read where it goes inside of frames."""
        if any(part is None for part in key) or len(key) != len(self.shape):
            return np.asarray(self.read()[key])
        count = self._refs.ndim
        leading, inside = key[:count], key[count:]
        picked: Any = self._refs[leading]
        refs = picked if isinstance(picked, np.ndarray) else _alone(picked)
        part = LazyArray(refs, self._plane, self._reader, self.dtype)
        if all(isinstance(one, slice) and one == slice(None) for one in inside):
            return part
        if any(isinstance(one, np.ndarray) for one in key) and not all(isinstance(one, slice) for one in inside):
            return np.asarray(self.read()[key])  # numpy's order of axes is its own here
        return np.asarray(part.read()[(*[slice(None)] * refs.ndim, *inside)])


def _alone(ref: FrameRef) -> npt.NDArray[Any]:
    alone = np.empty((), dtype=object)
    alone[()] = ref
    return alone


def require_unchanged(file: File) -> None:
    """Raise where a file is not the one whose header was read.

    Raises
    ------
    SourceError
        Its size or time differ, or it is gone.
    """
    if file.spooled:
        return
    try:
        info = os.stat(file.native)
    except OSError:
        raise SourceError(f"{readable(file.native)} cannot be read any more") from None
    if file.member is None and (info.st_size, info.st_mtime_ns) != (file.size, file.mtime_ns):
        raise SourceError(f"{readable(file.native)} changed since its header was read: open the series again")


def _tables(instances: Sequence[Instance], palette: bool) -> dict[int, Any]:
    """Modality LUTs or palettes of those that have one, by number."""
    tables: dict[int, Any] = {}
    for number, instance in enumerate(instances):
        if instance.pixels is None or not (palette or (instance.pixels.has_luts and _has_lut(instance))):
            continue
        from crawler.display.attributes import DisplayAttributes  # loads pydicom, and few images have tables
        from crawler.display.lut import modality_lut
        from crawler.display.palette import palette_of

        attributes = DisplayAttributes(instance)
        table = palette_of(attributes) if palette else modality_lut(attributes)
        if table is not None:
            tables[number] = table
    return tables


def _has_lut(instance: Instance) -> bool:
    return "ModalityLUTSequence" in instance.record

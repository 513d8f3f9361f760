"""Volumes that are spooled: frames go to one raw array on disk as they come, and formats are made of it at the end.

What a format adds is a subclass of `VolumeSink` with two methods. Frames may come in any order, since each has its
place in the file; memory holds one of them. Formats that compress the array as a whole get frames that come in its
order at once, and only the others wait on disk. Values are taken as they are: rescaling is the engine's business.
"""

from __future__ import annotations

import math
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import SinkError
from crawler.model import Frame, Product
from crawler.sinks.base import LayoutSubject, Order, Per, Target, discard, writing
from crawler.sinks.deflate import CompressedFile
from crawler.sinks.missing_frames import MissingFrames
from crawler.sinks.provenance import leading_axes

BLOCK = 1 << 20
"""Bytes that are copied at once: what `shutil` takes on Windows; larger ones are no faster."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Nothing to choose."""


@dataclass(frozen=True, slots=True)
class ArrayFormat:
    """How a volume lies on disk while it is written.

    Attributes
    ----------
    header
        Bytes before the first voxel.
    dtype
        Of the voxels in the file, little-endian; the subject's fit it.
    """

    header: bytes
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A finished file that is not in place yet: its path, the ending of its final name, and its kind (`Product`)."""

    path: str
    extension: str
    kind: str


class VolumeFile:
    """An array on disk: a head, then voxels in C order. What no frame covers is zero.

    Parameters
    ----------
    path
        Of the file, which must not exist.
    shape, axes
        Array shape and the names of the axes, leading ones first.
    compressed
        Gets the head and all voxels in their order: as soon as they come, or at `close`. Then the file is no array any
        more; of CT, whose slices come in order, it stays empty, which saves 512 KB of writing and reading a slice.

    Raises
    ------
    OSError
        From every method, as the system raised it.
    """

    def __init__(
        self,
        path: str,
        array_format: ArrayFormat,
        shape: tuple[int, ...],
        axes: tuple[str, ...],
        compressed: CompressedFile | None = None,
    ) -> None:
        self.path, self.format, self.shape, self.axes = path, array_format, shape, axes
        self._mapped: mmap.mmap | None = None
        self._compressed = compressed
        self._next = 0  # up to here in the file, bytes are compressed
        self._waiting: set[int] = set()  # where frames lie that came before their turn
        self._file = open(path, "x+b", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._put(0, memoryview(array_format.header))
            self._file.truncate(len(array_format.header) + math.prod(shape) * array_format.dtype.itemsize)
        except OSError:
            self._file.close()
            raise

    def put(self, index: Sequence[int], values: npt.NDArray[Any]) -> None:
        """Write the voxels at an index of the leading axes."""
        number = 0
        for place, length in zip(index, self.shape, strict=False):
            number = number * length + place
        voxels = np.ascontiguousarray(values, dtype=self.format.dtype)
        self._put(len(self.format.header) + number * voxels.nbytes, voxels.reshape(-1).view(np.uint8).data)

    def view(self) -> npt.NDArray[Any]:
        """The voxels, read-only and mapped: pages of the file are in memory once they are used, until `release`."""
        with open(self.path, "rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count = math.prod(self.shape)
        return np.frombuffer(self._mapped, self.format.dtype, count, len(self.format.header)).reshape(self.shape)

    def release(self) -> None:
        """Take the pages of the view out of memory: they count as the worker's, which `limits.memory` bounds.

        What is used again comes back from the file. Where the system has no such call, it drops them as it likes.
        """
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Finish writing; some network file systems report a full disk only here."""
        self._file.close()

    def compress_rest(self) -> None:
        """Compress what no frame has reached yet, in the array's order."""
        self._compress(self._file.seek(0, os.SEEK_END))

    def _put(self, offset: int, data: memoryview) -> None:
        """Write to the file, or compress at once what comes in its turn, and all that waited for it."""
        if self._compressed is None:
            self._write(offset, data)
        elif offset != self._next:
            self._write(offset, data)
            self._waiting.add(offset)
        else:
            self._compressed.write(data)
            self._next += len(data)
            while self._next in self._waiting:  # frames are of one size
                self._waiting.remove(self._next)
                self._compress(self._next + len(data))

    def _compress(self, end: int) -> None:
        """Pack what the file holds, from where packing stands up to a place."""
        self._file.seek(self._next)
        while self._compressed is not None and (block := self._file.read(min(BLOCK, end - self._next))):
            self._compressed.write(block)
            self._next += len(block)

    def _write(self, offset: int, data: bytes | memoryview) -> None:
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


class VolumeSink(ABC):
    """Writes one layout by way of a `VolumeFile`, as `base.Sink` describes.

    The array has the layout's axes, but for slices, which are the last of the leading ones: a volume is contiguous.
    """

    per: ClassVar[Per] = "layout"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[Any]] = NoOptions
    extension: str

    def __init__(self, options: Any = None) -> None:
        self._options = options or self.Options()
        self._volume_file: VolumeFile | None = None
        self._compressed: CompressedFile | None = None
        self._unfinished: list[str] = []

    @abstractmethod
    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        """Say how a layout lies on disk as an array of `shape`. SinkError: the format cannot hold it."""

    @abstractmethod
    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        """Make the files of the complete array, the volume first. Raises SinkError and OSError."""

    def _rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A frame as the format has it: its rows in their order, or from the last to the first."""
        return values

    def _compressed_file(self) -> CompressedFile | None:
        """Open the file that head and voxels are compressed into as a whole, where the format has one."""
        return None

    def open(self, target: Target, subject: LayoutSubject) -> None:
        """Begin.

        Raises
        ------
        SinkError
            The format cannot hold the layout, or the unfinished file cannot be created.
        OutputError
            The disk is full.
        """
        self._target, self._subject = target, subject
        self._missing = MissingFrames(subject)
        axes, layout = leading_axes(subject), subject.layout
        self._leading = sorted(range(len(axes)), key=lambda axis: axes[axis] == "slice")
        order = (*self._leading, *range(len(axes), len(layout.axes)))
        shape = tuple(layout.shape[axis] for axis in order)
        array_format = self._format(subject, shape)
        try:
            with writing():
                self._compressed = self._compressed_file()
                axes = tuple(layout.axes[axis] for axis in order)
                self._volume_file = VolumeFile(self._scratch(), array_format, shape, axes, self._compressed)
        except BaseException:
            self.abort()  # the caller has no open sink to abort
            raise

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Write the frame at its index. Raises as `MissingFrames.take` does, and OutputError when the disk is full."""
        self._missing.take(index, frame)
        assert self._volume_file is not None
        with writing():
            self._volume_file.put([index[axis] for axis in self._leading], self._rows(frame.values))

    def close(self) -> list[Product]:
        """Make the files and put them in place, the volume first.

        Raises
        ------
        SinkError
            A frame is missing, or a target cannot be written. Nothing is in place then.
        OutputError
            The disk is full.
        """
        if self._volume_file is None:
            raise SinkError("volume not written", "it is closed")
        self._missing.check_complete()
        with writing():
            if self._compressed is not None:
                self._volume_file.compress_rest()
                self._compressed.finish()
            self._volume_file.close()
            parts = self._finish(self._subject, self._volume_file)
        products: list[Product] = []
        try:
            for part in parts:
                products.append(self._target.publish(part.path, part.extension, part.kind, self._subject.layout.name))
        except BaseException:
            self._target.take_back(products)  # half of a volume's files are of no use
            raise
        finally:
            self.abort()
        return products

    def abort(self) -> None:
        """Close and remove the unfinished files, if any."""
        if self._volume_file is not None:
            with suppress(OSError):
                self._volume_file.close()
            self._volume_file = None
        if self._compressed is not None:
            with suppress(OSError):
                self._compressed.close()
            self._compressed = None
        while self._unfinished:
            discard(self._unfinished.pop())

    def _scratch(self, extension: str = ".raw") -> str:
        """Path of a new unfinished file, which goes when the sink is done."""
        self._unfinished.append(self._target.scratch(extension))
        return self._unfinished[-1]

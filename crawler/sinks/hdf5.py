"""A layout as one HDF5 file: dataset ``image`` with its geometry, dataset ``provenance`` with its origin.

A further axis whose steps are numbers has them as a dimension scale, ``axis_<name>``. Frames are written as they come,
one chunk each, so memory holds a few frames whatever the size of the volume. Values are taken as they are: rescaling is
the engine's business. Chunks are shuffled and deflated here and written as they are, past HDF5's own filters: five
times as many CT frames a second, 14 % larger (`deflate.py`, benchmarks/RESULTS.md). Plain h5py, MATLAB or HDFView read
the file as gzip with shuffle.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import SinkError
from crawler.model import Frame, Product
from crawler.sinks.base import LayoutSubject, Order, Per, Target, discard, write_error, writing
from crawler.sinks.deflate import LEVEL, check_level, deflated, shuffled
from crawler.sinks.missing_frames import MissingFrames
from crawler.sinks.provenance import attributes, axis_fields, columns, is_number

# Readable since HDF5 1.8 (2008), the first whose attributes may exceed 64 KB.
VERSIONS = ("v108", "v108")
# What h5py raises when the library refuses, besides OSError.
REFUSALS = (ValueError, TypeError, RuntimeError, KeyError)
GZIP = 4
"""Level that the file names, h5py's own: by it other programs deflate chunks that they change. zlib knows 0 to 9."""
NOT_DEFLATED = 0b10
"""Mask of a chunk that the second filter passed over, deflate after shuffle (H5Zpublic.h: bits skip filters)."""


@dataclass(frozen=True, slots=True)
class Hdf5Options:
    """How volumes are compressed: level of ISA-L from 0 to 3."""

    level: int = LEVEL

    def __post_init__(self) -> None:
        check_level(self.level, "hdf5")


class Hdf5Sink:
    """Writes one layout into one file, frames in any order."""

    per: ClassVar[Per] = "layout"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ("h5py",)
    Options: ClassVar[type[Any]] = Hdf5Options
    extension: str = ".h5"

    def __init__(self, options: Hdf5Options | None = None) -> None:
        self._options = options or Hdf5Options()
        self._stream: _Stream | None = None
        self._file: Any = None

    def open(self, target: Target, subject: LayoutSubject) -> None:
        """Create the unfinished file with everything but the frames.

        Raises
        ------
        SinkError
            HDF5 refuses shape, type or attributes, or the file cannot be created.
        OutputError
            The disk is full.
        """
        self._target = target
        self._subject = subject
        self._missing = MissingFrames(subject)
        with writing():
            self._stream = _Stream(target.scratch(self.extension))
        try:
            with self._guarded():
                self._create(self._stream)
        except BaseException:
            self.abort()  # the caller has no open sink to abort
            raise

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Write the frame at its index.

        Parameters
        ----------
        index
            Of the layout's leading axes.
        frame
            ``values``: the layout's last two (in colour three) axes, in a type that fits the subject's without loss.

        Raises
        ------
        SinkError
            Shape, type or index do not belong to the layout.
        OutputError
            The disk is full.
        """
        self._missing.take(index, frame)
        with self._guarded():
            self._write_chunk(index, frame.values)

    def close(self) -> list[Product]:
        """Finish the file and put it in place.

        Raises
        ------
        SinkError
            A frame is missing, or the target cannot be written.
        OutputError
            The disk is full.
        """
        if self._stream is None:
            raise SinkError("volume not written", "it is closed")
        self._missing.check_complete()
        with self._guarded():
            self._file.close()
        with writing():
            self._stream.close()
        path, self._stream = self._stream.path, None
        return [self._target.publish(path, self.extension, "volume", self._subject.layout.name)]

    def abort(self) -> None:
        """Close and remove the unfinished file, if any."""
        if self._stream is None:
            return
        self._stream.mute()
        with suppress(OSError, *REFUSALS):
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self._stream.close()
        discard(self._stream.path)
        self._stream = None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what h5py and the disk raise into errors of this package."""
        assert self._stream is not None
        try:
            yield
        except (OSError, *REFUSALS) as error:
            if self._stream.error is None:
                raise SinkError("volume not written", str(error).partition("(file")[0]) from error
        if self._stream.error is not None:
            raise write_error(self._stream.error) from self._stream.error

    def _create(self, stream: _Stream) -> None:
        import h5py  # slow to load: for HDF5 only

        layout = self._subject.layout
        leading = len(layout.placement[0].index) if layout.placement else 0
        self._file = h5py.File(stream, "w", libver=VERSIONS)
        self._image = self._file.create_dataset(
            "image",
            shape=layout.shape,
            dtype=self._subject.dtype,
            chunks=(1,) * leading + layout.shape[leading:],
            **self._filters(),
            track_times=False,  # equal volumes, equal bytes
        )
        # Kept, because h5py asks the file for them each time.
        self._dtype, self._tail = self._image.dtype, (0,) * (self._image.ndim - leading)
        for axis, label in zip(self._image.dims, layout.axes, strict=True):
            axis.label = label
        self._attach_scales()
        for name, value in attributes(self._subject).items():
            stored = _storable(value)
            if stored is not None:
                self._image.attrs[name] = stored
        rows = provenance(self._subject)
        self._file.create_dataset(
            "provenance", data=rows, compression="gzip", compression_opts=4, shuffle=True, track_times=False
        )

    def _filters(self) -> dict[str, Any]:
        """What h5py is told of the compression of the frames."""
        return {"compression": "gzip", "compression_opts": GZIP, "shuffle": True}

    def _write_chunk(self, index: tuple[int, ...], values: npt.NDArray[Any]) -> None:
        """Write a frame as the chunk that it is, through the two filters that the dataset names."""
        # In the file's type: its byte order, too, is not looked at again.
        source = shuffled(np.ascontiguousarray(values, dtype=self._dtype))
        chunk = deflated(source, self._options.level)
        # As HDF5 does it: what deflate does not make smaller is kept as it is.
        data, mask = (chunk, 0) if len(chunk) < source.nbytes else (source, NOT_DEFLATED)
        self._image.id.write_direct_chunk((*index, *self._tail), data, mask)

    def _attach_scales(self) -> None:
        """Say where the steps of further axes lie in HDF5's own way ("HDF5 Dimension Scale Specification")."""
        fields, axes = axis_fields(self._subject), self._subject.layout.axes
        for name in (f"axis_{one.axis}" for one in self._subject.layout.coordinates):
            if all(map(is_number, fields[name])):
                scale = self._file.create_dataset(name, data=_array(fields[name]), track_times=False)
                scale.make_scale(name.removeprefix("axis_"))
                scale.attrs["units"] = _text(fields[f"{name}_unit"])
                self._image.dims[axes.index(name.removeprefix("axis_"))].attach_scale(scale)


class _Stream(io.RawIOBase):
    """The unfinished file as HDF5 sees it: a file whose writes never fail. The first failure is kept in `error`.

    A write that fails inside HDF5 2.0 leaves the library with objects that it can neither write nor free, and the
    process ends in a segmentation fault at a later close (full disk, with h5py 3.16's own driver). Here the rest is
    dropped instead, and the sink raises. Costs 4 % of the speed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: OSError | None = None
        self._muted = False
        self._raw = open(path, "x+b", buffering=0)  # noqa: SIM115

    def mute(self) -> None:
        """Drop what is still to be written: the file will be removed."""
        self._muted = True

    def write(self, data: Any) -> int:
        """Write all of `data`, or keep the error."""
        view = memoryview(data).cast("B")
        rest = view
        try:
            while len(rest) and not self._muted:
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self.error = self.error or error
            self._muted = True
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, with zeros where dropped bytes would be."""
        view = memoryview(buffer).cast("B")
        count = self._raw.readinto(view) or 0
        if self._muted and count < len(view):
            view[count:] = bytes(len(view) - count)
            return len(view)
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As any file."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """As any file."""
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the error."""
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self.error = self.error or error
            self._muted = True
            return size or 0

    def close(self) -> None:
        """Close the file; some network file systems report a full disk only here."""
        try:
            if hasattr(self, "_raw"):  # else the file could not be opened, and this is the end of what was left
                self._raw.close()
        finally:
            super().close()


def provenance(subject: LayoutSubject) -> npt.NDArray[np.void]:
    """Where each frame comes from.

    Returns
    -------
    ndarray
        One row a frame, in array order, with the fields of `provenance.columns`: integers as int64, numbers as float64
        (``position``: three), texts as UTF-8 of fixed length.
    """
    import h5py  # slow to load: for HDF5 only

    table = columns(subject)
    texts = {name: [text.encode("utf-8", "replace") for text in table[name]] for name in ("SOPInstanceUID", "source")}
    lengths = {name: max(map(len, values), default=0) or 1 for name, values in texts.items()}
    types: dict[str, tuple[Any, ...]] = {
        **{name: (h5py.string_dtype("utf-8", length),) for name, length in lengths.items()},
        "position": ("<f8", (3,)),
        "slope": ("<f8",),
        "intercept": ("<f8",),
        **{name: ("<f8",) for name in table if name.startswith("RealWorldValue")},
    }
    rows = np.zeros(len(table["source"]), dtype=[(name, *types.get(name, ("<i8",))) for name in table])
    for name, values in {**table, **texts}.items():
        rows[name] = values
    return rows


def _storable(value: Any) -> Any:
    """A value as h5py takes it: numbers and texts as they are, lists as arrays, anything else as JSON; None as None."""
    import h5py  # slow to load: for HDF5 only

    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return np.array([_text(item) for item in value], dtype=h5py.string_dtype())
    return _array(value)


def _array(value: Any) -> Any:
    """A list of numbers, or of equally long lists of them, as an array; anything else as JSON."""
    flat = [item for row in value for item in (row if isinstance(row, list | tuple) else (row,))]
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in flat):
        with suppress(ValueError, OverflowError):  # rows of several lengths, or an integer past 64 bits
            return np.array(value, dtype=np.float64 if any(isinstance(item, float) for item in flat) else np.int64)
    return _text(json.dumps(value))


def _text(value: str) -> str:
    """Text that HDF5 can hold: no NUL, which would end it, and valid Unicode."""
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

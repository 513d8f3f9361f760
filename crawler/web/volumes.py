"""Planes of a volume that a run wrote, one at a time: memory for a plane, whatever the size of the volume.

HDF5 is read as it is. Formats that are compressed as a whole are unpacked once to a file in the server's own folder,
which is removed when others need the room. It computes no window: the browser does.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from crawler.sinks.metaimage import TYPES
from crawler.web.refusals import Refused

_KEPT = 4  # unpacked volumes
_BLOCK = 1 << 22
_RESERVE = 1 << 30  # bytes that stay free
_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
READABLE = (".h5", ".npz", ".nii", ".nii.gz", ".mha", ".mhd")


@dataclass(slots=True)
class Volume:
    """An open volume.

    Attributes
    ----------
    data
        What is sliced; shape as `axes`.
    axes
        A name an axis; the last three are those of the affine, but for ``sample``.
    affine
        Shape (4, 4): indices of those three -> patient LPS, mm; None where there is none.
    window
        Centre and width as the header has them.
    notes
        Modality, kind of values, unit.
    """

    data: Any
    axes: tuple[str, ...]
    affine: npt.NDArray[np.float64] | None
    window: tuple[float, float] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent of each axis."""
        return tuple(int(extent) for extent in self.data.shape)

    def plane(self, at: list[int | None]) -> npt.NDArray[Any]:
        """The plane at an index; None stands for the two axes that it extends along. Samples of colour come whole.

        Raises
        ------
        Refused
            The index is none of this volume, or the values are of a type that no browser has.
        """
        spatial = len(self.axes) - (self.axes[-1] == "sample")
        outside = any(place is not None and not 0 <= place < self.shape[axis] for axis, place in enumerate(at))
        if len(at) != spatial or sum(place is None for place in at) != min(2, spatial) or outside:
            raise Refused(400, "there is no such plane")
        index = tuple(slice(None) if place is None else place for place in at)
        return sendable(np.asarray(self.data[index]))

    def describe(self) -> dict[str, Any]:
        """What the viewer begins with, as JSON values."""
        affine = None if self.affine is None or not np.isfinite(self.affine).all() else self.affine.tolist()
        return {"axes": self.axes, "shape": self.shape, "affine": affine, "window": self.window, "notes": self.notes}


def sendable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values as a browser reads them: contiguous, little endian, of a type that it has.

    Raises
    ------
    Refused
        They are of another.
    """
    kind = values.dtype.kind
    if kind == "b":
        values = values.view(np.uint8)
    elif kind == "f" and values.dtype.itemsize == 2:
        values = values.astype(np.float32)
    elif kind in "iu" and values.dtype.itemsize == 8:
        values = values.astype(np.float64)
    elif kind not in "iuf":
        raise Refused(415, "values of this type cannot be shown")
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))


@contextlib.contextmanager
def opened(path: str, checksum: str, unpacked: str) -> Iterator[Volume]:
    """Open a volume.

    Parameters
    ----------
    path
        Real path, which was looked at before.
    checksum
        Of the file, as recorded: names what it is unpacked to.
    unpacked
        Folder for that.

    Raises
    ------
    Refused
        It is damaged, of another format, or there is no room to unpack it.
    """
    name = path.lower()
    try:
        if name.endswith(".h5"):
            with _hdf5(path) as volume:
                yield volume
        elif name.endswith((".nii", ".nii.gz")):
            yield _nifti(path, checksum, unpacked)
        elif name.endswith(".npz"):
            yield _npz(path, checksum, unpacked)
        elif name.endswith((".mha", ".mhd")):
            yield _metaimage(path, checksum, unpacked)
        else:
            raise Refused(415, "the viewer does not read this format; download the file")
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, StopIteration) as error:
        raise Refused(422, f"the file cannot be read as a volume ({type(error).__name__})") from None


@contextlib.contextmanager
def _hdf5(path: str) -> Iterator[Volume]:
    import h5py  # slow to load: for this format only

    from crawler.sinks.hdf5_filters import load_filters  # as above

    with h5py.File(path, "r") as file:
        image = file["image"]
        load_filters(image)
        attributes = image.attrs
        affine = np.array(attributes["affine"]) if "affine" in attributes else None
        centre, width = attributes.get("WindowCenter"), attributes.get("WindowWidth")
        numbers = all(isinstance(one, float | int | np.number) for one in (centre, width))
        notes = {
            name: str(attributes[name]) for name in ("Modality", "values", "RescaleType", "Units") if name in attributes
        }
        yield Volume(
            image,
            tuple(dimension.label for dimension in image.dims),
            affine,
            (float(centre), float(width)) if numbers else None,
            notes,
        )


def origin(path: str, at: list[int]) -> dict[str, Any]:
    """Which file and frame a plane of an HDF5 volume comes from, by its leading indices; empty when it is not noted."""
    import h5py  # slow to load: for this format only

    if not path.lower().endswith(".h5"):
        return {}
    try:
        with h5py.File(path, "r") as file:
            rows = file["provenance"][()]
    except (OSError, KeyError):
        return {}
    names = [name for name in rows.dtype.names if name.startswith("index_")]
    if len(names) != len(at):
        return {}
    found = np.ones(len(rows), bool)
    for name, place in zip(names, at, strict=True):
        found &= rows[name] == place
    if found.sum() != 1:
        return {}
    row = rows[found][0]
    told = {name: row[name] for name in ("SOPInstanceUID", "source", "frame_number")}
    return {name: value.decode() if isinstance(value, bytes) else int(value) for name, value in told.items()}


def _nifti(path: str, checksum: str, unpacked: str) -> Volume:
    try:
        import nibabel  # slow to load, and not everybody has it
    except ImportError:
        raise Refused(415, "NIfTI needs nibabel: pip install 'dicom-dme[formats]'") from None

    if path.lower().endswith(".gz"):
        path = _unpacked(unpacked, f"{checksum}.nii", partial(gzip.open, path, "rb"))
    image: Any = nibabel.load(path)
    if image.header.get_data_dtype().names:
        raise Refused(415, "colour in NIfTI cannot be shown; download the file")
    known = image.header["sform_code"] > 0 or image.header["qform_code"] > 0
    affine = (_LPS_RAS @ image.affine)[:, [2, 1, 0, 3]] if known else None
    return Volume(_Reversed(image.dataobj), _named(image.ndim, ("slice", "row", "column")), affine)


class _Reversed:
    """An array whose axes are those of another from the last to the first; sliced without loading it."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.shape = data.shape[::-1]

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        return np.asarray(self._data[index[::-1]]).T


def _npz(path: str, checksum: str, unpacked: str) -> Volume:
    with zipfile.ZipFile(path) as archive:
        small = {}
        for name in ("axes", "affine"):
            if f"{name}.npy" in archive.namelist() and archive.getinfo(f"{name}.npy").file_size < 1 << 16:
                with archive.open(f"{name}.npy") as file:
                    small[name] = np.lib.format.read_array(file, allow_pickle=False)
        raw = _unpacked(unpacked, f"{checksum}.npy", lambda: archive.open("data.npy"))
    data = np.lib.format.open_memmap(raw, mode="r")
    return Volume(data, tuple(map(str, small["axes"])), small.get("affine"))


def _metaimage(path: str, checksum: str, unpacked: str) -> Volume:
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields:
            name, equals, value = os.fsdecode(file.readline(1 << 16)).partition("=")
            if not equals:
                raise ValueError("no header")
            fields[name.strip()] = value.strip()
        start = file.tell()
    place = fields["ElementDataFile"]
    if place != "LOCAL":
        path, start = os.path.join(os.path.dirname(path), os.path.basename(place)), 0
    if fields.get("CompressedData") == "True":
        path, start = _unpacked(unpacked, f"{checksum}.raw", lambda: _Inflating(path, start)), 0
    samples = int(fields.get("ElementNumberOfChannels", "1"))
    shape = [int(count) for count in fields["DimSize"].split()][::-1] + ([samples] if samples > 1 else [])
    kind = next(kind for kind, name in TYPES.items() if name == fields["ElementType"])
    data = np.memmap(path, np.dtype(kind).newbyteorder("<"), "r", start, tuple(shape))
    affine = None
    if "TransformMatrix" in fields:
        count = int(fields["NDims"])
        steps = np.array(fields["TransformMatrix"].split(), float).reshape(count, count)[:3, :3].T
        affine = np.eye(4)
        affine[:3, :3] = steps * np.array(fields["ElementSpacing"].split(), float)[:3]
        affine[:3, 3] = np.array(fields["Offset"].split(), float)[:3]
        affine = affine[:, [2, 1, 0, 3]]
    return Volume(data, _named(len(shape), ("slice", "row", "column", *(("sample",) if samples > 1 else ()))), affine)


class _Inflating:
    """A stretch of a file that zlib compressed, as a stream."""

    def __init__(self, path: str, start: int) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - `close` closes it
        self._file.seek(start)
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._inflate.eof:
            given = self._inflate.unconsumed_tail or self._file.read(1 << 20)
            if not given:
                raise EOFError
            if piece := self._inflate.decompress(given, size):
                return piece
        return b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _unpacked(folder: str, name: str, source: Any) -> str:
    """The file that a stream was unpacked to, now or before."""
    target = os.path.join(folder, name)
    if os.path.exists(target):
        os.utime(target)
        return target
    os.makedirs(folder, mode=0o700, exist_ok=True)
    kept = sorted((os.path.join(folder, one) for one in os.listdir(folder)), key=os.path.getmtime)
    for old in kept[: max(0, len(kept) - _KEPT + 1)]:
        with contextlib.suppress(OSError):
            os.unlink(old)
    scratch = f"{target}.{os.getpid()}.new"
    try:
        stream: IO[bytes] = source()
        with contextlib.closing(stream), open(scratch, "wb") as file:
            while block := stream.read(_BLOCK):
                if shutil.disk_usage(folder).free < _RESERVE:
                    raise Refused(507, "the disk has no room to unpack this volume")
                file.write(block)
        os.replace(scratch, target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
    return target


def _named(count: int, last: tuple[str, ...]) -> tuple[str, ...]:
    return (*(f"axis{number}" for number in range(count - len(last))), *last[-count:])

"""A layout as MetaImage, for ITK, 3D Slicer and elastix: ``.mha``, or ``.mhd`` and ``.zraw``, each with its provenance.

The data of ``.mha`` lie in the file as they are, so that frames are written where they belong as they come, and readers
may map them into memory; those of ``.zraw`` are compressed. MetaImage shares DICOM's patient
coordinates (LPS): no axis changes sign.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crawler.errors import FormatLimit
from crawler.geometry import Floats
from crawler.sinks.base import LayoutSubject
from crawler.sinks.deflate import LEVEL, ZLIB, CompressedFile, check_level
from crawler.sinks.provenance import spacing, write_provenance
from crawler.sinks.timing import period
from crawler.sinks.volume_base import ArrayFormat, FinishedFile, VolumeFile, VolumeSink

TYPES = {
    "u1": "MET_UCHAR",
    "i1": "MET_CHAR",
    "u2": "MET_USHORT",
    "i2": "MET_SHORT",
    "u4": "MET_UINT",
    "i4": "MET_INT",
    "u8": "MET_ULONG_LONG",
    "i8": "MET_LONG_LONG",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
}
"""ElementType by kind and bytes (MetaIO, metaTypes.h)."""

LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""Where an axis of LPS comes from, by its sign: MetaImage names axes by their origin, so that DICOM's own are RAI."""


class MetaImageSink(VolumeSink):
    """Writes one layout into one file and its companion, frames in any order."""

    extension: str = ".mha"

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        # The last line: data follow.
        head = _head({**_fields(subject, shape), "ElementDataFile": "LOCAL"})
        return ArrayFormat(head, subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        return [FinishedFile(volume_file.path, self.extension, "volume"), self._origin(subject)]

    def _origin(self, subject: LayoutSubject) -> FinishedFile:
        path = self._scratch(".json")
        write_provenance(path, subject)
        return FinishedFile(path, f"{self.extension}.provenance.json", "sidecar")


@dataclass(frozen=True, slots=True)
class DetachedOptions:
    """How volumes are compressed: level of ISA-L from 0 to 3."""

    level: int = LEVEL

    def __post_init__(self) -> None:
        check_level(self.level, "mhd")


class DetachedMetaImageSink(MetaImageSink):
    """Writes one layout into a header and a file of compressed data beside it, and their companion."""

    Options: ClassVar[type[Any]] = DetachedOptions
    extension: str = ".mhd"

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        _fields(subject, shape)  # refuses what the header could not say in the end
        return ArrayFormat(b"", subject.dtype.newbyteorder("<"))

    def _compressed_file(self) -> CompressedFile | None:
        return CompressedFile(self._scratch(".zraw"), self._options.level, ZLIB)

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        assert self._compressed is not None
        header = self._scratch(self.extension)
        size = os.path.getsize(self._compressed.path)
        fields = _fields(subject, volume_file.shape) | {"CompressedData": "True", "CompressedDataSize": str(size)}
        data = os.path.basename(self._target.path) + ".zraw"  # beside the header, wherever both are moved
        with open(header, "xb") as file:
            file.write(_head({**fields, "ElementDataFile": data}))
        return [
            FinishedFile(header, self.extension, "volume"),
            FinishedFile(self._compressed.path, ".zraw", "sidecar"),
            self._origin(subject),
        ]


def _fields(subject: LayoutSubject, shape: tuple[int, ...]) -> dict[str, str]:
    """Fields of the header but the last, for an array of `shape`. SinkError: MetaImage does not know the type."""
    kind = TYPES.get(subject.dtype.str[1:])
    if kind is None:
        raise FormatLimit("no type for these voxels", f"MetaImage has no {subject.dtype}")
    colour = subject.layout.axes[-1] == "sample"
    extents = shape[-2::-1] if colour else shape[::-1]
    return {
        "ObjectType": "Image",
        "NDims": str(len(extents)),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        **_geometry(subject, len(extents)),
        "DimSize": _text(extents),
        **({"ElementNumberOfChannels": str(shape[-1])} if colour else {}),
        "ElementType": kind,
    }


def _head(fields: dict[str, str]) -> bytes:
    """The lines of a header; a file name keeps its bytes."""
    return os.fsencode("".join(f"{name} = {value}\n" for name, value in fields.items()))


def _geometry(subject: LayoutSubject, count: int) -> dict[str, str]:
    """Fields of where the array lies, for `count` axes: column, row, slice, others. What is not known is left out.

    The step of a fourth axis of time is in seconds, as in NIfTI; MetaImage has no unit for it, and 1 where it has none.
    """
    sizes = [*spacing(subject)[::-1], period(subject) or 1.0, *[1.0] * count][:count]
    if subject.layout.affine is None:
        return {"ElementSpacing": _text(sizes)} if all(map(math.isfinite, sizes)) else {}
    steps: Floats = np.asarray(subject.layout.affine)[:3, [2, 1, 0]]
    directions = np.eye(count)
    directions[:3, :3] = (steps / np.linalg.norm(steps, axis=0)).T  # a row is the direction of an axis, as ITK has it
    offset = [*(row[3] for row in subject.layout.affine[:3]), *[0.0] * (count - 3)]
    return {
        "TransformMatrix": _text(directions.ravel()),
        "Offset": _text(offset),
        "CenterOfRotation": _text([0] * count),
        "AnatomicalOrientation": _orientation(directions[:3, :3]),
        "ElementSpacing": _text(sizes),
    }


def _orientation(directions: Floats) -> str:
    """Three letters for three axes, or "???" where two of them are closest to one patient axis."""
    closest = np.abs(directions).argmax(axis=1)
    if len(set(closest.tolist())) < 3:
        return "???"
    return "".join(LETTERS[axis][int(row[axis] < 0)] for axis, row in zip(closest, directions, strict=True))


def _text(numbers: Iterable[Any]) -> str:
    """Numbers as MetaIO reads them; 17 digits give every double back."""
    return " ".join(f"{number:.17g}" for number in numbers)

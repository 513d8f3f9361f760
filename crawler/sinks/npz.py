"""A layout as NumPy ``.npz``: ``data`` float32 [Z, Y, X] as a radiologist looks at it, with affine and provenance.

Z runs from head to foot, Y (rows) from anterior to posterior, X (columns) from the patient's right to the left, each
along the array axis that is closest to it: axes are exchanged and flipped, nothing is resampled. Without an affine the
array is stored as it comes. Further axes precede Z, samples of colour follow X. float32 is what readers of this format
expect; it is exact for whole numbers up to 2^24, and `hdf5` keeps every type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.geometry import Floats
from crawler.sinks.base import LayoutSubject
from crawler.sinks.deflate import LEVEL, check_level
from crawler.sinks.provenance import axis_fields, columns, leading_axes, meaning, plain, spacing
from crawler.sinks.volume_base import ArrayFormat, FinishedFile, VolumeFile, VolumeSink
from crawler.sinks.zip_writer import ZipWriter

WANTED = (
    (0.0, 0.0, -1.0),
    (0.0, 1.0, 0.0),
    (1.0, 0.0, 0.0),
)
"""Directions of Z, Y and X in patient LPS: head to foot, front to back, right to left."""

BUDGET = 1 << 26
"""Bytes in memory of the file, and of each block made of it: 64 MB are 64 planes of 512 x 512. All in all, 200 MB were
measured for a volume of 600 MB, whether its planes lie in the file one after another or run through it."""


@dataclass(frozen=True, slots=True)
class NpzOptions:
    """How volumes are compressed: level of ISA-L from 0 to 3.

    2 writes 400 MB/s of CT in float32, checksum included, where zlib's 1 makes 94 MB/s and 8 % more bytes.
    """

    level: int = LEVEL

    def __post_init__(self) -> None:
        check_level(self.level, "npz")


class NpzSink(VolumeSink):
    """Writes one layout into one file, frames in any order."""

    Options: ClassVar[type[Any]] = NpzOptions
    extension: str = ".npz"

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        return ArrayFormat(b"", subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        voxels, leading = volume_file.view(), len(leading_axes(subject))
        arrays = {"axes": np.array(volume_file.axes), "spacing": np.array(spacing(subject))}
        if subject.layout.affine is not None:
            voxels, affine = to_display(voxels, np.array(subject.layout.affine), leading - 1)
            axes = [*volume_file.axes[: leading - 1], "Z", "Y", "X", *volume_file.axes[leading + 2 :]]
            arrays = {"axes": np.array(axes), "spacing": np.linalg.norm(affine[:3, :3], axis=0), "affine": affine}
        told = axis_fields(subject) | columns(subject)
        arrays |= {name: _array(values) for name, values in told.items()}
        arrays |= {"values": np.array(subject.values)} | {
            name: plain(value) for name, value in meaning(subject).items()
        }
        path = self._scratch(self.extension)
        with open(path, "xb") as target:
            archive = ZipWriter(target, self._options.level)
            with archive.member("data.npy") as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": voxels.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for block in _blocks(voxels, leading - 1, volume_file):
                    file.write(block.data)
            for name, array in arrays.items():
                with archive.member(f"{name}.npy") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
            archive.finish()
        return [FinishedFile(path, self.extension, "volume")]


def to_display(voxels: npt.NDArray[Any], affine: Floats, first: int) -> tuple[npt.NDArray[Any], Floats]:
    """Exchange and flip three axes so that they run as close to `WANTED` as they can.

    Parameters
    ----------
    voxels
        Whose axes ``first`` to ``first + 2`` are those of the affine.
    affine
        Shape (4, 4), index to LPS.

    Returns
    -------
    view, affine
        No voxel is copied; the affine is that of the new indices.
    """
    cosines = np.array(WANTED) @ (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[row, axis]) for row, axis in enumerate(axes)))
    matrix = np.eye(4)  # new index -> old index
    matrix[:3, :3] = 0.0
    flips = []
    for new, old in enumerate(order):
        backwards = cosines[new, old] < 0
        matrix[old, new] = -1.0 if backwards else 1.0
        matrix[old, 3] = voxels.shape[first + old] - 1 if backwards else 0
        flips.append(slice(None, None, -1 if backwards else 1))
    axes = [*range(first), *(first + old for old in order), *range(first + 3, voxels.ndim)]
    return voxels.transpose(axes)[(slice(None),) * first + tuple(flips)], affine @ matrix + 0.0  # -0.0 becomes 0.0


def _blocks(voxels: npt.NDArray[Any], first: int, volume_file: VolumeFile) -> Iterator[npt.NDArray[np.float32]]:
    """The voxels in C order, as float32, some planes at a time.

    A plane may run through the whole file, so what is used of it is bounded, too: several planes are taken in one walk
    along the file, and its pages are released on the way.
    """
    used = 0
    for index in np.ndindex(voxels.shape[: max(first, 0)]):
        volume = voxels[index]
        plane = math.prod(volume.shape[1:]) * 4
        step = max(1, BUDGET // max(1, plane))
        for start in range(0, len(volume), step):
            source = volume[start : start + step]
            block = np.empty(source.shape, "<f4")
            axis = int(np.argmax(np.abs(source.strides)))
            stride = max(1, abs(source.strides[axis]))
            length = max(1, BUDGET // stride)
            for place in range(0, source.shape[axis], length):
                part = (*(slice(None),) * axis, slice(place, place + length))
                block[part] = source[part]
                used += stride * len(range(*part[-1].indices(source.shape[axis])))
                if used >= BUDGET:
                    volume_file.release()
                    used = 0
            yield block


def _array(values: list[Any] | str) -> npt.NDArray[Any]:
    """A text, or a list; text that is no valid Unicode gets question marks, as NumPy holds code points."""
    if isinstance(values, str):
        return np.array(values)
    if values and isinstance(values[0], str):
        return np.array([text.encode("utf-8", "replace").decode("utf-8") for text in values])
    return np.array(values)

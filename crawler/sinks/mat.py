"""A layout as a MATLAB 5 file ``.mat``: variable ``A``, with axes, affine, spacing and provenance beside it.

scipy writes it, and to do so takes the volume into memory (twice its size, with the mapped pages that it copies); what
the format cannot hold (2 GB) is refused at once.
Indices of the affine count from 0, as in all formats here: MATLAB's ``A(i,j,k)`` lies at ``affine * [i-1;j-1;k-1;1]``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import FormatLimit
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import AFFINE_CONVENTION, axis_fields, columns, meaning, plain, spacing
from crawler.sinks.volume_base import ArrayFormat, FinishedFile, VolumeFile, VolumeSink

LARGEST = 2**31 - 2**10
"""Bytes of an array that MATLAB reads from a file of version 5, less some for its header ("MAT-File Versions")."""

HEADER = b"MATLAB 5.0 MAT-file, written by dme".ljust(116)
"""Stands in for the text of scipy, which holds the time: equal volumes, equal bytes."""


class MatSink(VolumeSink):
    """Writes one layout into one file, frames in any order."""

    needs: ClassVar[tuple[str, ...]] = ("scipy",)
    extension: str = ".mat"

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        size = math.prod(shape) * subject.dtype.itemsize
        if size > LARGEST:
            raise FormatLimit("too large for this format", f"{size:,} bytes, and a .mat holds 2 GB: use hdf5")
        return ArrayFormat(b"", subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        from scipy.io import savemat  # slow to load: for MATLAB only

        content: dict[str, Any] = {
            "A": volume_file.view(),
            "axes": _cells(volume_file.axes),
            "spacing": np.array(spacing(subject)),
            "values": subject.values,
            **{
                name: values if isinstance(values, str) else _variable(values)
                for name, values in axis_fields(subject).items()
            },
            "meaning": {name: _variable_of(plain(value)) for name, value in meaning(subject).items()},
            "provenance": {name: _variable(values) for name, values in columns(subject).items()},
        }
        if subject.layout.affine is not None:
            content |= {"affine": np.array(subject.layout.affine), "affine_convention": AFFINE_CONVENTION}
        path = self._scratch(self.extension)
        with open(path, "x+b") as file:
            # Not compressed: that would take two more copies in memory.
            # Names of up to 63 letters, as MATLAB has had them since 7.
            savemat(file, content, format="5", do_compression=False, oned_as="row", long_field_names=True)
            file.seek(0)
            file.write(HEADER)
        return [FinishedFile(path, self.extension, "volume")]


def _variable_of(value: npt.NDArray[Any]) -> Any:
    """A field: a text, a cell array of texts, or a row of numbers."""
    if value.dtype.kind == "U":
        return str(value) if value.ndim == 0 else _cells([str(text) for text in value])
    return value


def _variable(values: list[Any]) -> npt.NDArray[Any]:
    """A column of the provenance: texts as a cell array, numbers as a column vector or one row a frame."""
    if values and isinstance(values[0], str):
        return _cells([text.encode("utf-8", "replace").decode("utf-8") for text in values])
    array = np.array(values)
    return array.reshape(len(values), -1)


def _cells(texts: Sequence[str]) -> npt.NDArray[np.object_]:
    cells = np.empty(len(texts), dtype=object)
    cells[:] = texts
    return cells

"""A volume as one value: what a file of ours holds, and what functions of other packages give and get.

Only the type: nothing is read or written here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from crawler.geometry import Floats


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in memory.

    Attributes
    ----------
    array
        Voxels, shape (..., slices, rows, columns[, samples]); in ``.npz`` the axes Z, Y, X of that format.
    axes
        A name an axis of the array, the last "slice", "row", "column" (and "sample" for colour); of formats that keep
        no names, ``axis0`` and so on before the slices. Empty: the last three are taken for slice, row, column.
    affine
        Shape (4, 4): index of slice, row, column (Z, Y, X) -> patient LPS, mm; None where no true one is known.
    metadata
        What is known beside: DICOM keywords with plain values, and of an axis ``axis_NAME`` (its values),
        ``axis_NAME_unit`` and ``axis_NAME_keyword``.
    """

    array: npt.NDArray[Any]
    axes: tuple[str, ...] = ()
    affine: Floats | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

"""Regions of interest: polygons on slices become masks of a series, and masks polygons. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.errors import WriteNotImplemented

Vertex = tuple[float, float]


def polygon_mask(shape: tuple[int, int], vertices: Sequence[Vertex]) -> npt.NDArray[np.bool_]:
    """Pixels whose centres lie inside of a polygon, by the even-odd rule.

    Parameters
    ----------
    shape
        Rows, columns.
    vertices
        (row, column), in order; the last is joined to the first.
    """
    inside = np.zeros(shape, dtype=bool)
    if len(vertices) < 3:
        return inside
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    corners = np.asarray(vertices, dtype=float)
    for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if row == next_row:
            continue
        crossed = (row > rows) != (next_row > rows)
        at = column + (rows - row) * (next_column - column) / (next_row - row)
        inside ^= crossed & (columns < at)
    return inside


def roi_mask(series: Any, polygons: Mapping[int, Sequence[Vertex]]) -> Any:
    """A mask of the slices of a series, uint8, with its place.

    Parameters
    ----------
    polygons
        Slice -> vertices (row, column).

    Raises
    ------
    WriteNotImplemented
        The series has no rows and columns.
    """
    names = series.axes.names
    if "row" not in names or "column" not in names:
        raise WriteNotImplemented("a region needs rows and columns")
    volume = series
    while volume.axes and volume.axes[0].name not in ("slice", "row", "column"):
        volume = volume[0]
    if "sample" in volume.axes.names:
        volume = volume[..., 0]
    mask: Any = np.zeros_like(volume, dtype=np.uint8)
    if volume.axes.names not in (("slice", "row", "column"), ("row", "column")):
        raise WriteNotImplemented("put the axes in the order slice, row, column first")
    planes = mask.values.reshape(-1, *mask.shape[-2:])
    for number, vertices in polygons.items():
        if not 0 <= int(number) < len(planes):
            raise IndexError(f"slice {number} of {len(planes)}")
        planes[int(number)] |= polygon_mask(mask.shape[-2:], vertices).astype(np.uint8)
    return mask


def mask_polygons(mask: Any) -> dict[int, list[Vertex]]:
    """The outline of a mask on each slice, as (row, column); of several parts the longest. Slices without are left out.

    Parameters
    ----------
    mask
        Slices, rows, columns; or a single slice.
    """
    from contourpy import contour_generator  # comes with matplotlib

    values = np.asarray(mask) != 0
    planes = values.reshape(-1, *values.shape[-2:])
    found: dict[int, list[Vertex]] = {}
    for number, plane in enumerate(planes):
        if not plane.any():
            continue
        padded = np.pad(plane.astype(float), 1)
        lines: Any = contour_generator(z=padded).lines(0.5)
        longest = max(lines, key=len)
        found[number] = [(float(row) - 1, float(column) - 1) for column, row in longest[:-1]]
    return found

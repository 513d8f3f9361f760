"""Planes across the slices of a volume: a line of every slice, some slices an answer.

An acquired slice is one chunk of the file, so a plane across them opens them all. That is done in pieces, each within
a budget of time and memory: the browser draws what it has, asks for every 64th slice first and for those between
afterwards, and stops when the plane is no more wanted. Both planes across (along rows, along columns) come of one pass.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.web.chunks import frame
from crawler.web.refusals import Refused
from crawler.web.volumes import Volume, sendable

SECONDS = 0.3  # of one answer: the progress moves, and other requests get their turn
_BYTES = 4 << 20  # of one answer


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of some slices.

    Attributes
    ----------
    rows
        Shape (slices, columns), or (slices, columns, samples); None when no row was asked for.
    columns
        Shape (slices, rows), and so on.
    """

    count: int
    rows: npt.NDArray[Any] | None
    columns: npt.NDArray[Any] | None


def lines(
    volume: Volume, before: list[int], row: int | None, column: int | None, first: int, step: int, *, most: int = 512
) -> Lines:
    """Lines of slices ``first``, ``first + step`` and so on, as many as the budget allows; one at least.

    Parameters
    ----------
    before
        Indices of the axes before the slices.
    row, column
        Which lines of each slice: its row, its column, or both.
    most
        Slices of one answer.

    Raises
    ------
    Refused
        The volume has no such place.
    """
    spatial = len(volume.axes) - (volume.axes[-1] == "sample")
    shape = volume.shape
    places = [*zip(before, shape, strict=False), *zip((first, row, column), shape[spatial - 3 :], strict=False)]
    outside = any(place is not None and not 0 <= place < extent for place, extent in places)
    if spatial < 3 or len(before) != spatial - 3 or outside or step < 1 or (row is None and column is None):
        raise Refused(400, "there is no such plane")
    end = time.monotonic() + SECONDS
    found: tuple[list[Any], list[Any]] = ([], [])
    size = 0
    for number in range(first, shape[spatial - 3], step):
        along_row, along_column = _of_slice(volume, (*before, number), row, column)
        for kept, line in zip(found, (along_row, along_column), strict=True):
            if line is not None:
                kept.append(line)
                size += line.nbytes
        if max(map(len, found)) >= most or size >= _BYTES or time.monotonic() >= end:
            break
    stacked = [sendable(np.stack(kept)) if kept else None for kept in found]
    return Lines(max(map(len, found)), *stacked)


def _of_slice(
    volume: Volume, index: tuple[int, ...], row: int | None, column: int | None
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """The two lines of a slice; a slice in chunks is read once, and other data where the lines are."""
    if getattr(volume.data, "chunks", None) is not None:
        whole = frame(volume.data, index)
        return (
            None if row is None else whole[row].copy(),
            None if column is None else whole[:, column].copy(),
        )
    return (
        None if row is None else np.array(volume.data[(*index, row, slice(None))]),
        None if column is None else np.array(volume.data[(*index, slice(None), column)]),
    )

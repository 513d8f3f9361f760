"""An array as planes in canonical order: (other axes..., slice, row, column[, sample]), whatever order it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.axis import SAMPLE, SPATIAL, Axes, Axis
from crawler.series.description import Description, empty_frames
from crawler.series.errors import NoGeometry, WriteNotImplemented
from crawler.series.grid import Grid

_RIGHT_ANGLE = 1e-3
"""Largest cosine between rows and columns: what direction cosines with three decimals leave."""


@dataclass(frozen=True, eq=False, slots=True)
class PlaneStack:
    r"""Planes of an array.

    Attributes
    ----------
    values
        Shape (\*steps, slices, rows, columns[, samples]).
    steps
        The axes before the slices.
    grid
        With vectors for slice, row and column of these planes; None where there is none.
    frames
        Header of each plane, shape (\*steps, slices); None where nothing is known.
    in_plane
        As of `Description`.
    """

    values: npt.NDArray[Any]
    steps: tuple[Axis, ...]
    grid: Grid | None
    frames: npt.NDArray[Any]
    in_plane: Grid | None = None

    @property
    def colour(self) -> bool:
        """Whether the last axis holds samples."""
        return self.values.ndim == len(self.steps) + 4


def plane_stack(values: npt.NDArray[Any], description: Description) -> PlaneStack:
    """Put an array in canonical order.

    An array without rows or without columns is cut along its two other axes of space.

    Raises
    ------
    WriteNotImplemented
        It has less than two axes of space.
    """
    description = _cut(description)
    names = list(description.axes.names)
    others = [name for name in names if name not in (*SPATIAL, SAMPLE)]
    present = [name for name in (*others, *SPATIAL, SAMPLE) if name in names]
    order = [names.index(name) for name in present]
    values, description = values.transpose(order), description.transposed(order)
    frames = description.frames
    if "slice" not in names:
        values, frames = np.expand_dims(values, len(others)), np.expand_dims(frames, len(others))
    return PlaneStack(values, description.axes[: len(others)], description.grid, frames, description.in_plane)


def require_writable(grid: Grid) -> None:
    """Raise where rows and columns are not at right angles: no format of planes can say so.

    Raises
    ------
    NoGeometry
        Says what to do.
    """
    row, column = grid.vectors["row"], grid.vectors["column"]
    if abs(float(row @ column)) > _RIGHT_ANGLE * float(np.linalg.norm(row) * np.linalg.norm(column)):
        raise NoGeometry("rows and columns are not at right angles: resample the array first (a.resample)")


def _cut(description: Description) -> Description:
    names = description.axes.names
    if "row" in names and "column" in names:
        return description
    spatial = [name for name in SPATIAL if name in names]
    if len(spatial) != 2:
        raise WriteNotImplemented(f"an image needs two axes of space, not {', '.join(names) or 'none'}")
    (gone,) = (name for name in SPATIAL if name not in spatial)
    new = {spatial[0]: "row", spatial[1]: "column", gone: "slice"}
    grid = description.grid
    if grid is not None:
        grid = replace(
            grid,
            vectors={new[name]: vector for name, vector in grid.vectors.items()},
            assumed=frozenset({"slice"}) if grid.placed else frozenset(),
        )
    axes = Axes(axis.renamed(new.get(axis.name, axis.name)) for axis in description.axes)
    leading = [len(axis) for axis in axes if axis.name not in ("row", "column", SAMPLE)]
    headers = [header for header in description.frames.ravel() if header is not None]
    frames = empty_frames(leading)
    if headers and not leading:
        from crawler.series.headers import merged

        frames[()] = merged(headers)
    elif headers:
        for index in np.ndindex(*leading):
            frames[index] = headers[0]
    return replace(description, axes=axes, grid=grid, frames=frames, in_plane=None)


def step_indices(shape: Sequence[int], sort: str) -> list[tuple[int, ...]]:
    """Indices of planes in the order of their files: slices run fastest, or with "tag" slowest."""
    indices = list(np.ndindex(*shape))
    return indices if sort != "tag" else sorted(indices, key=lambda index: (index[-1], *index[:-1]))

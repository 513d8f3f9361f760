"""Axes of space renamed, reversed and put in order, so that they run as others do. No voxel moves in the patient."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from crawler.series.axis import PLANE_AXES, SPATIAL, Axes
from crawler.series.description import Description, empty_frames
from crawler.series.errors import NoGeometry
from crawler.series.grid import Grid
from crawler.series.indexing import select

ALIGNED = 0.99
"""Least cosine of the angle between an axis and the one that it is taken for, 8 degrees: tools that flip or reorder
axes keep their directions."""
LETTERS = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
"""Directions in patient LPS that an index may increase towards."""


def turned(data: Any, own: Description, like: Grid, least: float = 0.0) -> tuple[Any, Description]:
    """An array whose slice, row and column run as those of a grid, each along its nearest one.

    Parameters
    ----------
    data
        Indexed and transposed only.
    least
        Cosine below which an axis is not taken for another, and the array is left as it is.
    """
    assert own.grid is not None
    mine = np.stack([_unit(own.grid.vectors[name]) for name in SPATIAL])
    theirs = np.stack([_unit(like.vectors[name]) for name in SPATIAL])
    cosines = mine @ theirs.T
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[number, p[number]]) for number in range(3)))
    if min(abs(cosines[number, order[number]]) for number in range(3)) < least:
        return data, own
    matched = {name: SPATIAL[order[number]] for number, name in enumerate(SPATIAL)}
    signs = {name: float(np.sign(cosines[number, order[number]]) or 1.0) for number, name in enumerate(SPATIAL)}
    key = tuple(
        slice(None, None, -1) if signs.get(axis.name, 1) < 0 and len(axis) > 1 else slice(None) for axis in own.axes
    )
    selection = select(key, own.shape)
    assert selection is not None
    data, description = data[selection.key], own.indexed(selection)
    assert description.grid is not None
    vectors = {
        matched[name]: -vector if signs[name] < 0 and own.sizes.get(name, 1) == 1 else vector
        for name, vector in description.grid.vectors.items()
    }
    axes = [axis.renamed(matched.get(axis.name, axis.name)) for axis in description.axes]
    in_plane = description.in_plane if all(name == other for name, other in matched.items()) else None
    grid = replace(description.grid, vectors=vectors)
    description = replace(description, axes=Axes(axes), grid=grid, in_plane=in_plane)
    return _in_order(data, description, all(name == other for name, other in matched.items()))


def canonical_grid(code: str) -> Grid:
    """A grid whose column, row and slice increase towards three letters, as ``"RAS"``.

    Raises
    ------
    NoGeometry
        They are no three directions of a patient.
    """
    letters = code.upper()
    if len(letters) != 3 or any(letter not in LETTERS for letter in letters):
        raise NoGeometry(f"{code!r} is no orientation: three of R L, A P, S I, as RAS or LPS")
    vectors = {
        name: np.array(LETTERS[letter], dtype=float) for name, letter in zip(SPATIAL[::-1], letters, strict=True)
    }
    grid = Grid.of(np.block([[np.stack([vectors[name] for name in SPATIAL], 1), np.zeros((3, 1))], [0, 0, 0, 1.0]]))
    if grid is None:
        raise NoGeometry(f"{code!r} is no orientation: three of R L, A P, S I, as RAS or LPS")
    return grid


def _in_order(data: Any, description: Description, same_frames: bool) -> tuple[Any, Description]:
    """Axes of space in canonical order, where they stand; headers of frames go where planes are others now."""
    axes = description.axes
    spatial = [number for number, axis in enumerate(axes) if axis.name in SPATIAL]
    sorted_places = sorted(spatial, key=lambda number: SPATIAL.index(axes[number].name))
    order = list(range(len(axes)))
    for place, number in zip(spatial, sorted_places, strict=True):
        order[place] = number
    names = [axes[number].name for number in order]
    if order != list(range(len(axes))):
        data = np.asarray(data.read() if hasattr(data, "read") else data).transpose(order)
    if same_frames:
        return data, description.transposed(order)
    counts = [data.shape[place] for place, name in enumerate(names) if name not in PLANE_AXES]
    return data, replace(description, axes=Axes(axes[number] for number in order), frames=empty_frames(counts))


def _unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)

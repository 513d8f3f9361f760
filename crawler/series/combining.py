"""Several arrays in one operation: whose axes and place the result has, and whether they lie at one place at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.series.description import Description
from crawler.series.grid import joined_reference
from crawler.series.state import State


def common(inputs: Sequence[Any]) -> Description | None:
    """The description of what several arrays give together: that of the largest, which the others fit into.

    Raises
    ------
    GeometryMismatch
        They lie at different places.
    """
    arrays = [one._description for one in inputs if isinstance(one, State)]
    shapes = [np.shape(one._data if isinstance(one, State) else one) for one in inputs if one is not None]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None  # numpy says so itself
    whole = [one for one in arrays if one.shape == shape]
    if not whole:
        return None
    first = next((one for one in whole if one.is_placed), whole[0])
    for other in arrays:
        names = other.axes.names
        if names == first.axes.names[len(first.axes) - len(names) :] or set(names) <= set(first.axes.names):
            first.require_same_place(other)
    grids = [one.grid for one in arrays if one.grid is not None and one.grid.placed]
    if first.grid is not None and len(grids) > 1:
        first = replace(first, grid=replace(first.grid, frame_of_reference=joined_reference(grids)))
    return first

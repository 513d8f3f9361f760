"""Arrays on other grids: resampled, matched by cropping and padding, or turned to canonical axes.

Values are interpolated in float64, volume by volume, with memory for one; integers are rounded into their type. What
lies outside of the source is filled, never extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.axis import SAMPLE, SPATIAL, Axis
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import GeometryMismatch, NoGeometry
from crawler.series.grid import Grid
from crawler.series.headers import merged
from crawler.series.indexing import select
from crawler.series.planes import plane_stack
from crawler.series.turning import canonical_grid, turned

Array = npt.NDArray[Any]
ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
_WHOLE = 1e-2
"""Share of a voxel by which grids may be off that are matched without interpolation."""


def resample(
    values: Array, description: Description, grid: Grid, sizes: Mapping[str, int], how: str = "linear", fill: float = 0
) -> tuple[Array, Description]:
    """Interpolate an array at the voxels of a grid.

    Parameters
    ----------
    sizes
        Lengths of slice, row and column; 1 where not given.
    how
        "nearest", "linear" or "cubic".
    fill
        Value of voxels that lie outside of the source by more than half a voxel.

    Raises
    ------
    NoGeometry
        The array has no place in a patient.
    """
    from scipy.ndimage import map_coordinates  # slow to load

    if not description.is_placed or description.grid is None:
        raise NoGeometry("only an array with a place in the patient is resampled")
    if how not in ORDERS:
        raise ValueError(f"interpolation is one of {', '.join(ORDERS)}")
    stack = plane_stack(values, description)
    assert stack.grid is not None
    shape = tuple(sizes.get(name, 1) for name in SPATIAL)
    source = stack.values.shape[len(stack.steps) : len(stack.steps) + 3]
    others = (*stack.values.shape[: len(stack.steps)], *stack.values.shape[len(stack.steps) + 3 :])
    colour = stack.values.ndim > len(stack.steps) + 3
    to_source = np.linalg.inv(stack.grid.matrix) @ grid.matrix
    result = np.empty((*stack.values.shape[: len(stack.steps)], *shape, *stack.values.shape[len(stack.steps) + 3 :]),
                      dtype=values.dtype)  # fmt: skip
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    limits = np.array(source)[:, None, None] - 0.5
    for number in range(shape[0]):
        points = np.einsum("ij,jrc->irc", to_source[:3, :3], np.stack([np.full(rows.shape, number), rows, columns]))
        points += to_source[:3, 3][:, None, None]
        outside = ((points < -0.5 - 1e-6) | (points > limits + 1e-6)).any(axis=0)
        # At the edge a voxel reaches half a voxel out: there the nearest centre counts.
        held = np.clip(points, 0, np.array(source)[:, None, None] - 1)
        for index in np.ndindex(others):
            step, sample = index[: len(stack.steps)], index[len(stack.steps) :]
            volume = stack.values[(*step, ..., *sample)]
            plane = map_coordinates(volume.astype(np.float64), held, order=ORDERS[how], mode="nearest")
            plane[outside] = fill
            result[(*step, number, slice(None), slice(None), *sample)] = _into(plane, values.dtype)
    axes = [*stack.steps, *[Axis(name, np.arange(count)) for name, count in zip(SPATIAL, shape, strict=True)]]
    if colour:
        axes.append(Axis(SAMPLE, np.arange(result.shape[-1])))
    grid = replace(grid, frame_of_reference=grid.frame_of_reference or stack.grid.frame_of_reference, placed=True)
    frames = _frames(stack.frames, stack.grid, grid, shape[0])
    for index in np.ndindex(frames.shape):
        if frames[index] is not None:
            frames[index] = frames[index].without("SliceLocation")
    meta = description.meta.derived(f"resampled ({how})")
    return result, Description(with_grid(axes, grid), grid, frames, meta)


def spaced_grid(grid: Grid, sizes: Mapping[str, int], spacing: Sequence[float]) -> tuple[Grid, dict[str, int]]:
    """A grid of another spacing over the same extent, edge to edge."""
    new, counts = grid, {}
    for name, wanted, old in zip(SPATIAL, spacing, grid.spacing, strict=True):
        if not wanted > 0:
            raise ValueError("a spacing is three positive numbers (mm)")
        count = sizes.get(name, 1)
        counts[name] = max(round(float(count * old / wanted)), 1)
        factor = wanted / old
        first = grid.vectors[name] * (factor - 1) / 2 + grid.vectors[name] * (count - counts[name] * factor) / 2
        new = replace(new.with_vector(name, grid.vectors[name] * factor), origin=new.origin + first)
    return new, counts


def match(values: Any, own: Description, other: Description) -> tuple[Any, Description]:
    """Turn, crop and pad an array to the grid of another, without interpolation.

    Raises
    ------
    GeometryMismatch
        The grids are not parts of one: resample instead.
    """
    if own.grid is None or other.grid is None or not (own.is_placed and other.is_placed):
        raise NoGeometry("arrays without a place in the patient are not matched")
    values, own = turned(values, own, other.grid)
    assert own.grid is not None
    for name in SPATIAL:
        apart = np.linalg.norm(own.grid.vectors[name] - other.grid.vectors[name])
        if apart * max(other.sizes.get(name, 1), own.sizes.get(name, 1)) > 0.1 * other.grid.spacing.min():
            if own.sizes.get(name, 1) == 1 and other.sizes.get(name, 1) == 1:
                continue
            raise GeometryMismatch(f"voxels differ along {name}: resample one like the other (a.resample(like=b))")
    first = other.grid.origin - own.grid.origin
    offsets = np.linalg.solve(own.grid.matrix[:3, :3], first)
    if np.abs(offsets - np.rint(offsets)).max() > _WHOLE:
        raise GeometryMismatch("the grids lie between each other: resample one like the other (a.resample(like=b))")
    starts = dict(zip(SPATIAL, np.rint(offsets).astype(int).tolist(), strict=True))
    key, widths = [], []
    for axis in own.axes:
        if axis.name not in SPATIAL:
            key.append(slice(None))
            widths.append((0, 0))
            continue
        start, stop = starts[axis.name], starts[axis.name] + other.sizes.get(axis.name, 1)
        low, high = min(max(start, 0), len(axis)), max(min(stop, len(axis)), 0)
        if low >= high:
            raise GeometryMismatch(f"the arrays share no {axis.name}")
        key.append(slice(low, high))
        widths.append((low - start, stop - high))
    selection = select(tuple(key), own.shape)
    assert selection is not None
    array = np.pad(np.asarray(values)[selection.key], widths)
    return array, own.indexed(selection).padded(widths)


def canonical(values: Any, own: Description, code: str = "RAS") -> tuple[Any, Description]:
    """Turn an array so that column, row and slice increase towards three directions, each along its nearest axis."""
    if not own.is_placed:
        raise NoGeometry("an array without a place in the patient has no canonical axes")
    return turned(values, own, canonical_grid(code))


def _into(plane: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(plane), limits.min, limits.max).astype(dtype)
    return (plane >= 0.5).astype(dtype) if dtype.kind == "b" else plane.astype(dtype)


def _frames(frames: Any, source: Grid, grid: Grid, count: int) -> Any:
    """For each slice the header of the nearest one of the source, if the slices are parallel."""
    new = empty_frames((*frames.shape[:-1], count))
    if abs(float(source.normal @ grid.normal)) < 0.999 or not frames.size:
        first = merged([header for header in frames.ravel() if header is not None])
        new[...] = first
        return new
    places = np.array([grid.position(slice=number) for number in range(count)])
    nearest = np.clip(np.rint(source.indices_of(places)[:, 0]), 0, frames.shape[-1] - 1).astype(int)
    new[...] = frames[..., nearest]
    return new

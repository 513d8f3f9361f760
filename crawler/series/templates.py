"""Headers and places that come from another series: the way back from NIfTI, NPZ and bare arrays to DICOM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crawler.series.axis import PLANE_AXES, SPATIAL, Axes
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import GeometryMismatch
from crawler.series.grid import Grid
from crawler.series.headers import FrameHeader, merged
from crawler.series.indexing import select

_ALIGNED = 0.99
"""Least cosine of the angle between an axis and that of the template that it is taken for: 8 degrees. Tools that flip
or reorder axes keep their directions."""


def with_template(data: Any, own: Description, template: Description) -> tuple[Any, Description]:
    """An array with the headers of a template.

    Axes of the array that run along others of the template, or against them, are turned as the template has them, so
    that images lie in files as they did; no voxel moves in the patient.

    Returns
    -------
    array, description
        `data` is indexed and transposed only.
    """
    if own.is_placed and template.grid is not None and template.grid.placed:
        data, own = _turned(data, own, template.grid)
    meta = replace(
        own.meta,
        template=template.meta.template or own.meta.template,
        changes={**template.meta.changes, **own.meta.changes},
        series_uid=own.meta.series_uid or template.meta.derived("").series_uid,
    )
    own = replace(own, axes=_named_like(own, template), meta=meta)
    grid = own.grid
    if template.is_placed and (grid is None or not grid.placed) and _same_sizes(own, template):
        grid = template.grid
    elif grid is not None and template.grid is not None and template.is_placed and grid.placed:
        if not grid.frame_of_reference:
            grid = replace(grid, frame_of_reference=template.grid.frame_of_reference)
        if _same_sizes(own, template) and grid.agrees(template.grid, own.sizes):
            grid = replace(template.grid)  # formats keep float32: the template's own numbers
    return data, replace(own, axes=with_grid(own.axes, grid), grid=grid, frames=_frames(own, template, grid))


def with_geometry(own: Description, source: Description) -> Description:
    """An array that lies where another does.

    Raises
    ------
    GeometryMismatch
        They have different numbers of slices, rows or columns, or the other has no place.
    """
    if source.grid is None:
        raise GeometryMismatch("the array that geometry is taken from has none itself")
    if not _same_sizes(own, source):
        raise GeometryMismatch(f"the geometry is that of {_sizes_text(source)}, the array has {_sizes_text(own)}")
    return replace(own, axes=with_grid(own.axes, source.grid), grid=source.grid)


def _sizes_text(of: Description) -> str:
    return " x ".join(f"{of.sizes.get(name, 1)} {name}s" for name in SPATIAL)


def _same_sizes(own: Description, other: Description) -> bool:
    return all(own.sizes.get(name, 1) == other.sizes.get(name, 1) for name in SPATIAL)


def _turned(data: Any, own: Description, grid: Grid) -> tuple[Any, Description]:
    """Spatial axes renamed, flipped and put in order as a grid has them; left alone where they are oblique to it."""
    assert own.grid is not None
    unit = {name: vector / np.linalg.norm(vector) for name, vector in grid.vectors.items()}
    matched: dict[str, str] = {}
    signs: dict[str, float] = {}
    for name, vector in own.grid.vectors.items():
        cosines = {other: float(vector / np.linalg.norm(vector) @ direction) for other, direction in unit.items()}
        best = max(cosines, key=lambda other: abs(cosines[other]))
        if abs(cosines[best]) < _ALIGNED or best in matched.values():
            return data, own
        matched[name], signs[name] = best, np.sign(cosines[best])
    key = tuple(
        slice(None, None, -1) if signs.get(axis.name, 1) < 0 and len(axis) > 1 else slice(None) for axis in own.axes
    )
    selection = select(key, own.shape)
    assert selection is not None
    turned = own.indexed(selection)
    assert turned.grid is not None
    vectors = {
        matched[name]: -vector if signs[name] < 0 and own.sizes.get(name, 1) == 1 else vector
        for name, vector in turned.grid.vectors.items()
    }
    axes = [axis.renamed(matched.get(axis.name, axis.name)) for axis in turned.axes]
    turned = replace(turned, axes=Axes(axes), grid=replace(turned.grid, vectors=vectors))
    data = data[selection.key]
    spatial = [number for number, axis in enumerate(axes) if axis.name in SPATIAL]
    in_order = sorted(spatial, key=lambda number: SPATIAL.index(axes[number].name))
    order = list(range(len(axes)))
    for place, number in zip(spatial, in_order, strict=True):
        order[place] = number
    if order == list(range(len(axes))):
        return data, turned
    array = np.asarray(data.read() if hasattr(data, "read") else data).transpose(order)
    if all(axis.name in SPATIAL or axis.name == axes[number].name for number, axis in enumerate(own.axes)):
        counted = [n for n, o in enumerate(order) if axes[o].name not in PLANE_AXES]
        frames = empty_frames([array.shape[n] for n in counted])
        turned = replace(turned, axes=Axes(axes[number] for number in order), frames=frames)
    return array, turned


def _named_like(own: Description, template: Description) -> Axes:
    """Axes before the slices with the names and values of the template's, where they are as long."""
    mine = [number for number in own.leading if own.axes[number].name != "slice"]
    theirs = [template.axes[number] for number in template.leading if template.axes[number].name != "slice"]
    axes = list(own.axes)
    for number, axis in zip(mine, theirs, strict=False):
        unnamed = axes[number].name.startswith("axis") or axes[number].name == axis.name
        if len(mine) == len(theirs) and len(axes[number]) == len(axis) and unnamed:
            axes[number] = axis
    return Axes(axes)


def _frames(own: Description, template: Description, grid: Grid | None) -> Any:
    """A header of the template for each frame: of the same step and place, or of the nearest slice."""
    shape = [len(own.axes[number]) for number in own.leading]
    if own.frames.size and any(header is not None for header in own.frames.ravel()):
        return own.frames
    theirs = template.frames
    if not theirs.size or all(header is None for header in theirs.ravel()):
        return own.frames
    names = [template.axes[number].name for number in template.leading]
    theirs = np.moveaxis(theirs, names.index("slice"), -1) if "slice" in names else theirs[..., None]
    mine = [own.axes[number].name for number in own.leading]
    lengths = [len(own.axes[number]) for number in own.leading if own.axes[number].name != "slice"]
    if list(theirs.shape[:-1]) != lengths:
        flat = theirs.reshape(-1, theirs.shape[-1])
        joint = empty_frames(theirs.shape[-1:])
        for number in range(theirs.shape[-1]):
            joint[number] = merged(list(flat[:, number]))
        theirs = np.broadcast_to(joint, (*lengths, theirs.shape[-1]))
    chosen = _nearest_slices(own, template, grid, theirs.shape[-1])
    picked = theirs[..., chosen]
    if "slice" in mine:
        picked = np.moveaxis(picked, -1, mine.index("slice"))
    else:
        picked = picked[..., 0]
        picked = picked if isinstance(picked, np.ndarray) else _single(picked)
    frames = empty_frames(shape)
    frames[...] = picked
    return frames


def _single(header: FrameHeader | None) -> Any:
    single = empty_frames(())
    single[()] = header
    return single


def _nearest_slices(own: Description, template: Description, grid: Grid | None, count: int) -> list[int]:
    """For each slice the number of the template's slice whose header it gets."""
    wanted = own.sizes.get("slice", 1)
    if grid is None or not grid.placed or template.grid is None or not template.grid.placed:
        return [min(number, count - 1) for number in range(wanted)]
    places = np.array([grid.position(slice=number) for number in range(wanted)])
    indices = template.grid.indices_of(places)[:, 0]
    return [int(number) for number in np.clip(np.rint(indices), 0, count - 1)]

"""Headers and places that come from another series: the way back from NIfTI, NPZ and bare arrays to DICOM."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.series.axis import PLANE_AXES, SPATIAL, Axes
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import GeometryMismatch
from crawler.series.grid import Grid
from crawler.series.headers import FrameHeader, merged
from crawler.series.turning import ALIGNED, turned

log = logging.getLogger("dme")


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
        data, own = turned(data, own, template.grid, ALIGNED)
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
    frames = _frames(own, template, grid)
    return data, replace(own, axes=with_grid(own.axes, grid), grid=grid, frames=frames, in_plane=None)


def with_geometry(own: Description, source: Description) -> Description:
    """An array that lies where another does, both from slice 0 on.

    An array of more or fewer slices gets a note: whether its first slice is that of the other, nothing here can tell.

    Raises
    ------
    GeometryMismatch
        They have different numbers of rows or columns, or the other has no place.
    """
    if source.grid is None:
        raise GeometryMismatch("the array that geometry is taken from has none itself")
    if not _same_sizes(own, source, SPATIAL[1:]):
        raise GeometryMismatch(
            f"the geometry is that of {_sizes_text(source)}, the array has {_sizes_text(own)}: index the other as the "
            "array was cut from it (geometry=a[..., 10:138, 4:132], or a[..., ::2, ::2]), or give its own affine"
        )
    count, others = own.sizes.get("slice", 1), source.sizes.get("slice", 1)
    if count != others:
        note = f"the geometry is that of {others} slices, and taken for {count} from slice 0 on"
        log.warning("%s", note)
        own = replace(own, meta=replace(own.meta, notes=(*own.meta.notes, note)))
    return replace(own, axes=with_grid(_named_like(own, source), source.grid), grid=source.grid, in_plane=None)


def _sizes_text(of: Description) -> str:
    return " x ".join(f"{of.sizes.get(name, 1)} {name}s" for name in SPATIAL)


def _same_sizes(own: Description, other: Description, names: Sequence[str] = SPATIAL) -> bool:
    return all(own.sizes.get(name, 1) == other.sizes.get(name, 1) for name in names)


def _named_like(own: Description, template: Description) -> Axes:
    """Axes before the slices with the names and values of the template's.

    Of one that is shorter the first values, of a longer one also those that follow evenly.
    """
    mine = [number for number in own.leading if own.axes[number].name != "slice"]
    theirs = [template.axes[number] for number in template.leading if template.axes[number].name != "slice"]
    axes = list(own.axes)
    for number, axis in zip(mine, theirs, strict=False):
        unnamed = axes[number].name.startswith(("axis", "none")) or axes[number].name == axis.name
        if len(mine) == len(theirs) and unnamed:
            if len(axes[number]) != len(axis):
                log.warning("axis %s of %d steps has values of one of %d", axis.name, len(axes[number]), len(axis))
            axes[number] = axis if len(axes[number]) == len(axis) else axis.copy(n=len(axes[number]))
    return Axes(axes)


def _frames(own: Description, template: Description, grid: Grid | None) -> Any:
    """A header of the template for each frame: of the same step and place, or of the nearest slice."""
    shape = [len(own.axes[number]) for number in own.leading]
    theirs = template.frames
    if not theirs.size or all(header is None for header in theirs.ravel()):
        return _with_records(own.frames, None)
    names = [template.axes[number].name for number in template.leading]
    theirs = np.moveaxis(theirs, names.index("slice"), -1) if "slice" in names else theirs[..., None]
    mine = [own.axes[number].name for number in own.leading]
    lengths = [len(own.axes[number]) for number in own.leading if own.axes[number].name != "slice"]
    if _are_first_steps(own, template):  # of the first steps the headers, beside their values
        theirs = theirs[tuple(slice(length) for length in lengths)]
    elif list(theirs.shape[:-1]) != lengths:
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
    return _with_records(own.frames, frames)


def _are_first_steps(own: Description, template: Description) -> bool:
    """Whether the axes before the slices are the template's, or begin as they do and are shorter."""
    mine, theirs = ([axis for axis in one.axes if axis.name not in (*PLANE_AXES, "slice")] for one in (own, template))
    return len(mine) == len(theirs) and all(
        len(one) <= len(other) and one == other[: len(one)] for one, other in zip(mine, theirs, strict=True)
    )


def _with_records(own: Any, theirs: Any) -> Any:
    """Headers of a template for frames; of frames that were read their places and sources stay."""
    frames = own.copy() if theirs is None else theirs
    for index in np.ndindex(own.shape):
        mine: Any = own[index]
        if mine is not None:
            other: Any = None if theirs is None else theirs[index]
            frames[index] = replace(mine, record={} if other is None else other.record, origin=None)
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

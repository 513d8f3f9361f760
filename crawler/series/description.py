"""What an array is beside its voxels: axes, grid, headers of its frames, metadata.

Frozen; what is done to the array is done here to all of them at once.

Everything here is pure: no voxel is read, no file opened. What cannot be followed has no grid afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.axis import PLANE_AXES, SPATIAL, Axes, Axis, UniformLengthAxis
from crawler.series.errors import GeometryMismatch
from crawler.series.grid import Grid, joined_reference
from crawler.series.headers import FrameHeader, Meta, merged
from crawler.series.indexing import Selection

Frames = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Description:
    """Of an array.

    Attributes
    ----------
    axes
        One a dimension.
    grid
        Where the voxels lie; None where that cannot be told.
    frames
        `FrameHeader` or None, along the axes that are not of `PLANE_AXES`, in their order.
    meta
        What is common to all frames.
    in_plane
        Where row 0 and column 0 lie from the position that a frame's own header gives, and the steps along both: what
        says where planes lie that share no grid. None where headers do not say it, or not any more.
    """

    axes: Axes
    grid: Grid | None = None
    frames: Frames = field(default_factory=lambda: empty_frames(()))
    meta: Meta = field(default_factory=Meta)
    in_plane: Grid | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(map(len, self.axes))

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of each axis, by name."""
        return {axis.name: len(axis) for axis in self.axes}

    @property
    def leading(self) -> tuple[int, ...]:
        """Positions of the axes that count frames."""
        return tuple(number for number, axis in enumerate(self.axes) if axis.name not in PLANE_AXES)

    def indexed(self, selection: Selection) -> Description:
        """After an index."""
        grid, in_plane, frames = self.grid, self.in_plane, self.frames
        for axis, steps in zip(self.axes, selection.steps, strict=True):
            grid = _indexed(grid, axis.name, steps)
            in_plane = in_plane if axis.name == "slice" else _indexed(in_plane, axis.name, steps)
        leading = self.leading
        for place in reversed(range(len(leading))):
            frames = _taken(frames, selection.steps[leading[place]], place)
        kept = [number for number in leading if not isinstance(selection.steps[number], int)]
        wanted = [axis for axis in selection.order if axis is not None and axis in kept]
        frames = frames.transpose([kept.index(axis) for axis in wanted])
        axes: list[Axis] = []
        for source in selection.order:
            if source is None:
                axes.append(Axis(_new_name([*self.axes.names, *(axis.name for axis in axes)]), [None]))
                before = sum(axis.name not in PLANE_AXES for axis in axes[:-1])
                frames = np.expand_dims(frames, before)
            else:
                steps = selection.steps[source]
                assert not isinstance(steps, int)
                axes.append(self.axes[source].taken(steps))
        return replace(self, axes=Axes(axes), grid=grid, frames=frames, in_plane=in_plane)

    def transposed(self, order: Sequence[int]) -> Description:
        """With the axes in another order: voxels stay where they are."""
        leading = self.leading
        wanted = [leading.index(axis) for axis in order if axis in leading]
        return replace(self, axes=Axes(self.axes[axis] for axis in order), frames=self.frames.transpose(wanted))

    def reduced(self, axes: Iterable[int], keep: bool = False, how: str = "") -> Description:
        """With the steps of some axes made one each.

        Of a projection along slices, rows or columns nothing is left that would say where its values lie.
        """
        gone = sorted(set(axes))
        frames, leading = self.frames, self.leading
        for place in reversed(range(len(leading))):
            if leading[place] in gone:
                frames = _merged_along(frames, place, keep)
        spatial = any(self.axes[axis].name in SPATIAL and len(self.axes[axis]) > 1 for axis in gone)
        left = [
            Axis(axis.name, [None if axis.name not in SPATIAL else 0.0], axis.unit, axis.keyword)
            if number in gone
            else axis
            for number, axis in enumerate(self.axes)
            if keep or number not in gone
        ]
        meta = self.meta.derived(how) if how else self.meta
        grid, in_plane = (None, None) if spatial else (self.grid, self.in_plane)
        return replace(self, axes=Axes(left), grid=grid, frames=frames, meta=meta, in_plane=in_plane)

    def padded(self, widths: Sequence[tuple[int, int]]) -> Description:
        """With steps before and behind those that are there; the grid goes on evenly."""
        grid, axes, frames, leading = self.grid, list(self.axes), self.frames, self.leading
        in_plane = self.in_plane
        for number, (before, behind) in enumerate(widths):
            axis = axes[number]
            if not before and not behind:
                continue
            steps = np.concatenate([np.full(before, -1), np.arange(len(axis)), np.full(behind, -1)])
            if axis.name in SPATIAL:
                axes[number] = spaced(axis.name, len(steps), axis)
                grid = grid.moved(axis.name, -before) if grid is not None else None
                if in_plane is not None and axis.name != "slice":
                    in_plane = in_plane.moved(axis.name, -before)
            else:
                axes[number] = axis.taken(steps)
            if number in leading:
                frames = _padded(frames, steps, leading.index(number))
        return replace(self, axes=Axes(axes), grid=grid, frames=frames, in_plane=in_plane)

    def without_grid(self) -> Description:
        """The same, but that nothing says where the voxels lie."""
        return replace(self, grid=None, in_plane=None)

    def require_same_place(self, other: Description) -> None:
        """Raise where both have a place in the patient, and not the same.

        Raises
        ------
        GeometryMismatch
            Says how far they lie apart.
        """
        if not self.is_placed or not other.is_placed or self.grid is None or other.grid is None:
            return
        sizes = {name: min(self.sizes.get(name, 1), other.sizes.get(name, 1)) for name in SPATIAL}
        if not self.grid.agrees(other.grid, sizes):
            apart = self.grid.differs(other.grid, sizes)
            raise GeometryMismatch(
                f"the arrays lie up to {apart:.3g} mm apart: resample one like the other (a.resample(like=b)), "
                "or compute with numpy arrays (numpy.asarray)"
            )

    @property
    def is_placed(self) -> bool:
        """Whether voxels have a place in the patient, and not only indices."""
        return self.grid is not None and self.grid.placed


def spaced(name: str, count: int, like: Axis | None = None) -> Axis:
    """An axis of distances from 0 in steps as another one has them."""
    step = like.step if like is not None else 1.0
    return UniformLengthAxis(name, 0, count, step, like.unit if like is not None else "")


def with_grid(axes: Sequence[Axis], grid: Grid | None) -> Axes:
    """Axes whose spatial ones count mm from 0 as the grid has them."""
    if grid is None or not grid.placed:
        return Axes(axes)
    spacing = dict(zip(SPATIAL, grid.spacing.tolist(), strict=True))
    return Axes(
        UniformLengthAxis(axis.name, 0, len(axis), spacing[axis.name], "mm") if axis.name in SPATIAL else axis
        for axis in axes
    )


def joined(parts: Sequence[Description], axis: int) -> Description:
    """Arrays one after the other along an axis, whose other axes agree.

    Raises
    ------
    GeometryMismatch
        They are further steps of one place, and lie at several.
    """
    first = parts[0]
    name = first.axes[axis].name
    frames = first.frames
    if axis in first.leading:
        frames = np.concatenate([part.frames for part in parts], axis=first.leading.index(axis))
    grids = [part.grid for part in parts]
    grid = first.grid
    if name in SPATIAL:
        behind = 0
        for part, own in zip(parts, grids, strict=True):
            if (
                grid is None
                or own is None
                or own.placed != grid.placed
                or (own.placed and not grid.moved(name, behind).agrees(own, part.sizes))
            ):
                grid = None
            behind += len(part.axes[axis])
        joint = spaced(name, behind, first.axes[axis])
    else:
        for part in parts[1:]:
            first.require_same_place(part)
        if any(own is None for own in grids):
            grid = None
        joint = first.axes[axis]
        for part in parts[1:]:
            joint = joint.append(part.axes[axis])
    if grid is not None:
        grid = replace(grid, frame_of_reference=joined_reference([own for own in grids if own is not None]))
    axes = Axes(joint if number == axis else one for number, one in enumerate(first.axes))
    in_plane = None if name in PLANE_AXES else _shared_in_plane(parts)
    return replace(first, axes=axes, grid=grid, frames=frames, meta=first.meta.derived(""), in_plane=in_plane)


def stacked(parts: Sequence[Description], position: int) -> Description:
    """Arrays along a new axis: of slices where that is what they are, else one that counts them."""
    first = parts[0]
    frames = empty_frames((len(parts), *first.frames.shape))
    for number, part in enumerate(parts):
        frames[number] = part.frames if part.frames.ndim else part.frames[()]
    place = sum(axis.name not in PLANE_AXES for axis in first.axes[:position])
    frames = np.moveaxis(frames, 0, place)
    grid, name = _stacked_grid(parts), _new_name(first.axes.names)
    if "slice" not in first.axes.names and grid is not None:
        name = "slice"
        axis = spaced(name, len(parts)) if not grid.placed else with_grid([spaced(name, len(parts))], grid)[0]
    else:
        axis = Axis(name, np.arange(len(parts)))
        placed = [part for part in parts if part.is_placed]
        same = all(_same_place(placed[0], part) for part in placed[1:])
        grid = first.grid if same and all(part.grid is not None for part in parts) else None
    axes = [*first.axes]
    axes.insert(position, axis)
    in_plane = _shared_in_plane(parts)
    return replace(first, axes=Axes(axes), grid=grid, frames=frames, meta=first.meta.derived(""), in_plane=in_plane)


def _shared_in_plane(parts: Sequence[Description]) -> Grid | None:
    """What all parts say of rows and columns; None where they do not say the same."""
    first = parts[0].in_plane
    if first is None or any(part.in_plane is None or not first.agrees(part.in_plane, part.sizes) for part in parts):
        return None
    return first


def _indexed(grid: Grid | None, name: str, steps: Any) -> Grid | None:
    """A grid after an index along one axis."""
    if grid is None or name not in SPATIAL:
        return grid
    return grid.moved(name, steps) if isinstance(steps, int) else grid.taken(name, steps)


def _stacked_grid(parts: Sequence[Description]) -> Grid | None:
    """The grid of single planes, as a stack of slices; None where they are no even line."""
    grids = [part.grid for part in parts if part.grid is not None]
    if len(grids) != len(parts) or not all(grid.placed for grid in grids):
        return None
    first, sizes = grids[0], parts[0].sizes
    if len(grids) == 1:
        return first
    step = (grids[-1].origin - first.origin) / (len(grids) - 1)
    if abs(float(step @ first.normal)) < 1e-6:
        return None
    grid = first.with_vector("slice", step)
    shown = {**sizes, "slice": 1}
    if all(grid.moved("slice", number).agrees(own, shown) for number, own in enumerate(grids)):
        return replace(grid, frame_of_reference=joined_reference(grids))
    return None


def _same_place(one: Description, other: Description) -> bool:
    try:
        one.require_same_place(other)
    except GeometryMismatch:
        return False
    return True


def empty_frames(shape: Sequence[int]) -> Frames:
    """Headers of nothing."""
    return np.full(tuple(shape), None, dtype=object)


def _new_name(names: Sequence[str]) -> str:
    number = 0
    while f"axis{number}" in names:
        number += 1
    return f"axis{number}"


def _taken(frames: Frames, steps: Any, place: int) -> Frames:
    if isinstance(steps, int):
        index: tuple[Any, ...] = (slice(None),) * place + (steps,)
        found = frames[index]
        if isinstance(found, np.ndarray):
            return found
        alone = empty_frames(())
        alone[()] = found
        return alone
    return np.asarray(frames.take(steps, axis=place), dtype=object)


def _padded(frames: Frames, steps: npt.NDArray[np.intp], place: int) -> Frames:
    shape = [*frames.shape]
    shape[place] = len(steps)
    padded = empty_frames(shape)
    at = (slice(None),) * place
    index: Any = (*at, np.flatnonzero(steps >= 0))
    padded[index] = frames
    return padded


def _merged_along(frames: Frames, place: int, keep: bool) -> Frames:
    moved = np.moveaxis(frames, place, 0)
    result = empty_frames(moved.shape[1:])
    for index in np.ndindex(result.shape):
        headers: list[FrameHeader | None] = list(moved[(slice(None), *index)])
        result[index] = merged(headers)
    return np.expand_dims(result, place) if keep else result

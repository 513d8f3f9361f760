"""The axes before the slices, as attributes to read and to set: order, tags, time line, b-values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.axis import PLANE_AXES, Axes, Axis, VariableAxis
from crawler.series.errors import FieldNotSet, NotTimeOrder
from crawler.series.grid import Floats
from crawler.series.headers import FrameHeader
from crawler.series.state import State
from crawler.series.steps import own_value
from crawler.series.through import WrittenThrough


class StepFields(State):
    """Access to the steps of other axes than those of space."""

    @property
    def input_order(self) -> str:
        """Names of the axes before the slices, with commas; "none" without."""
        names = [axis.name for axis in tag_axes(self._description.axes)]
        return ",".join(names) or "none"

    @input_order.setter
    def input_order(self, order: str) -> None:
        names = [name.strip() for name in order.split(",") if name.strip() not in ("none", "auto", "")]
        own = [axis.name for axis in tag_axes(self._description.axes)]
        if not names:
            return
        if len(names) != len(own):
            raise ValueError(f"{len(names)} names for {len(own)} axes before the slices")
        new = dict(zip(own, names, strict=True))
        axes = Axes(axis.renamed(new.get(axis.name, axis.name)) for axis in self._description.axes)
        frames: Any = self._description.frames.copy()
        for index in np.ndindex(frames.shape):
            if frames[index] is not None and frames[index].tags:
                tags = {new.get(axis, axis): told for axis, told in frames[index].tags.items()}
                frames[index] = replace(frames[index], tags=tags)
        self._description = replace(self._description, axes=axes, frames=frames)

    @property
    def tags(self) -> dict[int, npt.NDArray[Any]]:
        """Slice -> values of the axes before the slices, a tuple a step, as the images of that slice have them.

        ``a.tags[3] = values`` sets those of a slice.
        """
        found = {number: self._tags_of(number) for number in range(self._description.sizes.get("slice", 1))}
        return WrittenThrough(found, self._set_tags)

    @tags.setter
    def tags(self, tags: Mapping[int, Any]) -> None:
        """Give the images of each slice their values; slices that are not named have those of the first that is.

        The axes before the slices get the values of slice 0.
        """
        if tags:
            first = tags[min(tags)]
            self._set_tags({number: first for number in range(self._description.sizes.get("slice", 1))} | dict(tags))

    def _set_tags(self, tags: Mapping[int, Any]) -> None:
        axes, count = tag_axes(self._description.axes), self._description.sizes.get("slice", 1)
        steps = tuple(map(len, axes))
        if not all(0 <= number < count for number in tags):
            raise IndexError(f"tags of slices {sorted(tags)} for {count} slices")
        wanted = {number: _tuples(told, steps) for number, told in tags.items()}
        if not axes:
            return
        all_tags = {number: wanted.get(number, _tuples(self._tags_of(number), steps)) for number in range(count)}
        new = [_axis_like(axis, place, all_tags[0]) for place, axis in enumerate(axes)]
        named = {axis.name: axis for axis in new}
        names = [self._description.axes[number].name for number in self._description.leading]
        spatial = names.index("slice") if "slice" in names else None
        frames: Any = self._description.frames.copy()
        frames = frames[..., None] if spatial is None else np.moveaxis(frames, spatial, -1)  # a view
        for index in np.ndindex(*steps, count):
            frames[index] = _with_tags(frames[index], frames[(*index[:-1], 0)], new, index, all_tags[index[-1]])
        frames = frames[..., 0] if spatial is None else np.moveaxis(frames, -1, spatial)
        self._description = replace(
            self._description,
            axes=Axes(named.get(axis.name, axis) for axis in self._description.axes),
            frames=frames,
        )

    @property
    def timeline(self) -> Floats:
        """Seconds from the first step of the axis of time."""
        number = self._description.axes.find("time")
        if number is None:
            raise NotTimeOrder(f"there is no axis of time: the order is {self.input_order}")
        values = self._description.axes[number].values
        if values.dtype.kind not in "iuf":
            raise NotTimeOrder("the times of some steps are not known")
        line: Any = np.asarray(values, dtype=np.float64)
        from_first: Floats = line - line[0]
        return from_first

    @property
    def bvalues(self) -> npt.NDArray[Any]:
        """Values of the axis of b, s/mm2."""
        number = self._description.axes.find("b")
        if number is None:
            raise FieldNotSet("there is no axis of b-values")
        return np.array(self._description.axes[number].values)

    def get_tag_axis(self) -> Axis | None:
        """The outermost axis before the slices; None without."""
        return next(iter(tag_axes(self._description.axes)), None)

    def _tags_of(self, slice_number: int) -> npt.NDArray[Any]:
        axes = tag_axes(self._description.axes)
        if not axes:
            single = np.empty(1, dtype=object)
            single[0] = (0,)
            return single
        frames: Any = self._description.frames
        first = frames
        names = [self._description.axes[number].name for number in self._description.leading]
        if "slice" in names:
            frames, first = (frames.take(number, axis=names.index("slice")) for number in (slice_number, 0))
        tags = np.empty([len(axis) for axis in axes], dtype=object)
        for index in np.ndindex(tags.shape):
            steps = zip(axes, index, strict=True)
            tags[index] = tuple(_tag(axis, step, frames[index], first[index]) for axis, step in steps)
        tags.setflags(write=False)  # what is set here would be lost: a.tags[slice] = ... is not
        return tags


def _tag(axis: Axis, step: int, header: Any, first: Any) -> Any:
    """Value of a step; of an image without diffusion direction one without numbers."""
    value = own_value(axis, step, header, first)
    if axis.name != "bvector":
        return value
    known = () if value is None or not any(value) else value
    return np.asarray(known, dtype=np.float64)


def _tuples(told: Any, steps: tuple[int, ...]) -> npt.NDArray[Any]:
    """Tags as they are given for a slice, as an array of a tuple a step: numbers stand for tuples of one."""
    shape, count = steps or (1,), len(steps) or 1
    given: npt.NDArray[Any] = told if isinstance(told, np.ndarray) else _column(told)
    if given.shape not in (shape, (*shape, count)):
        raise ValueError(f"{len(given)} tags for steps {steps}")
    tags = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        value: Any = given[index]
        if given.ndim == len(shape) and not isinstance(value, tuple):
            value = (value,)
        if len(value) != count:
            raise ValueError(f"a tag has {count} values, one an axis before the slices, not {len(value)}")
        tags[index] = tuple(_plain(one) for one in value)
    return tags


def _column(values: Any) -> npt.NDArray[Any]:
    listed = list(values)
    column = np.empty(len(listed), dtype=object)
    for number, value in enumerate(listed):
        column[number] = value
    return column


def _plain(value: Any) -> Any:
    """A value as axes have it: a vector without numbers is none."""
    if isinstance(value, np.ndarray) and value.ndim:
        return tuple(value.tolist()) or None
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value


def _axis_like(axis: Axis, place: int, tags: npt.NDArray[Any]) -> Axis:
    """An axis with the values that tags have at the first steps of all others."""
    values = [tags[tuple(step if at == place else 0 for at in range(tags.ndim))][place] for step in range(len(axis))]
    if values == [_plain(axis[step]) for step in range(len(axis))]:
        return axis
    return VariableAxis(axis.name, values, axis.unit, axis.keyword, axis.directions)


def _with_tags(header: Any, first: Any, axes: list[Axis], index: tuple[int, ...], tags: npt.NDArray[Any]) -> Any:
    """A frame's header with those of its tags that do not follow from the axes."""
    bare = header if header is None else replace(header, tags={})
    own: dict[str, tuple[Any, Any]] = {}
    for axis, step, value in zip(axes, index, tags[index[:-1]], strict=False):
        if own_value(axis, step, bare, first) != value:
            own[axis.name] = (axis[step], value)
    if not own:
        return bare
    return replace(bare or FrameHeader(), tags=own)


def tag_axes(axes: Axes) -> tuple[Axis, ...]:
    """The axes before the slices."""
    return tuple(axis for axis in axes if axis.name not in (*PLANE_AXES, "slice"))

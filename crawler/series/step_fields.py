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
from crawler.series.state import State
from crawler.series.steps import own_time


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
        self._description = replace(self._description, axes=axes)

    @property
    def tags(self) -> dict[int, npt.NDArray[Any]]:
        """Slice -> values of the axes before the slices, a tuple a step, as the images of that slice have them."""
        return {number: self._tags_of(number) for number in range(self._description.sizes.get("slice", 1))}

    @tags.setter
    def tags(self, tags: Mapping[int, Any]) -> None:
        """Give the axes before the slices the values that the first slice has."""
        axes = tag_axes(self._description.axes)
        first = tags[min(tags)]
        steps = tuple(len(axis) for axis in axes)
        if len(first) != steps[0] if steps else len(first) != 1:
            raise ValueError(f"{len(first)} tags for steps {steps}")
        named: dict[str, Axis] = {}
        for place, axis in enumerate(axes):
            values = []
            for step in range(len(axis)):
                at = tuple(step if other == place else 0 for other in range(len(axes)))
                held = np.asarray(first, dtype=object)[at] if isinstance(first, np.ndarray) else first[step]
                values.append(held[place] if isinstance(held, tuple) else held)
            named[axis.name] = VariableAxis(axis.name, values, axis.unit, axis.keyword)
        self._description = replace(
            self._description, axes=Axes(named.get(axis.name, axis) for axis in self._description.axes)
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
        return tags


def _tag(axis: Axis, step: int, header: Any, first: Any) -> Any:
    """Value of a step; of an image without diffusion direction one without numbers."""
    value = own_time(axis, step, header, first)
    if axis.name != "bvector":
        return value
    known = () if value is None or not any(value) else value
    return np.asarray(known, dtype=np.float64)


def tag_axes(axes: Axes) -> tuple[Axis, ...]:
    """The axes before the slices."""
    return tuple(axis for axis in axes if axis.name not in (*PLANE_AXES, "slice"))

"""Layouts made of layouts: an axis taken apart, colour added where a palette gives it.

Pure functions of what `layouts.py` decided; no frame is moved from one array to another that it did not share before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from crawler.model import Instance, Layout

T = TypeVar("T")

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage: its values are numbers of segments, and no colours (PS3.3 A.51)."""


def split_axes(plan: Sequence[Layout], axes: Collection[str]) -> list[Layout]:
    """Make an array of each step of some axes, such as one of each echo ("te").

    Parameters
    ----------
    axes
        Names of axes; a layout without them stays as it is.

    Returns
    -------
    list of Layout
        In the order of the plan and of the steps, numbered anew where there are more than before.
    """
    parts = [part for layout in plan for part in _split(layout, axes)]
    if len(parts) == len(plan):
        return parts
    return [part._replace(name=str(number)) for number, part in enumerate(parts, start=1)]


def with_colours(plan: Iterable[Layout], instances: Sequence[Instance]) -> list[Layout]:
    """Give layouts of PALETTE COLOR images the axis of their colours; label maps keep their numbers."""
    return [
        layout._replace(shape=(*layout.shape, 3), axes=(*layout.axes, "sample"))
        if "sample" not in layout.axes and has_palette([instances[place.instance] for place in layout.placement])
        else layout
        for layout in plan
    ]


def has_palette(instances: Iterable[Instance]) -> bool:
    """Whether images are indices of a palette that makes colours of them."""
    kinds = {(one.pixels.photometric if one.pixels else "", one.sop_class == LABEL_MAP) for one in instances}
    return kinds == {("PALETTE COLOR", False)}


def _split(layout: Layout, axes: Collection[str]) -> list[Layout]:
    position = next((number for number, axis in enumerate(layout.axes) if axis in axes), None)
    if position is None:
        return [layout]
    name = layout.axes[position]
    steps = range(layout.shape[position])
    parts = [
        layout._replace(
            shape=_without(layout.shape, position),
            axes=_without(layout.axes, position),
            placement=tuple(
                replace(place, index=_without(place.index, position))
                for place in layout.placement
                if place.index[position] == step
            ),
            coordinates=tuple(one for one in layout.coordinates if one.axis != name),
        )
        for step in steps
    ]
    return [further for part in parts if part.placement for further in _split(part, axes)]


def _without(items: tuple[T, ...], position: int) -> tuple[T, ...]:
    return items[:position] + items[position + 1 :]

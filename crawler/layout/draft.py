"""A layout that is being made: planes along leading axes, and its place among the layouts of a scan."""

from __future__ import annotations

from typing import NamedTuple

from crawler.model import Layout, Pixels, Place, Verdict


class Draft(NamedTuple):
    """A layout before it is named, and its place in the order of layouts: first file, frame, group, run."""

    order: tuple[int, ...]
    layout: Layout


def array_of(
    pixels: Pixels, axes: tuple[str, ...], steps: tuple[int, ...], placement: tuple[Place, ...], verdict: Verdict
) -> Layout:
    """A layout of planes along leading axes."""
    colour = pixels.samples > 1
    return Layout(
        name="",
        shape=(*steps, pixels.rows, pixels.columns, *((pixels.samples,) if colour else ())),
        axes=(*axes, "row", "column", *(("sample",) if colour else ())),
        placement=placement,
        verdict=verdict,
    )

"""Small pictures of layouts: which kind suits a layout, and which of its frames it needs.

A kind takes its frames in any order and gives one picture, with the patient's sides where geometry tells them. The only
words in it are sides, numbers, lengths and names of axes: nothing of the header.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from crawler.model import Frame, Layout
from crawler.sinks.thumbnail.flat import Montage, Render, Single
from crawler.sinks.thumbnail.triplane import Triplane

Index = tuple[int, ...]


class Thumbnail(Protocol):
    """A picture in the making.

    Attributes
    ----------
    wanted
        Indices, in the layout, of the frames that it needs.
    """

    wanted: frozenset[Index]

    def put(self, index: Index, frame: Frame, render: Render) -> None:
        """Take a frame that is wanted; `render` makes grey or RGB of 8 bits of it, or of some rows and columns."""
        ...

    def draw(self) -> npt.NDArray[Any]:
        """Return the picture: uint8, shape (rows, columns) or (rows, columns, 3)."""
        ...


def thumbnail_of(layout: Layout, size: int, aspect: float = 1.0) -> Thumbnail:
    """Begin the picture of a layout.

    Parameters
    ----------
    layout
        With at least one frame.
    size
        Pixels of the longer edge of one plane; a montage is as wide as three.
    aspect
        Height of a pixel in units of its width, where there is no affine.
    """
    if layout.affine is not None and "slice" in layout.axes:
        return Triplane(layout, size)
    one_file = len({place.instance for place in layout.placement}) == 1
    if len(layout.placement) == 1 or (one_file and "frame" in layout.axes):
        return Single(layout, size, aspect)
    return Montage(layout, size, aspect)

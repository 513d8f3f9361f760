"""A volume as three planes through its middle, axial, coronal and sagittal, undistorted and with the patient's sides.

Memory holds the middle slice and two lines of each other one, at the size that they are shown in. What more than three
axes hold beside the volume is shown at its middle step, which the picture names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.model import Frame, Layout
from crawler.sinks.thumbnail.canvas import GAP, MARGIN, Canvas, resized
from crawler.sinks.thumbnail.planes import COLUMN, ROW, SLICE, cuts_of, spacing_of

Array = npt.NDArray[Any]
Render = Callable[[Frame], Array]


class Triplane:
    """Three planes of a layout that has an affine, or the only one of a single slice.

    Attributes
    ----------
    wanted
        Indices of the frames that it needs.
    """

    def __init__(self, layout: Layout, size: int) -> None:
        assert layout.affine is not None
        self._size, self._captions = size, middle_steps(layout)
        *leading, slices = layout.shape[: layout.axes.index("row")]
        lengths = (slices, *layout.shape[len(leading) + 1 : len(leading) + 3])
        extents = [length * step for length, step in zip(lengths, spacing_of(layout.affine), strict=True)]
        shown = extents if slices > 1 else extents[ROW:]
        self._scale = size / max(shown)
        # Slices and their distance, mm, on the plane that was acquired.
        self._stacked = f"{slices} x {extents[SLICE] / slices:.3g} mm" if slices > 1 else ""
        self._edges = [max(1, round(extent * self._scale)) for extent in extents]
        self._cuts = [cut for cut in cuts_of(layout.affine) if slices > 1 or cut.across == SLICE]
        self._middle = tuple(length // 2 for length in lengths)
        step = tuple(length // 2 for length in leading)
        # Twice as many slices as there are lines to show them in are enough to average over.
        places = np.linspace(0, slices - 1, min(slices, 2 * self._edges[SLICE])).astype(int) if slices > 1 else ()
        self._lines = {(*step, int(place)): number for number, place in enumerate(np.unique(places))}
        self._main = (*step, self._middle[SLICE])
        # A slice without a frame is empty, and stays black.
        self.wanted = frozenset((*self._lines, self._main)) & {place.index for place in layout.placement}
        self._planes: dict[int, Array] = {}

    def put(self, index: tuple[int, ...], frame: Frame, render: Render) -> None:
        """Take what is needed of a frame; `render` makes grey or RGB of 8 bits of it."""
        rows, columns = self._edges[ROW], self._edges[COLUMN]
        if index == self._main:
            self._planes[SLICE] = resized(render(frame), rows, columns)
        if index in self._lines:
            row, column = self._middle[ROW], self._middle[COLUMN]
            number = self._lines[index]
            across = render(replace(frame, values=frame.values[row : row + 1]))
            self._stack(ROW, resized(across, 1, columns)[0], number)
            down = render(replace(frame, values=frame.values[:, column : column + 1]))
            self._stack(COLUMN, resized(down, rows, 1)[:, 0], number)

    def draw(self) -> Array:
        """Return the picture: uint8, grey or RGB. What no frame came for is black."""
        size, count = self._size, len(self._cuts)
        colour = any(plane.ndim == 3 for plane in self._planes.values())
        letters = max(11, size // 18)
        canvas = Canvas(count * size + (count - 1) * GAP, size, colour, letters)
        for number, cut in enumerate(self._cuts):
            left = number * (size + GAP)
            plane = self._planes.get(cut.across)
            if plane is not None:
                edges = [self._edges[axis] for axis in range(3) if axis != cut.across]
                picture = cut.turned(resized(plane, *edges))
                rows, columns = picture.shape[:2]
                canvas.paste(picture, left + (size - columns) // 2, (size - rows) // 2)
            canvas.letters(cut.letters, left, 0, size)
            canvas.text(cut.name, left + MARGIN, MARGIN)
            if cut.across == SLICE and self._stacked:
                canvas.text(self._stacked, left + size - MARGIN, size - MARGIN, "rd")
        canvas.ruler(self._scale, MARGIN, size - MARGIN, size * 0.4)
        for line, words in enumerate(self._captions, start=1):
            canvas.text(words, MARGIN, MARGIN + line * 5 * letters // 4)
        return canvas.pixels()

    def _stack(self, axis: int, line: Array, number: int) -> None:
        if axis not in self._planes:
            self._planes[axis] = np.zeros((len(self._lines), *line.shape), np.uint8)
        self._planes[axis][number] = line


def middle_steps(layout: Layout) -> list[str]:
    """Which step of each axis beside the slices is shown, as "te 2 of 3 (20 ms)".

    A value without a unit counts something, or may be free text: it is left out.
    """
    words: list[str] = []
    known = {steps.axis: steps for steps in layout.coordinates}
    for axis, length in zip(layout.axes[: layout.axes.index("row") - 1], layout.shape, strict=False):
        place, steps = length // 2, known.get(axis)
        value = steps.values[place] if steps is not None and place < len(steps.values) else None
        told = f" ({value:g} {steps.unit})" if steps and steps.unit and isinstance(value, int | float) else ""
        words.append(f"{axis.replace('_', ' ')} {place + 1} of {length}{told}")
    return words

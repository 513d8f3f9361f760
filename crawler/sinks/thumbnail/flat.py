"""Images without geometry: one alone, a poster of a cine, or a sheet of some out of many.

Memory holds what is shown, at the size that it is shown in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.model import Frame, Layout
from crawler.sinks.thumbnail.canvas import GAP, MARGIN, Canvas, fitted

Array = npt.NDArray[Any]
Render = Callable[[Frame], Array]

SHOWN = 12  # pictures of a sheet
ACROSS = 4  # of them side by side, where there are more than three


class Single:
    """One image; of a cine the middle frame, between the edges of a film.

    Attributes
    ----------
    wanted
        Indices of the frames that it needs.
    """

    def __init__(self, layout: Layout, size: int, aspect: float) -> None:
        self._size, self._aspect, self._count = size, aspect, len(layout.placement)
        self._place = self._count // 2
        self.wanted = frozenset([layout.placement[self._place].index])
        self._picture: Array | None = None

    def put(self, index: tuple[int, ...], frame: Frame, render: Render) -> None:
        """Take the frame; `render` makes grey or RGB of 8 bits of it."""
        self._picture = fitted(render(frame), self._size, self._size, self._aspect)

    def draw(self) -> Array:
        """Return the picture: uint8, grey or RGB, its longer edge of the size that was asked for."""
        if self._picture is None:
            return np.zeros((1, 1), np.uint8)
        if self._count == 1:
            return self._picture
        film = max(6, self._size // 16)
        rows, columns = self._picture.shape[:2]
        canvas = Canvas(columns, rows + 2 * film, self._picture.ndim == 3, letters=max(11, self._size // 18))
        canvas.paste(self._picture, 0, film)
        canvas.film(film)
        canvas.text(f"{self._place + 1} of {self._count}", MARGIN, rows + film - MARGIN, "ld")
        return canvas.pixels()


class Montage:
    """Images side by side, numbered; of more than `SHOWN`, some spread evenly.

    Attributes
    ----------
    wanted
        Indices of the frames that it needs.
    """

    def __init__(self, layout: Layout, size: int, aspect: float) -> None:
        count = len(layout.placement)
        numbers = np.unique(np.linspace(0, count - 1, min(count, SHOWN)).astype(int))
        self._places = {layout.placement[number].index: int(number) for number in numbers}
        self._size, self._aspect, self._count = size, aspect, count
        self._across = len(numbers) if len(numbers) < ACROSS else ACROSS
        self._edge = min(size, (3 * size + 2 * GAP - (self._across - 1) * GAP) // self._across)
        self._pictures: dict[int, Array] = {}
        self.wanted = frozenset(self._places)

    def put(self, index: tuple[int, ...], frame: Frame, render: Render) -> None:
        """Take a frame; `render` makes grey or RGB of 8 bits of it."""
        self._pictures[self._places[index]] = fitted(render(frame), self._edge, self._edge, self._aspect)

    def draw(self) -> Array:
        """Return the sheet: uint8, grey or RGB."""
        edge, step = self._edge, self._edge + GAP
        # Wide or tall images leave no empty bands.
        width = max((picture.shape[1] for picture in self._pictures.values()), default=edge)
        height = max((picture.shape[0] for picture in self._pictures.values()), default=edge)
        down = -(-len(self._places) // self._across)
        colour = any(picture.ndim == 3 for picture in self._pictures.values())
        across = self._across
        canvas = Canvas(
            across * step - GAP - across * (edge - width),
            down * step - GAP - down * (edge - height),
            colour,
            letters=max(11, self._size // 22),
        )
        for cell, number in enumerate(sorted(self._places.values())):
            left, top = cell % across * (width + GAP), cell // across * (height + GAP)
            picture = self._pictures.get(number)
            if picture is not None:
                rows, columns = picture.shape[:2]
                canvas.paste(picture, left + (width - columns) // 2, top + (height - rows) // 2)
            canvas.text(f"{number + 1} of {self._count}" if not cell else f"{number + 1}", left + MARGIN, top + MARGIN)
        return canvas.pixels()

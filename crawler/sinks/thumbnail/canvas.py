"""A sheet that pictures and a few words are laid on: letters, a scale, the edge of a film.

Words are white on a dark rim, so that a grey sheet stays grey (a PNG of a third of the size) and they are read on any
picture. It knows no DICOM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.sinks.thumbnail.planes import Letters

Array = npt.NDArray[Any]

GAP = 6  # between two pictures, pixels
MARGIN = 3  # of words from an edge
INK, RIM, STRIP, HOLE = 235, 0, 20, 150  # grey levels
RULER = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # mm


def resized(picture: Array, rows: int, columns: int) -> Array:
    """Return a picture at another size, cubic; what shrinks is averaged over what each pixel covers."""
    if picture.shape[:2] == (rows, columns):
        return picture
    from PIL import Image  # slow to load: most runs draw nothing

    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC))


def fitted(picture: Array, width: int, height: int, aspect: float = 1.0) -> Array:
    """Return a picture as large as it fits into a frame, undistorted.

    Parameters
    ----------
    aspect
        Height of a pixel in units of its width.
    """
    rows, columns = picture.shape[0] * aspect, picture.shape[1]
    scale = min(height / rows, width / columns)
    return resized(picture, max(1, round(rows * scale)), max(1, round(columns * scale)))


class Canvas:
    """A black sheet.

    Parameters
    ----------
    width, height
        Pixels.
    colour
        RGB, else grey.
    letters
        Height of words, pixels.
    """

    def __init__(self, width: int, height: int, colour: bool, letters: int = 12) -> None:
        from PIL import Image, ImageDraw, ImageFont  # slow to load: most runs draw nothing

        self.size = (width, height)
        self._sheet = Image.new("RGB" if colour else "L", self.size)
        self._draw = ImageDraw.Draw(self._sheet)
        self._font = ImageFont.load_default(letters)

    def paste(self, picture: Array, left: int, top: int) -> None:
        """Lay a picture down: uint8, shape (rows, columns) or (rows, columns, 3)."""
        from PIL import Image  # slow to load: most runs draw nothing

        self._sheet.paste(Image.fromarray(np.ascontiguousarray(picture)).convert(self._sheet.mode), (left, top))

    def text(self, words: str, left: float, top: float, anchor: str = "la") -> None:
        """Write; the anchor is Pillow's (horizontal: l, m, r; vertical: a, m, d)."""
        ink, rim = self._level(INK), self._level(RIM)
        self._draw.text((left, top), words, fill=ink, font=self._font, anchor=anchor, stroke_width=2, stroke_fill=rim)

    def letters(self, letters: Letters, left: int, top: int, edge: int) -> None:
        """Write a letter at each edge of a square."""
        middle, near, far = edge / 2, MARGIN, edge - MARGIN
        self.text(letters.left, left + near, top + middle, "lm")
        self.text(letters.right, left + far, top + middle, "rm")
        self.text(letters.top, left + middle, top + near, "ma")
        self.text(letters.bottom, left + middle, top + far, "md")

    def ruler(self, scale: float, left: int, bottom: int, longest: float) -> None:
        """Draw a bar with its length in mm, the longest that fits; `scale` is pixels a mm."""
        lengths = [length for length in RULER if length * scale <= longest]
        if not lengths:
            return
        right = left + round(lengths[-1] * scale)
        self._draw.rectangle((left - 1, bottom - 4, right + 1, bottom), fill=self._level(RIM))
        self._draw.rectangle((left, bottom - 3, right, bottom - 1), fill=self._level(INK))
        self.text(f"{lengths[-1]} mm", left, bottom - 6, "ld")

    def film(self, height: int) -> None:
        """Draw the perforated edges of a film, `height` pixels each, along the top and the bottom."""
        width, full = self.size
        hole = max(2, height // 2)
        for top in (0, full - height):
            self._draw.rectangle((0, top, width, top + height), fill=self._level(STRIP))
            above = top + (height - hole) // 2
            for left in range(hole, width - hole, 2 * height):
                box = (left, above, left + 3 * hole // 2, above + hole)
                self._draw.rounded_rectangle(box, radius=hole // 3, fill=self._level(HOLE))

    def pixels(self) -> Array:
        """The sheet: uint8, shape (rows, columns) or (rows, columns, 3)."""
        return np.asarray(self._sheet)

    def _level(self, grey: int) -> int | tuple[int, int, int]:
        return (grey, grey, grey) if self._sheet.mode == "RGB" else grey

"""Overlay planes (60xx,3000): one bit a pixel, drawn over the picture on request (PS3.3 C.9.2, C.9.3).

How a plane is drawn the standard leaves open; here it takes the brightest level. Planes in the unused bits of pixels,
retired in 2004, are not drawn: `pixels/frames.py` has removed those bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.values import Values
from crawler.display.attributes import OVERLAY_GROUPS, DisplayAttributes

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Overlay:
    """One overlay plane.

    Attributes
    ----------
    frames
        Bool, shape (rows, columns), one a frame; the rows that the file holds, of the last one maybe fewer.
    row, column
        Place of its first pixel in the image, from 0; may be negative.
    first
        Number of the image frame, from 0, that its first frame belongs to; None: its one frame belongs to all.
    """

    frames: tuple[Array, ...]
    row: int
    column: int
    first: int | None = None

    def draw(self, picture: Array, number: int, level: int) -> None:
        """Set the plane's pixels of frame `number` to `level`, in place; what lies outside of the picture is cut."""
        place = 0 if self.first is None else number - self.first
        if not 0 <= place < len(self.frames):
            return
        plane = self.frames[place]
        top, left = max(self.row, 0), max(self.column, 0)
        plane = plane[top - self.row :, left - self.column :]
        window = picture[top : top + plane.shape[0], left : left + plane.shape[1]]
        window[plane[: window.shape[0], : window.shape[1]]] = level


def overlays_of(attributes: DisplayAttributes) -> tuple[Overlay, ...]:
    """Return a file's overlay planes that hold data, by group.

    A plane that is shorter than it says is drawn as far as it goes. What is no overlay, or cannot be placed, is left
    out: groups 60xx hold other data in some files. Either is noted.
    """
    found = (_overlay(attributes, group) for group in OVERLAY_GROUPS)
    return tuple(overlay for overlay in found if overlay is not None)


def _overlay(attributes: DisplayAttributes, group: int) -> Overlay | None:
    values, base = attributes.values, group << 16
    data = values.get(base | 0x3000)
    if data is None:
        return None
    try:
        (rows,), (columns,) = (_integers(values, base | element) for element in (0x0010, 0x0011))
        (frames,) = _integers(values, base | 0x0015) or [1]
        frames = max(frames, 1)
        row, column = _integers(values, base | 0x0050) or [1, 1]
        (number,) = _integers(values, base | 0x0051) or [0]
        (allocated,) = _integers(values, base | 0x0100) or [1]
        raw = data.raw
        if not data.little and data.vr == "OW":  # byte order applies to words (PS3.5 7.3)
            raw = np.frombuffer(raw, "u2").byteswap().tobytes()
        bits = _packed(np.frombuffer(raw, "u1"), allocated or 1, frames * rows * columns)
        planes = tuple(_planes(bits, frames, rows, columns))
    except ValueError:
        attributes.note(f"the overlay of group {group:04X} is not drawn: it cannot be read")
        return None
    first = max(number, 1) - 1 if _integers(values, base | 0x0051) else None
    if 8 * bits.size < frames * rows * columns:
        attributes.note(f"the overlay of group {group:04X} holds {8 * bits.size:,} of {frames * rows * columns:,} bits")
    # One frame without an origin is meant for all frames of the image it lies on, as for a single image.
    return Overlay(planes, row - 1, column - 1, None if frames == 1 and first is None else first or 0)


def _packed(data: Array, allocated: int, count: int) -> Array:
    """Overlay data with a bit a pixel; those of a byte a pixel, which the standard does not have, become so."""
    if allocated == 8 and data.size in (count, count + count % 2):
        return np.packbits(data != 0, bitorder="little")
    if allocated == 1 or data.size <= 2 * -(-count // 16):  # the bits of all pixels, padded to an even length
        return data
    raise ValueError("no overlay")


def _planes(data: Array, frames: int, rows: int, columns: int) -> Iterator[Array]:
    """Frames as far as there are bits for them; no more is allocated than the data ask for, whatever is claimed."""
    size = rows * columns  # without any, `range` refuses
    for start in range(0, min(frames * size, 8 * data.size), size):
        held = data[start // 8 : -(-(start + size) // 8)]
        bits = np.unpackbits(held, bitorder="little")[start % 8 :][:size]  # first pixel lowest (PS3.5 8.1.2)
        height = -(-bits.size // columns)
        yield np.pad(bits, (0, height * columns - bits.size)).reshape(height, columns).astype(bool)


def _integers(values: Values, tag: int) -> list[int]:
    """Whole numbers of an element; none where it is empty or absent. Raises ValueError for anything else."""
    numbers = values.numbers(tag)
    if any(number != int(number) for number in numbers):
        raise ValueError("no whole numbers")
    return [int(number) for number in numbers]

"""Writing in pixels, found by its strokes: steep edges, many side by side, in lines.

It reads nothing: what looks like writing is told as rectangles, whatever the script says. It is quick and needs numpy
alone; it misses faint and very small writing (docs/privacy.md has measures), and it is no proof that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
"""Top, bottom, left, right; the ends are the first row and column behind it."""
Grey = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_AROUND = 9  # pixels: within so many a stroke of writing of up to 28 px has both of its edges
_LEAST = 18.0  # of 255: least contrast of writing to its ground
_STEEP = 0.7  # of the contrast around: what an edge of writing rises within two pixels; tissue and speckle rise slower
_WINDOWS = ((10, 32, 4), (20, 72, 4))  # rows, columns, and edges that a row crosses at least: two strokes
_ROWS = 0.4  # share of a window's rows that do so
_BUSY = 0.55  # share of a window's places that are edges: more is noise
_RANGE = (0.1, 99.9)  # percentiles that count as black and white


def find(values: npt.NDArray[np.generic]) -> list[Box]:
    """Rectangles of a picture that look like writing.

    Parameters
    ----------
    values
        Stored values, (rows, columns) or (rows, columns, samples).

    Returns
    -------
    list of Box
        They may overlap.
    """
    grey = as_grey(values)
    around = _extreme(_extreme(grey, _AROUND, 0, np.maximum), _AROUND, 1, np.maximum)
    around -= _extreme(_extreme(grey, _AROUND, 0, np.minimum), _AROUND, 1, np.minimum)
    rise = np.zeros_like(grey)
    rise[:, 1:-1] = np.abs(grey[:, 2:] - grey[:, :-2])
    edge = (around >= _LEAST) & (rise >= _STEEP * around)
    starts = edge.copy()
    starts[:, 1:] &= ~edge[:, :-1]  # an edge of two pixels is one
    boxes: list[Box] = []
    rows, columns = grey.shape
    for height, width, crossings in _WINDOWS:
        if rows < height or columns < width:
            continue
        per_row = _summed(starts.astype(np.float32), 1, width) >= crossings
        busy = _summed(per_row.astype(np.float32), height, 1) >= height * _ROWS
        dense = _summed(edge.astype(np.float32), height, width) > _BUSY * height * width
        boxes += _boxes(busy & ~dense, height // 2, width // 2)
    return [(max(0, top), min(rows, bottom), max(0, left), min(columns, right)) for top, bottom, left, right in boxes]


def as_grey(values: npt.NDArray[np.generic]) -> Grey:
    """A picture from 0 to 255, by what nearly all of its values lie in; of colours the brightest sample."""
    grey = values.astype(np.float32)
    if grey.ndim == 3:
        grey = grey.max(axis=2)
    grey = np.where(np.isfinite(grey), grey, 0)
    low, high = np.percentile(grey[:: max(1, grey.shape[0] // 512), :], _RANGE)
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return np.zeros_like(grey)
    return np.asarray(np.clip((grey - low) * (255 / (high - low)), 0, 255), dtype=np.float32)


def covered_by(boxes: Iterable[Box], rows: int, columns: int) -> Flags:
    """Which pixels of a picture rectangles cover."""
    covered = np.zeros((rows, columns), dtype=np.bool_)
    for top, bottom, left, right in boxes:
        covered[top:bottom, left:right] = True
    return covered


def share(boxes: list[Box], rows: int, columns: int) -> float:
    """Share of a picture that rectangles cover."""
    covered = covered_by(boxes, rows, columns)
    return float(covered.mean()) if covered.size else 0.0


def _boxes(likely: Flags, above: int, aside: int) -> list[Box]:
    """Rectangles around connected places, in cells of four pixels, with a margin for the ends of lines."""
    cell = 4
    rows, columns = (-(-size // cell) for size in likely.shape)
    padded = np.zeros((rows * cell, columns * cell), dtype=bool)
    padded[: likely.shape[0], : likely.shape[1]] = likely
    cells = np.asarray(padded.reshape(rows, cell, columns, cell).any(axis=(1, 3)), dtype=np.bool_)
    return [
        (top * cell - above, bottom * cell + above, left * cell - aside, right * cell + aside)
        for top, bottom, left, right in connected(cells)
    ]


def connected(cells: Flags) -> list[Box]:
    """Extents of connected cells, the eight around each being its neighbours."""
    places = {(int(row), int(column)) for row, column in np.argwhere(cells)}
    found: list[Box] = []
    while places:
        start = places.pop()
        top, left = bottom, right = start
        waiting = [start]
        while waiting:
            row, column = waiting.pop()
            top, bottom, left, right = min(top, row), max(bottom, row), min(left, column), max(right, column)
            for near in ((row + down, column + aside) for down in (-1, 0, 1) for aside in (-1, 0, 1) if down or aside):
                if near in places:
                    places.remove(near)
                    waiting.append(near)
        found.append((top, bottom + 1, left, right + 1))
    return found


def _extreme(picture: Grey, size: int, axis: int, of: np.ufunc) -> Grey:
    """Least or greatest value within `size` places around each, along an axis, in log2(size) steps."""
    before = size // 2
    width = [(0, 0), (0, 0)]
    width[axis] = (before, size - 1 - before)
    padded = np.pad(picture, width, mode="edge")
    span = 1
    while span < size:
        step = min(span, size - span)
        length = padded.shape[axis] - step
        first = padded[:length] if axis == 0 else padded[:, :length]
        second = padded[step:] if axis == 0 else padded[:, step:]
        padded = of(first, second)
        span += step
    return padded


def _summed(values: npt.NDArray[np.float32], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Sum within a window around each place."""
    found = values
    for axis, size in ((0, rows), (1, columns)):
        if size == 1:
            continue
        width = [(0, 0), (0, 0)]
        width[axis] = (size // 2 + 1, size - 1 - size // 2)
        total = np.cumsum(np.pad(found, width), axis=axis, dtype=np.float32)
        found = total[size:] - total[:-size] if axis == 0 else total[:, size:] - total[:, :-size]
    return found

"""Synthetic cines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.factories import quick_dataset, save

SIZE = (48, 64)  # rows, columns


def cine(path: Path, count: int = 9, colour: bool = False, size: tuple[int, int] = SIZE, **keywords):
    """Smooth frames that move."""
    row, column = np.mgrid[: size[0], : size[1]]
    values = np.stack([(row * 3 + column * 2 + number * 9) % 200 for number in range(count)]).astype(np.uint8)
    values = np.stack([values, values // 2, 220 - values], axis=-1) if colour else values
    save(quick_dataset(values, Modality="US", **keywords), path)
    return values

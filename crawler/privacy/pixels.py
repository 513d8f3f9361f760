"""A picture at risk looked at for writing: what is found is masked in all of its frames, or the file is held back.

Writing of a cine stands still while the picture moves: its first, middle and last frame are looked at, and what is
common to frames across it. Held back is what the detector is known to miss: small pictures, palettes, headers that say
YES where nothing was found; and what would be little but mask.
"""

from __future__ import annotations

import numpy as np

from crawler.config.privacy import PrivacySection
from crawler.errors import FileError
from crawler.model import Instance, Mask
from crawler.pixels.frames import frames
from crawler.privacy.hold import WRITING
from crawler.privacy.strokes import Box, find, share

LEAST_ROWS = 400
"""A smaller picture at risk was reduced, and its writing with it: of 13 strings in 240 rows the detector found few."""
MOST_MASKED = 0.6
_LOOKED_AT = 8  # frames of a cine, evenly


def searched(instance: Instance, section: PrivacySection, limit: int) -> Instance:
    """The instance with a mask of what looks like writing, or held back.

    Parameters
    ----------
    limit
        Bytes that one decoded frame may take.
    """
    pixels = instance.pixels
    if pixels is None:
        return instance._replace(mask=None)
    if pixels.rows < LEAST_ROWS:
        return _held(instance, f"{WRITING}: it is too small to be searched")
    if pixels.photometric == "PALETTE COLOR":
        return _held(instance, f"{WRITING}: palettes are not searched")
    try:
        boxes = _boxes(instance, limit)
    except FileError:
        return _held(instance, f"{WRITING}: it cannot be decoded to be searched")
    covered = share(boxes, pixels.rows, pixels.columns)
    if covered > MOST_MASKED:
        return _held(instance, f"{WRITING}: most of it looks so")
    if not boxes:
        return instance._replace(mask=None)
    note = f"privacy: {len(boxes)} rectangles are masked, {covered:.0%} of the picture"
    return instance._replace(mask=Mask(blank=tuple(boxes)), header_notes=(*instance.header_notes, note))


def _boxes(instance: Instance, limit: int) -> list[Box]:
    """What looks like writing in any of the frames that are looked at, or in what they have in common."""
    assert instance.pixels is not None
    count = instance.pixels.frames
    numbers = sorted({round(step * (count - 1) / (_LOOKED_AT - 1)) for step in range(_LOOKED_AT)}) if count > 1 else [0]
    alone = {numbers[0], numbers[len(numbers) // 2], numbers[-1]}
    boxes: dict[Box, None] = {}
    common = None
    for frame in frames(instance._replace(mask=None), numbers, limit):
        values = (
            frame.values[..., 0] if frame.values.ndim == 3 and frame.photometric.startswith("YBR") else frame.values
        )
        common = values if common is None else np.minimum(common, values)
        if frame.number in alone:
            boxes.update(dict.fromkeys(find(values)))
    if common is not None and len(numbers) > 1:
        boxes.update(dict.fromkeys(find(common)))
    return list(boxes)


def _held(instance: Instance, why: str) -> Instance:
    return instance._replace(held=why, mask=Mask(search=True))

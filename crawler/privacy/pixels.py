"""A picture at risk looked at for writing: what is found is masked in all of its frames, or the file is held back.

Writing of a cine stands still while the picture moves: what is common to its frames is looked at beside single ones.
Held back is what the detector is known to miss (of strokes: small pictures, palettes), a header that says YES where
nothing was found, and what would be little but mask.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from crawler.config.privacy import PrivacySection
from crawler.display.attributes import DisplayAttributes
from crawler.display.colour import to_rgb
from crawler.display.palette import palette_of
from crawler.errors import FileError, PixelError
from crawler.model import Frame, Instance, Mask
from crawler.pixels.frames import frames
from crawler.privacy import ocr
from crawler.privacy.hold import WRITING
from crawler.privacy.strokes import Box, Flags, covered_by, find, share

Values = npt.NDArray[np.generic]

LEAST_ROWS = 400
"""A smaller picture at risk was reduced, and its writing with it: of 13 strings in 240 rows the strokes show few."""
MOST_MASKED = 0.6
_LOOKED_AT = 8  # frames of a cine, evenly
_COVERED = 0.9  # share of strokes that lies in what is masked: they are of writing that is known


def searched(
    instance: Instance, section: PrivacySection, limit: int, beat: Callable[[], None] = lambda: None
) -> Instance:
    """The instance with a mask of what looks like writing, or held back.

    Parameters
    ----------
    limit
        Bytes that one decoded frame may take.
    beat
        Called for each frame that is looked at.
    """
    pixels, known = instance.pixels, instance.mask or Mask()
    if pixels is None:
        return instance._replace(mask=None)
    uses_ocr = section.pixels.detect == "ocr"
    if not uses_ocr and pixels.rows < LEAST_ROWS:
        return _held(instance, f"{WRITING}: it is too small to be searched")
    if not uses_ocr and pixels.photometric == "PALETTE COLOR":
        return _held(instance, f"{WRITING}: palettes are not searched")
    # Writing in what is masked already need not be found.
    shown = instance._replace(mask=known._replace(search=False) if known.keep or known.blank else None)
    try:
        boxes = _detected(shown, limit, beat) if uses_ocr else _boxes(shown, limit, beat)
    except FileError:
        return _held(instance, f"{WRITING}: it cannot be decoded to be searched")
    covered = share(boxes, pixels.rows, pixels.columns)
    if covered > MOST_MASKED:
        return _held(instance, f"{WRITING}: most of it looks so")
    if not boxes:
        if known.told:
            return _held(instance, f"{WRITING}: its header says so, and none was found")
        return shown
    note = f"privacy: {len(boxes)} rectangles are masked, {covered:.0%} of the picture"
    return instance._replace(
        mask=Mask(keep=known.keep, blank=(*known.blank, *boxes)), header_notes=(*instance.header_notes, note)
    )


def _boxes(instance: Instance, limit: int, beat: Callable[[], None]) -> list[Box]:
    """What looks like writing in any of the frames that are looked at, or in what they have in common."""
    assert instance.pixels is not None
    count = instance.pixels.frames
    numbers = sorted({round(step * (count - 1) / (_LOOKED_AT - 1)) for step in range(_LOOKED_AT)}) if count > 1 else [0]
    alone = {numbers[0], numbers[len(numbers) // 2], numbers[-1]}
    boxes: dict[Box, None] = {}
    common = None
    for frame in frames(instance, numbers, limit):
        beat()
        values = (
            frame.values[..., 0] if frame.values.ndim == 3 and frame.photometric.startswith("YBR") else frame.values
        )
        common = values if common is None else np.minimum(common, values)
        if frame.number in alone:
            boxes.update(dict.fromkeys(find(values)))
    if common is not None and len(numbers) > 1:
        boxes.update(dict.fromkeys(find(common)))
    return list(boxes)


def _detected(instance: Instance, limit: int, beat: Callable[[], None]) -> list[Box]:
    """What the network detects or its strokes show, by the frames and by what they have in common.

    All frames are looked at for strokes, which is quick: the network is given the first and the last frame, the darkest
    and the brightest that each pixel has been, and the frames with strokes that are not masked by then.
    """
    assert instance.pixels is not None
    count = instance.pixels.frames
    colours = _to_colours(instance)
    alone = {0, count // 2, count - 1}
    boxes: dict[Box, None] = {}
    strokes: dict[int, list[Box]] = {}
    darkest = brightest = None
    for frame in frames(instance, None, limit, rgb=True):
        beat()
        values = colours(frame)
        strokes[frame.number] = find(values)
        if frame.number in alone:
            boxes.update(dict.fromkeys(strokes[frame.number]))
        if frame.number in (0, count - 1):
            boxes.update(dict.fromkeys(ocr.find(values)))
        darkest = values if darkest is None else np.minimum(darkest, values)
        brightest = values if brightest is None else np.maximum(brightest, values)
    if count > 1 and darkest is not None and brightest is not None:
        boxes.update(dict.fromkeys(find(darkest)))
        for common in (darkest, brightest):
            beat()
            boxes.update(dict.fromkeys(ocr.find(common)))
    masked = covered_by(boxes, instance.pixels.rows, instance.pixels.columns)
    left = [number for number, found in strokes.items() if number not in (0, count - 1) and _any_bare(found, masked)]
    for frame in frames(instance, left, limit, rgb=True) if left else ():
        beat()
        if _any_bare(strokes[frame.number], masked):
            found = ocr.find(colours(frame))
            boxes.update(dict.fromkeys(found))
            masked |= covered_by(found, instance.pixels.rows, instance.pixels.columns)
    return list(boxes)


def _any_bare(boxes: list[Box], masked: Flags) -> bool:
    """Whether any of the rectangles is not masked."""
    return any(masked[top:bottom, left:right].mean() < _COVERED for top, bottom, left, right in boxes)


def _to_colours(instance: Instance) -> Callable[[Frame], Values]:
    """How frames become what a person would see of them: grey values, or RGB.

    Raises
    ------
    PixelError
        A palette is missing or damaged.
    """
    assert instance.pixels is not None
    if instance.pixels.photometric == "PALETTE COLOR":
        palette = palette_of(DisplayAttributes(instance))
        if palette is None:
            raise PixelError("missing palette")
        return lambda frame: palette(frame.values)
    return _colours


def _colours(frame: Frame) -> Values:
    if frame.values.ndim < 3:
        return frame.values
    try:
        return to_rgb(frame)
    except PixelError:  # of no colours that are known: its brightest sample, as strokes are looked for
        return np.asarray(frame.values[..., 0] if frame.photometric.startswith("YBR") else frame.values.max(axis=2))


def _held(instance: Instance, why: str) -> Instance:
    return instance._replace(held=why, mask=Mask(search=True))

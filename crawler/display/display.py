"""What a person looks at: a frame of stored values to grey levels or RGB.

The grayscale pipeline of PS3.4 N.2: Modality LUT or rescale, VOI LUT or window, then one inversion; colour to RGB;
overlay planes on request. Each step is a module of this folder; here they are joined. No ICC profile, shutter or
supplemental palette is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.terms import photometric_term
from crawler.display.attributes import DisplayAttributes
from crawler.display.colour import to_rgb
from crawler.display.grey_range import Range, padding, range_of, spread_numbers, values_of
from crawler.display.lut import Lut, display_lut, rescaled
from crawler.display.overlays import Overlay, overlays_of
from crawler.display.palette import palette_of
from crawler.display.voi import Ramp, Voi, Window, chosen_vois
from crawler.errors import PixelError, StopError
from crawler.model import Frame, Instance, Pixels
from crawler.pixels.frames import frames
from crawler.pixels.modality import is_grey, stored_range

Array = npt.NDArray[Any]
Sample = Callable[[Iterable[int]], Iterable[Frame]]

# Values that are looked up at once: their places, as numpy wants them (8 bytes), stay in the cache.
BLOCK = 1 << 16


LAST_LEVEL = np.iinfo(np.int64).max
"""Levels from here on, which 64-bit pixels may hold, are not counted as signed integers are."""


@dataclass(frozen=True, eq=False, slots=True)
class Display:
    """How the frames of one instance are shown; made by `display_for`.

    Attributes
    ----------
    vois
        Modality values to 0 ... 1: one for all frames, or one a frame; empty in colour.
    modality
        Stored values to modality values; None for the frame's own slope and intercept.
    palette
        Stored values to RGB; None unless PALETTE COLOR.
    inverse
        The smallest value is white.
    bits_stored
        (0028,0101) of colour samples.
    overlays
        Planes to draw over the picture.
    notes
        What the file asks for and is not shown so, each in a few words without values of the patient.
    """

    vois: tuple[Voi, ...] = ()
    modality: Lut | None = None
    palette: Lut | None = None
    inverse: bool = False
    bits_stored: int = 8
    overlays: tuple[Overlay, ...] = ()
    notes: tuple[str, ...] = ()

    def render(self, frame: Frame, bits: int = 8) -> Array:
        """Return a frame as it is shown.

        Parameters
        ----------
        bits
            8 or 16, of grey levels. Colour is shown with 8.

        Returns
        -------
        ndarray
            uint8 or uint16, shape (rows, columns), 0 is black; NaN is shown black. In colour uint8, shape (rows,
            columns, 3), RGB.

        Raises
        ------
        PixelError
            "unsupported photometric interpretation" or "missing palette".
        """
        picture = self._picture(frame, bits)
        if self.overlays:
            picture = picture.copy()  # RGB may be the frame's own values
            for overlay in self.overlays:
                overlay.draw(picture, frame.number, int(np.iinfo(picture.dtype).max))
        return picture

    def _picture(self, frame: Frame, bits: int) -> Array:
        values = frame.values
        if values.ndim == 3:
            colour = to_rgb(frame)
            stored = min(self.bits_stored, 8 * colour.dtype.itemsize)  # a header may claim more than are allocated
            excess = max(stored, 8) - 8
            return colour if colour.dtype == np.uint8 else np.asarray(colour >> excess, dtype=np.uint8)
        if frame.photometric == "PALETTE COLOR":
            if self.palette is None:
                raise PixelError("missing palette", "the file holds no palette of its own")
            return np.asarray(self.palette(values))
        if not is_grey(frame.photometric) or not self.vois:
            raise PixelError("unsupported photometric interpretation", photometric_term(frame.photometric))
        if values.dtype.kind == "f":
            return self._shade(values, frame, bits)
        # Each level that occurs is computed once: 4,096 levels of a CT, not its 262,144 pixels.
        low, high = int(values.min()), int(values.max())
        if high - low >= values.size or high >= LAST_LEVEL:
            return self._shade(values, frame, bits)
        return _looked_up(self._shade(np.arange(low, high + 1), frame, bits), low, values)

    def _shade(self, stored: Array, frame: Frame, bits: int) -> Array:
        voi = self.vois[frame.number] if len(self.vois) > 1 else self.vois[0]
        with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN are data here
            shades = voi(rescaled(stored, frame.slope, frame.intercept, self.modality))
            if self.inverse:
                shades = 1 - shades
            levels = np.asarray(np.rint(shades * ((1 << bits) - 1)))
        levels[np.isnan(levels)] = 0  # nothing else: every VOI gives 0 ... 1
        return np.asarray(levels, dtype=np.uint8 if bits == 8 else np.uint16)


def _looked_up(levels: Array, low: int, values: Array) -> Array:
    """Return what `levels`, whose first is that of the value `low`, say of every value; none of them lies outside.

    Values of up to 16 bits are looked up by their bits, block by block: 0.24 ms for 512 x 512; with an index counted
    from `low`, of 8 bytes a pixel, it is 0.37 ms.
    """
    if values.dtype.itemsize > 2:
        return np.asarray(levels[values.astype(np.int64) - low])
    table = np.empty(1 << 8 * values.dtype.itemsize, levels.dtype)
    table[np.arange(low, low + levels.size)] = levels  # negative places count from the end, as two's complement has it
    bits = values.reshape(-1).view(f"u{values.dtype.itemsize}")
    shown = np.empty(bits.size, levels.dtype)
    for start in range(0, bits.size, BLOCK):
        block = slice(start, start + BLOCK)
        table.take(bits[block], out=shown[block], mode="clip")  # "raise" would fill a copy first
    return shown.reshape(values.shape)


def display_for(
    instance: Instance,
    window: Window = "auto",
    sample: Sample | None = None,
    overlays: bool = False,
    shared: Callable[[], Range | None] | None = None,
) -> Display:
    """Return how an instance is shown.

    Parameters
    ----------
    window
        "dicom": the file's first VOI LUT, else its first window, else as "full". A number: that one of them, from 1,
        where the file has so many. "auto": as "dicom", but without any, and with more than 8 bits stored, the range
        between two percentiles of a sample. "series": that range, whatever the file has. "full": all that *Bits
        Stored* allows, for float pixels all that the sample holds. (center, width), width > 0: that window, by
        LINEAR, in modality units; in stored ones where the display applies no Modality LUT (`lut.display_lut`).
    sample
        Returns the frames of the given numbers (0-based); `pixels.frames.frames` by default. Called at most once,
        with up to 16 numbers, and only where the header does not settle the range. Frames in front of a PixelError
        count.
    overlays
        Whether overlay planes are drawn.
    shared
        Returns the range that this instance has in common with others (`ScanDisplay`), in place of a sample's; None
        for none.

    Raises
    ------
    PixelError
        "no pixel data", "missing palette", "damaged pixel data" (the palette or Modality LUT is), or what the sample
        raises.
    """
    pixels = instance.pixels
    if pixels is None:
        raise PixelError("no pixel data", "the object describes no image")
    attributes = DisplayAttributes(instance, overlays)
    display = Display(overlays=overlays_of(attributes) if overlays else ())
    if pixels.photometric == "PALETTE COLOR":
        palette = palette_of(attributes) if pixels.has_luts else None
        return replace(display, palette=palette, notes=attributes.notes)
    if pixels.samples > 1:
        return replace(display, bits_stored=pixels.bits_stored or pixels.bits_allocated, notes=attributes.notes)
    table = display_lut(attributes)
    vois = chosen_vois(instance, window, attributes, table)
    if not vois:
        ends: Range | None = None
        if _is_whole(pixels, window):
            if pixels.keyword == "PixelData":
                ends = _stored_ends(instance, pixels, table)
        elif shared is not None:
            ends = shared()
        if ends is None:
            numbers = spread_numbers(pixels.frames)
            taken = sample(numbers) if sample is not None else frames(instance, numbers)
            ends = range_of(_sampled(taken, attributes, table, _is_whole(pixels, window)), _is_whole(pixels, window))
        vois = (Ramp(*ends),)
    return replace(display, vois=vois, modality=table, inverse=instance.inverse, notes=attributes.notes)


class ScanDisplay:
    """How the files of one scan are shown: a range that the values have to tell is told once for all that are alike.

    Alike are single-frame grey images of one size, one kind of values and one component, so that a series without
    windows neither flickers nor loses its relative intensities.

    Parameters
    ----------
    decode
        Returns frame 0 of the instance of a number; an error leaves that file out.
    overlays, window
        As for `display_for`.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        decode: Callable[[int], Frame],
        window: Window = "auto",
        overlays: bool = False,
    ) -> None:
        self._instances, self._decode, self._window, self._overlays = instances, decode, window, overlays
        self._ranges: dict[object, Range | None] = {}

    def of(self, number: int, sample: Sample | None = None) -> Display:
        """Return how the instance of a number is shown; arguments and errors as for `display_for`."""
        instance = self._instances[number]
        return display_for(instance, self._window, sample, self._overlays, lambda: self._range(instance))

    def _range(self, instance: Instance) -> Range | None:
        kind = _kind(instance)
        if kind is not None and kind not in self._ranges:
            alike = [number for number, one in enumerate(self._instances) if _kind(one) == kind]
            parts = [self._values(alike[place]) for place in spread_numbers(len(alike))]
            known = [part for part in parts if part is not None]
            self._ranges[kind] = range_of(known) if known else None
        return self._ranges.get(kind)

    def _values(self, number: int) -> Array | None:
        """Sampled values of a file; None when it cannot be decoded, which is told where it is exported.

        Whatever it raises is that file's: one that needs all memory must not take along those that share its range.
        """
        instance = self._instances[number]
        attributes = DisplayAttributes(instance)
        try:
            sample = [self._decode(number)]
            return next(iter(_sampled(sample, attributes, display_lut(attributes), False)))
        except StopError:
            raise
        except Exception:  # noqa: BLE001 - told where that file is exported
            return None


def _kind(instance: Instance) -> object:
    """What single-frame grey images that share a range have in common; None for every other instance."""
    pixels = instance.pixels
    if pixels is None or pixels.frames > 1 or not is_grey(pixels.photometric):
        return None
    described = (pixels.keyword, pixels.bits_stored, pixels.signed, pixels.has_luts)
    return (pixels.rows, pixels.columns, pixels.photometric, *described, instance.plane(0).component)


def _is_whole(pixels: Pixels, window: Window) -> bool:
    """Whether, without a window, all values are shown and not those between percentiles."""
    return window in ("full", "dicom") or (window != "series" and 0 < pixels.bits_stored <= 8)


def _stored_ends(instance: Instance, pixels: Pixels, table: Lut | None) -> Range:
    """Modality values of the least and the greatest stored value, in ascending order."""
    plane = instance.plane(0)
    shown = rescaled(np.array(stored_range(pixels)), plane.slope, plane.intercept, table)
    return float(shown.min()), float(shown.max())


def _sampled(sample: Iterable[Frame], attributes: DisplayAttributes, table: Lut | None, every: bool) -> list[Array]:
    """Values of the frames that can be decoded; raises what the first one raises."""
    pixels = attributes.instance.pixels
    pad = padding(attributes, pixels) if pixels is not None else None
    parts: list[Array] = []
    try:
        for frame in sample:
            parts.append(values_of(frame, table, pad, every))
    except PixelError:  # a file that is cut short shows what it has
        if not parts:
            raise
    return parts

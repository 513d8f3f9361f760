"""Pictures of waveforms: an electrocardiogram on its paper, any other signal as a lane a channel.

Drawn with Pillow, which the package needs anyway. A picture shows signal, channel names and scales: no text of the
patient's. It is for a look; the numbers are in the table beside it.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.waveforms import Group

if TYPE_CHECKING:
    from PIL import Image  # slow to load: most runs draw nothing

_MM = 6  # pixels
DPI = _MM * 25.4  # at which a page prints in its true size

# The paper of electrocardiograms: 25 mm/s, 10 mm/mV, a fine line each mm and a strong one each 5 mm; the pulse in
# front of a trace is 1 mV over 0.2 s.
_SPEED, _GAIN = 25.0, 10.0
_FINE, _STRONG = 1, 5
_PAGE_SECONDS = 10.0  # what a 12-lead recording has by convention, and a page of A4 holds
_MARGIN = 10  # mm in front of the traces, for the pulse
_CAPTION = 10  # mm
_LEAST_ABOVE, _LEAST_BELOW, _MOST = 10, 5, 30  # mm of a lane above its zero line, where the pulse stands, and below
_MILLIVOLTS = {"V": 1000.0, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}

_WIDTH, _LEFT, _RIGHT = 1400, 190, 20  # pixels of a lane's trace, and beside it
_MOST_CHANNELS = 64  # in one picture; the table holds all
_LANE, _LEAST_LANE, _TALLEST = 110, 40, 4000  # pixels

_PAPER, _INK, _FAINT = (255, 255, 255), (25, 25, 40), (110, 110, 120)
_FINE_LINE, _STRONG_LINE, _RULE = (255, 226, 226), (240, 172, 172), (225, 225, 232)
_SMOOTH = 2  # traces are drawn this many times larger, then reduced: Pillow's lines have steps

_Points = npt.NDArray[np.float64]


class _Page:
    """A picture in the making: grid and text first, traces on a mask that is laid over them at the end."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw  # slow to load: most runs draw nothing

        self.image = Image.new("RGB", (width, height), _PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self._mask = Image.new("L", (width * _SMOOTH, height * _SMOOTH))
        self._traces = ImageDraw.Draw(self._mask)

    def trace(self, x: _Points, y: _Points) -> None:
        """A line through points in pixels, broken where `y` is NaN."""
        known = np.isfinite(y)
        for run in np.split(np.arange(len(y)), np.flatnonzero(np.diff(known)) + 1):
            if len(run) and known[run[0]]:
                # One pixel further at its end, by which a sample without neighbours is a dot.
                points = np.column_stack([np.append(x[run], x[run[-1]] + 1), np.append(y[run], y[run[-1]])]) * _SMOOTH
                self._traces.line([*map(tuple, points.tolist())], 255, _SMOOTH + 1, "curve")

    def text(self, place: tuple[float, float], text: str, size: int, colour: tuple[int, ...] = _INK) -> None:
        """Text with its top left corner at a place."""
        from PIL import ImageFont  # slow to load: most runs draw nothing

        self.draw.text(place, text, colour, ImageFont.load_default(size))

    def finish(self) -> Image.Image:
        """The picture."""
        self.image.paste(_INK, mask=self._mask.reduce(_SMOOTH))
        return self.image


def draw_ecg(group: Group) -> Image.Image | None:
    """Draw channels in volts on paper of 25 mm/s and 10 mm/mV, one below the other; at most the first 10 s.

    Each channel is drawn round its median: a constant offset of the electrodes would move it off its lane.

    Returns
    -------
    Image or None
        `_MM` pixels a mm. None for channels that are not voltages.
    """
    if any(channel.unit not in _MILLIVOLTS for channel in group.channels):
        return None
    shown = min(len(group.values), max(math.ceil(_PAGE_SECONDS * group.rate), 1))
    count = min(len(group.channels), _MOST_CHANNELS)
    scale = np.array([_MILLIVOLTS[channel.unit] for channel in group.channels[:count]])
    heights = group.physical(0, shown)[:, :count] * scale * _GAIN  # mm
    heights -= _median(heights)
    above, below = _reach(heights, _LEAST_ABOVE), _reach(-heights, _LEAST_BELOW)
    bottoms = _CAPTION + np.cumsum(above + below)  # mm
    page = _Page((_MARGIN + round(_PAGE_SECONDS * _SPEED) + _STRONG) * _MM, (int(bottoms[-1]) + _STRONG) * _MM)
    _rule(page)
    x = (_MARGIN + np.arange(shown) / group.rate * _SPEED) * _MM
    for number, zero in enumerate(bottoms - below):
        page.trace(x, (zero - np.clip(heights[:, number], -below[number], above[number])) * _MM)
        pulse = np.array([(1, 0), (2.5, 0), (2.5, _GAIN), (7.5, _GAIN), (7.5, 0), (9, 0)])
        page.trace(pulse[:, 0] * _MM, (zero - pulse[:, 1]) * _MM)
        page.text(((_MARGIN + 1) * _MM, (zero - above[number]) * _MM), group.channels[number].name, 3 * _MM)
    page.text((_MARGIN * _MM, 2 * _MM), f"{_SPEED:g} mm/s   {_GAIN:g} mm/mV   {_caption(group, count, shown)}", 3 * _MM)
    return page.finish()


def draw_lanes(group: Group) -> Image.Image:
    """Draw the whole recording, a lane a channel, each scaled to its own lowest and highest value."""
    count = min(len(group.channels), _MOST_CHANNELS)
    lane = max(min(_LANE, _TALLEST // count), _LEAST_LANE)
    top, size = 40, 15
    page = _Page(_LEFT + _WIDTH + _RIGHT, top + count * lane + 50)
    x, lowest, highest = _envelope(group, count)
    _rule_time(page, group, (top, top + count * lane))
    for number in range(count):
        upper = top + number * lane
        low, high = _limits(lowest[:, number], highest[:, number])
        both = np.column_stack([lowest[:, number], highest[:, number]]).ravel()
        y = upper + 6 + (high - both) / (high - low) * (lane - 12)
        page.draw.line([(0, upper), (page.image.width, upper)], _RULE)
        page.trace(np.repeat(x, 2), y)
        channel = group.channels[number]
        page.text((8, upper + 4), _shortened(channel.name), size)
        page.text((8, upper + 6 + size), f"{low:.4g} to {high:.4g} {channel.unit}", size - 2, _FAINT)
    page.text((_LEFT, 12), _caption(group, count, len(group.values)), size)
    return page.finish()


def _caption(group: Group, channels: int, samples: int) -> str:
    whole = len(group.values)
    parts = [f"group {group.number}", f"{group.rate:g} Hz"]
    if samples < whole:
        parts.append(f"first {samples / group.rate:g} s of {whole / group.rate:g} s")
    else:
        parts.append(f"{whole / group.rate:g} s")
    if channels < len(group.channels):
        parts.append(f"{channels} of {len(group.channels)} channels")
    return "   ".join(parts)


def _median(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Median of each column; 0 for a column without a number."""
    return np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else 0 for column in values.T])


def _reach(heights: npt.NDArray[Any], least: int) -> npt.NDArray[np.int64]:
    """How far each column goes up, in mm: a multiple of 5, within limits, so that zero lines lie on strong ones."""
    largest = np.fmax.reduce(heights, axis=0, initial=0.0)
    steps = np.ceil(np.minimum(largest, _MOST) / _STRONG)
    reach: npt.NDArray[np.int64] = np.clip(_STRONG * steps, least, _MOST).astype(np.int64)
    return reach


def _rule(page: _Page) -> None:
    """Millimetre paper, from below the caption on."""
    width, height = page.image.size
    for step, colour in ((_FINE, _FINE_LINE), (_STRONG, _STRONG_LINE)):
        for x in range(0, width, step * _MM):
            page.draw.line([(x, _CAPTION * _MM), (x, height)], colour)
        for y in range(_CAPTION * _MM, height, step * _MM):
            page.draw.line([(0, y), (width, y)], colour)


def _rule_time(page: _Page, group: Group, span: tuple[int, int]) -> None:
    """Lines and numbers of a time axis with steps of 1, 2 or 5 times a power of ten."""
    seconds = len(group.values) / group.rate
    power = 10.0 ** math.floor(math.log10(seconds / 10))
    step = power * min(factor for factor in (1, 2, 5, 10) if seconds / (power * factor) <= 10.5)
    for number in range(math.floor(seconds / step) + 1):
        x = _LEFT + number * step / seconds * _WIDTH
        page.draw.line([(x, span[0]), (x, span[1])], _RULE)
        if x < _LEFT + _WIDTH - 40:  # the last number would run over the edge
            page.text((x + 3, span[1] + 6), f"{group.start + number * step:.6g} s", 14, _FAINT)


def _envelope(group: Group, count: int) -> tuple[_Points, _Points, _Points]:
    """Position of each column of pixels that holds samples, and their lowest and highest value, a column a channel.

    Only the samples of one column of pixels are converted at a time.
    """
    samples = len(group.values)
    edges = np.unique(np.linspace(0, samples, min(samples, _WIDTH) + 1).astype(int))
    pairs = [group.physical(first, last)[:, :count] for first, last in itertools.pairwise(edges)]
    lowest = np.array([np.fmin.reduce(values, axis=0) for values in pairs])
    highest = np.array([np.fmax.reduce(values, axis=0) for values in pairs])
    return _LEFT + edges[:-1] / samples * _WIDTH, lowest, highest


def _limits(lowest: _Points, highest: _Points) -> tuple[float, float]:
    """Lowest and highest value of a lane, never the same."""
    finite = np.isfinite(lowest)
    if not finite.any():
        return 0.0, 1.0
    low, high = float(lowest[finite].min()), float(highest[finite].max())
    margin = 0.0 if high > low else max(abs(low), 1.0)
    return low - margin, high + margin


def _shortened(name: str) -> str:
    """A channel's name as the space in front of its lane holds it."""
    longest = 24
    return name if len(name) <= longest else name[: longest - 1] + "…"

"""What a person looks at: a frame of stored values to grey levels or RGB.

The grayscale pipeline of PS3.4 N.2: Modality LUT or rescale, VOI LUT or window, then one inversion. Colour is brought
to RGB by what `Frame.photometric` says the values are now, hence exactly once. No ICC profile, overlay, shutter or
supplemental palette is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from crawler.codecs import FAULTS
from crawler.dataset.elements import quiet_pydicom
from crawler.errors import PixelError
from crawler.files import open_file
from crawler.model import Frame, Instance
from crawler.pixels import frames
from crawler.values import is_grey, stored_range

Array = npt.NDArray[Any]
Window = Literal["auto", "dicom", "full"] | tuple[float, float]
Sample = Callable[[Iterable[int]], Iterable[Frame]]

SAMPLED_FRAMES = 16  # spread over the file, so that one window serves a cine and it does not flicker
# Values taken of each sampled frame: the standard error of a 0.5 % quantile of 65,536 values is 0.03 %.
SAMPLED_VALUES = 1 << 16
# Leaves out dead pixels, burnt-in text and metal; ImageJ's "Enhance Contrast" leaves out 0.35 % by default.
PERCENTILES = (0.5, 99.5)
_COLOURS = ("Red", "Green", "Blue")
_TABLES = (
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PixelRepresentation",
    "BitsAllocated",
)


class Entries(NamedTuple):
    """A lookup table as the file has it: the first value mapped, the entries, the bits that an entry means."""

    first: int
    table: Array
    bits: int


@dataclass(frozen=True, eq=False, slots=True)
class Lut:
    """A lookup table (PS3.3 C.11.1.1): `table[0]` stands for the value `first` and all below it.

    Attributes
    ----------
    table
        float64, shape (entries,): modality units, or 0 to 1 for a VOI LUT; uint8, shape (entries, 3) for a palette.
    """

    first: int
    table: Array

    def __call__(self, values: Array) -> Array:
        """Look values up; those outside of the table get its ends."""
        index = np.nan_to_num(np.rint(values)) if values.dtype.kind == "f" else values
        last = self.first + len(self.table) - 1
        return np.asarray(self.table[np.clip(index, self.first, last).astype(np.int64) - self.first])


@dataclass(frozen=True, slots=True)
class Ramp:
    """Values at or below `low` are black, those above `high` are white, a straight line lies between."""

    low: float
    high: float

    def __call__(self, values: Array) -> Array:
        """Map modality values to 0 ... 1."""
        if not self.high > self.low:  # a width of 1 is a threshold (C.11.2.1.2.1), a constant image is one value
            return np.where(np.isnan(values), np.nan, (values > self.low).astype(np.float64))
        return np.clip((values - self.low) / (self.high - self.low), 0, 1)


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """The SIGMOID function of PS3.3 C.11.2.1.3.1."""

    center: float
    width: float

    def __call__(self, values: Array) -> Array:
        """Map modality values to 0 ... 1."""
        exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)  # exp overflows beyond 709
        return np.asarray(1 / (1 + np.exp(exponent)))


@dataclass(frozen=True, eq=False, slots=True)
class Display:
    """How the frames of one instance are shown; made by `display_for`.

    Attributes
    ----------
    voi
        Modality values to 0 ... 1; None in colour.
    modality
        Stored values to modality values; None for the frame's own slope and intercept.
    palette
        Stored values to RGB; None unless PALETTE COLOR.
    inverse
        The smallest value is white.
    bits_stored
        (0028,0101) of colour samples.
    """

    voi: Ramp | Sigmoid | Lut | None = None
    modality: Lut | None = None
    palette: Lut | None = None
    inverse: bool = False
    bits_stored: int = 8

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
        values = frame.values
        if values.ndim == 3:
            colour = to_rgb(frame)
            excess = max(self.bits_stored, 8) - 8
            return colour if colour.dtype == np.uint8 else np.asarray(colour >> excess, dtype=np.uint8)
        if frame.photometric == "PALETTE COLOR":
            if self.palette is None:
                raise PixelError("missing palette", "the file holds no palette of its own")
            return np.asarray(self.palette(values))
        if not is_grey(frame.photometric) or self.voi is None:
            raise PixelError("unsupported photometric interpretation", frame.photometric)
        if values.dtype.kind == "f":
            return self._shade(values, frame, bits)
        # Each level that occurs is computed once: 4,096 levels of a CT, not its 262,144 pixels.
        low, high = int(values.min()), int(values.max())
        if high - low >= values.size:
            return self._shade(values, frame, bits)
        levels = self._shade(np.arange(low, high + 1), frame, bits)
        return np.asarray(levels[values.astype(np.int64) - low])

    def _shade(self, stored: Array, frame: Frame, bits: int) -> Array:
        assert self.voi is not None
        with np.errstate(over="ignore", invalid="ignore"):  # infinities and NaN are data here
            shades = self.voi(_rescaled(stored, frame, self.modality))
            if self.inverse:
                shades = 1 - shades
            top = (1 << bits) - 1
            levels = np.nan_to_num(np.rint(shades * top), nan=0)
        return np.asarray(levels, dtype=np.uint8 if bits == 8 else np.uint16)


def display_for(instance: Instance, window: Window = "auto", sample: Sample | None = None) -> Display:
    """Return how an instance is shown.

    Parameters
    ----------
    window
        "dicom": the file's VOI LUT, else its first window, else as "full". "auto": the same, but without either, and
        with more than 8 bits stored, the range between two percentiles of a sample. "full": all that *Bits Stored*
        allows, for float pixels all that the sample holds. (center, width), width > 0: that window, by LINEAR, in
        modality units.
    sample
        Returns the frames of the given numbers (0-based); `pixels.frames` by default. Called at most once, with up to
        16 numbers, and only where the header does not settle the range.

    Raises
    ------
    PixelError
        "no pixel data", "missing palette", "damaged pixel data" (a lookup table is), or what the sample raises.
    """
    pixels = instance.pixels
    if pixels is None:
        raise PixelError("no pixel data", "the object describes no image")
    tables = _read_tables(instance) if pixels.has_luts else Dataset()
    if pixels.photometric == "PALETTE COLOR":
        return Display(palette=_palette(tables))
    if pixels.samples > 1:
        return Display(bits_stored=pixels.bits_stored or pixels.bits_allocated)
    entries = _first_item(tables, "ModalityLUTSequence")
    modality_lut = Lut(entries[0], entries[1].astype(np.float64)) if entries else None
    voi = _voi(instance, window, tables)
    if voi is None:
        whole_range = window != "auto" or pixels.bits_stored <= 8
        if whole_range and pixels.keyword == "PixelData":
            ends = np.array(stored_range(pixels))
            plane = Frame(0, ends, pixels.photometric, instance.plane(0).slope, instance.plane(0).intercept)
            shown = _rescaled(ends, plane, modality_lut)
        else:
            numbers = np.unique(np.linspace(0, pixels.frames - 1, min(pixels.frames, SAMPLED_FRAMES)).astype(int))
            taken = sample or (lambda wanted: frames(instance, list(wanted)))
            shown = _spread(taken(numbers.tolist()), modality_lut, whole_range)
        voi = Ramp(float(shown.min()), float(shown.max()))
    return Display(voi=voi, modality=modality_lut, inverse=instance.inverse)


def to_rgb(frame: Frame) -> Array:
    """Return a colour frame as RGB, shape (rows, columns, 3), in its stored dtype.

    Raises
    ------
    PixelError
        "unsupported photometric interpretation": not RGB, YBR_FULL or YBR_FULL_422; or YBR of more than 8 bits.
    """
    values = frame.values
    if values.ndim == 3 and values.shape[2] == 3:
        if frame.photometric == "RGB":
            return values
        if frame.photometric in ("YBR_FULL", "YBR_FULL_422") and values.dtype == np.uint8:
            return np.asarray(convert_color_space(values, "YBR_FULL", "RGB"))
    kind = f"{frame.photometric}, {values.shape[2] if values.ndim == 3 else 1} samples of {values.dtype}"
    raise PixelError("unsupported photometric interpretation", kind)


def _rescaled(stored: Array, frame: Frame, table: Lut | None) -> Array:
    """Stored values to modality values, float64: by the table, else by slope and intercept (PS3.3 C.11.1)."""
    return table(stored) if table is not None else stored * np.float64(frame.slope) + np.float64(frame.intercept)


def _voi(instance: Instance, window: Window, tables: Dataset) -> Ramp | Sigmoid | Lut | None:
    """Return the transform that the user or the file asks for; None when the range of the values decides."""
    if window == "full":
        return None
    if not isinstance(window, str):
        center, width = window
        return _window(float(center), float(width), "LINEAR")
    entries = _first_item(tables, "VOILUTSequence")
    if entries is not None:
        first, table, bits = entries
        return Lut(first, np.minimum(table / ((1 << bits) - 1), 1))
    return _window(*instance.windows[0], instance.window_function) if instance.windows else None


def _window(center: float, width: float, function: str) -> Ramp | Sigmoid:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT)."""
    if function == "SIGMOID":
        return Sigmoid(center, width)
    # LINEAR is not defined for widths below 1; float images that name it mean the exact ramp.
    if function == "LINEAR_EXACT" or width < 1:
        return Ramp(center - width / 2, center + width / 2)
    return Ramp(center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)


def _spread(sample: Iterable[Frame], table: Lut | None, whole: bool) -> Array:
    """Two modality values that the range to show lies between."""
    parts = []
    for frame in sample:
        flat = frame.values.reshape(-1)
        # A step that has no factor in common with the columns would be better still; an odd one does not fall into
        # the same columns of images whose width is a power of two.
        step = flat.size // SAMPLED_VALUES | 1
        values = _rescaled(flat if whole else flat[::step], frame, table)
        parts.append(values[np.isfinite(values)])
    values = np.concatenate(parts) if parts else np.zeros(0)
    if not values.size:
        return np.zeros(1)
    ends = np.percentile(values, PERCENTILES)
    # A few objects on an even ground: both percentiles lie on the ground.
    return np.array([values.min(), values.max()]) if whole or ends[0] == ends[1] else ends


def _read_tables(instance: Instance) -> Dataset:
    """Return the lookup tables of a file, and what pydicom needs to read them."""
    try:
        with quiet_pydicom(), open_file(instance.file) as stream:
            tables = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(_TABLES))
            list(tables.iterall())  # values are converted when looked at: all of them here, inside the guard
            return tables
    except FAULTS as error:
        raise PixelError("damaged pixel data", "the lookup tables cannot be read") from error


def _first_item(tables: Dataset, keyword: str) -> Entries | None:
    """Return the table in the first item of a LUT sequence; the others are alternatives (PS3.3 C.11.2.1.1)."""
    items = tables.get(keyword)
    if not items or "LUTDescriptor" not in items[0] or "LUTData" not in items[0]:
        return None
    return _entries(tables, items[0].LUTDescriptor, items[0]["LUTData"])


def _entries(tables: Dataset, descriptor: Any, data: DataElement) -> Entries:
    """Read a descriptor (number of entries, first value mapped, bits) and its data (PS3.3 C.11.1.1, C.7.6.3.1.5)."""
    try:
        count, first, bits = (int(number) for number in descriptor)
        count = count or 1 << 16
        if isinstance(data.value, bytes):
            little = tables.original_encoding[1] is not False
            wide = len(data.value) >= 2 * count
            table = np.frombuffer(data.value, f"{'<' if little else '>'}u2")
            if not wide:  # 8-bit entries; in big endian OW they lie in swapped pairs (PS3.5 8.1.2)
                table = (table if little or data.VR != "OW" else table.byteswap()).view("u1")
        else:
            table = np.atleast_1d(np.asarray(data.value, dtype=np.int64)) & 0xFFFF
        table = table[:count]
        if not table.size or not 1 <= bits <= 16:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise PixelError("damaged pixel data", f"the descriptor of {data.keyword} does not fit it") from error
    return Entries(first, table.astype(np.uint16), bits)


def _palette(tables: Dataset) -> Lut | None:
    """Return the palette with 8 bits a colour (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2); None when there is none."""
    if "RedPaletteColorLookupTableDescriptor" not in tables:
        return None
    descriptor = tables.RedPaletteColorLookupTableDescriptor
    if "RedPaletteColorLookupTableData" in tables:
        columns = [
            _entries(tables, descriptor, tables[f"{colour}PaletteColorLookupTableData"])
            for colour in _COLOURS
            if f"{colour}PaletteColorLookupTableData" in tables
        ]
        if len({column.table.size for column in columns}) != 1 or len(columns) != 3:
            raise PixelError("damaged pixel data", "the palette's colours differ in length")
        first, table, bits = columns[0].first, np.stack([column.table for column in columns], axis=1), columns[0].bits
    elif "SegmentedRedPaletteColorLookupTableData" in tables:
        try:
            count, first, bits = (int(number) for number in descriptor)
            table = apply_color_lut(first + np.arange(count or 1 << 16), tables)[:, :3]
        except FAULTS as error:
            raise PixelError("damaged pixel data", "the segmented palette cannot be expanded") from error
    else:
        return None
    # 16-bit entries are scaled to the full range, so the high byte is the colour; but some writers name 16 bits and
    # write 8, which no entry above 255 tells.
    return Lut(first, (table >> 8 if bits > 8 and table.max() > 255 else table).astype(np.uint8))

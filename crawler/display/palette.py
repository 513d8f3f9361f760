"""PALETTE COLOR: indices to RGB by the three tables of the file, plain or segmented (PS3.3 C.7.6.3.1.5, C.7.9.2).

Entries of any depth come out with 8 bits a colour. Supplemental palettes, which colour the upper values of a grey
image, are not applied: they need a presentation of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.values import Values
from crawler.display.attributes import COLOURS, DisplayAttributes
from crawler.display.entries import first_mapped, read_entries
from crawler.display.lut import Lut, stored_inputs
from crawler.errors import PixelError
from crawler.pixels.decoder_errors import decoder_errors

Array = npt.NDArray[Any]

# Depths beyond 8 that palettes have in practice: those of displays, and 16 of the standard (C.7.6.3.1.5).
_DEPTHS = (10, 12, 16)


def palette_of(attributes: DisplayAttributes) -> Lut | None:
    """Return the palette, uint8, shape (entries, 3); None when the file holds none.

    Raises
    ------
    PixelError
        "damaged pixel data": a descriptor does not fit its data, or the colours differ in length.
    """
    values, inputs = attributes.values, stored_inputs(attributes.instance)
    if not values.has_value("RedPaletteColorLookupTableDescriptor"):
        return None
    if values.has_value("RedPaletteColorLookupTableData"):
        named = [f"{colour}PaletteColorLookupTable" for colour in COLOURS]
        if any(values.get(f"{name}{part}") is None for name in named for part in ("Descriptor", "Data")):
            raise PixelError("damaged pixel data", "the palette lacks a colour")
        columns = [
            read_entries(values.get(f"{name}Descriptor"), values.get(f"{name}Data"), f"{name}Data", inputs)
            for name in named
        ]
        if len({column.table.size for column in columns}) != 1:
            raise PixelError("damaged pixel data", "the palette's colours differ in length")
        levels = np.stack([column.table for column in columns], axis=1)
        if len({column.bits for column in columns}) == 1:
            colours = _eight_bits(levels, columns[0].bits)
        else:  # each by itself
            parts = [_eight_bits(levels[:, [place]], column.bits) for place, column in enumerate(columns)]
            colours = np.concatenate(parts, axis=1)
        return Lut(columns[0].first, colours, columns[0].declared)
    if not values.has_value("SegmentedRedPaletteColorLookupTableData"):
        return None
    if not all(values.has_value(f"Segmented{colour}PaletteColorLookupTableData") for colour in COLOURS):
        raise PixelError("damaged pixel data", "the palette lacks a colour")
    try:
        count, first, bits = map(int, values.numbers("RedPaletteColorLookupTableDescriptor"))
        count = count & 0xFFFF or 1 << 16
        table = _expanded(values, count, bits, attributes.little)
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", "the segmented palette cannot be expanded") from error
    return Lut(first_mapped(first, count, inputs), _eight_bits(table, bits))


def _expanded(values: Values, count: int, bits: int, little: bool) -> Array:
    """Entries of a segmented palette (PS3.3 C.7.9.2), shape (count, 3), by pydicom, which is given the bytes only."""
    from pydicom.dataset import Dataset  # slow to load, and few files have one
    from pydicom.pixels.processing import apply_color_lut

    dataset = Dataset()
    dataset.set_original_encoding(False, little, None)
    dataset.add_new("RedPaletteColorLookupTableDescriptor", "US", [count & 0xFFFF, 0, bits])
    for colour in COLOURS:
        keyword = f"Segmented{colour}PaletteColorLookupTableData"
        if (data := values.get(keyword)) is not None:
            dataset.add_new(keyword, "OW", data.raw)
    return np.asarray(apply_color_lut(np.arange(count), dataset)[:, :3])


def _eight_bits(table: Array, bits: int) -> Array:
    """Keep the upper 8 bits of entries, which are scaled to the full range of their depth (C.7.6.3.1.6).

    Many writers name 8 or 16 bits and use another depth. Entries without a low byte, or with the high one in its place
    too, have 16 bits; others the least depth that holds the greatest, unless a rarer one is named that does.
    """
    greatest = int(table.max())
    if greatest <= 0xFF:
        return table.astype(np.uint8)
    low, high = table & 0xFF, table >> 8
    if not low.any() or (low == high).all():
        depth = 16
    elif 8 < bits < 16 and greatest < 1 << bits:
        depth = bits
    else:
        depth = next(depth for depth in _DEPTHS if greatest < 1 << depth)
    return (table >> depth - 8).astype(np.uint8)

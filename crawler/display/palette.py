"""PALETTE COLOR: indices to RGB by the three tables of the file, plain or segmented (PS3.3 C.7.6.3.1.5, C.7.9.2).

Entries of any depth come out with 8 bits a colour. Supplemental palettes, which colour the upper values of a grey
image, are not applied: they need a presentation of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
    dataset, inputs = attributes.dataset, stored_inputs(attributes.instance)
    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None:
        return None
    if dataset.get("RedPaletteColorLookupTableData"):
        named = [f"{colour}PaletteColorLookupTable" for colour in COLOURS]
        if not all(f"{name}{part}" in dataset for name in named for part in ("Descriptor", "Data")):
            raise PixelError("damaged pixel data", "the palette lacks a colour")
        columns = [
            read_entries(dataset[f"{name}Descriptor"], dataset[f"{name}Data"], attributes.little, inputs)
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
    if not dataset.get("SegmentedRedPaletteColorLookupTableData"):
        return None
    from pydicom.pixels.processing import apply_color_lut  # slow to load, and few files have one

    try:
        count, first, bits = (int(number) for number in descriptor)
        count = count & 0xFFFF or 1 << 16
        table = apply_color_lut(first + np.arange(count), dataset)[:, :3]
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", "the segmented palette cannot be expanded") from error
    return Lut(first_mapped(first, count, inputs), _eight_bits(table, bits))


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

"""PALETTE COLOR: indices to RGB by the three tables of the file, plain or segmented (PS3.3 C.7.6.3.1.5, C.7.9.2).

Entries of any depth come out with 8 bits a colour. Supplemental palettes, which colour the upper values of a grey
image, are not applied: they need a presentation of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.display.attributes import COLOURS, DisplayAttributes
from crawler.display.lut import Lut, read_entries
from crawler.errors import PixelError
from crawler.pixels.decoder_errors import decoder_errors

Array = npt.NDArray[Any]


def palette_of(attributes: DisplayAttributes) -> Lut | None:
    """Return the palette, uint8, shape (entries, 3); None when the file holds none.

    Raises
    ------
    PixelError
        "damaged pixel data": a descriptor does not fit its data, or the colours differ in length.
    """
    dataset = attributes.dataset
    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None:
        return None
    if "RedPaletteColorLookupTableData" in dataset:
        columns = [
            read_entries(descriptor, dataset[f"{colour}PaletteColorLookupTableData"], attributes.little)
            for colour in COLOURS
            if f"{colour}PaletteColorLookupTableData" in dataset
        ]
        if len({column.table.size for column in columns}) != 1 or len(columns) != 3:
            raise PixelError("damaged pixel data", "the palette's colours differ in length")
        first, bits = columns[0].first, columns[0].bits
        return Lut(first, _eight_bits(np.stack([column.table for column in columns], axis=1), bits))
    if "SegmentedRedPaletteColorLookupTableData" not in dataset:
        return None
    from pydicom.pixels.processing import apply_color_lut  # slow to load, and few files have one

    try:
        count, first, bits = (int(number) for number in descriptor)
        table = apply_color_lut(first + np.arange(count or 1 << 16), dataset)[:, :3]
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", "the segmented palette cannot be expanded") from error
    return Lut(first, _eight_bits(table, bits))


def _eight_bits(table: Array, bits: int) -> Array:
    """Keep the upper 8 bits of entries, which are scaled to the full range of their depth (C.7.6.3.1.6).

    But some writers name 16 bits and write 8, which no entry above 255 tells.
    """
    return (table >> bits - 8 if bits > 8 and table.max() > 255 else table).astype(np.uint8)

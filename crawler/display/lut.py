"""Lookup tables of grey values: a descriptor and its data to a table that can be applied.

The Modality LUT and VOI LUTs (PS3.3 C.11.1.1, C.11.2.1.1) are made here; palettes (`palette.py`) share the reader of
descriptor and data. No file is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crawler.display.attributes import DisplayAttributes
from crawler.errors import PixelError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

Array = npt.NDArray[Any]


class Entries(NamedTuple):
    """A lookup table as the file has it: the first value mapped, the entries, the bits that an entry means."""

    first: int
    table: Array
    bits: int


@dataclass(frozen=True, eq=False, slots=True)
class Lut:
    """A lookup table: `table[0]` stands for the value `first` and all below it, the last entry for all above.

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


def modality_lut(attributes: DisplayAttributes) -> Lut | None:
    """Return the table of (0028,3000) *Modality LUT Sequence*, stored values to modality values; None without one.

    Raises
    ------
    PixelError
        "damaged pixel data": descriptor and data do not fit each other.
    """
    found = _items(attributes, attributes.dataset, "ModalityLUTSequence")
    return Lut(found[0].first, found[0].table.astype(np.float64)) if found else None


def voi_luts(attributes: DisplayAttributes, dataset: Dataset) -> list[Lut]:
    """Return the tables of (0028,3010) *VOI LUT Sequence*, modality values to 0 ... 1.

    Parameters
    ----------
    dataset
        What holds the sequence: the data set, or an item of a functional group. Its items are alternatives
        (PS3.3 C.11.2.1.1).

    Raises
    ------
    PixelError
        As for `modality_lut`.
    """
    found = _items(attributes, dataset, "VOILUTSequence")
    return [Lut(first, np.minimum(table / ((1 << bits) - 1), 1)) for first, table, bits in found]


def rescaled(stored: Array, slope: float, intercept: float, table: Lut | None) -> Array:
    """Stored values to modality values, float64: by the table, else by slope and intercept (PS3.3 C.11.1)."""
    return table(stored) if table is not None else stored * np.float64(slope) + np.float64(intercept)


def read_entries(descriptor: Any, data: DataElement, little: bool) -> Entries:
    """Read a descriptor (number of entries, first value mapped, bits) and its data.

    Raises
    ------
    PixelError
        "damaged pixel data": they do not fit each other.
    """
    try:
        count, first, bits = (int(number) for number in descriptor)
        count = count or 1 << 16
        if isinstance(data.value, bytes):
            wide = len(data.value) >= 2 * count
            table = np.frombuffer(data.value, f"{'<' if little else '>'}u2")
            if not wide:  # 8-bit entries; in big endian OW, which byte order applies to (PS3.5 7.3), pairs are swapped
                table = (table if little or data.VR != "OW" else table.byteswap()).view("u1")
        else:
            table = np.atleast_1d(np.asarray(data.value, dtype=np.int64)) & 0xFFFF
        table = table[:count]
        if not table.size or not 1 <= bits <= 16:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise PixelError("damaged pixel data", f"the descriptor of {data.keyword} does not fit it") from error
    return Entries(first, table.astype(np.uint16), bits)


def _items(attributes: DisplayAttributes, dataset: Dataset, keyword: str) -> list[Entries]:
    """Tables of a LUT sequence, without items that hold none."""
    return [
        read_entries(item.LUTDescriptor, item["LUTData"], attributes.little)
        for item in dataset.get(keyword) or ()
        if "LUTDescriptor" in item and "LUTData" in item
    ]

"""Lookup tables of grey values: the Modality LUT and VOI LUTs (PS3.3 C.11.1.1, C.11.2.1.1) as tables to be applied.

Tables whose attributes are empty do not exist. `entries.py` reads descriptors and data; no file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.values import Values
from crawler.display.attributes import DisplayAttributes
from crawler.display.entries import Entries, read_entries
from crawler.errors import PixelError
from crawler.model import Instance
from crawler.pixels.modality import stored_range

Array = npt.NDArray[Any]

# X-Ray Angiographic, Radiofluoroscopic and the retired Bi-Plane images, enhanced ones too: PS3.4 B.5.
_X_RAY_CINES = "1.2.840.10008.5.1.4.1.1.12."
_MOST_ENTRIES = 1 << 16  # of a table of values as they are stored: angiograms have 16 bits at most (PS3.3 C.8.7.1)


@dataclass(frozen=True, eq=False, slots=True)
class Lut:
    """A lookup table: `table[0]` stands for the value `first` and all below it, the last entry for all above.

    Attributes
    ----------
    table
        float64, shape (entries,): modality units, or 0 to 1 for a VOI LUT; uint8, shape (entries, 3) for a palette.
    declared
        Entries that the file announces; where it holds fewer, values beyond those are refused.
    """

    first: int
    table: Array
    declared: int = 0

    def __call__(self, values: Array) -> Array:
        """Look values up; those outside of the table get its ends.

        Raises
        ------
        PixelError
            "damaged pixel data": a value's entry is not in the file.
        """
        if values.dtype.kind == "f":
            limit = float(1 << 62)  # far beyond any table, and exact in both types
            index = np.clip(np.nan_to_num(np.rint(values)), -limit, limit).astype(np.int64)
        elif values.dtype == np.uint64:
            index = np.minimum(values, np.uint64(1 << 62)).astype(np.int64)
        else:
            index = values.astype(np.int64)
        size = len(self.table)
        last = self.first + size - 1
        if self.declared > size and index.size and index.max() > last:
            raise PixelError("damaged pixel data", f"a lookup table holds {size:,} of {self.declared:,} entries")
        index = np.clip(index, self.first, last, out=index)
        index -= self.first
        return np.asarray(self.table[index])


def modality_lut(attributes: DisplayAttributes) -> Lut | None:
    """Return the table of (0028,3000) *Modality LUT Sequence*, stored values to modality values; None without one.

    Raises
    ------
    PixelError
        "damaged pixel data": descriptor and data do not fit each other.
    """
    values = attributes.values
    if not _is_whole(values, "ModalityLUTSequence"):
        raise PixelError("damaged pixel data", "ModalityLUTSequence cannot be read")
    for item in _items(values, "ModalityLUTSequence"):
        found = _read(item, stored_inputs(attributes.instance))
        return Lut(found.first, found.table.astype(np.float64), found.declared)
    return None


def display_lut(attributes: DisplayAttributes) -> Lut | None:
    """Return the table from stored values to those that windows mean; None for each frame's slope and intercept.

    Arguments and errors as for `modality_lut`. The Modality transformation of an X-ray angiogram or fluoroscopy, by a
    table or by a slope, leads to intensities at the detector and is meant for measurements: its pixels can be shown as
    they are stored (PS3.3 C.8.7.1.1.2 *Pixel Intensity Relationship*), and its windows are in stored values. dcmtk
    shows them so.
    """
    instance = attributes.instance
    if instance.pixels is None:
        return None
    if not instance.sop_class.startswith(_X_RAY_CINES):
        return modality_lut(attributes) if instance.pixels.has_luts else None
    low, high = stored_inputs(instance)
    rescales = any((plane.slope, plane.intercept) != (1.0, 0.0) for plane in instance.planes)
    is_small = rescales and 0 < high - low < _MOST_ENTRIES
    return Lut(low, np.arange(low, high + 1, dtype=np.float64)) if is_small else None


def voi_luts(attributes: DisplayAttributes, values: Values, inputs: tuple[float, float]) -> list[Lut]:
    """Return the tables of (0028,3010) *VOI LUT Sequence*, modality values to 0 ... 1.

    The brightest entry of a table that leaves the upper half of its bits unused, or exceeds them, tells its bits: it
    is then written in fewer or more than the descriptor says. A table that is damaged, or that lacks entries for
    values that may occur, is left out, and a note is made; other ways to show the image remain.

    Parameters
    ----------
    values
        What holds the sequence: the data set, or an item of a functional group. Its items are alternatives
        (PS3.3 C.11.2.1.1).
    inputs
        Least and greatest modality value.
    """
    found = []
    if not _is_whole(values, "VOILUTSequence"):
        attributes.note("VOILUTSequence is not whole: it cannot be read to its end")
    for item in _items(values, "VOILUTSequence"):
        try:
            first, table, bits, declared = _read(item, inputs)
        except PixelError as error:
            attributes.note(f"a VOI LUT is not used: {error.detail}")
            continue
        if table.size < declared and first + table.size <= inputs[1]:
            attributes.note(f"a VOI LUT is not used: it holds {table.size:,} of {declared:,} entries")
            continue
        used = int(table.max()).bit_length() or bits
        if used != bits:
            attributes.note(f"a VOI LUT of {bits} bits uses {used}: these are shown from black to white")
        found.append(Lut(first, table / ((1 << used) - 1)))
    return found


def stored_inputs(instance: Instance) -> tuple[int, int]:
    """Return the least and the greatest stored value that the header allows; zeros without an image."""
    return stored_range(instance.pixels) if instance.pixels is not None else (0, 0)


def modality_range(instance: Instance, table: Lut | None) -> tuple[float, float]:
    """Return the least and the greatest modality value that the header allows: over the table, else all rescales."""
    if table is not None:
        return float(table.table.min()), float(table.table.max())
    ends = stored_inputs(instance)
    rescales = {(plane.slope, plane.intercept) for plane in instance.planes}
    values = [end * slope + intercept for slope, intercept in rescales for end in ends]
    return (min(values), max(values)) if all(map(math.isfinite, values)) else (0.0, 0.0)


def rescaled(stored: Array, slope: float, intercept: float, table: Lut | None) -> Array:
    """Stored values to modality values, float64: by the table, else by slope and intercept (PS3.3 C.11.1)."""
    return table(stored) if table is not None else stored * np.float64(slope) + np.float64(intercept)


def _read(item: Values, inputs: tuple[float, float]) -> Entries:
    return read_entries(item.get("LUTDescriptor"), item.get("LUTData"), "LUTData", inputs)


def _is_whole(values: Values, keyword: str) -> bool:
    """Whether a sequence can be read to its end; also where there is none."""
    sequence = values.get(keyword)
    return sequence is None or not sequence.error


def _items(values: Values, keyword: str) -> Iterator[Values]:
    """Items of a LUT sequence, without those whose attributes are absent or empty."""
    for item in values.items(keyword):
        if item.has_value("LUTDescriptor") and item.has_value("LUTData"):
            yield item

"""What series.csv tells of a scan beside its verdict: what a person knows the series by, and the shapes of its arrays.

Everything comes from headers and layouts; what was written is known to the ledger, which `tables/series.py` asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.export.result import Header
from crawler.model import Layout

KEYWORDS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "StudyTime",
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "SeriesNumber",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
)
"""Elements of a series' first file, in the order of columns."""
LONGEST = 1024  # characters of a text: the longest that these elements may have is 64 (LO, PS3.5 6.2)
DECIMALS = 6  # of measures: nanometres, and what positions written as decimal strings (DS) are good for


def series_keys(style: KeyStyle) -> list[str]:
    """Keys of `KEYWORDS` in records of a style."""
    return [key_for(keyword, style) for keyword in KEYWORDS]


def identification(headers: Sequence[Header], style: KeyStyle) -> dict[str, Any]:
    """Column -> JSON value of each of `KEYWORDS`, by the first file; spacing and thickness also of enhanced objects."""
    first = headers[0].instance
    plane = first.plane(0)
    values = [_bounded(first.record.get(key)) for key in series_keys(style)]
    found = dict(zip(KEYWORDS, values, strict=True))
    if found["PixelSpacing"] is None and plane.spacing is not None:
        found["PixelSpacing"] = list(plane.spacing)
    if found["SliceThickness"] is None:
        found["SliceThickness"] = plane.thickness
    return found


def array_columns(headers: Sequence[Header], layouts: Sequence[Layout]) -> dict[str, Any]:
    """`b_values` (s/mm2, distinct, ascending), and `shapes` and `axes` of the scan's arrays, those of one text each.

    A shape is written as "30x128x128", the axes as "slice,row,column".
    """
    values = {
        plane.trait("DiffusionBValue")
        for header in headers
        if header.instance.modality == "MR"
        for plane in header.instance.planes
    }
    numbers = sorted(float(value) for value in values if isinstance(value, int | float) and math.isfinite(value))
    return {
        "b_values": [int(number) if number.is_integer() else number for number in numbers] or None,
        "shapes": ["x".join(map(str, layout.shape)) for layout in layouts] or None,
        "axes": [",".join(layout.axes) for layout in layouts] or None,
    }


def as_printed(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells whose measures are what the header says: 4.5 and not 4.499999999705951, the noise of a subtraction."""
    return {name: round(cell, DECIMALS) if isinstance(cell, float) else cell for name, cell in cells.items()}


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        return None
    if isinstance(value, list):
        return [item if isinstance(item, int | float) else _bounded(str(item)) for item in value[:LONGEST]]
    return value[:LONGEST] if isinstance(value, str) else value

"""Segments of a segmentation (PS3.3 C.8.20.2): which one a frame shows, and what it is called, coded and coloured.

Reads the header of SEG and label map objects. Where frames of segments lie is for `layout/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from crawler.dicom.attributes import Attributes

SEQUENCE = "SegmentSequence"
_D50 = (0.9642, 1.0, 0.8251)
"""White of the CIELab values of DICOM (PS3.3 C.10.7.1.1)."""
_TO_SRGB = ((3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.0334540), (0.0719453, -0.2289914, 1.4052427))
"""XYZ under D50 to linear sRGB (Bradford adaptation; IEC 61966-2-1)."""


class Code(NamedTuple):
    """A coded concept: (0008,0100) *Code Value*, (0008,0102) *Coding Scheme Designator*, (0008,0104) *Code Meaning*."""

    value: str
    scheme: str
    meaning: str


class Segment(NamedTuple):
    """One item of (0062,0002) *Segment Sequence*.

    Attributes
    ----------
    colour
        (0062,000D) *Recommended Display CIELab Value* as sRGB, 0 to 255; None where there is none.
    """

    number: int
    label: str
    algorithm: str
    category: Code | None
    type: Code | None
    colour: tuple[int, int, int] | None


def segments_of(dataset: Attributes) -> dict[int, Segment]:
    """Segments that a data set describes, by (0062,0004) *Segment Number*."""
    found = {}
    for item in dataset.items(SEQUENCE):
        number = item.integer("SegmentNumber")
        if number is not None:
            found[number] = Segment(
                number,
                item.text("SegmentLabel"),
                item.text("SegmentAlgorithmType"),
                _code(item.item("SegmentedPropertyCategoryCodeSequence")),
                _code(item.item("SegmentedPropertyTypeCodeSequence")),
                _colour(item.each("RecommendedDisplayCIELabValue")),
            )
    return found


def segment_number(dataset: Attributes, group: Attributes | None) -> int | None:
    """(0062,000B) *Referenced Segment Number* of a frame; None for a label map, whose frames show all segments."""
    for place in (group, dataset.item("SharedFunctionalGroupsSequence")):
        item = place.item("SegmentIdentificationSequence") if place is not None else None
        if item is not None and (number := item.integer("ReferencedSegmentNumber")) is not None:
            return number
    return None


def segment_fields(segments: Iterable[Segment]) -> dict[str, Any]:
    """Segments for an output's attributes: values of one, or a list a field; what none of them has is left out."""
    rows = [
        {
            "SegmentNumber": segment.number,
            "SegmentLabel": segment.label,
            "SegmentAlgorithmType": segment.algorithm,
            **_code_fields("SegmentedPropertyCategory", segment.category),
            **_code_fields("SegmentedPropertyType", segment.type),
            "SegmentColor": list(segment.colour) if segment.colour is not None else "",
        }
        for segment in segments
    ]
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    told = {name: values for name, values in columns.items() if any(value != "" for value in values)}
    return {name: values[0] if len(values) == 1 else values for name, values in told.items()}


def _code(item: Attributes | None) -> Code | None:
    if item is None:
        return None
    value = next((text for word in ("CodeValue", "LongCodeValue", "URNCodeValue") if (text := item.text(word))), "")
    return Code(value, item.text("CodingSchemeDesignator"), item.text("CodeMeaning"))


def _code_fields(name: str, code: Code | None) -> dict[str, str]:
    code = code or Code("", "", "")
    return {f"{name}Code": code.value, f"{name}CodingScheme": code.scheme, f"{name}Meaning": code.meaning}


def _colour(encoded: list[float | None]) -> tuple[int, int, int] | None:
    """CIELab as DICOM stores it (16 bits: L* of 0 to 100, a* and b* of -128 to 127, PS3.3 C.10.7.1.1) to sRGB."""
    values = [value for value in encoded if value is not None]
    if len(values) != 3 or len(encoded) != 3:
        return None
    light = values[0] * 100 / 0xFFFF
    a, b = (value * 255 / 0xFFFF - 128 for value in values[1:])
    y = (light + 16) / 116
    xyz = [white * _linear(part) for white, part in zip(_D50, (y + a / 500, y, y - b / 200), strict=True)]
    channels = [sum(factor * part for factor, part in zip(row, xyz, strict=True)) for row in _TO_SRGB]
    red, green, blue = (round(255 * _gamma(min(max(channel, 0.0), 1.0))) for channel in channels)
    return red, green, blue


def _linear(part: float) -> float:
    return float(part**3) if part > 6 / 29 else 3 * (6 / 29) ** 2 * (part - 4 / 29)


def _gamma(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else float(1.055 * channel ** (1 / 2.4) - 0.055)

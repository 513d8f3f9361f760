"""What the headers of a layout's frames say together: what volumes note in their attributes and sidecars.

Joins the records of the files that a layout is made of; what their elements mean is for `instance/`, how a format
writes it for the sinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crawler.dicom.attributes import Attributes
from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.export.result import Header, noted_keys
from crawler.instance.acquisition import ENHANCED, Acquisition
from crawler.instance.functional import SLOPE_0
from crawler.instance.radiopharmaceutical import SEQUENCE as RADIOPHARMACEUTICAL
from crawler.instance.radiopharmaceutical import radiopharmaceutical
from crawler.instance.real_world import SEQUENCE as REAL_WORLD
from crawler.instance.real_world import Mapping, mappings_of, real_world_fields, same_quantity
from crawler.instance.segments import SEQUENCE as SEGMENTS
from crawler.instance.segments import segment_fields, segment_number, segments_of
from crawler.instance.vendor_acquisition import Image, philips_scale, vendor_acquisition
from crawler.model import Layout
from crawler.sinks.bids_fields import NOTED

UPTAKE = ("PatientWeight", "PatientSize", "SeriesTime")
"""Elements that are noted of PET and NM only: standardised uptake values need them."""

PHASE_ROWS, PHASE_COLUMNS = "COL", "ROW"
"""*In-plane Phase Encoding Direction*: along a column of the image, or along a row."""

Index = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Description:
    """What the frames of a layout have in common, and in what they differ.

    Attributes
    ----------
    common
        Values that all frames share, by DICOM keyword or by a name of the modules in `instance/`.
    by_frame
        Values of elements that differ, by keyword: one a frame, in array order, None where a frame has none.
    mappings
        The Real World Value Mapping of each frame, by its index; empty unless each has exactly one, all of one
        quantity.
    notes
        What was passed over in the headers.
    """

    common: dict[str, Any] = field(default_factory=dict)
    by_frame: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    mappings: dict[Index, Mapping] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Describer:
    """Describes the layouts of one scan.

    Parameters
    ----------
    headers
        Of the scan's instances.
    keys
        Style of the records' keys.
    """

    def __init__(self, headers: Sequence[Header], keys: KeyStyle) -> None:
        self._headers, self._keys = headers, keys
        self._last: dict[int, tuple[Acquisition, Attributes]] = {}
        self._texts: dict[int, bytes] = {}

    def describe(self, layout: Layout, members: Sequence[int]) -> Description:
        """Describe a layout whose instances are those at the positions `members` of the scan."""
        places = [(members[place.instance], place.frame) for place in layout.placement]
        if not places:
            return Description()
        common, by_frame = self._elements(places)
        if common.get("Modality") not in ("PT", "NM"):
            common = {key: value for key, value in common.items() if key not in UPTAKE}
        slopes = (common.pop("RescaleSlope", None), *by_frame.pop("RescaleSlope", ()))
        notes = (SLOPE_0,) if any(slope == 0 for slope in slopes) else ()
        if self._has(places[0][0], RADIOPHARMACEUTICAL):
            common |= radiopharmaceutical(self._record(places[0][0]))
        common |= self._segments(places) | self._scale(places)
        mappings = self._each(places, self._mappings)
        fields = [real_world_fields(of_frame) for of_frame in mappings]
        for name in dict.fromkeys(name for of_frame in fields for name in of_frame):
            values = tuple(of_frame.get(name) for of_frame in fields)
            if all(value == values[0] for value in values):
                common[name] = values[0]
            else:
                by_frame[name] = values
        return Description(common, by_frame, _single_mappings(layout, mappings), notes)

    def vendor(self, layout: Layout, members: Sequence[int]) -> dict[str, Any]:
        """What private elements say of the acquisition of the first frame, whose file is opened for it."""
        place = layout.placement[0]
        number, row = members[place.instance], layout.axes.index("row")
        acquisition, record = self._acquisition(number), self._record(number)
        if record.text("Modality") != "MR":
            return {}
        public = acquisition.frame(place.frame)
        direction = str(public.get("InPlanePhaseEncodingDirection"))
        lines = {PHASE_ROWS: layout.shape[row], PHASE_COLUMNS: layout.shape[row + 1]}.get(direction, 0)
        # (0018,1310) is frequency rows, frequency columns, phase rows, phase columns, two of them 0.
        matrix = [int(count or 0) for count in record.each("AcquisitionMatrix")]
        image = Image(lines, max(matrix[2:], default=0), public)
        return vendor_acquisition(record, acquisition.group(place.frame), self._headers[number].instance, image)

    def _elements(self, places: Sequence[tuple[int, int]]) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
        """Elements on which all frames agree, and those that differ."""
        numbers = dict.fromkeys(number for number, _ in places)
        enhanced = {number for number in numbers if any(self._has(number, keyword) for keyword in ENHANCED)}
        classic = {number: self._noted(number) for number in numbers if number not in enhanced}
        rows = self._each(
            places,
            lambda number, frame: self._acquisition(number).frame(frame) if number in enhanced else classic[number],
        )
        distinct = rows if enhanced else list(classic.values())
        keywords = dict.fromkeys(keyword for row in distinct for keyword in row)
        common = {
            keyword: value
            for keyword, value in distinct[0].items()
            if all(row.get(keyword) == value for row in distinct)
        }
        return common, {
            keyword: tuple(row.get(keyword) for row in rows) for keyword in keywords if keyword not in common
        }

    def _segments(self, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The segments that the frames show; all of a label map's."""
        if not self._has(places[0][0], SEGMENTS):
            return {}
        described = segments_of(self._record(places[0][0]))
        shown = set(self._each(places, lambda number, frame: segment_number(*self._frame(number, frame))))
        return segment_fields(
            segment for number, segment in sorted(described.items()) if number in shown or shown == {None}
        )

    def _scale(self, places: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Philips' scale slope and intercept of an enhanced object; those of classic ones are noted elements."""
        if not any(self._has(places[0][0], keyword) for keyword in ENHANCED):
            return {}
        scales = set(self._each(places, lambda number, frame: philips_scale(*self._frame(number, frame))))
        slope, intercept = scales.pop() if len(scales) == 1 else (None, None)
        told = {"PhilipsScaleSlope": slope, "PhilipsScaleIntercept": intercept}
        return {name: value for name, value in told.items() if value is not None}

    def _mappings(self, number: int, frame: int) -> tuple[Mapping, ...]:
        if not self._has(number, REAL_WORLD):
            return ()
        return mappings_of(*self._frame(number, frame))

    def _frame(self, number: int, frame: int) -> tuple[Attributes, Attributes | None]:
        """A file's record, and the functional group of one of its frames."""
        return self._record(number), self._acquisition(number).group(frame)

    def _each(self, places: Sequence[tuple[int, int]], tell: Callable[[int, int], T]) -> list[T]:
        """What a function says of each frame, in array order; asked file by file, of which one is in memory."""
        found: dict[int, T] = {}
        for position in sorted(range(len(places)), key=lambda position: places[position]):
            found[position] = tell(*places[position])
        return [found[position] for position in range(len(places))]

    def _noted(self, number: int) -> dict[str, Any]:
        record = self._headers[number].instance.record
        return {
            keyword: value
            for keyword, key in noted_keys(self._keys).items()
            if (value := record.get(key)) not in (None, [])
        }

    def _has(self, number: int, keyword: str) -> bool:
        """Whether a sequence may stand in a record: looked for in its text, which need not be parsed for it."""
        key = key_for(keyword, self._keys).encode()
        if number not in self._texts:
            self._texts = {number: self._headers[number].text()}
        return key in self._texts[number]

    def _record(self, number: int) -> Attributes:
        return self._parsed(number)[1]

    def _acquisition(self, number: int) -> Acquisition:
        return self._parsed(number)[0]

    def _parsed(self, number: int) -> tuple[Acquisition, Attributes]:
        """A file's whole record; that of the last file is kept, for its next frame."""
        if number not in self._last:
            record = Attributes(self._headers[number].record(), self._keys)
            self._last = {number: (Acquisition(record, NOTED), record)}
        return self._last[number]


def _single_mappings(layout: Layout, mappings: Sequence[tuple[Mapping, ...]]) -> dict[Index, Mapping]:
    """The mapping of each frame, where each has one and all lead to one quantity."""
    if not mappings or any(len(of_frame) != 1 for of_frame in mappings):
        return {}
    single = [of_frame[0] for of_frame in mappings]
    if not all(same_quantity(single[0], other) for other in single):
        return {}
    return {place.index: mapping for place, mapping in zip(layout.placement, single, strict=True)}


def real_world_text(told: Description) -> str:
    """The Real World Value Mapping of a layout in a line, such as "ADC: stored * 1e-06 + 0 mm2/s"."""
    fields = {name.removeprefix("RealWorldValue"): value for name, value in told.common.items()}
    names = ("Slope", "Intercept", "Unit", "Label", "LUTData")
    if not any(f"RealWorldValue{name}" in (told.common | told.by_frame) for name in names):
        return ""
    if isinstance(fields.get("Slope", 0.0), list) or isinstance(fields.get("Unit", ""), list):
        return "several mappings"
    label, unit = fields.get("Label", ""), fields.get("Unit", "")
    if "LUTData" in (name.removeprefix("RealWorldValue") for name in (told.common | told.by_frame)):
        formula = "by table"
    elif "Slope" in fields:
        formula = f"stored * {fields['Slope']:g} + {fields.get('Intercept') or 0:g}"
    else:
        formula = "stored * slope + intercept of each frame"
    return " ".join(filter(None, (f"{label}:" if label else "", formula, unit)))

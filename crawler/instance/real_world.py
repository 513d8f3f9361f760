"""Real World Value Mapping (PS3.3 C.7.6.16.2.11): from stored values to quantities with a unit.

Reads the mappings of a frame, and applies one. An object may have several, for ranges that join or for other
quantities; which of them counts is said by `mapping_of`. The Modality transformation is another matter
(`pixels/modality.py`): a mapping starts from stored values, and takes its place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crawler.dicom.attributes import Attributes

SEQUENCE = "RealWorldValueMappingSequence"


class Mapping(NamedTuple):
    """One item of (0040,9096) *Real World Value Mapping Sequence*.

    Attributes
    ----------
    first, last
        Stored values that it applies to, both included; None where the header does not tell.
    slope, intercept
        Quantity = stored value * slope + intercept; None for a mapping by table.
    table
        Quantities of the stored values from `first` on; empty for a linear mapping.
    unit, unit_meaning
        Code Value (UCUM) and Code Meaning of the unit.
    label, explanation
        (0040,9210) *LUT Label* and (0028,3003) *LUT Explanation*.
    quantity
        Code Meaning of the quantity, from *Quantity Definition Sequence*; empty where it is not told.
    """

    first: float | None
    last: float | None
    slope: float | None
    intercept: float | None
    table: tuple[float, ...] = ()
    unit: str = ""
    unit_meaning: str = ""
    label: str = ""
    explanation: str = ""
    quantity: str = ""

    def __call__(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return quantities of stored values; NaN where the mapping does not apply."""
        values = np.asarray(stored, dtype=np.float64)
        if self.table and self.first is not None:
            index = np.clip(values - self.first, 0, len(self.table) - 1).astype(np.int64)
            result = np.asarray(self.table, dtype=np.float64)[index]
            applies = (values >= self.first) & (values < self.first + len(self.table))
            return np.where(applies, result, np.nan)
        result = values * (1.0 if self.slope is None else self.slope) + (self.intercept or 0.0)
        applies = np.ones(values.shape, dtype=bool)
        if self.first is not None:
            applies &= values >= self.first
        if self.last is not None:
            applies &= values <= self.last
        return np.where(applies, result, np.nan)

    def fields(self) -> dict[str, Any]:
        """The mapping for an output's attributes, under names like the keywords; what is not told is left out."""
        told = {
            "RealWorldValueFirstValueMapped": self.first,
            "RealWorldValueLastValueMapped": self.last,
            "RealWorldValueSlope": self.slope,
            "RealWorldValueIntercept": self.intercept,
            "RealWorldValueLUTData": list(self.table),
            "RealWorldValueUnit": self.unit,
            "RealWorldValueUnitMeaning": self.unit_meaning,
            "RealWorldValueLabel": self.label,
            "RealWorldValueExplanation": self.explanation,
            "RealWorldValueQuantity": self.quantity,
        }
        return {name: value for name, value in told.items() if value not in (None, "", [])}


def mappings_of(dataset: Attributes, group: Attributes | None) -> tuple[Mapping, ...]:
    """Mappings of a frame: of its own functional group, else of the shared one, else of the data set.

    An item that gives neither a slope nor a table says nothing, and is left out.
    """
    shared = dataset.item("SharedFunctionalGroupsSequence")
    for place in (group, shared, dataset):
        items = place.items(SEQUENCE) if place is not None else ()
        found = tuple(mapping for item in items if (mapping := _mapping(item)) is not None)
        if found:
            return found
    return ()


def mapping_of(mappings: tuple[Mapping, ...]) -> Mapping | None:
    """The mapping that values are converted by: the only one; None where there are several, or none.

    Several describe ranges or quantities among which only the user can choose.
    """
    return mappings[0] if len(mappings) == 1 else None


def real_world_fields(mappings: tuple[Mapping, ...]) -> dict[str, Any]:
    """Mappings for an output's attributes: fields of one; of several a list for each field, None where one lacks it."""
    told = [mapping.fields() for mapping in mappings]
    if len(told) < 2:
        return told[0] if told else {}
    names = dict.fromkeys(name for fields in told for name in fields)
    return {name: [fields.get(name) for fields in told] for name in names}


def same_quantity(one: Mapping, other: Mapping) -> bool:
    """Whether two mappings mean the same quantity in the same unit, whatever their slopes."""
    ignored = {"first", "last", "slope", "intercept", "table"}
    return {k: v for k, v in one._asdict().items() if k not in ignored} == {
        k: v for k, v in other._asdict().items() if k not in ignored
    }


def _mapping(item: Attributes) -> Mapping | None:
    table = tuple(entry for entry in item.each("RealWorldValueLUTData") if entry is not None)
    slope, intercept = item.number("RealWorldValueSlope"), item.number("RealWorldValueIntercept")
    first = _number(item, "RealWorldValueFirstValueMapped", "DoubleFloatRealWorldValueFirstValueMapped")
    if table and first is None:
        table = ()
    if not table and not slope:  # a slope of 0 maps everything to one value, and is no mapping
        return None
    unit, quantity = item.item("MeasurementUnitsCodeSequence"), item.item("QuantityDefinitionSequence")
    concept = quantity.item("ConceptCodeSequence") if quantity is not None else None
    return Mapping(
        first=first,
        last=_number(item, "RealWorldValueLastValueMapped", "DoubleFloatRealWorldValueLastValueMapped"),
        slope=None if table else slope,
        intercept=None if table else intercept or 0.0,
        table=table,
        unit=unit.text("CodeValue") if unit is not None else "",
        unit_meaning=unit.text("CodeMeaning") if unit is not None else "",
        label=item.text("LUTLabel"),
        explanation=item.text("LUTExplanation"),
        quantity=concept.text("CodeMeaning") if concept is not None else "",
    )


def _number(item: Attributes, *keywords: str) -> float | None:
    return next((number for keyword in keywords if (number := item.number(keyword)) is not None), None)

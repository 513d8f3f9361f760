"""The fields of a PET image in a BIDS sidecar (BIDS 1.11, "Positron Emission Tomography").

Times are relative to *TimeZero*, which is the start of the scan: the earliest acquisition time of its frames. No
value is corrected for decay here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from crawler.instance.traits import seconds
from crawler.model import TRAITS
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import is_number, leading_axes

UNITS = {
    "BQML": "Bq/mL",
    "CNTS": "counts",
    "GML": "g/mL",
    "NONE": "unitless",
    "PROPCPS": "counts/s",
    "PROPCNTS": "counts",
}
"""(0054,1001) *Units* of PS3.3 C.8.9.1.1.1 -> units as BIDS writes them."""

_DAY = 86_400.0
_NUCLIDE = re.compile(r"\^?([0-9]{1,3})m?\^?[ -]?([A-Za-z]{4,12})")
_SYMBOLS = {
    "Carbon": "C",
    "Copper": "Cu",
    "Fluorine": "F",
    "Gallium": "Ga",
    "Iodine": "I",
    "Nitrogen": "N",
    "Oxygen": "O",
    "Rubidium": "Rb",
    "Yttrium": "Y",
    "Zirconium": "Zr",
}
_TAKEN = {
    "AttenuationCorrection": "AttenuationCorrectionMethod",
    "AttenuationCorrectionMethod": "AttenuationCorrectionMethod",
    "ScatterCorrectionMethod": "ScatterCorrectionMethod",
    "RandomsCorrectionMethod": "RandomsCorrectionMethod",
    "ReconstructionMethod": "ReconstructionMethod",
    "ReconMethodName": "ReconstructionMethod",
    "DecayCorrection": "DecayCorrection",
    "SUVType": "SUVType",
    "DoseCalibrationFactor": "DoseCalibrationFactor",
    "TracerName": "Radiopharmaceutical",
    "TracerRadionuclide": "Radionuclide",
    "InjectedRadioactivity": "RadionuclideTotalDose",
    "RadionuclideHalfLife": "RadionuclideHalfLife",
    "RadionuclidePositronFraction": "RadionuclidePositronFraction",
    "PatientWeight": "PatientWeight",
    "PatientSize": "PatientSize",
}
"""Field -> attribute that it is taken from as it is; *Radionuclide Total Dose* is in Bq (PS3.3 C.8.9.2)."""


def pet_fields(subject: LayoutSubject) -> dict[str, Any]:
    """Fields of a PET image.

    Returns
    -------
    dict
        Times in s, activities in Bq, weight in kg. *FrameTimesStart* and *FrameDuration* have one value a volume.
    """
    told = subject.attributes
    found: dict[str, Any] = {}
    unit = told.get("Units")
    if isinstance(unit, str):
        found["Units"] = UNITS.get(unit, unit)
    found |= {name: told[key] for name, key in _TAKEN.items() if told.get(key) not in (None, "", [])}
    if isinstance(nuclide := found.get("TracerRadionuclide"), str):
        found["TracerRadionuclide"] = radionuclide(nuclide)
    if "InjectedRadioactivity" in found:
        found["InjectedRadioactivityUnits"] = "Bq"
    correction = told.get("DecayCorrection")
    if isinstance(correction, str):
        found["ImageDecayCorrected"] = correction != "NONE"
    return found | _times(subject)


def radionuclide(meaning: str) -> str:
    """A radionuclide as BIDS writes it, "F18", of a Code Meaning of PS3.16 CID 4020, "^18^Fluorine"; others as told."""
    match = _NUCLIDE.fullmatch(meaning.strip())
    symbol = _SYMBOLS.get(match[2].capitalize()) if match is not None else None
    return f"{symbol}{match[1]}" if match is not None and symbol is not None else meaning


def _times(subject: LayoutSubject) -> dict[str, Any]:
    """When the volumes were acquired, when the tracer was given, and to which moment decay is corrected."""
    found: dict[str, Any] = {}
    durations = _by_volume(subject, _each(subject, "ActualFrameDuration"), max)
    if durations is not None and all(duration > 0 for duration in durations):
        found["FrameDuration"] = [_rounded(duration / 1000) for duration in durations]
    starts = _by_volume(subject, [_clock(value) for value in _each(subject, "AcquisitionTime")], min)
    if starts is None:
        if durations is not None and len(durations) == 1:
            found["FrameTimesStart"] = [0.0]
        return found
    zero = starts[0]
    found["FrameTimesStart"] = [_rounded(_apart(start, zero)) for start in starts]
    found["TimeZero"], found["ScanStart"] = _text(zero), 0.0
    given = _clock(subject.attributes.get("RadiopharmaceuticalStartTime"))
    if given is not None:
        found["InjectionStart"] = _rounded(_apart(given, zero))
    series = _clock(subject.attributes.get("SeriesTime"))
    correction = subject.attributes.get("DecayCorrection")
    if correction == "ADMIN" and "InjectionStart" in found:
        found["ImageDecayCorrectionTime"] = found["InjectionStart"]
    elif correction == "START" and series is not None:
        # Scanners correct to the series time, which the start of the acquisition may follow (QIBA, SUV pseudo-code).
        found["ImageDecayCorrectionTime"] = _rounded(min(_apart(series, zero), 0.0))
    return found


def _apart(clock: float, zero: float) -> float:
    """Seconds from one time of day to another, the shorter way round: midnight may lie between."""
    return (clock - zero + _DAY / 2) % _DAY - _DAY / 2


def _each(subject: LayoutSubject, keyword: str) -> list[Any]:
    """Values of an element, one a frame in array order."""
    if keyword in subject.by_frame:
        return list(subject.by_frame[keyword])
    if keyword in subject.attributes or keyword not in TRAITS:
        return [subject.attributes.get(keyword)] * len(subject.layout.placement)
    instances = subject.scan.instances  # an enhanced object keeps it with its frames
    return [instances[place.instance].plane(place.frame).trait(keyword) for place in subject.layout.placement]


def _by_volume(subject: LayoutSubject, values: Sequence[Any], choose: Any) -> list[float] | None:
    """One number a volume, of those of its frames; None where a frame has none, or there are several axes."""
    axes, layout = leading_axes(subject), subject.layout
    others = [number for number, axis in enumerate(axes) if axis != "slice"]
    if len(others) > 1 or not values or not all(map(is_number, values)):
        return None
    volumes: dict[int, list[float]] = {}
    for place, value in zip(layout.placement, values, strict=True):
        volumes.setdefault(place.index[others[0]] if others else 0, []).append(float(value))
    return [float(choose(volumes[step])) for step in sorted(volumes)]


def _clock(value: Any) -> float | None:
    """A TM in s since midnight."""
    if isinstance(value, str):
        return seconds(value)
    return float(value) if is_number(value) else None


def _text(clock: float) -> str:
    """Seconds since midnight as BIDS writes times of day."""
    whole = int(clock)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _rounded(number: float) -> float:
    return float(f"{round(number, 6):.12g}") + 0.0

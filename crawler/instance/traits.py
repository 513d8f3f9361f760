"""The values of `model.TRAITS` for an image or a frame: what may tell two planes at one position apart.

Reads public elements, in the data set itself or in functional groups (PS3.3 C.7.6.16.2). A number that stands as text
counts as absent. Whether a trait does tell planes apart is decided in `layout/repeats.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crawler.dicom.attributes import Attributes, Private
from crawler.model import TRAITS

Traits = tuple[Any, ...]

_NUMBERS = (
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "TemporalPositionIdentifier",
    "FrameReferenceTime",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "KVP",
    "AcquisitionNumber",
)
# Where functional groups keep a number: (macro, element, trait, factor). Of two for one trait the later one counts.
# PS3.3 C.7.6.16.2 (Temporal Position Time Offset is in s), C.8.13.5 (MR) and C.8.15.3 (CT).
_GROUP_NUMBERS = (
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime", 1),
    ("MRModifierSequence", "InversionTimes", "InversionTime", 1),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle", 1),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue", 1),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier", 1),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", "FrameReferenceTime", 1000),
    ("CardiacSynchronizationSequence", "TriggerTime", "TriggerTime", 1),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime", 1),
    ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase", "NominalPercentageOfCardiacPhase", 1),
    ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase", 1),
    ("CTXRayDetailsSequence", "KVP", "KVP", 1),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber", 1),
)
# Dimensions that say where a frame lies, not which of several at one place it is: Stack ID, In-Stack Position Number,
# Image Position (Patient), Image Position (Volume), and the macros that hold the last two.
_PLACES = frozenset({"(0020,9056)", "(0020,9057)", "(0020,0032)", "(0020,9301)", "(0020,9113)", "(0020,930E)"})
_SEGMENT = "(0062,000B)"  # Referenced Segment Number

# Philips numbers the phases of a classic cine from 1, and says how many there are.
_PHILIPS_PHASE: Private = (0x20011008, "Philips Imaging DD 001")
_PHILIPS_PHASES: Private = (0x20011017, "Philips Imaging DD 001")

_TIME_AT = TRAITS.index("AcquisitionTime")
# PS3.5 6.2: TM from its second part on may be missing; the colons are those of ACR-NEMA. A leap second is 60.
_CLOCK = r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(?:\.([0-9]{0,9}))?)?)?"
_TIME = re.compile(_CLOCK)
_DATETIME = re.compile(rf"[0-9]{{8}}{_CLOCK}(?:[+-][0-9]{{4}})?")


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Which of a frame's (0020,9157) *Dimension Index Values* tell frames at one position apart (PS3.3 C.7.6.17).

    Attributes
    ----------
    count
        Number of dimensions; 0 when the data set describes none, and no value can be understood.
    kept
        Indices of those that are neither stack nor position.
    segment
        One of them is the segment (PS3.3 C.8.20.2); otherwise a frame's segment is added to its values.
    """

    count: int = 0
    kept: tuple[int, ...] = ()
    segment: bool = False

    @classmethod
    def of(cls, fields: Attributes) -> Dimensions:
        """Read (0020,9222) *Dimension Index Sequence* of a data set."""
        pointers = [item.text("DimensionIndexPointer") for item in fields.items("DimensionIndexSequence")]
        kept = tuple(index for index, pointer in enumerate(pointers) if pointer not in _PLACES)
        return cls(len(pointers), kept, _SEGMENT in pointers)

    def values(self, group: Attributes) -> tuple[float, ...] | None:
        """Indices of a frame in the kept dimensions; None where it has none."""
        content = group.item("FrameContentSequence")
        indices = content.each("DimensionIndexValues") if content is not None else []
        found: list[float | None] = []
        if indices and len(indices) == self.count:
            found = [indices[index] for index in self.kept]
        if not self.segment and (macro := group.item("SegmentIdentificationSequence")) is not None:
            found.append(macro.number("ReferencedSegmentNumber"))
        told = tuple(number for number in found if number is not None)
        return told if told and len(told) == len(found) else None


def traits_of(fields: Attributes) -> Traits:
    """Return the traits that stand in a data set itself.

    Returns
    -------
    tuple
        In the order of `model.TRAITS`. (0008,0032) *Acquisition Time*, or the time of (0008,002A), in s since midnight.
    """
    steady = fields.memoized(_without_time)
    time = seconds(fields.text("AcquisitionTime"))
    time = seconds(fields.text("AcquisitionDateTime"), dated=True) if time is None else time
    return steady if time is None else (*steady[:_TIME_AT], time, *steady[_TIME_AT + 1 :])


def _without_time(fields: Attributes) -> Traits:
    """Traits but the time, which differs most often."""
    found: dict[str, Any] = {keyword: _number(fields, keyword) for keyword in _NUMBERS}
    found["DiffusionGradientOrientation"] = fields.vector("DiffusionGradientOrientation", 3)
    found["ImageType"] = _texts(fields.value("ImageType"))
    found["ConvolutionKernel"] = _kernel(fields)
    if found["NominalPercentageOfCardiacPhase"] is None and fields.text("Manufacturer").startswith("Philips"):
        found["NominalPercentageOfCardiacPhase"] = _philips_percentage(fields)
    return tuple(found.get(keyword) for keyword in TRAITS)


def group_traits(traits: Traits, group: Attributes, frame_type: Attributes | None, dimensions: Dimensions) -> Traits:
    """Return traits, with those that a functional group holds in their place.

    Parameters
    ----------
    frame_type
        Item of the group's frame type macro.
    """
    found: dict[str, Any] = {}
    for macro, element, trait, factor in _GROUP_NUMBERS:
        item = group.item(macro)
        number = _number(item, element) if item is not None else None
        if number is not None:
            found[trait] = number * factor
    if (content := group.item("FrameContentSequence")) is not None:
        found["AcquisitionTime"] = seconds(content.text("FrameAcquisitionDateTime"), dated=True)
    if (diffusion := group.item("MRDiffusionSequence")) is not None:
        gradient = diffusion.item("DiffusionGradientDirectionSequence")
        found["DiffusionGradientOrientation"] = gradient and gradient.vector("DiffusionGradientOrientation", 3)
    if (reconstruction := group.item("CTReconstructionSequence")) is not None:
        found["ConvolutionKernel"] = _kernel(reconstruction)
    if frame_type is not None:
        found["ImageType"] = _texts(frame_type.value("FrameType"))
    found["DimensionIndexValues"] = dimensions.values(group)
    return with_traits(traits, {trait: value for trait, value in found.items() if value is not None})


def with_traits(traits: Traits, found: Mapping[str, Any]) -> Traits:
    """Traits with others in their place, by keyword."""
    return tuple(found.get(keyword, old) for keyword, old in zip(TRAITS, traits, strict=True))


def seconds(text: str, dated: bool = False) -> float | None:
    """Return the time of day in s since midnight, as its clock shows it; None where the text is no time.

    Parameters
    ----------
    text
        A TM, or with `dated` a DT; its date and its offset from UTC are left out (PS3.5 6.2).
    """
    match = (_DATETIME if dated else _TIME).fullmatch(text)
    if match is None:
        return None
    hours, minutes, whole, fraction = match.groups()
    part = float(f"0.{fraction}") if fraction else 0.0
    return int(hours) * 3600 + int(minutes or 0) * 60 + int(whole or 0) + part


def _number(fields: Attributes, keyword: str) -> float | None:
    """A number as the record has it, whole or not."""
    return None if fields.number(keyword) is None else fields.value(keyword)


def _philips_percentage(fields: Attributes) -> float | None:
    """Start of the phase in % of the cycle, which the phases divide equally; None where there are not several."""
    phase, phases = fields.integer(_PHILIPS_PHASE), fields.integer(_PHILIPS_PHASES)
    if phase is None or phases is None or phases < 2 or not 1 <= phase <= phases:
        return None
    return 100 * (phase - 1) / phases


def _kernel(fields: Attributes) -> str | None:
    """(0018,1210) *Convolution Kernel*, which may have several values, as DICOM writes them."""
    return "\\".join(text for text in _texts(fields.value("ConvolutionKernel")) or () if text) or None


def _texts(value: Any) -> tuple[str, ...] | None:
    """Values of an image type; one that is empty in the middle keeps its place."""
    if isinstance(value, str):
        return (value,)
    return tuple(item if isinstance(item, str) else "" for item in value) if isinstance(value, list) else None

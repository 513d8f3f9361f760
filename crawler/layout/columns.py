"""What differs between the planes of a series, as columns of numbers: traits, and any other element of the header.

A column gives every plane a code: equal codes for equal values, in increasing order of the values. Says which columns
can name a volume; what follows from it is for `repeats.py`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from crawler.dicom.attributes import Private
from crawler.dicom.dictionary import KeyStyle, key_for, key_of
from crawler.dicom.record import Record
from crawler.geometry import Floats, Integers
from crawler.layout.plane_record import MULTI_FRAME, last_key
from crawler.model import TRAITS, Instance, Plane

TraitKey = tuple[int, float, str]
Columns = dict[str, Integers]
"""Trait or element -> code of each plane, from 0; those without differences are left out."""

Records = Callable[[int], Record]
"""Number of a plane -> its whole record."""

BY_ORDER = ""
"""Stands among traits for the repetition in the order of acquisition."""
CUSTOM = "custom"
"""Stands among traits for the element that `volume.order` names (`Plane.custom`)."""

MAX_FLOAT = sys.float_info.max
DIGITS = 6
"""Significant digits in which a trait's number counts: more than a DS of an echo time carries, fewer than a float32."""
DIRECTION_DECIMALS = 3
"""Decimals in which directions of gradients count; the finest schemes lie some degrees apart (0.05)."""
CONTRAST_SHARE = 1e-2
"""Echo times that differ by less than this share are one: scanners adjust them by microseconds from slice to slice
(0.1 %), and two echoes lie a millisecond or more apart."""
FILLED = 0.5
"""A column names volumes when its values are found, on average, at more than this share of the positions. Values that
differ from plane to plane, as times do, are found at one position each."""

DIFFUSION = ("DiffusionBValue", "DiffusionGradientOrientation")
CLOCKS = ("TriggerTime", "FrameReferenceTime")
"""May run on from plane to plane: then only their order at one position means something."""
TIMES = ("TemporalPositionIdentifier", *CLOCKS, "AcquisitionNumber", "AcquisitionTime", BY_ORDER)
"""Traits of the axis of time. All of them tell when, and one of them is enough."""

ELEMENTS = (
    "FilterType",
    "ContrastBolusAgent",
    "CorrectedImage",
    "ReconstructionMethod",
    "RepetitionTime",
    "ReceiveCoilName",
    "SequenceName",
    "PulseSequenceName",
    "ScanOptions",
    "SOPClassUID",
    "TransferSyntaxUID",
    "LossyImageCompression",
    "SeriesDescription",
    "ProtocolName",
    "Units",
    "RescaleType",
)
"""Elements that are known to tell volumes of one series apart; they come before others."""
KINDS: dict[str, Private] = {
    "GE (0043,xx30)": (0x00430030, "GEMS_PARM_01"),
    "GE (0043,xx2F)": (0x0043002F, "GEMS_PARM_01"),
    "Philips (2005,xx11)": (0x20050011, "Philips MR Imaging DD 001"),
    "Siemens (0051,xx16)": (0x00510016, "SIEMENS MR HEADER"),
    "Siemens (0021,xx75)": (0x00210075, "SIEMENS MR SDI 02"),
}
"""Vendors' elements that tell what an image shows where *Image Type* does not: 0 for the field map and 2 for its
magnitude (GE), the complex component (GE, Philips: M, P, R, I; Siemens: "M/ND"; of XA an image type with it). Looked
at where nothing else tells planes apart, so that their values for diffusion directions (GE) split no diffusion series.
"""
COMPONENTS = frozenset(
    ("M", "MAG", "MAGNITUDE", "P", "PHA", "PHASE", "R", "RE", "REAL", "I", "IM", "IMAG", "IMAGINARY")
)
"""Parts of a complex image: an element of any vendor that holds such words alone tells what an image shows."""
COMPONENT = " (complex component)"
"""Behind the name of such an element."""
SPLITTING = (
    *(*KINDS, "ImageType", "DimensionIndexValues", "SOPClassUID", "TransferSyntaxUID", "LossyImageCompression"),
    *("Units", "RescaleType"),
)
"""Those that are no axis: images of another kind, values in another unit, or copies in another encoding."""
FREE_TEXT = ("SeriesDescription", "ProtocolName")
"""Free text, where a name may stand: what it says is not repeated in outputs, only that it differs."""

AXIS_OF = {
    "EchoTime": "te",
    "EchoNumbers": "echo",
    "InversionTime": "ti",
    "FlipAngle": "fa",
    "DiffusionBValue": "b",
    "NominalPercentageOfCardiacPhase": "phase",
    **dict.fromkeys(TIMES, "time"),
    "TriggerTime": "trigger_time",
    **dict.fromkeys(SPLITTING, ""),
}
"""The axis that a trait runs along; an element runs along one of its own name."""

# Elements that tell an image, its place, its pixels or its way here, and no volume.
_OF_ONE_IMAGE = (
    "SOPInstanceUID", "MediaStorageSOPInstanceUID", "InstanceNumber", "InstanceCreationDate", "InstanceCreationTime",
    "ContentDate", "ContentTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "SliceLocation",
    "ImagePositionPatient", "ImageOrientationPatient", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "RescaleSlope", "RescaleIntercept", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "FileMetaInformationGroupLength", "FileMetaInformationVersion", "ImplementationClassUID",
    "ImplementationVersionName", "SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "RetrieveAETitle",
    "InstanceAvailability", "StationName", "StationAETitle", "ImageComments", "PixelData", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "SpecificCharacterSet", "ExposureTime",
    "XRayTubeCurrent", "Exposure", "ExposureInuAs", "ExposureInmAs", "CTDIvol", "TableHeight", "ImagesInAcquisition",
    "StackID", "InStackPositionNumber", "FrameAcquisitionDateTime", "TemporalPositionIndex",
    "TemporalPositionTimeOffset", "EffectiveEchoTime", "InversionTimes", "NominalCardiacTriggerDelayTime", "FrameType",
)  # fmt: skip


def trait_columns(planes: Sequence[Plane], order: str = "auto") -> Columns:
    """Code the traits that differ; those of the axis `order` come first. A direction is part of its b-value."""
    traits = zip(*(plane.traits for plane in planes), strict=True)
    values: dict[str, Sequence[Any]] = dict(zip(TRAITS, traits, strict=True))
    b_values, directions = (values.pop(name) for name in DIFFUSION)
    if any(value != b_values[0] for value in b_values) or any(value != directions[0] for value in directions):
        values["DiffusionBValue"] = [(b, _rounded(to)) for b, to in zip(b_values, directions, strict=True)]
    if any(plane.custom is not None for plane in planes):
        values = {CUSTOM: [plane.custom for plane in planes], **values}
    wanted = [name for name in values if AXIS_OF.get(name) == order or name == CUSTOM]
    columns = {}
    for name in (*wanted, *(name for name in (*TRAITS, CUSTOM) if name in values and name not in wanted)):
        column = values[name]
        if any(value != column[0] for value in column):
            codes = nearly_equal(column) if name == "EchoTime" else trait_codes(column)
            if codes.max() > 0:
                columns[name] = codes
    return columns


def known_elements(instances: Sequence[Instance], record_of: Records, slots: Integers, keys: KeyStyle) -> Columns:
    """Code the `ELEMENTS` and `KINDS` that differ between planes at one position, by keyword or name.

    Parameters
    ----------
    instances
        That of each plane.
    record_of
        As of `other_elements`; asked where frames have functional groups.
    keys
        Style of the records' keys.
    """
    known = element_keys(keys)
    grouped = any(instance.sop_class in MULTI_FRAME for instance in instances)
    read = record_of if grouped else lambda plane: instances[plane].record
    found: Columns = {}
    for path, codes in _varying(read, slots, lambda path: last_key(path) in known).items():
        found.setdefault(known[last_key(path.removesuffix(COMPONENT))], codes)
    return {name: found[name] for name in known.values() if name in found}


@cache
def element_keys(keys: KeyStyle) -> dict[str, str]:
    """Keys of `ELEMENTS` in a style, with their keywords, and of `KINDS`, with their names."""
    public = {key_for(keyword, keys): keyword for keyword in ELEMENTS}
    # In the style "tag" the key tells the block that a creator holds: vendors have theirs in the first.
    return public | {key_of(tag | 0x1000, creator, keys): name for name, (tag, creator) in KINDS.items()}


def other_elements(record_of: Records, slots: Integers, keys: KeyStyle) -> Columns:
    """Code any other elements, private ones too, that differ between planes at one position, by their keys.

    Parameters
    ----------
    record_of
        Gives the whole record of a plane, as `plane_record` makes it.
    """
    out = {key_for(keyword, keys) for keyword in (*ELEMENTS, *_OF_ONE_IMAGE, *TRAITS)}
    return _varying(record_of, slots, lambda path: last_key(path) not in out)


def axis_of(trait: str) -> str:
    """The axis that a trait or an element runs along; empty for one that splits."""
    if trait.endswith(COMPONENT):
        return ""
    return AXIS_OF.get(trait, re.sub(r"\W+", "_", trait).strip("_"))


def _varying(record_of: Records, slots: Integers, wanted: Callable[[str], bool]) -> Columns:
    """Code the wanted elements that differ between planes at the position that most share, and are no binary values."""
    busiest = [record_of(plane) for plane in np.flatnonzero(slots == np.bincount(slots).argmax()).tolist()]
    candidates = dict.fromkeys(path for record in busiest for path in record if wanted(path))
    varying = [path for path in candidates if any(record.get(path) != busiest[0].get(path) for record in busiest)]
    rows = [[record.get(path) for path in varying] for record in map(record_of, range(len(slots)))] if varying else []
    return {
        path + (COMPONENT if is_component(values) else ""): trait_codes(values)
        for path, values in zip(varying, zip(*rows, strict=True), strict=True)
        if _is_flat(values)
    }


def is_component(values: Iterable[Any]) -> bool:
    """Whether values are words for parts of a complex image, and nothing else."""
    words = {value.strip().upper() if isinstance(value, str) else "" for value in values if value is not None}
    return bool(words) and words <= COMPONENTS


def value_of(record: Record, name: str, keys: KeyStyle) -> Any:
    """What an element of `ELEMENTS`, or any other by its key, says of a step: a number or a coded text, else None."""
    if name in FREE_TEXT or (name not in ELEMENTS and not isinstance(record.get(name), int | float)):
        return None
    value = record.get(name)
    if name in ELEMENTS:
        key = key_for(name, keys)
        value = next((found for path, found in record.items() if last_key(path) == key), None)
    return "\\".join(map(str, value)) if isinstance(value, list) else value


def positions_of_values(codes: Integers, slots: Integers) -> Integers:
    """Number of positions at which each value of a column is found; shape (values,)."""
    count = int(slots.max()) + 1
    return np.bincount(np.unique(codes * count + slots) // count)


def names_volumes(codes: Integers, slots: Integers) -> bool:
    """Whether a column of two codes or more can tell volumes apart: on average they are found at most positions.

    Then some position has two of them.
    """
    found = positions_of_values(codes, slots)
    return int(found.sum()) > FILLED * len(found) * (int(slots.max()) + 1)


def ticks_alike(codes: Integers, slots: Integers) -> bool:
    """Whether a clock names volumes: not on average alone, but by most of its values.

    Where every position keeps its own time, as the heart sets it, few values are shared: all phases begin at 0. Among
    two or three positions these few are enough for the average.
    """
    usual = float(np.median(positions_of_values(codes, slots)))
    return names_volumes(codes, slots) and usual > FILLED * (int(slots.max()) + 1)


def trait_codes(values: Sequence[Any]) -> Integers:
    """Number the values of a trait in increasing order, from 0; equal numbers are equal, whatever their type."""
    keys = [trait_key(value) for value in values]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)


def nearly_equal(values: Sequence[Any]) -> Integers:
    """As `trait_codes`, with one code for numbers that differ by less than `CONTRAST_SHARE` from the next smaller."""
    numbers = [number_of(value) for value in values]
    column = np.array([-1.0 if number is None else number for number in numbers], dtype=np.float64)
    distinct, inverse = np.unique(column, return_inverse=True)
    steps = np.diff(distinct) > CONTRAST_SHARE * np.abs(distinct[1:])
    return np.asarray(np.concatenate([[0], np.cumsum(steps)])[inverse.reshape(-1)], dtype=np.intp)


def trait_key(value: Any) -> TraitKey:
    """Make any JSON value sortable among others: absent, then numbers, then the rest by their text."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int) and abs(value) > MAX_FLOAT:
        return (2, 0.0, hex(value))  # str refuses very long integers
    if isinstance(value, int | float):
        number = float(value)
        return (1, float(f"{number:.{DIGITS}g}"), "") if math.isfinite(number) else (2, 0.0, str(number))
    if isinstance(value, tuple) and value and isinstance(value[0], int | float):  # a b-value before its direction
        return (1, trait_key(value[0])[1], repr(value[1:]))
    return (2, 0.0, repr(value))


def number_of(value: Any) -> float | None:
    """A trait as a finite number, if it is one."""
    key = trait_key(value)
    return float(value) if key[0] == 1 and not isinstance(value, tuple) else None


def numbers_of(values: Iterable[Any]) -> Floats:
    """Traits as numbers; NaN where one is none."""
    found = map(number_of, values)
    return np.array([math.nan if number is None else number for number in found], dtype=np.float64)


def joined(columns: Sequence[Integers]) -> Integers:
    """One code a combination of codes, in lexicographic order."""
    codes = columns[0]
    for column in columns[1:]:
        codes = np.unique(codes * (int(column.max()) + 1) + column, return_inverse=True)[1].reshape(-1)
    return np.asarray(np.unique(codes, return_inverse=True)[1].reshape(-1), dtype=np.intp)


def _is_flat(values: Iterable[Any]) -> bool:
    """Whether values are numbers and texts, or lists of them: no sequences, and no binary values."""
    parts = chain.from_iterable(value if isinstance(value, list) else [value] for value in values)
    return not any(isinstance(part, dict | list) for part in parts)


def _rounded(direction: Any) -> Any:
    if not isinstance(direction, tuple) or not all(isinstance(cosine, int | float) for cosine in direction):
        return direction
    return tuple(round(float(cosine), DIRECTION_DECIMALS) + 0.0 for cosine in direction)

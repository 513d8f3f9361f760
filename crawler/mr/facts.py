"""One row -> `Facts`: what the header of a series says, in one form for classic and enhanced objects.

Enhanced MR keeps the same physics elsewhere: in functional groups (PS3.3 C.7.6.16, C.8.13.5) and under names of their
own (MR Pulse Sequence Module, PS3.3 C.8.13.4). Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crawler.mr.cells import items, mappings, numbers, text, texts, vector
from crawler.mr.words import BREAK

Row = Mapping[str, Any]

# Columns that are read; any may be missing.
COLUMNS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "ProtocolName",
    "SeriesDescription",
    "SequenceName",
    "PulseSequenceName",
    "ImageType",
    "AcquisitionContrast",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "FlipAngle",
    "EchoTrainLength",
    "EchoNumbers",
    "DiffusionBValue",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "EchoPulseSequence",
    "InversionRecovery",
    "EchoPlanarPulseSequence",
    "Spoiling",
    "SteadyStatePulseSequence",
    "SpectrallySelectedSuppression",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "TemporalPositionIdentifier",
)

# Element in a functional group macro -> column that holds the same in a classic object.
_MOVED = {"FrameType": "ImageType", "EffectiveEchoTime": "EchoTime", "InversionTimes": "InversionTime"}
# Elements of the MR Pulse Sequence Module -> code of (0018,0020) *Scanning Sequence*, PS3.3 C.8.3.1 and C.8.13.4.
_SCANNING = {
    "EchoPulseSequence": {"SPIN": {"SE"}, "GRADIENT": {"GR"}, "BOTH": {"SE", "GR"}},
    "InversionRecovery": {"YES": {"IR"}},
    "EchoPlanarPulseSequence": {"YES": {"EP"}},
}
# ... -> code of (0018,0021) *Sequence Variant*.
_VARIANT = {
    "Spoiling": {"RF": {"SP"}, "GRADIENT": {"SP"}, "RF_AND_GRADIENT": {"SP"}},
    "SteadyStatePulseSequence": {"FREE_PRECESSION": {"SS"}, "TRANSVERSE": {"SS"}, "TIME_REVERSED": {"SS"}},
}
_GAUSS = 100.0  # no magnet reaches 100 T: such a number is in gauss, as some old systems write it


@dataclass(frozen=True, slots=True)
class Facts:
    """What a row says. Absent numbers are None, absent codes an empty set; a time of 0 ms is absent.

    Attributes
    ----------
    protocol
        As written; the series description where there is no (0018,1030) *Protocol Name*.
    names
        Protocol name, series description and name of the sequence, lower case, joined by `BREAK`.
    plan
        The first two of them only.
    image_type
        (0008,0008) *Image Type*, upper case, in order.
    declared
        (0008,9209) *Acquisition Contrast*.
    tr, te, ti
        ms; `flip` in degrees, `field` in tesla, `b` (the largest of all frames) in s/mm^2.
    thickness
        (0018,0050) *Slice Thickness*, mm.
    """

    protocol: str
    named_by_protocol: bool
    names: str
    plan: str
    sequence: str
    image_type: tuple[str, ...]
    declared: str
    scanning: frozenset[str]
    variant: frozenset[str]
    options: frozenset[str]
    dimension: str
    suppression: str
    tr: float | None
    te: float | None
    ti: float | None
    flip: float | None
    train: float | None
    b: float | None
    field: float | None
    thickness: float | None
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    echo: int | None
    agent: str
    agent_items: bool
    manufacturer: str
    model: str


def facts_of(row: Row) -> Facts:
    """Read a row.

    Parameters
    ----------
    row
        Cells by DICOM keyword.
    """
    b_values = numbers(row.get("DiffusionBValue"))
    if row.get("SharedFunctionalGroupsSequence") is not None or row.get("PerFrameFunctionalGroupsSequence") is not None:
        row, b_of_frames = _flattened(row)
        b_values += b_of_frames
    protocol, described = text(row.get("ProtocolName")), text(row.get("SeriesDescription"))
    sequence = (text(row.get("SequenceName")) or text(row.get("PulseSequenceName"))).lower()
    plan = BREAK.join(filter(None, (protocol.lower(), described.lower())))
    declared = texts(row.get("AcquisitionContrast"))
    field = _positive(row, "MagneticFieldStrength")
    echoes = numbers(row.get("EchoNumbers"))
    return Facts(
        protocol=protocol or described,
        named_by_protocol=bool(protocol),
        names=BREAK.join(filter(None, (plan, sequence))),
        plan=plan,
        sequence=sequence,
        image_type=texts(row.get("ImageType")),
        declared=declared[0] if declared else "",
        scanning=_codes(row, "ScanningSequence", _SCANNING),
        variant=_codes(row, "SequenceVariant", _VARIANT),
        options=frozenset(texts(row.get("ScanOptions"))),
        dimension=next(iter(texts(row.get("MRAcquisitionType"))), ""),
        suppression=next(iter(texts(row.get("SpectrallySelectedSuppression"))), ""),
        tr=_positive(row, "RepetitionTime"),
        te=_positive(row, "EchoTime") or _positive(row, "EffectiveEchoTime"),
        ti=_positive(row, "InversionTime"),
        flip=_positive(row, "FlipAngle"),
        train=_positive(row, "EchoTrainLength"),
        b=max(b_values, default=None),
        field=field / 10_000 if field is not None and field > _GAUSS else field,
        thickness=_positive(row, "SliceThickness"),
        orientation=vector(row.get("ImageOrientationPatient"), 6),
        position=vector(row.get("ImagePositionPatient"), 3),
        echo=int(echoes[0]) if len(echoes) == 1 else None,
        agent=text(row.get("ContrastBolusAgent")),
        agent_items=bool(items(row.get("ContrastBolusAgentSequence"))),
        manufacturer=text(row.get("Manufacturer")).lower(),
        model=text(row.get("ManufacturerModelName")),
    )


def _positive(row: Row, keyword: str) -> float | None:
    found = numbers(row.get(keyword))
    return found[0] if found and found[0] > 0 else None


def _codes(row: Row, keyword: str, enhanced: Mapping[str, Mapping[str, set[str]]]) -> frozenset[str]:
    """Codes of a classic element or, where it is absent, those that the enhanced elements stand for."""
    found = frozenset(texts(row.get(keyword)))
    if found:
        return found
    return frozenset(
        code
        for element, codes in enhanced.items()
        for value in texts(row.get(element))
        for code in codes.get(value, ())
    )


def _flattened(row: Row) -> tuple[Row, tuple[float, ...]]:
    """The row with what its functional groups say in the columns of a classic object, and all b-values.

    The first frame stands for all. Groups fill what the data set leaves open, and decide what they describe by
    definition (C.7.6.16.1: an attribute of a group is not repeated outside).
    """
    flat: dict[str, Any] = {}
    b_values: list[float] = []
    for index, group in enumerate(_groups(row)):
        for macro in group.values():
            for item in mappings(macro):
                b_values += numbers(item.get("DiffusionBValue"))
                if index > 1:  # shared, first frame, then the b-values of the others
                    continue
                flat |= {_MOVED.get(key, key): value for key, value in item.items() if _MOVED.get(key, key) in COLUMNS}
    declared = {key: value for key, value in row.items() if items(value)}
    return flat | declared, tuple(b_values)


def _groups(row: Row) -> Iterator[Mapping[str, Any]]:
    shared = next(mappings(row.get("SharedFunctionalGroupsSequence")), {})
    yield shared
    yield from mappings(row.get("PerFrameFunctionalGroupsSequence"))

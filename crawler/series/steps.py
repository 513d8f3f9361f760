"""Values of axes as DICOM elements: what a written image says of its step along each axis."""

from __future__ import annotations

from typing import Any

from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.series.axis import Axis
from crawler.series.headers import FrameHeader

DAY = 86400.0
KEYWORDS = {
    "time": "AcquisitionTime",
    "te": "EchoTime",
    "ti": "InversionTime",
    "fa": "FlipAngle",
    "b": "DiffusionBValue",
    "bvector": "DiffusionGradientOrientation",
    "triggertime": "TriggerTime",
    "trigger_time": "TriggerTime",
    "echo": "EchoNumbers",
    "phase": "NominalPercentageOfCardiacPhase",
    "acquisition": "AcquisitionNumber",
}
_COUNTED = "TemporalPositionIdentifier"


def step_elements(axis: Axis, step: int, header: FrameHeader | None, first: FrameHeader | None) -> dict[str, Any]:
    """Elements that a step has.

    Parameters
    ----------
    header, first
        Of the image, and of the first slice of the same step: times differ from slice to slice, and those that were
        read, or set, are kept while the axis is the one that they were read or set with.
    """
    value = own_value(axis, step, header, first)
    keyword = axis.keyword or KEYWORDS.get(axis.name, axis.name if tag_for(axis.name) is not None else "")
    found: dict[str, Any] = {}
    if axis.name == "time" or not keyword or value is None:
        found[_COUNTED] = step + 1
    if axis.directions:
        direction = axis.directions[step]
        found["DiffusionGradientOrientation"] = None if direction is None else list(direction)
    if value is None or not keyword or keyword == _COUNTED:
        return found
    if dictionary_vr(tag_for(keyword) or 0) == "TM":
        if isinstance(value, (int, float)) and 0 <= value < DAY:
            found[keyword] = clock(value)
        elif isinstance(value, str):
            found[keyword] = value
        return found
    if keyword == "FrameReferenceTime" and axis.unit == "s":
        found[keyword] = float(value) * 1000
        return found
    if axis.name == "bvector":
        found[keyword] = None if not any(value) else list(value)
        return found
    found[keyword] = list(value) if isinstance(value, tuple) else value
    return found


def own_value(axis: Axis, step: int, header: FrameHeader | None, first: FrameHeader | None) -> Any:
    """Value of an image along an axis: the one that was set for it, a time of its own, else the axis's."""
    value = axis[step]
    told = None if header is None else header.tags.get(axis.name)
    if told is not None and told[0] == value:
        return told[1]
    if header is None or first is None or axis.keyword not in ("AcquisitionTime", ""):
        return value
    own, reference = header.plane.trait("AcquisitionTime"), first.plane.trait("AcquisitionTime")
    return own if own is not None and reference == value else value


def clock(seconds: float) -> str:
    """A TM (PS3.5 6.2) of seconds since midnight."""
    micros = min(round(seconds * 1e6), round(DAY * 1e6) - 1)
    whole, rest = divmod(micros, 1_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}{minute:02d}{second:02d}.{rest:06d}"

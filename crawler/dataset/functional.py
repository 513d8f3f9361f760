"""The planes of an instance: geometry, rescale and traits of each frame.

Single-frame and classic multi-frame objects describe all frames at once, in the data set itself; enhanced ones in
functional groups (PS3.3 C.7.6.16), shared or one item a frame. Nothing is computed from the values here
(`geometry.py`), and frames are not put in order (`layout.py`).
"""

from __future__ import annotations

from typing import Any, cast

from crawler.dataset.fields import Fields
from crawler.model import TRAITS, Plane, Vector

# Where functional groups keep a trait: (macro, element, trait), PS3.3 C.7.6.16.2, C.8.13.5 (MR), C.8.15.3 (CT),
# C.8.22.5 (PET), C.8.19.7 (XA/XRF).
_GROUP_TRAITS = tuple(
    (macro, element, TRAITS.index(trait))
    for macro, element, trait in (
        ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
        ("MRImageFrameTypeSequence", "FrameType", "ImageType"),
        ("CTImageFrameTypeSequence", "FrameType", "ImageType"),
        ("PETFrameTypeSequence", "FrameType", "ImageType"),
        ("XAXRFFrameCharacteristicsSequence", "FrameType", "ImageType"),
        ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
        ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
        ("MRModifierSequence", "InversionTimes", "InversionTime"),
        ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
        ("CardiacSynchronizationSequence", "TriggerTime", "TriggerTime"),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
        ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
        ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionTime"),
    )
)


def planes_of(fields: Fields, frames: int) -> tuple[Plane, ...]:
    """Return the planes of an instance.

    Parameters
    ----------
    fields
        The whole record.
    frames
        (0028,0008) *Number of Frames*.

    Returns
    -------
    tuple of Plane
        One a frame, in frame order, for an object with (5200,9230) *Per-frame Functional Groups Sequence*. A single
        one that all frames share for every other, and where that sequence has fewer items than there are frames:
        which frame lacks its item cannot be told, so none is given a position.
    """
    shared = _overlaid(_plain(fields), fields.item("SharedFunctionalGroupsSequence"))
    groups = fields.items("PerFrameFunctionalGroupsSequence")
    if not groups or len(groups) < frames:
        return (shared,)
    return tuple(_overlaid(shared, group) for group in groups[:frames])


def voi_fields(fields: Fields) -> Fields:
    """Return where the display window of an instance stands (PS3.3 C.11.2, C.7.6.16.2.10).

    The data set itself; for an enhanced object that has none there the shared functional groups, or else those of
    the first frame.
    """
    if fields.has_value("WindowCenter"):
        return fields
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = fields.item(keyword)
        voi = group.item("FrameVOILUTSequence") if group else None
        if voi is not None:
            return voi
    return fields


def _plain(fields: Fields) -> Plane:
    """Plane of an object whose attributes stand in the data set itself."""
    return Plane(
        position=None if _is_montage(fields) else _vector(fields, "ImagePositionPatient"),
        orientation=fields.vector("ImageOrientationPatient", 6),
        spacing=_spacing(fields),
        thickness=fields.number("SliceThickness"),
        slope=_number_or(fields, "RescaleSlope", 1.0),
        intercept=_number_or(fields, "RescaleIntercept", 0.0),
        traits=tuple(_trait(fields.value(keyword)) for keyword in TRAITS),
    )


def _is_montage(fields: Fields) -> bool:
    """Whether the image is a Siemens mosaic: many slices side by side, and its position is that of none of them."""
    kind = fields.value("ImageType")
    return isinstance(kind, list) and "MOSAIC" in kind


def _overlaid(plane: Plane, group: Fields | None) -> Plane:
    """A plane with what a functional group says in place of what was there; groups repeat nothing (C.7.6.16.1)."""
    if group is None:
        return plane
    position, orientation = plane.position, plane.orientation
    spacing, thickness = plane.spacing, plane.thickness
    slope, intercept = plane.slope, plane.intercept
    if (macro := group.item("PlanePositionSequence")) is not None:
        position = _vector(macro, "ImagePositionPatient")
    if (macro := group.item("PlaneOrientationSequence")) is not None:
        orientation = macro.vector("ImageOrientationPatient", 6)
    if (macro := group.item("PixelMeasuresSequence")) is not None:
        spacing, thickness = _spacing(macro), macro.number("SliceThickness")
    if (macro := group.item("PixelValueTransformationSequence")) is not None:
        slope = _number_or(macro, "RescaleSlope", 1.0)
        intercept = _number_or(macro, "RescaleIntercept", 0.0)
    return Plane(position, orientation, spacing, thickness, slope, intercept, _group_traits(plane, group))


def _group_traits(plane: Plane, group: Fields) -> tuple[Any, ...]:
    """Traits of the plane, with those that the group holds in their place."""
    traits = list(plane.traits)
    for macro, element, index in _GROUP_TRAITS:
        item = group.item(macro)
        value = _trait(item.value(element)) if item is not None else None
        if value is not None:
            traits[index] = value
    return tuple(traits)


def _trait(value: Any) -> Any:
    """A value that can be compared and hashed: lists as tuples; anything odd counts as absent."""
    if isinstance(value, list):
        return tuple(item for item in value if not isinstance(item, (dict, list)))
    return None if isinstance(value, dict) else value


def _vector(fields: Fields, keyword: str) -> Vector | None:
    return cast("Vector | None", fields.vector(keyword, 3))


def _spacing(fields: Fields) -> tuple[float, float] | None:
    """(0028,0030) *Pixel Spacing*; the distance between pixels is above zero (PS3.3 10.7.1.3)."""
    pair = fields.vector("PixelSpacing", 2)
    return (pair[0], pair[1]) if pair is not None and min(pair) > 0 else None


def _number_or(fields: Fields, keyword: str, default: float) -> float:
    number = fields.number(keyword)
    return default if number is None else number

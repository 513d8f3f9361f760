"""The planes of an instance: geometry, rescale and traits of each frame.

Single-frame objects describe their frame in the data set itself, enhanced ones in functional groups (PS3.3
C.7.6.16), shared or one item a frame; for classic multi-frame ones see `multiframe.py`. Puts no frames in order
(`layout/layouts.py` does). Does not apply *Real World Value Mappings*: a plane's rescale gives the modality's own
values.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from crawler.dicom.attributes import Attributes
from crawler.instance.component import component_of
from crawler.instance.multiframe import frame_planes
from crawler.instance.traits import Dimensions, group_traits, traits_of
from crawler.model import Plane, Vector

SLOPE_0 = "a Rescale Slope of 0 is no transformation, and was ignored"

# Macros that hold (0008,9007) Frame Type: MR, CT, PET, XA/XRF, 3D X-ray, parametric map.
_FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XAXRFFrameCharacteristicsSequence",
    "XRay3DFrameTypeSequence",
    "ParametricMapFrameTypeSequence",
)


class _Context(NamedTuple):
    """What the data set says of how its functional groups are to be read."""

    modality: str
    dimensions: Dimensions


def planes_of(fields: Attributes, frames: int) -> tuple[Plane, ...]:
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
        One a frame, in frame order, for an object with (5200,9230) *Per-frame Functional Groups Sequence*, and for
        classic ones that say where or when each frame is. A single one that all frames share for every other, and
        where that sequence has fewer items than there are frames: which frame lacks its item cannot be told, so none is
        given a position.
    """
    plain, common = _plain(fields), fields.item("SharedFunctionalGroupsSequence")
    groups = fields.items("PerFrameFunctionalGroupsSequence")
    if common is None and not groups:
        return frame_planes(fields, plain, frames)
    context = _Context(fields.text("Modality"), Dimensions.of(fields))
    shared = _overlaid(plain, common, context)
    if not groups:
        return frame_planes(fields, shared, frames)
    if len(groups) < frames:
        return (shared,)
    return tuple(_overlaid(shared, group, context) for group in groups[:frames])


def voi_fields(fields: Attributes) -> Attributes:
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


def slope_notes(fields: Attributes) -> tuple[str, ...]:
    """What a row says of a (0028,1053) *Rescale Slope* that is none, in the data set or in a functional group."""
    groups = [fields.item("SharedFunctionalGroupsSequence"), *fields.items("PerFrameFunctionalGroupsSequence")]
    macros = [group.item("PixelValueTransformationSequence") for group in groups if group is not None]
    slopes = [place.number("RescaleSlope") for place in (fields, *macros) if place is not None]
    return (SLOPE_0,) if 0 in slopes else ()


def _plain(fields: Attributes) -> Plane:
    """Plane of an object whose attributes stand in the data set itself.

    The slope of a dose is (3004,000E) *Dose Grid Scaling*, which leads to the units of (3004,0002), mostly Gy (PS3.3
    C.8.8.3). Without a position the spacing may be (0018,1164), that at the detector: it tells the shape of pixels, and
    no distances in the patient, so no volume is made of it.
    """
    position = _vector(fields, "ImagePositionPatient")
    orientation, spacing, thickness, component = fields.memoized(_geometry_of_series)
    slope, intercept = fields.memoized(_rescale)
    if spacing is None and position is None:
        spacing = _spacing(fields, "ImagerPixelSpacing")
    return Plane(position, orientation, spacing, thickness, slope, intercept, traits_of(fields), component)


def _geometry_of_series(
    fields: Attributes,
) -> tuple[tuple[float, ...] | None, tuple[float, float] | None, float | None, str]:
    """Orientation, spacing, thickness and component, which mostly are those of the whole series."""
    return (
        fields.vector("ImageOrientationPatient", 6),
        _spacing(fields),
        fields.number("SliceThickness"),
        component_of(fields, fields.text("Modality")),
    )


def _rescale(fields: Attributes) -> tuple[float, float]:
    slope = "DoseGridScaling" if fields.has_value("DoseGridScaling") else "RescaleSlope"
    return _transformation(fields, slope)


def _transformation(fields: Attributes, keyword: str = "RescaleSlope") -> tuple[float, float]:
    """Slope and intercept (PS3.3 C.11.1.1.2).

    A slope of 0 would map every value to the intercept, and is no transformation: it is left out with its intercept, as
    dcmtk does (`DiMonoModality`).
    """
    slope = _number_or(fields, keyword, 1.0)
    return (slope, _number_or(fields, "RescaleIntercept", 0.0)) if slope else (1.0, 0.0)


def _overlaid(plane: Plane, group: Attributes | None, context: _Context) -> Plane:
    """A plane with what a functional group says in place of what was there; groups repeat nothing (C.7.6.16.1)."""
    if group is None:
        return plane
    position, orientation = plane.position, plane.orientation
    spacing, thickness = plane.spacing, plane.thickness
    slope, intercept = plane.slope, plane.intercept
    component, stack, of_volume = plane.component, plane.stack, plane.of_volume
    if (macro := group.item("PlanePositionSequence")) is not None:
        position = _vector(macro, "ImagePositionPatient")
    if (macro := group.item("PlaneOrientationSequence")) is not None:
        orientation = macro.vector("ImageOrientationPatient", 6)
    # Enhanced US Volume, PS3.3 C.7.6.16.2.21 and C.7.6.16.2.22
    if (macro := group.item("PlanePositionVolumeSequence")) is not None and position is None:
        position, of_volume = _vector(macro, "ImagePositionVolume"), True
    if (macro := group.item("PlaneOrientationVolumeSequence")) is not None and orientation is None:
        orientation, of_volume = macro.vector("ImageOrientationVolume", 6), True
    if (macro := group.item("PixelMeasuresSequence")) is not None:
        spacing, thickness = _spacing(macro), macro.number("SliceThickness")
    if (macro := group.item("PixelValueTransformationSequence")) is not None:
        slope, intercept = _transformation(macro)
    if (macro := group.item("FrameContentSequence")) is not None:
        stack = macro.text("StackID") or stack
    frame_type = next((item for keyword in _FRAME_TYPES if (item := group.item(keyword)) is not None), None)
    if frame_type is not None:
        component = component_of(frame_type, context.modality, "FrameType")
    traits = group_traits(plane.traits, group, frame_type, context.dimensions)
    return Plane(
        position, orientation, spacing, thickness, slope, intercept, traits, component, stack, of_volume=of_volume
    )


def _vector(fields: Attributes, keyword: str) -> Vector | None:
    return cast("Vector | None", fields.vector(keyword, 3))


def _spacing(fields: Attributes, keyword: str = "PixelSpacing") -> tuple[float, float] | None:
    """(0028,0030) *Pixel Spacing*; the distance between pixels is above zero (PS3.3 10.7.1.3)."""
    pair = fields.vector(keyword, 2)
    return (pair[0], pair[1]) if pair is not None and min(pair) > 0 else None


def _number_or(fields: Attributes, keyword: str, default: float) -> float:
    number = fields.number(keyword)
    return default if number is None else number

"""The frames of classic multi-frame objects: where the vectors of NM and the offsets of RT Dose put them, and when.

Such objects describe all frames in the data set itself. A vector that does not have one value a frame is not repaired:
then no frame has a position. Planar NM, XA, XRF, US and Secondary Capture have none by their nature. Enhanced objects
are read in `functional.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from crawler.dicom.attributes import Attributes
from crawler.geometry import ORIENTATION_TOLERANCE, Floats, normal
from crawler.instance.traits import with_traits
from crawler.model import Plane, Vector

TIMED_FRAMES = 4096
"""A cine of more frames is not given a plane a frame: two minutes at 30 frames a second, and some 2 MB of planes."""

ABSOLUTE_TOLERANCE = 1e-3
"""mm between the first absolute offset of a dose and its position: both are the same DS, printed twice."""

# Vectors of NM that tell frames at one position apart (PS3.3 C.8.4.8.1); the angular view is a place.
_APART = ("EnergyWindowVector", "DetectorVector", "RotationVector", "RRIntervalVector")


def frame_planes(fields: Attributes, plane: Plane, frames: int) -> tuple[Plane, ...]:
    """Return the planes of an object without functional groups.

    Parameters
    ----------
    fields
        The whole record.
    plane
        What the data set says of all frames.
    frames
        (0028,0008) *Number of Frames*.

    Returns
    -------
    tuple of Plane
        One a frame for a reconstruction of NM, for a dose grid, and for a cine whose frames have times: then without
        positions, in `FrameReferenceTime` the ms since the first frame. Otherwise `plane` alone.
    """
    if fields.has_value("SliceVector"):
        return _reconstruction(fields, plane, frames)
    if frames == 1 and _is_reconstruction(fields):
        return (_detector_plane(fields, plane),)
    if frames > 1 and fields.has_value("GridFrameOffsetVector"):
        return _dose(fields, plane, frames)
    if 1 < frames <= TIMED_FRAMES and plane.position is None and (times := _times(fields, frames)):
        traits = [with_traits(plane.traits, {"FrameReferenceTime": time}) for time in times]
        return tuple(plane._replace(traits=one) for one in traits)
    return (plane,)


def _reconstruction(fields: Attributes, plane: Plane, frames: int) -> tuple[Plane, ...]:
    """RECON TOMO and RECON GATED TOMO, the only NM images with a Slice Vector (PS3.3 C.8.4.8.1.1).

    The detector gives the first slice (C.8.4.11), and (0018,0088) *Spacing Between Slices* the way to the next: along
    row x column direction, or against it when negative (C.8.4.15).
    """
    first = _detector_plane(fields, plane)
    lost = (first._replace(position=None),)
    direction = normal(first.orientation)
    slices = _vector(fields, "SliceVector", frames)
    if slices is None or first.position is None or direction is None:
        return lost
    traits = _nm_traits(fields, frames)
    step = fields.number("SpacingBetweenSlices") or 0.0
    if traits is None or (step == 0 and len(set(slices)) > 1):
        return lost
    positions = _along(first.position, direction, [(number - 1) * step for number in slices])
    return tuple(
        first._replace(position=position, traits=with_traits(first.traits, found))
        for position, found in zip(positions, traits, strict=True)
    )


def _is_reconstruction(fields: Attributes) -> bool:
    """Whether (0008,0008) *Image Type* value 3 is RECON TOMO or RECON GATED TOMO (PS3.3 C.8.4.9.1.1)."""
    kind = fields.value("ImageType")
    return isinstance(kind, list) and len(kind) > 2 and kind[2] in ("RECON TOMO", "RECON GATED TOMO")


def _detector_plane(fields: Attributes, plane: Plane) -> Plane:
    """The plane with the position and orientation on which all detectors agree; as it is where none has them."""
    places = {
        (item.vector("ImagePositionPatient", 3), item.vector("ImageOrientationPatient", 6))
        for item in fields.items("DetectorInformationSequence")
    }
    told = [(position, orientation) for position, orientation in places if position and orientation]
    if not told:
        return plane
    if len(told) > 1:
        return plane._replace(position=None)
    (x, y, z), orientation = told[0]
    return plane._replace(position=(x, y, z), orientation=orientation)


def _nm_traits(fields: Attributes, frames: int) -> list[dict[str, Any]] | None:
    """Traits of each frame; None when a vector does not fit the frames.

    A time slot is one of equal parts of the heart beat (C.8.4.8.1.7): its start is its nominal percentage. Phase and
    time slice count the steps of a dynamic study together (C.8.4.8.1.4).
    """
    vectors = {
        keyword: _vector(fields, keyword, frames)
        for keyword in (*_APART, "TimeSlotVector", "PhaseVector", "TimeSliceVector")
        if fields.has_value(keyword)
    }
    if None in vectors.values():
        return None
    columns = {keyword: vector for keyword, vector in vectors.items() if vector is not None}
    found: list[dict[str, Any]] = [{} for _ in range(frames)]
    if apart := [columns[keyword] for keyword in _APART if keyword in columns]:
        _put(found, "DimensionIndexValues", list(zip(*apart, strict=True)))
    if slots := columns.get("TimeSlotVector"):
        count = max(fields.integer("NumberOfTimeSlots") or 0, *slots)
        _put(found, "NominalPercentageOfCardiacPhase", [100 * (slot - 1) / count for slot in slots])
    if steps := [columns[keyword] for keyword in ("PhaseVector", "TimeSliceVector") if keyword in columns]:
        moments = list(zip(*steps, strict=True))
        ranks = {moment: rank for rank, moment in enumerate(sorted(set(moments)), start=1)}
        _put(found, "TemporalPositionIdentifier", [ranks[moment] for moment in moments])
    return found


def _put(found: list[dict[str, Any]], trait: str, values: Sequence[Any]) -> None:
    for traits, value in zip(found, values, strict=True):
        traits[trait] = value


def _dose(fields: Attributes, plane: Plane, frames: int) -> tuple[Plane, ...]:
    """RT Dose: one plane an offset (PS3.3 C.8.8.3.2).

    Offsets that begin with zero run from the first plane along row x column direction. Others are patient z
    coordinates, if the first is that of the position and the planes are transverse; else they mean nothing known. The
    standard asks for the orientation 1,0,0,0,1,0 there; z says the same in any transverse plane, prone for instance.
    """
    offsets = fields.each("GridFrameOffsetVector")
    direction = normal(plane.orientation)
    numbers = [offset for offset in offsets if offset is not None]
    if plane.position is None or direction is None or not len(offsets) == len(numbers) == frames:
        return (plane._replace(position=None),)
    if numbers[0]:
        transverse = bool(np.abs(direction[:2]).max() <= ORIENTATION_TOLERANCE)
        if not transverse or abs(numbers[0] - plane.position[2]) > ABSOLUTE_TOLERANCE:
            return (plane._replace(position=None),)
        numbers = [(number - numbers[0]) * float(np.sign(direction[2])) for number in numbers]
    return tuple(plane._replace(position=position) for position in _along(plane.position, direction, numbers))


def _along(position: Vector, direction: Floats, distances: Sequence[float]) -> list[Vector | None]:
    """Points at distances (mm) from a position along a unit vector; none at all where numbers are beyond measure."""
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.asarray(position) + np.outer(distances, direction)
    if not np.isfinite(points).all():
        return [None] * len(distances)
    return [(x, y, z) for x, y, z in points.tolist()]


def _vector(fields: Attributes, keyword: str, frames: int) -> list[int] | None:
    """An index vector: one whole number from 1 on a frame (PS3.3 C.8.4.8)."""
    value = fields.value(keyword)
    numbers = value if isinstance(value, list) else [value]
    fits = len(numbers) == frames and all(isinstance(number, int) and number > 0 for number in numbers)
    return numbers if fits else None


def _times(fields: Attributes, frames: int) -> list[float] | None:
    """Time of each frame since the first, in ms (PS3.3 C.7.6.5.1.1 and C.7.6.5.1.2).

    (0018,1065) *Frame Time Vector* holds the steps and begins with 0. The attribute to which *Frame Increment Pointer*
    points counts; with both and no pointer it is the vector.
    """
    pointer = fields.value("FrameIncrementPointer")
    step = fields.number("FrameTime")
    steps = fields.each("FrameTimeVector")
    if pointer != "(0018,1063)" and len(steps) == frames:
        known = [number for number in steps[1:] if number is not None and number >= 0]
        return list(accumulate(known, initial=0.0)) if len(known) == frames - 1 else None
    if pointer in (None, "(0018,1063)") and step is not None and step > 0:
        return [number * step for number in range(frames)]
    return None

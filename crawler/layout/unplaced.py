"""Frames without a position or an orientation of their own: one array a file, or one of all slices in their order.

Gives no matrix and no distance: an order is all that a (0020,1041) *Slice Location* or a number tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.dicom.record import Record
from crawler.instance.mosaic import is_montage
from crawler.layout.columns import number_of, trait_key
from crawler.layout.draft import Draft, array_of
from crawler.layout.planes import Planes, image
from crawler.layout.verdict import (
    BY_LOCATION,
    BY_NUMBER,
    MONTAGE,
    NO_GEOMETRY,
    SHARED_PLANE,
    UNDIRECTED,
    join_reasons,
)
from crawler.model import TRAITS, Coordinates, Instance, Pixels, Place, Scan, Verdict

SECTIONAL = ("CT", "MR", "PT", "NM")
"""(0008,0060) *Modality* of images that are slices by their nature: others are pictures of which each is its own."""

# They may differ from slice to slice of one volume.
_OF_A_SLICE = ("AcquisitionNumber", "AcquisitionTime", "TriggerTime", "FrameReferenceTime", "DimensionIndexValues")


def unplaced(
    scan: Scan, planes: Planes, common: Verdict, keys: KeyStyle, records: Callable[[int], Record] | None
) -> Iterator[Draft]:
    """Layouts of the frames that `Planes.without_geometry` names.

    Slices of single files that agree in everything but their place are one array in the order of *Slice Location*, or
    where they have none of *Instance Number*, if no two have the same. Every other file is an array of its own.

    Parameters
    ----------
    common
        What is known of the whole scan.
    keys, records
        As of `layouts.layouts`.
    """
    read = records or (lambda number: scan.instances[number].record)
    kinds: dict[Any, list[int]] = {}
    for index, frames in planes.without_geometry:
        instance = scan.instances[index]
        if len(frames) == 1 and instance.mosaic is None and instance.modality in SECTIONAL:
            kinds.setdefault(_kind(instance), []).append(index)
    stacked: set[int] = set()
    for members in kinds.values():
        if len(members) > 1 and (ordered := _ordered(scan.instances, members, read, keys)):
            stacked |= set(members)
            order, reason = ordered
            placement = tuple(Place(index, 0, (place,)) for place, index in enumerate(order))
            verdict = common._replace(reason=join_reasons(common.reason, NO_GEOMETRY, reason))
            layout = array_of(
                image(scan.instances[order[0]]) or Pixels(), ("slice",), (len(order),), placement, verdict
            )
            yield Draft((int(min(planes.rank[index] for index in order)), 0, 0, 0), layout)
    for index, frames in planes.without_geometry:
        if index not in stacked:
            yield _alone(scan.instances[index], index, frames, int(planes.rank[index]), common)


def _alone(instance: Instance, index: int, frames: Sequence[int], rank: int, common: Verdict) -> Draft:
    shared = len(frames) > 1 and len(instance.planes) == 1
    placement = tuple(Place(index, frame, (place,)) for place, frame in enumerate(frames))
    verdict = common._replace(reason=SHARED_PLANE if shared else _missing(instance))
    axis = "frame" if len(frames) > 1 else "slice"
    layout = array_of(image(instance) or Pixels(), (axis,), (len(frames),), placement, verdict)
    layout = layout._replace(coordinates=_frame_times(instance, frames))
    return Draft((rank, frames[0], 0, 0), layout)


def _kind(instance: Instance) -> Any:
    """What slices of one volume agree in."""
    pixels, plane = image(instance) or Pixels(), instance.planes[0]
    traits = tuple(
        trait_key(value) for name, value in zip(TRAITS, plane.traits, strict=True) if name not in _OF_A_SLICE
    )
    return (
        instance.sop_class,
        (pixels.rows, pixels.columns, pixels.samples, pixels.photometric, pixels.keyword),
        (plane.orientation, plane.spacing, plane.thickness, plane.component, plane.stack, is_montage(plane)),
        traits,
    )


def _ordered(
    instances: Sequence[Instance], members: Sequence[int], read: Callable[[int], Record], keys: KeyStyle
) -> tuple[list[int], str] | None:
    """Slices in their order, and what tells it; None where nothing does."""
    if is_montage(instances[members[0]].planes[0]):
        return None
    key = key_for("SliceLocation", keys)
    locations = {index: number_of(read(index).get(key)) for index in members}
    known = {index: location for index, location in locations.items() if location is not None}
    if len(set(known.values())) == len(members):
        return sorted(members, key=lambda index: known[index]), BY_LOCATION
    numbers = {instances[index].instance_number for index in members}
    if known or None in numbers or len(numbers) < len(members):
        return None
    return sorted(members, key=lambda index: instances[index].instance_number or 0), BY_NUMBER


def _frame_times(instance: Instance, frames: Sequence[int]) -> tuple[Coordinates, ...]:
    """When the frames of a cine were made, where the header says it."""
    if len(frames) < 2 or len(instance.planes) <= max(frames):
        return ()
    times = [number_of(instance.planes[frame].trait("FrameReferenceTime")) for frame in frames]
    known = tuple(round(time * 1e-3, 6) for time in times if time is not None)
    if len(known) < len(times):
        return ()
    return (Coordinates("frame", known, "FrameReferenceTime", "s"),)


def _missing(instance: Instance) -> str:
    """Why frames of an instance have no geometry."""
    if instance.mosaic is not None:
        return UNDIRECTED
    return MONTAGE if len(instance.planes) == 1 and is_montage(instance.planes[0]) else NO_GEOMETRY

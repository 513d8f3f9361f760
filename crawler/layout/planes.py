"""The planes of a scan as columns of numpy arrays: single frames and frames of a multi-frame object alike.

Sorts out what has no geometry of its own, and what kind of plane the rest is. Decides nothing about volumes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.dicom.record import Record
from crawler.geometry import (
    ORIENTATION_TOLERANCE,
    PIXEL_SPACING_TOLERANCE,
    Floats,
    Integers,
    finite,
    valid_orientations,
)
from crawler.layout.columns import Records, trait_key
from crawler.layout.plane_record import plane_record
from crawler.model import Instance, Pixels, Plane

FRAME_LIMIT = 2**20
"""A header that claims more frames is not believed: the largest slides have some 200,000 tiles, and a place for every
frame of a hostile (0028,0008) *Number of Frames* would fill the memory."""

NUMBER_LIMIT = 10**12
"""(0020,0013) *Instance Number* is an IS, 12 characters at most (PS3.5 6.2)."""

SINGLES = 3
"""Files with a Frame of Reference UID of their own, from which on they are thought to be one series: two may be two
scouts."""

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage, PS3.4 B.5: each segment has arrays of its own."""
RESULT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
)
"""SOP classes (PS3.4 B.5) whose pixels are results about other images: one instance is never stacked with another, and
frames at one position mean different things (segments, quantities) that geometry cannot tell apart."""


@dataclass(frozen=True, eq=False, slots=True)
class Planes:
    """Planes with a usable position and orientation, in order of file and frame, whatever the order of the instances.

    Attributes
    ----------
    instance, frame
        Shape (n,): index into the scan's instances; frame number from 0.
    position, orientation, spacing
        Shapes (n, 3), (n, 6), (n, 2), mm; the spacing is NaN where it is absent or not positive.
    kind
        Shape (n,): equal where planes may share an array (size, samples, photometric interpretation, frame
        of reference, SOP class where it matters, component, stack) and have one orientation and
        pixel spacing.
    single_orientation
        All planes of the scan have one orientation; None without planes.
    without_geometry
        (instance, frames) that have no usable geometry, one entry an instance.
    rank
        Shape (number of instances,): place of each instance in order of file names.
    references_ignored
        Every file has a *Frame of Reference UID* of its own, which counts for nothing.
    """

    instance: Integers
    frame: Integers
    position: Floats
    orientation: Floats
    spacing: Floats
    kind: Integers
    single_orientation: bool | None
    without_geometry: tuple[tuple[int, tuple[int, ...]], ...]
    rank: Integers
    references_ignored: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class PlaneSet:
    """Planes of one kind and direction, which may share an array.

    Attributes
    ----------
    slots
        Shape (n,): position number of each plane, from 0 without gaps.
    planes, instances
        The n planes, and the instance of each.
    numbers
        Shape (n,): (0020,0013) *Instance Number*, or where that tells nothing the place in `sequence`; NaN for none.
    sequence
        Shape (n,): rank of each plane in the order of acquisition, as far as that is known.
    record_of
        Gives the whole record of a plane (`plane_record`), of which `Instance.record` may hold a part.
    """

    slots: Integers
    planes: Sequence[Plane]
    instances: Sequence[Instance]
    numbers: Floats
    sequence: Integers
    record_of: Records

    def part(self, members: Integers) -> PlaneSet:
        """Some of the planes, by their indices."""
        return PlaneSet(
            np.unique(self.slots[members], return_inverse=True)[1].reshape(-1),
            [self.planes[member] for member in members.tolist()],
            [self.instances[member] for member in members.tolist()],
            self.numbers[members],
            self.sequence[members],
            lambda plane: self.record_of(int(members[plane])),
        )


def image(instance: Instance) -> Pixels | None:
    """The pixel description of an instance that can lie in a layout, else None; of a mosaic that of its tiles."""
    pixels = instance.pixels
    if pixels is None or instance.is_index or pixels.rows <= 0 or pixels.columns <= 0 or pixels.frames > FRAME_LIMIT:
        return None
    if (mosaic := instance.mosaic) is not None:
        return pixels._replace(rows=mosaic.rows, columns=mosaic.columns, frames=mosaic.tiles)
    return pixels


def planes_of(instances: Sequence[Instance], factor: float = 1.0, keys: KeyStyle = "keyword") -> Planes:
    """Lay out the planes of a scan as columns; never raises.

    Parameters
    ----------
    factor
        Of the tolerances of orientation and pixel spacing.
    keys
        Style of the records' keys.
    """
    rank = np.empty(len(instances), dtype=np.intp)
    order = sorted(range(len(instances)), key=lambda index: instances[index].file.key)
    rank[order] = np.arange(len(instances))
    kinds: dict[Hashable, int] = {}
    references, meanings = _references(instances), _meanings(instances, keys)
    rows: list[tuple[int, int, Plane, int]] = []
    without: list[tuple[int, tuple[int, ...]]] = []
    for index in order:
        instance = instances[index]
        pixels = image(instance)
        if pixels is None:
            continue
        frames = max(1, pixels.frames)
        if len(instance.planes) == frames:
            common = (_kind(instance, pixels, references.get(instance.frame_of_reference, "")), meanings[index])
            for frame, plane in enumerate(instance.planes):
                own = instance.file.key if plane.of_volume else ""
                # One segment's slices beside another's would make one volume of two, with nothing to tell them apart.
                segment = plane.trait("DimensionIndexValues") if instance.sop_class in SEGMENTATIONS else None
                kind = kinds.setdefault((common, plane.component, plane.stack, own, segment), len(kinds))
                rows.append((index, frame, plane, kind))
        else:  # one plane for all frames, or not as many as frames: no frame has a position of its own
            without.append((index, tuple(range(frames))))
    return replace(_columns(rows, without, rank, factor), references_ignored=not references)


def _columns(
    rows: list[tuple[int, int, Plane, int]],
    without: list[tuple[int, tuple[int, ...]]],
    rank: Integers,
    factor: float,
) -> Planes:
    instance = np.array([row[0] for row in rows], dtype=np.intp)
    frame = np.array([row[1] for row in rows], dtype=np.intp)
    kind = np.array([row[3] for row in rows], dtype=np.intp)
    position = _matrix((row[2].position for row in rows), len(rows), 3)
    orientation = _matrix((row[2].orientation for row in rows), len(rows), 6)
    spacing = _matrix((row[2].spacing for row in rows), len(rows), 2)
    usable = finite(position) & valid_orientations(orientation)
    lost: dict[int, list[int]] = {}
    for place in np.flatnonzero(~usable).tolist():
        lost.setdefault(rows[place][0], []).append(rows[place][1])
    without += [(index, tuple(frames)) for index, frames in lost.items()]
    orientation, spacing, kind = orientation[usable], spacing[usable], kind[usable]
    spacing[~(finite(spacing) & (spacing > 0).all(axis=1))] = np.nan
    directions = clusters(orientation / (ORIENTATION_TOLERANCE * factor))
    absent = np.isnan(spacing[:, 0])
    scaled = np.log(np.where(absent[:, None], 1e9, spacing)) / (PIXEL_SPACING_TOLERANCE * factor)
    kind = clusters(np.column_stack([10 * directions, 10 * kind, scaled]))
    return Planes(
        instance=instance[usable],
        frame=frame[usable],
        position=position[usable],
        orientation=orientation,
        spacing=spacing,
        kind=kind,
        single_orientation=bool(directions.max() == 0) if len(directions) else None,
        without_geometry=tuple(without),
        rank=rank,
    )


def plane_set(
    instances: Sequence[Instance],
    planes: Planes,
    members: Integers,
    slots: Integers,
    records: Records | None = None,
    keys: KeyStyle = "keyword",
) -> PlaneSet:
    """Planes with what may tell them apart.

    Numbers are those of the instances where each plane has one of its own; else planes count in the order of number,
    *Acquisition Time* and frame, where these differ from plane to plane. File names are no order of acquisition.

    Parameters
    ----------
    members, slots
        Shape (n,): indices into `planes`, in order of files and frames, and position number of each.
    records
        Give the whole record of an instance; None for that which instances have.
    keys
        Style of the records' keys.
    """
    of = [instances[index] for index in planes.instance[members].tolist()]
    frames = planes.frame[members].tolist()
    chosen = [instance.plane(frame) for instance, frame in zip(of, frames, strict=True)]
    numbers = [instance.instance_number for instance in of]
    order_keys = [
        (number is None, number or 0, trait_key(plane.trait("AcquisitionTime")), frame)
        for number, plane, frame in zip(numbers, chosen, frames, strict=True)
    ]
    # Members are in order of file names and frames, which a stable sort keeps; numbers may exceed an int64.
    order = sorted(range(len(order_keys)), key=lambda index: order_keys[index][:3])
    ranks = np.empty(len(order), dtype=np.intp)
    ranks[order] = np.arange(len(order))
    counted: Floats
    own = {number for number in numbers if number is not None and abs(number) < NUMBER_LIMIT}
    if len(own) == len(numbers):
        counted = np.array(numbers, dtype=np.float64)
    elif len(set(order_keys)) == len(order_keys) and len({number is None for number in numbers}) == 1:
        counted = ranks.astype(np.float64) + 1
    else:
        known = [np.nan if number is None else min(number, NUMBER_LIMIT) for number in numbers]
        counted = np.array(known, dtype=np.float64)
    numbers_of_files = planes.instance[members]
    whole = lru_cache(1)(records or (lambda number: instances[number].record))  # frames of a file follow each other

    def record_of(plane: int) -> Record:
        return plane_record(whole(int(numbers_of_files[plane])), frames[plane], keys)

    return PlaneSet(slots, chosen, of, counted, ranks, record_of)


def clusters(features: Floats) -> Integers:
    """Number the rows of an (n, m) array so that rows within 1 of a cluster's first row, in every column, are together.

    Clusters are numbered by their first rows. First come, first served: the rows are in a fixed order, so that
    the result is too.
    """
    distinct, first, inverse = np.unique(features, axis=0, return_index=True, return_inverse=True)
    # Distinct rows are sorted by their first column: only a window of them can be near.
    leading = distinct[:, 0]
    low = np.searchsorted(leading, leading - 1.0, side="left").tolist()
    high = np.searchsorted(leading, leading + 1.0, side="right").tolist()
    numbers = np.full(len(distinct), -1, dtype=np.intp)
    found = 0
    for row in np.argsort(first).tolist():
        if numbers[row] < 0:
            window = slice(low[row], high[row])
            near = (np.abs(distinct[window] - distinct[row]) <= 1.0).all(axis=1)
            numbers[window][near & (numbers[window] < 0)] = found
            found += 1
    return np.asarray(numbers[inverse.reshape(-1)], dtype=np.intp)


def _references(instances: Sequence[Instance]) -> dict[str, str]:
    """What each (0020,0052) *Frame of Reference UID* counts for; empty where they count for nothing.

    A series has one (PS3.3 C.7.4.1). Where `SINGLES` images or more have one each, and most of them share it with no
    other, they were made anew file by file, as some de-identification does.
    """
    counts = Counter(instance.frame_of_reference for instance in instances if image(instance) is not None)
    single = sum(count == 1 for uid, count in counts.items() if uid)
    frames = all(len(instance.planes) == 1 for instance in instances)
    if frames and single >= SINGLES and 2 * single > counts.total():
        return {}
    return {uid: uid for uid in (*counts, "")}


def _meanings(instances: Sequence[Instance], keys: KeyStyle) -> list[Hashable]:
    """What the values of each instance are, as far as instances say different things: modality and unit.

    (0054,1001) *Units*, (0028,1054) *Rescale Type*; values of two units in one array would be neither. An instance that
    does not say it is no other.
    """
    told = [
        (instance.modality, *(instance.record.get(key_for(word, keys)) or "" for word in ("Units", "RescaleType")))
        for instance in instances
    ]
    several = [len({repr(value) for value in column if value}) > 1 for column in zip(*told, strict=True)]
    return [tuple(repr(value) for value, counts in zip(row, several, strict=True) if counts) for row in told]


def _kind(instance: Instance, pixels: Pixels, reference: str) -> Hashable:
    """What two planes must share to lie in one array."""
    result = instance.sop_class in RESULT_CLASSES
    return (
        pixels.rows,
        pixels.columns,
        pixels.samples,
        pixels.photometric,
        pixels.keyword if pixels.keyword != "PixelData" else "",
        reference,
        instance.sop_class if result else "",
        instance.file.key if result else "",
    )


def _matrix(vectors: Iterator[Sequence[float] | None], rows: int, width: int) -> Floats:
    """Stack vectors; NaN where one is absent or has another length."""
    nothing = (np.nan,) * width
    values = [vector if vector is not None and len(vector) == width else nothing for vector in vectors]
    return np.array(values, dtype=np.float64).reshape(rows, width)

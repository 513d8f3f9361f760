"""DICOM files to arrays on disk with their description: headers decide, pixels stay in the files until they are used.

Series are told apart by their UID. Which images make an array is `layout/`'s decision in the order "auto", and that of
`orders.py` where the axes are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crawler import geometry
from crawler.errors import FileError, NotDicom
from crawler.instance.header import read_instance
from crawler.layout.layouts import layouts
from crawler.layout.planes import image, planes_of
from crawler.layout.verdict import ASSUMED_STEP, THICKNESS_STEP
from crawler.model import Coordinates, File, Instance, Layout, Place, Scan, Verdict
from crawler.series.axis import SPATIAL, Axes, Axis, VariableAxis
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import CannotSort, MultipleSeriesError, SeveralArrays
from crawler.series.grid import NOT_PLACED, Grid
from crawler.series.header_bytes import header_bytes
from crawler.series.headers import FrameHeader, Meta, SourceFrame, Template
from crawler.series.lazy import FrameReader, FrameRef, LazyArray
from crawler.series.orders import arrange, keys_of, slots_of


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a place is read.

    Attributes
    ----------
    order
        "auto", "none", or what the axes before the slices are (`orders.keys_of`).
    named
        Further names of orders.
    strict
        Whether an array that is not regular is refused.
    uneven
        What becomes of slices that are not evenly spaced: "keep" or "split" (`layouts.layouts`).
    layout
        Name or number (from 1) of the array that is wanted, of a series that makes several.
    series_uid, echo, acquisition
        Only images with these; empty for all.
    ignore_series_uid
        Everything in the place is one series.
    accept_duplicates
        Images with equal values of the order are taken in the order of their numbers.
    input_format
        The only format to look for; empty for any.
    tolerance
        `volume.tolerance`.
    calling_aet, timeout
        Of a PACS: our AE title, and seconds that it may take for any one answer (None: the limits of the package).
    psopt
        Of PostScript: "dpi=150,driver=png16m,rotate=90".
    """

    order: Any = "auto"
    named: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False
    uneven: str = "keep"
    layout: str | int | None = None
    series_uid: str = ""
    echo: str = ""
    acquisition: str = ""
    ignore_series_uid: bool = False
    accept_duplicates: bool = False
    input_format: str = ""
    tolerance: float = geometry.SHARE
    calling_aet: str = "DME"
    timeout: float | None = None
    psopt: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """One array that a place holds."""

    data: Any
    description: Description
    label: str


def read_headers(files: Sequence[File], notes: list[str], every: bool = False) -> tuple[list[Instance], list[File]]:
    """Read the headers of files; return images and the files that are no DICOM.

    What fails is noted, and unless `every` file counts, what was read before.
    """
    instances, others = [], []
    seen: set[str] = set()
    for file in files:
        try:
            instance = read_instance(file)
        except NotDicom:
            others.append(file)
            continue
        except FileError as error:
            notes.append(f"{file.key}: {error}")
            continue
        if image(instance) is None or instance.is_index:
            continue
        if instance.sop_uid and instance.sop_uid in seen and not every:
            notes.append(f"{file.key}: left out, its SOP Instance UID was read before")
            continue
        seen.add(instance.sop_uid)
        instances.append(instance)
    return instances, others


def scans_of(instances: Sequence[Instance], options: ReadOptions) -> list[Scan]:
    """Group images into series, in order of series number and first file, as far as they are wanted."""
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        if options.series_uid and instance.series_uid != options.series_uid:
            continue
        if options.echo and str(instance.record.get("EchoNumbers", "")) != options.echo:
            continue
        if options.acquisition and str(instance.record.get("AcquisitionNumber", "")) != options.acquisition:
            continue
        uid = "" if options.ignore_series_uid else instance.series_uid or instance.file.key
        groups.setdefault(uid, []).append(instance)
    ordered = sorted(groups.values(), key=lambda some: (some[0].series_number or 0, some[0].file.key))
    return [Scan(f"series {number}", some[0].series_uid, tuple(some)) for number, some in enumerate(ordered, start=1)]


def parts_of(scan: Scan, options: ReadOptions, keep: Any, notes: Sequence[str]) -> list[Part]:
    """The arrays of a series.

    Raises
    ------
    CannotSort
        The images form no array in the order that is asked for; with `strict`, also where an array is not regular.
    """
    found = _layouts(scan, options)
    if options.strict:
        for layout in found:
            if not layout.verdict.regular_volume or len(found) > 1:
                reason = layout.verdict.reason or "its images form several arrays"
                raise CannotSort(f"{_label(scan)} is not a regular volume: {reason}")
    return [_part(scan, layout, keep, notes) for layout in found]


def choose(parts: Sequence[Part], options: ReadOptions, place: str) -> Part:
    """The one array of a place.

    Raises
    ------
    MultipleSeriesError
        There are several; the message names them.
    """
    if options.layout is not None:
        number = int(options.layout)
        if not 1 <= number <= len(parts):
            raise MultipleSeriesError(f"{place} holds {len(parts)} arrays, and none of number {number}")
        return parts[number - 1]
    if len(parts) > 1:
        lines = "".join(f"\n  {number}: {part.label}" for number, part in enumerate(parts, start=1))
        kind = SeveralArrays if len({_series_of(part) for part in parts}) == 1 else MultipleSeriesError
        raise kind(
            f"{place} holds {len(parts)} arrays; take one with layout=NUMBER, or all with Series.read_all:{lines}"
        )
    return parts[0]


def _series_of(part: Part) -> Any:
    """What tells the series of arrays apart: those of other files are each their own."""
    first = next((header for header in part.description.frames.flat if header is not None), None)
    return id(part) if first is None else first.record.get("SeriesInstanceUID")


def _layouts(scan: Scan, options: ReadOptions) -> list[Layout]:
    order = options.order
    if order in ("auto", "", None):
        return layouts(scan, irregular=options.uneven, tolerance=options.tolerance)
    planes = planes_of(scan.instances, options.tolerance / geometry.SHARE)
    keys = () if order == "none" else keys_of(order, options.named)
    if len(planes.kind) == 0 or planes.without_geometry:
        if keys:
            raise CannotSort(f"{_label(scan)} has images without a position, which only their own order can sort")
        return layouts(scan, irregular=options.uneven, tolerance=options.tolerance)
    kinds = np.unique(planes.kind)
    if len(kinds) > 1:
        raise CannotSort(f"{_label(scan)} holds {len(kinds)} kinds of images that share no array")
    base = layouts(scan, irregular="keep", order="none", tolerance=options.tolerance)[0]
    members = np.flatnonzero(planes.kind == kinds[0])
    thickness = scan.instances[int(planes.instance[0])].plane(int(planes.frame[0])).thickness
    slots = slots_of(planes, members, thickness or None, options.tolerance)
    repeated = len(members) > int(slots.max()) + 1
    if order == "none" and repeated:
        keys = (replace(keys_of("time", {})[0], name="none", unit="", values=(("", _by_number),)),)
    found = arrange(scan, planes, members, slots, keys, options.accept_duplicates)
    single = tuple(number for number in range(len(keys)) if found.members.shape[number] == 1)
    stack = found.members.squeeze(axis=single)
    coordinates = tuple(
        Coordinates(key.name, values, keyword, key.unit)
        for number, (key, keyword, values) in enumerate(zip(keys, found.keywords, found.values, strict=True))
        if number not in single
    )
    placement = tuple(
        Place(int(planes.instance[member]), int(planes.frame[member]), index)
        for index, member in zip(np.ndindex(stack.shape), stack.ravel(), strict=True)
    )
    positions = planes.position[stack.reshape(-1, stack.shape[-1])[0]]
    matrix, verdict = _geometry(scan, base, positions, planes.orientation[members[0]], options)
    pixels = image(scan.instances[0])
    assert pixels is not None
    colour = (pixels.samples,) if pixels.samples > 1 else ()
    return [
        Layout(
            "",
            (*stack.shape, pixels.rows, pixels.columns, *colour),
            (*(one.axis for one in coordinates), "slice", "row", "column", *(("sample",) if colour else ())),
            placement,
            matrix,
            verdict,
            coordinates=coordinates,
        )
    ]


def _by_number(instance: Instance, plane: Any) -> Any:
    return instance.instance_number


def _geometry(scan: Scan, base: Layout, positions: Any, orientation: Any, options: ReadOptions) -> tuple[Any, Verdict]:
    """Affine and verdict of slices in order."""
    direction = geometry.normal(orientation)
    plane = scan.instances[base.placement[0].instance].plane(base.placement[0].frame)
    if direction is None or plane.spacing is None:
        return None, base.verdict
    if len(positions) == 1:
        thickness = plane.thickness
        step = direction * (thickness if thickness else 1.0)
        reason, regular = THICKNESS_STEP if thickness else ASSUMED_STEP, False
    elif geometry.is_uniform(positions, direction, options.tolerance):
        step, reason, regular = geometry.mean_step(positions), "", True
    else:
        return None, base.verdict._replace(regular_volume=False, uniform_spacing=False, policy="keep")
    matrix = geometry.affine(orientation, positions[0], plane.spacing, step)
    affine = None if matrix is None else tuple(map(tuple, matrix.tolist()))
    return affine, base.verdict._replace(regular_volume=regular and matrix is not None, reason=reason)


def _part(scan: Scan, layout: Layout, keep: Any, notes: Sequence[str]) -> Part:
    used = sorted({place.instance for place in layout.placement})
    numbers = {instance: number for number, instance in enumerate(used)}
    instances = [scan.instances[number] for number in used]
    planes = [scan.instances[place.instance].plane(place.frame) for place in layout.placement]
    reader = FrameReader(instances, planes, keep)
    count = len(layout.placement[0].index)
    steps = layout.shape[:count]
    refs, headers = empty_frames(steps), empty_frames(steps)
    for place, plane in zip(layout.placement, planes, strict=True):
        instance = scan.instances[place.instance]
        refs[place.index] = FrameRef(numbers[place.instance], place.frame)
        single = instance.pixels is None or instance.pixels.frames == 1
        source = SourceFrame(instance.sop_class, instance.sop_uid, None if single else place.frame, instance.file.key)
        headers[place.index] = FrameHeader(instance.record, plane, (source,), origin=instance.file if single else None)
    pixels = image(instances[0])
    assert pixels is not None
    frame_shape = (pixels.rows, pixels.columns, *reader.samples)
    data = LazyArray(refs, frame_shape, reader)
    assumed = frozenset({"slice"}) if "slice" in layout.axes and steps[-1] == 1 else frozenset()
    reference = instances[0].frame_of_reference
    grid = None if layout.affine is None else Grid.of(layout.affine, reference, assumed)
    if grid is not None and all(one.record.get("ImageComments") == NOT_PLACED for one in instances):
        grid = replace(grid, placed=False)  # an array without a place, as it was written
    if grid is None and all(plane.position is None for plane in planes):
        grid = Grid.of_indices()  # nothing was lost: such images have no place
    axes = with_grid([*_leading(layout, headers), *_in_plane(frame_shape)], grid)
    meta = Meta(Template(header_bytes(instances[0])), input_format="dicom", verdict=layout.verdict, notes=tuple(notes))
    description = Description(axes, grid, headers, meta, _steps_in_plane(planes, reference))
    return Part(data, description, _label(scan, layout))


def _steps_in_plane(planes: Sequence[Any], reference: str) -> Grid | None:
    """Steps along rows and columns where each plane has a position of its own, and all run the same way."""
    first = planes[0]
    if first.orientation is None or first.spacing is None or any(plane.position is None for plane in planes):
        return None
    if any(plane.orientation != first.orientation or plane.spacing != first.spacing for plane in planes):
        return None
    along, down = (np.array(cosines, dtype=float) for cosines in (first.orientation[:3], first.orientation[3:]))
    normal = np.cross(along, down)
    if not normal.any():
        return None
    vectors = {"slice": normal, "row": down * first.spacing[0], "column": along * first.spacing[1]}
    return Grid(np.zeros(3), vectors, reference)


def _leading(layout: Layout, headers: Any) -> list[Axis]:
    """Axes of frames. Of times the clock's are taken, as the images have them, so that they can go back into files."""
    count = headers.ndim
    known = {one.axis: one for one in layout.coordinates}
    axes = []
    for number, name in enumerate(layout.axes[:count]):
        length = layout.shape[number]
        if name in SPATIAL:
            axes.append(Axis(name, np.arange(length)))
            continue
        told = known.get(name)
        if told is None:
            axes.append(Axis(name, np.arange(length)))
            continue
        values = told.values
        if told.unit == "s" and told.keyword != "FrameReferenceTime":
            first = np.moveaxis(headers, number, 0).reshape(length, -1)[:, 0]
            clock = [header.plane.trait("AcquisitionTime") for header in first]
            values = tuple(clock) if None not in clock and clock == sorted(clock) else values
        axes.append(VariableAxis(name, values, told.unit, told.keyword, told.directions))
    return axes


def _in_plane(shape: Sequence[int]) -> list[Axis]:
    names = ("row", "column", "sample")
    return [Axis(name, np.arange(length)) for name, length in zip(names, shape, strict=False)]


def _label(scan: Scan, layout: Layout | None = None) -> str:
    """A series, and an array of it, without anything of the patient."""
    first = scan.instances[0]
    number = "without number" if first.series_number is None else f"{first.series_number}"
    text = f"series {number} ({first.modality or 'no modality'})"
    if layout is not None:
        text = f"{text[:-1]}, {first.series_uid})"
        shape = " x ".join(f"{length} {name}" for length, name in zip(layout.shape, layout.axes, strict=False))
        text += f": {shape}" + (f", {layout.verdict.reason}" if layout.verdict.reason else "")
    return text


def squeezed(part: Part) -> Part:
    """A single image as an array of rows and columns, as seeds/002 gives it."""
    axes: Axes = part.description.axes
    names = ("slice", "frame")
    if part.description.frames.size != 1 or part.description.frames.ndim != 1 or axes[0].name not in names:
        return part
    from crawler.series.indexing import select

    selection = select(0, part.description.shape)
    assert selection is not None
    return replace(part, data=part.data[selection.key], description=part.description.indexed(selection))

"""What a volume says about itself beside its voxels: identity, geometry, verdict, and the origin of every frame.

Formats differ in where they put it; what it is, they share. Writes nothing but the JSON file that accompanies formats
without room for it, and looks at no pixel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from crawler.model import Coordinates, Instance
from crawler.sinks.base import LayoutSubject
from crawler.sinks.bids_fields import NOT_ATTRIBUTES

MEANING = ("RealWorldValue", "Segment", "Units", "RescaleType", "PhilipsScale", "Palette")
"""Beginnings of the names of attributes that say what the voxels mean."""

AFFINE_CONVENTION = "index (slice,row,column) -> patient LPS, mm"


def leading_axes(subject: LayoutSubject) -> tuple[str, ...]:
    """Names of the axes before row and column: those that a frame's index runs along."""
    axes = subject.layout.axes
    return axes[: axes.index("row")]


def placed_instances(subject: LayoutSubject) -> list[Instance]:
    """Instances of the layout, each once, in array order."""
    instances = subject.scan.instances
    return [instances[number] for number in dict.fromkeys(place.instance for place in subject.layout.placement)]


def attributes(subject: LayoutSubject) -> dict[str, Any]:
    """What is noted beside the voxels. None stands for "not known".

    Returns
    -------
    dict
        In the order of the file: the subject's own fields, then identity, display, geometry with `axis_fields`, and
        verdict. A field that takes several values within the layout (a mixed SOP class) is a list of them, in array
        order.
    """
    layout = subject.layout
    placed = placed_instances(subject)
    window = placed[0].windows[0] if placed and placed[0].windows else (None, None)
    verdict = {f"verdict_{name}": value for name, value in layout.verdict._asdict().items()}
    return {
        **{name: value for name, value in subject.attributes.items() if name not in NOT_ATTRIBUTES},
        "scan_id": subject.scan.scan_id,
        "layout": layout.name,
        "values": subject.values,
        "StudyInstanceUID": _common(one.study_uid for one in placed),
        "SeriesInstanceUID": subject.scan.series_uid,
        "FrameOfReferenceUID": _common(one.frame_of_reference for one in placed),
        "SOPClassUID": _common(one.sop_class for one in placed),
        "TransferSyntaxUID": _common(one.transfer_syntax for one in placed),
        "Modality": _common(one.modality for one in placed),
        "PhotometricInterpretation": subject.photometric,
        "WindowCenter": window[0],
        "WindowWidth": window[1],
        "affine": layout.affine,
        "affine_convention": AFFINE_CONVENTION if layout.affine else None,
        "spacing": spacing(subject),
        "axes": list(layout.axes),
        **axis_fields(subject),
        **verdict,
    }


def meaning(subject: LayoutSubject) -> dict[str, Any]:
    """What the voxels stand for, of the attributes: mapping to quantities, segments, units; for formats that take few.

    Returns
    -------
    dict
        Texts, numbers, and lists; see `instance/real_world.py` and `instance/segments.py` for the names.
    """
    return {
        name: value
        for name, value in subject.attributes.items()
        if name.startswith(MEANING) and value not in (None, "", [])
    }


def axis_fields(subject: LayoutSubject) -> dict[str, Any]:
    """Where the steps of the axes beside slice, row and column lie.

    Returns
    -------
    dict
        For each axis that something is known of: ``axis_<name>``, a list of one value a step (numbers, with NaN for one
        that is not known, or texts); ``axis_<name>_unit`` and ``axis_<name>_keyword``, empty when there is none;
        ``axis_b_directions``, three floats a step: the gradient's unit vector in patient LPS, NaN for no direction.
    """
    fields: dict[str, Any] = {}
    for one in subject.layout.coordinates:
        fields[f"axis_{one.axis}"] = _steps(one)
        fields[f"axis_{one.axis}_unit"] = one.unit
        fields[f"axis_{one.axis}_keyword"] = one.keyword
        if any(one.directions):
            fields[f"axis_{one.axis}_directions"] = [list(step or (math.nan,) * 3) for step in one.directions]
    return fields


def is_number(value: Any) -> bool:
    """Whether a header's value is one finite number; it may be anything."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def spacing(subject: LayoutSubject) -> list[float]:
    """Voxel size in mm along slice, row and column index; NaN where the header does not give it."""
    layout = subject.layout
    if layout.affine is not None:
        steps = np.asarray(layout.affine, dtype=np.float64)[:3, :3]
        return [float(step) for step in np.linalg.norm(steps, axis=0)]
    instances = subject.scan.instances
    in_plane = {instances[place.instance].plane(place.frame).spacing for place in layout.placement}
    known = in_plane.pop() if len(in_plane) == 1 else None
    even = layout.verdict.spacing if layout.verdict.uniform_spacing and "slice" in layout.axes else None
    return [math.nan if even is None else even, *(known or (math.nan, math.nan))]


def columns(subject: LayoutSubject) -> dict[str, list[Any]]:
    """Where each frame comes from.

    Returns
    -------
    dict
        Equally long lists, one item a frame, in array order: ``index_<axis>`` for each leading axis;
        ``SOPInstanceUID``; ``source`` (`File.key`); ``frame_number``, from 1 as DICOM counts, and so are the tiles of a
        mosaic; ``position`` (3 floats), (0020,0032) *Image Position (Patient)* in mm, NaN where absent; ``slope`` and
        ``intercept``, of the file, whether or not the values are rescaled; and numbers of the Real World Value Mapping
        that differ between frames, such as ``RealWorldValueSlope``, NaN where a frame has none.
    """
    instances, places = subject.scan.instances, subject.layout.placement
    planes = [instances[place.instance].plane(place.frame) for place in places]
    names = leading_axes(subject) if places else ()
    return {
        **{f"index_{name}": [place.index[axis] for place in places] for axis, name in enumerate(names)},
        "SOPInstanceUID": [instances[place.instance].sop_uid for place in places],
        "source": [instances[place.instance].file.key for place in places],
        "frame_number": [place.frame + 1 for place in places],
        "position": [plane.position or (math.nan,) * 3 for plane in planes],
        "slope": [plane.slope for plane in planes],
        "intercept": [plane.intercept for plane in planes],
        **{
            name: [math.nan if value is None else float(value) for value in values]
            for name, values in subject.by_frame.items()
            if name.startswith("RealWorldValue") and all(value is None or is_number(value) for value in values)
        },
    }


def plain(value: Any) -> np.ndarray[Any, Any]:
    """A field of `meaning` as an array without objects: numbers, texts, or what is mixed as the text of its JSON."""
    if isinstance(value, list) and not (all(map(is_number, value)) or all(isinstance(item, str) for item in value)):
        value = _json(value)
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if any(isinstance(text, str) for text in texts):  # NumPy holds code points, and no lone surrogates
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return np.array(clean[0] if isinstance(value, str) else clean)
    return np.array(value)


def write_provenance(path: str, subject: LayoutSubject) -> None:
    """Write everything above as one JSON object: the `attributes`, then shape and ``frames``, one a line.

    ``shape`` and the indices are those of the layout, whatever order of axes the format beside it has.

    Raises
    ------
    OSError
        As the system raised it.
    """
    table = columns(subject)
    head = {**attributes(subject), "shape": subject.layout.shape}
    with open(path, "x", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write("{\n")
        for name, value in head.items():
            file.write(f"{_json(name)}: {_json(value)},\n")
        file.write('"frames": [')
        for number, row in enumerate(zip(*table.values(), strict=True)):
            file.write((",\n" if number else "\n") + _json(dict(zip(table, row, strict=True))))
        file.write("\n]\n}\n")


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write one indented JSON object. Raises OSError."""
    with open(path, "x", encoding="utf-8", errors="replace", newline="\n") as file:
        json.dump(_plain(content), file, ensure_ascii=False, allow_nan=False, indent=2)
        file.write("\n")


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value as JSON knows it: null for numbers that are none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _steps(coordinates: Coordinates) -> list[Any]:
    """Values of an axis in a form that every format holds: all numbers, or all texts."""
    known = [value for value in coordinates.values if value is not None]
    if all(map(is_number, known)):
        return [math.nan if value is None else value for value in coordinates.values]
    return ["" if value is None else value if isinstance(value, str) else _json(value) for value in coordinates.values]


def _common(values: Iterable[str]) -> str | list[str]:
    distinct = list(dict.fromkeys(values))
    return distinct if len(distinct) > 1 else "".join(distinct)

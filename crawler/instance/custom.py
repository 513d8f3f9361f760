"""The element that `volume.order` names, for each frame of an instance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawler.dicom.attributes import Attributes, Name
from crawler.model import Plane


def with_custom(planes: tuple[Plane, ...], fields: Attributes, keyword: Name) -> tuple[Plane, ...]:
    """Planes with `Plane.custom` filled in.

    Parameters
    ----------
    planes
        Of the instance, by `functional.planes_of`.
    fields
        The whole record.
    keyword
        The element, or tag and creator of a private one: looked for in the data set itself, in the macros of the shared
        functional groups, then, frame by frame, in those of the per-frame ones, which come first.
    """
    common = next(_found([fields, *_macros(fields.item("SharedFunctionalGroupsSequence"))], keyword), None)
    groups = fields.items("PerFrameFunctionalGroupsSequence")
    if len(planes) == 1 or len(groups) < len(planes):
        return tuple(plane._replace(custom=common) for plane in planes)
    return tuple(
        plane._replace(custom=next(_found(_macros(group), keyword), common))
        for plane, group in zip(planes, groups, strict=False)
    )


def _macros(group: Attributes | None) -> Iterator[Attributes]:
    """First items of the sequences in a functional group."""
    return iter(()) if group is None else group.first_items()


def _found(places: Any, keyword: Name) -> Iterator[Any]:
    for place in places:
        value = place.value(keyword)
        if isinstance(value, list):
            value = tuple(item for item in value if not isinstance(item, dict | list))
        if value is not None and not isinstance(value, dict):
            yield value

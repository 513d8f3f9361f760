"""The acquisition as a JSON sidecar in the terms of BIDS, so that tools which expect one find what they need.

Joins what is taken from elements as they are (`bids_fields.py`) with what is made of several (`bids_mr.py`,
`bids_pet.py`), and says what the voxels mean: Real World Value Mapping, segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawler.model import TRAITS, Instance, Place
from crawler.sinks.base import LayoutSubject
from crawler.sinks.bids_fields import BY_VOLUME, FIELDS
from crawler.sinks.bids_mr import mr_fields
from crawler.sinks.bids_pet import pet_fields
from crawler.sinks.provenance import is_number, leading_axes, meaning, placed_instances

BY_MODALITY = {"MR": mr_fields, "PT": pet_fields}


def sidecar(subject: LayoutSubject) -> dict[str, Any]:
    """Fields whose value all frames of a layout share, or where BIDS has a list for it, those of the volumes.

    What differs otherwise, or is not known, is left out, and so is a 0 where BIDS asks for more.

    Parameters
    ----------
    subject
        Its planes tell the traits, its instances the modality, and its ``attributes``, by keyword, the rest.

    Returns
    -------
    dict
        Times in s, lengths in mm, angles in degrees, *Magnetic Field Strength* in T, *Imaging Frequency* in MHz.
    """
    found: dict[str, Any] = {}
    for name, entry in FIELDS.items():
        value = _common_value(subject, entry.keyword)
        if value is None and name in BY_VOLUME:
            value = _volume_values(subject, entry.keyword)
        if value is None or value in ("", []):
            continue
        if entry.factor is None:
            joined = isinstance(value, list) and name == "SoftwareVersions"  # a text in BIDS; others may be lists
            found[name] = "\\".join(map(str, value)) if joined else value
        elif isinstance(value, list) and name in BY_VOLUME and all(map(is_number, value)):
            if not entry.positive or min(value) > 0:
                found[name] = [_scaled(number, entry.factor) for number in value]
        elif is_number(value) and (value > 0 or not entry.positive):
            found[name] = _scaled(value, entry.factor)
    if found.get("Modality") in BY_MODALITY:
        found |= BY_MODALITY[found["Modality"]](subject)
    orientations = {instance.plane(place.frame).orientation for instance, place in _frames(subject)}
    if len(orientations) == 1 and (orientation := orientations.pop()) is not None:
        found["ImageOrientationPatientDICOM"] = list(orientation)
    if subject.layout.affine is None:
        found["ImageRowsReversed"] = True  # for want of a matrix (`nifti.py`)
    return meaning(subject) | found


def _frames(subject: LayoutSubject) -> Iterator[tuple[Instance, Place]]:
    for place in subject.layout.placement:
        yield subject.scan.instances[place.instance], place


def _scaled(number: float, factor: float) -> float:
    # Twelve digits: 3 ms are 0.003 s, and not 0.0030000000000000001.
    return number if factor == 1.0 else float(f"{number * factor:.12g}")


def _volume_values(subject: LayoutSubject, keyword: str) -> list[Any] | None:
    """One value of an element for each volume along the only axis beside the slices; None without such a list."""
    layout, axes = subject.layout, leading_axes(subject)
    others = [number for number, axis in enumerate(axes) if axis != "slice"]
    if len(others) != 1:
        return None
    values: list[set[Any]] = [set() for _ in range(layout.shape[others[0]])]
    for place in layout.placement:
        plane = subject.scan.instances[place.instance].plane(place.frame)
        values[place.index[others[0]]].add(plane.trait(keyword))
    return [one.pop() for one in values] if all(len(one) == 1 for one in values) else None


def _common_value(subject: LayoutSubject, keyword: str) -> Any:
    """The one value of an element in all frames of a layout, else None."""
    layout, instances = subject.layout, subject.scan.instances
    if keyword == "Modality":
        values: list[Any] = [one.modality for one in placed_instances(subject)]
    elif keyword in TRAITS:  # the frame's own, which an enhanced object keeps in its functional groups
        trait = TRAITS.index(keyword)
        values = [instances[place.instance].plane(place.frame).traits[trait] for place in layout.placement]
    else:
        values = [subject.attributes.get(keyword)]
    first = values[0] if values and all(value == values[0] for value in values) else None
    return list(first) if isinstance(first, tuple) else first

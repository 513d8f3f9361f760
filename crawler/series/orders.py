"""Orders that a user asks for: which values tell the images at one position apart, and the array that they make.

`layout/` finds axes by itself, which is the order "auto". Here the axes are given: planes at each position are sorted
by their values, and matched by rank from slice to slice, so that times may differ between slices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crawler import geometry
from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.geometry import Integers
from crawler.instance.traits import seconds
from crawler.layout.planes import Planes
from crawler.model import TRAITS, Instance, Plane, Scan
from crawler.series.errors import CannotSort, UnknownOrder

Value = Callable[[Instance, Plane], Any]
_TIMES = ("AcquisitionTime", "ContentTime", "FrameReferenceTime", "TriggerTime", "TemporalPositionIdentifier")
_NEAR = 1e-6  # relative difference of numbers that are one value: less than the six digits of a DS


@dataclass(frozen=True, slots=True)
class Key:
    """What images are sorted by.

    Attributes
    ----------
    name
        Of the axis.
    values
        Ways to get it, of which the first that tells all images apart is used.
    """

    name: str
    values: tuple[tuple[str, Value], ...]
    unit: str = ""


def _trait(keyword: str) -> tuple[str, Value]:
    return keyword, lambda instance, plane: plane.trait(keyword)


def _element(keyword: str) -> tuple[str, Value]:
    if keyword in TRAITS:
        return keyword, lambda instance, plane: _first(plane.trait(keyword), instance.record.get(keyword))
    if dictionary_vr(tag_for(keyword) or 0) == "TM":
        return keyword, lambda instance, plane: seconds(str(instance.record.get(keyword, "")))
    return keyword, lambda instance, plane: _scalar(instance.record.get(keyword))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _scalar(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_DIRECTION = ("DiffusionGradientOrientation", lambda instance, plane: plane.trait("DiffusionGradientOrientation"))
KEYS: dict[str, Key] = {
    "time": Key("time", tuple(_element(keyword) for keyword in _TIMES), "s"),
    "triggertime": Key("triggertime", (_trait("TriggerTime"),), "ms"),
    "trigger_time": Key("trigger_time", (_trait("TriggerTime"),), "ms"),
    "b": Key("b", (_trait("DiffusionBValue"),), "s/mm2"),
    "bvector": Key("bvector", (_DIRECTION,)),
    "te": Key("te", (_trait("EchoTime"),), "ms"),
    "fa": Key("fa", (_trait("FlipAngle"),), "degree"),
    "ti": Key("ti", (_trait("InversionTime"),), "ms"),
    "echo": Key("echo", (_trait("EchoNumbers"),)),
    "phase": Key("phase", (_trait("NominalPercentageOfCardiacPhase"),), "%"),
    "acquisition": Key("acquisition", (_trait("AcquisitionNumber"),)),
}
_TOGETHER = {"dti": ("b", "bvector"), "rsi": ("b", "bvector")}


def keys_of(order: str | Sequence[Any] | Callable[..., Any], named: Mapping[str, Any]) -> tuple[Key, ...]:
    """What an order asks for.

    Parameters
    ----------
    order
        A name, a DICOM keyword, a function of a header, several with commas or in a list (outermost first).
    named
        Further names, each for a keyword or for a function (``ti="InversionTime"``).

    Raises
    ------
    UnknownOrder
        A name is neither known nor a keyword.
    """
    if callable(order):
        return (Key("function", (("", _of_function(order)),)),)
    parts = [part.strip() for part in order.split(",")] if isinstance(order, str) else list(order)
    keys: list[Key] = []
    for part in parts:
        if callable(part):
            keys.append(Key("function", (("", _of_function(part)),)))
        elif (part in named and part not in KEYS) or (
            part in named and (callable(named[part]) or tag_for(str(named[part])) is not None)
        ):
            keys.append(_named_key(str(part), named[part]))
        elif part in _TOGETHER:
            keys += [KEYS[name] for name in _TOGETHER[part]]
        elif part in KEYS:
            keys.append(KEYS[part])
        elif tag_for(part) is not None:
            keys.append(Key(part, (_element(part),), _unit(part)))
        else:
            raise UnknownOrder(f"order {part!r} is no DICOM keyword, and none of auto, none, {', '.join(KEYS)}, dti")
    return tuple(keys)


def _named_key(name: str, what: Any) -> Key:
    if callable(what):
        return Key(name, (("", _of_function(what)),))
    if tag_for(str(what)) is None:
        raise UnknownOrder(f"order {name!r}: {what!r} is no DICOM keyword")
    return Key(name, (_element(str(what)),), _unit(str(what)))


def _unit(keyword: str) -> str:
    """Times of day are counted in seconds."""
    return "s" if dictionary_vr(tag_for(keyword) or 0) == "TM" else ""


def _of_function(function: Callable[..., Any]) -> Value:
    """A function of a pydicom data set, called with the header of each file once."""
    found: dict[int, Any] = {}

    def value(instance: Instance, plane: Plane) -> Any:
        if id(instance) not in found:
            from crawler.series.header_bytes import header_dataset  # loads pydicom

            found[id(instance)] = function(header_dataset(instance))
        result = found[id(instance)]
        return result.item() if isinstance(result, np.generic) else result

    return value


@dataclass(frozen=True, eq=False, slots=True)
class Sorted:
    r"""Planes as an array.

    Attributes
    ----------
    members
        Shape (\*steps, slices): numbers of planes.
    keywords
        One a key: the element that was used.
    values
        One a key: those of its steps, at the first slice and the first steps of the other axes.
    """

    members: Integers
    keywords: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]


def arrange(
    scan: Scan, planes: Planes, members: Integers, slots: Integers, keys: Sequence[Key], accept_duplicates: bool = False
) -> Sorted:
    """Sort the planes at each position by some keys.

    Parameters
    ----------
    members, slots
        Planes of one kind, and the position of each, from 0.
    accept_duplicates
        Images whose values are equal are taken in the order of their instance numbers.

    Raises
    ------
    CannotSort
        Images are told apart by none of the keys, or positions have different numbers of them.
    """
    per_slot = [members[slots == slot] for slot in range(int(slots.max()) + 1)]
    counts = {len(one) for one in per_slot}
    if len(counts) != 1:
        raise CannotSort(f"positions have {min(counts)} to {max(counts)} images each: they form no array")
    problem: CannotSort | None = None
    for chosen in _choices(keys):
        try:
            trees = [_tree(scan, planes, one, chosen, accept_duplicates) for one in per_slot]
        except CannotSort as error:
            problem = problem or error
            continue
        shapes = {tree.shape for tree in trees}
        if len(shapes) == 1:
            stacked = np.stack(trees, axis=-1)
            keywords = tuple(keyword for keyword, _ in chosen)
            return Sorted(stacked, keywords, _axis_values(scan, planes, stacked, chosen))
        problem = problem or CannotSort("positions have different numbers of values: they form no array")
    assert problem is not None
    raise problem


def _choices(keys: Sequence[Key]) -> list[tuple[tuple[str, Value], ...]]:
    """Ways to get all keys: the first of each, then with later ones of each key in turn."""
    first = tuple(key.values[0] for key in keys)
    return [first] + [
        (*first[:number], value, *first[number + 1 :]) for number, key in enumerate(keys) for value in key.values[1:]
    ]


def _tree(
    scan: Scan, planes: Planes, members: Integers, keys: Sequence[tuple[str, Value]], accept_duplicates: bool
) -> Integers:
    """The planes of one position, along an axis for each key."""
    if not keys:
        if len(members) != 1:
            raise CannotSort(f"{len(members)} images at one position have equal values")
        return members.reshape(())
    _, value = keys[0]
    found = [value(*_at(scan, planes, member)) for member in members]
    if any(one is None for one in found) and not all(one is None for one in found):
        known = [one for one in found if one is not None]
        if isinstance(known[0], (tuple, list)):  # an image without diffusion direction
            found = [tuple([0.0] * len(known[0])) if one is None else tuple(one) for one in found]
    if any(one is None for one in found):
        raise CannotSort(f"images have no {keys[0][0] or 'value'} to sort by")
    groups = _groups(found)
    parts = [members[group] for group in groups]
    if accept_duplicates and len(keys) == 1:
        numbered = [sorted(part, key=lambda member: _number(scan, planes, member)) for part in parts]
        return np.array([member for part in numbered for member in part], dtype=np.intp)
    branches = [_tree(scan, planes, part, keys[1:], accept_duplicates) for part in parts]
    if len({branch.shape for branch in branches}) != 1:
        raise CannotSort("not every value comes with every other: they form no array")
    return np.stack(branches)


def _groups(values: Sequence[Any]) -> list[list[int]]:
    """Numbers of equal values, in increasing order of the values."""
    try:
        order = sorted(range(len(values)), key=lambda number: values[number])
    except TypeError:
        order = sorted(range(len(values)), key=lambda number: str(values[number]))
    groups: list[list[int]] = []
    for number in order:
        if groups and _equal(values[groups[-1][0]], values[number]):
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return bool(abs(one - other) <= _NEAR * max(abs(one), abs(other)))
    return bool(one == other)


def _at(scan: Scan, planes: Planes, member: Any) -> tuple[Instance, Plane]:
    instance = scan.instances[int(planes.instance[member])]
    return instance, instance.plane(int(planes.frame[member]))


def _number(scan: Scan, planes: Planes, member: Any) -> tuple[int, int]:
    instance, _ = _at(scan, planes, member)
    return instance.instance_number or 0, int(planes.frame[member])


def _axis_values(
    scan: Scan, planes: Planes, members: Integers, keys: Sequence[tuple[str, Value]]
) -> tuple[tuple[Any, ...], ...]:
    first = members[..., 0]
    found = []
    for number, (_, value) in enumerate(keys):
        line = np.moveaxis(first, number, 0).reshape(first.shape[number], -1)[:, 0]
        found.append(tuple(value(*_at(scan, planes, member)) for member in line))
    return tuple(found)


def slots_of(planes: Planes, members: Integers, scale: float | None, tolerance: float) -> Integers:
    """Number the positions of planes of one direction."""
    direction = geometry.normal(planes.orientation[members[0]])
    assert direction is not None
    return geometry.slots(geometry.distances(planes.position[members], direction), scale, tolerance)

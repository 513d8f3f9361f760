"""Repeated positions: the planes at one place are told apart (echoes, time points, b-values, energies).

Returns groups in which every position occurs once, and the codes that name each group; which groups become the steps
of one array is decided in `axes.py`. Planes of one group agree in every element that tells volumes apart. What nothing
tells apart is in no group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crawler.dicom.dictionary import KeyStyle
from crawler.geometry import Integers
from crawler.layout.clocks import agrees, has_own_paces, in_order, is_apart
from crawler.layout.columns import (
    BY_ORDER,
    CLOCKS,
    CUSTOM,
    TIMES,
    Columns,
    axis_of,
    joined,
    known_elements,
    names_volumes,
    other_elements,
    positions_of_values,
    ticks_alike,
    trait_codes,
    trait_columns,
)
from crawler.layout.planes import PlaneSet
from crawler.layout.sequence import volumes_by_slice
from crawler.model import TRAITS

RETAKEN = 0.25
"""Up to this share of a volume's positions may be there twice, with nothing that tells the two planes apart, for the
first to be taken. The volume is then called irregular."""


NEIGHBOURS = 0.75
"""A stack that overlaps others has planes at more than this share of the positions between its ends."""


@dataclass(frozen=True, eq=False, slots=True)
class Separation:
    """Planes told apart.

    Attributes
    ----------
    groups
        Indices of planes; every position at most once in each; in order of `codes`.
    traits
        What did it: names of `TRAITS`, elements, `CUSTOM`, `BY_ORDER`; empty when no position is repeated.
    codes
        Shape (groups, traits): where the groups lie, in increasing order of each trait.
    second
        Planes at positions that a group holds already, and that nothing tells from those; every position once in each.
    untold
        Planes that nothing tells apart, in no group.
    doubtful
        Numbers of groups that hold the first of several planes that nothing tells apart, or of all where `counted`.
    counted
        Nothing but *Instance Number* tells planes at one position apart, and it runs slice by slice: nothing shows
        whether it does so alike at every position.
    """

    groups: tuple[Integers, ...]
    traits: tuple[str, ...]
    codes: npt.NDArray[np.intp]
    second: tuple[Integers, ...] = ()
    untold: tuple[Integers, ...] = ()
    doubtful: frozenset[int] = frozenset()
    counted: bool = False


def separate(of: PlaneSet, order: str = "auto", keys: KeyStyle = "keyword") -> Separation:
    """Split planes so that no group holds a position twice, nor planes of two volumes.

    1. Planes that differ in a trait, or in an element that is known to tell volumes apart, are never in one group,
       unless the element differs from plane to plane as a clock does.
    2. What then still shares a position is told apart by a clock or by numbers that run through the positions volume
       by volume (`sequence.py`); else by any other element of the header; else by numbers that run slice by slice.
    3. What nothing tells apart is in no group. Where that is a few positions, their first planes complete a volume that
       is in doubt.

    Parameters
    ----------
    order
        `volume.order`: its traits are tried before others.
    keys
        Style of the records' keys.
    """
    if len(np.unique(of.slots)) == len(of.slots):
        return together(len(of.slots))
    traits = trait_columns(of.planes, order)
    columns = {
        name: codes
        for name, codes in traits.items()
        if name != "AcquisitionTime"
        and (name == CUSTOM or (ticks_alike if name in CLOCKS else names_volumes)(codes, of.slots))
    }
    clocks = [name for name in CLOCKS if name in columns]
    elements = _naming_elements(of, keys) if clocks or not is_apart(columns, of.slots) else {}
    for name in clocks:
        if has_own_paces(name, columns, elements, of):
            del columns[name]
    if not is_apart(columns, of.slots):
        columns |= elements
    if is_apart(columns, of.slots):
        return _named(columns, of)
    if int((cells := _copies(of, columns)).max()) + 1 < len(of.slots):
        return _without(of, cells, order, keys)
    if counted := in_order(of, columns):
        name, volumes = counted
        return _named({**_agreeing(of, volumes, columns, keys), **columns, name: volumes}, of)
    if found := _by_any_element(of, columns, keys):
        return _named({**columns, **found}, of)
    by_slice = volumes_by_slice(of.slots, of.numbers)
    if by_slice is not None and is_apart({**columns, BY_ORDER: by_slice}, of.slots):
        found_by_slice = _named({**columns, BY_ORDER: by_slice}, of)
        if agrees(by_slice, columns, of):
            return found_by_slice
        return replace(found_by_slice, doubtful=frozenset(range(len(found_by_slice.groups))), counted=True)
    for name, codes in traits.items():  # stacks that overlap in part
        if name != "AcquisitionTime" and name not in columns and _are_stacks(codes, of.slots):
            columns[name] = codes
            if is_apart(columns, of.slots):
                return _named(columns, of)
    return _in_parts(of, columns)


def _naming_elements(of: PlaneSet, keys: KeyStyle) -> Columns:
    """Elements that are known to tell volumes apart, and do."""
    elements = known_elements(of.instances, of.record_of, of.slots, keys)
    return {name: codes for name, codes in elements.items() if names_volumes(codes, of.slots)}


def together(count: int) -> Separation:
    """All planes in one group."""
    return Separation((np.arange(count),), (), np.zeros((1, 0), dtype=np.intp))


def separation_of(chosen: Columns) -> Separation:
    """Groups of planes with equal codes, in lexicographic order."""
    columns = np.stack(list(chosen.values()), axis=1)
    codes = joined(list(chosen.values()))
    order = np.argsort(codes, kind="stable")
    groups = tuple(np.split(order, np.flatnonzero(np.diff(codes[order])) + 1))
    return Separation(groups, tuple(chosen), np.stack([columns[group[0]] for group in groups]))


def repetitions(slots: Integers, sequence: Integers) -> Integers:
    """Count, for each plane, the planes at its position that come before it in `sequence`."""
    order = np.lexsort((sequence, slots))
    ordered = slots[order]
    counts = np.empty(len(slots), dtype=np.intp)
    counts[order] = np.arange(len(slots)) - np.searchsorted(ordered, ordered)
    return counts


def _copies(of: PlaneSet, columns: Columns) -> Integers:
    """One code for planes that are alike in everything: position, columns and times, where there is a time.

    Their numbers may differ where few planes are alike: a copy that was numbered anew.
    """
    times = [trait_codes([plane.trait(name) for plane in of.planes]) for name in (*CLOCKS, "AcquisitionTime")]
    numbers = np.unique(of.numbers, return_inverse=True, equal_nan=True)[1].reshape(-1)
    places = [TRAITS.index(name) for name in (*CLOCKS, "AcquisitionTime")]
    known = [any(plane.traits[place] is not None for place in places) for plane in of.planes]
    each = np.where(known, 0, np.arange(1, len(known) + 1))
    cells = joined([of.slots, *columns.values(), *times, each])
    few = int(cells.max()) + 1 >= (1 - RETAKEN) * len(cells)
    return cells if few else joined([cells, numbers])


def _without(of: PlaneSet, cells: Integers, order: str, keys: KeyStyle) -> Separation:
    """Separation of the first plane of each cell; the groups that hold one of several are in doubt."""
    copies = repetitions(cells, of.sequence) > 0
    kept = np.flatnonzero(~copies)
    found = separate(of.part(kept), order, keys)
    groups = tuple(kept[group] for group in found.groups)
    others = np.flatnonzero(copies)
    home = np.full(len(cells), len(groups), dtype=np.intp)
    for number, group in enumerate(groups):
        home[cells[group]] = number
    doubts = set(home[cells[others]].tolist())
    rank = repetitions(cells, of.sequence)[others]
    strays = home[cells[others]] == len(groups)
    homes = np.where(strays, len(groups) + np.arange(len(others)), home[cells[others]])
    second = tuple(others[part] for part in separation_of({"group": homes, "copy": rank}).groups)
    untold = tuple(kept[planes] for planes in found.untold)
    second += tuple(kept[planes] for planes in found.second)
    return Separation(groups, found.traits, found.codes, second, untold, found.doubtful | doubts, found.counted)


def _are_stacks(codes: Integers, slots: Integers) -> bool:
    """Whether every value is found at neighbouring positions, at two or more."""
    cells = np.unique(codes * (int(slots.max()) + 1) + slots)
    of, at = np.divmod(cells, int(slots.max()) + 1)
    edges = np.flatnonzero(np.diff(of)) + 1
    parts = np.split(at, edges)
    return all(len(part) > 1 and len(part) > NEIGHBOURS * (part[-1] - part[0] + 1) for part in parts)


def _agreeing(of: PlaneSet, volumes: Integers, columns: Columns, keys: KeyStyle) -> Columns:
    """Other elements in which all whole volumes agree, or most of whose values are each found at all positions.

    Where some volumes are not whole: those have to agree in them too.
    """
    groups = joined([*columns.values(), volumes])
    sizes, count = np.bincount(groups), int(of.slots.max()) + 1
    if sizes.min() == count:
        return {}
    whole = sizes[groups] == count
    return {
        name: codes
        for name, codes in other_elements(of.record_of, of.slots, keys).items()
        if names_volumes(codes, of.slots)
        and (
            len(np.unique(joined([groups[whole], codes[whole]]))) == np.count_nonzero(sizes == count)
            or np.median(positions_of_values(codes, of.slots)) == count
        )
    }


def _by_any_element(of: PlaneSet, columns: Columns, keys: KeyStyle) -> Columns | None:
    """One more element that tells all apart, with the fewest values; half of its volumes at least are whole."""
    count = int(of.slots.max()) + 1
    best: Columns | None = None
    for name, codes in other_elements(of.record_of, of.slots, keys).items() if count > 1 else ():
        if (best is None or codes.max() < max(one.max() for one in best.values())) and names_volumes(codes, of.slots):
            found = {**columns, name: codes}
            sizes = np.bincount(joined(list(found.values())))
            if is_apart(found, of.slots) and 2 * np.count_nonzero(sizes == sizes.max()) >= len(sizes):
                best = {name: codes}
    return best


def _in_parts(of: PlaneSet, columns: Columns) -> Separation:
    """Each set of planes that agree in all columns by itself: in the order of acquisition, or as far as can be told."""
    cells = joined(list(columns.values())) if columns else np.zeros_like(of.slots)
    volumes, told, doubtful = np.zeros_like(cells), np.ones(len(cells), dtype=np.bool_), np.zeros_like(cells)
    second: list[Integers] = []
    untold: list[Integers] = []
    for cell in range(int(cells.max()) + 1):
        members = np.flatnonzero(cells == cell)
        part = of.part(members)
        counts = np.bincount(part.slots)
        if counts.max() == 1:
            continue
        if counted := in_order(part, {}):
            volumes[members] = counted[1]
            continue
        first = repetitions(part.slots, part.sequence) == 0
        if counts.max() == 2 and np.count_nonzero(counts > 1) <= RETAKEN * len(counts):
            doubtful[members] = 1
            told[members[~first]] = False
            second += np.split(members[~first], np.count_nonzero(~first))
        else:
            told[members] = False
            untold.append(members)
    kept = np.flatnonzero(told)
    if not len(kept):
        return Separation((), (BY_ORDER,), np.zeros((0, 1), dtype=np.intp), (), tuple(untold))
    chosen = {name: codes[kept] for name, codes in columns.items()}
    if volumes.max() or not chosen:
        chosen[BY_ORDER] = volumes[kept]
    found = _named(chosen, of.part(kept))
    groups = tuple(kept[group] for group in found.groups)
    doubts = frozenset(number for number, group in enumerate(groups) if doubtful[group].any())
    return Separation(groups, found.traits, found.codes, tuple(second), tuple(untold), doubts)


def _named(columns: Columns, of: PlaneSet) -> Separation:
    """Groups of planes with equal codes in all columns, named by no more of them than it takes."""
    chosen = _reduced(columns)
    if not chosen:
        return together(len(of.slots))
    others = {name: codes for name, codes in chosen.items() if axis_of(name) != "time"}
    if "DiffusionBValue" in chosen:  # volumes in the order of acquisition, repeated ones among them
        others = {name: codes for name, codes in others.items() if name != "DimensionIndexValues"}
        groups = _by_acquisition(others, joined(list(chosen.values())), of)
        return separation_of({**others, "DiffusionBValue": groups})
    times = [name for name in chosen if name not in others]
    if not times:
        return separation_of(chosen)
    moments = _ranked_within(list(others.values()), joined([chosen[name] for name in times]))
    return separation_of({**others, times[0] if len(times) == 1 else BY_ORDER: moments})


def _reduced(columns: Columns) -> Columns:
    """Columns without those that others make superfluous: contrasts by contrasts, times by both, kinds by all."""
    names: list[str] = []
    for rank in range(3):
        names += [name for name in columns if _rank(name) == rank]
        needed = [columns[name] for name in names]
        groups = int(joined(needed).max()) if needed else 0
        for name in reversed([name for name in names if _rank(name) == rank]):
            fewer = [columns[other] for other in names if other != name]
            if (int(joined(fewer).max()) if fewer else 0) == groups:
                names.remove(name)
    return {name: columns[name] for name in columns if name in names}


def _rank(name: str) -> int:
    """Contrasts come first, then times and phases, which differ from one contrast to the next too, then kinds."""
    if not axis_of(name):
        return 2
    return int(name in TIMES or name == "NominalPercentageOfCardiacPhase")


def _by_acquisition(others: Columns, groups: Integers, of: PlaneSet) -> Integers:
    """Rank groups by their acquisition where all positions have one order of them; as they are where they do not."""
    rest = [codes for name, codes in others.items() if name != "DiffusionBValue"]
    cells = joined([of.slots, *rest])
    ordered = np.lexsort((of.sequence, cells))
    inside = np.diff(cells[ordered]) == 0
    counts = np.bincount(groups)
    for ranks in (of.sequence, repetitions(cells, of.sequence)):
        order = np.argsort(np.bincount(groups, ranks) / counts, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        if (np.diff(place[groups[ordered]])[inside] > 0).all():
            return _ranked_within(rest, place[groups])
    return _ranked_within(rest, groups)


def _ranked_within(others: Sequence[Integers], codes: Integers) -> Integers:
    """Codes numbered anew, without gaps, among the planes that agree in all others."""
    if not others:
        return joined([codes])
    cells, pairs = joined(others), joined([*others, codes])
    first = np.full(int(cells.max()) + 1, len(codes), dtype=np.intp)
    np.minimum.at(first, cells, pairs)
    return pairs - first[cells]

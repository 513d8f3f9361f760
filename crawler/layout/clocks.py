"""Volumes by what runs on while planes are acquired: trigger times, times of acquisition, numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crawler.geometry import Floats, Integers
from crawler.layout.columns import BY_ORDER, CLOCKS, Columns, joined, numbers_of
from crawler.layout.planes import PlaneSet
from crawler.layout.sequence import past_midnight, phases_by_pace, phases_by_slice, volumes_in_turn


def is_apart(columns: Columns, slots: Integers) -> bool:
    """Whether no two planes share all codes and the position."""
    cells = joined([slots, *columns.values()])
    return int(cells.max()) + 1 == len(slots)


def in_order(of: PlaneSet, columns: Columns) -> tuple[str, Integers] | None:
    """Volumes in the order of acquisition, of all planes at once; and what tells it."""
    for name, clock, numbered in _clocks(of):
        # Phases first: positions that keep their own time may share enough of it to look like volumes in turn.
        volumes = _phases(of.slots, clock) if name in CLOCKS else None
        if volumes is None:
            volumes = volumes_in_turn(of.slots, clock, numbered, steady=name in CLOCKS)
        if volumes is None or not is_apart({**columns, name: volumes}, of.slots):
            continue
        if numbered and (_runs_back(volumes, columns, of) or _parts_phases(volumes, columns, of)):
            continue  # numbers that run against a clock are no order of acquisition
        return name, volumes
    return None


def agrees(volumes: Integers, columns: Columns, of: PlaneSet) -> bool:
    """Whether a clock goes up with the volume at every position, among planes that agree in all columns."""
    return any((_steps(name, volumes, columns, of) > 0).all() for name in (*CLOCKS, "AcquisitionTime"))


def has_own_paces(name: str, columns: Columns, elements: Columns, of: PlaneSet) -> bool:
    """Whether every position runs through the phases at its own pace, so that equal times are not one phase.

    `elements` tell volumes apart beside `columns`.
    """
    apart = [codes for other, codes in columns.items() if other not in CLOCKS]
    cells = joined([of.slots, *apart, *elements.values()])
    clock = numbers_of(plane.trait(name) for plane in of.planes)
    phases = phases_by_pace(cells, clock)  # of two planes at each position, either may be another phase
    return phases is not None and int(joined([phases, columns[name]]).max()) > int(phases.max())


def _phases(slots: Integers, clock: Floats) -> Integers | None:
    """Phases of a cycle that each position runs through at its own pace."""
    phases = phases_by_slice(slots, clock)
    return phases_by_pace(slots, clock) if phases is None else phases


def _runs_back(volumes: Integers, columns: Columns, of: PlaneSet) -> bool:
    """Whether the time of acquisition goes down from volume to volume anywhere."""
    return bool((_steps("AcquisitionTime", volumes, columns, of) < 0).any())


def _parts_phases(volumes: Integers, columns: Columns, of: PlaneSet) -> bool:
    """Whether planes at one time of the cycle, at different positions, lie in different volumes."""
    cells = joined(list(columns.values())) if columns else np.zeros_like(of.slots)
    for name in CLOCKS:
        times = numbers_of(plane.trait(name) for plane in of.planes)
        if np.isfinite(times).all():
            same = joined([cells, np.unique(times, return_inverse=True)[1].reshape(-1)])
            if len(np.unique(same)) < len(np.unique(joined([same, volumes]))):
                return True
    return False


def _clocks(of: PlaneSet) -> Iterator[tuple[str, Floats, bool]]:
    """What runs on from plane to plane: trigger times, acquisition times, numbers of instances or the order of frames.

    Times come before numbers, which may run through the planes in another order than they were acquired.
    """
    for name in CLOCKS:
        yield name, numbers_of(plane.trait(name) for plane in of.planes), False
    times = numbers_of(plane.trait("AcquisitionTime") for plane in of.planes)
    if np.isfinite(times).all():
        yield BY_ORDER, past_midnight(times), False
    yield BY_ORDER, of.numbers, True


def _steps(name: str, volumes: Integers, columns: Columns, of: PlaneSet) -> Floats:
    """Steps of a clock from volume to volume at each position, among planes that agree in all columns; NaN untold."""
    cells = joined([of.slots, *columns.values()])
    order = np.lexsort((volumes, cells))
    times = numbers_of(plane.trait(name) for plane in of.planes)
    if not np.isfinite(times).all():
        return np.full(1, np.nan)
    return np.asarray(np.diff(past_midnight(times)[order])[np.diff(cells[order]) == 0], dtype=np.float64)

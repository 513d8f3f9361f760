"""Phases of dynamic series: what was acquired again at the same place, in the order of time.

A *unit* is one pass of one series over its slices. Units of a study with the same place, class and timing are a group;
absent values are no place and no study, so they group nothing. Whether a group is one of contrast phases depends on
evidence: without any, its units are repeats.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from crawler.mr.rules import RuleBook

PRE, POST = "PRE", "POST"
PROPAGATED = "POST_PROPAGATED"
_WHAT = ["study", "sequenceClass", "orientation", "thickness", "tr", "te", "flip"]
_NONE = "none"


class Phases(NamedTuple):
    """Output columns, one value a row of the input, in its order; `enhanced` is None where nothing new is known."""

    group: list[int | None]
    group_rule: list[str]
    phase: list[str | None]
    phase_rule: list[str]
    enhanced: list[bool | None]


def phases(table: pd.DataFrame, book: RuleBook) -> Phases:
    """Find the dynamic groups of a table.

    Parameters
    ----------
    table
        One row a series or a file, index 0..n-1, with the columns study, series, place (rounded position, or None),
        orientation (rounded, or None), sequenceClass, derived, thickness, tr, te, flip (rounded), time (seconds,
        or NaN), temporal, enhanced (bool) and evidence (its rule).
    """
    rows = len(table)
    result = Phases([None] * rows, [_NONE] * rows, [None] * rows, [_NONE] * rows, [None] * rows)
    units = _units(table.loc[_eligible(table, result, book)])
    numbers: dict[str, int] = {}  # groups count from 1 in each study, so that tables can be joined
    for study, group in _groups(units):
        numbers[study] = numbers.get(study, 0) + 1
        _fill(group, numbers[study], result)
    _propagate(table, result)
    return result


def _eligible(table: pd.DataFrame, result: Phases, book: RuleBook) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows may be phases; the others get the reason as their rule."""
    excluded = set(book.settings.dynamic.excluded)
    kept = []
    columns = (table[name].tolist() for name in ("study", "place", "orientation", "sequenceClass", "derived"))
    for index, (study, place, orientation, value, derived) in enumerate(zip(*columns, strict=True)):
        missing = "study" if study is None else "position" if place is None or orientation is None else ""
        parts = {value, *value.split("_")}
        if missing:
            result.group_rule[index] = f"none: no {missing}"
        elif not parts.isdisjoint(excluded) or (derived and "DERIVED" in excluded):
            result.group_rule[index] = "none: class or image type excluded"
        kept.append(not missing and result.group_rule[index] == _NONE)
    return np.array(kept, dtype=bool)


def _units(table: pd.DataFrame) -> pd.DataFrame:
    """One row a unit: the visit number of a series at each place tells its passes apart."""
    ordered = table.sort_values(["study", "series", "temporal", "time"], kind="stable")
    visit = ordered.groupby([*_WHAT, "series", "place"], dropna=False, sort=False).cumcount()
    ordered = ordered.assign(visit=visit, row=ordered.index)
    return (
        ordered.groupby([*_WHAT, "series", "visit"], dropna=False, sort=False)
        .agg(
            place=("place", "min"),
            time=("time", "min"),
            enhanced=("enhanced", "any"),
            evidence=("evidence", "first"),
            rows=("row", list),
        )
        .reset_index()
    )


def _groups(units: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Units of the same study, place, class and timing, where there are several; each with its study."""
    size = units.groupby([*_WHAT, "place"], dropna=False, sort=False)["visit"].transform("size")
    several = units[size > 1].groupby([*_WHAT, "place"], dropna=False, sort=False)
    return [(str(study), group) for (study, *_), group in several]


def _fill(group: pd.DataFrame, number: int, result: Phases) -> None:
    """Number the units of a group by time."""
    timed = bool(group["time"].notna().all()) and group["time"].is_unique
    one_series = group["series"].nunique() == 1
    ordered = group.sort_values(["time", "visit"], kind="stable")
    contrast = bool(group["enhanced"].any())
    for order, (rows, evidence) in enumerate(zip(ordered["rows"], ordered["evidence"], strict=True)):
        phase, rule = _phase(order, contrast, str(evidence))
        for row in rows:
            result.group[row] = number
            result.group_rule[row] = "geometry and timing alike"
            if not timed and not one_series:
                result.phase_rule[row] = "none: no order in time"
                continue
            result.phase[row] = phase
            result.phase_rule[row] = rule
            if contrast:
                result.enhanced[row] = _enhanced(phase, str(evidence))


def _phase(order: int, contrast: bool, evidence: str) -> tuple[str, str]:
    if not contrast:
        return f"REPEAT_{order + 1}", "order in time, no sign of contrast"
    if order == 0 and evidence != "name:with":
        return PRE, "first in time"
    return f"{POST}_{max(order, 1)}", "order in time"


def _enhanced(phase: str, evidence: str) -> bool | None:
    """What the phase adds: POST is enhanced; PRE is not, unless the header names an agent, which then stands."""
    if phase != PRE:
        return True
    return False if evidence == "name:dynamic" else None


def _propagate(table: pd.DataFrame, result: Phases) -> None:
    """Mark T1-weighted series that follow an enhanced one: what was given does not leave within a study.

    "Enhanced" is a POST phase or a series with evidence of its own, never a PRE phase; the last such time counts, as
    a header may name the agent before it is given.
    """
    classes, times = table["sequenceClass"].tolist(), table["time"].to_numpy(dtype=float)
    sure = np.array(
        [
            phase != PRE and (added if added is not None else own)
            for phase, added, own in zip(result.phase, result.enhanced, table["enhanced"].tolist(), strict=True)
        ],
        dtype=bool,
    )
    last = table.loc[sure & ~np.isnan(times)].groupby("study")["time"].max().to_dict()
    for row, (study, value, derived) in enumerate(
        zip(table["study"].tolist(), classes, table["derived"].tolist(), strict=True)
    ):
        weighted = value.startswith("T1_") and not value.startswith("T1_MAP")
        if result.group[row] is None and weighted and not derived and times[row] > last.get(study, np.inf):
            result.phase[row] = PROPAGATED
            result.phase_rule[row] = "T1 after the last enhanced series"
            result.enhanced[row] = True

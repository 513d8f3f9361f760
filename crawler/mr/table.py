"""Normalised columns of MR series: what each is (class, orientation, contrast, phase) and the rule that said so.

Takes any table of MR headers and returns new columns beside it; it reads no file but its rules, changes nothing in the
table, and never puts anything but class names, rule names and the protocol's own text into a column. The rules are data
(`dicom_tags/mr_clean.json`); where physics and names disagree, physics decides and `contradictions` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crawler.errors import ConfigError
from crawler.mr import attributes
from crawler.mr.cells import moment, numbers, text
from crawler.mr.dynamics import Phases, phases
from crawler.mr.facts import COLUMNS, Facts, facts_of
from crawler.mr.rules import RuleBook, load_rules
from crawler.mr.sequence import UNKNOWN, classify, suffixes

# Output columns, in order; each is followed by `<name>Rule`, and `contradictions` comes last.
OUTPUTS = (
    "protocolName_lower",
    "imageType_lower",
    "standardOrientation",
    "standardDimension",
    "isFatSuppressed",
    "isContrastEnhanced",
    "hasMotionCorrection",
    "refinedImageType",
    "standardFieldStrength",
    "standardManufacturer",
    "cleanedModelName",
    "sequenceClass",
    "dynamicGroup",
    "dynamicPhase",
)
CONTRADICTIONS = "contradictions"
FLAGS = ("isFatSuppressed", "isContrastEnhanced", "hasMotionCorrection")

Cells = dict[str, Any]


def clean_mr(table: pd.DataFrame, rules: RuleBook | Mapping[str, Any] | str | Path | None = None) -> pd.DataFrame:
    """Normalise the headers of MR series.

    Parameters
    ----------
    table
        One row a series or a file; columns are DICOM keywords (rows of ``metadata.jsonl``, its CSV, or any other
        table). Any column may be missing. Cells with several values may be lists, or text joined by a backslash or a
        bar. Rows of other modalities are read like the rest: select first.
    rules
        A rule book, a file of rules or what it would hold, or None for `dicom_tags/mr_clean.json`.

    Returns
    -------
    DataFrame
        With the index of `table`, in its order: `OUTPUTS`, each followed by ``<name>Rule``, and `contradictions`
        ("; " between them, empty without any). Booleans are bool. ``dynamicGroup`` is Int64 and counts from 1 in each
        study; it and ``dynamicPhase`` are missing outside a group. All others are text.
        ``pd.concat([table, clean_mr(table)], axis=1)`` joins the two.

    Raises
    ------
    ConfigError
        The rules cannot be used.
    """
    book = rules if isinstance(rules, RuleBook) else load_rules(rules)
    rows = list(_rows(table))
    facts = [facts_of(row) for row in rows]
    echoes = _series_of_several_echoes(rows, facts)
    cells, against = [], []
    for row, fact in zip(rows, facts, strict=True):
        made, clashes = _describe(fact, book, several_echoes=text(row.get("SeriesInstanceUID")) in echoes)
        cells.append(made)
        against.append("; ".join(clashes))
    _add_phases(cells, phases(_dynamic_table(rows, facts, cells), book))
    columns = {name: [made[name] for made in cells] for output in OUTPUTS for name in (output, f"{output}Rule")}
    result = pd.DataFrame(columns | {CONTRADICTIONS: against}, index=table.index)
    return result.astype({"dynamicGroup": "Int64"} | dict.fromkeys(FLAGS, bool))


def process_mri_dataframe(
    table: pd.DataFrame, cfg: RuleBook | Mapping[str, Any] | None = None, config_path: str | Path | None = None
) -> pd.DataFrame:
    """The table with its normalised columns behind its own, as seeds/000 calls `clean_mr`.

    Parameters
    ----------
    table
        As of `clean_mr`.
    cfg
        A rule book, or what a file of rules would hold.
    config_path
        A file of rules in its place: ours, or `mr_clean_config.json` of seeds/000.

    Raises
    ------
    ConfigError
        The rules cannot be used, or both are given.
    """
    if cfg is not None and config_path is not None:
        raise ConfigError("process_mri_dataframe: give cfg or config_path, not both")
    cleaned = clean_mr(table, cfg if cfg is not None else config_path)
    kept = table.drop(columns=[name for name in cleaned.columns if name in table.columns])
    return pd.concat([kept, cleaned], axis=1)


process_mr_dataframe = process_mri_dataframe
"""The same, by its other name."""


def _rows(table: pd.DataFrame) -> Iterator[Cells]:
    """The rows, with the columns that are read and only cells that are not None."""
    names = [name for name in COLUMNS if name in table.columns]
    columns = [table[name].tolist() for name in names]
    if not columns:
        yield from ({} for _ in range(len(table)))
    for values in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _series_of_several_echoes(rows: Iterable[Cells], facts: Iterable[Facts]) -> set[str]:
    """UIDs of the series whose rows (one a file) differ in (0018,0086) *Echo Numbers*."""
    first: dict[str, int] = {}
    several = set()
    for row, fact in zip(rows, facts, strict=True):
        uid = text(row.get("SeriesInstanceUID"))
        if uid and fact.echo is not None and first.setdefault(uid, fact.echo) != fact.echo:
            several.add(uid)
    return several


def _describe(facts: Facts, book: RuleBook, *, several_echoes: bool) -> tuple[Cells, list[str]]:
    """Cells of one row except its dynamics, and its contradictions."""
    sequence = classify(facts, book)
    motion = attributes.motion(facts, book)
    value, rule = sequence.value, sequence.rule
    if value != UNKNOWN:
        suffix, added = suffixes(facts, book)
        if facts.echo is not None and (several_echoes or facts.echo > 1):
            suffix, added = f"{suffix}_ECHO{facts.echo}", f"{added} + field:EchoNumbers"
        if motion.value:
            suffix, added = f"{suffix}_MC", f"{added} + {motion.rule}"
        value, rule = value + suffix, rule + added
    kind = "\\".join(facts.image_type).lower()
    given = {
        "protocolName_lower": attributes.Attribute(facts.protocol.lower(), _source_of_name(facts)),
        "imageType_lower": attributes.Attribute(kind, "field:ImageType" if kind else attributes.NONE),
        "standardOrientation": attributes.orientation(facts, book),
        "standardDimension": attributes.dimension(facts, book),
        "isFatSuppressed": attributes.fat_suppression(facts, book, sequence),
        "isContrastEnhanced": attributes.contrast(facts, book, sequence),
        "hasMotionCorrection": motion,
        "refinedImageType": attributes.image_type(facts, sequence),
        "standardFieldStrength": attributes.field_strength(facts, book),
        "standardManufacturer": attributes.manufacturer(facts, book),
        "cleanedModelName": attributes.model_name(facts, book),
        "sequenceClass": attributes.Attribute(value, rule),
    }
    cells: Cells = {}
    for name, attribute in given.items():
        cells[name], cells[f"{name}Rule"] = attribute.value, attribute.rule
    clashes = [f"{name}: {attribute.against}" for name, attribute in given.items() if attribute.against]
    return cells, [*sequence.against, *clashes]


def _source_of_name(facts: Facts) -> str:
    if not facts.protocol:
        return attributes.NONE
    return "field:ProtocolName" if facts.named_by_protocol else "field:SeriesDescription"


def _dynamic_table(rows: list[Cells], facts: list[Facts], cells: list[Cells]) -> pd.DataFrame:
    """What `phases` needs, rounded as seeds/000 does: geometry to 0.01, timing to 0.1."""
    return pd.DataFrame(
        {
            "study": [text(row.get("StudyInstanceUID")) or None for row in rows],
            "series": [text(row.get("SeriesInstanceUID")) or f"row {index}" for index, row in enumerate(rows)],
            "place": pd.Series([_rounded(fact.position) for fact in facts], dtype=object),
            "orientation": pd.Series([_rounded(fact.orientation) for fact in facts], dtype=object),
            "sequenceClass": [made["sequenceClass"] for made in cells],
            "derived": [made["refinedImageType"] == "DERIVED" for made in cells],
            "thickness": _tenths(fact.thickness for fact in facts),
            "tr": _tenths(fact.tr for fact in facts),
            "te": _tenths(fact.te for fact in facts),
            "flip": _tenths(fact.flip for fact in facts),
            "time": pd.Series([_time(row) for row in rows], dtype=float),
            "temporal": pd.Series(
                [next(iter(numbers(row.get("TemporalPositionIdentifier"))), None) for row in rows], dtype=float
            ),
            "enhanced": [made["isContrastEnhanced"] for made in cells],
            "evidence": [made["isContrastEnhancedRule"] for made in cells],
        }
    )


def _rounded(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(round(value, 2) + 0.0 for value in values)  # + 0.0: no -0.0


def _tenths(values: Iterable[float | None]) -> pd.Series:
    return pd.Series([None if value is None else round(value, 1) for value in values], dtype=float)


def _time(row: Cells) -> float | None:
    """When a row was acquired; the time of its series where that is not said."""
    acquired = moment(row.get("AcquisitionDate") or row.get("SeriesDate"), row.get("AcquisitionTime"))
    return acquired if acquired is not None else moment(row.get("SeriesDate"), row.get("SeriesTime"))


def _add_phases(cells: list[Cells], found: Phases) -> None:
    for made, group, group_rule, phase, phase_rule, enhanced in zip(cells, *found, strict=True):
        made |= {
            "dynamicGroup": group,
            "dynamicGroupRule": group_rule,
            "dynamicPhase": phase,
            "dynamicPhaseRule": phase_rule,
        }
        if enhanced is not None and enhanced != made["isContrastEnhanced"]:
            made["isContrastEnhanced"] = enhanced
            made["isContrastEnhancedRule"] = f"dynamics:{phase}"

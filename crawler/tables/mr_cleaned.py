"""mr_cleaned.csv and mr_cleaned.parquet, and a sheet of the workbook: MR series with normalised columns.

A row a scan and echo, from the first file of each; the columns that the rules read, then what `mr/table.py` makes of
them, each with the rule that fired. It holds the headers of one file a scan in memory, as phases are told by comparing
the series of a study.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawler.config.loader import Config
from crawler.config.templates import EARLIER, RULES
from crawler.dicom.dictionary import KeyStyle, key_for, key_of
from crawler.dicom.flat import tag_of
from crawler.disk import is_absent
from crawler.tables.base import Context, rows_of
from crawler.tables.table import Row, Table

if TYPE_CHECKING:
    import pandas as pd  # an extra, and slow to load

NAME = "mr_cleaned"
NEEDS = ("pandas",)
_FIRST = ("scan_id", "dicom_file")
# What the rules read and no reader of a table wants to see in a cell.
_UNSEEN = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def is_wanted(config: Config) -> bool:
    """Whether the configuration asks for it."""
    return config.metadata is not None and config.metadata.mr_clean


def rules_of(config: Config) -> Path | None:
    """The user's own rules, in the folder of templates or beside it; None for those that come with the package."""
    folder = config.templates_dir
    if not folder:
        return None
    places = (Path(folder, RULES), Path(folder, EARLIER), Path(os.path.dirname(folder), EARLIER))
    return next((place for place in places if not is_absent(str(place))), None)


def check(config: Config) -> None:
    """Read the rules; ConfigError when they cannot be used."""
    from crawler.mr.rules import load_rules  # pandas, which it needs, may be missing

    load_rules(rules_of(config))


def shape(config: Config) -> str:
    """A digest of the rules."""
    from crawler.mr.rules import RULES_FILE

    return hashlib.blake2b((rules_of(config) or RULES_FILE).read_bytes(), digest_size=16).hexdigest()


def table(context: Context) -> Table:
    """The table; it is made once and held."""
    from crawler.mr.facts import COLUMNS
    from crawler.mr.table import clean_mr

    table = _table(context, COLUMNS)
    if not table.empty:
        cleaned = clean_mr(table, rules_of(context.config))
        table = table.drop(columns=list(_UNSEEN)).join(cleaned)
    columns = list(table.columns)

    def rows() -> Iterator[Row]:
        objects = table.astype(object)
        for values in objects.where(objects.notna(), None).itertuples(index=False, name=None):
            yield dict(zip(columns, values, strict=True))

    return Table(rows, lambda _: columns)


def _table(context: Context, wanted: tuple[str, ...]) -> pd.DataFrame:
    """A row an MR scan and (0018,0086) *Echo Numbers*: the elements that the rules read, by keyword."""
    import pandas as pd  # an extra, and slow to load

    lines = rows_of(context.config)
    keys = {keyword: key_for(keyword, lines.keys) for keyword in wanted}
    echo = keys["EchoNumbers"]
    seen: set[tuple[str, str]] = set()
    found: list[Row] = []
    for row in lines.of_modalities(frozenset(["MR"])):
        mark = row["scan_id"], str(row.get(echo))
        if mark not in seen:
            seen.add(mark)
            elements = {keyword: by_keyword(row.get(key), lines.keys) for keyword, key in keys.items()}
            found.append({name: row[name] for name in _FIRST} | elements)
    return pd.DataFrame(found, columns=[*_FIRST, *wanted], dtype=object)


def by_keyword(value: Any, style: KeyStyle) -> Any:
    """A JSON value whose items, if it is a sequence, are named by keyword."""
    if style == "keyword" or not isinstance(value, list | dict):
        return value
    if isinstance(value, list):
        return [by_keyword(item, style) for item in value]
    return {_keyword(key, style): by_keyword(item, style) for key, item in value.items()}


def _keyword(key: str, style: KeyStyle) -> str:
    tag = tag_of(key, style)
    return key if tag is None or ",xx" in key else key_of(tag)

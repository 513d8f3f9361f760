"""metadata.csv and metadata.parquet: the JSONL as a table, whole and a modality at a time (metadata_ct.csv).

A table of a modality exists when there are rows of it and `metadata.templates` has its columns. The formats are those
of `csvfile.py` and `parquet.py`; the Excel workbook, which holds all tables in one file, is `excel.py`'s.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from crawler.config.loader import Config
from crawler.config.templates import Template, load_templates
from crawler.tables import csvfile, mr_cleaned, parquet, workbook
from crawler.tables.base import Context, View, rows_of
from crawler.tables.joined_csv import write_joined
from crawler.tables.table import Table

WRITERS: dict[str, Callable[[Table, str], int]] = {"csv": csvfile.write_csv, "parquet": parquet.write_parquet}
_NEEDS = {"csv": csvfile.NEEDS, "parquet": parquet.NEEDS, "xlsx": workbook.NEEDS}


def needs(config: Config) -> dict[str, tuple[str, ...]]:
    """What is asked for -> the packages that it needs."""
    tables = config.metadata.tables if config.metadata else ()
    found = {f"metadata.tables: {name}": _NEEDS[name] for name in tables}
    return found | ({"metadata.mr_clean": mr_cleaned.NEEDS} if mr_cleaned.is_wanted(config) else {})


def templates_of(config: Config) -> tuple[Template, ...]:
    """The templates that a configuration names; none when it names no folder."""
    return () if config.templates_dir is None else load_templates(config.templates_dir)


def views(config: Config) -> list[View]:
    """A view a format, and a view a format and template."""
    formats = [name for name in config.metadata.tables if name in WRITERS] if config.metadata else []
    made: list[View] = []
    for name in formats:
        made.append(_view(name, "", _whole, _columns))
        for template in templates_of(config):
            table = functools.partial(_of_template, template)
            made.append(_view(name, f"_{template.name}", table, functools.partial(_template_shape, template)))
        if mr_cleaned.is_wanted(config):
            made.append(_view(name, mr_cleaned.NAME, mr_cleaned.table, mr_cleaned.shape))
    return made


def _view(name: str, suffix: str, table: Callable[[Context], Table], shape: Callable[[Config], Any]) -> View:
    def path(config: Config) -> str | None:
        if config.metadata_path is None:
            return None
        folder, stem = os.path.split(os.path.splitext(config.metadata_path)[0])
        if suffix != mr_cleaned.NAME:
            return os.path.join(folder, f"{stem}{suffix}.{name}")
        return os.path.join(folder, f"{suffix}.{name}") if config.output.dir else config.own_path(f"{suffix}.{name}")

    def build(context: Context, target: str) -> None:
        if name == "csv" and table is _whole and context.cells is not None and _columns(context.config) == "nested":
            write_joined(rows_of(context.config), context.cells, target)
        elif not WRITERS[name](table(context), target) and suffix:
            os.unlink(target)  # no file of this modality

    return View(f"{name}{suffix}", path, build, shape)


def _whole(context: Context) -> Table:
    return rows_of(context.config).whole(_columns(context.config))


def _columns(config: Config) -> Any:
    return config.metadata.columns if config.metadata else "nested"


def _of_template(template: Template, context: Context) -> Table:
    return rows_of(context.config).of_template(template)


def _template_shape(template: Template, _: Config) -> list[Any]:
    return [sorted(template.modalities), list(template.keywords)]

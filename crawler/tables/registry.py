"""Files made from ledger and JSONL alone: tables, logs, an index. A new one is a module here and a row in `views`."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crawler.config.loader import BIDS, Config
from crawler.config.packaged import install
from crawler.config.templates import warnings_of
from crawler.disk import is_there
from crawler.errors import StopError
from crawler.ledger.cells import CellSpool
from crawler.ledger.database import Ledger
from crawler.ledger.own_files import OwnFiles
from crawler.ledger.summary import Summary
from crawler.privacy.policy import Policy
from crawler.tables import failures, hdf5_index, missing, named, report, series
from crawler.tables import summary as summary_json
from crawler.tables.base import Context, View, replacing

log = logging.getLogger("dme")


def views(config: Config) -> tuple[View, ...]:
    """Every view that a configuration may have."""
    of_rows: list[View] = []
    if config.metadata is not None and config.metadata.tables:
        from crawler.tables import excel, metadata  # slow to load, and many runs make no table

        of_rows = [*metadata.views(config), excel.VIEW]
    if config.cohort_path:
        from crawler.tables import cohort  # needs what only runs with a PACS need

        of_rows.append(cohort.VIEW)
    if named.path(config):
        of_rows.append(named.VIEW)
    if config.output.layout == "bids":
        from crawler.tables import bids_dataset  # few runs want it

        of_rows.append(bids_dataset.VIEW)
    tables = (failures.VIEW, missing.VIEW, series.VIEW, series.PARQUET_VIEW, *of_rows)
    index = () if config.output.pack else (hdf5_index.VIEW,)  # it links to files by themselves
    return (*tables, *index, summary_json.VIEW, report.VIEW)


def paths(config: Config) -> list[str]:
    """Every file that views make under a configuration."""
    return [path for view in views(config) if (path := view.path(config))]


def check(config: Config) -> None:
    """Find what would stop the views at the end of a run before it begins.

    Raises
    ------
    ConfigError
        A template, or the rules of MR, are not what they should be.
    StopError
        A package is not installed.
    """
    if told := named.personal(config):
        pack = config.output.pack
        log.warning(
            "names in %s/ hold %s: they tell of patients; share them as you would share the files",
            os.path.basename(config.path(pack.dir) if pack else named.folder(config)),
            ", ".join(told),
        )
    if config.output.layout == "bids":
        from crawler.mr.bids_rules import load_bids_rules

        text = "names in %s/ hold PatientID and StudyDate: share them as you would share the files"
        log.warning(text, os.path.basename(config.own_path(BIDS)))
        if importlib.util.find_spec("pandas") is None:
            raise StopError(f"output.layout: bids needs pandas: install with `{install('tables')}`")
        load_bids_rules(config.templates_dir)
    if config.metadata is None or not (config.metadata.tables or config.metadata.mr_clean):
        return
    from crawler.tables import metadata, mr_cleaned  # as above

    for wanted, packages in metadata.needs(config).items():
        missing_ones = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing_ones:
            raise StopError(f"{wanted} needs {', '.join(missing_ones)}: install with `{install('tables')}`")
    paths(config)  # reads the templates
    for line in warnings_of(metadata.templates_of(config)):
        log.warning("metadata.templates: %s", line)
    if mr_cleaned.is_wanted(config):
        mr_cleaned.check(config)


def build(
    config: Config,
    ledger: Ledger,
    summary: Summary,
    cells: CellSpool | None = None,
    clock: Callable[[], float] | None = None,
    policy: Policy | None = None,
) -> list[str]:
    """Rebuild views that are missing or older than the last change; return what was made.

    Parameters
    ----------
    cells
        Those of metadata.csv that workers made.
    clock
        Tells how long the run has taken: what tells of the run as a whole is made last, and counts the other views.
    policy
        Of the section `privacy`, for what a PACS told and no row has.

    Raises
    ------
    OutputError
        A file cannot be written; the old one stays.
    """
    made: list[str] = []
    revision, own = ledger.get("revision", 0), OwnFiles(ledger)
    stale: list[tuple[View, str, list[Any]]] = []
    for view in views(config):
        path = view.path(config)
        state = [revision, view.shape(config)]
        if view is report.VIEW:  # it links to all others
            state.append([os.path.basename(place) for place in (*paths(config), config.copy_path or "")])
        if path is not None and ledger.get(f"view {view.name}") != [*state, os.path.exists(path)]:
            stale.append((view, path, state))
    for view, _, _ in stale:  # until it is made: what made it stale may be gone when the run that makes it is killed
        ledger.put(f"view {view.name}", None)
    own.begin([path for _, path, _ in stale])
    for view, path, state in stale:
        with replacing(path) as scratch:
            if clock is not None:
                summary = replace(summary, seconds=round(clock(), 3))
            view.build(Context(config, ledger, summary, cells, tuple(paths(config)), policy), scratch)
        own.finish(path)
        written = is_there(path)
        ledger.put(f"view {view.name}", [*state, written])
        if written:
            made.append(path)
    return made

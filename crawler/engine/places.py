"""What is to be said before any work: places that lie in one another, or are another run's; rows that differ."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from crawler.config.exporter import is_exporter_config
from crawler.config.loader import Config
from crawler.ledger.store import ledger_of
from crawler.paths import readable
from crawler.sources.directory import Root

log = logging.getLogger("dme")


def tell_places(config: Config, roots: Sequence[Root]) -> None:
    """Say where outputs lie inside the input, and where an input is what another run wrote."""
    ours = os.path.realpath(ledger_of(config))
    output = os.path.join(os.path.realpath(config.output_dir), "")
    for root in roots:
        if root.is_file:
            continue
        top = os.path.join(root.path, "")
        if config.output.dir and output.startswith(top) and output != top:
            log.warning("output.dir lies inside the input %s: what runs write there is not read", readable(root.path))
        other = next((path for path in _ledgers(root.path) if os.path.realpath(path) != ours), None)
        if other is not None:
            log.warning(
                "dicom.dir: %s holds outputs of another run (%s): they are read as input", *map(readable, (top, other))
            )


def tell_rows(config: Config) -> None:
    """Say how rows differ from those that the DICOM Media Exporter wrote, for a configuration of that program."""
    if config.metadata is not None and config.metadata.compat is None and is_exporter_config(config.text):
        log.warning(
            "%s: unlike the DICOM Media Exporter's, rows name elements by keyword, keep numbers, lists and sequences,"
            " and also tell of files that fail; metadata.compat: seed003 writes that program's rows",
            config.metadata.file,
        )


def _ledgers(folder: str) -> list[str]:
    """Ledgers that lie directly in a folder."""
    try:
        with os.scandir(folder) as found:
            return sorted(entry.path for entry in found if entry.name.endswith(".ledger") and entry.is_file())
    except OSError:
        return []  # the survey says why

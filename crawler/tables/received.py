"""What tables need of a retrieval: its accounts, and where received files lie among the names of outputs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from crawler.config.loader import Config
from crawler.ledger.database import Ledger
from crawler.pacs.accounts import Snapshot
from crawler.pacs.identify import place
from crawler.pacs.names import MANIFEST
from crawler.paths import portable
from crawler.sources.directory import roots_of


@contextlib.contextmanager
def open_accounts(config: Config) -> Iterator[Snapshot | None]:
    """The accounts of a configuration's retrieval; None where there is no section `pacs`, or none was made yet."""
    path = Path(config.pacs_dir or "", MANIFEST)
    if config.pacs is None or not path.exists():
        yield None
        return
    with contextlib.closing(Snapshot(path)) as accounts:
        yield accounts


def prefix_of(config: Config, ledger: Ledger) -> str:
    """The name of the folder of received files in outputs; empty where it is the only input."""
    received = os.path.realpath(config.pacs_dir or "")
    for root in roots_of(config.roots, config.dicom.readers, "dicom.dir"):
        if received == root.path or received.startswith(os.path.join(root.path, "")):
            below = os.path.relpath(received, root.path)
            name = ledger.get("prefixes", {}).get(portable(root.path), root.prefix)
            return portable(os.path.normpath(os.path.join(name, below))).removeprefix(".")
    return ""


def place_of(config: Config, ledger: Ledger) -> Callable[[str, str], str]:
    """What gives the folder of a (study, series) its name in outputs."""
    prefix = prefix_of(config, ledger)

    def folder(study: str, series: str) -> str:
        below = place(study, series, "").rpartition("/")[0]
        return f"{prefix}/{below}" if prefix else below

    return folder

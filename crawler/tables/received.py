"""What tables need of a retrieval: its accounts, and where received files lie among the names of outputs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from crawler.config.loader import Config
from crawler.ledger.database import Ledger
from crawler.pacs.accounts import Snapshot
from crawler.pacs.identify import place
from crawler.pacs.names import MANIFEST
from crawler.paths import native, portable, within
from crawler.privacy.policy import Policy
from crawler.sources.directory import roots_of

_COUNTED = re.compile(r"[\d,]+ (missing|refused( \((HTTP \d+|0x[0-9A-F]+|no status)\))?)")


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
        if within(received, root.path):
            below = os.path.relpath(received, root.path)
            name = ledger.get("prefixes", {}).get(portable(root.path), root.prefix)
            return portable(os.path.normpath(os.path.join(name, below))).removeprefix(".")
    return ""


def place_of(config: Config, ledger: Ledger, policy: Policy | None) -> Callable[[str, str], str]:
    """What gives the folder of a (study, series) its name in outputs."""
    prefix = prefix_of(config, ledger)

    def folder(study: str, series: str) -> str:
        below = place(study, series, "").rpartition("/")[0]
        return shown(f"{prefix}/{below}" if prefix else below, policy)

    return folder


def shown(place: str, policy: Policy | None) -> str:
    """The name that outputs have for a place among the inputs."""
    return place if policy is None else portable(policy.path(native(place)))


def failures(accounts: Snapshot | None, prefix: str, policy: Policy | None) -> Iterator[tuple[str, str, str]]:
    """(place or request, reason, detail) of what did not come; under privacy without what a server told."""
    for path, reason, detail in accounts.failures() if accounts else ():
        of_request = path.startswith("pacs.")
        place = path if of_request or not prefix else f"{prefix}/{path}"
        if policy is None:
            yield place, reason, detail
        else:
            yield place if of_request else shown(place, policy), reason, ""


def missing(accounts: Snapshot | None, policy: Policy | None) -> tuple[dict[str, str], dict[str, str]]:
    """Series of which a part is missing -> how much of it came ("127 of 180"), and why not the rest."""
    found = accounts.incomplete() if accounts else {}
    reasons = {series: reason for (_, series), reason in accounts.reasons().items()} if accounts else {}
    retrieved = {series: f"{here:,} of {known:,}" for (_, series), (here, known) in found.items()}
    if policy is None:
        return retrieved, reasons
    return (
        {policy.uid(series): told for series, told in retrieved.items()},
        {policy.uid(series): "; ".join(_without_details(reason)) for series, reason in reasons.items()},
    )


def _without_details(reasons: str) -> Iterator[str]:
    """Numbers of what is missing or refused, with statuses, and no words of a server."""
    for reason in reasons.split("; "):
        if match := _COUNTED.match(reason):
            yield match[0]

"""The accounts of a run: found = exported + skipped + failed, with reasons counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from crawler.ledger.database import Ledger

EXIT_OK, EXIT_STOPPED, EXIT_FAILED_FILES, EXIT_INTERRUPTED = 0, 1, 3, 130


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run found and did.

    Attributes
    ----------
    found, bytes
        Files in the input as accounted for, and their size.
    skipped, failed
        Reason -> files; a failure's reason begins with its stage.
    handled
        Files looked at in this run; the others were done before.
    listed
        Files that the walk saw. It differs from `found` only when the run was interrupted or the input changed.
    """

    found: int
    exported: int
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    scans: int = 0
    volumes: int = 0
    handled: int = 0
    listed: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all well, 3 finished with failed files, 130 interrupted."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_FAILED_FILES if self.failed else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        """As summary.json holds it; what differs between equal runs stands under ``run``."""
        values = asdict(self)
        of_run = {name: values.pop(name) for name in ("handled", "listed", "seconds", "interrupted")}
        values["skipped_total"] = sum(self.skipped.values())
        values["failed_total"] = sum(self.failed.values())
        return {**values, "exit_code": self.exit_code, "run": of_run}


def summarise(ledger: Ledger, *, handled: int, listed: int, seconds: float, interrupted: bool) -> Summary:
    """Add up what the ledger knows."""
    exported = total = size = 0
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}
    for outcome, stage, reason, count, of_bytes in ledger.accounts():
        total += count
        size += of_bytes
        if outcome == "exported":
            exported += count
        elif outcome == "skipped":
            skipped[reason] = skipped.get(reason, 0) + count
        else:
            failed[f"{stage}: {reason}"] = count
    return Summary(
        total,
        exported,
        skipped,
        failed,
        size,
        ledger.count("scans"),
        sum(1 for _ in ledger.volumes()),
        handled,
        listed,
        round(seconds, 3),
        interrupted,
    )

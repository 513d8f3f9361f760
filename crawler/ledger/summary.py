"""The accounts of a run: found = exported + skipped + failed, with reasons counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from crawler.ledger.database import Ledger

if TYPE_CHECKING:
    from crawler.pacs.accounts import Counts

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
    scans, volumes
        Series in folders, without DICOMDIRs; arrays written, each counted once in however many formats.
    handled
        Files looked at in this run; the others were done before.
    retrieval
        What was found in a PACS, and what of it was received; None without a section `pacs`.
    listed
        Files that the walk saw. It differs from `found` only when the run was interrupted or the input changed.
    listed_bytes
        Their size.
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
    retrieval: Counts | None = None
    listed_bytes: int = 0

    @property
    def pending(self) -> int:
        """Files that the walk saw and that an interrupted run did not come to."""
        return max(0, self.listed - self.found) if self.interrupted else 0

    @property
    def exit_code(self) -> int:
        """0 all well, 3 finished with failed files, 130 interrupted."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        incomplete = self.retrieval is not None and not self.retrieval.all_well
        return EXIT_FAILED_FILES if self.failed or incomplete else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        """As summary.json holds it; what differs between equal runs stands under ``run``."""
        values = asdict(self)
        of_run = {name: values.pop(name) for name in ("handled", "listed", "listed_bytes", "seconds", "interrupted")}
        if self.retrieval is None:
            del values["retrieval"]
        values["skipped_total"] = sum(self.skipped.values())
        values["failed_total"] = sum(self.failed.values())
        return {**values, "exit_code": self.exit_code, "run": of_run}


def summarise(
    ledger: Ledger,
    *,
    handled: int,
    listed: int,
    seconds: float,
    interrupted: bool,
    retrieval: Counts | None = None,
    listed_bytes: int = 0,
) -> Summary:
    """Add up what the ledger knows; what a retrieval found is taken as it is."""
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
        ledger.series_count(),
        ledger.volume_count(),
        handled,
        listed,
        round(seconds, 3),
        interrupted,
        retrieval,
        listed_bytes,
    )

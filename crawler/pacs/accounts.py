"""What a manifest can be asked: found = received + missing + refused, what failed, and how each request fared.

It changes nothing. What earlier retrievals into the same folder received, and nobody asks for now, is counted apart.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from crawler.errors import LedgerError
from crawler.pacs.identify import place
from crawler.pacs.names import MANIFEST
from crawler.paths import portable

STAGE = "retrieve"
NOT_YET = "not asked for yet"
_IN_ASKED = "IN (SELECT series FROM asked_by)"
_ASKED = f"series {_IN_ASKED}"


@dataclass(frozen=True, slots=True)
class Counts:
    """The first half of a run's accounts.

    Attributes
    ----------
    found
        Instances that are wanted, and those that came beyond: received + missing + refused.
    extra, duplicates, wrong
        Of the received, those that no find had listed; instances that came more than once; what came, was not what had
        been asked for, and was not kept.
    others
        Files that earlier retrievals received into the folder, of series that nobody asks for now.
    failed
        Reason -> instances; in front of what is no instance (a request, a series of unknown size), its kind.
    requests, unanswered
        Requests, and those of them without any match, with wrong values, or that the server failed.
    """

    found: int = 0
    received: int = 0
    missing: int = 0
    refused: int = 0
    extra: int = 0
    duplicates: int = 0
    wrong: int = 0
    bytes: int = 0
    others: int = 0
    series: int = 0
    complete: int = 0
    requests: int = 0
    unanswered: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def all_well(self) -> bool:
        """Whether everything that was asked for is here."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """As summary.json holds it."""
        return asdict(self)


class Failure(NamedTuple):
    """What did not come: its place in the tree of received files, and why."""

    path: str
    reason: str
    detail: str


class Fared(NamedTuple):
    """How one request fared; `cells` are the row of the cohort, `series` (study, series) UIDs."""

    line: int
    cells: list[str]
    state: str
    reason: str
    studies: int
    expected: int
    received: int
    series: tuple[tuple[str, str], ...]


_REASONS = 3  # told of one series: the most frequent ones
# What is kept of each instance. `reason` and `seconds` are of series, too.
_KNOWN: tuple[str, ...] = ("outcome", "code", "instances.reason", "sop_class", "syntax", "size", "xxh3")
_KNOWN += ("transport", "attempts", "instances.seconds", "copies")


class Accounts:
    """The questions; `Manifest` is one that also writes."""

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        raise AssertionError("a manifest says how")

    def counts(self) -> Counts:
        """Add up what is known."""
        by_outcome: dict[str, int] = {}
        duplicates = size = 0
        for outcome, number, copies, of_bytes in self.execute(
            "SELECT outcome, count(*), sum(max(copies - 1, 0)), coalesce(sum(size), 0) FROM instances"
            f" WHERE {_ASKED} GROUP BY outcome"
        ):
            by_outcome[outcome] = number
            duplicates += copies
            size += of_bytes
        short = sum(number for _, _, number, _ in self._short())
        received = by_outcome.get("received", 0) + by_outcome.get("extra", 0)
        missing = by_outcome.get("missing", 0) + by_outcome.get("wanted", 0) + short
        refused = by_outcome.get("refused", 0)
        states = dict(self.execute("SELECT state, count(*) FROM requests GROUP BY state"))
        failed: dict[str, int] = {}
        for _, reason, number in self._failed():
            failed[reason] = failed.get(reason, 0) + number
        return Counts(
            found=received + missing + refused,
            received=received,
            missing=missing,
            refused=refused,
            extra=by_outcome.get("extra", 0),
            duplicates=duplicates,
            wrong=self._one(f"SELECT coalesce(sum(copies), 0) FROM strays WHERE {_ASKED}"),
            bytes=size,
            others=self._one(f"SELECT count(*) FROM instances WHERE NOT {_ASKED} AND outcome IN ('received', 'extra')"),
            series=self._one("SELECT count(DISTINCT series) FROM asked_by"),
            complete=self._one(f"SELECT count(*) FROM series WHERE id {_IN_ASKED} AND state = 'complete'"),
            requests=sum(states.values()),
            unanswered=sum(number for state, number in states.items() if state in ("none", "bad", "failed")),
            failed=failed,
        )

    def failures(self) -> Iterator[Failure]:
        """What did not come, by place; then the requests that nothing came of."""
        for failure, _, _ in self._failed():
            yield failure

    def requests(self) -> Iterator[Fared]:
        """How each request fared, in order of lines."""
        sql = "SELECT id, line, cells, state, reason, studies FROM requests ORDER BY line, id"
        for number, line, cells, state, reason, studies in self.execute(sql).fetchall():
            series = self.execute(
                "SELECT study, uid, id, expected, listed FROM series JOIN asked_by ON series = id WHERE request = ?"
                " ORDER BY study, uid",
                (number,),
            ).fetchall()
            expected = received = 0
            for _, _, one, of_series, listed in series:
                here, known = self.execute(
                    "SELECT coalesce(sum(outcome IN ('received', 'extra')), 0), count(*)"
                    " FROM instances WHERE series = ?",
                    (one,),
                ).fetchone()
                received += here
                expected += known if listed else max(of_series or 0, known)
            pairs = tuple((study, uid) for study, uid, *_ in series)
            yield Fared(line, json.loads(cells), state, reason, studies, expected, received, pairs)

    def received_of_series(self) -> dict[tuple[str, str], int]:
        """(study, series) -> instances that are here, of all that were ever asked for."""
        sql = (
            "SELECT study, series.uid, count(*) FROM series JOIN instances ON series = id"
            " WHERE outcome IN ('received', 'extra') GROUP BY id"
        )
        return {(study, series): number for study, series, number in self.execute(sql)}

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Every instance that is asked for, with all that is known of it, by series and UID."""
        sql = (
            f"SELECT study, series.uid, instances.uid, {', '.join(_KNOWN)} FROM instances JOIN series ON series = id"
            f" WHERE {_ASKED} ORDER BY study, series.uid, instances.uid"
        )
        for study, series, uid, *values in self.execute(sql):
            known = zip((name.removeprefix("instances.") for name in _KNOWN), values, strict=True)
            yield {"study": study, "series": series, "instance": uid, **dict(known)}

    def columns(self) -> list[str]:
        """The cohort's own columns."""
        row = self.execute("SELECT value FROM meta WHERE key = 'columns'").fetchone()
        return list(json.loads(row[0])) if row else []

    def incomplete(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(study, series) -> (received, found) of the series that are asked for and are not here as a whole."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for study, uid, here, known in self.execute(
            "SELECT study, series.uid, sum(outcome IN ('received', 'extra')), count(*) FROM series JOIN instances"
            f" ON series = id WHERE {_ASKED} GROUP BY id"
        ).fetchall():
            if here < known:
                found[study, uid] = (here, known)
        for study, uid, number, here in self._short():
            found[study, uid] = (here, here + number)
        return found

    def reasons(self) -> dict[tuple[str, str], str]:
        """(study, series) -> why a part of it is missing: each reason with its number of instances."""
        found: dict[tuple[str, str], list[str]] = {}
        for study, uid, outcome, code, reason, number in self.execute(
            "SELECT study, series.uid, outcome, code, instances.reason, count(*) FROM instances JOIN series"
            f" ON series = id WHERE {_ASKED} AND outcome IN ('missing', 'refused', 'wanted')"
            " GROUP BY id, outcome, code, instances.reason ORDER BY count(*) DESC, outcome, code, instances.reason"
        ):
            kind = f"refused ({code_text(code)})" if outcome == "refused" else "missing"
            detail = reason or (NOT_YET if outcome == "wanted" else "")
            found.setdefault((study, uid), []).append(f"{number:,} {kind}" + (f": {detail}" if detail else ""))
        for study, uid, number, _ in self._short():
            found.setdefault((study, uid), []).append(f"{number:,} missing: the server does not list its instances")
        return {series: "; ".join(texts[:_REASONS]) for series, texts in found.items()}

    def _failed(self) -> Iterator[tuple[Failure, str, int]]:
        """Each failure, the reason that it is counted under, and how many instances it stands for."""
        for study, uid, instance, outcome, code, reason in self.execute(
            "SELECT study, series.uid, instances.uid, outcome, code, instances.reason FROM instances JOIN series"
            f" ON series = id WHERE {_ASKED} AND outcome IN ('missing', 'refused', 'wanted')"
            " ORDER BY study, series.uid, instances.uid"
        ).fetchall():
            kind = f"refused ({code_text(code)})" if outcome == "refused" else "missing"
            detail = reason or (NOT_YET if outcome == "wanted" else "")
            yield Failure(place(study, uid, instance), kind, detail), kind, 1
        for study, uid, number, here in self._short():
            detail = f"{here:,} of {here + number:,} came, and the server does not list them"
            yield Failure(place(study, uid, "").rpartition("/")[0], "missing", detail), "missing", number
        for study, uid, reason in self.execute(
            f"SELECT study, uid, reason FROM series WHERE id {_IN_ASKED} AND NOT listed AND expected IS NULL"
            " AND state <> 'complete' ORDER BY study, uid"
        ).fetchall():
            kind = "series of unknown size"
            yield Failure(place(study, uid, "").rpartition("/")[0], kind, reason or NOT_YET), kind, 1
        for line, state, reason in self.execute(
            "SELECT line, state, reason FROM requests WHERE state IN ('none', 'bad', 'failed') ORDER BY line, id"
        ).fetchall():
            kind = f"request: {STATES[state]}"
            yield Failure(f"pacs.list, line {line}" if line else "pacs.query", kind, reason), kind, 1

    def _short(self) -> list[tuple[str, str, int, int]]:
        """(study, series, missing, received) of series of which only the number of instances is known."""
        rows = self.execute(
            "SELECT study, series.uid, expected, (SELECT count(*) FROM instances WHERE series = id AND"
            f" outcome IN ('received', 'extra')) FROM series WHERE id {_IN_ASKED} AND NOT listed AND"
            " expected IS NOT NULL ORDER BY study, series.uid"
        ).fetchall()
        return [(study, uid, expected - here, here) for study, uid, expected, here in rows if here < expected]

    def _one(self, sql: str) -> int:
        return int(self.execute(sql).fetchone()[0])


def incomplete_below(folder: str) -> dict[str, str]:
    """Series Instance UID -> "127 of 180", of the series in a folder of received files that are not whole.

    While a retrieval goes on, its manifest is locked: {} then, since only series that are whole are exported meanwhile.
    """
    path = Path(folder, MANIFEST)
    if not path.exists():
        return {}
    try:
        with contextlib.closing(Snapshot(path, wait=0.0)) as accounts:
            return {uid: f"{here:,} of {known:,}" for (_, uid), (here, known) in accounts.incomplete().items()}
    except LedgerError:
        return {}


STATES = {"none": "no match", "bad": "wrong value", "failed": "the server failed it"}


def code_text(code: int | None) -> str:
    """A DIMSE status in hexadecimal, as the standard prints it; an HTTP status in decimal."""
    if code is None:
        return "no status"
    return f"HTTP {code}" if 400 <= code < 600 else f"0x{code:04X}"


class Snapshot(Accounts):
    """A manifest that is only read, as when its retrieval has ended; `wait` are seconds for one that is in use."""

    def __init__(self, path: Path, wait: float = 5.0) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=wait
            )
        except sqlite3.Error as error:
            raise LedgerError(f"{portable(str(path))} cannot be read: {error}") from None

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            return self._db.execute(sql, tuple(values))
        except sqlite3.Error as error:
            raise LedgerError(f"{portable(str(self._path))} cannot be read: {error}") from None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

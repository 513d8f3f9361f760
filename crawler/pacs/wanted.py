"""What is wanted of a PACS and what came of it, as values: a series as finds list it, a series in work, an arrival.

Outcomes of an instance: wanted (not tried yet), received, extra (received, though no find had listed it), missing,
refused (by a status). The manifest keeps them, and apart from them what came and was not what had been asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HERE = ("received", "extra")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    line
        Its line in the cohort; 0 for the query of the configuration.
    keys
        Keyword -> value, as a find takes them.
    wrong
        Why it must not be sent; empty when it may.
    remark
        What its reader should know all the same.
    cells
        The row as it was written.
    """

    line: int
    keys: Mapping[str, str]
    wrong: str = ""
    remark: str = ""
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A series as finds describe it.

    Attributes
    ----------
    expected
        Number of its instances; None when the server does not say.
    instances
        SOP Instance UID -> (SOP class, transfer syntax), empty where not told; None when the server lists none.
    """

    study: str
    uid: str
    modality: str = ""
    expected: int | None = None
    instances: Mapping[str, tuple[str, str]] | None = None


@dataclass(slots=True)
class Series:
    """A series in work: what is wanted of it still, and what is here.

    `wanted` is empty for one whose instances are not listed; then `expected` alone says when it is complete. `notes`
    holds why an instance that came could not be kept; it grew by `grew` instances since it was first listed.
    """

    id: int
    study: str
    uid: str
    expected: int | None
    listed: bool
    wanted: dict[str, tuple[str, str]] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    grew: int = 0

    @property
    def complete(self) -> bool:
        """Whether all that is known to be wanted is here."""
        if self.listed:
            return not self.wanted
        return self.expected is not None and len(self.here) >= self.expected


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is noted of an instance that came; outcome as in `HERE`."""

    uid: str
    outcome: str
    sop_class: str
    syntax: str
    size: int
    xxh3: str
    transport: str
    seconds: float

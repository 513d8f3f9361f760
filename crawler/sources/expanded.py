"""What an archive came to: members to read, members that are not handed on, and the archive's own outcome.

It opens nothing: `zip_source.py` and `tar_source.py` say what they find.
"""

from __future__ import annotations

from typing import NamedTuple

from crawler.archives.members import archive_format, member_name
from crawler.errors import FileError
from crawler.model import File, Outcome
from crawler.paths import portable

CONTAINER = "container"


class Expanded(NamedTuple):
    """The members of an archive.

    Attributes
    ----------
    members
        Files to be read like any other, in the archive's order.
    faults
        (path in the archive as valid Unicode, outcome) of members that are not handed on. No two of them, and no
        member and a fault, have one path: a repeated one ends in ``#2``, ``#3``.
    outcome
        The archive's own: skipped as a container, or failed when it was refused or read in part.
    """

    members: tuple[File, ...]
    faults: tuple[tuple[str, Outcome], ...]
    outcome: Outcome


class ArchiveContents:
    """Members on their way to an `Expanded`: each entry of the archive is named first, then kept or barred."""

    def __init__(self) -> None:
        self.members: list[File] = []
        self.faults: list[tuple[str, Outcome]] = []
        self._accepted: set[str] = set()

    def accept(self, raw: str, fault: Outcome | None) -> str | None:
        """Return the path that an entry goes by; None when it is no member, and then it is among the faults.

        Parameters
        ----------
        raw
            The entry's name as the archive has it.
        fault
            What its kind says against it.
        """
        try:
            name = member_name(raw)
        except FileError as error:
            self.refuse(raw, failed(error))
            return None
        if fault is None and archive_format(name) is not None:
            fault = Outcome("skipped", "", CONTAINER, "an archive inside an archive is not opened: unpack it first")
        if fault is None and name in self._accepted:
            fault = Outcome("failed", "find", "repeated member name", "the first member of that name is read")
        if fault is not None:
            self.refuse(name, fault)
            return None
        self._accepted.add(name)
        return name

    def refuse(self, name: str, outcome: Outcome) -> None:
        """Account for an entry that is not handed on, whether it was accepted or not."""
        self.faults.append((portable(name).replace("\0", "\\x00"), outcome))

    def end(self, outcome: Outcome | None = None) -> Expanded:
        """Return what was gathered; all is well without an outcome."""
        taken = {portable(file.member or "") for file in self.members}
        faults: list[tuple[str, Outcome]] = []
        for text, fault in self.faults:
            unique, number = text, 1
            while unique in taken:
                number += 1
                unique = f"{text}#{number}"
            taken.add(unique)
            faults.append((unique, fault))
        return Expanded(tuple(self.members), tuple(faults), outcome or Outcome("skipped", "", CONTAINER))


def failed(error: FileError) -> Outcome:
    """Return the outcome that a refusal while finding files amounts to."""
    return Outcome("failed", "find", error.reason, error.detail)


def nanoseconds(seconds: float) -> int:
    """Return a time stamp of an archive in ns since the epoch; 0 for one that no file could have."""
    return int(seconds * 10**9) if 0 <= seconds < 2**33 else 0

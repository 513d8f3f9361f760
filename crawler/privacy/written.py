"""What `dme privacy dicom` has written, file by file: only what lies there as recorded is replaced or deleted.

The record is a table in the private folder. A line is on the disk before its file is put in place, so that a run that
was killed knows its files, too. It decides nothing of what is written.
"""

from __future__ import annotations

import csv
import os
import shutil
from types import TracebackType
from typing import Self

from crawler.disk import fingerprint, is_as_recorded
from crawler.errors import OutputError, SinkError
from crawler.paths import TEMP, native

COLUMNS = ("written", "file", "outcome", "detail", "size", "checksum")
TAKEN = "what lies there was not written by this command, or was changed since, and stays"

State = tuple[int, str]


class WrittenFiles:
    """The files below a folder that earlier runs wrote, and those of this one.

    Parameters
    ----------
    folder
        Native absolute path.
    table
        Path of the record, in the private folder.
    """

    def __init__(self, folder: str, table: str) -> None:
        self._folder, self._table = folder, table
        self._scratch = os.path.join(folder, TEMP)
        self._known: dict[str, set[State]] = {}
        self._now: set[str] = set()
        for path in (table, self._part):
            self._take(path)

    def __enter__(self) -> Self:
        """Begin a run: what earlier ones recorded is kept beside, until this one ends."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        number = os.open(f"{self._part}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = open(number, "w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        for name, states in sorted(self._known.items()):
            for size, checksum in sorted(states):
                self._writer.writerow((name, "", "earlier", "", size, checksum))
        self._file.flush()
        os.replace(f"{self._part}.new", self._part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; one that failed leaves its lines for the next."""
        self._file.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def scratch(self) -> str:
        """Where an unfinished file is made, on the file system of the others."""
        os.makedirs(self._scratch, exist_ok=True)
        return os.path.join(self._scratch, "unfinished.dcm")

    def put(self, scratch: str, name: str, original: str) -> None:
        """Put a finished file in place.

        Parameters
        ----------
        name
            Its portable path below the folder.
        original
            What it was made of, as the table names it.

        Raises
        ------
        SinkError
            What lies there is another's, and stays.
        """
        path = os.path.join(self._folder, native(name))
        state = fingerprint(scratch)
        if os.path.lexists(path) and not self._is_ours(name, {state}):
            os.unlink(scratch)
            raise SinkError("its name is taken", TAKEN)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._writer.writerow((name, original, "written", "", *state))
        self._file.flush()
        os.replace(scratch, path)
        self._known.setdefault(name, set()).add(state)
        self._now.add(name)

    def note(self, original: str, outcome: str, detail: str) -> None:
        """Record a file that was not written."""
        self._writer.writerow(("", original, outcome, detail, "", ""))

    def finish(self) -> tuple[int, int]:
        """Delete what earlier runs wrote and this one did not; return how many files, and how many stay as changed."""
        deleted = changed = 0
        stay = []
        for name in sorted(self._known.keys() - self._now):
            path = os.path.join(self._folder, native(name))
            if not os.path.lexists(path):
                continue
            if self._is_ours(name, set()):
                os.unlink(path)
                deleted += 1
            else:
                changed += 1
                stay.append(name)
        for name in stay:
            self._writer.writerow((name, "", "stays: it was changed since it was written", "", "", ""))
        self._file.flush()
        self._drop_earlier()
        return deleted, changed

    @property
    def _part(self) -> str:
        return f"{self._table}.part"

    def _drop_earlier(self) -> None:
        """The table of this run alone, in the place of the last one."""
        try:
            with open(self._part, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row[2] != "earlier"]
            scratch = f"{self._table}.new"
            number = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(number, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
            os.replace(scratch, self._table)
            os.unlink(self._part)
        except OSError as error:
            raise OutputError(f"the table in privacy.private cannot be written: {error.strerror}") from None

    def _is_ours(self, name: str, besides: set[State]) -> bool:
        path = os.path.join(self._folder, native(name))
        try:
            return any(is_as_recorded(path, *state) for state in self._known.get(name, set()) | besides)
        except OSError:
            return False

    def _take(self, table: str) -> None:
        """Add what a table records. One of an earlier version has no checksums: its files are not known by it."""
        try:
            with open(table, newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if row.get("written") and (row.get("size") or "").isdigit() and row.get("checksum"):
                        state = int(row["size"]), row["checksum"]
                        self._known.setdefault(row["written"], set()).add(state)
        except (OSError, csv.Error, UnicodeDecodeError):
            return

"""Which files of an output are ours, and how they are written over or deleted: nothing else ever is.

Products are recorded with the scans that they come from; this module keeps the run's own files (tables, the copy of the
configuration, the JSONL's successor). A file that lies at such a place before the ledger knows the place belongs to
somebody else. One that was changed since we wrote it is set aside, not written over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence

from crawler.disk import fingerprint, is_as_recorded, is_below, is_there
from crawler.errors import OutputError
from crawler.ledger.database import Ledger
from crawler.paths import portable

log = logging.getLogger("dme")

UNFINISHED = ".building"  # ends the name of a file of ours while it is written
ABSENT = (-1, "")  # size and checksum of a file that is not there
UNKNOWN = (None, None)  # being written: whatever lies there is ours


class OwnFiles:
    """The run's own files; places are kept relative to the ledger, so that an output may be moved."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._folder = os.path.dirname(ledger.path)

    def claim(self, paths: Iterable[str], *, set_aside: bool = False, more: bool = False) -> None:
        """Take places for ours, before anything is written there; `more` of them follow.

        Raises
        ------
        OutputError
            A file of somebody else lies at one of them. With `set_aside` it is renamed instead.
        """
        known = {path for (path,) in self._ledger.execute("SELECT path FROM own_files")}
        unknown = self._ledger.get("own files unknown", False)
        new: list[tuple[bytes, int | None, str | None]] = []
        for path in dict.fromkeys(place for one in paths for place in (one, one + UNFINISHED)):
            name = self._name(path)
            if name in known:
                continue
            state = UNKNOWN if unknown else ABSENT
            if is_there(path) and not unknown:
                if not set_aside:
                    raise OutputError(
                        f"{portable(path)} exists, and no run of this output made it: it is not touched; move it away,"
                        " choose another place for it or another output.dir, or have --rebuild set it aside"
                    )
                put_aside(path)
            new.append((name, *state))
        for row in new:
            self._ledger.execute("INSERT INTO own_files VALUES (?, ?, ?)", row)
        if unknown and not more:
            self._ledger.execute("DELETE FROM meta WHERE key = 'own files unknown'")
        if new or unknown:
            self._ledger.commit()

    def begin(self, paths: Sequence[str]) -> None:
        """Files are about to be written: what lies there now is ours as recorded, or is set aside.

        Raises
        ------
        OSError
            One of them cannot be read.
        """
        for path in paths:
            sql = "SELECT size, checksum FROM own_files WHERE path = ?"
            state = self._ledger.execute(sql, (self._name(path),)).fetchone()
            if state != UNKNOWN and not _agrees(path, state or ABSENT):
                put_aside(path)
            self._record(path, *UNKNOWN)
        if paths:
            self._ledger.commit()

    def finish(self, path: str) -> None:
        """A file is written, or is not to be there."""
        self._record(path, *(fingerprint(path) if is_there(path) else ABSENT))

    def recorded_below(self, folder: str) -> dict[str, tuple[int | None, str | None]]:
        """Size and checksum of every file of ours in a folder, by native absolute path."""
        top = self._name(os.path.join(folder, ""))
        top = top if top.endswith(os.fsencode(os.sep)) else top + os.fsencode(os.sep)
        rows = self._ledger.execute(
            "SELECT path, size, checksum FROM own_files WHERE substr(path, 1, ?) = ?", (len(top), top)
        ).fetchall()
        # Under privacy the ledger lies elsewhere, and its names of our files begin with "..".
        return {
            os.path.normpath(os.path.join(self._folder, os.fsdecode(path))): (size, checksum)
            for path, size, checksum in rows
        }

    def note(self, path: str, size: int | None = None, checksum: str | None = None) -> None:
        """Keep the state of a file of ours; without one it is being written, and whatever lies there is ours."""
        self._record(path, size, checksum)

    def agrees(self, path: str, state: tuple[int | None, str | None]) -> bool:
        """Whether a file is as it was recorded; one that was being written is.

        Raises
        ------
        OSError
            It cannot be read.
        """
        return state == UNKNOWN or _agrees(path, state)

    def drop(self, path: str, state: tuple[int | None, str | None], top: str) -> bool:
        """Delete a file of ours, and the folders below `top` that this leaves empty; one that was changed stays.

        Returns
        -------
        bool
            False when it cannot be deleted now: it stays ours.
        """
        if state == ABSENT:
            return True
        if not delete_product(top, os.path.relpath(path, top), *state):
            return False
        self._ledger.execute("DELETE FROM own_files WHERE path = ?", (self._name(path),))
        return True

    def _record(self, path: str, size: int | None, checksum: str | None) -> None:
        self._ledger.execute("INSERT OR REPLACE INTO own_files VALUES (?, ?, ?)", (self._name(path), size, checksum))

    def _name(self, path: str) -> bytes:
        if os.path.splitdrive(path)[0] != os.path.splitdrive(self._folder)[0]:
            return os.fsencode(path)
        return os.fsencode(os.path.relpath(path, self._folder))


def put_aside(path: str) -> str:
    """Rename a file or folder that is not ours to overwrite; return the new path.

    Raises
    ------
    OutputError
        It cannot be renamed.
    """
    number = 1
    while is_there(aside := f"{path}.set-aside-{number}"):
        number += 1
    try:
        os.rename(path, aside)
    except OSError as error:
        raise OutputError(f"{portable(path)} is in the way and cannot be moved: {error.strerror}") from None
    log.warning("%s is set aside as %s", portable(path), portable(aside))
    return aside


def delete_product(root: str, path: str, size: int | None, checksum: str | None) -> bool:
    """Delete a product that lies below its output folder as recorded, and folders that this leaves empty.

    Parameters
    ----------
    root
        The output folder of its kind.
    path
        Native, relative to it.
    size, checksum
        As recorded. None in a ledger of version 1: then its place is enough.

    Returns
    -------
    bool
        False when it is ours and cannot be deleted now. A file that was changed since, or that a link leads to, is not
        ours any more: it stays, and is told.
    """
    target = os.path.join(root, path)
    parent = os.path.dirname(target)
    try:
        if not is_there(target):
            pass
        elif not is_below(parent, root) or not (size is None or is_as_recorded(target, size, checksum)):
            log.warning("%s was changed since it was made: it is left where it is", portable(target))
        else:
            os.unlink(target)
    except OSError as error:
        log.warning("%s cannot be deleted: %s", portable(target), error.strerror)
        return False
    while parent != root and is_below(parent, root) and not os.path.islink(parent):
        try:
            os.rmdir(parent)
        except FileNotFoundError:
            pass
        except OSError:
            break
        parent = os.path.dirname(parent)
    return True


def _agrees(path: str, state: tuple[int | None, str | None]) -> bool:
    """Whether a path is as it was recorded, or nothing is there."""
    try:
        return is_as_recorded(path, *state)
    except FileNotFoundError:
        return True

"""The walk of the input against the ledger: which folders and archives are new or changed, which are gone.

It opens no file and removes nothing. What cannot be read now is not gone: its rows and outputs stay. An input of which
too much is gone (a disk that is not mounted) stops the run before anything is removed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from crawler.engine.plan import archive_digest, archives_of, without_archives
from crawler.engine.progress import Progress
from crawler.engine.share import Share
from crawler.engine.tree import NO_FILES
from crawler.errors import SourceError
from crawler.ledger.database import TodoRow
from crawler.ledger.store import Store
from crawler.model import Outcome
from crawler.paths import portable
from crawler.sources.directory import Folder, Outputs, Root, Visited
from crawler.stores.access import is_empty, is_folder

log = logging.getLogger("dme")

UNREADABLE = (
    "folder cannot be read",
    "cannot be read",
)  # reasons of `sources.directory` that say nothing of what is there


class Survey:
    """One walk; a `partial` one does not see all that is there, and takes nothing for gone.

    Attributes
    ----------
    listed
        Files that are there.
    archives
        Names of those that are to be opened.
    vanished
        Whether folders are gone.
    """

    def __init__(
        self,
        store: Store,
        roots: Sequence[Root],
        outputs: Outputs,
        progress: Progress,
        stopped: Callable[[], bool],
        partial: bool = False,
        share: Share | None = None,
    ) -> None:
        self._partial, self._share = partial, share or Share()
        self._store, self._ledger = store, store.ledger
        self._roots, self._outputs, self._progress, self._stopped = roots, outputs, progress, stopped
        self._tree = store.config.dicom.group == "tree"
        self._todo: list[TodoRow] = []
        self._known_archives: list[tuple[TodoRow, str]] = []  # of a tree: read again when anything changed
        self._unreadable: list[str] = []
        self._folders = self.size = 0
        self.listed = 0
        self.vanished = False
        self.archives: list[str] = []

    def run(self) -> None:
        """Walk the input and queue what is new or changed.

        Raises
        ------
        SourceError
            More of an input is gone than `dicom.max_lost` allows. Nothing was changed.
        """
        visited, recursive = Visited(self._roots), self._store.config.dicom.recursive
        for number, root in enumerate(self._roots):
            before = self.listed
            for folder in self._share.folders(number, root, recursive, self._outputs, visited):
                self._visit(number, folder)
                if self._folders % 1000 == 0:
                    self._flush()
                    if self._stopped():
                        return
            self._flush()
            if not self._partial:
                self._require_most(number, root, self.listed - before)
        if visited.repeated[0]:
            log.warning("%d folders that links lead to are read under another name, the first is %s", *visited.repeated)
        self.vanished = not self._partial and self._ledger.count("seen") < self._ledger.count("folders")
        if self._tree and (self._ledger.count("todo") or self.vanished):
            if self._unreadable:
                raise SourceError(
                    f"{self._unreadable[0]} cannot be read now, and its files may belong to any scan"
                    " (dicom.group: tree); nothing was changed; mount the disk or correct the permissions and run again"
                )
            self._ledger.add_todo(row for row, _ in self._known_archives)
            for _, key in self._known_archives:
                self.archives.append(key)
                self.listed -= self._ledger.files_in_archive(key)
                self._ledger.forget_archive(key)
        self._progress.survey(self._folders, self.listed, self.size)

    def _visit(self, number: int, whole: Folder) -> None:
        plain = without_archives(whole)
        folder, mine = self._share.narrow(plain), self._share.has(plain.key)
        archives = [file for file in archives_of(whole) if self._share.has(file.key)] if plain is not whole else []
        self._folders += 1
        self.size += (folder.size if mine else 0) + sum(file.size for file in archives)
        path = os.fsencode(folder.path)
        if mine and folder.faults and self._keep_unreadable(folder):
            return
        is_root = self._tree and not folder.path  # known, whether it holds files or not
        if mine and (folder.count or is_root):
            self.listed += folder.count
            known = self._ledger.visit(folder.key)
            if known != folder.digest() and (folder.count or known not in ("", NO_FILES)):
                self._todo.append((number, path, b"", folder.count, folder.size))
        for file in archives:
            row = (number, path, os.fsencode(os.path.basename(file.path)), 1, file.size)
            if self._ledger.visit_archive(file.key, archive_digest(file)):
                self.listed += self._ledger.files_in_archive(file.key)
                self._known_archives.append((row, file.key))
            else:
                self._todo.append(row)
                self.archives.append(file.key)

    def _flush(self) -> None:
        self._ledger.add_todo(self._todo)
        self._todo = []
        self._progress.survey(self._folders, self.listed, self.size)

    def _keep_unreadable(self, folder: Folder) -> bool:
        """Keep what is known of a folder that cannot be read, or not in full; False when nothing is."""
        faults = [(name, outcome) for name, outcome in folder.faults if outcome.reason in UNREADABLE]
        inside = any(not name for name, _ in faults)
        if not faults or not (
            inside or any(self._ledger.was_read(folder.key, portable(folder.root.shown(name))) for name, _ in faults)
        ):
            return False
        count = self._ledger.keep_folder(folder.key, inside)
        if not count:
            return False
        self.listed += count
        self._unreadable.append(folder.key or ".")
        told = Outcome("failed", "find", "folder cannot be read", f"what is known of it stays; {faults[0][1].detail}")
        self._ledger.touch()
        self._ledger.add_ungrouped([(folder.key, "", 0, 0, told)])
        log.warning("%s: %s", folder.key or ".", told.detail)
        return True

    def _require_most(self, number: int, root: Root, now: int) -> None:
        """Stop when more of a root is gone than may be."""
        share = self._store.config.dicom.max_lost
        key = Folder(root, "", ()).key
        if share >= 1 or root.is_file or not self._ledger.count("files"):  # a first run asks nothing of each folder
            return
        others = () if key else [one.prefix for one in self._roots if one.prefix]
        lost = self._ledger.count_lost(key, number, others)
        known = self._ledger.count_below(key, others) if lost else 0
        if lost and (not now or lost > share * known):
            raise SourceError(
                f"dicom.dir: {portable(root.path)}: {lost:,} of {known:,} files are gone since the last run;"
                " nothing was removed. Mount the disk, or put the files back. To have their rows and outputs removed,"
                " set dicom.max_lost: 1, or use --rebuild"
            )


def require_files(roots: Sequence[Root], max_lost: float) -> None:
    """Refuse to make everything anew from a folder that is empty: a disk is not mounted.

    Raises
    ------
    SourceError
        Nothing was changed.
    """
    for root in roots:
        if not root.is_file and max_lost < 1 and is_folder(root.path) and is_empty(root.path):
            raise SourceError(
                f"dicom.dir: {portable(root.path)} is empty, and --rebuild would delete what was made of it; nothing"
                " was removed. Mount the disk, or set dicom.max_lost: 1"
            )

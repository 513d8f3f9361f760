"""`group: tree`: instances of a scan lie anywhere below the roots, as in a PACS's storage.

All headers are read first; their keys go to a table on disk (`series_index.py`), which hands the scans out one by one.
After a change, the files of changed folders are read anew, and of the others only those that share a scan with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from crawler.engine.plan import INDEX_FILES, FolderPlan, Planner, bundled
from crawler.export.tasks import IndexResult, IndexTask, ScanJob, ScanTask
from crawler.layout.scan import SeriesKey
from crawler.ledger.database import FileRow, Ledger
from crawler.ledger.series_index import Member, SeriesIndex
from crawler.model import File, Outcome
from crawler.naming import media_stems, scan_digest
from crawler.paths import native
from crawler.sources.directory import Folder, Root, Visited, listing, walk

NO_FILES = "a root without files"  # in place of the digest of a listing


class Segment(NamedTuple):
    """Files of one folder in an index task, with the names of their media."""

    plan: FolderPlan
    files: tuple[File, ...]
    stems: tuple[str, ...]


class TreeGrouping:
    """The state of one run over trees."""

    def __init__(self, ledger: Ledger, roots: list[Root], planner: Planner) -> None:
        self._ledger = ledger
        self._roots = roots
        self._planner, self._reserved = planner, planner.reserved
        self._index = SeriesIndex(ledger, [(_base(root), root.prefix, root.public) for root in roots])
        self._numbers = {(_base(root), root.prefix): number for number, root in enumerate(roots)}
        # Of folders that were planned, those that have foreign outputs; and of all others that scans reach into.
        self._found: dict[str, frozenset[str]] = {}

    def open_roots(self) -> None:
        """Scans belong to the folder of their first root, whether files lie directly in it or not."""
        for root in self._roots:
            folder = Folder(root, "", ())
            self._foreign_in(folder)  # before anything is written there
            self._ledger.add_folder(folder.key)

    def _foreign_in(self, folder: Folder) -> frozenset[str]:
        """What lies in a folder's output folders and is not ours, as it was before a scan was written there."""
        key = folder.key
        if key not in self._found:
            if self._ledger.is_done_later(key):  # planned in this run, and nothing was found
                return frozenset()
            self._found[key] = frozenset(self._planner.foreign(folder))
        return self._found[key]

    def index(self, plans: list[FolderPlan]) -> Iterator[tuple[IndexTask, list[Segment]]]:
        """Tasks that read the files of changed folders."""
        segments: list[Segment] = []
        for plan in plans:
            self._ledger.put_ungrouped(plan.key, plan.faults())
            if plan.found:
                self._found[plan.key] = plan.found
            self._ledger.set_digest_later(plan.key, plan.digest)
            stems = plan.stems()
            for at in range(0, len(plan.files), INDEX_FILES):
                part = slice(at, at + INDEX_FILES)
                segments.append(Segment(plan, tuple(plan.files[part]), tuple(stems[part])))
        return _tasks(segments)

    def index_rest(self) -> Iterator[tuple[IndexTask, list[Segment]]]:
        """Tasks that read files of unchanged folders whose scans are touched; to be asked for when `index` is done."""
        self._index.touch()
        segments: list[Segment] = []
        for key, names, wanted in self._index.unread():
            root, folder = self._locate(key)
            there = self._planner.share.narrow(listing(root, folder))
            shown = [os.path.basename(native(name)) for name in names]
            stems = media_stems([*shown, *map(root.shown, there.others)], self._reserved.of(there))
            # Without one that is gone since the walk: its folder has changed by the next run.
            files = [file for file in there.files() if file.name in wanted]
            plan = FolderPlan(Folder(root, folder, ()), tuple(files))
            for at in range(0, len(files), INDEX_FILES):
                part = tuple(files[at : at + INDEX_FILES])
                segments.append(Segment(plan, part, tuple(stems[os.path.basename(file.mirror)] for file in part)))
        return _tasks(segments)

    def take(self, segments: Sequence[Segment], result: IndexResult) -> list[Outcome]:
        """Keep an index task's answer; return the outcomes of files that belong to no scan."""
        entries = iter(result.entries)
        ungrouped: list[FileRow] = []
        for segment in segments:
            members: list[Member] = []
            for file, stem in zip(segment.files, segment.stems, strict=True):
                entry = next(entries)
                if isinstance(entry, Outcome):
                    ungrouped.append(segment.plan.row(file, entry))
                else:
                    number = self._numbers[file.root, file.prefix]
                    members.append(Member(number, file, stem, SeriesKey(*entry[0]), entry[1]))
            self._index.add(members)
        self._ledger.add_ungrouped(ungrouped)
        return [row[-1] for row in ungrouped]

    def scan_tasks(self) -> Iterator[ScanTask]:
        """Tasks that export each touched scan, in order of their hashes; those that did not change are left alone."""
        return bundled(self._jobs())

    def finish(self) -> None:
        """Everything is exported: drop what is gone, and note that the folders are done."""
        self._index.drop_rest()
        for root in self._roots:
            self._ledger.set_root_digest(Folder(root, "", ()).key, NO_FILES)
        self._ledger.set_digests()

    def _jobs(self) -> Iterator[ScanJob]:
        for number, scan_id, members in self._index.scans():
            files = tuple(member.file for member in members)
            stems = tuple(member.stem for member in members)
            known, earlier = self._planner.known(scan_id)
            digest = scan_digest(files, stems)
            if known == digest:
                continue
            root = Folder(self._roots[number], "", ())
            places = {root.key: root}
            for member in members:
                folder = Folder(self._roots[member.root], _folder_of(member.file), ())
                places.setdefault(folder.key, folder)
            found = frozenset().union(*map(self._foreign_in, places.values()))
            spooled = tuple(member.spooled for member in members)
            earlier = earlier if earlier is not None and earlier.digest == digest else None
            yield ScanJob(scan_id, root.mirror, files, stems, spooled, found, earlier)

    def _locate(self, key: str) -> tuple[Root, str]:
        """Root and native relative path of a folder, from its name in outputs."""
        if any(root.public for root in self._roots):
            return self._true_places[key]
        path = native(key)
        for root in sorted(self._roots, key=lambda root: not root.prefix):  # the one without a name holds what is left
            if not root.prefix:
                return root, path
            if path == root.prefix or path.startswith(root.prefix + os.sep):
                return root, path[len(root.prefix) + 1 :]
        raise KeyError("a folder of no root")

    @cached_property
    def _true_places(self) -> dict[str, tuple[Root, str]]:
        """Folders by the names that outputs have for them under privacy, which do not tell the true ones."""
        visited = Visited(self._roots)
        found = (
            (folder.key, (root, folder.path))
            for root in self._roots
            for folder in walk(root, True, self._planner.outputs, visited)
        )
        return dict(found)


def _folder_of(file: File) -> str:
    """Native path of a file's folder below its root; that of a member goes through its archive."""
    if file.member is None:
        return os.path.dirname(file.path)
    return os.path.dirname(os.path.join(file.path, *file.member.split("/")))


def _base(root: Root) -> str:
    return os.path.dirname(root.path) if root.is_file else root.path


def _tasks(segments: list[Segment]) -> Iterator[tuple[IndexTask, list[Segment]]]:
    """Index tasks of about `INDEX_FILES` files."""
    bundle: list[Segment] = []
    for number, segment in enumerate(segments):
        bundle.append(segment)
        full = sum(len(one.files) for one in bundle) + len(segment.files) > INDEX_FILES
        if full or number == len(segments) - 1:
            yield IndexTask(tuple(file for one in bundle for file in one.files)), bundle
            bundle = []

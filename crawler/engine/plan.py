"""What is to be done with folders and archives: their listing, what is ours in their output folders, their tasks.

Before a folder's first task goes out, the ledger notes what already lies in its output folders: from then on what is
new there is ours, whatever kills the run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from crawler.config.loader import Config
from crawler.disk import boot_id, is_below, is_folder
from crawler.engine.known import known_scan, known_scans
from crawler.engine.share import Share
from crawler.export.earlier import Earlier
from crawler.export.foreign import ALL_OURS, closed, ours
from crawler.export.tasks import ArchiveTask, FolderJob, FolderTask, IndexTask, ScanJob, ScanTask, Task
from crawler.ledger.database import FileRow
from crawler.ledger.own_files import delete_product
from crawler.ledger.store import Store, output_root
from crawler.model import File, Outcome
from crawler.naming import FRAMES, media_stems
from crawler.paths import portable
from crawler.sources.archive import Expanded
from crawler.sources.directory import Folder, ListedFiles, Outputs, Root, listing, with_public

FOLDER_FILES = 512  # a folder of up to so many files is one task: its headers fit in memory, each file is read once
INDEX_FILES = 256
BUNDLE_FILES = 64  # tiny folders and scans share a task up to here, which keeps the pipe quiet
KINDS = {"media": "image", "volume": "volume", "preview": "preview"}  # section -> kind of what lies in its folder


@dataclass(slots=True)
class ArchivePlan:
    """An archive taken in work: it is done when all folders in it are."""

    file: File
    root: Root
    digest: str
    spool: str
    waiting: int = 0

    @property
    def key(self) -> str:
        """Its name in every output, and that of the folder which its members lie in."""
        return self.file.key

    def task(self) -> ArchiveTask:
        """List it."""
        return ArchiveTask(self.file, self.spool)


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """A folder taken in work: its files, and what lies in its output folders that is not ours."""

    folder: Folder
    files: Sequence[File]
    found: frozenset[str] = frozenset()
    known: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, Earlier] = field(default_factory=dict)
    archive: ArchivePlan | None = None
    reserved: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The folder's name in every output."""
        return self.folder.key

    @property
    def digest(self) -> str:
        """What the ledger keeps when all is done; an archive's own folder has that of the archive."""
        return self.archive.digest if self.is_archive and self.archive else self.folder.digest()

    @property
    def is_archive(self) -> bool:
        """Whether this is an archive's own folder; it is done only when the others in it are."""
        return self.archive is not None and self.archive.key == self.key

    @property
    def is_listed(self) -> bool:
        """Whether names in outputs and sizes of the files are those of the folder's listing."""
        return isinstance(self.files, ListedFiles) and self.folder.root.public is None

    def job(self) -> FolderJob:
        """The folder as work for one worker."""
        files = tuple(self.files)
        return FolderJob(self.key, self.folder.mirror, files, self.known, self.earlier, self.found, self.reserved)

    def index_tasks(self) -> Iterator[tuple[int, IndexTask]]:
        """Tasks that read the headers of a large folder, each with the number of its first file."""
        for at in range(0, len(self.files), INDEX_FILES):
            yield at, IndexTask(tuple(self.files[at : at + INDEX_FILES]))

    def stems(self) -> list[str]:
        """Names of the files' media, without extension."""
        names = [os.path.basename(file.mirror) for file in self.files]
        stems = media_stems([*names, *self.folder.others], self.reserved)
        return [stems[name] for name in names]

    def faults(self) -> list[FileRow]:
        """What is listed but is no readable file."""
        shown = self.folder.root.shown
        return [(self.key, portable(shown(name)), 0, 0, outcome) for name, outcome in self.folder.faults]

    def row(self, file: File, outcome: Outcome) -> FileRow:
        """A file's outcome for the ledger."""
        return (self.key, file.name, file.size, file.mtime_ns, outcome)


def true_names(files: Sequence[File], numbers: Sequence[int]) -> list[str] | None:
    """Names of files by which they are ordered, where outputs have others; None where these are their own."""
    return [os.path.basename(files[number].true) for number in numbers] if files and files[0].public else None


class ReservedNames:
    """Names that media may not have: those of mirrored subfolders, and of the run's own files in the media folder."""

    def __init__(self, config: Config, outputs: Outputs) -> None:
        self._media_dir = os.path.realpath(config.media_dir) if config.media_dir else None
        self._own_files = outputs.files

    def of(self, folder: Folder) -> tuple[str, ...]:
        """For the media of one folder's files."""
        if self._media_dir is None:
            return ()
        place = os.path.join(self._media_dir, folder.mirror) if folder.mirror else self._media_dir
        return (*map(folder.root.shown, folder.children), *sorted(self._own_files.get(place, ())))


class Planner:
    """Takes queued folders and archives in work, in order."""

    def __init__(
        self, store: Store, roots: list[Root], outputs: Outputs, share: Share, spool: str, bundle: int
    ) -> None:
        self._store, self._roots, self.outputs, self._spool = store, roots, outputs, spool
        self.share = share
        self._boot = boot_id()
        self._bundle = max(1, min(BUNDLE_FILES, bundle))
        self.reserved = ReservedNames(store.config, outputs)

    def bundles(self) -> Iterator[list[FolderPlan] | ArchivePlan]:
        """Bundles of small folders, single large ones, and archives."""
        bundle: list[FolderPlan] = []
        for number, path, archive in self._store.ledger.todo():
            root = self._roots[number]
            folder = listing(root, os.fsdecode(path), self.outputs)
            if archive:
                for file in archives_of(folder):
                    if os.path.basename(file.path) == os.fsdecode(archive):
                        yield ArchivePlan(file, root, archive_digest(file), self._spool)
                continue
            plan = self.take(self.share.narrow(without_archives(folder)))
            if len(plan.files) > FOLDER_FILES:
                yield [plan]
                continue
            bundle.append(plan)
            if sum(len(one.files) + 1 for one in bundle) > self._bundle:
                yield bundle
                bundle = []
        if bundle:
            yield bundle

    def open(self, archive: ArchivePlan, listed: Expanded) -> Iterator[list[FolderPlan]]:
        """The folders in an archive, bundled like others; the first is the archive's own."""
        files: dict[str, list[File]] = {"": []}
        faults: dict[str, list[tuple[str, Outcome]]] = {"": [("", listed.outcome)]}
        for member in listed.members:
            files.setdefault(posixpath.dirname(member.member or ""), []).append(with_public(archive.root, member))
        taken = {member.member for member in listed.members}
        for path, outcome in listed.faults:
            shown = path = path.replace("..", "%2E%2E").strip("/") or "(no name)"  # a name to be read, never a path
            number = 1
            while shown in taken:
                number += 1
                shown = f"{path}#{number}"
            taken.add(shown)
            inside, name = posixpath.split(shown)
            faults.setdefault(inside, []).append((name, outcome))
        names = sorted({*files, *faults})
        children = _children(names)
        folders: list[tuple[Folder, list[File]]] = []
        for inside in names:
            mine = sorted(files.get(inside, []), key=lambda file: file.mirror)
            entries = tuple((os.path.basename(file.true), file.size, file.mtime_ns) for file in mine)
            path = os.path.join(archive.file.path, *inside.split("/")) if inside else archive.file.path
            folder = Folder(archive.root, path, entries, tuple(faults.get(inside, ())), children.get(inside, ()))
            folders.append((folder, mine))
        archive.waiting = len(folders)
        there = {folder.key for folder, _ in folders}
        self._store.make_room(self._store.ledger.vanished_in(archive.key, there))
        bundle: list[FolderPlan] = []
        for folder, mine in folders:
            plan = self.take(folder, mine, archive)
            if bundle and (len(mine) > FOLDER_FILES or sum(len(one.files) + 1 for one in bundle) > self._bundle):
                yield bundle
                bundle = []
            bundle.append(plan)
            if len(mine) > FOLDER_FILES:
                yield bundle
                bundle = []
        if bundle:
            yield bundle

    def take(
        self, folder: Folder, files: Sequence[File] | None = None, archive: ArchivePlan | None = None
    ) -> FolderPlan:
        """Note that a folder is in work."""
        ledger, key = self._store.ledger, folder.key
        known, earlier = known_scans(self._store, key) if self._store.config.dicom.group == "folder" else ({}, {})
        now = self.foreign(folder)
        found = ledger.open_folder(key, now, self._boot)
        if found != now:  # of the work begun before the machine started anew, no journal may be left
            found |= {ALL_OURS}
        listed: Sequence[File] = ListedFiles(folder) if files is None else tuple(files)
        if len(listed) <= FOLDER_FILES:
            listed = tuple(listed)
        return FolderPlan(folder, listed, found, known, earlier, archive, self.reserved.of(folder))

    def known(self, scan_id: str) -> tuple[str, Earlier | None]:
        """Digest of a scan of a tree that is as it should be, and what is there of one that lacks a part."""
        return known_scan(self._store, scan_id)

    def foreign(self, folder: Folder) -> set[str]:
        """What lies in the folder's output folders and is not ours, and those of these that nothing can be put in.

        What is ours is marked.
        """
        config = self._store.config
        found: set[str] = set()
        for slot, kind in KINDS.items():
            if getattr(config, slot) is None:
                continue
            root = output_root(config, kind)
            place = os.path.join(root, folder.mirror)
            try:
                names = _names_in(place, root)
            except NotADirectoryError:
                self._make_way(root, folder.mirror)
                names = []
            if names is None:
                found.add(closed(os.path.join(slot, folder.mirror) if folder.mirror else slot))
                continue
            if config.media is not None and config.media.overwrite:
                found.add(ALL_OURS)
                continue
            for name in names:
                path = os.path.join(folder.mirror, name)
                pictures = name.endswith(FRAMES) and is_folder(os.path.join(place, name))
                inside = _names_in(os.path.join(place, name), root) if pictures else []
                if inside is None or pictures is None:
                    found.add(closed(f"{slot}/{path}"))
                for one in [os.path.join(path, inner) for inner in inside or ()] if pictures else [path]:
                    name = f"{slot}/{one}"
                    found.add(ours(name) if self._store.ledger.is_ours(os.fsencode(one)) else name)
        return found

    def _make_way(self, root: str, mirror: str) -> None:
        """Delete a product of ours that lies where a folder is needed now: the file it is of gets another name.

        That file's folder is made anew in this run, as the name of a subfolder of it collides. A file of somebody else
        stays, and what belongs in the folder fails.
        """
        while mirror:
            for kind, size, checksum in self._store.ledger.recorded(os.fsencode(mirror)):
                if output_root(self._store.config, kind) == root:
                    delete_product(root, mirror, size, checksum)
            mirror = os.path.dirname(mirror)


def _children(folders: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names of the subfolders of each folder in an archive, whose folders with files are given."""
    children: dict[str, set[str]] = {}
    for inside in folders:
        while inside:
            above, name = posixpath.split(inside)
            children.setdefault(above, set()).add(name)
            inside = above
    return {inside: tuple(sorted(names)) for inside, names in children.items()}


def _names_in(folder: str, root: str) -> list[str] | None:
    """What lies in an output folder; None when it cannot be listed, or links lead out of its root.

    Raises
    ------
    NotADirectoryError
        A file lies where it, or a folder above it, should be.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise
    except OSError as error:
        return [] if error.errno == errno.ENAMETOOLONG else None  # the files that have such a name fail one by one
    return names if is_below(folder, root) else None


def archives_of(folder: Folder) -> list[File]:
    """The archives in a folder: each is a folder of its own."""
    return replace(folder, entries=tuple(one for one in folder.entries if folder.root.is_container(one[0]))).files()


def without_archives(folder: Folder) -> Folder:
    """The folder without them."""
    entries = tuple(entry for entry in folder.entries if not folder.root.is_container(entry[0]))
    return folder if len(entries) == len(folder.entries) else replace(folder, entries=entries)


def archive_digest(file: File) -> str:
    """Fingerprint of an archive as listed: it is not opened to see whether it changed."""
    return hashlib.blake2b(f"{file.size}\0{file.mtime_ns}".encode(), digest_size=16).hexdigest()


def bundled(jobs: Sequence[ScanJob] | Iterator[ScanJob]) -> Iterator[ScanTask]:
    """Scans to tasks, tiny ones together."""
    bundle: list[ScanJob] = []
    for job in jobs:
        bundle.append(job)
        if sum(len(one.files) for one in bundle) >= BUNDLE_FILES:
            yield ScanTask(tuple(bundle))
            bundle = []
    if bundle:
        yield ScanTask(tuple(bundle))


def with_culprit(task: Task, item: int, outcome: Outcome) -> Task:
    """The same task, with one item marked as not to be touched at that stage again."""
    return task._replace(culprits={**task.culprits, item: outcome})


def size_of(task: Task) -> int:
    """Units that a task can be split in."""
    return len(task.jobs) if isinstance(task, FolderTask | ScanTask) else 1


def split(task: FolderTask | ScanTask) -> list[Task]:
    """One task for each unit of a bundle, with its share of the culprits."""
    parts: list[Task] = []
    base = 0
    for job in task.jobs:
        mine = {item - base: outcome for item, outcome in task.culprits.items() if 0 <= item - base < len(job.files)}
        parts.append(FolderTask((job,), mine) if isinstance(job, FolderJob) else ScanTask((job,), mine))
        base += len(job.files)
    return parts

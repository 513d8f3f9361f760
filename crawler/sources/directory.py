"""Folders of files: the walk, and what a folder's listing is worth as a fingerprint.

It opens no file. Entries that are not regular files, broken links and folders that cannot be read are faults: they are
accounted for like files. Outputs that lie inside the input are never crawled.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from crawler.archives.members import archive_format
from crawler.errors import SourceError
from crawler.model import File, Outcome
from crawler.naming import colliding
from crawler.paths import portable, readable
from crawler.sources.remote import list_remote
from crawler.stores.access import look
from crawler.stores.address import is_remote

Entry = tuple[str, int, int]
"""Name, bytes, mtime in ns."""


_LINES = 1000  # of a listing in memory as text at a time


class Root(NamedTuple):
    """One input: its absolute real path, and its name in outputs (empty with a single input).

    ``public`` makes of a relative path what outputs have in its place: under the section `privacy`.
    ``readers``: endings of files that packages beside read (`dicom.readers`).
    """

    path: str
    prefix: str = ""
    is_file: bool = False
    public: Callable[[str], str] | None = None
    readers: tuple[str, ...] = ()

    def shown(self, path: str) -> str:
        """A relative native path, or a name, as outputs have it."""
        return path if self.public is None else self.public(path)

    def is_container(self, name: str) -> bool:
        """Whether a file, by its name alone, holds others: an archive, or a format that another package reads."""
        return archive_format(name) is not None or (bool(self.readers) and name.lower().endswith(self.readers))


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder's listing, sorted by name.

    Attributes
    ----------
    path
        Native path relative to the root; empty for the root itself.
    entries
        Its regular files.
    faults
        What is there but is no readable file, and its outcome; an empty name means the folder itself.
    children
        Names of its subfolders, which are mirrored beside the outputs of its files.
    others
        Names of files in it that are another shard's (`dicom.group: tree`): names of outputs depend on them.
    whole
        Then the digest of the folder with all its files.
    """

    root: Root
    path: str
    entries: tuple[Entry, ...]
    faults: tuple[tuple[str, Outcome], ...] = ()
    children: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    whole: str = ""

    @property
    def mirror(self) -> str:
        """Native relative path that outputs mirror."""
        return self.root.shown(os.path.join(self.root.prefix, self.path) if self.path else self.root.prefix)

    @property
    def key(self) -> str:
        """The folder's name in every output."""
        return portable(self.mirror)

    @property
    def count(self) -> int:
        """Files and faults: what must be accounted for."""
        return len(self.entries) + len(self.faults)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, _ in self.entries)

    def files(self) -> list[File]:
        """The entries as files."""
        return [*map(self.file, range(len(self.entries)))]

    def file(self, number: int) -> File:
        """One entry as a file."""
        name, size, mtime = self.entries[number]
        base = os.path.dirname(self.root.path) if self.root.is_file else self.root.path
        file = File(base, os.path.join(self.path, name), size, mtime, self.root.prefix)
        return file if self.root.public is None else with_public(self.root, file)

    def digest(self) -> str:
        """Fingerprint of the listing: changes when a file is added, removed, renamed or written to.

        Subfolders count only where the names of outputs depend on them: a new one elsewhere changes nothing here.
        """
        if self.whole:
            return self.whole
        names = (name for name, _, _ in self.entries)
        lines = itertools.chain(
            (f"{name}\0{size}\0{mtime}" for name, size, mtime in self.entries),
            (f"{name}\0{outcome.reason}" for name, outcome in self.faults),
            (f"{name}\0" for name in colliding(names, self.children)),
        )
        digest, between = hashlib.blake2b(digest_size=16), b""
        while some := list(itertools.islice(lines, _LINES)):  # a flat folder may have millions
            digest.update(between + "\n".join(some).encode("utf-8", "surrogateescape"))
            between = b"\n"
        return digest.hexdigest()


class ListedFiles(Sequence[File]):
    """The files of a folder, each made when it is asked for: the listing of a flat folder may have millions."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._folder.entries)

    @overload
    def __getitem__(self, place: int) -> File: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[File]: ...
    def __getitem__(self, place: int | slice) -> File | Sequence[File]:
        if isinstance(place, slice):
            return [*map(self._folder.file, range(len(self))[place])]
        return self._folder.file(range(len(self))[place])


def with_public(root: Root, file: File) -> File:
    """The file with the path that outputs have in place of its own."""
    return file if root.public is None else file._replace(public=root.public(file.true))


class Outputs:
    """What lies inside the input but is ours: never crawled."""

    def __init__(self, folders: Iterable[str] = (), files: Iterable[str] = ()) -> None:
        self.folders = frozenset(_real(folder) for folder in folders)
        self.files: dict[str, set[str]] = {}
        for file in files:
            folder, name = os.path.split(_real(file))
            self.files.setdefault(folder, set()).add(name)

    def hides(self, real: str) -> bool:
        """Whether a folder, by its real path, is not to be crawled."""
        return real in self.folders

    def has(self, folder: str, name: str) -> bool:
        """Whether the file is one of our outputs."""
        ours = self.files.get(folder)
        return ours is not None and name in ours


class Visited:
    """Folders of one crawl that links led to, so that each is read once, however many lead there.

    A folder is known by device and inode. One that lies below an input is read under its own name, and no other.

    Attributes
    ----------
    repeated
        Folders that were left out because they are read under another name: how many, and the name of the first.
    """

    def __init__(self, roots: Iterable[Root]) -> None:
        self._roots = [os.path.join(root.path, "") for root in roots if not root.is_file]
        self._places: set[tuple[int, int]] = set()
        self.repeated: tuple[int, str] = (0, "")

    def is_first(self, name: str, target: str) -> bool:
        """Whether a folder, of this name and real path, is met for the first time."""
        below = os.path.join(target, "")
        try:
            info = os.stat(target)
        except OSError:
            return True  # the listing says why it cannot be read
        place = info.st_dev, info.st_ino
        if place in self._places or any(below.startswith(root) for root in self._roots):
            count, first = self.repeated
            self.repeated = count + 1, first or name
            return False
        self._places.add(place)
        return True


def roots_of(paths: Iterable[str], readers: Sequence[str] = (), key: str = "") -> list[Root]:
    """Inputs with their names in outputs: none for a single one, else the base name, made unique by a number.

    Parameters
    ----------
    readers
        Endings of files that packages beside read (`dicom.readers`).
    key
        Of the configuration that names the paths, for the error's text.

    Raises
    ------
    SourceError
        A path that does not exist.
    """
    paths = list(paths)
    files: list[bool] = []
    for path in paths:
        try:
            files.append(not look(path).is_folder)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            why = "does not exist" if missing else f"cannot be reached: {error.strerror or type(error).__name__}"
            hint = "the address" if is_remote(path) else "the path or mount the disk"
            raise SourceError(f"{key and f'{key}: '}{readable(path)} {why}; correct {hint}") from None
    real = [_real(path) for path in paths]
    names = names_of(real) if len(real) > 1 else [""]
    return [Root(*one, readers=tuple(readers)) for one in zip(real, names, files, strict=True)]


def _real(path: str) -> str:
    """The absolute real path; an address as it is written."""
    return path if is_remote(path) else os.path.realpath(path)


def names_of(paths: Iterable[str]) -> list[str]:
    """Base names, made unique by a number."""
    taken: dict[str, None] = {}
    names: list[str] = []
    for path in paths:
        name = base = os.path.basename(path) or "root"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken[name.casefold()] = None
        names.append(name)
    return names


def walk(
    root: Root, recursive: bool = True, outputs: Outputs | None = None, visited: Visited | None = None
) -> Iterator[Folder]:
    """Yield every folder below a root, depth first and sorted by name, then those that links lead to.

    Parameters
    ----------
    visited
        Shared by the walks of one crawl over several roots.
    """
    outputs, visited = outputs or Outputs(), visited or Visited([root])
    if root.is_file:
        found = look(root.path)
        yield Folder(root, "", ((os.path.basename(root.path), found.size, found.mark),))
        return
    stack = [("", root.path, False)]  # name below the root, real path, whether a link leads there
    links: deque[tuple[str, str, bool]] = deque()
    while stack or links:
        path, real, linked = stack.pop() if stack else links.popleft()
        if path and (outputs.hides(real) or (linked and not visited.is_first(Folder(root, path, ()).key, real))):
            continue
        folder, children = _scan(root, path, real, outputs)
        yield folder
        if not recursive:
            continue
        below = [(os.path.join(path, name), os.path.join(real, name), is_link) for name, is_link in children]
        stack += [(child, there, linked) for child, there, is_link in reversed(below) if not is_link]
        links += [(child, os.path.realpath(there), True) for child, there, is_link in below if is_link]


def listing(root: Root, path: str, outputs: Outputs | None = None) -> Folder:
    """One folder as it is now."""
    if root.is_file:
        return next(walk(root))
    real = _real(os.path.join(root.path, path)) if path else root.path
    return _scan(root, path, real, outputs or Outputs())[0]


def _scan(root: Root, path: str, real: str, outputs: Outputs) -> tuple[Folder, list[tuple[str, bool]]]:
    """List one folder: its files, and its subfolders as (name, is a link)."""
    if is_remote(real):
        return _scan_remote(root, path, real, outputs)
    entries: list[Entry] = []
    faults: list[tuple[str, Outcome]] = []
    children: list[tuple[str, bool]] = []
    ours = outputs.files.get(real) is not None
    try:
        with os.scandir(real) as found:
            for entry in found:
                name = entry.name
                try:
                    if entry.is_dir():
                        children.append((name, entry.is_symlink()))
                        continue
                    info = entry.stat()
                except OSError as error:
                    faults.append((name, _fault(entry, error)))
                    continue
                if ours and outputs.has(real, name):
                    continue
                if stat.S_ISREG(info.st_mode):
                    entries.append((name, info.st_size, info.st_mtime_ns))
                else:
                    faults.append((name, Outcome("skipped", "", "not a regular file", "a device, a socket or a pipe")))
    except OSError as error:
        why = error.strerror or type(error).__name__
        faults.append(("", Outcome("failed", "find", "folder cannot be read", why)))
    entries.sort()
    faults.sort(key=lambda fault: fault[0])
    children.sort(key=lambda child: root.shown(child[0]))  # the order of rows must not tell that of true names
    return Folder(root, path, tuple(entries), tuple(faults), tuple(name for name, _ in children)), children


def _scan_remote(root: Root, path: str, real: str, outputs: Outputs) -> tuple[Folder, list[tuple[str, bool]]]:
    try:
        entries, faults, folders = list_remote(real)
    except OSError as error:
        why = error.strerror or type(error).__name__
        return Folder(root, path, (), (("", Outcome("failed", "find", "folder cannot be read", why)),)), []
    mine = tuple(entry for entry in entries if not outputs.has(real, entry[0]))
    return Folder(root, path, mine, tuple(faults), tuple(folders)), [(name, False) for name in folders]


def _fault(entry: os.DirEntry[str], error: OSError) -> Outcome:
    if entry.is_symlink():
        return Outcome("failed", "find", "broken symbolic link", "its target does not exist")
    return Outcome("failed", "find", "cannot be read", error.strerror or type(error).__name__)

"""What lies in the input, by its listings alone, with an even sample of its files: the first half of a pre-flight.

It opens no file but some archives, and writes nothing but members of these, to a temporary folder. The sample depends
on the listing only: the same tree gives the same sample.
"""

from __future__ import annotations

import os
import posixpath
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from crawler.config.loader import Config
from crawler.dryrun.contained import ContainedReader
from crawler.engine.own_outputs import own_outputs
from crawler.model import File
from crawler.sources.directory import Entry, Folder, Outputs, Root, Visited, listing, walk

T = TypeVar("T")

SAMPLE = 512  # files: a share of one in a hundred is then known to within half of itself
OPENED = 16  # archives that are looked into, the first ones met
OPENED_BYTES = 256 * 10**6  # their size together: a compressed tar must be read to its end to list it
SPOOLED = 10**9  # temporary copies of the members of one


class EvenSample(Generic[T]):
    """An even sample of a stream of unknown length: every item, or every 2nd, 4th, 8th ... once there are too many."""

    def __init__(self, limit: int) -> None:
        self.items: list[T] = []
        self._limit = limit
        self._step, self._seen = 1, 0

    def add(self, item: T) -> None:
        """Take the next item, or pass over it."""
        if self._seen % self._step == 0:
            if len(self.items) == self._limit:
                self.items = self.items[::2]
                self._step *= 2
            if self._seen % self._step == 0:
                self.items.append(item)
        self._seen += 1


@dataclass(slots=True)
class Archives:
    """What is known of the archives met.

    Attributes
    ----------
    count, size
        All of them, and their bytes.
    opened, opened_size
        Those that were looked into.
    members, members_size, faults
        Files in these, their inflated bytes, and entries that are no files.
    refused
        Reason -> opened archives that are refused or read in part.
    """

    count: int = 0
    size: int = 0
    opened: int = 0
    opened_size: int = 0
    members: int = 0
    members_size: int = 0
    faults: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def scale(self) -> float:
        """How many times the opened archives all archives are, by their bytes."""
        return self.size / self.opened_size if self.opened_size else 1.0


@dataclass(slots=True)
class Survey:
    """What the walk saw.

    Attributes
    ----------
    files, size
        Regular files and their bytes, archives among them.
    faults
        Entries that are no regular file or cannot be listed.
    folders
        Folders that hold files or faults.
    sample
        Files and members of archives, archives themselves left out: all of them when they are few, else between half
        of `SAMPLE` and all of it.
    seconds
        What the walk took.
    """

    roots: Sequence[Root]
    outputs: Outputs
    files: int = 0
    size: int = 0
    faults: int = 0
    folders: int = 0
    archives: Archives = field(default_factory=Archives)
    sample: list[File] = field(default_factory=list)
    seconds: float = 0.0
    _members: dict[tuple[str, str], list[File]] = field(default_factory=dict)

    @property
    def expected_files(self) -> float:
        """Files to be read, with members of archives, those that were not opened included."""
        return self.files - self.archives.count + self.archives.members * self.archives.scale

    @property
    def expected_size(self) -> float:
        """Bytes of these, inflated."""
        return self.size - self.archives.size + self.archives.members_size * self.archives.scale

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is."""
        return self.archives.opened == self.archives.count and len(self.sample) == self.expected_files

    def neighbours(self, file: File) -> list[File]:
        """The files of a file's folder, or of its folder in an archive, itself among them, by name."""
        if file.member is not None:
            return self._members[_archive_folder(file)]
        root = next(root for root in self.roots if (root.prefix, _base(root)) == (file.prefix, file.root))
        found = listing(root, os.path.dirname(file.path), self.outputs).files()
        return [one for one in found if not root.is_container(one.name)]

    def some_folders(self) -> Iterator[list[File]]:
        """Whole folders of sampled files, each once, in an order whose every beginning is spread over the input."""
        places = list({os.path.dirname(file.mirror): file for file in self.sample}.values())
        for number in _spread_order(len(places)):
            yield self.neighbours(places[number])

    def open_archive(self, file: File, spool: str, workers: ContainedReader) -> Sequence[File]:
        """Look into an archive when there is room for one more; return its members."""
        known = self.archives
        known.count += 1
        known.size += file.size
        if known.opened == OPENED or known.opened_size + file.size > OPENED_BYTES:
            return ()
        expanded = workers.expand(file, spool)
        known.opened += 1
        known.opened_size += file.size
        known.members += len(expanded.members)
        known.members_size += sum(member.size for member in expanded.members)
        known.faults += len(expanded.faults)
        if expanded.outcome.outcome == "failed":
            known.refused[expanded.outcome.reason] += 1
        for member in sorted(expanded.members, key=lambda member: member.mirror):
            self._members.setdefault(_archive_folder(member), []).append(member)
        return expanded.members


def survey(
    config: Config,
    roots: Sequence[Root],
    spool: str,
    workers: ContainedReader | None = None,
    each: Callable[[int, Folder], None] | None = None,
) -> Survey:
    """Walk the input as a run would, and list what is there.

    Parameters
    ----------
    spool
        An existing temporary folder, where members of some archives are copied; they are read from there later.
    workers
        Those that open archives; without any, they are opened here.
    each
        Told of every folder, with the number of its root.
    """
    workers = workers or ContainedReader(replace(config, num_workers=0), SPOOLED)
    began = time.monotonic()
    seen = Survey(roots, own_outputs(config))
    sample: EvenSample[File | tuple[Root, str, Entry]] = EvenSample(SAMPLE)  # no File for those passed over
    visited = Visited(roots)
    for number, root in enumerate(roots):
        for folder in walk(root, config.dicom.recursive, seen.outputs, visited):
            if each is not None:
                each(number, folder)
            seen.folders += bool(folder.count)
            seen.files += len(folder.entries)
            seen.size += folder.size
            seen.faults += len(folder.faults)
            for entry in folder.entries:
                if not root.is_container(entry[0]):
                    sample.add((root, folder.path, entry))
                    continue
                for member in seen.open_archive(_file(root, folder.path, entry), spool, workers):
                    sample.add(member)
    seen.sample = [item if isinstance(item, File) else _file(*item) for item in sample.items]
    seen.seconds = time.monotonic() - began
    return seen


def _file(root: Root, path: str, entry: Entry) -> File:
    return Folder(root, path, (entry,)).files()[0]


def _base(root: Root) -> str:
    return os.path.dirname(root.path) if root.is_file else root.path


def _archive_folder(member: File) -> tuple[str, str]:
    """The archive of a member, and the member's folder in it."""
    return os.path.join(member.prefix, member.path), posixpath.dirname(member.member or "")


def _spread_order(count: int) -> Iterator[int]:
    """0 to count - 1, coarse steps first: 0, 4, 2, 6, 1, 3, 5, 7 for 8."""
    step = 1 << max(0, count - 1).bit_length()
    yield from range(min(count, 1))
    while step > 1:
        yield from range(step // 2, count, step)
        step //= 2

"""A folder that goes through the pool in parts, however many files lie in it.

What the parent holds of a file is its entry in the listing and some 40 bytes of where its header is spooled and which
series it is of. `File`s, tasks and names of media are made when a task goes out.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar, overload

from crawler.engine.plan import FolderPlan, bundled, true_names
from crawler.export.tasks import IndexResult, IndexTask, ScanJob, ScanTask
from crawler.layout.scan import SeriesKey, scan_members
from crawler.ledger.database import FileRow
from crawler.ledger.series_index import Spooled
from crawler.model import Outcome
from crawler.naming import are_plain, media_stems, plain_stem, scan_digest

_UNREAD, _OUTSIDE = -1, -2
T = TypeVar("T")


class SpooledHeaders:
    """Of each file of a folder: its series and the place of its spooled header, or its outcome outside of scans."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.outcomes: dict[int, Outcome] = {}
        self._series = array("i", [_UNREAD]) * count
        self._keys: list[SeriesKey] = []
        self._numbers: dict[SeriesKey, int] = {}
        self._paths: list[str] = []
        self._path, self._start = array("i", [0]) * count, array("q", [0]) * count
        self._sizes = array("I", [0]) * (2 * count)  # below 4 GiB: headers and rows

    def take(self, start: int, result: IndexResult) -> None:
        """Keep the answer of an index task."""
        for number, entry in enumerate(result.entries, start):
            self.left -= self._series[number] == _UNREAD
            if isinstance(entry, Outcome):
                self._series[number] = _OUTSIDE
                self.outcomes[number] = entry
                continue
            key, place = SeriesKey(*entry[0]), entry[1]
            known = self._numbers.get(key)
            if known is None:
                known = self._numbers[key] = len(self._keys)
                self._keys.append(key)
            self._series[number] = known
            if not self._paths or self._paths[-1] != place.path:
                self._paths.append(place.path)
            self._path[number], self._start[number] = len(self._paths) - 1, place.start
            self._sizes[2 * number], self._sizes[2 * number + 1] = place.sizes

    def read(self) -> Sequence[int]:
        """Numbers of the files whose headers were read."""
        count = len(self._series)
        if not self.outcomes:
            return range(count)
        return array("q", (number for number in range(count) if self._series[number] >= 0))

    def key(self, number: int) -> SeriesKey:
        """What tells the series of a file."""
        return self._keys[self._series[number]]

    def place(self, number: int) -> Spooled:
        """Where a file's header is spooled."""
        sizes = self._sizes[2 * number], self._sizes[2 * number + 1]
        return Spooled(self._paths[self._path[number]], self._start[number], sizes)


class _Looked(Sequence[T]):
    """Something of each of these files, looked up when it is asked for."""

    def __init__(self, numbers: Sequence[int], look: Callable[[int], T]) -> None:
        self._numbers, self._look = numbers, look

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [*map(self._look, self._numbers[place])]
        return self._look(self._numbers[place])


class LargeFolder:
    """The state of one such folder.

    Attributes
    ----------
    scans
        Names of all its scans, once its headers are read.
    waiting
        Tasks whose answers are still to come; the list of tasks counts as one while it goes on.
    counted
        Files of the answers that came.
    """

    def __init__(self, plan: FolderPlan) -> None:
        self.plan = plan
        self.scans: list[str] = []
        self.waiting = self.counted = 0
        self._headers = SpooledHeaders(len(plan.files))

    def index_tasks(self) -> Iterator[tuple[int, IndexTask]]:
        """Tasks that read all headers, with the number of their first file."""
        return self.plan.index_tasks()

    def take(self, start: int, result: IndexResult) -> bool:
        """Keep an index task's answer; True when it was the last."""
        self._headers.take(start, result)
        return not self._headers.left

    def scan_tasks(self) -> Iterator[ScanTask]:
        """Group what was read: tasks that export each scan that changed, the largest first, tiny ones bundled."""
        self.waiting = 1
        stem = self._stems()  # before the groups: each takes some 50 bytes a file, and not at the same time
        plan, read = self.plan, self._headers.read()
        names = _Looked(read, self._name)
        keys = _Looked(read, self._headers.key)
        groups = scan_members(plan.key, names, keys, true_names(plan.files, read))
        self.scans = list(groups)
        sizes = {scan_id: sum(self._size(read[one]) for one in members) for scan_id, members in groups.items()}
        order = sorted(groups, key=lambda scan_id: -sizes[scan_id])
        numbers = ((scan_id, [read[member] for member in groups.pop(scan_id)]) for scan_id in order)
        for task in bundled(self._jobs(numbers, stem)):
            self.waiting += 1
            yield task
        self.waiting -= 1

    def _jobs(self, groups: Iterator[tuple[str, list[int]]], stem: Callable[[int], str]) -> Iterator[ScanJob]:
        plan = self.plan
        for scan_id, numbers in groups:
            files = tuple(plan.files[number] for number in numbers)
            stems = tuple(stem(number) for number in numbers)
            digest = scan_digest(files, stems)
            if plan.known.get(scan_id) == digest:
                continue
            earlier = plan.earlier.get(scan_id)
            earlier = earlier if earlier is not None and earlier.digest == digest else None
            spooled = tuple(self._headers.place(number) for number in numbers)
            yield ScanJob(scan_id, plan.folder.mirror, files, stems, spooled, plan.found, earlier)

    def _stems(self) -> Callable[[int], str]:
        """Names of the files' media by number: mostly the file's own, which nothing needs to be held for."""
        plan = self.plan
        numbers = range(len(plan.files))
        if are_plain(chain(map(self._name, numbers), plan.folder.others), plan.reserved):
            return lambda number: plain_stem(self._name(number))
        stems = media_stems([*map(self._name, numbers), *plan.folder.others], plan.reserved)
        return lambda number: stems[self._name(number)]

    def _name(self, number: int) -> str:
        if self.plan.is_listed:
            return self.plan.folder.entries[number][0]
        return os.path.basename(self.plan.files[number].mirror)

    def _size(self, number: int) -> int:
        return self.plan.folder.entries[number][1] if self.plan.is_listed else self.plan.files[number].size

    def ungrouped(self) -> list[FileRow]:
        """Files outside scans."""
        outcomes = sorted(self._headers.outcomes.items())
        rows = [self.plan.row(self.plan.files[number], outcome) for number, outcome in outcomes]
        return rows + self.plan.faults()

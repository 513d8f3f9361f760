"""The plan of shards: a file that names every folder and archive with its files, bytes and shard.

One walk makes it; each shard then lists its own folders only, and `merge.py` holds it against what was done. A folder
goes to one shard whole, the largest first, each to the shard that has the fewest bytes until then (Graham, SIAM J.
Appl. Math. 17:416, 1969): no shard has more than the mean and one folder. A plan that is made again while
shards are at work leaves every folder where it was.

The file is JSON lines: one for the whole, then one a folder as in `Unit`, in the order of the walk.
"""

from __future__ import annotations

import heapq
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from crawler.cluster.shards import HashShare, Shard, begun_shards, number_of, shards_dir
from crawler.config.loader import Config
from crawler.disk import make_folders
from crawler.engine.plan import archive_digest, archives_of, without_archives
from crawler.engine.privacy import with_public_names
from crawler.engine.share import Share
from crawler.errors import OutputError, StopError
from crawler.ledger.store import disk_error
from crawler.paths import native, portable
from crawler.privacy.policy import Policy
from crawler.sources.directory import Folder, Outputs, Root, Visited, listing, roots_of
from crawler.stores.access import is_absent

VERSION = 2
UNFINISHED = ".building"


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes to one shard whole: a folder without the archives in it, or an archive.

    Attributes
    ----------
    root
        Number of its input, from 0.
    path
        The folder, relative to it, as `paths.portable` writes it.
    archive
        Name of the archive in that folder; empty for the folder itself.
    key
        As `Folder.key` and `File.key` have it.
    files, size
        Files, and bytes. An archive counts as one file, whatever is in it.
    digest
        Of the listing, as the ledger keeps it; of the whole folder, also where it is shared.
    names
        With `dicom.group: tree`, where shards share a folder: the files of this one, as `paths.portable` writes them.
    """

    root: int
    path: str
    archive: str
    key: str
    files: int
    size: int
    digest: str
    names: Sequence[str] = ()
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The first line: what the plan is for, and what each shard has (by number, from 1)."""

    shards: int
    roots: list[str]
    recursive: bool
    group: str
    units: int
    files: list[int]
    sizes: list[int]
    largest: int
    version: int = VERSION

    @property
    def spread(self) -> float:
        """Bytes of the largest shard as a multiple of the mean."""
        total = sum(self.sizes)
        return max(self.sizes) * self.shards / total if total else 1.0


def plan_path(config: Config) -> str:
    """Where the plan of an output lies."""
    return os.path.join(shards_dir(config), "plan.jsonl")


def read_plan(config: Config) -> Plan | None:
    """What the plan says of the whole; None when there is none.

    Raises
    ------
    StopError
        It is damaged, of another version, or of another input.
    """
    path = plan_path(config)
    try:
        with open(path, "rb") as file:
            line = file.readline()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StopError(f"{portable(path)} cannot be read: {error.strerror}") from None
    try:
        plan = Plan(**orjson.loads(line))
    except (orjson.JSONDecodeError, TypeError):
        raise StopError(f"{portable(path)} is no plan of this version: make it anew with `plan`") from None
    wanted = ([portable(root) for root in config.roots], config.dicom.recursive, config.dicom.group)
    if (plan.roots, plan.recursive, plan.group) != wanted:
        raise StopError(f"{portable(path)} was made for another input, or another dicom.recursive or dicom.group")
    return plan


def planned_units(config: Config, number: int | None = None) -> Iterator[Unit]:
    """The units of a plan, or those of one shard."""
    with open(plan_path(config), "rb") as lines:
        next(lines)
        mark = None if number is None else b",%d]\n" % number
        for line in lines:
            if mark is None or line.endswith(mark):
                yield Unit(*orjson.loads(line))


class PlanWriter:
    """Takes the folders of one walk, then divides and writes them; memory for some 20 bytes a folder."""

    def __init__(self, config: Config, shards: int) -> None:
        self._config, self._shards = config, shards
        self._path = plan_path(config)
        self._sizes, self._files, self._fixed = array("q"), array("q"), array("q")
        self._series = array("q")
        self._before = self._assigned()
        make_folders(os.path.dirname(self._path))
        self._draft = open(self._path + UNFINISHED, "wb")  # noqa: SIM115 - open for the length of a walk

    def add(self, number: int, whole: Folder) -> None:
        """Take the next folder of the input of that number."""
        folder = without_archives(whole)
        path = portable(folder.path)
        if folder.count:
            self._add(Unit(number, path, "", folder.key, folder.count, folder.size, folder.digest()))
        for file in archives_of(whole) if folder is not whole else ():
            name = portable(os.path.basename(file.path))
            self._add(Unit(number, path, name, file.key, 1, file.size, archive_digest(file)))

    def add_shared(self, number: int, folder: Folder, series: Sequence[int]) -> None:
        """Take a folder of a tree: a line for each of the series that its files and faults are of, in this order."""
        places: dict[int, list[tuple[str, int]]] = {}
        named = [(name, size) for name, size, _ in folder.entries] + [(name, 0) for name, _ in folder.faults]
        for (name, size), one in zip(named, series, strict=True):
            places.setdefault(one, []).append((portable(name), size))
        path, digest = portable(folder.path), folder.digest()
        for one, files in places.items():
            names, size = [name for name, _ in files], sum(size for _, size in files)
            self._series.append(one)
            self._add(Unit(number, path, "", folder.key, len(files), size, digest, names))

    def write(self) -> Plan:
        """Divide what was taken, and put the plan in place.

        Raises
        ------
        OutputError
            The disk is full.
        """
        try:
            self._draft.close()
            shards = self._divided()
            files, sizes = [0] * self._shards, [0] * self._shards
            for unit, shard in enumerate(shards):
                files[shard - 1] += self._files[unit]
                sizes[shard - 1] += self._sizes[unit]
            dicom = self._config.dicom
            roots = [portable(root) for root in self._config.roots]
            largest = max(self._sizes, default=0)
            plan = Plan(self._shards, roots, dicom.recursive, dicom.group, len(shards), files, sizes, largest)
            with open(self._path + UNFINISHED, "rb") as draft, open(self._path + ".new", "wb") as target:
                target.write(json.dumps(asdict(plan)).encode() + b"\n")
                for line, shard in zip(draft, shards, strict=True):
                    target.write(line[:-2] + b",%d]\n" % shard)
                target.flush()
                os.fsync(target.fileno())
            os.replace(self._path + ".new", self._path)
            os.unlink(self._path + UNFINISHED)
        except OSError as error:
            raise disk_error(error, self._path) from None
        return plan

    def _divided(self) -> array[int]:
        """The shard of each line; those of one series have the same."""
        if not self._series:
            return divide(self._sizes, self._shards, self._fixed)
        sizes: dict[int, int] = {}
        for one, size in zip(self._series, self._sizes, strict=True):
            sizes[one] = sizes.get(one, 0) + size
        before = self._series_before()
        fixed = array("i", (before.get(str(one), 0) for one in sizes))
        divided = divide(array("q", sizes.values()), self._shards, fixed)
        taken: dict[int, int] = dict(zip(sizes, divided, strict=True))
        with open(self._series_path() + ".new", "wb") as file:
            file.write(orjson.dumps({**before, **{str(one): shard for one, shard in taken.items()}}))
        os.replace(self._series_path() + ".new", self._series_path())
        return array("i", (taken[one] for one in self._series))

    def _series_path(self) -> str:
        return os.path.join(os.path.dirname(self._path), "series.json")

    def _series_before(self) -> dict[str, int]:
        """Where series went before; empty as long as no shard has begun."""
        if not begun_shards(self._config):
            return {}
        try:
            with open(self._series_path(), "rb") as file:
                before: dict[str, int] = orjson.loads(file.read())
        except (OSError, orjson.JSONDecodeError):
            raise OutputError(f"{portable(self._series_path())} cannot be read: it says where series are") from None
        return before

    def _add(self, unit: Unit) -> None:
        self._sizes.append(unit.size)
        self._files.append(unit.files)
        self._fixed.append(self._before.get(_short(unit.key), 0))
        values = (unit.root, unit.path, unit.archive, unit.key, unit.files, unit.size, unit.digest, unit.names)
        try:
            self._draft.write(orjson.dumps(values) + b"\n")
        except OSError as error:
            raise disk_error(error, self._path) from None

    def _assigned(self) -> dict[int, int]:
        """Where the folders went before; empty as long as no shard has begun.

        Raises
        ------
        OutputError
            Shards of another number have begun.
        """
        begun = begun_shards(self._config)
        if not begun:
            return {}
        other = next((shard for shard in begun if shard.of != self._shards), None)
        if other is not None:
            raise OutputError(
                f"shard {other} has begun: this output is made in {other.of} shards; plan for as many, or choose"
                " another output.dir"
            )
        if read_plan(self._config) is None:
            raise OutputError("shards have begun without a plan, by a hash of each folder's name; go on without one")
        if self._config.dicom.group == "tree":
            return {}  # `_series_before` says where series are
        return {_short(unit.key): unit.shard for unit in planned_units(self._config)}


def _short(key: str) -> int:
    return number_of(key, 2**62)


def divide(sizes: array[int], shards: int, fixed: array[int] | None = None) -> array[int]:
    """The shard of each unit, from 1: the largest first, each to the shard with the fewest bytes, then fewest units.

    Parameters
    ----------
    fixed
        The shard that a unit has already; 0 for none.
    """
    given = array("i", fixed or [0] * len(sizes))
    load, count = [0] * (shards + 1), [0] * (shards + 1)
    for unit, shard in enumerate(given):
        load[shard] += sizes[unit]
        count[shard] += 1
    heap = [(load[shard], count[shard], shard) for shard in range(1, shards + 1)]
    heapq.heapify(heap)
    order = np.argsort(-np.frombuffer(sizes, np.int64), kind="stable") if len(sizes) else ()  # 8 bytes a unit
    for unit in map(int, order):
        if given[unit]:
            continue
        size, units, shard = heap[0]
        given[unit] = shard
        heapq.heapreplace(heap, (size + sizes[unit], units + 1, shard))
    return given


class PlannedShare(Share):
    """The folders that a plan gives to a shard; only these are listed."""

    whole = False

    def __init__(self, config: Config, shard: Shard) -> None:
        self._paths: dict[int, dict[str, None]] = {}
        self._keys: set[str] = set()
        for unit in planned_units(config, shard.number):
            self._paths.setdefault(unit.root, {})[native(unit.path)] = None
            self._keys.add(unit.key)

    def folders(self, number: int, root: Root, recursive: bool, outputs: Outputs, visited: Visited) -> Iterator[Folder]:
        """As `Share.folders`; a folder that is gone is passed over, and `merge` says that its files are."""
        for path in self._paths.get(number, ()):
            if root.is_file or not is_absent(os.path.join(root.path, path)):
                yield listing(root, path, outputs)

    def has(self, key: str) -> bool:
        """As `Share.has`."""
        return key in self._keys


class PlannedSeries(PlannedShare):
    """The series that a plan gives to a shard (`dicom.group: tree`): some files of many folders, and every root."""

    def __init__(self, config: Config, shard: Shard, policy: Policy | None = None) -> None:
        super().__init__(config, shard)
        self._names: dict[str, set[str]] = {}
        for unit in planned_units(config, shard.number):
            self._names.setdefault(unit.key, set()).update(unit.names)
        for number, root in enumerate(with_public_names(policy, roots_of(config.roots, config.dicom.readers))):
            self._paths[number] = {"": None} | self._paths.get(number, {})
            self._keys.add(Folder(root, "", ()).key)

    def narrow(self, folder: Folder) -> Folder:
        """As `Share.narrow`."""
        names = self._names.get(folder.key, set())
        entries = tuple(entry for entry in folder.entries if portable(entry[0]) in names)
        faults = tuple(fault for fault in folder.faults if portable(fault[0]) in names)
        others = tuple(name for name, _, _ in folder.entries if portable(name) not in names)
        return Folder(folder.root, folder.path, entries, faults, folder.children, others, folder.digest())


def share_of(config: Config, shard: Shard, policy: Policy | None = None) -> Share:
    """What a shard is for: by the plan, or by a hash where there is none.

    Raises
    ------
    StopError
        The plan is for another number of shards, or is needed and missing.
    """
    plan = read_plan(config)
    if plan is None:
        if config.dicom.group == "tree":
            raise StopError("dicom.group: tree needs a plan, which says what series lie where: make it with `plan`")
        return HashShare(shard)
    if plan.shards != shard.of:
        raise StopError(
            f"the plan is for {plan.shards} shards, not {shard.of}: run one of 1/{plan.shards} to"
            f" {plan.shards}/{plan.shards}, or plan again"
        )
    return PlannedSeries(config, shard, policy) if plan.group == "tree" else PlannedShare(config, shard)

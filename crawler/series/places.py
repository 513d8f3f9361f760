"""Where a series is read from: folders, files, globs, archives with a part named behind "?", addresses.

Finds files and opens none, but for the lists of archives. What the files hold is for others.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crawler.errors import SourceError
from crawler.model import File
from crawler.paths import readable
from crawler.series.errors import PlaceNotFound, UnknownInputError
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import Visited, roots_of, walk

FILE_SCHEME = "file:"


@dataclass(eq=False, slots=True)
class Found:
    """Files of one place.

    Attributes
    ----------
    files
        In order of their names.
    keep
        Temporary folders that must outlive the reading: they go with this object.
    notes
        What was found and cannot be used, as sentences.
    """

    files: list[File] = field(default_factory=list)
    keep: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class TemporaryFolder:
    """A folder that goes when nothing refers to this object any more, without a word."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="dme-series-")
        self.cleanup = weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


def find_files(places: Sequence[str | os.PathLike[str]]) -> Found:
    """Find the files of some places, each once.

    Parameters
    ----------
    places
        Folders, files, globs, archives (``file.zip``, ``file.tar.gz``), parts of archives (``file.zip?dir_a``,
        ``file.zip?*/time0[12]/*``), ``file:`` in front of any of them.

    Raises
    ------
    UnknownInputError
        A place does not exist, or a part of an archive names no member.
    """
    found = Found()
    for place in places:
        _add(found, os.fsdecode(place))
    seen: set[tuple[str, str | None]] = set()
    unique = []
    for file in found.files:
        if (file.native, file.member) not in seen:
            seen.add((file.native, file.member))
            unique.append(file)
    found.files = unique
    return found


def local_path(place: str) -> tuple[str, str]:
    """A place as a path on disk, and the part of an archive that it names ("" for none)."""
    path = place.strip() if place.strip().lower().startswith(FILE_SCHEME) else place
    if path.lower().startswith(FILE_SCHEME):
        path = path[len(FILE_SCHEME) :]
        if path.startswith("//"):
            path = path[2:]
    if "?" in path and not os.path.exists(path):
        front, _, part = path.partition("?")
        if is_archive(front):
            return os.path.expanduser(front), part
    return os.path.expanduser(path), ""


def _add(found: Found, place: str) -> None:
    path, part = local_path(place)
    paths = [path]
    if not os.path.exists(path):
        paths = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []
        if not paths:
            raise PlaceNotFound(f"{readable(path)} does not exist")
    roots = roots_of(paths)
    visited = Visited(roots)
    for root in roots:
        for folder in walk(root, True, visited=visited):
            for file in folder.files():
                if is_archive(file.name):
                    _add_members(found, file, part)
                else:
                    found.files.append(file)


def _add_members(found: Found, archive: File, part: str) -> None:
    spool = TemporaryFolder()
    expanded = expand(archive, spool.name)
    if expanded.outcome.outcome == "failed":
        found.notes.append(f"{archive.key}: {expanded.outcome.reason}")
    members = list(_named(expanded.members, part))
    if part and not members:
        raise UnknownInputError(f"{readable(archive.native)} has no member {part!r}")
    found.files += members
    if any(member.spooled for member in members):
        found.keep.append(spool)
    else:
        spool.cleanup()


def _named(members: Iterable[File], part: str) -> Iterable[File]:
    wanted = part.strip("/")
    if not wanted:
        return members
    return (one for one in members if one.member is not None and matches(one.member.strip("/"), wanted))


def matches(member: str, wanted: str) -> bool:
    """Whether a path inside an archive is what a pattern names, or lies below it."""
    parts = member.split("/")
    fronts = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return any(front == wanted or fnmatch.fnmatchcase(front, wanted) for front in fronts)


def place_name(places: Sequence[str | os.PathLike[str]]) -> str:
    """Places as messages name them."""
    names = [readable(os.fsdecode(place)) for place in places]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def require_places(data: Any) -> list[str]:
    """Places that were given as one path or as several.

    Raises
    ------
    SourceError
        None were given.
    """
    places = [data] if isinstance(data, (str, bytes, os.PathLike)) else list(data)
    if not places:
        raise SourceError("no place is given to read from")
    return [os.fsdecode(place) for place in places]

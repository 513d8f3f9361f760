"""A start by hand from Python: what the package offers beside the command.

`find` is made here, since a run has no use for it: it walks folder by folder, to keep account of each.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator

from crawler.model import File
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import Visited, roots_of, walk

log = logging.getLogger("dme")


def find(*paths: str | os.PathLike[str], recursive: bool = True) -> Iterator[File]:
    """Yield the regular files of folders, and in place of archives their members, in a fixed order.

    Parameters
    ----------
    *paths
        Folders or single files; the current folder when none is given. Of several, each file's `key` begins with the
        base name of its own.
    recursive
        Whether to look into subfolders.

    Yields
    ------
    File
        To be read at once when it is a member of a compressed tar: the copy that it is read from is gone when the
        iteration leaves the archive. An archive that is refused, or read in part, is a warning in the log "dme".

    Raises
    ------
    SourceError
        A path does not exist.
    """
    roots = roots_of(os.path.abspath(os.fsdecode(path)) for path in paths or (".",))
    visited = Visited(roots)
    for root in roots:
        for folder in walk(root, recursive, visited=visited):
            for file in folder.files():
                if is_archive(file.name):
                    yield from _members(file)
                else:
                    yield file


def _members(archive: File) -> Iterator[File]:
    with tempfile.TemporaryDirectory(prefix="dme-") as spool:
        expanded = expand(archive, spool)
        if expanded.outcome.outcome == "failed":
            log.warning("%s: %s, %s", archive.key, expanded.outcome.reason, expanded.outcome.detail)
        yield from expanded.members

"""A start by hand from Python: what the package offers beside the command.

A run has no use for what is made here: it walks folder by folder, to keep account of each, and writes what these load.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from crawler.errors import SourceError
from crawler.model import File
from crawler.paths import readable
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import Visited, roots_of, walk

if TYPE_CHECKING:
    from crawler.sources.volume import Volume

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


def load_volume(path: str | os.PathLike[str]) -> Volume:
    """Load one volume: a file that a run wrote, in any of its formats, or a folder of DICOM files of one volume.

    Parameters
    ----------
    path
        ``.h5``, ``.nii.gz``, ``.nii``, ``.npz``, ``.mha``, ``.mhd``, ``.mat``, and what an installed
        package reads; or a folder, an archive or a file of
        DICOM, whose volume is made as a run with a section `volume` makes it.

    Returns
    -------
    Volume
        array, axes, affine (index -> patient LPS, mm) and metadata.

    Raises
    ------
    SourceError
        The path does not exist, is damaged, or holds no volume or more than one: `iter_series` yields them all.
    """
    from crawler.sinks.reading import READERS, read_volume  # loads NumPy, which `find` does without
    from crawler.sources.readers import reader_of  # as above

    native = os.fsdecode(path)
    if native.lower().endswith(tuple(READERS)) or (os.path.isfile(native) and reader_of(native) is not None):
        return read_volume(native)
    volumes = list(islice(iter_series(native), 2))
    if len(volumes) != 1:
        many = "more than one volume: load them with crawler.iter_series" if volumes else "no volume"
        raise SourceError(f"{readable(native)} holds {many}")
    return volumes[0]


def iter_series(*paths: str | os.PathLike[str]) -> Iterator[Volume]:
    """Load the volumes of folders of DICOM files, one after the other, by series.

    Parameters
    ----------
    *paths
        Folders, archives or files of DICOM; the current folder when none is given. The files of a series may lie
        anywhere below them.

    Yields
    ------
    Volume
        `metadata` names ``SeriesInstanceUID``, ``scan_id`` and ``layout``, of which a series that forms no single array
        has several. Volumes are made on disk, in a temporary folder, before the first is loaded.

    Raises
    ------
    SourceError
        A path does not exist.
    """
    from crawler.config.loader import Config  # a run, which `find` does without
    from crawler.engine.run import run
    from crawler.sinks.reading import read_volume

    roots = [os.path.abspath(os.fsdecode(path)) for path in paths or (".",)]
    roots_of(roots)
    with tempfile.TemporaryDirectory(prefix="dme-") as folder:
        config = Config.from_mapping(
            {
                "num_workers": 0,
                "output": {"dir": folder, "report": False},
                "dicom": {"dir": roots, "group": "tree"},
                "volume": {},
            }
        )
        summary = run(config)
        if summary.failed:
            log.warning("%d files could not be read: %s", sum(summary.failed.values()), ", ".join(summary.failed))
        for place, _, names in sorted(os.walk(os.path.join(folder, "volumes"))):
            for name in sorted(names):
                yield read_volume(os.path.join(place, name))


def _members(archive: File) -> Iterator[File]:
    with tempfile.TemporaryDirectory(prefix="dme-") as spool:
        expanded = expand(archive, spool)
        if expanded.outcome.outcome == "failed":
            log.warning("%s: %s, %s", archive.key, expanded.outcome.reason, expanded.outcome.detail)
        yield from expanded.members

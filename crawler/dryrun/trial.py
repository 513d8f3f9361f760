"""A small run on a few files of the input, into a temporary folder: what the machine measures beats what it promises.

It is the engine itself at work, with workers that may die, so that a poison file ends no pre-flight. What it writes
lies in the system's folder for temporary files, and is gone when it returns.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crawler.config.loader import Config
from crawler.config.output import OutputSection
from crawler.config.sections import DicomSection
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.survey import Survey
from crawler.engine.progress import Silent
from crawler.engine.run import run
from crawler.model import File
from crawler.sinks.base import discard
from crawler.stores.address import is_remote

FILES = 128
BYTES = 32 * 10**6  # together these take some seconds, and no temporary folder is too small for what comes out
NEIGHBOURS = 8  # files in a row that are taken from one place, so that there are slices to stack


@dataclass(frozen=True, slots=True)
class Trial:
    """What the small run did: its input, the seconds that one worker took, bytes written, failures by reason."""

    files: int
    size: int
    seconds: float
    written: int
    failed: dict[str, int] = field(default_factory=dict)


def trial(config: Config, survey: Survey, workers: ContainedReader) -> Trial | None:
    """Run on a few files; None when there are none that are small enough.

    Raises
    ------
    StopError
        The run itself could not start: a package is missing, say.
    KeyboardInterrupt
        The user stopped it.
    """
    files = _some_files(survey)
    if not files:
        return None
    # Not in the input or the output, where it might stay behind.
    with tempfile.TemporaryDirectory(prefix="dme-dry-run-", ignore_cleanup_errors=True) as folder:
        source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
        files = _gather(files, source, workers)
        if not files:
            return None
        clock = _Clock()
        summary = run(_small(config, source, target), progress=clock)
        if summary.interrupted:
            raise KeyboardInterrupt
        size = sum(file.size for file in files)
        return Trial(len(files), size, clock.seconds, _bytes_below(target), dict(summary.failed))


def _some_files(survey: Survey) -> list[File]:
    """Runs of neighbouring files from places all over the input, within `FILES` and `BYTES`."""
    whole = survey.complete and len(survey.sample) <= FILES
    starts = survey.sample if whole else survey.sample[:: -(-len(survey.sample) // (FILES // NEIGHBOURS))]
    taken: dict[str, File] = {}
    left = BYTES
    for start in starts:
        share, spent = BYTES // len(starts), 0
        files = [start] if whole else survey.neighbours(start)
        first = next((i for i, file in enumerate(files) if file.key == start.key), len(files))
        for file in files[first : first + NEIGHBOURS]:
            if file.key in taken or file.size > left or (spent and spent + file.size > share):
                continue
            taken[file.key] = file
            spent += file.size
            left -= file.size
    return list(taken.values())


def _gather(files: Sequence[File], source: str, workers: ContainedReader) -> list[File]:
    """Lay the files out in folders as they lie in the input: as links, or as copies where there are none.

    Returns those that could be had: a member may be damaged.
    """
    folders: dict[str, str] = {}
    laid: list[File] = []
    copies: list[tuple[File, str]] = []
    for file in files:
        above, name = os.path.split(file.mirror)
        folder = folders.setdefault(above, os.path.join(source, str(len(folders))))
        os.makedirs(folder, exist_ok=True)
        target = os.path.join(folder, name)
        if file.member is None and not is_remote(file.root):
            try:
                os.symlink(file.native, target)
                laid.append(file)
                continue
            except OSError:  # Windows lets few users make links
                pass
        copies.append((file, target))
    for (file, target), outcome in zip(copies, workers.copy(*_columns(copies)), strict=True):
        if outcome is None:
            laid.append(file)
        else:
            discard(target)
    return laid


def _columns(copies: Sequence[tuple[File, str]]) -> tuple[list[File], list[str]]:
    return [file for file, _ in copies], [target for _, target in copies]


def _small(config: Config, source: str, target: str) -> Config:
    """The same outputs from and to other places, by one worker at most."""
    metadata, media, volume, preview = config.metadata, config.media, config.volume, config.preview
    return replace(
        config,
        num_workers=min(1, config.num_workers),
        output=OutputSection(target),
        dicom=DicomSection(source, True, config.dicom.group),
        config=None,
        metadata=replace(metadata, file="metadata.jsonl", append=True) if metadata else None,
        media=replace(media, dir="media") if media else None,
        volume=replace(volume, dir="volumes") if volume else None,
        preview=replace(preview, dir="previews") if preview else None,
    )


class _Clock(Silent):
    """Measures the work alone, without survey and tables."""

    def __init__(self) -> None:
        self._began = self._ended = 0.0

    @property
    def seconds(self) -> float:
        """From the first task to the last answer."""
        return self._ended - self._began

    def start(self, files: int, size: int) -> None:
        """The work begins."""
        self._began = self._ended = time.monotonic()

    def finish(self) -> None:
        """The last answer has come."""
        self._ended = time.monotonic()


def _bytes_below(folder: str) -> int:
    return sum(os.path.getsize(os.path.join(above, name)) for above, _, names in os.walk(folder) for name in names)

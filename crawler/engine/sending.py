"""Sending to a PACS: files, folders and members of archives, each with what became of it.

How one instance is stored is `crawler/pacs/`'s business. What is no DICOM instance is skipped, and said to be.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.files import open_file
from crawler.errors import FileError
from crawler.model import File
from crawler.pacs.send import Channel, Outgoing, Sent, outgoing, send_over
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import roots_of, walk


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not sent: no DICOM, a DICOMDIR, unreadable (`failed`), or an archive that cannot be opened."""

    name: str
    reason: str
    failed: bool = False


def survey(paths: Sequence[str]) -> tuple[int, int]:
    """Files and bytes of what is to be sent, an archive counted as one.

    Raises
    ------
    SourceError
        A path does not exist.
    """
    folders = [folder for root in roots_of(map(os.path.abspath, paths)) for folder in walk(root)]
    return sum(len(folder.entries) for folder in folders), sum(folder.size for folder in folders)


def send_paths(paths: Sequence[str], channels: Sequence[Channel], stop: threading.Event) -> Iterator[Sent | Skipped]:
    """Send all that lies in files, folders and archives, over as many associations as there are channels.

    Raises
    ------
    PacsError
        The server cannot be used as it is configured.
    SourceError
        A path does not exist.
    """
    for root in roots_of(map(os.path.abspath, paths)):
        for folder in walk(root):
            archives = [file for file in folder.files() if is_archive(file.name)]
            yield from _send(set(folder.files()) - set(archives), channels, stop)
            for archive in archives:
                yield from _send_archive(archive, channels, stop)


def _send_archive(archive: File, channels: Sequence[Channel], stop: threading.Event) -> Iterator[Sent | Skipped]:
    """An archive by itself: the copies that its members are read from live as long as this does."""
    with tempfile.TemporaryDirectory(prefix="dme-") as spool:
        expanded = expand(archive, spool)
        if expanded.outcome.outcome == "failed":
            yield Skipped(archive.key, f"{expanded.outcome.reason}: {expanded.outcome.detail}", failed=True)
        yield from _send(expanded.members, channels, stop)


def _send(files: Iterable[File], channels: Sequence[Channel], stop: threading.Event) -> Iterator[Sent | Skipped]:
    skipped: list[Skipped] = []
    for sent in send_over(_instances(files, skipped), channels, stop):
        yield from _taken(skipped)
        yield sent
    yield from _taken(skipped)


def _taken(skipped: list[Skipped]) -> Iterator[Skipped]:
    """Take all out, one by one: other threads may add meanwhile."""
    while skipped:
        yield skipped.pop(0)


def _instances(files: Iterable[File], skipped: list[Skipped]) -> Iterator[Outgoing]:
    for file in sorted(files, key=lambda file: file.key):
        try:
            with quiet_pydicom():
                instance = outgoing(file.key, lambda file=file: open_file(file))  # type: ignore[misc]
            yield instance
        except FileError as error:
            skipped.append(Skipped(file.key, str(error)))
        except OSError as error:
            skipped.append(Skipped(file.key, f"cannot be read: {error.strerror or type(error).__name__}", failed=True))

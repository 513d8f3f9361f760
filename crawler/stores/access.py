"""The door to bytes by path or address: open, look at, and tell whether something is there.

Nobody above needs to know where a path leads.
"""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple, cast

from crawler import disk
from crawler.stores.address import is_remote
from crawler.stores.remote import stores
from crawler.stores.stream import RemoteStream


class Found(NamedTuple):
    """What lies at a path. ``mark`` changes with the content: ns since the epoch, or made of an ETag."""

    is_folder: bool
    size: int
    mark: int


def look(path: str) -> Found:
    """Look at a path.

    Raises
    ------
    OSError
        Nothing is there (FileNotFoundError), or it cannot be told.
    """
    if is_remote(path):
        entry = stores.of(path).find(path)
        return Found(entry.is_folder, entry.size, entry.mark)
    info = os.stat(path)
    return Found(os.path.isdir(path), info.st_size, info.st_mtime_ns)


def is_there(path: str) -> bool:
    """Whether something lies at a path, a broken link included; False where it cannot be told."""
    if not is_remote(path):
        return os.path.lexists(path)
    try:
        look(path)
    except OSError:
        return False
    return True


def is_absent(path: str) -> bool:
    """Whether nothing lies at a path; False where it cannot be told, as `disk.is_absent` has it."""
    if not is_remote(path):
        return disk.is_absent(path)
    try:
        look(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def is_file(path: str) -> bool:
    """Whether a path is a regular file, links followed; False where it cannot be told."""
    if not is_remote(path):
        return os.path.isfile(path)
    try:
        return not look(path).is_folder
    except OSError:
        return False


def is_folder(path: str) -> bool:
    """Whether a path is a folder, links followed; False where it cannot be told."""
    if not is_remote(path):
        return os.path.isdir(path)
    try:
        return look(path).is_folder
    except OSError:
        return False


def is_empty(path: str) -> bool:
    """Whether a folder holds nothing.

    Raises
    ------
    OSError
        It cannot be listed.
    """
    if is_remote(path):
        return next(stores.of(path).entries(path), None) is None
    with os.scandir(path) as found:
        return next(found, None) is None


def open_path(path: str, buffering: int = -1) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    if is_remote(path):
        return open_remote(path, stores.of(path).find(path).size)
    return open(path, "rb", buffering=buffering)


def open_remote(address: str, size: int, start: int = 0, length: int | None = None) -> BinaryIO:
    """Open a remote file of known size, or a part of it; nothing is asked of the store for it."""
    return cast(BinaryIO, RemoteStream(stores.of(address), address, size, start, length))

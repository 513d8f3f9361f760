"""Files as the disk holds them: their fingerprint, the journal of what a worker puts in place, what reaches the disk.

It decides no name, opens no DICOM, and knows neither ledger nor configuration.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator

import xxhash

from crawler.paths import TEMP

_BLOCK = 1 << 18
_JOURNAL = ".published"  # ends the name of a process's journal

Published = tuple[str, str, int, str]
"""Kind, native path relative to the output folder, bytes, checksum."""


def fingerprint(path: str) -> tuple[int, str]:
    """Size in bytes and XXH3-128 (hexadecimal) of a file, read in blocks.

    It tells whether a file is still what was written, and is no defence against forgery: 20 GB/s, where BLAKE2b makes
    0.8, which was a seventh of the time of CT to HDF5.
    """
    checksum = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as source:
        while block := source.read(_BLOCK):
            checksum.update(block)
        return source.tell(), checksum.hexdigest()


def is_there(path: str) -> bool:
    """Whether something lies at a path, links not followed.

    Raises
    ------
    OSError
        It cannot be told: `os.path.exists` would say that nothing is there.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_as_recorded(path: str, size: int | None, checksum: str | None) -> bool:
    """Whether a regular file (no link) has the size and the checksum that were recorded of it.

    Raises
    ------
    OSError
        It is not there, or cannot be read.
    """
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode) or info.st_size != size:
        return False
    return fingerprint(path) == (size, checksum)


def journal_target(temp: str, final: str, kind: str, size: int, checksum: str) -> None:
    """Note in the journal of this process that a finished file is about to be renamed to `final`.

    A worker that is killed after the rename cannot tell of the file; the journal does. A file is identified by size and
    checksum, so a file of somebody else at the same place is never taken for ours. One append of one line costs some
    10 us. A folder that is not a run's own (``<root>/.dme-tmp/<output>/<run>``) has no journal.
    """
    above = os.path.dirname(os.path.dirname(temp))
    if os.path.basename(above) != TEMP:
        return
    path = os.path.relpath(final, os.path.dirname(above))
    line = json.dumps([kind, path, size, checksum]).encode() + b"\n"  # ASCII, also where a name is not UTF-8
    descriptor = os.open(os.path.join(temp, f"{os.getpid()}{_JOURNAL}"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def journaled_targets(temp: str) -> Iterator[Published]:
    """What the journals in one run's folder for unfinished files name; a line that was cut short is passed over."""
    try:
        names = sorted(name for name in os.listdir(temp) if name.endswith(_JOURNAL))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        with open(os.path.join(temp, name), "rb") as journal:
            for line in journal:
                if line.endswith(b"\n"):
                    kind, path, size, checksum = json.loads(line)
                    yield kind, path, size, checksum


def is_below(path: str, root: str) -> bool:
    """Whether a path lies below a folder once symbolic links are followed."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(os.path.join(top, ""))


def sync_folder(path: str) -> None:
    """Hand a folder's entries (a rename) to the disk; does nothing where folders cannot be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """What tells one start of the machine from the next; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""

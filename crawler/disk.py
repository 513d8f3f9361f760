"""Files as the disk holds them: their fingerprint, the journal of what a worker puts in place, what reaches the disk.

It decides no name, opens no DICOM, and knows neither ledger nor configuration.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator

import xxhash

from crawler.errors import OutputError
from crawler.paths import TEMP, portable, within

LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "ntfs3", "overlay")
_BLOCK = 1 << 18
LEFT = ".left"  # in a run's folder of unfinished files: something that was put in place is to be taken back
NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_ATTEMPTS = 8
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


def is_absent(path: str) -> bool:
    """Whether nothing lies at a path, links not followed; what cannot be looked at is not absent."""
    try:
        return not is_there(path)
    except OSError:
        return False


def is_folder(path: str) -> bool | None:
    """Whether a path is a folder, links followed; None when it cannot be told, where `os.path.isdir` would say no."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None


def make_folders(path: str) -> None:
    """Make a folder and those above it; one that is there is as good.

    Another shard may remove a folder that it left empty, at the moment in which one is made below it: then once more.

    Raises
    ------
    OSError
        It cannot be made.
    """
    for _ in range(_ATTEMPTS):
        try:
            os.makedirs(path, exist_ok=True)
        except FileNotFoundError:
            continue
        return
    os.makedirs(path, exist_ok=True)


def require_regular(path: str) -> None:
    """Refuse to write to what is no regular file: a FIFO would wait for a reader, a link leads elsewhere.

    Raises
    ------
    OutputError
        It is there, and is something else.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise OutputError(
            f"{portable(path)} is {what}: nothing is written there; move it away, or choose another place"
        )


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


def put_new(source: str, target: str) -> None:
    """Rename a file to where nothing lies.

    Raises
    ------
    FileExistsError
        Something does: it stays as it is, as the source does.
    OSError
        As of `os.rename`.
    """
    if os.name == "nt":
        os.rename(source, target)  # refuses by itself
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if is_there(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)  # as close as this file system comes to it
        return
    with contextlib.suppress(OSError):  # it is in place; its other name goes with the run's folder of unfinished files
        os.unlink(source)


def is_journaled(temp: str, final: str) -> bool:
    """Whether a file lies as a process of this run put it in place: one that may have died before it told."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(temp)))
    path = os.path.relpath(final, root)
    with contextlib.suppress(OSError):
        return any(
            is_as_recorded(final, size, checksum) for _, one, size, checksum in journaled_targets(temp) if one == path
        )
    return False


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


def delete_published(path: str, temp: str) -> None:
    """Delete a product that its worker put in place and takes back; one that cannot be is left to the engine."""
    try:
        os.unlink(path)
    except FileNotFoundError:  # two products of one name were put in place one after the other
        pass
    except OSError:
        with open(os.path.join(temp, LEFT), "ab"):  # the journal says which
            pass


def is_below(path: str, root: str) -> bool:
    """Whether a path lies below a folder once symbolic links are followed."""
    return within(os.path.realpath(path), os.path.realpath(root))


def put_private(path: str, content: bytes) -> None:
    """Write a file that only its owner reads, whole, in the place of an older one. Raises OSError."""
    scratch = f"{path}.part"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(scratch, path)


UMASKS = {"private": 0o077, "group": 0o027}


@contextlib.contextmanager
def created_as(mode: str) -> Iterator[None]:
    """Have files and folders made inside readable for those that `output.mode` names, in child processes, too."""
    umask = UMASKS.get(mode)
    if umask is None:
        yield
        return
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def is_local(path: str) -> bool:
    """Whether a folder lies on a disk of this machine, as Linux tells it; False where that is not known."""
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # proc(5)
            for line in mounts:
                fields, _, kind = line.partition(" - ")
                if fields.split()[2] == f"{os.major(device)}:{os.minor(device)}":
                    return kind.split()[0] in LOCAL
    except (OSError, IndexError):
        pass
    return False


def sync_file_systems(folders: Iterable[str]) -> None:
    """Hand all that was written to the file systems of folders to their disks: contents, names and folders.

    One call a file system (syncfs(2)) where a file and its folder would be two for each product.

    Raises
    ------
    OSError
        The disk reports an error.
    """
    devices: dict[int, str] = {}
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # nothing was put there yet
            devices[os.stat(folder).st_dev] = folder
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None
    if syncfs is None:
        if hasattr(os, "sync"):
            os.sync()
        return
    for folder in devices.values():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)
        finally:
            os.close(descriptor)


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

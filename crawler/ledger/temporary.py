"""The folders that hold a run's unfinished files: one for each output, below every output folder.

Two outputs may share a folder of media, and be written at once: each keeps to ``.dme-tmp/<name>``, whose name the
ledger holds. What a killed run left there is looked through before it is deleted: the journals in it name files that
were put in place and never recorded.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator

from crawler.disk import LEFT, Published, is_below, is_there, journaled_targets
from crawler.errors import OutputError
from crawler.ledger.database import Ledger
from crawler.paths import TEMP, portable

_OF_VERSION_1 = "main"  # every output's, then


def require_real(root: str) -> None:
    """Refuse a folder of unfinished files that is not one.

    Raises
    ------
    OutputError
        It is a symbolic link or a file: what lies behind it is not ours to delete.
    """
    path = os.path.join(root, TEMP)
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        raise OutputError(f"{portable(path)} is no folder but a link or a file; remove it: unfinished files go there")


def take_name(ledger: Ledger, roots: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """The name of this output's folders, and (root, name) of all that an earlier run of it may have left.

    An output that was moved took those along that lie below its ledger; one that was copied shares those elsewhere
    with its original, which may be at work: a ledger in a new place takes a new name and leaves these alone.
    """
    home = os.path.dirname(os.path.realpath(ledger.path))
    name, place = ledger.get("temporary", (_OF_VERSION_1, home))
    left = [(root, name) for root in roots if place == home or is_below(root, home)]
    if place != home or name == _OF_VERSION_1:
        name = secrets.token_hex(4)
        ledger.put("temporary", (name, home))
    return name, left


def folder(root: str, ledger: Ledger) -> str:
    """Path of this output's folder below an output folder."""
    return os.path.join(root, TEMP, ledger.get("temporary", (_OF_VERSION_1, ""))[0])


def published(root: str, name: str) -> Iterator[Published]:
    """What the journals of an output's runs name below one of its folders."""
    folder = os.path.join(root, TEMP, name)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for run in sorted(os.listdir(folder)):
            yield from journaled_targets(os.path.join(folder, run))


def some_left(root: str, name: str) -> bool:
    """Whether a run's worker left there what it should have deleted."""
    folder = os.path.join(root, TEMP, name)
    try:
        return any(is_there(os.path.join(folder, run, LEFT)) for run in os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False


def sweep(root: str, name: str) -> None:
    """Remove an output's unfinished files below one of its folders."""
    shutil.rmtree(os.path.join(root, TEMP, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(root, TEMP))

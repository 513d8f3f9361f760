"""Remote folders: the walk of an object store or a server, and what a folder's listing there is worth as a fingerprint.

As `directory.py` does for folders of this machine: it opens no file. An object store knows names and no folders, and a
name may be anything: one that would lead out of the output folder is a fault.
"""

from __future__ import annotations

import os

from crawler.model import Outcome
from crawler.stores.remote import stores

Listed = tuple[list[tuple[str, int, int]], list[tuple[str, Outcome]], list[str]]
"""Files as (name, size, mark), faults, and names of subfolders; each sorted."""

UNSAFE = ("", ".", "..")


def list_remote(address: str) -> Listed:
    """List one remote folder.

    Raises
    ------
    OSError
        It cannot be listed.
    """
    files: list[tuple[str, int, int]] = []
    faults: list[tuple[str, Outcome]] = []
    folders: list[str] = []
    for entry in stores.of(address).entries(address):
        name = entry.name
        if name in UNSAFE or "\0" in name or (os.sep != "/" and os.sep in name):
            text = "a name that no folder of this machine may have"
            faults.append(
                (name.replace("\0", "\\x00").replace("..", "%2E%2E") or "(no name)", _failed("unsafe name", text))
            )
        elif entry.is_folder:
            folders.append(name)
        elif entry.size < 0:
            faults.append((name, _failed("cannot be read", "the server does not tell its size")))
        else:
            files.append((name, entry.size, entry.mark))
    # An object and a "folder" of one name are two things in a store, and cannot be two in an output folder.
    both = {name for name, _, _ in files}.intersection(folders)
    for name in sorted(both):
        text = "an object has the name of a folder: rename one of them"
        faults.append((f"{name}/", _failed("unsafe name", text)))
    folders = sorted(set(folders) - both)
    files.sort()
    faults.sort(key=lambda fault: fault[0])
    return files, faults, folders


def _failed(reason: str, detail: str) -> Outcome:
    return Outcome("failed", "find", reason, detail)

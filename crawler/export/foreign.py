"""What lies in the output folders and is not ours: names that no output may take, folders that none may be put in.

A plan finds them out before a folder's first task (`engine/plan.py`); workers ask here. They are kept as texts,
``<section>/<path>`` (native, relative to the section's folder); one that ends in a slash names a whole folder. What is
ours is kept with them, marked: nothing else is written over, also when it was put there after the plan.
"""

from __future__ import annotations

import os

from crawler.model import Outcome

EXISTS = Outcome("skipped", "", "exists", "media.overwrite is false and the file is not ours")
UNUSABLE = Outcome("failed", "write", "output folder unusable", "it cannot be listed, or is a symbolic link")
ALL_OURS = "="  # whatever lies there and is not foreign may be written over


def ours(name: str) -> str:
    """The mark of what lies in an output folder and is ours, from its ``<section>/<path>``."""
    return ALL_OURS + name.casefold()  # of names that some file systems hold for one, none is foreign


def may_replace(found: frozenset[str], name: str, extension: str) -> bool:
    """Whether an output ``<section>/<path>``, given in two parts, may be written over what lies in its place."""
    return ALL_OURS in found or ours(name + extension) in found


def closed(name: str) -> str:
    """The text of a whole folder, from its ``<section>/<path>``."""
    return name + "/"


def foreign_outcome(found: frozenset[str], name: str) -> Outcome | None:
    """What becomes of an output ``<section>/<path>``; None when its place is free."""
    if not found:
        return None
    if name in found:
        return EXISTS
    folder = os.path.dirname(name)
    while folder:
        if closed(folder) in found:
            return UNUSABLE
        folder = os.path.dirname(folder)
    return None


def folder_outcome(found: frozenset[str], name: str) -> Outcome | None:
    """The same of a folder that is filled with files: one of somebody else anywhere in it is in the way."""
    outcome = foreign_outcome(found, f"{name}/one") or foreign_outcome(found, name)
    if outcome is None and any(one.startswith(f"{name}/") for one in found):
        return EXISTS
    return outcome

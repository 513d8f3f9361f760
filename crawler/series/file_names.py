"""Names of files that a target asks for: ``dir/Image.dcm``, ``dir/Image_{:05d}.dcm``, ``file.zip?dir/Image_%05d.dcm``.

Names that nobody asked for are the writers' own. Nothing is looked up on disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"%(0?\d*)d|\{(?::(0?\d*)d)?\}")
"""Where a number goes in a name: as C writes it, or as Python does."""


def split_name(url: str, endings: Sequence[str]) -> tuple[str, str]:
    """A target as a folder or archive, and a pattern of file names in it.

    Parameters
    ----------
    endings
        Of file names: what ends otherwise, and has no place for a number, is a folder.

    Returns
    -------
    target, pattern
        An empty pattern where only a folder or an archive is named.
    """
    front, mark, inside = url.partition("?")
    archive = front.lower().endswith(".zip")
    if mark and ".." in inside.replace("\\", "/").split("/"):
        raise ValueError("a name inside a target leads out of it")
    if mark and not archive:  # a folder, and names in it
        return front or ".", inside.lstrip("/")
    if archive and not mark:
        return url, ""
    head, name = os.path.split(inside if mark else url)
    if not (_NUMBER.search(name) or name.lower().endswith(tuple(endings))):
        return url, ""
    if mark:
        return (f"{front}?{head}" if head else front), name
    return head or ".", name


def numbered(pattern: str, number: int, count: int, extension: str) -> str:
    """The name of a file.

    Parameters
    ----------
    number, count
        Which of how many files it is. Several need a place for the number; without one it goes behind the name.
    extension
        Of the file, where the pattern has none.
    """
    name = pattern if pattern.lower().endswith(extension) else pattern + extension
    if _NUMBER.search(name) is None:
        base = name[: -len(extension)]
        return name if count == 1 else f"{base}_{number:05d}{extension}"
    return _NUMBER.sub(lambda found: f"{number:{found[1] or found[2] or ''}d}", name, count=1)

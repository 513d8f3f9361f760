"""What names tell: which files are archives, and which names inside an archive can be trusted.

It looks at texts alone and opens nothing.
"""

from __future__ import annotations

import re
from typing import Literal

from crawler.errors import FileError

Format = Literal["zip", "tar", "gz"]
"""How members are found: by a directory, in order, or as the only one."""

_SUFFIXES: dict[str, tuple[Format, str]] = {
    ".zip": ("zip", ""),
    ".tar": ("tar", ""),
    ".tar.gz": ("tar", "gz"),
    ".tgz": ("tar", "gz"),
    ".tar.bz2": ("tar", "bz2"),
    ".tbz2": ("tar", "bz2"),
    ".tar.xz": ("tar", "xz"),
    ".txz": ("tar", "xz"),
    ".tar.zst": ("tar", "zst"),
    ".tzst": ("tar", "zst"),
    ".dcm.gz": ("gz", "gz"),
}
_ENDINGS = tuple(_SUFFIXES)
_DRIVE = re.compile(r"[A-Za-z]:")


def archive_format(name: str) -> tuple[Format, str] | None:
    """Return the format of an archive and its outer compression ("" for none); None when the name is no archive's."""
    lower = name.lower()
    if not lower.endswith(_ENDINGS):  # asked of every name of a walk
        return None
    return next((found for suffix, found in _SUFFIXES.items() if lower.endswith(suffix)), None)


def member_name(raw: str) -> str:
    """Return a member's path without what says nothing in it (``./``, ``//``), as tar does on unpacking.

    What would lead out of the archive is refused and not mended: a name that was made to attack has no right meaning.

    Raises
    ------
    FileError
        "hostile member name".
    """
    if "\0" in raw:
        raise FileError("hostile member name", "it holds a NUL")
    if raw.startswith(("/", "\\")) or _DRIVE.match(raw):
        raise FileError("hostile member name", "it is absolute")
    if ".." in re.split(r"[/\\]", raw):
        raise FileError("hostile member name", "it leads out of the archive (..)")
    name = "/".join(part for part in raw.split("/") if part not in ("", "."))
    if not name:
        raise FileError("hostile member name", "it is empty")
    return name

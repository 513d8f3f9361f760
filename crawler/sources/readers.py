"""Formats that other packages read: entry points of the group ``dme.readers``, one function each.

An entry point is called by the ending of the files that it reads (``.xyz``); its function gets a path and returns a
`Volume`, an array of which no place is known, or pydicom data sets. Here such a function is found, called, and what it
returns is checked. What becomes of it is for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from crawler.errors import FileError, StopError
from crawler.sources.volume import Volume

GROUP = "dme.readers"
FOREIGN = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError, NameError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What a function of another package may raise for a file that it cannot use: all kinds but the system's own."""

Reader = Callable[[str], Any]


def ending_of(name: str) -> str:
    """The ending of the files that an entry point reads: its name, with a dot in front."""
    return name.lower() if name.startswith(".") else f".{name.lower()}"


def reader_of(name: str, wanted: Iterable[str] | None = None) -> tuple[str, Reader] | None:
    """What reads a file of a name: the format's name, and the function; None where nothing does.

    Parameters
    ----------
    wanted
        Endings of the formats that count; None for all that are installed.

    Raises
    ------
    StopError
        The package that registers the format cannot be loaded.
    """
    from importlib.metadata import entry_points  # 10 ms, and only for names that nothing else takes

    for entry in entry_points(group=GROUP):
        ending = ending_of(entry.name)
        if name.lower().endswith(ending) and (wanted is None or ending in wanted):
            return ending.strip("."), loaded(entry)
    return None


def loaded(entry: Any) -> Any:
    """The function of an entry point.

    Raises
    ------
    StopError
        It cannot be loaded.
    """
    try:
        return entry.load()
    except FOREIGN as error:
        raise StopError(
            f"the entry point {entry.name!r} ({entry.group}) cannot be loaded: {type(error).__name__} in {entry.value}"
        ) from error


def require_readers(endings: Sequence[str]) -> None:
    """Raise where a format is not installed.

    Raises
    ------
    StopError
        Names those that are.
    """
    if not endings:
        return
    from importlib.metadata import entry_points

    installed = {ending_of(entry.name): entry for entry in entry_points(group=GROUP)}
    for ending in endings:
        if ending not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise StopError(f"dicom.readers: no installed package reads {ending} (entry points {GROUP!r}: {known})")
        loaded(installed[ending])


def call_reader(reader: Reader, path: str) -> Volume | list[Any]:
    """Read a file: a volume, or pydicom data sets.

    Raises
    ------
    FileError
        The function raised, or returned something else.
    """
    try:
        found = reader(path)
        if isinstance(found, np.ndarray):
            found = Volume(found)
        if isinstance(found, Volume):
            return Volume(np.asarray(found.array), tuple(found.axes), found.affine, dict(found.metadata))
        if type(found).__name__ in ("Dataset", "FileDataset"):
            return [found]
        listed = list(found)
    except FOREIGN as error:
        raise FileError("not readable by its format", f"its reader raised {type(error).__name__}") from error
    if not listed or any(type(one).__name__ not in ("Dataset", "FileDataset") for one in listed):
        raise FileError("not readable by its format", "its reader returned neither a Volume nor data sets")
    return listed

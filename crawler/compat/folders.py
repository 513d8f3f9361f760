"""The folders that an output of `run_crawler.py` knows: how a list of them is written, and what each is called in it.

A folder is itself under every spelling of its path, and keeps the name of the first. It opens no file.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from crawler.errors import SourceError
from crawler.paths import portable

_ITEM = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\"|([^,'\"]+?))\s*(?:,|$)")
_PREFIX = 40  # characters of a folder's own name in the work folder: enough to know it by, far from any limit


def parse_folders(text: str) -> tuple[str, ...]:
    r"""Read a list of folders as a command line gives it.

    Parameters
    ----------
    text
        A Python or JSON list of strings, or paths with commas between them; quotes protect a comma. Backslashes
        stand for themselves unless the text is JSON: ``['C:\new']`` is a folder of Windows.

    Raises
    ------
    ValueError
        It is no such list, or an empty one.
    """
    text = text.strip()
    if os.path.isdir(text):
        return (text,)
    listed = text.startswith("[") and text.endswith("]")
    found = _literal(text) if listed else None
    if found is None:
        found = _split(text[1:-1] if listed else text)
    if not found or not all(isinstance(item, str) and item.strip() for item in found):
        raise ValueError("expected a list of folders, as \"['folder1','folder2']\"")
    return tuple(found)


def _literal(text: str) -> Any:
    """The list that a JSON or Python literal denotes; None when it is neither, or a backslash makes it doubtful."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return None if "\\" in text else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None  # quotes that a shell took away


def _split(text: str) -> list[str]:
    """Items between commas, with or without quotes; empty when there is something else."""
    items: list[str] = []
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            return []
        items.append(next(group for group in item.groups() if group is not None))
        place = item.end()
    return items


@dataclass(frozen=True, slots=True)
class InputFolder:
    """A folder that was given once.

    Attributes
    ----------
    number
        Its place in the order of first mention, from 1.
    label
        Its part of Scan IDs: the path as first given, with ``_`` for every separator.
    path
        Absolute real path, native.
    """

    number: int
    label: str
    path: str

    @property
    def prefix(self) -> str:
        """Its name in the work folder and in the log: short, unique, and one that a person knows it by."""
        name = os.path.basename(self.path)[:_PREFIX].rstrip(" .")
        return f"{self.number}-{name}" if name else str(self.number)


class InputFolders:
    """All folders that went into an output, in order of first mention."""

    def __init__(self, rows: Iterable[tuple[str, str]] = ()) -> None:
        self.known = [InputFolder(number, label, path) for number, (label, path) in enumerate(rows, start=1)]

    def rows(self) -> list[tuple[str, str]]:
        """What the constructor takes, for keeping."""
        return [(folder.label, folder.path) for folder in self.known]

    def take(self, given: str) -> InputFolder:
        """Look a folder up by any spelling of its path, or add it.

        Raises
        ------
        SourceError
            Its name is that of a known folder that is gone: which of the two is meant cannot be told.
        """
        path = os.path.realpath(given)
        for folder in self.known:
            if os.path.normcase(folder.path) == os.path.normcase(path):
                return folder
        label = label_of(given)
        owner = next((folder for folder in self.known if folder.label == label), None)
        if owner is not None and not os.path.isdir(owner.path):
            raise SourceError(
                f"{portable(given)} was {portable(owner.path)} before, which is gone: move it back, choose another"
                " --output_id, or make everything anew with --rebuild"
            )
        taken = {folder.label for folder in self.known}
        folder = InputFolder(len(self.known) + 1, _unique(label, taken), path)
        self.known.append(folder)
        return folder

    def of(self, file: str) -> tuple[InputFolder, str]:
        """Folder of a file that is named as in the rows (`File.key`), and its path below the folder."""
        prefix, _, rest = file.partition("/")
        return self.known[int(prefix.partition("-")[0]) - 1], rest


def label_of(path: str) -> str:
    """A path in one piece: ``storage/dicom_folder1`` is ``storage_dicom_folder1``."""
    return flat(portable(os.path.normpath(path)))


def flat(text: str) -> str:
    """Text without separators: HDF5 would make groups of them."""
    return text.replace("/", "_").replace("\\", "_")


def _unique(name: str, taken: Container[str]) -> str:
    """The name, with the first number from 2 that makes it unique."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found

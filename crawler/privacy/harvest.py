"""What the originals say of persons, places and orders: the texts that no output may hold.

It reads the input anew, header by header, so that it depends on nothing that a run has kept. Texts that are words of
the standard, or too short to mean anything, are counted and left out.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.dicom.dictionary_tables import registered_uids
from crawler.dicom.record import Record
from crawler.errors import FileError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.privacy.identity import IDENTIFYING
from crawler.privacy.text import is_vocabulary
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import Outputs, Root, walk

_LEAST_LETTERS, _LEAST_DIGITS = 4, 6
_LEAST_SIGNS = 2  # of scripts from the CJK radicals on, of which two make a name
_SIGNS = "\u2e80"
_UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")
_IDENTIFYING = frozenset(IDENTIFYING)


@dataclass
class Harvest:
    """Texts by kind, and what was left out.

    Attributes
    ----------
    texts
        Text -> kind: the keyword that it stood under, "uid" or "path".
    """

    texts: dict[str, str] = field(default_factory=dict)
    files: int = 0
    unread: int = 0
    short: set[str] = field(default_factory=set)

    def add(self, text: str, kind: str) -> None:
        """Take in a text, or count it among those that are no use to search."""
        text = text.strip()
        if not text:
            return
        if text.upper() == "DICOMDIR":  # PS3.10 8.6 has files named so
            return
        digits = text.isdigit()
        least = _LEAST_DIGITS if digits else _LEAST_SIGNS if min(text) >= _SIGNS else _LEAST_LETTERS
        if len(text) < least or (not digits and is_vocabulary(text)):
            self.short.add(text)
        else:
            self.texts.setdefault(text, kind)


def harvest(roots: Iterable[Root], recursive: bool, outputs: Outputs) -> Harvest:
    """Read all headers of an input, and what they say."""
    found = Harvest()
    with tempfile.TemporaryDirectory() as spool:
        for root in roots:
            for folder in walk(root, recursive, outputs):
                for part in folder.path.split(os.sep):
                    found.add(part, "path")
                for file in folder.files():
                    for one in _members(file, spool):
                        _read(one, found)
    return found


def _members(file: File, spool: str) -> Iterator[File]:
    if is_archive(os.path.basename(file.path)):
        yield from expand(file, spool).members
    else:
        yield file


def _read(file: File, found: Harvest) -> None:
    found.files += 1
    for part in os.path.splitext(file.true)[0].split(os.sep):
        found.add(part, "path")
    try:
        instance = read_instance(file)
    except FileError:
        found.unread += 1
        return
    _record(instance.record, found)


def _record(record: Record, found: Harvest) -> None:
    for key, value in record.items():
        kind = ""
        tag = tag_for(key)
        if key in _IDENTIFYING or (tag is not None and dictionary_vr(tag) == "PN"):
            kind = key
        _value(value, kind, found)


def _value(value: Any, kind: str, found: Harvest) -> None:
    if isinstance(value, list):
        for one in value:
            _value(one, kind, found)
    elif isinstance(value, dict):
        if "vr" not in value:
            _record(value, found)
    elif isinstance(value, str):
        if _UID.fullmatch(value):
            if value not in registered_uids():
                found.add(value, "uid")
        elif kind and not kind.endswith(("Date", "DateTime")):
            found.add(value, kind)
            if dictionary_vr(tag_for(kind) or 0) == "PN":
                for part in re.split(r"[\^=,\s]+", value):
                    found.add(part, kind)

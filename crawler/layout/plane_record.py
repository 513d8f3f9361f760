"""The record of one plane, flat: the elements of its data set, those inside sequences too, and of its functional group.

What an element of an enhanced object says of one frame stands in that frame's functional group or in the shared one
(PS3.3 C.7.6.16), and vendors keep much in sequences of their own. Says nothing of what an element means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.dicom.record import Record

MULTI_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in ("2.1", "2.2", "4.1", "4.3", "4.4", "128.1", "130", "6.2", "12.1.1", "12.2.1", "13.1.1", "13.1.2")
)
"""SOP classes (PS3.4 B.5) of enhanced objects, whose frames have functional groups."""

GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")

MOST_ELEMENTS = 4096
"""No more elements of one plane are looked at: a tree of sequences may hold any number."""

DEEPEST = 8
"""Levels of sequences that are looked at."""


def plane_record(record: Record, frame: int, keys: KeyStyle) -> Record:
    """Return the elements of a plane, each under the keys that lead to it, joined by bars.

    Parameters
    ----------
    record
        The whole record of its instance.
    frame
        From 0.
    keys
        Style of the record's keys.

    Returns
    -------
    dict
        Elements of the data set under their own keys. Those inside sequences as "SequenceKey|Key", with the number of
        the item from the second on ("SequenceKey[1]|Key"); those of functional groups without the key of the group, its
        own before the shared ones.
    """
    flat = {key: value for key, value in record.items() if not _is_sequence(value)}
    own, shared = (key_for(word, keys) for word in GROUPS)
    for key, number in ((own, frame), (shared, 0)):
        groups = record.get(key)
        if isinstance(groups, list) and _is_sequence(groups) and number < len(groups):
            _add(flat, _elements(groups[number], "", 0))
    for key, value in record.items():
        if key not in (own, shared) and _is_sequence(value):
            _add(flat, _elements({key: value}, "", 0))
    return flat


def last_key(path: str) -> str:
    """Key of the element that a path leads to."""
    return path.rpartition("|")[2]


def _add(flat: dict[str, Any], elements: Iterator[tuple[str, Any]]) -> None:
    for path, value in elements:
        if len(flat) >= MOST_ELEMENTS:
            return
        flat.setdefault(path, value)


def _elements(item: Record, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in item.items():
        if not _is_sequence(value):
            yield prefix + key, value
        elif depth < DEEPEST:
            for number, inner in enumerate(value):
                place = f"[{number}]" if number else ""
                yield from _elements(inner, f"{prefix}{key}{place}|", depth + 1)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)

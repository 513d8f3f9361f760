"""Scans: which files of a folder belong to one series, and what the scan is called.

Groups by SeriesInstanceUID alone and looks at no geometry (`layouts.py` does). A large folder is grouped from its keys,
without the instances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from crawler.model import Instance, Scan

HASH_DIGITS = 8

NUMBER_LIMIT = 10**12
"""(0020,0011) *Series Number* is an IS, 12 characters at most (PS3.5 6.2): a larger one only makes names too long."""


class SeriesKey(NamedTuple):
    """What grouping needs of an instance: (0020,000E) *Series Instance UID*, empty when absent, and *Series Number*."""

    uid: str
    number: int | None


def series_key(instance: Instance) -> SeriesKey:
    """Take the key from a header."""
    return SeriesKey(instance.series_uid, instance.series_number)


def scan_members(
    folder: str, names: Sequence[str], keys: Sequence[SeriesKey], order: Sequence[str] | None = None
) -> dict[str, list[int]]:
    """Group the files of one folder into scans.

    Parameters
    ----------
    folder
        `File.key` of the folder, without a slash at its end; "" for the root.
    names
        File names, unique within the folder.
    keys
        One a name.
    order
        True names, where `names` stand for them: files keep the order that they have without the section `privacy`,
        and scans are in the order of their own names.

    Returns
    -------
    dict
        scan_id -> indices into `names`, in order of the names; the scans in order of their first names. The order of
        the input does not matter. A file without UID is a scan of its own: strangers are never merged.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index in sorted(range(len(names)), key=(names if order is None else order).__getitem__):
        uid = keys[index].uid
        groups.setdefault((uid, "" if uid else names[index]), []).append(index)
    digests = {group: series_hash(*group) for group in groups}
    prefix = f"{folder}/" if folder else ""
    found = {
        f"{prefix}s{_number(keys[members[0]].number)}-{digest}": members
        for members, digest in zip(groups.values(), _shortened(list(digests.values())), strict=True)
    }
    return found if order is None else dict(sorted(found.items()))


def group_scans(instances: Sequence[Instance], folder: str) -> list[Scan]:
    """Group instances of one folder into scans, as `scan_members` does from keys.

    Returns
    -------
    list of Scan
        In order of their first file names; `Scan.instances` in order of file names.
    """
    names = [instance.file.name for instance in instances]
    members = scan_members(folder, names, [series_key(instance) for instance in instances])
    return [
        Scan(scan_id, instances[indices[0]].series_uid, tuple(instances[index] for index in indices))
        for scan_id, indices in members.items()
    ]


def series_hash(uid: str, name: str) -> str:
    """Hash of the UID, 32 hex digits; without one, of the file name after a separator that no UID holds."""
    text = uid or f"/{name}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _shortened(digests: Sequence[str]) -> list[str]:
    """Cut each digest to `HASH_DIGITS`, or to as many as tell it from the others."""
    lengths = dict.fromkeys(digests, HASH_DIGITS)
    ordered = sorted(lengths)
    for one, other in pairwise(ordered):
        common = next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        lengths[one] = max(lengths[one], common + 1)
        lengths[other] = max(lengths[other], common + 1)
    return [digest[: lengths[digest]] for digest in digests]


def _number(number: int | None) -> str:
    return "" if number is None or abs(number) >= NUMBER_LIMIT else str(number)

"""What the runs that are struck make, and which of their calls to strike: a few, one of each place, or all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

ALL: dict[str, Any] = {
    "metadata": {"tables": ["csv"]},
    "image": {"bits": 8},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5", "npz"]},
    "media": {"name": "{Modality}/{SOPInstanceUID}"},  # further names, in named/
    "preview": {"size": 64},
    "config": {"file": "copy.yml"},
}
MINE = {"media/mine.png": b"a picture of the user's", "notes.txt": b"notes of the user's"}


def struck(calls: Sequence[str], test: str, wanted: str) -> list[int]:
    """Numbers of calls to strike.

    Parameters
    ----------
    calls
        Each by its place.
    test
        What is tried: a share of another test is another one.
    wanted
        How many, spread over the places (over all calls when there are fewer places); "places" for the first of each
        place; "all".
    """
    if wanted == "all":
        return list(range(len(calls)))
    first = sorted({call: at for at, call in reversed(list(enumerate(calls)))}.values())
    if wanted == "places":
        return first
    share = int(wanted)
    if share >= len(calls):
        return list(range(len(calls)))
    if share <= len(first):
        return spread(first, share, test)
    return sorted(first + spread(sorted(set(range(len(calls))) - set(first)), share - len(first), test))


def spread(numbers: Sequence[int], share: int, test: str) -> list[int]:
    """Some of them, at equal distances; a test has its own."""
    begin = zlib.crc32(test.encode()) / 2**32
    return sorted({numbers[int((number + begin) * len(numbers) / share)] for number in range(share)})

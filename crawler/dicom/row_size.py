"""The size of a row is bounded: of a record that is longer, the longest values give way to what tells their length.

Sequences count here too, which have no bound of their own. Nothing of an ordinary record is touched, and nothing is
written here.
"""

from __future__ import annotations

from typing import Any

import orjson

from crawler.dicom.record import Record

MOST_BYTES = 1 << 25
"""Of a record as JSON. An enhanced object of 10,000 frames has some 20 MB; the parent holds the rows of a task."""


_WORTH = 1 << 10  # bytes of a value from which on it is longer than what replaces it


def record_bytes(record: Record, most: int = MOST_BYTES) -> tuple[bytes, tuple[str, ...]]:
    """Return a record as JSON of bounded size.

    Parameters
    ----------
    most
        Bytes.

    Returns
    -------
    bytes
        The longest values are replaced by objects with their number of items, their bytes as JSON, and the XXH3-128
        digest of those; where that is not enough, the last elements are left out.
    tuple of str
        What was done, one line a key or for all that is left out; empty for nearly every record.
    """
    whole = orjson.dumps(record)
    if len(whole) <= most:
        return whole, ()
    import xxhash  # few records are that long

    sizes = {key: len(key) + len(orjson.dumps(value)) + 4 for key, value in record.items()}
    left, notes = len(whole), []
    del whole
    shorter: dict[str, Any] = dict(record)
    for key in sorted(sizes, key=lambda key: -sizes[key]):
        if left <= most or sizes[key] < _WORTH:
            break
        value = record[key]
        content = orjson.dumps(value)
        shorter[key] = {
            "vr": "SQ" if isinstance(value, list) and value and isinstance(value[0], dict) else "UN",
            "items": len(value) if isinstance(value, list) else 1,
            "length": len(content),
            "xxh3_128": xxhash.xxh3_128_hexdigest(content),
            "error": "too long for a row",
        }
        left -= len(content) - len(orjson.dumps(shorter[key]))
        notes.append(f"{key}: {len(content):,} bytes as JSON, too long for a row")
    kept = len(shorter)
    while left > most and shorter:
        key, value = shorter.popitem()
        left -= len(key) + len(orjson.dumps(value)) + 4
    if len(shorter) < kept:
        notes.append(f"the last {kept - len(shorter):,} elements, too many for a row")
    return orjson.dumps(shorter), tuple(notes)

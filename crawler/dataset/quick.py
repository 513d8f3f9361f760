"""The quick reader: header bytes to record, for files as they ought to be, which nearly all are.

The first file of a series is walked through element by element (`walker.py`). The next ones mostly differ from it in a
few values, and are read by what the first one left (`mould.py`). What is not as it ought to be, legal or not, goes to
the careful way, `elements.walk` and `record.make_record`. Where this reader does answer it gives the same record;
`tests/test_fast_header.py` holds it to that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import BinaryIO

from crawler.archives.streams import BLOCK
from crawler.dataset.dictionary import KeyStyle
from crawler.dataset.mould import Mould, Unlike
from crawler.dataset.plans import Doubt
from crawler.dataset.walker import Header, Walker

_SERIES = b"\x20\0\x0e\0"  # (0020,000E) Series Instance UID
_LONGEST_UID = 64  # bytes, PS3.5 9.1
# Series that lie mixed in one folder. A mould has some 0.1 MB.
_MOST = 32
# Bytes of a header that leaves a mould, without long binary values: those of enhanced objects, one a series, have some
# megabytes, which no next file needs.
_LARGEST = 1 << 18


def read_quickly(stream: BinaryIO, size: int, keys: KeyStyle = "keyword") -> Header | None:
    """Read a header.

    Parameters
    ----------
    stream
        Seekable, at its start; left anywhere.
    size
        Bytes in the stream.
    keys
        Style of the record's keys.

    Returns
    -------
    Header or None
        None for a file that the careful way has to read. Values in the record that are lists or objects may be shared
        with the records of other files.
    """
    try:
        block = stream.read(BLOCK)
        series, moulds = series_of(block), _moulds_of(keys)
        mould = moulds.get(series)
        if mould is not None:
            try:
                return mould.read(Walker(stream, size, keys), block)
            except Unlike:
                del moulds[series]
        walker = Walker(stream, size, keys)
        header = walker.walk(block)
        if series and walker.held <= _LARGEST:
            if len(moulds) >= _MOST:
                del moulds[next(iter(moulds))]  # the oldest
            moulds[series] = Mould(walker, header)
        return header
    except (Doubt, OSError):  # a compressed file may be damaged behind its header: blocks reach further than elements
        return None


def series_of(block: bytes) -> bytes:
    """Return what tells the series of a file: the bytes of what looks like its UID; empty for none.

    They decide which mould is tried. One that was made from another series may be tried in vain, and gives no wrong
    answer.
    """
    start = block.find(_SERIES)
    explicit = block.startswith(b"UI", start + 4)
    count = int.from_bytes(block[start + (6 if explicit else 4) : start + 8], "little")
    return block[start + 8 : start + 8 + count] if start > 0 and count <= _LONGEST_UID else b""


@lru_cache
def _moulds_of(keys: KeyStyle) -> dict[bytes, Mould]:
    """The moulds of this process for a style of keys, by series."""
    return {}

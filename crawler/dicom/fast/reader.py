"""The fast reader: header bytes to record, for well-formed files, which nearly all are.

The first file of a series is walked through element by element (`walker.py`). The next ones mostly differ from it in a
few values, and are read by what the first one left (`header_template.py`). Where every file is a series of its own, as
of radiographs, the template of an earlier series is tried. What is unusual, legal or not, is left to the full
reader, `elements.walk` and `record.make_record`. Where this reader does answer it gives the same record;
`tests/dicom/test_fast_header.py` holds it to that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import BinaryIO

from crawler.archives.streams import BLOCK, read_block
from crawler.dicom.dictionary import KeyStyle
from crawler.dicom.fast.conversions import UnusualHeader
from crawler.dicom.fast.header import Header
from crawler.dicom.fast.header_template import HeaderTemplate, Mismatch
from crawler.dicom.fast.walker import Walker

_SERIES = b"\x20\0\x0e\0"  # (0020,000E) Series Instance UID
_LONGEST_UID = 64  # bytes, PS3.5 9.1
# Series that lie mixed in one folder. A template has some 0.1 MB.
_MOST = 32
# Bytes of a header that leaves a template, without long binary values: those of enhanced objects, one a series, have
# some megabytes, which no next file needs.
_LARGEST = 1 << 18
# Files in a row that were the first of their series, after which the next one is tried with the template of the last;
# and the most that are waited for when that was in vain, since a template that is used once costs as much as to walk.
_ALONE, _LONGEST_WAIT = 2, 1024


def read_fast(stream: BinaryIO, size: int, keys: KeyStyle = "keyword") -> Header | None:
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
        None for a file that the full reader has to read. Values in the record that are lists or objects may be shared
        with the records of other files.
    """
    try:
        block = read_block(stream, 1, BLOCK)
        series, cache = series_of(block), _template_cache(keys)
        template = cache.take(series)
        if template is not None:
            try:
                header = template.read(Walker(stream, size, keys), block)
            except Mismatch:
                cache.failed(series)
            else:
                cache.served(series)
                return header
        walker = Walker(stream, size, keys)
        header = walker.walk(block)
        if series and walker.held <= _LARGEST:
            cache.put(series, HeaderTemplate(walker, header))
        return header
    except (
        UnusualHeader,
        OSError,
    ):  # a compressed file may be damaged behind its header: blocks reach further than elements
        return None


def series_of(block: bytes) -> bytes:
    """Return what tells the series of a file: the bytes of what looks like its UID; empty for none.

    They decide which template is tried. One that was made from another series may be tried in vain, and gives no wrong
    answer.
    """
    start = block.find(_SERIES)
    explicit = block.startswith(b"UI", start + 4)
    count = int.from_bytes(block[start + (6 if explicit else 4) : start + 8], "little")
    return block[start + 8 : start + 8 + count] if start > 0 and count <= _LONGEST_UID else b""


class _TemplateCache:
    """The templates of this process for a style of keys, by series."""

    def __init__(self) -> None:
        self._templates: dict[bytes, HeaderTemplate] = {}
        self._alone = 0  # files in a row that were the first of their series; below 0 while a vain try is made up for
        self._wait = 1
        self._last: HeaderTemplate | None = None

    def take(self, series: bytes) -> HeaderTemplate | None:
        """The template of the series, or one that may do."""
        return self._templates.get(series) or (self._last if self._alone >= _ALONE else None)

    def served(self, series: bytes) -> None:
        """Note that what was taken did."""
        if series in self._templates:
            self._alone = 0
        else:
            self._wait = 1

    def failed(self, series: bytes) -> None:
        """Note that it did not."""
        if self._templates.pop(series, None) is None:
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            self._alone = -self._wait

    def put(self, series: bytes, template: HeaderTemplate) -> None:
        """Keep what the first file of a series left."""
        if len(self._templates) >= _MOST:
            del self._templates[next(iter(self._templates))]  # the oldest
        self._templates[series] = self._last = template
        self._alone += 1


@lru_cache
def _template_cache(keys: KeyStyle) -> _TemplateCache:
    return _TemplateCache()

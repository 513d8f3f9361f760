"""Where the frames of encapsulated pixel data lie (PS3.5 A.4): items told apart, and shared out to frames.

Headers of items only are read; what a fragment holds is for `codecs.py`. A table of offsets that contradicts the items
is not followed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from crawler.errors import PixelError
from crawler.model import Pixels

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # (FFFE,E000), (FFFE,E0DD): little endian, PS3.5 A.4


class Fragment(NamedTuple):
    """One item of encapsulated pixel data: where its value lies in the stream, and its declared length."""

    offset: int
    length: int


def frame_table(stream: BinaryIO, pixels: Pixels, size: int) -> list[list[Fragment]]:
    """Return the fragments of every frame of encapsulated pixel data (PS3.5 A.4), without reading them.

    One pass over the items' headers, so that any frame is then one seek away. The Extended Offset Table is not needed
    for that: with it every frame is a fragment of its own (PS3.3 C.7.6.3).

    Raises
    ------
    PixelError
        "damaged pixel data": the items cannot be told apart, or not shared out to the frames.
    """
    items = list(_items(stream, pixels.offset, size))
    if not items:
        raise PixelError("damaged pixel data", "the pixel data does not begin with an offset table")
    table, fragments = items[0], items[1:]
    if pixels.frames == 1 or not fragments:
        return [fragments] if fragments else []
    # The file ends inside of the pixel data: no delimiter, of 8 bytes, follows. The frames in front are whole.
    cut = fragments[-1].offset + fragments[-1].length + 8 > size
    offsets = _read_offsets(stream, table, size)
    groups = _by_offsets(offsets, fragments) if len(offsets) == pixels.frames else []
    if groups and (cut or len(groups) == pixels.frames):
        return groups
    if len(fragments) <= pixels.frames:
        return [[fragment] for fragment in fragments]
    groups = _by_end_markers(stream, fragments)
    if cut and groups:
        return groups
    if len(groups) < pixels.frames:
        raise PixelError(
            "damaged pixel data", f"{len(fragments)} fragments for {pixels.frames} frames, and no offset table"
        )
    return groups


def _items(stream: BinaryIO, start: int, size: int) -> Iterator[Fragment]:
    """Items up to the sequence delimiter, the stream's end, or the first bytes that are neither."""
    while start + 8 <= size:
        stream.seek(start)
        header = stream.read(8)
        if header[:4] == _SEQUENCE_END or header[:4] != _ITEM:
            return
        length = int.from_bytes(header[4:], "little")
        yield Fragment(start + 8, length)
        start += 8 + length


def _read_offsets(stream: BinaryIO, item: Fragment, size: int) -> list[int]:
    """Entries of the Basic Offset Table; none of them when the stream does not hold it."""
    if item.offset + item.length > size:
        return []
    stream.seek(item.offset)
    data = stream.read(item.length - item.length % 4)
    return [offset for (offset,) in struct.iter_unpack("<L", data)]


def _by_offsets(offsets: Sequence[int], fragments: Sequence[Fragment]) -> list[list[Fragment]]:
    """Frames by the Basic Offset Table, as far as there are fragments; none when an entry points at none of them."""
    origin = fragments[0].offset
    index = {fragment.offset - origin: number for number, fragment in enumerate(fragments)}
    held = [offset for offset in offsets if offset <= fragments[-1].offset - origin]
    if not held or held[0] != 0 or held != list(offsets[: len(held)]) or any(offset not in index for offset in held):
        return []
    bounds = [*(index[offset] for offset in held), len(fragments)]
    groups = [list(fragments[first:last]) for first, last in pairwise(bounds)]
    return groups if all(groups) else []


def _by_end_markers(stream: BinaryIO, fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    """Frames by the marker that ends a JPEG, JPEG-LS and JPEG 2000 stream, as pydicom finds them."""
    groups: list[list[Fragment]] = [[]]
    for fragment in fragments:
        groups[-1].append(fragment)
        tail = min(fragment.length, 10)
        stream.seek(fragment.offset + fragment.length - tail)
        if b"\xff\xd9" in stream.read(tail):
            groups.append([])
    return [group for group in groups if group]


def read_fragment(stream: BinaryIO, fragment: Fragment, size: int, number: int) -> bytes:
    """Read a fragment; its declared length is compared with the stream first, for `read` would allocate it.

    Parameters
    ----------
    size
        Bytes of the stream.
    number
        Of the frame, from 0, for the error.

    Raises
    ------
    PixelError
        "truncated pixel data".
    """
    held = size - fragment.offset
    if fragment.length > held:
        raise PixelError(
            "truncated pixel data", f"frame {number + 1} holds {max(held, 0):,} of {fragment.length:,} bytes"
        )
    stream.seek(fragment.offset)
    return stream.read(fragment.length)

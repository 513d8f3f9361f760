"""PNG of 8 and 16 bits, grey and RGB: every row as its difference from the one above, deflated by ISA-L.

Other kinds of pixels and all parameters are Pillow's business (`picture.py`). Nothing is written to disk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.sinks.deflate import deflated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2
"""Filter type of PNG (ISO/IEC 15948, 9.2): bytes minus those above; above the first row lie zeros."""
GREY, RGB = 0, 2
"""Colour types of PNG (ISO/IEC 15948, table 11.1)."""
CHUNK = 1 << 30
"""Bytes of one chunk of data; a chunk holds up to 2^31 - 1 (ISO/IEC 15948, 5.3)."""


def holds(pixels: npt.NDArray[Any]) -> bool:
    """Whether `encode` takes an array: it has pixels, of uint8 or, in grey, uint16."""
    grey = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    return pixels.size > 0 and (grey or (pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8))


def encode(pixels: npt.NDArray[Any]) -> bytes:
    """Encode a picture, without loss.

    Own code, since Pillow 13 is slow: a CT frame of 512 x 512 takes it 60 ms at 16 bits and 4.5 ms at 8, this 1.0 and
    0.11 ms, for 1 % less and 7 % more bytes; an ultrasound frame of 288 x 384 in RGB takes it 16 ms and this 0.6 ms,
    for 17 % more.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (rows, columns), or uint8, shape (rows, columns, 3); in any byte and memory order.

    Returns
    -------
    bytes
        A whole file. Equal pixels give equal bytes.
    """
    depth = 8 * pixels.dtype.itemsize
    rows, columns = pixels.shape[:2]
    lines = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(rows, -1)
    filtered = np.empty((rows, 1 + lines.shape[1]), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    data = memoryview(deflated(filtered))
    kind = GREY if pixels.ndim == 2 else RGB
    pieces = [SIGNATURE, *_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, 0))]
    for start in range(0, len(data), CHUNK):
        pieces += _chunk(b"IDAT", data[start : start + CHUNK])
    return b"".join([*pieces, *_chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Length, name, data and checksum (ISO/IEC 15948, 5.3)."""
    from isal import isal_zlib  # only runs that compress need it

    yield struct.pack(">I", len(data)) + name
    yield data
    yield struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(name)))  # zlib's takes 0.04 ms of a CT frame

"""The entries of a lookup table, whatever its descriptor says of them: how many, from which value on, of how many bits.

Descriptors (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5) contradict their data in many files; what the data themselves tell
is believed. What the entries stand for the callers say (`lut.py`, `palette.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crawler.dicom.dictionary import BINARY_VRS
from crawler.dicom.values import Value
from crawler.errors import PixelError

Array = npt.NDArray[Any]

_WORDS = frozenset({"OW", "SS", "US"})


class Entries(NamedTuple):
    """A lookup table as the file has it.

    Attributes
    ----------
    first
        The first value mapped.
    table
        uint16, shape (entries,).
    bits
        What the descriptor says an entry has; 16 where it says nothing possible.
    declared
        Entries that the descriptor announces; the table may be shorter.
    """

    first: int
    table: Array
    bits: int
    declared: int


def read_entries(descriptor: Value | None, data: Value | None, keyword: str, inputs: tuple[float, float]) -> Entries:
    """Read a descriptor (number of entries, first value mapped, bits) and its data.

    Parameters
    ----------
    keyword
        Of the data, for the error.
    inputs
        Least and greatest value that is looked up.

    Raises
    ------
    PixelError
        "damaged pixel data": the descriptor has no three numbers, or there are no entries.
    """
    try:
        if descriptor is None or data is None:
            raise ValueError
        count, first, bits = map(int, descriptor.numbers())
        count = count & 0xFFFF or 1 << 16
        table = _table(data, count, bits)
        if not table.size:
            raise ValueError
    except ValueError as error:
        raise PixelError("damaged pixel data", f"the descriptor of {keyword} does not fit it") from error
    return Entries(first_mapped(first, count, inputs), table, bits if 1 <= bits <= 16 else 16, count)


def first_mapped(written: int, count: int, inputs: tuple[float, float]) -> int:
    """Return the first value mapped, in the sign that is meant.

    Its VR is SS where values may be negative, else US (PS3.3 C.11.2.1.1); but writers choose either, and in implicit VR
    or without *Pixel Representation* readers have to guess. So the sign that has the table overlap the values more is
    taken, and where both do alike the one that is written. A table for values from -1 on is no table for values from
    65,535 on that are all positive: without negative values only a written sign makes one negative.
    """
    unsigned = written & 0xFFFF
    signed = unsigned - (1 << 16)
    if unsigned < 1 << 15 or (written > 0 and inputs[0] >= 0):
        return unsigned

    def overlap(first: int) -> float:
        return max(min(inputs[1], first + count - 1) - max(inputs[0], first) + 1, 0.0)

    of_signed, of_unsigned = overlap(signed), overlap(unsigned)
    if of_signed == of_unsigned:
        return written
    return signed if of_signed > of_unsigned else unsigned


def _table(data: Value, count: int, bits: int) -> Array:
    """Entries of 8 or 16 bits, as many as there are, `count` at most; unsigned whatever their VR (C.11.1.1)."""
    value, little = data.raw, data.little
    if data.vr not in BINARY_VRS | _WORDS:  # numbers of another size, or in text
        value, little = (np.array(data.numbers(), np.int64) & 0xFFFF).astype("<u2").tobytes(), True
    words = np.frombuffer(value[: len(value) // 2 * 2], "<u2" if little else ">u2")
    if len(value) >= 2 * count or not _are_bytes(len(value), words, count, bits):
        return words[:count].astype(np.uint16)
    if not little and data.vr in _WORDS:  # byte order applies to words, and pairs are swapped (PS3.5 7.3)
        value = words.astype("<u2").tobytes()
    return np.frombuffer(value, np.uint8)[:count].astype(np.uint16)


def _are_bytes(size: int, words: Array, count: int, bits: int) -> bool:
    """Whether data too short for words hold an entry in each byte (C.7.6.3.1.6), or are words that end early."""
    if size in (count, count + count % 2):
        return bits <= 8 or bits == 16  # 16 is what careless writers always say
    in_one_byte = bool((words <= 0xFF).all() or not (words & 0xFF).any())
    return bits <= 8 and not in_one_byte

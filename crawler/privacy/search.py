"""Search of bytes for many texts at once, in every encoding that an output may hold them in.

Texts are compared without case. It opens no file; `containers.py` says which bytes a file holds. Cost follows the
bytes, not the texts: all windows of four bytes are looked up in one table.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

Windows = npt.NDArray[np.uint32]

_WINDOW = 4
_BITS = 20
_FACTOR = np.uint32(2654435761)  # Knuth, TAOCP 6.4: multiplicative hashing by the golden ratio
_BLOCK = 8 << 20
_LEAST_BASE64 = 9  # bytes: fewer leave too little that does not depend on their neighbours


class Needles:
    """Texts to be found.

    Parameters
    ----------
    texts
        Of four bytes at least; shorter ones are left out, as they stand everywhere.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = [text for text in dict.fromkeys(texts) if len(text.encode("utf-8", "replace")) >= _WINDOW]
        self._by_window: dict[int, dict[int, dict[bytes, list[int]]]] = {}  # window, length, form -> numbers
        self._table = np.zeros(1 << _BITS, dtype=bool)
        self._longest = _WINDOW
        for number, text in enumerate(self.texts):
            for form in {form.lower() for form in encoded(text)}:
                if len(form) < _WINDOW:
                    continue
                window = int.from_bytes(form[:_WINDOW], "little")
                self._by_window.setdefault(window, {}).setdefault(len(form), {}).setdefault(form, []).append(number)
                self._longest = max(self._longest, len(form))
        windows = np.array(list(self._by_window) or [0], dtype=np.uint32)
        self._table[_hashed(windows)] = True

    def found_in(self, data: bytes) -> set[int]:
        """Numbers of the texts that stand in some bytes."""
        found: set[int] = set()
        for start in range(0, max(1, len(data)), _BLOCK):
            found |= self._block(data[start : start + _BLOCK + self._longest].lower())
        return found

    def _block(self, data: bytes) -> set[int]:
        if len(data) < _WINDOW or not self.texts:
            return set()
        signs = np.frombuffer(data, dtype=np.uint8).astype(np.uint32)
        windows: Windows = signs[:-3] | signs[1:-2] << 8 | signs[2:-1] << 16 | signs[3:] << 24  # type: ignore[assignment]
        found: set[int] = set()
        for place in np.flatnonzero(self._table[_hashed(windows)]).tolist():
            for length, forms in self._by_window.get(int(windows[place]), {}).items():
                numbers = forms.get(data[place : place + length], ())
                if numbers and not _is_part_of_number(data, place, place + length):
                    found.update(numbers)
        return found


def encoded(text: str) -> Iterator[bytes]:
    """The forms that a text may have in a file."""
    for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
        with contextlib.suppress(UnicodeEncodeError):
            yield text.encode(encoding)
    plain = text.encode("utf-8", "replace")
    yield quote(text).encode()
    yield json.dumps(text)[1:-1].encode()
    yield html.escape(text).encode()
    yield text.encode("ascii", "xmlcharrefreplace")
    yield plain.hex().encode()
    if len(plain) >= _LEAST_BASE64:
        for before in range(3):  # base64 depends on where in three bytes the text begins; its ends are cut off
            whole = base64.b64encode(b"\0" * before + plain)
            skip = (0, 2, 3)[before]
            end = len(whole) - (0, 3, 2)[(before + len(plain)) % 3] - (1 if (before + len(plain)) % 3 else 0)
            yield whole[skip:end].rstrip(b"=")


def _is_part_of_number(data: bytes, start: int, stop: int) -> bool:
    """Whether digits are a piece of a longer number."""
    if not data[start:stop].isdigit():
        return False
    return data[start - 1 : start].isdigit() or data[stop : stop + 1].isdigit() or data[start - 1 : start] == b"."


def _hashed(windows: Windows) -> Windows:
    return (windows * _FACTOR) >> np.uint32(32 - _BITS)

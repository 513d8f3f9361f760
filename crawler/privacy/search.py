"""Search of bytes for many texts at once, in every encoding that an output may hold them in.

Texts are compared without case. It opens no file; `containers.py` says which bytes a file holds. Cost follows the
bytes, not the texts: all windows of four bytes are looked up in one table.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

import numpy as np
import numpy.typing as npt

from crawler.privacy.text import folded

Windows = npt.NDArray[np.uint32]

_WINDOW = 4
_BITS = 22
_FACTOR = np.uint32(2654435761)  # Knuth, TAOCP 6.4: multiplicative hashing by the golden ratio
_BLOCK = 8 << 20
_LEAST_CLOSE = 6  # letters and digits of an identifier that is searched without its separators, or its zeros
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_NATIONAL = ("iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "cp1251", "shift_jis", "euc_kr", "gb18030", "euc_jp")
_TRANSLITERATED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"}
_FOR_ADDRESSES = bytes.maketrans(b"+/", b"-_")
_UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")
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
    for spelling in spellings(text):
        yield from _encoded(spelling)


def spellings(text: str) -> Iterator[str]:
    """The text in other cases, with accents apart or without, without separators, and numbers without leading zeros."""
    forms = [text, text.lower(), text.upper(), text.title()]
    if not text.isascii():
        forms += [unicodedata.normalize(form, one) for form in ("NFC", "NFD") for one in tuple(forms)]
        plain = folded(text)
        if plain.isascii() and len(plain) >= _WINDOW:
            forms.append(plain)
            forms.append("".join(_TRANSLITERATED.get(letter, letter) for letter in text.casefold()))
    close = "".join(filter(str.isalnum, text))
    if len(close) >= _LEAST_CLOSE and any(map(str.isdigit, close)) and not _UID.fullmatch(text):
        forms.append(close)
    if text.isdigit() and len(text.lstrip("0")) >= _LEAST_CLOSE:
        forms.append(text.lstrip("0"))
    yield from dict.fromkeys(forms)


def _encoded(text: str) -> Iterator[bytes]:
    for encoding in _ENCODINGS if text.isascii() else (*_ENCODINGS, *_NATIONAL):
        with contextlib.suppress(UnicodeEncodeError):
            yield text.encode(encoding)
    plain = text.encode("utf-8", "replace")
    yield quote(text).encode("ascii", "replace")
    yield quote(text, safe="").encode()
    yield quote_plus(text).encode()
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace")
    yield html.escape(text).encode("utf-8", "replace")
    yield html.escape(text, quote=False).encode("utf-8", "replace")
    yield text.encode("ascii", "xmlcharrefreplace")
    yield text.encode("ascii", "backslashreplace")
    yield plain.hex().encode()
    if len(plain) >= _LEAST_BASE64:
        for before in range(3):  # base64 depends on where in three bytes the text begins; its ends are cut off
            whole = base64.b64encode(b"\0" * before + plain)
            skip = (0, 2, 3)[before]
            end = len(whole) - (0, 3, 2)[(before + len(plain)) % 3] - (1 if (before + len(plain)) % 3 else 0)
            cut = whole[skip:end].rstrip(b"=")
            yield cut
            yield cut.translate(_FOR_ADDRESSES)


def _is_part_of_number(data: bytes, start: int, stop: int) -> bool:
    """Whether digits are a piece of a longer number, or a component of a UID; zeros before them are no other number."""
    if not data[start:stop].isdigit():
        return False
    if data[stop : stop + 1].isdigit():
        return True
    while data[start - 1 : start] == b"0":
        start -= 1
    before = data[max(0, start - 2) : start]
    return before[-1:].isdigit() or (before[-1:] == b"." and before[:1].isdigit())


def _hashed(windows: Windows) -> Windows:
    return (windows * _FACTOR) >> np.uint32(32 - _BITS)

"""Character sets: the terms of (0008,0005) *Specific Character Set* (PS3.3 C.12.1.1.2), and text decoded by them.

The table of terms is pydicom's (a test compares them, since its module imports all of pydicom) with Latin-9, which it
lacks. Code extensions (PS3.5 6.1.2.5, ISO/IEC 2022) are decoded here: pydicom leaves the escape sequences of GB 2312 in
the text, and puts U+FFFD in place of bytes that a set does not have.

Nothing is lost: text that its character set does not allow is read as UTF-8 where it is that, and otherwise kept as
Latin-1, which has one character for each byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

DEFAULT_ENCODING = "iso8859"  # Latin-1: the default repertoire, ISO IR 6, is a part of it

CODECS = {
    "": DEFAULT_ENCODING,
    "ISO_IR 6": DEFAULT_ENCODING,
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso_ir_126",
    "ISO_IR 127": "iso_ir_127",
    "ISO_IR 138": "iso_ir_138",
    "ISO_IR 144": "iso_ir_144",
    "ISO_IR 148": "iso_ir_148",
    "ISO_IR 166": "iso_ir_166",
    "ISO_IR 203": "iso8859_15",
    "ISO 2022 IR 6": "iso8859",
    "ISO 2022 IR 13": "shift_jis",
    "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 100": "latin_1",
    "ISO 2022 IR 101": "iso8859_2",
    "ISO 2022 IR 109": "iso8859_3",
    "ISO 2022 IR 110": "iso8859_4",
    "ISO 2022 IR 126": "iso_ir_126",
    "ISO 2022 IR 127": "iso_ir_127",
    "ISO 2022 IR 138": "iso_ir_138",
    "ISO 2022 IR 144": "iso_ir_144",
    "ISO 2022 IR 148": "iso_ir_148",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 159": "iso2022_jp_2",
    "ISO 2022 IR 166": "iso_ir_166",
    "ISO 2022 IR 203": "iso8859_15",
    "ISO 2022 IR 58": "iso_ir_58",
    "ISO_IR 192": "UTF8",
    "GB18030": "GB18030",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 58": "GB2312",
    "GBK": "GBK",
}
# They may not be combined with others.
STAND_ALONE = ("ISO_IR 192", "GBK", "GB18030")
_STAND_ALONE_CODECS = ("UTF8", "GBK", "GB18030")
# The parts of ISO/IEC 8859 that people write, by their numbers in ISO's register of code extensions.
_PARTS = {
    1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166, 15: 203,
}  # fmt: skip
_OTHER_TERMS = {"UTF8": "ISO_IR 192", "UNICODE": "ISO_IR 192", "ASCII": "ISO_IR 6", "USASCII": "ISO_IR 6",
                "LATIN1": "ISO_IR 100", "LATIN9": "ISO_IR 203"}  # fmt: skip
_TERM = re.compile(r"(?:ISO)?(2022)?(?:IR)?([0-9]{1,3})")
_PART = re.compile(r"(?:ISO)?8859([0-9]{1,2})")
_LATIN = frozenset({DEFAULT_ENCODING, "latin_1", "iso8859_2", "iso8859_3", "iso8859_4", "iso_ir_148", "iso8859_15"})

_WIDE = frozenset({"shift_jis", "euc_kr", "iso_ir_58", "GB2312", "gb2312", "iso2022_jp", "iso2022_jp_2"})

# Escape sequences (PS3.3 C.12.1.1.2, tables C.12-3 and C.12-4): what G0 or G1 holds behind them.
_G0 = {b"(B": "", b"(J": "", b"$B": "iso2022_jp", b"$@": "iso2022_jp", b"$(D": "iso2022_jp_2"}
_G1 = {
    b")I": "shift_jis", b"$)C": "euc_kr", b"$)A": "gb2312", b"-A": "latin_1", b"-B": "iso8859_2", b"-C": "iso8859_3",
    b"-D": "iso8859_4", b"-L": "iso_ir_144", b"-G": "iso_ir_127", b"-F": "iso_ir_126", b"-H": "iso_ir_138",
    b"-M": "iso_ir_148", b"-T": "iso_ir_166", b"-b": "iso8859_15",
}  # fmt: skip
_ESCAPES = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}  # with which Python's codecs begin
_RUNS = re.compile(rb"\x1b([\x20-\x2f]{0,3}[\x30-\x7e]?)|([\x00-\x1a\x1c-\x20])|([\x80-\xff]+)|([\x21-\x7f])")
_RESETS = b"\t\n\f\r"  # code extensions end with the line (PS3.5 6.1.2.5.3)
_NAME_RESETS = b"^="  # and in PN with the component
_WORD_OF_TWO_SCRIPTS = re.compile(r"[A-Za-z][^\W\x00-\x7f]|[^\W\x00-\x7f][A-Za-z]")

Tell = Callable[[str], None]
"""Takes what was unusual about a text."""


def untold(what: str) -> None:
    """Tells nobody."""


def names_of(value: bytes) -> list[str]:
    """Names in a (0008,0005) *Specific Character Set* as stored."""
    return [name.strip("\0 ") for name in value.decode("latin-1").split("\\")]


def standard_codecs(names: Sequence[str]) -> tuple[str, ...] | None:
    """Python codecs of character sets; None unless their names are the standard's and combined as it has it."""
    if any(name not in CODECS for name in names):
        return None
    if len(names) > 1 and any(name in STAND_ALONE for name in names):
        return None
    return tuple(CODECS[name] for name in names)


def codecs_of(value: bytes, tell: Tell = untold) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set as stored.

    Terms in lower case, with other blanks or signs, and the names that other standards use, are understood and told.
    """
    names = names_of(value)
    codecs = standard_codecs(names)
    if codecs is not None:
        return codecs
    terms = [name if name in CODECS else _nearest_term(name) for name in names]
    if unknown := sum(term is None for term in terms):
        tell(f"{unknown} of {len(terms)} terms are no character set")
    if any(term is not None and term != name for term, name in zip(terms, names, strict=True)):
        known = "\\".join(term or "" for term in terms)
        tell(f"read as {known}")
    known_terms = [term or "" for term in terms]
    alone = next((term for term in known_terms if term in STAND_ALONE), None)
    if alone is not None and len(terms) > 1:
        tell(f"{alone} is combined with others, and used alone")
        return (CODECS[alone],)
    return tuple(CODECS[term] for term in known_terms)


def _nearest_term(name: str) -> str | None:
    """The defined term that a name stands for; None when it stands for none."""
    plain = re.sub(r"[^A-Z0-9]", "", name.upper())
    if plain in _OTHER_TERMS:
        return _OTHER_TERMS[plain]
    if plain in CODECS:  # GBK, GB18030
        return plain
    if match := _PART.fullmatch(plain):
        return f"ISO_IR {_PARTS[int(match[1])]}" if int(match[1]) in _PARTS else None
    match = _TERM.fullmatch(plain)
    if match is None:
        return None
    for term in (f"ISO 2022 IR {match[2]}", f"ISO_IR {match[2]}")[:: 1 if match[1] else -1]:
        if term in CODECS:
            return term
    return None


def decode(value: bytes, encodings: Sequence[str], is_name: bool = False, tell: Tell = untold) -> str:
    """Return bytes as valid Unicode text, whatever they hold.

    Parameters
    ----------
    encodings
        Python codecs of (0008,0005) *Specific Character Set*, the first one first (PS3.3 C.12.1.1.2).
    is_name
        The VR is PN, whose components each begin with the first character set.
    tell
        Called where the text is not what its character set says.
    """
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    first = encodings[0]
    try:
        if b"\x1b" in value and first not in _STAND_ALONE_CODECS:
            text = _extended(value, first, is_name)
            if len(encodings) == 1 and first not in _WIDE:
                tell("escape sequences that the character set does not announce")
            return text
        if first == DEFAULT_ENCODING:
            raise UnicodeError  # its bytes have seven bits
        text = value.decode(first)
    except UnicodeError:
        return _guessed(value, encodings, tell)
    if is_utf8_instead(value, text, first):
        tell("UTF-8 in place of the declared character set")
        return value.decode("utf-8")
    return text


def is_utf8_instead(value: bytes, text: str, codec: str) -> bool:
    """Whether bytes beyond ASCII, which are `text` in a codec of one byte a character, are meant as UTF-8.

    Read as a Latin alphabet, UTF-8 is a sequence of accented capitals that are each followed by a control character or
    a sign, as in no language. In other alphabets such pairs are letters; there UTF-8 shows where they stand in a Latin
    word.
    """
    if codec in _STAND_ALONE_CODECS or codec in _WIDE:
        return False
    try:
        value.decode("utf-8")
    except UnicodeError:
        return False
    return codec in _LATIN or _WORD_OF_TWO_SCRIPTS.search(text) is not None


def _guessed(value: bytes, encodings: Sequence[str], tell: Tell) -> str:
    """Text that its character set does not allow: UTF-8, another declared set without its escapes, or Latin-1."""
    trials = [("utf-8", "UTF-8 in place of the declared character set")]
    trials += [(codec, "a declared character set without its escape sequence") for codec in encodings[1:]]
    if len(trials) > 1 and not _only_wide_characters(value):
        trials.append(trials.pop(0))  # two bytes of UTF-8 are a character of the East Asian sets, too
    for codec, what in trials if not value.isascii() else ():
        try:
            text = value.decode(codec)
        except UnicodeError:
            continue
        tell(what)
        return text
    tell("bytes that the character set does not have, kept as Latin-1, one character a byte")
    return value.decode("latin-1")


def _only_wide_characters(value: bytes) -> bool:
    """Whether bytes are UTF-8, and all that is not ASCII takes three bytes, as Chinese, Japanese and Korean do."""
    try:
        return all(character < "\x80" or character >= "\u0800" for character in value.decode("utf-8"))
    except UnicodeError:
        return False


def _extended(value: bytes, first: str, is_name: bool) -> str:
    """Text with code extensions; raises UnicodeError for what they do not allow."""
    g1_first = "" if first in ("iso2022_jp", "iso2022_jp_2") or first == DEFAULT_ENCODING else first
    g0, g1, parts = "", g1_first, []
    resets = _RESETS + (_NAME_RESETS if is_name else b"") + b"\\"
    wide = bytearray()  # of G0 with two bytes a character

    def flush() -> None:
        if wide:
            parts.append((_ESCAPES[g0] + bytes(wide)).decode(g0))
            wide.clear()

    for match in _RUNS.finditer(value):
        escape, control, high, low = match.groups()
        if low is not None and g0:
            wide.extend(low)
            continue
        flush()
        if escape is not None:
            if escape in _G0:
                g0 = _G0[escape]
            elif escape in _G1:
                g1 = _G1[escape]
            else:
                raise UnicodeError("an unknown escape sequence")
        elif high is not None:
            if not g1:
                raise UnicodeError("bytes of eight bits in a set of seven")
            parts.append(high.decode(g1))
        else:
            single = control if control is not None else low
            parts.append(single.decode("ascii"))
            if single in resets:
                # Some writers do not repeat the escape of a G1 set; without one in the first set, there is no doubt.
                g0, g1 = "", g1_first or g1
    flush()
    return "".join(parts)

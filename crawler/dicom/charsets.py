"""Specific Character Set (0008,0005): the names of the standard and their Python codecs (PS3.3 C.12.1.1.2).

The two tables are pydicom's, since its module of them imports all of pydicom; a test compares them. What is not in
them, and code extensions in a text, are left to pydicom's functions (`record.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

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
    "ISO 2022 IR 58": "iso_ir_58",
    "ISO_IR 192": "UTF8",
    "GB18030": "GB18030",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 58": "GB2312",
    "GBK": "GBK",
}
# They may not be combined with others.
STAND_ALONE = ("ISO_IR 192", "GBK", "GB18030")
# Bytes behind which a code extension ends: CR, LF, TAB, FF (PS3.5 6.1.2.5.3).
DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}


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

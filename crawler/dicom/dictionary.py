"""The data dictionary (PS3.6): what a tag is called and how its value is represented.

Looks tags up in pydicom's public, repeating-group and private dictionaries (`dictionary_tables.py`), and names them
for a record. It knows nothing of values and nothing of files.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Literal

from crawler.dicom.dictionary_tables import Entry, PrivateEntry, keywords, private, public, repeating

KeyStyle = Literal["keyword", "name", "tag"]

# PS3.5 Table 6.2-1, by what becomes of the value.
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
TEXT_VRS = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
)
NUMBER_VRS = frozenset(["FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"])
VRS = BINARY_VRS | TEXT_VRS | NUMBER_VRS | {"AT", "SQ"}

# Distinct tags that one run meets: far fewer than this, even with private elements of many makers.
_CACHED = 16_384


def tag_text(tag: int) -> str:
    """Return ``(gggg,eeee)`` in upper-case hexadecimal digits, as the standard prints tags."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def is_private(tag: int) -> bool:
    """Whether the group is odd (PS3.5 7.8)."""
    return bool(tag & 0x10000)


def is_private_creator(tag: int) -> bool:
    """Whether the element reserves a block: (gggg,0010-00FF) of an odd group (PS3.5 7.8.1)."""
    return is_private(tag) and 0x10 <= tag & 0xFFFF <= 0xFF


def creator_tag(tag: int) -> int:
    """Return the tag of the private creator that reserves the block of this private element."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


def public_entry(tag: int) -> Entry | None:
    """Return what the public dictionary says of a tag, repeating groups included; None when it holds none."""
    entry = public().get(tag)
    if entry is None and not is_private(tag) and (mask := mask_of(tag)):
        entry = repeating()[mask]
    return entry


def private_entry(tag: int, creator: str) -> PrivateEntry | None:
    """Return what the private dictionary says of a tag in a block of a creator; None when it holds none."""
    entries = private().get(creator, {})
    digits = f"{tag:08X}"
    # Elements are agnostic of their block; some are listed under it all the same, or for all groups of a kind.
    for mask in (digits, f"{digits[:4]}xx{digits[6:]}", f"{digits[:2]}xxxx{digits[6:]}"):
        if mask in entries:
            return entries[mask]
    return None


def mask_of(tag: int) -> str | None:
    """Return the first mask of a repeating group, "60xx0010", that a tag fits; None when there is none."""
    return next((mask for mask, value, fixed in _masks() if (tag ^ value) & fixed == 0), None)


@cache
def _masks() -> list[tuple[str, int, int]]:
    """Masks with their digits, and with the bits that are not an x."""
    fixed = str.maketrans("0123456789ABCDEFabcdefx", "F" * 22 + "0")
    return [(mask, int(mask.replace("x", "0"), 16), int(mask.translate(fixed), 16)) for mask in repeating()]


def tag_for(keyword: str) -> int | None:
    """Return the tag of the public element with this keyword; None when there is none."""
    return keywords().get(keyword)


@lru_cache(_CACHED)
def is_known(tag: int) -> bool:
    """Whether the public dictionary holds the tag, repeating groups included."""
    entry = public_entry(tag)
    return entry is not None and entry[4] != ""


@lru_cache(_CACHED)
def dictionary_vr(tag: int, creator: str = "") -> str:
    """Return the VR that the dictionaries give to a tag.

    Parameters
    ----------
    creator
        Private creator of the element's block; empty when there is none.

    Returns
    -------
    str
        A VR, an ambiguous one as PS3.6 words it ("US or SS"), or "UN" for what no dictionary holds.
    """
    if tag & 0xFFFF == 0:
        return "UL"  # group length, PS3.5 7.2
    if is_private(tag):
        if is_private_creator(tag):
            return "LO"
        found = private_entry(tag, creator)
        return found[0].replace("OB_OW", "OB or OW") if found else "UN"
    entry = public_entry(tag)
    return entry[0] if entry else "UN"


@lru_cache(_CACHED)
def key_of(tag: int, creator: str = "", style: KeyStyle = "keyword") -> str:
    """Return an element's key in a record.

    Parameters
    ----------
    creator
        Private creator of the element's block; empty when there is none.
    style
        "keyword" (``PatientName``), "name" (``Patient's Name``) or "tag" (``(0010,0010)``).

    Returns
    -------
    str
        In the first two styles a private element is named without its block, which may differ from file to file:
        ``(0019,xx0C) SIEMENS MR HEADER``. Repeating groups (PS3.5 7.6) above the first carry theirs:
        ``OverlayRows_6002``. What the dictionary does not name is ``(gggg,eeee)`` in every style.
    """
    if style == "tag":
        return tag_text(tag)
    if is_private(tag):
        if not creator or is_private_creator(tag):
            return tag_text(tag)
        return f"({tag >> 16:04X},xx{tag & 0xFF:02X}) {creator}"
    entry = public_entry(tag)
    if entry is None:
        return tag_text(tag)
    _, _, name, _, keyword = entry
    if not keyword:  # PS3.6 keeps the tags of a few retired elements without their names
        return tag_text(tag)
    return (keyword if style == "keyword" else name) + _repeat(tag)


def _repeat(tag: int) -> str:
    """Suffix of an element in a repeating group: none for its first group."""
    mask = None if tag in public() else mask_of(tag)  # 7Fxx would claim Pixel Data
    if mask is None or int(mask.replace("x", "0"), 16) == tag:
        return ""
    number = tag >> 16 if "x" in mask[:4] else tag & 0xFFFF
    return f"_{number:04X}"


@lru_cache(_CACHED)
def key_for(keyword: str, style: KeyStyle = "keyword") -> str:
    """Return the key, in a style, of the public element with this keyword.

    Raises
    ------
    KeyError
        The dictionary has no such keyword: a slip in the program, not in a file.
    """
    tag = tag_for(keyword)
    if tag is None:
        raise KeyError(keyword)
    return key_of(tag, "", style)


def unknown_keyword(word: str) -> str:
    """Return what is wrong with a word that should be a keyword, with the nearest one; empty for a keyword."""
    if tag_for(word) is not None:
        return ""
    import difflib  # for an error's text only

    near = difflib.get_close_matches(word, keywords(), n=1)
    return f"no DICOM keyword{f'; nearest: {near[0]}' if near else ''}"

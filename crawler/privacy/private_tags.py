"""Elements of makers that may stay: those of PS3.15 Table E.3.10-1, or those of a file of the user's.

By creator, group and the last two digits of the tag, whatever block a file has them in. The user's file is CSV with the
columns creator, tag (as 0019,xx0C) and vr, which may be empty where the private dictionary knows it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from crawler.dicom.dictionary import VRS, private_entry
from crawler.errors import ConfigError
from crawler.paths import readable
from crawler.privacy.standard import safe_private

_TAG = re.compile(r"\(?([0-9A-Fa-f]{3}[13579BDFbdf]),?(?:xx|XX|10)([0-9A-Fa-f]{2})\)?")


@dataclass(frozen=True)
class PrivateTags:
    """Which elements of makers stay.

    Attributes
    ----------
    elements
        Creator -> (group, last two digits) -> VR; empty for that of the private dictionary.
    """

    elements: Mapping[str, Mapping[tuple[int, int], str]] = field(default_factory=dict)

    def has(self, tag: int, creator: str) -> bool:
        """Whether an element stays."""
        return (tag >> 16, tag & 0xFF) in self.elements.get(creator, {})

    def has_creator(self, creator: str) -> bool:
        """Whether any element of a creator stays."""
        return creator in self.elements

    def vr(self, tag: int, creator: str) -> str:
        """VR of an element that stays; "UN" where nobody knows it."""
        told = self.elements.get(creator, {}).get((tag >> 16, tag & 0xFF), "")
        entry = private_entry(tag, creator)
        return told or (entry[0] if entry else "UN")


def standard_tags() -> PrivateTags:
    """Those of Table E.3.10-1."""
    return PrivateTags({creator: dict.fromkeys(pairs, "") for creator, pairs in safe_private().items()})


def read_private_tags(path: str) -> PrivateTags:
    """Read a file of the user's.

    Raises
    ------
    ConfigError
        It cannot be read, or a line names no element; the message says which line.
    """
    name = f"privacy.private_tags: {readable(path)}"
    found: dict[str, dict[tuple[int, int], str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            for row in lines:
                creator, match = row["creator"].strip(), _TAG.fullmatch(row["tag"].strip())
                vr = (row.get("vr") or "").strip().upper()
                if not creator or match is None or (vr and vr not in VRS):
                    raise ConfigError(
                        f"{name}: line {lines.line_num}: expected a creator, a private tag such as 0019,xx0C, and a VR"
                    )
                found.setdefault(creator, {})[int(match[1], 16), int(match[2], 16)] = vr
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "expected CSV with the columns creator, tag and vr"
        raise ConfigError(f"{name} cannot be read: {why} (or set remove or safe)") from None
    if not found:
        raise ConfigError(f"{name} names no element")
    return PrivateTags(found)

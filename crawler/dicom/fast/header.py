"""What a walk over a header gives: the record with what belongs to it, and the elements that a template is made from.

Values only; the walk is `walker.py`, the template `header_template.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crawler.dicom.elements import Element
from crawler.dicom.fast.conversions import Conversion
from crawler.dicom.fast.memo import Memo
from crawler.dicom.record import Record

LoggedElement = tuple[bytes, int, int, Conversion, str, Sequence[str]]
"""An element of the data set as it was met: the block that it begins in, where it does, where it ends (maybe behind the
block), its conversion, its key, and the codecs of the character set."""


class Header(NamedTuple):
    """What a header holds.

    Attributes
    ----------
    csa_elements
        The elements that `csa.read_csa` looks at, by far not all, with their values or with where they are.
    pixel
        The pixel element, when the header ends in one.
    memo
        Of the headers that this one is like, where it is.
    """

    record: Record
    transfer_syntax: str
    csa_elements: list[Element]
    pixel: Element | None
    memo: Memo | None = None


def head_size(wide: bool, implicit: bool) -> int:
    """Bytes of an element in front of its length: tag, VR, and the reserved bytes of a long length (PS3.5 7.1.2)."""
    if implicit:
        return 4
    return 8 if wide else 6

"""Values of private elements that a record does not keep: binary ones, read again from the file, by their creator.

For a handful of elements of one file of a series; what they mean is for the vendors' modules. A file that cannot be
read any more, or ends early, yields what was found: what it lacks is the business of those who read its pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from crawler.dicom.attributes import Private
from crawler.dicom.bulk import open_bulk
from crawler.dicom.dictionary import is_private, is_private_creator
from crawler.dicom.elements import Element
from crawler.errors import CrawlerError
from crawler.model import Instance

MAX_BYTES = 2**22
"""Longer values are not read: Siemens' series headers take up to 0.5 MB, GE's protocol blocks some kB."""


def private_values(instance: Instance, names: Collection[Private]) -> dict[Private, bytes]:
    """Read values of top-level private elements.

    Parameters
    ----------
    names
        Tags with block 0, and private creators, as in `attributes.Private`.

    Returns
    -------
    dict
        Those that are there, by name.
    """
    found: dict[Private, Element] = {}
    values: dict[Private, bytes] = {}
    creators: dict[int, str] = {}
    last = max((tag for tag, _ in names), default=0) | 0xFFFF
    with suppress(CrawlerError), open_bulk(instance) as data:
        with suppress(CrawlerError):
            for element in data.elements(last):
                tag = element.tag
                if is_private_creator(tag) and isinstance(element.value, bytes):
                    creators[tag >> 16 << 8 | tag & 0xFF] = element.value.decode("latin-1").strip("\0 ")
                elif is_private(tag):
                    name = (tag & 0xFFFF00FF, creators.get(tag >> 8, ""))
                    if name in names:
                        found[name] = element
        for name, element in found.items():
            if isinstance(element.value, bytes):
                values[name] = element.value
            elif element.value is None and element.length is not None and element.length <= MAX_BYTES:
                values[name] = data.value(element)
    return values

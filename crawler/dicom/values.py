"""Some elements of a file, read again when its row is made: long values and tables that no row holds.

`walk.py` finds them and `record.py` converts them, as it did for the row, so that both have one truth. What they mean
is for `display/`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from crawler.dicom.bulk import DataSet, open_bulk
from crawler.dicom.dictionary import tag_for
from crawler.dicom.elements import Element
from crawler.dicom.record import Context, json_of, vr_of
from crawler.dicom.walk import items_of
from crawler.errors import HeaderError
from crawler.model import Instance


class Value(NamedTuple):
    """One value of a file.

    Attributes
    ----------
    vr
        By which it is read: the file's own, or the dictionary's (`record.vr_of`).
    raw
        Its bytes as stored; none of a sequence.
    little
        Byte order of its numbers.
    json
        As in the row; binary values by VR and length only.
    items
        Of a sequence: those that can be read.
    error
        Why a sequence is not whole; else empty.
    """

    vr: str
    raw: bytes
    little: bool = True
    json: Any = None
    items: Sequence[Values] = ()
    error: str = ""

    def numbers(self) -> list[int | float]:
        """Return all numbers; none where the value is empty.

        Raises
        ------
        ValueError
            The value holds something else.
        """
        found = self.json if isinstance(self.json, list) else [] if self.json is None else [self.json]
        if not all(isinstance(number, int | float) for number in found):
            raise ValueError("no numbers")
        return found


class Values:
    """Elements of a data set, or of an item in one, by keyword or tag; of those that come twice the first counts."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[int, Value]) -> None:
        self._found = found

    def __iter__(self) -> Iterator[int]:
        """Tags, in the order of the file."""
        return iter(self._found)

    def get(self, name: str | int) -> Value | None:
        """Return an element; None where it is absent."""
        tag = name if isinstance(name, int) else tag_for(name)
        return None if tag is None else self._found.get(tag)

    def has_value(self, name: str | int) -> bool:
        """Whether the element is there, and not empty."""
        value = self.get(name)
        return value is not None and bool(value.raw or value.items)

    def json(self, name: str | int) -> Any:
        """Return the value as the row has it; None where it is empty or absent."""
        value = self.get(name)
        return None if value is None else value.json

    def numbers(self, name: str | int) -> list[int | float]:
        """Return all numbers of an element; none where it is empty or absent. Raises ValueError for anything else."""
        value = self.get(name)
        return [] if value is None else value.numbers()

    def items(self, name: str | int) -> Sequence[Values]:
        """Return the items of a sequence that can be read; none where it is absent."""
        value = self.get(name)
        return () if value is None else value.items


def tags_of(*keywords: str) -> set[int]:
    """Tags of elements by their keywords."""
    return {tag for tag in map(tag_for, keywords) if tag is not None}


def read_values(instance: Instance, wanted: Container[int], nested: Container[int]) -> tuple[Values, bool]:
    """Read some elements of a file, and of the items of sequences among them those with the tags `nested`.

    Returns
    -------
    Values
        Public elements only: private ones depend on their creators.
    bool
        Whether the data set is little endian.

    Raises
    ------
    PixelError
        The file cannot be read any more, or its header ends early.
    """
    context = Context("keyword", signed=instance.pixels is not None and instance.pixels.signed)
    with open_bulk(instance) as data:
        elements = data.select(wanted, nested)
        context.learn(elements)
        return _values(elements, nested, data, context), data.coding.little


def _values(elements: Iterable[Element], nested: Container[int], data: DataSet, context: Context) -> Values:
    found: dict[int, Value] = {}
    for element in elements:
        if element.tag in found:
            continue
        vr = vr_of(element, "", context.signed)
        if vr == "SQ":
            found[element.tag] = _sequence(element, nested, data, context)
        elif not element.error and element.length is not None:
            whole = isinstance(element.value, bytes) and not element.digest
            raw = element.value if whole else data.value(element)
            assert isinstance(raw, bytes)
            json = json_of(element._replace(value=raw, digest=""), vr, context)
            found[element.tag] = Value(vr, raw, element.coding.little, json)
    return Values(found)


def _sequence(element: Element, nested: Container[int], data: DataSet, context: Context) -> Value:
    items: list[list[Element]] = []
    error = element.error
    if not error or element.value:
        try:
            items = items_of(element, context.depth + 1, found=items)
        except HeaderError as fault:
            error = fault.reason
    inside = [_values([one for one in item if one.tag in nested], nested, data, context.inside(item)) for item in items]
    return Value("SQ", b"", element.coding.little, None, inside, error)

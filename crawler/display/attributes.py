"""What a file's header holds for its display beside the fields of `Instance`: lookup tables, padding, overlays.

They are needed by few files and can be large, so they are not part of `Instance`: the header is read a second time, by
the same reader, when something first asks for them. pydicom converts these elements and is not asked where they lie, so
that a header which is read for its row is read for its display. What they mean the other modules of this folder say.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from crawler.dicom.bulk import DataSet, open_bulk
from crawler.dicom.dictionary import VRS, tag_for
from crawler.dicom.elements import Element, quiet_pydicom
from crawler.dicom.record import vr_of
from crawler.dicom.walk import items_of
from crawler.errors import HeaderError, PixelError
from crawler.model import Instance
from crawler.pixels.decoder_errors import decoder_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

COLOURS = ("Red", "Green", "Blue")
_VOI_LUT_SEQUENCE = 0x00283010
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
# The last two tell pydicom how to expand a segmented palette.
_KEYWORDS = (
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *_TABLES,
    *(f"{kind}PixelPadding{end}" for kind in ("", "Float", "DoubleFloat") for end in ("Value", "RangeLimit")),
    *("PixelRepresentation", "BitsAllocated"),
)
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# What is asked for in the items of sequences.
_NESTED = (
    *("LUTDescriptor", "LUTData", "FrameVOILUTSequence", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
)
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)  # sixteen planes: PS3.5 7.6
# Rows, columns, frames, origin, first frame, bits allocated, data: PS3.3 C.9.2, C.9.3.
_OVERLAY_ELEMENTS = (0x0010, 0x0011, 0x0015, 0x0050, 0x0051, 0x0100, 0x3000)


def tags_of(*keywords: str) -> set[int]:
    """Tags of elements by their keywords."""
    return {tag for tag in map(tag_for, keywords) if tag is not None}


def read_elements(instance: Instance, wanted: Container[int], nested: Container[int]) -> Dataset:
    """Some elements of a file as pydicom's, their values not yet converted; of their items the elements `nested`.

    Raises
    ------
    PixelError
        The file cannot be read any more.
    """
    with open_bulk(instance) as data:
        elements = data.select(wanted, nested)
        return _dataset(elements, nested, data, instance.pixels is not None and instance.pixels.signed)


def _dataset(elements: Iterable[Element], nested: Container[int], data: DataSet, signed: bool) -> Dataset:
    """Elements, sequences included, as pydicom's; of those that come twice the first."""
    from pydicom.dataelem import DataElement, RawDataElement  # slow to load, and few files have such elements
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence
    from pydicom.tag import Tag

    found = Dataset()
    found.set_original_encoding(data.coding.implicit, data.coding.little, None)
    for element in elements:
        tag = Tag(element.tag)
        vr = vr_of(element, "", signed)
        if tag in found or element.error:
            continue
        if vr == "SQ":
            try:
                items = [
                    _dataset([one for one in item if one.tag in nested], nested, data, signed)
                    for item in items_of(element, 1)
                ]
            except HeaderError as error:
                raise PixelError("damaged pixel data", "a sequence of the display cannot be read") from error
            found[tag] = DataElement(tag, vr, Sequence(items))
            continue
        value = element.value if isinstance(element.value, bytes) and not element.digest else None
        if value is None and element.length is not None:
            value = data.value(element)
        if value is not None:
            known = vr if vr in VRS else "UN"
            found[tag] = RawDataElement(tag, known, len(value), value, 0, False, element.coding.little)
    return found


class DisplayAttributes:
    """The elements of one file that its display needs; read when first looked at, then kept.

    Parameters
    ----------
    overlays
        Whether the overlay planes (60xx,eeee) are among them.
    """

    def __init__(self, instance: Instance, overlays: bool = False) -> None:
        self.instance = instance
        self._overlays = overlays
        self._notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        """Note what of the file's display is not shown as its header says; once, however often it is met."""
        self._notes[text] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted, in order."""
        return tuple(self._notes)

    @cached_property
    def dataset(self) -> Dataset:
        """The elements, values converted.

        Raises
        ------
        PixelError
            "damaged pixel data": they cannot be read.
        """
        wanted = tags_of(*_KEYWORDS)
        if len(self.instance.planes) > 1:
            wanted |= tags_of(*_GROUPS)
        if self._overlays:
            wanted |= {group << 16 | element for group in OVERLAY_GROUPS for element in _OVERLAY_ELEMENTS}
        try:
            with quiet_pydicom():
                dataset = read_elements(self.instance, wanted, tags_of(*_NESTED))
                for tag in list(dataset.keys()):
                    self._convert(dataset, tag)
                return dataset
        except decoder_errors() as error:
            raise PixelError("damaged pixel data", "the lookup tables cannot be read") from error

    def _convert(self, dataset: Dataset, tag: BaseTag) -> None:
        """Have pydicom convert an element, which it does when one looks: here, inside the guard.

        What of an overlay or a VOI LUT cannot be converted is left out: they are not needed to show the image.
        """
        try:
            element = dataset[tag]
            if element.keyword in _TABLES:
                for item in element.value or ():
                    list(item.iterall())
        except decoder_errors():
            if tag.group not in OVERLAY_GROUPS and tag != _VOI_LUT_SEQUENCE:
                raise
            del dataset[tag]
            self.note(f"{tag} is not used: it cannot be read")

    @property
    def little(self) -> bool:
        """Byte order of the file."""
        return self.dataset.original_encoding[1] is not False

    def frame_items(self, keyword: str) -> Iterator[Dataset]:
        """First items of a functional group macro (PS3.3 C.7.6.16): shared, or one a frame as far as there are any."""
        for groups in _GROUPS:
            try:
                items = [group.get(keyword) for group in self.dataset.get(groups) or ()]
            except decoder_errors() as error:
                raise PixelError("damaged pixel data", f"{groups} cannot be read") from error
            if items and all(items):
                yield from (item[0] for item in items)
                return

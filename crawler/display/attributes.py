"""What a file's header holds for its display beside the fields of `Instance`: lookup tables, padding, overlays.

They are needed by few files and can be large, so they are not part of `Instance`: the header is read a second time,
these elements only, when something first asks for them. What the elements mean the other modules of this folder say.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.files import open_dataset
from crawler.dicom.uids import DeflatedExplicitVRLittleEndian
from crawler.errors import PixelError
from crawler.model import Instance
from crawler.pixels.decoder_errors import decoder_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

COLOURS = ("Red", "Green", "Blue")
_VOI_LUT_SEQUENCE = 0x00283010
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
# The last two of the first group tell pydicom the VR of the others.
_KEYWORDS = (
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *_TABLES,
    *(f"{kind}PixelPadding{end}" for kind in ("", "Float", "DoubleFloat") for end in ("Value", "RangeLimit")),
    *("PixelRepresentation", "BitsAllocated"),
)
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)  # sixteen planes: PS3.5 7.6
# Rows, columns, frames, origin, first frame, bits allocated, data: PS3.3 C.9.2, C.9.3.
_OVERLAY_ELEMENTS = (0x0010, 0x0011, 0x0015, 0x0050, 0x0051, 0x0100, 0x3000)


def read_elements(instance: Instance, wanted: list[BaseTag]) -> Dataset:
    """Some elements of a file, by pydicom, their values not yet converted. Raises what pydicom raises."""
    from pydicom import dcmread  # slow to load, and few files have such elements

    # pydicom would inflate a deflated data set whatever its size.
    deflated = instance.transfer_syntax == DeflatedExplicitVRLittleEndian
    with open_dataset(instance.file, deflated) as stream:
        return dcmread(stream, stop_before_pixels=True, force=True, specific_tags=wanted)


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
        from pydicom.tag import Tag  # slow to load, see above

        wanted: list[BaseTag] = [Tag(keyword) for keyword in _KEYWORDS]
        if len(self.instance.planes) > 1:
            wanted += [Tag(keyword) for keyword in _GROUPS]
        if self._overlays:
            wanted += [Tag(group, element) for group in OVERLAY_GROUPS for element in _OVERLAY_ELEMENTS]
        try:
            with quiet_pydicom():
                dataset = read_elements(self.instance, wanted)
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

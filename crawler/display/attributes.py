"""What a file's header holds for its display beside the fields of `Instance`: lookup tables, padding, overlays.

They are needed by few files and can be large, so they are not part of `Instance`: the header is read a second time, by
the same reader and with the same conversions, when something first asks for them. What they mean the other modules of
this folder say.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from crawler.dicom.values import Values, read_values, tags_of
from crawler.model import Instance

COLOURS = ("Red", "Green", "Blue")
_KEYWORDS = (
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *("ModalityLUTSequence", "VOILUTSequence"),
    *(f"{kind}PixelPadding{end}" for kind in ("", "Float", "DoubleFloat") for end in ("Value", "RangeLimit")),
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
    def _read(self) -> tuple[Values, bool]:
        wanted = tags_of(*_KEYWORDS)
        if len(self.instance.planes) > 1:
            wanted |= tags_of(*_GROUPS)
        if self._overlays:
            wanted |= {group << 16 | element for group in OVERLAY_GROUPS for element in _OVERLAY_ELEMENTS}
        return read_values(self.instance, wanted, tags_of(*_NESTED))

    @property
    def values(self) -> Values:
        """The elements.

        Raises
        ------
        PixelError
            They cannot be read any more.
        """
        return self._read[0]

    @property
    def little(self) -> bool:
        """Byte order of the file."""
        return self._read[1]

    def frame_items(self, keyword: str) -> Iterator[Values]:
        """First items of a functional group macro (PS3.3 C.7.6.16): shared, or one a frame as far as there are any."""
        for groups in _GROUPS:
            items = [group.items(keyword) for group in self.values.items(groups)]
            if items and all(items):
                yield from (item[0] for item in items)
                return

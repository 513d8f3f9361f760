"""Headers of a series: what is common, what each frame has of its own, and where each comes from.

A template is kept as the bytes of one file's header, so that nothing of it is lost or read before it is needed. Values
of other frames come as records. Nothing here is written, and no pixel is read.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.unique import new_uid
from crawler.model import File, Plane, Verdict

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame of a file that values come from.

    Attributes
    ----------
    frame
        From 0; None in an object of a single frame.
    file
        Where it was read (`File.key`); empty for what came over another way.
    """

    sop_class: str
    sop_uid: str
    frame: int | None = None
    file: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class FrameHeader:
    """What one frame of an array has for a header.

    Attributes
    ----------
    record
        Elements of its file, as JSON values by keyword.
    plane
        Its geometry and traits, as they were read.
    sources
        The frames that its values were made of.
    changes
        Elements that were set, by keyword.
    origin
        The file whose only frame it is; None of computed values, and of a frame among several.
    tags
        By the name of an axis: the value that the axis has at this step, and the one that was set for this image alone.
    """

    record: Mapping[str, Any] = field(default_factory=dict, repr=False)  # it names the patient
    plane: Plane = field(default_factory=Plane)
    sources: tuple[SourceFrame, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    origin: File | None = None
    tags: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    def changed(self, keyword: str, value: Any) -> FrameHeader:
        """With an element set."""
        return replace(self, changes={**self.changes, keyword: value})

    def without(self, keyword: str) -> FrameHeader:
        """Without an element that was set."""
        if keyword not in self.changes:
            return self
        return replace(self, changes={name: value for name, value in self.changes.items() if name != keyword})


def merged(headers: Sequence[FrameHeader | None]) -> FrameHeader | None:
    """The header of values that were made of several frames: that of the first, with the sources of all."""
    known = [header for header in headers if header is not None]
    if not known:
        return None
    sources = dict.fromkeys(source for header in known for source in header.sources)
    origin = known[0].origin if len(sources) == 1 else None
    return replace(known[0], sources=tuple(sources), origin=origin)


def uid_below(uid: str, index: tuple[int | str, ...]) -> str:
    """The UID (PS3.5 B.2) that always belongs to an image of a series."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join([uid, *map(str, index)])).int}"


@dataclass(frozen=True, eq=False)
class Template:
    """A header to begin from.

    Attributes
    ----------
    content
        Bytes of a DICOM file up to its pixels.
    """

    content: bytes

    @cached_property
    def dataset(self) -> Dataset:
        """The header parsed, once; to be copied, not changed."""
        from pydicom import dcmread  # slow to load, and many arrays are never written

        with quiet_pydicom():
            return dcmread(io.BytesIO(self.content), force=True, stop_before_pixels=True)

    @classmethod
    def of(cls, dataset: Dataset) -> Template:
        """From a data set in memory, whose pixels are left out."""
        from pydicom.dataset import Dataset as Plain

        held = Plain()
        held.update({element.tag: element for element in dataset if element.tag.group != 0x7FE0})
        made = cls(b"")
        made.__dict__["dataset"] = held
        return made


@dataclass(frozen=True, eq=False, slots=True)
class Meta:
    """What is common to the frames of an array.

    Attributes
    ----------
    template
        Header that written files begin from; None for an array that came without.
    changes
        Elements that were set, by keyword; they count before those of the frames.
    input_format
        "dicom", "nifti" ...; empty for arrays made in memory.
    verdict
        Of the layout that it was read by.
    series_uid
        Of what was made by computing; empty where the series is the one that was read.
    history
        What was done to the values, in order.
    display
        Window, colour map and the like, by the names of their fields.
    notes
        What a user should know, as sentences.
    """

    template: Template | None = field(default=None, repr=False)
    changes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    input_format: str = ""
    verdict: Verdict | None = None
    series_uid: str = ""
    history: tuple[str, ...] = ()
    display: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())

    def changed(self, keyword: str, value: Any) -> Meta:
        """With an element set."""
        return replace(self, changes={**self.changes, keyword: value})

    def shown(self, name: str, value: Any) -> Meta:
        """With a field of display set."""
        return replace(self, display={**self.display, name: value})

    def derived(self, how: str) -> Meta:
        """Of values that were computed: another series, whose window is not that of its source."""
        kept = {name: value for name, value in self.display.items() if not name.startswith("window")}
        changes = {name: value for name, value in self.changes.items() if name not in _OF_VALUES}
        history = (*self.history, how) if how else self.history
        return replace(self, series_uid=new_uid(), history=history[-_HISTORY:], display=kept, changes=changes)

    @property
    def is_derived(self) -> bool:
        """Whether values are not those that were read."""
        return bool(self.series_uid)


_HISTORY = 32  # steps that are remembered: loops over ufuncs make thousands
_OF_VALUES = ("WindowCenter", "WindowWidth", "SeriesInstanceUID")

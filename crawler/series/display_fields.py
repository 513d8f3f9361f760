"""How a series is shown: window, colour, colour map, and the identity of its instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crawler.series.axis import SAMPLE
from crawler.series.elements import Elements
from crawler.series.errors import FieldNotSet
from crawler.series.headers import uid_below

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class DisplayFields(Elements):
    """Access to display fields and UIDs."""

    @property
    def color(self) -> bool:
        """Whether the last axis holds the channels of a colour."""
        return SAMPLE in self._description.axes.names

    @property
    def photometricInterpretation(self) -> str:
        """(0028,0004) *Photometric Interpretation* of the values as they are here."""
        if self.color:
            return "RGB"
        value = self._element("PhotometricInterpretation")
        if value is None:
            raise FieldNotSet("PhotometricInterpretation is not set")
        return str(value) if str(value).startswith("MONOCHROME") else "MONOCHROME2"

    @photometricInterpretation.setter
    def photometricInterpretation(self, value: str) -> None:
        self.setDicomAttribute("PhotometricInterpretation", value)

    @property
    def windowCenter(self) -> float:
        """Centre of the window: that of the header, or of the values where these were computed."""
        return self._window()[0]

    @windowCenter.setter
    def windowCenter(self, value: float) -> None:
        self._show("window_center", float(value))

    @property
    def windowWidth(self) -> float:
        """Width of the window."""
        return self._window()[1]

    @windowWidth.setter
    def windowWidth(self, value: float) -> None:
        self._show("window_width", float(value))

    @property
    def colormap(self) -> Any:
        """Colour map to be shown with; None for grey."""
        return self._description.meta.display.get("colormap")

    @colormap.setter
    def colormap(self, value: Any) -> None:
        self._show("colormap", value)

    @property
    def colormap_norm(self) -> Any:
        """How values become places on the colour map."""
        return self._description.meta.display.get("colormap_norm")

    @colormap_norm.setter
    def colormap_norm(self, value: Any) -> None:
        self._show("colormap_norm", value)

    @property
    def colormap_label(self) -> Any:
        """What the colour bar says."""
        return self._description.meta.display.get("colormap_label")

    @colormap_label.setter
    def colormap_label(self, value: Any) -> None:
        self._show("colormap_label", value)

    @property
    def input_sort(self) -> Any:
        """How files are numbered: "slice" or "tag"; kept for programs written for seeds/002."""
        return self._description.meta.display.get("input_sort", 0)

    @input_sort.setter
    def input_sort(self, value: Any) -> None:
        self._show("input_sort", value)

    @property
    def sort_on(self) -> Any:
        """As `input_sort`, for what is written."""
        value = self._description.meta.display.get("sort_on")
        if value is None:
            raise FieldNotSet("sort_on is not set")
        return value

    @sort_on.setter
    def sort_on(self, value: Any) -> None:
        self._show("sort_on", value)

    @property
    def seriesInstanceUID(self) -> str:
        """(0020,000E) *Series Instance UID*: that which was read, or a new one of computed values."""
        meta = self._description.meta
        if "SeriesInstanceUID" in meta.changes:
            return str(meta.changes["SeriesInstanceUID"])
        return meta.series_uid or str(self._element("SeriesInstanceUID") or "")

    @seriesInstanceUID.setter
    def seriesInstanceUID(self, uid: str) -> None:
        self.setDicomAttribute("SeriesInstanceUID", uid)

    @property
    def studyInstanceUID(self) -> str:
        """(0020,000D) *Study Instance UID*: that of the header, or the one that files without a header will have."""
        told = self._element("StudyInstanceUID")
        return str(told) if told else uid_below(self.seriesInstanceUID, ("study",))

    @studyInstanceUID.setter
    def studyInstanceUID(self, uid: str) -> None:
        self.setDicomAttribute("StudyInstanceUID", uid)

    @property
    def SOPClassUID(self) -> str:
        """(0008,0016) *SOP Class UID*."""
        return str(self._element("SOPClassUID") or SECONDARY_CAPTURE)

    @SOPClassUID.setter
    def SOPClassUID(self, uid: str) -> None:
        self.setDicomAttribute("SOPClassUID", uid)

    @property
    def SOPInstanceUIDs(self) -> dict[tuple[int, ...], str]:
        """(steps of the other axes..., slice) -> (0008,0018) *SOP Instance UID*.

        Of computed values those that they will be written with.
        """
        frames = self._description.frames
        spatial = self._slice_place()
        found: dict[tuple[int, ...], str] = {}
        for index in np.ndindex(frames.shape):
            others = tuple(number for place, number in enumerate(index) if place != spatial) or (0,)
            here = index[spatial] if spatial is not None else 0
            found[(*others, here)] = self.instance_uid(index)
        return found

    def instance_uid(self, index: tuple[int, ...]) -> str:
        """SOP Instance UID of a frame, by its index along the axes of frames."""
        header = self._description.frames[index]
        if header is not None and not self._description.meta.is_derived:
            own = header.changes.get("SOPInstanceUID", header.record.get("SOPInstanceUID"))
            if own:
                return str(own)
        return uid_below(self.seriesInstanceUID, index)

    def _show(self, name: str, value: Any) -> None:
        self._description = replace(self._description, meta=self._description.meta.shown(name, value))

    def _window(self) -> tuple[float, float]:
        meta = self._description.meta
        center, width = meta.display.get("window_center"), meta.display.get("window_width")
        if center is not None and width is not None:
            return center, width
        told = (None, None) if meta.is_derived else (self._element("WindowCenter"), self._element("WindowWidth"))
        own_center, own_width = map(_first, told)
        if own_center is None or own_width is None:
            own_center, own_width = window_of(self.values)
        return own_center if center is None else center, own_width if width is None else width


def window_of(values: Any) -> tuple[float, float]:
    """The window from the least to the greatest finite value: centre and width."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size or finite.dtype.kind not in "iufb":
        return 0.5, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low + high) / 2, high - low


def _first(value: Any) -> float | None:
    one = value[0] if isinstance(value, list) and value else value
    return float(one) if isinstance(one, (int, float)) else None

"""DICOM elements of a series as attributes: constant ones, those of each frame, and those that were set.

What was set on the series counts before what was set on a frame, that before what the frame's file has, and that before
the template. Setting changes this array alone.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crawler.series.element_values import keyword_of, plain_value
from crawler.series.errors import FieldNotSet
from crawler.series.headers import FrameHeader, Template
from crawler.series.state import State

REQUIRED = object()


class Element:
    """A DICOM element as an attribute.

    Parameters
    ----------
    keyword
        Of the element.
    default
        What it is where it is absent; by default reading it is an error.
    many
        Whether its value is always a list.
    """

    def __init__(self, keyword: str, default: Any = REQUIRED, many: bool = False) -> None:
        self.keyword, self.default, self.many = keyword, default, many

    def __get__(self, series: Any, owner: Any = None) -> Any:
        if series is None:
            return self
        value = series._element(self.keyword)
        if value is None and series._holds(self.keyword):
            value = ""  # there, and empty
        if value in (None, "") and not (value == "" and self.default == ""):
            if self.default is REQUIRED and value is None:
                raise FieldNotSet(f"{self.keyword} is not set")
            return self.default if self.default is not REQUIRED else value
        return [value] if self.many and not isinstance(value, list) else value

    def __set__(self, series: Any, value: Any) -> None:
        series.setDicomAttribute(self.keyword, value)


class ElementsView:
    """Elements by keyword: ``a.meta.EchoTime``.

    A single value where it is constant, else an array along the axes of frames.
    """

    def __init__(self, series: Elements) -> None:
        self._series = series

    def __getattr__(self, keyword: str) -> Any:
        if keyword.startswith("_"):
            raise AttributeError(keyword)
        return self[keyword]

    def __getitem__(self, keyword: str) -> Any:
        column = self._series.column(keyword)
        known = list(column.ravel())
        if not known:
            return self._series._element(keyword)
        if all(_same(value, known[0]) for value in known):
            return known[0] if known[0] is not None else self._series._element(keyword)
        return column

    def __contains__(self, keyword: str) -> bool:
        return self[keyword] is not None

    def constant(self) -> dict[str, Any]:
        """Elements with one value for all frames, by keyword."""
        headers = [header for header in self._series._description.frames.ravel() if header is not None]
        if not headers:
            return {}
        first, changes = headers[0].record, self._series._description.meta.changes
        found = {
            name: value
            for name, value in first.items()
            if all(_same(header.record.get(name), value) for header in headers[1:])
        }
        return {**found, **changes}

    def varying(self) -> dict[str, npt.NDArray[Any]]:
        """Elements that differ between frames, as arrays along the axes of frames."""
        headers = [header for header in self._series._description.frames.ravel() if header is not None]
        names = dict.fromkeys(name for header in headers for name in header.record)
        constant = self.constant()
        return {name: self._series.column(name) for name in names if name not in constant}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


class Elements(State):
    """Access to elements."""

    # Identity of patient, study and series.
    patientName = Element("PatientName", "")
    patientID = Element("PatientID")
    patientBirthDate = Element("PatientBirthDate")
    accessionNumber = Element("AccessionNumber")
    studyID = Element("StudyID", "")
    seriesNumber = Element("SeriesNumber")
    seriesDescription = Element("SeriesDescription", "")
    seriesDate = Element("SeriesDate")
    seriesTime = Element("SeriesTime")
    imageType = Element("ImageType", many=True)
    modality = Element("Modality")
    protocolName = Element("ProtocolName")
    bodyPartExamined = Element("BodyPartExamined")
    laterality = Element("Laterality")
    patientPosition = Element("PatientPosition")

    @property
    def meta(self) -> ElementsView:
        """Elements by their keywords."""
        return ElementsView(self)

    @property
    def frames(self) -> npt.NDArray[Any]:
        """Where each plane comes from: `FrameHeader` or None, along the axes of frames; also after indexing."""
        return self._description.frames

    @property
    def verdict(self) -> Any:
        """What was found about the geometry when the series was read (`model.Verdict`); None for other arrays."""
        return self._description.meta.verdict

    @property
    def history(self) -> tuple[str, ...]:
        """What was done to the values, in order."""
        return self._description.meta.history

    def column(self, keyword: str) -> npt.NDArray[Any]:
        """An element's values along the axes of frames; None where a frame has none."""
        frames: Any = self._description.frames
        column = np.full(frames.shape, None, dtype=object)
        changes = self._description.meta.changes
        for index in np.ndindex(frames.shape):
            header: FrameHeader | None = frames[index]
            value = changes[keyword] if keyword in changes else _value(header, keyword)
            column[index] = value
        return column

    def _element(self, keyword: str, index: tuple[int, ...] | None = None) -> Any:
        changes = self._description.meta.changes
        if keyword in changes:
            return changes[keyword]
        frames: Any = self._description.frames
        if frames.size:
            header = frames.flat[0] if index is None else frames[index]
            if header is not None and (keyword in header.changes or keyword in header.record):
                return _value(header, keyword)
        template = self._description.meta.template
        if template is None or keyword not in template.dataset:
            return None
        return plain_value(template.dataset[keyword].value)

    def _holds(self, keyword: str) -> bool:
        """Whether an element is there, with a value or empty."""
        meta, frames = self._description.meta, self._description.frames
        first: Any = frames.flat[0] if frames.size else None
        if keyword in meta.changes:
            return meta.changes[keyword] is not None
        if first is not None and keyword in first.record:
            return True
        return meta.template is not None and keyword in meta.template.dataset

    def getDicomAttribute(self, keyword: Any, slice: int = 0, tag: Any = 0) -> Any:
        """Value of an element.

        Parameters
        ----------
        keyword
            Keyword or tag: ``"EchoTime"``, ``0x00180081``, ``(0x0018, 0x0081)``.
        slice, tag
            Which frame: number of its slice, and of its step along the other axes of frames (a tuple for several).

        Returns
        -------
        object or None
            None where it is absent.

        Raises
        ------
        UnknownTag
            No such element is in the dictionary.
        """
        return self._element(keyword_of(keyword), self._frame_index(slice, tag))

    def setDicomAttribute(self, keyword: Any, value: Any, slice: int | None = None, tag: Any = None) -> None:
        """Set an element, of all frames or of some; it is written as it is set, and None takes it away.

        Parameters
        ----------
        slice, tag
            As of `getDicomAttribute`; None for all.
        """
        name, description = keyword_of(keyword), self._description
        if slice is None and tag is None:
            self._description = replace(description, meta=description.meta.changed(name, value))
            return
        frames: Any = description.frames.copy()
        wanted = self._frame_index(0 if slice is None else slice, 0 if tag is None else tag)
        spatial = self._slice_place()
        for index in np.ndindex(frames.shape):
            here = index[spatial] if spatial is not None else 0
            other = tuple(number for place, number in enumerate(index) if place != spatial)
            asked = tuple(number for place, number in enumerate(wanted) if place != spatial)
            if (slice is None or here == slice) and (tag is None or other == asked):
                frames[index] = (frames[index] or FrameHeader()).changed(name, value)
        meta = description.meta
        if name in meta.changes:  # a value of the whole series counts first: it goes to the frames
            for index in np.ndindex(frames.shape):
                header = frames[index] or FrameHeader()
                if name not in header.changes:
                    frames[index] = header.changed(name, meta.changes[name])
            meta = replace(meta, changes={key: held for key, held in meta.changes.items() if key != name})
        self._description = replace(description, frames=frames, meta=meta)

    def _slice_place(self) -> int | None:
        names = [self._description.axes[number].name for number in self._description.leading]
        return names.index("slice") if "slice" in names else None

    def _frame_index(self, slice: int, tag: Any) -> tuple[int, ...]:
        tags = list(tag) if isinstance(tag, (tuple, list)) else [tag]
        spatial = self._slice_place()
        count = self._description.frames.ndim
        others = iter([*tags, *[0] * count])
        return tuple(slice if place == spatial else int(next(others)) for place in range(count))

    @property
    def dicomTemplate(self) -> Any:
        """The header that written files begin from, as a pydicom data set: a copy; None where there is none."""
        import copy

        template = self._description.meta.template
        if template is None:
            return None
        dataset = copy.deepcopy(template.dataset)
        for keyword, value in self._description.meta.changes.items():
            setattr(dataset, keyword, value)
        return dataset

    @dicomTemplate.setter
    def dicomTemplate(self, dataset: Any) -> None:
        meta = self._description.meta
        template = None if dataset is None else Template.of(dataset)
        self._description = replace(self._description, meta=replace(meta, template=template))

    def anonymize(
        self,
        uid_table: MutableMapping[str, str] | None = None,
        extra_anonymization_rules: Mapping[str, Any] | None = None,
        *,
        dates: str = "remove",
        **rules: Any,
    ) -> Self:
        """A copy without the patient's identity in its headers: see `anonymizing.anonymized`.

        Parameters
        ----------
        uid_table
            UID -> UID that stands for it; completed, so that it can be shared by the series of a study.
        dates
            "remove", "shift" or "keep": what becomes of dates and times.
        extra_anonymization_rules, **rules
            Keyword -> value in place of an empty one.
        """
        from crawler.series.anonymizing import anonymized  # loads pydicom where there is a template

        both = {**(extra_anonymization_rules or {}), **rules}
        return self._made(self._data, anonymized(self._description, uid_table, both, dates))


def _value(header: FrameHeader | None, keyword: str) -> Any:
    if header is None:
        return None
    return header.changes[keyword] if keyword in header.changes else header.record.get(keyword)

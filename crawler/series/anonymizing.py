"""A series without its patient: direct identifiers emptied, UIDs replaced, private elements and sequences left out.

Follows PS3.15 table E.1-1 for names, numbers, addresses, persons, institutions, dates and times. Free texts as
descriptions, and what is burnt into pixels, are not looked at: that is for a tool that a protocol names.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.dicom.unique import new_uid
from crawler.instance.traits import seconds
from crawler.model import TRAITS, Plane
from crawler.series.axis import Axes, Axis, VariableAxis
from crawler.series.description import Description, empty_frames
from crawler.series.element_values import keyword_of, plain_value
from crawler.series.headers import Template, uid_below
from crawler.series.steps import KEYWORDS
from crawler.series.steps import clock as clock_text

IDENTIFIERS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "OtherPatientIDs", "OtherPatientNames",
    "PatientAddress", "PatientTelephoneNumbers", "PatientMotherBirthName", "PatientBirthName", "AccessionNumber",
    "ReferringPhysicianName", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers", "OperatorsName",
    "PerformingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "RequestingPhysician",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber",
    "StudyID", "PatientComments", "AdditionalPatientHistory", "MedicalRecordLocator", "EthnicGroup", "Occupation",
    "MilitaryRank", "BranchOfService", "CountryOfResidence", "RegionOfResidence", "PatientReligiousPreference",
    "CurrentPatientLocation", "PatientInstitutionResidence", "AdmissionID", "PerformedProcedureStepID",
    "ScheduledProcedureStepID", "RequestedProcedureID", "ImageComments", "IssuerOfPatientID",
)  # fmt: skip
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
METHOD = "dme series: identifiers emptied, UIDs replaced, dates {}"
DATES = {"remove": "removed", "shift": "moved", "keep": "kept"}
"""What becomes of dates and times, and how the header says it."""
_LONGEST_SHIFT = 3650
"""Days that dates are moved back by, at most: an age in years stays right to ten."""
_EMPTY = ("StudyDate", "StudyTime")
"""Dates that a header has even when nothing is known (type 2, PS3.3 C.7.2.1)."""


def anonymized(
    description: Description,
    uid_table: MutableMapping[str, str] | None = None,
    rules: Mapping[str, Any] | None = None,
    dates: str = "remove",
) -> Description:
    """A description without identifiers.

    Parameters
    ----------
    uid_table
        UID -> UID that stands for it; completed here, so that series of one study stay together. Also the days that a
        patient's dates are moved by. Who has it can undo all this.
    rules
        Keyword (also as seeds/002 writes it: ``patientName``) -> value in place of an empty one; also of elements that
        are no identifiers.
    dates
        "remove": dates go, and times of day are counted from the first of the series; "shift": all dates of a patient
        are moved by one number of days, drawn at random, times stay; "keep".

    Raises
    ------
    ValueError
        Another word for `dates`.
    UnknownTag
        A rule for what is no keyword.
    """
    if dates not in DATES:
        raise ValueError(f"dates is one of {', '.join(DATES)}")
    table: MutableMapping[str, str] = {} if uid_table is None else uid_table
    wanted = {keyword_of(name[:1].upper() + name[1:]): value for name, value in (rules or {}).items()}
    clock = Clock(description, table, dates)

    def uid_for(uid: str) -> str:
        return table.setdefault(uid, new_uid()) if uid else uid

    def clean(record: Mapping[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for keyword, value in record.items():
            nested = isinstance(value, list) and any(isinstance(one, dict) for one in value)
            if keyword in wanted:
                kept[keyword] = wanted[keyword]
            elif keyword in UIDS:
                kept[keyword] = uid_for(str(value or ""))
            elif keyword not in IDENTIFIERS and not nested and (value := clock.moved(keyword, value)) is not None:
                kept[keyword] = value
        return kept

    frames = empty_frames(description.frames.shape)
    for index in np.ndindex(frames.shape):
        header: Any = description.frames[index]
        if header is not None:
            sources = tuple(replace(one, sop_uid=uid_for(one.sop_uid), file="") for one in header.sources)
            frames[index] = replace(
                header,
                record=clean(header.record),
                plane=clock.plane(header.plane),
                sources=sources,
                changes=clean(header.changes),
                origin=None,
                tags={name: told for axis in description.axes for name, told in clock.tags(axis, header.tags)},
            )
    meta = description.meta
    template = None if meta.template is None else _template(meta.template, wanted, uid_for, clock)
    changes = {**clean(meta.changes), **dict.fromkeys(IDENTIFIERS[:2], ""), **wanted}
    if not _of_first(description, "StudyInstanceUID"):
        changes["StudyInstanceUID"] = uid_for(uid_below(meta.series_uid, ("study",)))
    changes |= {"PatientIdentityRemoved": "YES", "DeidentificationMethod": METHOD.format(DATES[dates])}
    if dates == "shift":
        changes["LongitudinalTemporalInformationModified"] = "MODIFIED"  # (0028,0303), PS3.3 C.12.1.1.7
    elif dates == "remove":
        changes["LongitudinalTemporalInformationModified"] = "REMOVED"
        changes |= {keyword: wanted.get(keyword, "") for keyword in _EMPTY}
    for keyword in ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        changes.setdefault(keyword, "")
    meta = replace(meta, template=template, changes=changes, series_uid=uid_for(meta.series_uid), notes=())
    grid = description.grid
    if grid is not None:
        grid = replace(grid, frame_of_reference=uid_for(grid.frame_of_reference))
    in_plane = description.in_plane
    if in_plane is not None:
        in_plane = replace(in_plane, frame_of_reference=uid_for(in_plane.frame_of_reference))
    axes = Axes(clock.axis(axis) for axis in description.axes)
    return replace(description, axes=axes, frames=frames, meta=meta, grid=grid, in_plane=in_plane)


class Clock:
    """What becomes of the dates and times of one series.

    Parameters
    ----------
    table
        Days of each patient, completed here.
    dates
        A key of `DATES`.
    """

    def __init__(self, description: Description, table: MutableMapping[str, str], dates: str) -> None:
        self.dates = dates
        self._days, self._first = 0, 0.0
        if dates == "shift":
            patient = _of_first(description, "PatientID")
            days = table.setdefault(f"days of {patient}", str(-1 - secrets.randbelow(_LONGEST_SHIFT)))
            self._days = int(days)
        elif dates == "remove":
            headers = [header for header in description.frames.ravel() if header is not None]
            known = [header.plane.trait("AcquisitionTime") for header in headers]
            read = [time for time in known if time is not None]
            own = [float(axis.values.min()) for axis in description.axes if _is_of_day(axis)]
            self._first = min(read or own, default=0.0)

    def moved(self, keyword: str, value: Any) -> Any:
        """A value of a header; None where it goes."""
        vr = dictionary_vr(tag_for(keyword) or 0)
        if self.dates == "keep" or vr not in ("DA", "TM", "DT"):
            return value
        if self.dates == "shift":
            return [self._moved(vr, one) for one in value] if isinstance(value, list) else self._moved(vr, value)
        if keyword == "AcquisitionTime":
            return self._from_first(value)
        return None

    def _moved(self, vr: str, value: Any) -> Any:
        text = str(value or "")
        if vr == "TM" or not text:
            return value
        try:
            day = datetime.date(int(text[:4]), int(text[4:6]), int(text[6:8])) + datetime.timedelta(self._days)
        except ValueError:
            return ""  # half a date, or none: nothing of it stays
        return day.strftime("%Y%m%d") + (text[8:] if vr == "DT" else "")

    def _from_first(self, value: Any) -> str | None:
        known = seconds(str(value or ""))
        return None if known is None or known < self._first else clock_text(known - self._first)

    def plane(self, plane: Plane) -> Plane:
        """A frame's geometry and traits, its time of day moved."""
        known = plane.trait("AcquisitionTime")
        if self.dates != "remove" or known is None:
            return plane
        number = TRAITS.index("AcquisitionTime")
        traits = (*plane.traits[:number], max(known - self._first, 0.0), *plane.traits[number + 1 :])
        return plane._replace(traits=traits)

    def axis(self, axis: Axis) -> Axis:
        """An axis; one of times of day counts from the first of the series."""
        if self.dates != "remove" or not _is_of_day(axis):
            return axis
        return VariableAxis(axis.name, axis.values - self._start(axis), axis.unit, axis.keyword, axis.directions)

    def _start(self, axis: Axis) -> float:
        """What times of an axis count from: the first image, unless the axis was given times of its own."""
        least = float(axis.values.min())
        return self._first if least >= self._first else least

    def tags(self, axis: Axis, tags: Mapping[str, tuple[Any, Any]]) -> list[tuple[str, tuple[Any, Any]]]:
        """What was set for one image along an axis; a time of day counts from the first of the series."""
        if axis.name not in tags:
            return []
        step, own = tags[axis.name]
        if self.dates != "remove" or not _is_of_day(axis):
            return [(axis.name, (step, own))]
        if not all(isinstance(one, (int, float)) for one in (step, own)):
            return []
        start = self._start(axis)
        return [(axis.name, (step - start, max(own - start, 0.0)))]


def _is_of_day(axis: Axis) -> bool:
    keyword = axis.keyword or KEYWORDS.get(axis.name, axis.name)  # where the values are written
    of_day = dictionary_vr(tag_for(keyword) or 0) == "TM"
    return of_day and axis.values.dtype.kind in "iuf" and len(axis) > 0


def _of_first(description: Description, keyword: str) -> str:
    meta, frames = description.meta, [header for header in description.frames.ravel() if header is not None]
    if keyword in meta.changes:
        return str(meta.changes[keyword])
    if frames:
        return str(frames[0].record.get(keyword, ""))
    return str(meta.template.dataset.get(keyword, "")) if meta.template is not None else ""


def _template(template: Template, wanted: Mapping[str, Any], uid_for: Any, clock: Clock) -> Template:
    from pydicom.dataset import Dataset

    held = Dataset()
    for element in template.dataset:
        if element.VR == "SQ" or element.tag.is_private or element.keyword in IDENTIFIERS:
            continue
        if element.keyword in UIDS:
            setattr(held, element.keyword, uid_for(str(element.value)))
        elif element.keyword not in wanted:
            value = plain_value(element.value)
            moved = clock.moved(element.keyword, value) if element.VR in ("DA", "TM", "DT") else value
            if moved == value:
                held[element.tag] = element
            elif moved is not None:
                setattr(held, element.keyword, moved)
    return Template.of(held)

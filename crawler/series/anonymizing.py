"""A series without its patient: direct identifiers emptied, UIDs replaced, private elements and sequences left out.

Follows PS3.15 table E.1-1 for names, numbers, addresses, persons and institutions. Dates, free texts as descriptions,
and what is burnt into pixels are not looked at: that is for a tool that a protocol names.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.dicom.unique import new_uid
from crawler.series.description import Description, empty_frames
from crawler.series.headers import Template

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
METHOD = "dme series: direct identifiers emptied, UIDs replaced, sequences and private elements left out"


def anonymized(
    description: Description, uid_table: MutableMapping[str, str] | None = None, rules: Mapping[str, Any] | None = None
) -> Description:
    """A description without identifiers.

    Parameters
    ----------
    uid_table
        UID -> UID that stands for it; completed here, so that series of one study stay together.
    rules
        Keyword -> value in place of an empty one; also of elements that are no identifiers.
    """
    table = {} if uid_table is None else uid_table
    wanted = dict(rules or {})

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
            elif keyword not in IDENTIFIERS and not nested:
                kept[keyword] = value
        return kept

    frames = empty_frames(description.frames.shape)
    for index in np.ndindex(frames.shape):
        header: Any = description.frames[index]
        if header is not None:
            sources = tuple(replace(one, sop_uid=uid_for(one.sop_uid), file="") for one in header.sources)
            frames[index] = replace(header, record=clean(header.record), sources=sources, changes=clean(header.changes))
    meta = description.meta
    template = None if meta.template is None else _template(meta.template, wanted, uid_for)
    changes = {**clean(meta.changes), **dict.fromkeys(IDENTIFIERS[:2], ""), **wanted}
    changes |= {"PatientIdentityRemoved": "YES", "DeidentificationMethod": METHOD[:64]}
    for keyword in ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        changes.setdefault(keyword, "")
    meta = replace(meta, template=template, changes=changes, series_uid=uid_for(meta.series_uid), notes=())
    grid = description.grid
    if grid is not None:
        grid = replace(grid, frame_of_reference=uid_for(grid.frame_of_reference))
    return replace(description, frames=frames, meta=meta, grid=grid)


def _template(template: Template, wanted: Mapping[str, Any], uid_for: Any) -> Template:
    from pydicom.dataset import Dataset

    held = Dataset()
    for element in template.dataset:
        if element.VR == "SQ" or element.tag.is_private or element.keyword in IDENTIFIERS:
            continue
        if element.keyword in UIDS:
            setattr(held, element.keyword, uid_for(str(element.value)))
        elif element.keyword not in wanted:
            held[element.tag] = element
    return Template.of(held)

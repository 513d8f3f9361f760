"""What a header says of persons, places and orders: the texts that are searched in all other text.

It reads records and names of folders, and decides nothing: `policy.py` says whose they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from crawler.dicom.dictionary import KeyStyle, key_for, tag_for
from crawler.dicom.record import Record
from crawler.privacy.text import is_vocabulary

# Elements whose values are searched in all text that stays: of the patient, staff, places, the order.
IDENTIFYING = (
    *("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "IssuerOfPatientID"),
    *("PatientMotherBirthName", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "ResponsiblePerson"),
    *("MilitaryRank", "RegionOfResidence", "ResponsibleOrganization", "AccessionNumber", "StudyID", "AdmissionID"),
    *("ReferringPhysicianName", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers"),
    "PhysiciansOfRecord",
    *("ConsultingPhysicianName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName"),
    *("RequestingPhysician", "RequestingService", "ScheduledPerformingPhysicianName", "ReviewerName", "PersonName"),
    *("VerifyingObserverName", "ContentCreatorName", "InstitutionName", "InstitutionAddress", "StationName"),
    *("InstitutionalDepartmentName", "ScheduledProcedureStepID", "PerformedProcedureStepID", "RequestedProcedureID"),
    *("DeviceSerialNumber", "PlateID", "ClinicalTrialSubjectID", "ClinicalTrialSponsorName", "ClinicalTrialSiteName"),
)  # fmt: skip
# Sequences whose items name persons and orders, in the elements above and these.
_SEQUENCES = (
    *("OtherPatientIDsSequence", "RequestAttributesSequence", "ReferringPhysicianIdentificationSequence"),
    *("PerformingPhysicianIdentificationSequence", "OperatorIdentificationSequence", "VerifyingObserverSequence"),
    *("PhysiciansOfRecordIdentificationSequence", "PhysiciansReadingStudyIdentificationSequence"),
    *("ConsultingPhysicianIdentificationSequence", "RequestingPhysicianIdentificationSequence"),
    *("AuthorObserverSequence", "ParticipantSequence", "PersonIdentificationCodeSequence"),
)  # fmt: skip
_OF_PERSONS = "PersonIdentificationCodeSequence"  # its codes and their meanings are of persons
_IDENTIFYING_KNOWN = tuple(word for word in IDENTIFYING if tag_for(word) is not None)


@cache
def identifying_keys(style: KeyStyle) -> tuple[str, ...]:
    """Keys of the elements that identify."""
    return tuple(key_for(word, style) for word in _IDENTIFYING_KNOWN)


@cache
def _sequence_keys(style: KeyStyle) -> frozenset[str]:
    return frozenset(key_for(word, style) for word in _SEQUENCES)


def identifying_values(record: Record, style: KeyStyle) -> tuple[Any, ...]:
    """Values of the elements that identify, in an order of their own; a list is of several values."""
    found = tuple(map(record.get, identifying_keys(style)))
    nested = _sequence_keys(style) & record.keys()
    return (*found, *(text for key in sorted(nested) for text in _nested(record[key], key, style))) if nested else found


@cache
def _all_keys(style: KeyStyle) -> frozenset[str]:
    return frozenset(identifying_keys(style)) | _sequence_keys(style)


def is_same_person(changed: Record, style: KeyStyle) -> bool:
    """Whether elements that two records differ in are none of those that `identifying_values` reads."""
    return _all_keys(style).isdisjoint(changed)


def _nested(items: Any, key: str, style: KeyStyle) -> Iterator[str]:
    """Texts of items that identify."""
    wanted, sequences = identifying_keys(style), _sequence_keys(style)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            for inner, value in item.items():
                if inner in sequences:
                    yield from _nested(value, inner, style)
                elif inner in wanted or key == key_for(_OF_PERSONS, style):
                    yield from _texts(value)


def texts_of(values: tuple[Any, ...]) -> Iterator[str]:
    """All texts in what `identifying_values` gave."""
    for value in values:
        yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, int) and not isinstance(value, bool) and math.isfinite(value):
        yield str(value)


def of_path(folder: str) -> Iterable[str]:
    """Names of folders that may be of persons: without those that the standard's words make up."""
    return [part for part in re.split(r"[/\\]", folder) if part and not is_vocabulary(part)]

"""Studies, patients and cohorts: what a place holds, as mappings from UIDs to series. Voxels stay in their files.

Each is a view of one reading of the place. Whatever cannot be read is in `notes`, and stops nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from crawler.errors import FileError, SourceError
from crawler.series.errors import FieldNotSet, UnknownInputError
from crawler.series.places import find_files, place_name, require_places
from crawler.series.read_dicom import parts_of, read_headers, scans_of
from crawler.series.series import Series, option_mapping, read_options

Child = TypeVar("Child")


class _Collection(Mapping[str, Child], Generic[Child]):
    """A mapping that also counts: ``study[0]``, ``study["2.25..."]``."""

    def __init__(self, children: Mapping[str, Child], notes: list[str], data: Any = None) -> None:
        self._children = dict(children)
        self.notes = notes
        self.data = data

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field of every series: ``studyInstanceUID`` ... or a DICOM keyword."""
        if name.startswith("_") or name in ("notes", "data"):
            object.__setattr__(self, name, value)
            return
        for one in self.all_series():
            one.setDicomAttribute(_keyword(name), value)

    def all_series(self) -> list[Series]:
        """Every series in it, in order."""
        found: list[Series] = []
        for child in self._children.values():
            found += [child] if isinstance(child, Series) else child.all_series()  # type: ignore[attr-defined]
        return found

    def __getitem__(self, key: str | int) -> Child:
        if isinstance(key, int):
            return list(self._children.values())[key]
        return self._children[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def __str__(self) -> str:
        """One line for each part; nothing of the patient."""
        lines = [line for child in self._children.values() for line in str(child).splitlines()]
        return "\n  ".join([f"{type(self).__name__} of {len(self)}", *lines])


class Study(_Collection[Series]):
    """The series of one study, by their UIDs; a further array of a series has ``#2`` and so on behind it.

    Parameters
    ----------
    data
        A place or several, or series in a list or a mapping.
    opts, **options
        As of `Series`.

    Raises
    ------
    SourceError
        The place holds no image, or images of several studies.
    """

    level = "study"

    def __init__(self, data: Any, opts: Any = None, order: Any = "auto", **options: Any) -> None:
        series, notes = _series(data, order, opts, options)
        uids = dict.fromkeys(one.studyInstanceUID for one in series)
        if len(uids) > 1:
            raise SourceError(f"{len(uids)} studies where one is asked for: take a Patient or a Cohort")
        super().__init__(_by_uid(series), notes, data)

    def __getattr__(self, name: str) -> Any:
        """Fields that all series of a study share: ``studyInstanceUID``, ``studyDate`` ... or a DICOM keyword."""
        return _shared(self.all_series(), name)

    def write(self, url: str, opts: Any = None, formats: Any = None, **options: Any) -> list[Any]:
        """Write each series into a folder of its own: ``NUMBER-LAST DIGITS OF THE UID``."""
        return [
            one.write(os.path.join(url, _folder(one, number)), opts, formats=formats, **options)
            for number, one in enumerate(self.values())
        ]

    def anonymize(self, uid_table: MutableMapping[str, str] | None = None, **rules: Any) -> Study:
        """The study without its patient: all series with one table of UIDs and dates (`Series.anonymize`)."""
        return Study(_anonymized(self.all_series(), {} if uid_table is None else uid_table, rules))


class Patient(_Collection[Study]):
    """The studies of one patient, by their UIDs. Parameters and errors as of `Study`."""

    level = "patient"

    def __init__(self, data: Any, opts: Any = None, order: Any = "auto", **options: Any) -> None:
        series, notes = _series(data, order, opts, options)
        if len({_text(one, "PatientID") for one in series}) > 1:
            raise SourceError("several patients where one is asked for: take a Cohort")
        groups = _grouped(series, "StudyInstanceUID")
        super().__init__({uid: Study(some) for uid, some in groups.items()}, notes, data)

    def __getattr__(self, name: str) -> Any:
        """Fields that all studies share: ``patientID``, ``patientName`` ... or a DICOM keyword."""
        return _shared(self.all_series(), name)

    def write(self, url: str, opts: Any = None, formats: Any = None, **options: Any) -> list[Any]:
        """Write each study into a folder of its own, called by its date and the last digits of its UID."""
        written: list[Any] = []
        for uid, study in self.items():
            date = _text(study[0], "StudyDate") or "undated"
            written += study.write(os.path.join(url, f"{date}-{uid[-8:]}"), opts, formats, **options)
        return written

    def anonymize(self, uid_table: MutableMapping[str, str] | None = None, **rules: Any) -> Patient:
        """The studies without their patient: all series with one table of UIDs and dates (`Series.anonymize`)."""
        return Patient(_anonymized(self.all_series(), {} if uid_table is None else uid_table, rules))


class Cohort(_Collection[Patient]):
    """The patients of a place, by their IDs. Parameters and errors as of `Study`."""

    level = "cohort"

    def __init__(self, data: Any, opts: Any = None, order: Any = "auto", **options: Any) -> None:
        series, notes = _series(data, order, opts, options)
        groups = _grouped(series, "PatientID")
        super().__init__({name: Patient(some) for name, some in groups.items()}, notes, data)

    def write(self, url: str, opts: Any = None, formats: Any = None, **options: Any) -> list[Any]:
        """Write each patient into a folder of its own, called by its number: no identifier is in a path."""
        written: list[Any] = []
        for number, patient in enumerate(self.values(), start=1):
            written += patient.write(os.path.join(url, f"patient{number:04d}"), opts, formats, **options)
        return written

    def anonymize(self, uid_table: MutableMapping[str, str] | None = None, **rules: Any) -> Cohort:
        """The studies without their patients, who are called ``patient0001`` and so on (`Series.anonymize`)."""
        table = {} if uid_table is None else uid_table
        told = {name for name in rules if _keyword(name) == "PatientID"}
        found: list[Series] = []
        for number, patient in enumerate(self.values(), start=1):
            own = {} if told else {"PatientID": f"patient{number:04d}"}
            found += _anonymized(patient.all_series(), table, {**own, **rules})
        return Cohort(found)


def _anonymized(series: list[Series], table: MutableMapping[str, str], rules: Mapping[str, Any]) -> list[Series]:
    return [one.anonymize(table, **rules) for one in series]


def _keyword(name: str) -> str:
    """A keyword, also as seeds/002 writes it."""
    return name[:1].upper() + name[1:]


def _series(data: Any, order: Any, opts: Any, options: Mapping[str, Any]) -> tuple[list[Series], list[str]]:
    """All arrays of all series of a place; a series that forms none in the order asked for is read in its own."""
    if isinstance(data, Series):
        return [data], []
    data = list(data.values()) if isinstance(data, Mapping) else data
    if isinstance(data, (list, tuple)) and data and all(isinstance(one, Series) for one in data):
        return list(data), []
    places = require_places(data)
    given = dict(options)
    settings = read_options(order, given.pop("input_format", None), given, option_mapping(opts))
    found = find_files(places)
    instances, _ = read_headers(found.files, found.notes)
    series: list[Series] = []
    for scan in scans_of(instances, settings):
        for attempt in (settings, replace(settings, order="auto")):
            try:
                series += [Series.of_part(part) for part in parts_of(scan, attempt, found.keep, [])]
                break
            except (SourceError, FileError) as error:
                found.notes.append(f"{scan.scan_id}: {error}")
                if settings.strict or attempt.order == "auto":
                    break
    if not series:
        raise UnknownInputError(f"{place_name(places)} holds no image series")
    return series, found.notes


def _by_uid(series: list[Series]) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for one in series:
        uid = one.seriesInstanceUID
        number = 1
        while (key := uid if number == 1 else f"{uid}#{number}") in found:
            number += 1
        found[key] = one
    return found


def _grouped(series: list[Series], keyword: str) -> dict[str, list[Series]]:
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(_text(one, keyword), []).append(one)
    return groups


def _text(series: Series, keyword: str) -> str:
    value = series.studyInstanceUID if keyword == "StudyInstanceUID" else series.getDicomAttribute(keyword)
    return "" if value is None else str(value)


def _shared(series: list[Series], name: str) -> Any:
    """A field that is the same in all series, by our keyword or by the name that seeds/002 gives it."""
    if name.startswith("_"):
        raise AttributeError(name)
    keyword = _keyword(name)
    try:
        values = [one.getDicomAttribute(keyword) for one in series]
    except ValueError:
        raise AttributeError(f"no field {name!r}") from None
    if any(value != values[0] for value in values):
        raise FieldNotSet(f"{keyword} differs between the series")
    return values[0]


def _folder(series: Series, number: int) -> str:
    told = series.getDicomAttribute("SeriesNumber")
    return f"{number if told is None else told}-{series.seriesInstanceUID[-8:]}"

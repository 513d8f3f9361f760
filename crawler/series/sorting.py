"""DICOM files copied into folders: by patient, study and series, a level left out where there is only one.

Folders are called by numbers, dates and UIDs: no name or identifier of a patient is in a path. Nothing is written over.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from crawler.dicom.files import open_file
from crawler.errors import OutputError
from crawler.model import Instance
from crawler.paths import readable
from crawler.series.errors import FileAlreadyExistsError, NoDataReadError
from crawler.series.places import find_files, place_name
from crawler.series.read_dicom import read_headers


def sort_files(places: Sequence[str], destination: str) -> list[str]:
    """Copy the images of some places; return the paths of the copies.

    Raises
    ------
    NoDataReadError
        There is no image.
    FileAlreadyExistsError
        A file of that name is there.
    """
    found = find_files(places)
    instances, _ = read_headers(found.files, found.notes, every=True)
    if not instances:
        raise NoDataReadError(f"{place_name(places)} holds no DICOM image")
    folders = _folders(instances)
    taken: set[str] = set()
    targets = []
    for instance, folder in zip(instances, folders, strict=True):
        base, extension = os.path.splitext(instance.file.name)
        name, number = os.path.join(destination, folder, base + extension), 1
        while name.casefold() in taken:
            number += 1
            name = os.path.join(destination, folder, f"{base}-{number}{extension}")
        taken.add(name.casefold())
        targets.append(name)
    there = next((name for name in targets if os.path.lexists(name)), None)
    if there is not None:
        raise FileAlreadyExistsError(f"{readable(there)} exists: sort into another folder")
    for instance, name in zip(instances, targets, strict=True):
        try:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open_file(instance.file) as source, open(name, "xb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise OutputError(f"{readable(name)} cannot be written: {error.strerror}") from error
    return targets


def _folders(instances: Sequence[Instance]) -> list[str]:
    patients = _numbered([str(one.record.get("PatientID", "")) for one in instances])
    studies = dict.fromkeys(one.study_uid for one in instances)
    series = dict.fromkeys(one.series_uid for one in instances)
    folders = []
    for instance, patient in zip(instances, patients, strict=True):
        levels = []
        if len(set(patients)) > 1:
            levels.append(f"patient{patient:04d}")
        if len(studies) > 1:
            levels.append(_name(str(instance.record.get("StudyDate", "")) or "undated", instance.study_uid))
        if len(series) > 1:
            number = instance.series_number
            levels.append(_name("unnumbered" if number is None else str(number), instance.series_uid))
        folders.append(os.path.join(*levels) if levels else "")
    return folders


def _numbered(names: Sequence[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers) + 1) for name in names]


def _name(front: str, uid: str) -> str:
    safe = "".join(character if character.isalnum() else "-" for character in front)
    return f"{safe}-{uid[-8:]}" if uid else safe

"""From a place to arrays: which reader takes what lies there.

DICOM first; where there is none, files of other formats. A place on a PACS is retrieved into a temporary folder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from crawler.errors import FileError, SourceError
from crawler.pacs.address import is_address
from crawler.series.errors import EmptyImageError, NoDataReadError, NotImageError, UnknownInputError
from crawler.series.places import Found, find_files, place_name
from crawler.series.read_dicom import Part, ReadOptions, choose, parts_of, read_headers, scans_of, squeezed
from crawler.series.read_files import loader_of, read_others

log = logging.getLogger("dme")


def read_parts(places: Sequence[str], options: ReadOptions) -> list[Part]:
    """All arrays of some places.

    Raises
    ------
    NoDataReadError
        Nothing there is an image.
    SourceError
        A place does not exist, or what is there cannot be read.
    """
    found = _find(places, options)
    notes = found.notes
    name = place_name(places)
    parts: list[Part] = []
    others = found.files
    try:
        if options.input_format in ("", "dicom"):
            instances, others = read_headers(found.files, notes)
            for scan in scans_of(instances, options):
                parts += parts_of(scan, options, found.keep, notes)
        for note in notes:
            log.warning("%s", note)
        if options.strict and notes:
            raise SourceError(f"{name}: {len(notes)} files could not be used; the first: {notes[0]}")
        if not parts:
            parts = read_others(others, options.order, options.input_format, options.psopt)
    except FileError as error:
        raise SourceError(f"{name}: {error}") from error
    if not parts:
        raise _nothing(name, found, others, options)
    return [squeezed(part) for part in parts]


def read_one(places: Sequence[str], options: ReadOptions) -> Part:
    """The one array of some places; raises as `read_parts` and `choose`."""
    return choose(read_parts(places, options), options, place_name(places))


def _nothing(name: str, found: Found, others: Sequence[Any], options: ReadOptions) -> SourceError:
    if not found.files:
        return UnknownInputError(f"{name} holds no files")
    if any(note for note in found.notes):
        return NoDataReadError(f"{name}: no image can be read; the first fault: {found.notes[0]}")
    if options.series_uid or options.echo or options.acquisition:
        return UnknownInputError(f"{name} holds no image of the series, echo or acquisition that is asked for")
    if len(others) < len(found.files):
        return EmptyImageError(f"{name} holds DICOM objects, and none of them is an image")
    if any(loader_of(file.name) is not None for file in others):
        return NotImageError(f"{name} holds no image of the format {options.input_format!r}")
    return UnknownInputError(f"{name} holds {len(found.files)} files, and none of them is an image")


def _find(places: Sequence[str], options: ReadOptions) -> Found:
    local = [place for place in places if not is_address(place.strip())]
    found = find_files(local) if local else Found()
    for place in places:
        if is_address(place.strip()):
            from crawler.series.retrieve import retrieve  # loads the PACS part

            folder = retrieve(place.strip(), options.calling_aet, options.timeout)
            arrived = find_files([folder.name])
            found.files += arrived.files
            found.notes += arrived.notes
            found.keep += [folder, *arrived.keep]
    return found

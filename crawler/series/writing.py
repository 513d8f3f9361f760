"""From an array to a target: which format, which names, and that all of it is checked before any of it is in place."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np

from crawler.errors import OutputError, SinkError
from crawler.pacs.address import is_address
from crawler.series.description import Description
from crawler.series.errors import WriteNotImplemented
from crawler.series.file_names import numbered, split_name
from crawler.series.quantize import converted
from crawler.series.read_files import loader_of
from crawler.series.report import WriteOptions, WriteReport
from crawler.series.targets import Target
from crawler.series.write_files import FORMATS, OTHER_NAMES, volume_of

log = logging.getLogger("dme")

_NAMES = {
    "sernum": "series_number",
    "serdes": "series_description",
    "imagetype": "image_type",
    "SOPClassUID": "sop_class",
    "frame": "frame_of_reference",
    "output_sort": "sort",
    "output_dir": "folders",
}
_SORTS = {0: "slice", 1: "tag", "SORT_ON_SLICE": "slice", "SORT_ON_TAG": "tag"}
_OPTIONS = {field.name for field in fields(WriteOptions)} - {"further"}
_READERS_OWN = {"input_order", "output_format", "order", "formats"}
ANY = "%p"
"""In a target stands for the name of the format."""


def write_array(
    values: Any, description: Description, url: str, formats: Sequence[str], options: WriteOptions
) -> WriteReport:
    """Write an array, or send it: what `operations.Operations.write` says, of whose errors these are.

    Parameters
    ----------
    formats
        Names; empty for DICOM, or what the extension of `url` says.
    """
    url = os.fspath(url)
    if is_address(url.strip()):
        from crawler.series.send import send_array  # loads the PACS part

        return send_array(values, description, url.strip(), options)
    extension = next((end for end, _ in FORMATS.values() if url.lower().endswith(end)), "")
    extension = next((end for end in (".nii", ".mp4") if url.lower().endswith(end)), extension)
    asked = dict(zip((OTHER_NAMES.get(name, name) for name in formats), formats, strict=True))
    names = list(asked)
    if not names:
        named = [name for name, (end, _) in FORMATS.items() if extension and end.startswith(extension)]
        names = named or (["mp4"] if extension == ".mp4" else ["dicom"])
    report = WriteReport(url)
    for name in names:
        target, told = url.replace(ANY, asked.get(name, name)), options
        if not os.path.isdir(target):
            target, pattern = split_name(target, _endings_of(name))
            told = replace(options, names=pattern or options.names)
        report = report.joined(_write_format(values, description, target, name, told))
        if len(names) > 1 and ANY not in url and Target(target).is_archive:
            raise WriteNotImplemented(f"an archive holds one format: name it with {ANY} for several")
    for note in report.notes:
        log.warning("%s: %s", url, note)
    return report


def write_options(opts: Any, options: Mapping[str, Any]) -> tuple[WriteOptions, list[str]]:
    """Options of a caller, under their names here or those of seeds/002; and formats that stand among them.

    Raises
    ------
    TypeError
        A name that is none, among those that were given one by one.
    """
    given = {} if opts is None else dict(opts) if isinstance(opts, Mapping) else dict(vars(opts))
    formats = given.get("output_format") or []
    found: dict[str, Any] = {}
    further: list[tuple[str, Any]] = []
    for source, strict in ((given, False), (options, True)):
        for name, value in source.items():
            key = _NAMES.get(name, name)
            if value is None:
                continue
            if key in _OPTIONS:
                found[key] = value
            elif strict and (name[:1].isupper() or name == "fps"):
                further.append((name, value))
            elif strict and name not in _READERS_OWN:
                raise TypeError(f"unknown option {name!r}")
    found["sort"] = _SORTS.get(found.get("sort", "slice"), found.get("sort", "slice"))
    if found["sort"] not in ("slice", "tag"):
        raise ValueError('sort is "slice" or "tag"')
    made = WriteOptions(**found)
    return replace(made, further=tuple(further)), [formats] if isinstance(formats, str) else list(formats)


def _endings_of(name: str) -> tuple[str, ...]:
    """What the names of a format's files end in."""
    if name in ("dicom", "nifti"):
        return {"dicom": (".dcm", ".ima"), "nifti": (".nii", ".nii.gz")}[name]
    return (_writer_of(name)[0],)


def _write_format(values: Any, description: Description, url: str, name: str, options: WriteOptions) -> WriteReport:
    if name == "dicom":
        return _write_dicom(values, description, url, options)
    extension, function = _writer_of(name)
    if options.names.lower().endswith(".nii"):
        extension = ".nii"
    with Target(url, options.replace) as target:
        path = os.path.join(target.folder, numbered(options.names or "Image", 0, 1, extension))
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            function(path, converted(values, options.dtype), description, options)
        except OSError as error:
            raise OutputError(f"{name} cannot be written: {error.strerror or type(error).__name__}") from error
        if name in FORMATS and name != "png":
            _check(path, converted(values, options.dtype), description)
        placed = target.publish(lambda path: True)
    return WriteReport(url, tuple(placed))


def _write_dicom(values: Any, description: Description, url: str, options: WriteOptions) -> WriteReport:
    from crawler.series.write_dicom import DicomWriter, is_ours  # loads pydicom

    if options.kind == "image":
        make = DicomWriter(values, description, options).write
    else:
        from crawler.series.write_highdicom import write_special  # needs highdicom

        make = partial(write_special, values=values, description=description, options=options)
    with Target(url, options.replace) as target:
        if not target.is_archive and os.path.isdir(target.path):
            _require_no_other_images(target)
        report = make(target.folder)
        placed = target.publish(is_ours)
    return replace(report, target=url, files=tuple(placed))


def _require_no_other_images(target: Target) -> None:
    """Raise where DICOM files already lie in a folder: old images among new ones would be one series to a reader."""
    from crawler.series.errors import FileAlreadyExistsError
    from crawler.series.write_dicom import is_ours

    for place, _, names in os.walk(target.path):
        for name in sorted(names):
            path = os.path.join(place, name)
            if not _is_dicom(path):
                continue
            if not (target.replace and is_ours(path)):
                raise FileAlreadyExistsError(
                    f"the folder holds DICOM files already, as {name}: write into another one"
                    + ("" if target.replace else ", or with replace=True where they are ours")
                )
            os.unlink(path)


def _is_dicom(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _check(path: str, values: Any, description: Description) -> None:
    """Read a file back, and compare values and place."""
    loader = loader_of(path)
    if loader is None:
        return
    found, read = loader(path, "")
    wanted, known = values, description
    if found.shape != wanted.shape or read.axes.names != known.axes.names:
        from crawler.series.planes import plane_stack

        stack = plane_stack(wanted, known)
        wanted = stack.values
        known = replace(known, grid=stack.grid)
        while found.ndim < wanted.ndim and wanted.shape[0] == 1:
            wanted = wanted[0]
        while wanted.ndim < found.ndim and found.shape[0] == 1:
            found = found[0]
    if wanted.dtype == bool:
        wanted = wanted.astype(found.dtype)
    same = found.shape == wanted.shape and np.array_equal(found, wanted, equal_nan=wanted.dtype.kind in "fc")
    placed = True
    if known.is_placed and known.grid is not None and read.grid is not None and read.is_placed:
        size = float(np.abs(known.grid.matrix).max())
        placed = float(np.abs(read.grid.matrix - known.grid.matrix).max()) <= 1e-5 * max(size, 1.0)
    if not same or not placed:
        what = "values" if not same else "place"
        raise OutputError(f"a written file reads back with other {what}: nothing was put in place")


def _writer_of(name: str) -> tuple[str, Any]:
    """Extension and function of a format."""
    if name in FORMATS:
        return FORMATS[name]
    if name == "mp4":
        from crawler.series.movies import write_mp4  # needs ffmpeg

        return ".mp4", write_mp4
    from crawler.sinks.writers import writer_of

    found = writer_of(name)
    if found is None:
        raise WriteNotImplemented(f"unknown format {name!r}: dicom, {', '.join(FORMATS)}, mp4")
    return found[0], partial(_call, name, found[1])


def _call(name: str, function: Any, path: str, values: Any, description: Description, options: WriteOptions) -> None:
    """Call a writer of another package."""
    from crawler.sinks.writers import call_writer

    try:
        call_writer(name, function, path, volume_of(values, description))
    except SinkError as error:
        raise OutputError(str(error)) from error

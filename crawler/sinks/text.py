"""The header of a file as a text that a person reads: key information first, then every element as a tree.

Made from the record, so that the file is not opened again: binary values appear with their type and length. The text
holds what the header holds, patient data too; its name does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from crawler.dicom.dictionary import KeyStyle, dictionary_vr, key_for
from crawler.dicom.flat import tag_of
from crawler.model import Product
from crawler.sinks.base import Target, discard, writing

EXTENSION = ".txt"
# What dicom_converter.py put first, in its order.
KEY_INFORMATION = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "StudyDescription", "SeriesDescription",
    "Modality", "InstitutionName", "Manufacturer", "ManufacturerModelName",
    "ImageComments", "StudyComments", "SeriesNumber", "InstanceNumber", "ImageType",
    "PhotometricInterpretation", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope",
)  # fmt: skip
_RULE = "=" * 80
_INDENT = "  "
# Ends of lines in text (PS3.5 6.1.3), and what else Python takes for one.
_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def write_text(record: Mapping[str, Any], keys: KeyStyle, target: Target) -> list[Product]:
    """Write the report of one file beside its media.

    Parameters
    ----------
    record
        As `record.make_record` made it, in its order.
    keys
        Style of the record's keys.

    Returns
    -------
    list of Product
        The one file, of kind "text": UTF-8, lines ended by a line feed.

    Raises
    ------
    SinkError
        The target cannot be written. Nothing is in place then.
    OutputError
        The disk is full.
    """
    scratch = target.scratch(EXTENSION)
    try:
        with writing(), open(scratch, "x", encoding="utf-8", errors="replace", newline="\n") as file:
            _write(file, record, keys)
    except BaseException:
        discard(scratch)
        raise
    return [target.publish(scratch, EXTENSION, "text")]


def _write(file: TextIO, record: Mapping[str, Any], keys: KeyStyle) -> None:
    file.write(f"{_RULE}\nDICOM Metadata\n{_RULE}\n\nKey Information:\n{'-' * 80}\n")
    for keyword in KEY_INFORMATION:
        value = record.get(key_for(keyword, keys))
        if value not in (None, []):
            file.write(f"{keyword}: {_plain(value, _INDENT)}\n")
    file.write(f"\n{_RULE}\nComplete DICOM Header:\n{_RULE}\n\n")
    file.writelines(f"{line}\n" for line in _tree(record, "", keys))


def _tree(record: Mapping[str, Any], indent: str, keys: KeyStyle) -> Iterator[str]:
    """Lines of a data set: tag, VR, name, value; the items of a sequence are numbered and indented below it."""
    for name, value in record.items():
        key = _told(name, value, keys)
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield f"{indent}{key}: {len(value)} item{'s' if len(value) > 1 else ''}"
            for number, item in enumerate(value, 1):
                yield f"{indent}{_INDENT}[{number}]"
                yield from _tree(item, indent + 2 * _INDENT, keys)
        else:
            yield f"{indent}{key}: {_plain(value, indent + _INDENT)}".rstrip(" ")


def _told(key: str, value: Any, keys: KeyStyle) -> str:
    """Tag, VR and name of an element.

    The VR is that of the dictionary, as a record keeps none, but for values that it does not hold. The block of a
    private element that is named without it stays open: ``(0019,xx0C)``.
    """
    tag = tag_of(key, keys)
    if tag is None:
        return key
    open_block = ",xx" in key
    creator = key.partition(" ")[2].partition("#")[0] if open_block else ""
    vr = value["vr"] if isinstance(value, dict) and "vr" in value else dictionary_vr(tag, creator)
    element = f"xx{tag & 0xFF:02X}" if open_block else f"{tag & 0xFFFF:04X}"
    name = creator if open_block or key.startswith("(") else key
    return " ".join(filter(None, (f"({tag >> 16:04X},{element})", vr, name)))


def _plain(value: Any, indent: str) -> str:
    """A value as text; lines after its first one are indented."""
    if value is None or value == []:
        return ""
    if isinstance(value, dict):  # stands for a value that the record does not hold
        length = "undefined length" if value.get("length") is None else f"{value['length']:,} bytes"
        error = f", {value['error']}" if "error" in value else ""
        return f"<{value.get('vr', 'UN')}, {length}{error}>"
    if isinstance(value, list):
        return "\\".join(_plain(item, indent) for item in value)
    return _LINE_END.sub("\n" + indent, str(value))

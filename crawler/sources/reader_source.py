"""A file of another package's format as a container: the images that its reader makes, each a DICOM file.

From here on they are files like any other, so that every output of a run can be made of them. What a volume says of
itself becomes elements: its place, its axes, DICOM keywords among its metadata. Values stay as they are; a type that
DICOM has no pixels for is refused.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.archives.quota import Quota
from crawler.dicom import uids
from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.files import open_file
from crawler.errors import FileError
from crawler.model import File
from crawler.sources.expanded import ArchiveContents, Expanded, failed
from crawler.sources.readers import FOREIGN, call_reader, reader_of
from crawler.sources.spool import Spool
from crawler.sources.volume import Volume
from crawler.stores.address import is_remote

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SPATIAL = ("slice", "row", "column")
RIGHT_ANGLE = 1e-3
"""Largest cosine between rows and columns: what direction cosines with three decimals leave."""
# What the steps of an axis are told apart by, and the type of its values.
ELEMENTS = {
    "te": "EchoTime", "fa": "FlipAngle", "ti": "InversionTime", "b": "DiffusionBValue", "trigger_time": "TriggerTime",
    "phase": "NominalPercentageOfCardiacPhase", "time": "FrameReferenceTime",
}  # fmt: skip
_INTEGERS = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "uint32", "int32"))
_FLOATS = {"f4": "FloatPixelData", "f8": "DoubleFloatPixelData"}


def expand_file(file: File, spool: str, endings: Sequence[str], quota: Quota) -> Expanded:
    """Read a file by its format's reader, and spool what it holds as DICOM files.

    Parameters
    ----------
    endings
        The formats that are wanted.

    Returns
    -------
    Expanded
        Of a file that cannot be read without members, with an outcome that says why.
    """
    contents = ArchiveContents()
    found = reader_of(os.path.basename(file.path), endings)
    assert found is not None
    try:
        with _on_disk(file, spool, quota) as path, Spool(spool, quota) as copies:
            read = call_reader(found[1], path)
            images = images_of(read, file.key) if isinstance(read, Volume) else iter(read)
            for number, image in enumerate(images):
                content = _bytes_of(image)
                member = file._replace(size=len(content), member=f"{number:05d}.dcm")
                contents.members.append(member._replace(spooled=copies.copy([content])))
    except FileError as error:
        return ArchiveContents().end(failed(error))
    return contents.end()


@contextmanager
def _on_disk(file: File, spool: str, quota: Quota) -> Iterator[str]:
    """A file's path; of one in a remote folder that of a copy, under the same name."""
    if not is_remote(file.root):
        yield file.native
        return
    if file.size > quota.spooled:
        raise FileError("archive too large", f"its copy may take {quota.spooled:,} bytes: copy it first")
    os.makedirs(spool, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=spool) as folder:
        path = os.path.join(folder, os.path.basename(file.path))
        with open_file(file) as source, open(path, "xb") as copy:
            shutil.copyfileobj(source, copy)
        yield path


def images_of(volume: Volume, key: str) -> Iterator[Any]:
    """The planes of a volume as pydicom data sets, in array order.

    Parameters
    ----------
    key
        Of the file that it was read from: UIDs are made of it, so that every run makes the same.

    Raises
    ------
    FileError
        Its axes, its place or its type of values are such as no image can have.
    """
    array, axes = _canonical(volume)
    colour = axes[-1] == "sample"
    leading = axes[: len(axes) - 3 - colour]
    values, keyword = _pixel_values(array, colour)
    matrix = None if volume.affine is None else _matrix(volume.affine)
    outer = [axis for axis in leading if axis not in ELEMENTS][1:]  # a series for each step of these
    for index in np.ndindex(values.shape[: len(leading) + 1]):
        steps = dict(zip(leading, index, strict=False))
        series = _uid(key, "series", *(steps[axis] for axis in outer))
        plain = _header(volume, series, _uid(key, "image", *index), _uid(key, "study"))
        plain.InstanceNumber = int(np.ravel_multi_index(index, values.shape[: len(index)])) + 1
        for axis, step in steps.items():
            _set_step(plain, volume, axis, step)
        if matrix is not None:
            _set_place(plain, matrix, index[-1], values.shape[len(leading)], _uid(key, "frame of reference"))
        _set_pixels(plain, values[index], keyword, colour)
        yield plain


def _canonical(volume: Volume) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """The array with at least slice, row and column, in that order behind the others."""
    array = volume.array
    count = array.ndim
    if volume.axes and (len(volume.axes) != count or len(set(volume.axes)) != count):
        raise FileError("unusable volume", f"{len(volume.axes)} names for {count} axes")
    axes = list(
        volume.axes or [*(f"axis{number}" for number in range(max(count - 3, 0))), *SPATIAL[max(3 - count, 0) :]]
    )
    if {"row", "column"} - set(axes) or count < 2:
        raise FileError("unusable volume", "it has no axes row and column")
    if "slice" not in axes:
        array, axes = array[None], ["slice", *axes]
    last = [*SPATIAL, *(["sample"] if "sample" in axes else [])]
    order = [*(axis for axis in axes if axis not in last), *last]
    return array.transpose([axes.index(axis) for axis in order]), tuple(order)


def _pixel_values(array: npt.NDArray[Any], colour: bool) -> tuple[npt.NDArray[Any], str]:
    """Values in a type that an image may have, none of them changed, and the element that holds them."""
    if colour:
        if array.dtype != np.uint8 or array.shape[-1] != 3:
            raise FileError("unusable volume", "colour is three samples of uint8")
        return array, "PixelData"
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize <= 8:
        code = "f8" if array.dtype.itemsize == 8 else "f4"
        return array.astype(code), _FLOATS[code]
    if kind in "iub":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for dtype in _INTEGERS if array.dtype.newbyteorder("=") not in _INTEGERS else (array.dtype.newbyteorder("="),):
            info = np.iinfo(dtype)
            if info.min <= low and high <= info.max:
                return array.astype(dtype), "PixelData"
    raise FileError("unusable volume", f"DICOM has no pixels for its values ({array.dtype})")


def _matrix(affine: Any) -> npt.NDArray[np.float64]:
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise FileError("unusable volume", "its affine cannot be inverted")
    row, column = (matrix[:3, number] / np.linalg.norm(matrix[:3, number]) for number in (1, 2))
    if abs(float(row @ column)) > RIGHT_ANGLE:
        raise FileError("unusable volume", "its rows and columns are not at right angles, which no image can say")
    return matrix


def _header(volume: Volume, series: str, image: str, study: str) -> Any:
    from pydicom.dataset import Dataset  # slow to load

    plain = Dataset()
    plain.SpecificCharacterSet = "ISO_IR 192"
    plain.SOPClassUID, plain.SOPInstanceUID = SECONDARY_CAPTURE, image
    plain.StudyInstanceUID, plain.SeriesInstanceUID = study, series
    plain.Modality, plain.ConversionType = "OT", "WSD"
    for keyword, value in volume.metadata.items():
        tag = tag_for(keyword)
        if tag is None or tag >> 16 in (0x0002, 0x0028, 0x7FE0) or dictionary_vr(tag) in ("SQ", "UN", "OB", "OW"):
            continue
        _set(plain, keyword, value)
    return plain


def _set(plain: Any, keyword: str, value: Any) -> None:
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    vr = dictionary_vr(tag_for(keyword) or 0)
    if vr in ("DS", "IS"):
        value = [_number(one, vr) for one in value] if isinstance(value, (list, tuple)) else _number(value, vr)
    try:
        setattr(plain, keyword, value)
    except FOREIGN as error:
        raise FileError("unusable volume", f"{keyword} cannot have the value that its reader gives") from error


def _number(value: Any, vr: str) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(round(value)) if vr == "IS" else _ds(float(value))
    return value


def _ds(value: float) -> str:
    """A number as a decimal string (PS3.5 6.2): 16 characters at most, all of them used."""
    for digits in range(16, 0, -1):
        text = f"{value + 0.0:.{digits}g}"
        if len(text) <= 16:
            return text
    return "0"


def _set_step(plain: Any, volume: Volume, axis: str, step: int) -> None:
    """Say which step of an axis an image is of."""
    listed = volume.metadata.get(f"axis_{axis}")
    listed = listed.tolist() if isinstance(listed, np.ndarray) else listed
    known = listed[step] if isinstance(listed, (list, tuple)) and step < len(listed) else None
    number = float(known) if isinstance(known, (int, float)) else float(step)
    if axis not in ELEMENTS:
        plain.AcquisitionNumber = step + 1
    elif axis == "time":
        unit = str(volume.metadata.get("axis_time_unit", "s"))
        _set(plain, "FrameReferenceTime", number if unit == "ms" else 1000 * number)  # ms: PS3.3 C.8.9.4
        plain.TemporalPositionIdentifier = step + 1
    else:
        _set(plain, ELEMENTS[axis], number)


def _set_place(plain: Any, matrix: npt.NDArray[np.float64], number: int, count: int, reference: str) -> None:
    step, row, column = (matrix[:3, axis] for axis in range(3))
    place = matrix[:3, 3] + number * step
    along, down = column / np.linalg.norm(column), row / np.linalg.norm(row)
    thickness = abs(float(step @ np.cross(along, down)))
    plain.ImagePositionPatient = [_ds(value) for value in place]
    plain.ImageOrientationPatient = [_ds(value) for value in (*along, *down)]
    plain.PixelSpacing = [_ds(float(np.linalg.norm(row))), _ds(float(np.linalg.norm(column)))]
    plain.SliceThickness = _ds(thickness)
    if count > 1:
        plain.SpacingBetweenSlices = _ds(thickness)
    plain.FrameOfReferenceUID = reference


def _set_pixels(plain: Any, values: npt.NDArray[Any], keyword: str, colour: bool) -> None:
    plain.Rows, plain.Columns = values.shape[:2]
    plain.SamplesPerPixel = 3 if colour else 1
    plain.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        plain.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    plain.BitsAllocated = bits
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    if keyword == "PixelData":
        plain.BitsStored, plain.HighBit = bits, bits - 1
        plain.PixelRepresentation = int(values.dtype.kind == "i")
        plain.PixelData = data + b"\0" * (len(data) % 2)
        plain["PixelData"].VR = "OB" if bits == 8 else "OW"
    else:
        setattr(plain, keyword, data)


def _uid(*parts: Any) -> str:
    """A UID (PS3.5 B.2) that is always the same for the same parts."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, ('dme.readers', *parts)))).int}"


def _bytes_of(image: Any) -> bytes:
    """A data set as a file (PS3.10)."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import dcmwrite

    try:
        meta: Any = getattr(image, "file_meta", None) or FileMetaDataset()
        if "TransferSyntaxUID" not in meta:
            meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
        image.file_meta = meta
        stream = io.BytesIO()
        with quiet_pydicom(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcmwrite(stream, image, enforce_file_format=True)
    except FOREIGN as error:
        raise FileError("not readable by its format", f"an image cannot be written ({type(error).__name__})") from error
    return stream.getvalue()

"""DICOM files made on the spot, for every test of the package.

Small, valid and predictable: what a test wants to be wrong it makes wrong itself, through keywords. Nothing here
imports `crawler`, so that a fault of the package cannot hide in what it is tested on. For handsome pictures see
`crawler.sample`.
"""

from __future__ import annotations

import functools
import math
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

# Cosines of a row (increasing column), then of a column (increasing row): PS3.3 C.7.6.2.1.1.
# "oblique" is axial turned 20 degrees about x, then 15 degrees about z, see `_oblique`.
ORIENTATIONS: dict[str, tuple[float, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
}


def make_uid(*parts: object) -> str:
    """Return the UID below 2.25 (PS3.5 B.2) that always belongs to these parts."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, parts))).int}"


def slice_pixels(number: int, size: tuple[int, int] = (16, 12)) -> np.ndarray:
    """Pixels that say which slice they are, and which way up.

    Returns
    -------
    ndarray, uint16, shape ``size`` (rows, columns)
        Row 0 holds ``number``; below, the pixel at (r, c) holds ``1000 + r * columns + c``.
    """
    rows, columns = size
    values = (1000 + np.arange(rows * columns)).reshape(rows, columns).astype(np.uint16)
    values[0] = number
    return values


def quick_dataset(pixels: np.ndarray | None = None, **keywords: Any) -> Dataset:
    """Return a valid minimal CT instance with file meta, ready for `save`.

    Parameters
    ----------
    pixels
        (rows, columns), (frames, rows, columns) or (..., 3) in colour; 8 to 32-bit integers, float32 or float64. By
        default 4 x 3 pixels of 16 bits. The Image Pixel description follows from it.
    **keywords
        DICOM keywords over the defaults, group 2 included (``TransferSyntaxUID``). None takes an element away.
        Values are not validated: tests need bad ones.
    """
    values = slice_pixels(0, (4, 3)) if pixels is None else pixels
    elements: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"2.25.{uuid.uuid4().int}",
        "Modality": "CT",
        "PatientName": "Test^Quick",
        "PatientID": "QUICK",
        "StudyInstanceUID": make_uid("study"),
        "SeriesInstanceUID": make_uid("series"),
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        **_image_pixel(values),
    }
    elements |= keywords
    meta = FileMetaDataset()
    dataset = Dataset()
    dataset.preamble = bytes(128)
    dataset.file_meta = meta
    with disable_value_validation():
        meta.FileMetaInformationGroupLength = 0  # present, so that pydicom computes it on writing
        meta.FileMetaInformationVersion = b"\x00\x01"
        meta.MediaStorageSOPClassUID = elements["SOPClassUID"]
        meta.MediaStorageSOPInstanceUID = elements["SOPInstanceUID"]
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = make_uid("implementation")
        for keyword, value in elements.items():
            owner = meta if _in_meta(keyword) else dataset
            if value is not None:
                _set(owner, keyword, value)
            elif keyword in owner:
                delattr(owner, keyword)
        if "PixelData" in dataset:
            syntax = UID(meta.get("TransferSyntaxUID", ""))
            encapsulated = syntax.is_transfer_syntax and not syntax.is_private and syntax.is_encapsulated
            # PS3.5 A.2 and A.4: OW when more than 8 bits are allocated, OB of undefined length when encapsulated.
            dataset["PixelData"].VR = "OB" if encapsulated or dataset.get("BitsAllocated") == 8 else "OW"
            dataset["PixelData"].is_undefined_length = encapsulated
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a dataset as it is, faults included, making folders on the way; return ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with disable_value_validation():
        dataset.save_as(path, enforce_file_format=False)
    return path


def ct_series(
    folder: Path,
    n: int = 5,
    orientation: str = "axial",
    *,
    shuffle: bool = False,
    spacing: float = 2.0,
    gap: int | None = None,
    tilt: float = 0.0,
    size: tuple[int, int] = (16, 12),
    uid: str | None = None,
    **keywords: Any,
) -> list[Path]:
    """Write a series of CT slices; return the paths in spatial order (along the normal).

    Slice ``i`` has pixels ``slice_pixels(i, size)``, its first pixel at ``i * spacing`` mm along the normal from
    (-10, -20, -30), in plane 0.5 mm between rows and 0.7 mm between columns.

    Parameters
    ----------
    orientation
        "axial", "sagittal", "coronal" or "oblique".
    shuffle
        Names (``0000.dcm``, ...) and *Instance Number* in another order than the spatial one: odd places first.
    spacing
        mm between first pixels of neighbours.
    gap
        Leave out this position: slices from ``gap`` on lie one spacing further.
    tilt
        Gantry tilt in degrees: the stack leans towards increasing rows; planes are then ``spacing * cos(tilt)`` apart.
    uid
        SeriesInstanceUID; by default one that belongs to the folder's name.
    **keywords
        As for `quick_dataset`; for all slices.
    """
    cosines = np.array(_oblique() if orientation == "oblique" else ORIENTATIONS[orientation], dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    step = spacing * (math.cos(math.radians(tilt)) * normal + math.sin(math.radians(tilt)) * cosines[3:])
    series = uid or make_uid("series", folder.name)
    order = [*range(1, n, 2), *range(0, n, 2)] if shuffle else list(range(n))
    paths = []
    for i, number in enumerate(order):
        place = i if gap is None or i < gap else i + 1
        position = np.array([-10.0, -20.0, -30.0]) + place * step
        elements: dict[str, Any] = {
            "SOPInstanceUID": make_uid(series, i),
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": make_uid(series, "frame of reference"),
            "InstanceNumber": number + 1,
            "ImagePositionPatient": [f"{value:.6f}" for value in position],
            "ImageOrientationPatient": [f"{value:.10f}" for value in cosines],
            "PixelSpacing": [0.5, 0.7],
            "SliceThickness": spacing,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
        }
        dataset = quick_dataset(slice_pixels(i, size), **(elements | keywords))
        paths.append(save(dataset, folder / f"{number:04d}.dcm"))
    return paths


def multiframe(
    path: Path,
    frames: int,
    rows: int,
    columns: int,
    dtype: Any = np.uint16,
    *,
    samples: int = 1,
    fill: Callable[[int], np.ndarray] | None = None,
    **keywords: Any,
) -> Path:
    """Write an uncompressed multi-frame file of any size, one frame in memory at a time.

    Parameters
    ----------
    dtype
        Integers of 8 to 32 bits, float32 or float64 (then *Float Pixel Data* or *Double Float Pixel Data*).
    fill
        Frame number (from 0) -> (rows, columns[, samples]). By default a ramp that starts at the frame number and
        grows by one a pixel, modulo 128, so that it fits every dtype: pixel (0, 0) of frame k is ``k % 128``.

    Raises
    ------
    ValueError
        The pixel data would pass 2**32 - 2 bytes, the most that a 32-bit length says (PS3.5 7.1.1).
    """
    shape = (rows, columns, samples) if samples > 1 else (rows, columns)
    kind = np.dtype(dtype).newbyteorder("<")
    size = math.prod(shape) * kind.itemsize * frames
    if size > 0xFFFFFFFE:
        raise ValueError(f"{size} bytes of pixel data do not fit a 32-bit length")
    ramp = np.arange(math.prod(shape) + 128) % 128
    cycle = [ramp[k : k + math.prod(shape)].reshape(shape).astype(kind).tobytes() for k in range(min(frames, 128))]
    description = _image_pixel(np.empty((1, *shape), dtype=kind))
    keyword = next(name for name in description if name.endswith("PixelData"))
    colour = samples > 1
    multi = MultiFrameTrueColorSecondaryCaptureImageStorage
    elements = {
        "SOPClassUID": multi if colour else MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        "SOPInstanceUID": make_uid(path.name),
        "Modality": "OT",
        **description,
        "NumberOfFrames": frames,
        keyword: None,
    }
    save(quick_dataset(**({"PixelData": None} | elements | keywords)), path)
    tag, vr = {
        "PixelData": (0x0010, b"OB" if kind.itemsize == 1 else b"OW"),
        "FloatPixelData": (0x0008, b"OF"),
        "DoubleFloatPixelData": (0x0009, b"OD"),
    }[keyword]
    padding = size % 2
    with path.open("ab") as stream:
        stream.write(
            b"\xe0\x7f" + tag.to_bytes(2, "little") + vr + b"\x00\x00" + (size + padding).to_bytes(4, "little")
        )
        for k in range(frames):
            stream.write(cycle[k % 128] if fill is None else fill(k).astype(kind).tobytes())
        stream.write(bytes(padding))
    return path


def tiny(path: Path, i: int, series: int = 0) -> Path:
    """Write a valid CT slice of 2 x 2 pixels, by filling a template: for trees of 100,000 files and more.

    The folder must exist. Files of one ``series`` (0 to 999,999) stack: slice ``i`` (0 to 999,999) lies at
    ``z = i`` mm and has *Instance Number* ``i`` and the pixel values ``i % 65,536``.
    """
    data = (
        _tiny_template().replace(b"instanc", b"%d" % (1_000_000 + i)).replace(b"seriess", b"%d" % (1_000_000 + series))
    )
    data = data.replace(b"number", b"%06d" % i)
    path.write_bytes(data[:-8] + (i % 65536).to_bytes(2, "little") * 4)
    return path


@functools.cache
def _tiny_template() -> bytes:
    """Bytes of a tiny file, with words of the right length where `tiny` fills in digits."""
    dataset = quick_dataset(
        np.zeros((2, 2), np.uint16),
        SOPInstanceUID="2.25.seriessinstanc",
        StudyInstanceUID="2.25.1",
        SeriesInstanceUID="2.25.seriess",
        FrameOfReferenceUID="2.25.seriess1",
        InstanceNumber="number",
        ImagePositionPatient="0\\0\\number",
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[1, 1],
        SliceThickness=1,
    )
    stream = BytesIO()
    with disable_value_validation():
        dataset.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


def _in_meta(keyword: str) -> bool:
    """Whether a keyword belongs to group 0002."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return tag >> 16 == 2


def _set(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an element; a text that pydicom cannot convert (*Instance Number* "abc") goes in as its bytes."""
    try:
        setattr(dataset, keyword, value)
    except ValueError:
        tag, raw = Tag(keyword), str(value).encode()
        raw += b" " * (len(raw) % 2)
        dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(raw), raw, 0, False, True)


def _oblique() -> tuple[float, ...]:
    """Cosines of the axial plane turned 20 degrees about x, then 15 degrees about z."""
    a, b = math.radians(20), math.radians(15)
    row = (math.cos(b), math.sin(b), 0.0)
    column = (-math.sin(b) * math.cos(a), math.cos(b) * math.cos(a), math.sin(a))
    return (*row, *column)


def _image_pixel(values: np.ndarray) -> dict[str, Any]:
    """Image Pixel elements of an array (PS3.3 C.7.6.3), pixel data last."""
    colour = values.ndim >= 3 and values.shape[-1] == 3
    plane = values.shape[:-1] if colour else values.shape
    bits = values.dtype.itemsize * 8
    elements: dict[str, Any] = {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "Rows": plane[-2],
        "Columns": plane[-1],
        "BitsAllocated": bits,
    }
    if colour:
        elements["PlanarConfiguration"] = 0
    if len(plane) == 3:
        elements["NumberOfFrames"] = plane[0]
    if values.dtype.kind == "f":
        # PS3.3 C.7.6.24 and C.7.6.25: no Bits Stored, High Bit and Pixel Representation with float pixels.
        keyword = "FloatPixelData" if bits == 32 else "DoubleFloatPixelData"
    else:
        signed = int(values.dtype.kind == "i")
        elements |= {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed}
        keyword = "PixelData"
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    elements[keyword] = data + bytes(len(data) % 2)
    return elements

"""One synthetic DICOM instance: from an array and keywords to a file, always with the same bytes.

What the pictures show and how the tree is laid out is not known here (`tree.py`), nor how to spoil a file
(`damage.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

COMMON: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "StudyDate": "20240229",
    "StudyTime": "101500",
    "ContentDate": "20240229",
    "ContentTime": "101500",
    "AccessionNumber": "",
    "Manufacturer": "dme sample",
    "ManufacturerModelName": "Phantom",
    "ReferringPhysicianName": "",
    "PatientName": "Phantom^Sample",
    "PatientID": "SAMPLE",
    "PatientBirthDate": "",
    "PatientSex": "O",
    "StudyID": "1",
    "Laterality": "",
}


def sample_uid(*parts: object) -> str:
    """Return the UID below 2.25 (PS3.5 B.2) that always belongs to this role in the sample."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(['dme', 'sample', *map(str, parts)])).int}"


def instance(series: str, number: int, sop_class: str, pixels: npt.NDArray[Any], bits: int, **keywords: Any) -> Dataset:
    """Return a data set with the modules that all samples share, uncompressed, explicit little endian.

    Parameters
    ----------
    series
        Role of the series; it names the UIDs and starts with the modality.
    number
        *Instance Number*.
    pixels
        uint8 or uint16: (rows, columns), (frames, rows, columns); with a last axis of 3 when the
        keywords say three *Samples per Pixel*.
    bits
        (0028,0101) *Bits Stored*.
    **keywords
        DICOM keywords of the instance.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = uids.UID(sample_uid("implementation"))
    dataset.file_meta.ImplementationVersionName = "DME_SAMPLE"
    colour = keywords.get("SamplesPerPixel", 1) == 3
    shape = pixels.shape[:-1] if colour else pixels.shape
    elements: dict[str, Any] = {
        **COMMON,
        "SOPClassUID": sop_class,
        "SOPInstanceUID": sample_uid(series, number),
        "StudyInstanceUID": sample_uid(series, "study"),
        "SeriesInstanceUID": sample_uid(series, "series"),
        "Modality": series[:2].upper(),
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": shape[-2],
        "Columns": shape[-1],
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "PixelData": pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(),
    }
    if len(shape) == 3:
        elements["NumberOfFrames"] = shape[0]
    for keyword, value in (elements | keywords).items():
        setattr(dataset, keyword, value)
    # PS3.5 A.2: OW when more than 8 bits are allocated.
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a data set with its preamble and file meta; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def compress_rle(dataset: Dataset) -> Dataset:
    """Compress in place (PS3.5 annex G) by pydicom itself, so that no further package is needed."""
    dataset.compress(uids.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return dataset


def encapsulated(dataset: Dataset, frames: Sequence[bytes], syntax: str) -> Dataset:
    """Put compressed frames in place of the pixel data (PS3.5 A.4)."""
    dataset.file_meta.TransferSyntaxUID = uids.UID(syntax)
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def encode(frame: npt.NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """One frame as a stream of Pillow's writer ``kind``."""
    stream = BytesIO()
    Image.fromarray(frame).save(stream, kind, **options)
    return stream.getvalue()


def stored_values(brightness: npt.NDArray[np.float64], top: int) -> npt.NDArray[Any]:
    """Brightness 0 to 1 as stored values 0 to ``top``."""
    values = np.rint(np.clip(brightness, 0, 1) * top)
    return values.astype(np.uint8 if top < 256 else np.uint16)


def decimal(values: Sequence[float]) -> list[str]:
    """Numbers as decimal strings, at most 16 characters (PS3.5 6.2)."""
    return [f"{float(value):.10g}"[:16] for value in values]

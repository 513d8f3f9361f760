"""A written image that keeps its UID: the data set that it was read from, with nothing changed that was not changed.

Two images of one SOP Instance UID are one image (PS3.3 C.12.1.1.1): private elements, character set, bits and dates are
those of the file. Where that file is gone, or cannot hold the values of the array, there is no such copy.

Here is also what decides whether an image under a new UID is a copy all the same: pixels and place are those of a file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.dicom.elements import PIXEL_TAGS, quiet_pydicom
from crawler.dicom.files import open_file
from crawler.errors import FileError, SourceError
from crawler.instance.header import read_instance
from crawler.instance.traits import seconds
from crawler.model import File
from crawler.series.dicom_elements import set_element
from crawler.series.element_values import plain_value
from crawler.series.grid import Floats, Grid
from crawler.series.headers import FrameHeader
from crawler.series.lazy import FrameReader, FrameRef

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PLACE_TOLERANCE = 1e-3
"""mm, as of what is written (`write_dicom.py`)."""
_COUNTED = "TemporalPositionIdentifier"


def original(file: File) -> Dataset | None:
    """The header that a frame was read from, as pydicom has it; None where the file is gone, or is another one now."""
    from pydicom import dcmread  # slow to load
    from pydicom.dataset import Dataset

    try:
        info = os.stat(file.spooled or file.native)
        if file.member is None and (info.st_size, info.st_mtime_ns) != (file.size, file.mtime_ns):
            return None
        with open_file(file) as stream, quiet_pydicom():
            read = dcmread(io.BytesIO(stream.read()), force=True)
    except (OSError, FileError):
        return None
    plain = Dataset()
    plain.update({element.tag: element for element in read if int(element.tag) not in PIXEL_TAGS})
    return plain


def is_copy(header: FrameHeader | None, values: npt.NDArray[Any], place: Floats | None, grid: Grid) -> bool:
    """Whether an image has the pixels and the place of the file that it was read from.

    The file is decoded again: what was written into an array's values leaves no other trace.

    Parameters
    ----------
    place
        LPS of its first voxel, mm; None for an array without a place.
    grid
        Its rows and columns.
    """
    if header is None or header.origin is None:
        return False
    plane = header.plane
    if place is None:
        unmoved = Grid.of_indices()
        same = all(
            np.array_equal(grid.vectors[name], unmoved.vectors[name])
            and grid.origin @ unmoved.vectors[name] == 0  # not cut off at its start
            for name in ("row", "column")
        )
    else:
        same = (
            _near(plane.position, place, _PLACE_TOLERANCE)
            and _near(plane.orientation, grid.orientation, 1e-6)
            and _near(plane.spacing, grid.spacing[1:], 1e-6)
        )
    return same and _has_pixels(header.origin, values)


def _near(told: Any, wanted: Floats, limit: float) -> bool:
    return told is not None and len(told) == len(wanted) and bool(np.abs(np.subtract(told, wanted)).max() <= limit)


def _has_pixels(file: File, values: npt.NDArray[Any]) -> bool:
    """Whether the only frame of a file has these modality values; False where the file is gone or changed."""
    try:
        instance = read_instance(file)
        reader = FrameReader([instance], [instance.plane(0)])
        pixels = instance.pixels
        if pixels is None or (pixels.rows, pixels.columns, *reader.samples) != values.shape:
            return False
        ref: Any = np.empty((), dtype=object)
        ref[()] = FrameRef(0, 0)
        stored = np.empty(values.shape, reader.dtype)
        reader.read(ref, stored)
    except (OSError, FileError, SourceError):
        return False
    return bool(np.array_equal(stored, values))


def set_pixels(plain: Dataset, values: npt.NDArray[Any]) -> bool:
    """Store values as the header says that its pixels are stored; False where they cannot be."""
    bits, allocated = plain.get("BitsStored"), plain.get("BitsAllocated")
    colour = values.ndim == 3
    photometric = "RGB" if colour else str(plain.get("PhotometricInterpretation", ""))
    if photometric not in ("RGB", "MONOCHROME1", "MONOCHROME2") or plain.get("ModalityLUTSequence"):
        return False
    if not isinstance(bits, int) or allocated not in (8, 16) or bits > allocated or values.dtype.kind not in "iuf":
        return False
    slope, intercept = float(plain.get("RescaleSlope") or 1), float(plain.get("RescaleIntercept") or 0)
    wide = values.astype(np.float64)
    stored = np.rint((wide - intercept) / slope) if slope else wide
    signed = int(plain.get("PixelRepresentation") or 0)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not np.isfinite(wide).all() or stored.min(initial=0) < low or stored.max(initial=0) > high:
        return False
    if not np.array_equal((stored * slope + intercept).astype(values.dtype), values):
        return False
    kind = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    plain.Rows, plain.Columns = values.shape[:2]
    if colour:
        plain.PhotometricInterpretation, plain.PlanarConfiguration = "RGB", 0
    if plain.get("HighBit") != bits - 1:
        plain.HighBit = bits - 1
    data = np.ascontiguousarray(stored.astype(kind)).tobytes()
    plain.PixelData = data + b"\0" * (len(data) % 2)
    plain["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return True


def stored_in(plain: Dataset) -> npt.NDArray[Any]:
    """The stored values of an uncompressed data set of one frame, as a decoder has to give them."""
    samples = int(plain.SamplesPerPixel)
    kind = f"<{'i' if int(plain.PixelRepresentation) else 'u'}{int(plain.BitsAllocated) // 8}"
    shape = (int(plain.Rows), int(plain.Columns), *((samples,) if samples > 1 else ()))
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(plain.PixelData, kind, count).reshape(shape)


def lies_at(plain: Dataset, place: Floats, grid: Grid) -> bool:
    """Whether a header says that its first voxel lies at a place, and its rows and columns run as a grid's."""
    for keyword, wanted, limit in (
        ("ImagePositionPatient", place, _PLACE_TOLERANCE),
        ("ImageOrientationPatient", grid.orientation, 1e-6),
        ("PixelSpacing", grid.spacing[1:], 1e-6),
    ):
        told = plain.get(keyword)
        if told is None or len(told) != len(wanted):
            return False
        if np.abs(np.array([float(one) for one in told]) - wanted).max() > limit:
            return False
    return True


def set_missing(plain: Dataset, elements: Mapping[str, Any]) -> None:
    """Set what an axis says of its step, where the header does not say it already."""
    for keyword, value in elements.items():
        if keyword == _COUNTED and (keyword in plain or len(elements) > 1):
            continue
        if value is not None and not _says(plain, keyword, value):
            set_element(plain, keyword, value)


def set_changed(plain: Dataset, elements: Mapping[str, Any]) -> None:
    """Set, or take away, what a user changed."""
    for keyword, value in elements.items():
        if keyword in ("SOPClassUID", "SOPInstanceUID", "WindowCenter", "WindowWidth"):
            continue
        if value is not None and not _says(plain, keyword, value):
            set_element(plain, keyword, value)
        elif value is None and keyword in plain:
            del plain[keyword]


def _says(plain: Dataset, keyword: str, value: Any) -> bool:
    """Whether an element has a value already, whatever digits it is written with."""
    if keyword not in plain:
        return False
    told = plain_value(plain[keyword].value)
    if dictionary_vr(tag_for(keyword) or 0) == "TM":
        known, wanted = seconds(str(told or "")), seconds(str(value))
        return known is not None and wanted is not None and abs(known - wanted) < 1e-6
    both = [np.ravel(np.asarray(one, dtype=object)).tolist() for one in (told, value)]
    if len(both[0]) != len(both[1]):
        return False
    return all(_same(one, other) for one, other in zip(*both, strict=True))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return bool(np.isclose(float(one), float(other), rtol=1e-9, atol=1e-9))
    return str(one) == str(other)

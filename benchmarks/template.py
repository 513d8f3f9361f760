"""A real DICOM file as a template: other UIDs, number, position and pixels are patched into its bytes.

A quarter of a million files are made this way in the time in which pydicom would write ten thousand. It knows where the
sources lie (packages only) and nothing of folders.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

ROOT = "1.2.826.0.1.3680043.8.498.1"
"""Under pydicom's root, which it gives to all for made-up UIDs. What follows is of fixed width, as are all fields."""
SERIES, INSTANCE, NUMBER, HEIGHT = ROOT + ".1000000", ROOT + ".2000000.20000000", "00900900", "0090090.00"
STEP = 5.0  # mm from slice to slice
VARYING = 16
"""Elements in which the files of a series differ: as in series of GE (350 elements) and Siemens (146) that were counted
(dcm_qa_nih, dcm_qa_me); the least that made-up files could have is five."""
MARKS = tuple(f"07{number:02d}0900" for number in range(VARYING - 5))
TIME_MARKS = tuple(f"07{number:02d}09.0" for number in range(VARYING - 5))
SHIFT = 2 * (7 * 512 + 13)  # bytes; even, so 16-bit pixels stay whole
KEPT = (
    0x00080030, 0x00080031, 0x00180050, 0x00180088, 0x0019100C, 0x00200011, 0x00200013, 0x00281050, 0x00281051,
    0x00281052, 0x00281053, 0x00400245,
)  # fmt: skip
"""Those of the whole series, and those that decide on the array (Siemens' b-value among them)."""
MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture, PS3.4 B.5


@dataclass(frozen=True, slots=True)
class Template:
    """The bytes of one file, with fields to be overwritten.

    Attributes
    ----------
    head
        All up to the pixel data, with the placeholders of this module.
    pixels
        The rest: what a file's pixels are made of.
    native
        Whether pixels are uncompressed and so can be moved about.
    """

    head: bytes
    pixels: bytes
    native: bool = True

    @property
    def size(self) -> int:
        """Bytes of a file."""
        return len(self.head) + len(self.pixels)

    def file(self, series: int, instance: int) -> bytes:
        """A file of its own: the `instance`-th slice, from 0, of the `series`-th series.

        Its pixels are those of the source, shifted: equal statistics, so an honest compression, and no two equal files.
        """
        if not (0 <= series < 900_000 and 0 <= instance < 900_000):
            raise ValueError("series and instance are numbers of six digits")
        head = self.head
        for old, new in (
            (INSTANCE, f"{ROOT}.2{series:06d}.2{instance:07d}"),
            (SERIES, f"{ROOT}.1{series:06d}"),
            (NUMBER, f"{instance + 1:08d}"),
            (HEIGHT, f"{STEP * instance:010.2f}"),
            *((mark, f"{mark[:4]}{instance % 10_000:04d}") for mark in MARKS),
            *((mark, f"{mark[:4]}{instance % 60:02d}.{instance // 60 % 10}") for mark in TIME_MARKS),
        ):
            head = head.replace(old.encode(), new.encode())
        if not self.native:
            return head + self.pixels
        start = SHIFT * (instance + 1) % len(self.pixels)
        return head + self.pixels[start:] + self.pixels[:start]

    def multiframe(self, frames: int) -> Iterator[bytes]:
        """One file of many frames, in pieces: explicit VR little endian, the length of Pixel Data patched."""
        size = frames * len(self.pixels)
        if size > 0xFFFFFFFE:
            raise ValueError("a native Pixel Data element holds less than 4 GiB (PS3.5 7.1.1)")
        yield self.head[:-4].replace(NUMBER.encode(), f"{frames:08d}".encode()) + size.to_bytes(4, "little")
        for _ in range(frames):
            yield self.pixels


def ct(side: int = 512) -> Template:
    """A CT slice as a scanner writes it, cut to `side` x `side`.

    The header of pydicom's CT_small (GE, explicit VR, 265 elements with private ones; its picture is small) with the
    picture of pydicom-data's 693_UNCI (512 x 512 x 16 bit; its header was stripped to 53 elements).
    """
    dataset, picture = _read("pydicom", "data/test_files/CT_small.dcm"), _read("data_store", "data/693_UNCI.dcm")
    for element in picture.group_dataset(0x0028):
        dataset.add(element)
    dataset.PixelData = picture.PixelData
    _cut(dataset, side)
    _mark_plane(dataset)
    return _template(dataset)


def mr() -> Template:
    """A Siemens MR slice with both CSA headers (nibabel's 0.dcm, 256 x 256 x 16 bit, 92 KB of CSA, implicit VR)."""
    dataset = _read("nibabel", "nicom/tests/data/0.dcm")
    _mark_plane(dataset)
    return _template(dataset)


def us() -> Template:
    """A colour cine (pydicom-data's color3d_jpeg_baseline, 120 frames of 480 x 640, JPEG baseline, YBR 4:2:2)."""
    return _template(_read("data_store", "data/color3d_jpeg_baseline.dcm"))


def multiframe() -> Template:
    """One frame of the CT slice in an object of many."""
    dataset = _read("data_store", "data/693_UNCI.dcm")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MULTIFRAME
    dataset.add_new(0x00280008, "IS", NUMBER)  # Number of Frames
    return _template(dataset)


def _read(package: str, path: str) -> Any:
    """A package's file, without what may follow its pixel data."""
    from pydicom import dcmread

    with as_file(files(package) / path) as source:
        dataset = dcmread(source)
    for element in list(dataset):
        if element.tag > 0x7FE00010:
            del dataset[element.tag]
    return dataset


def _cut(dataset: Any, side: int) -> None:
    """Keep a part of a 16-bit picture: a quarter of the way in, since the middle of this one is blanked."""
    rows, columns = dataset.Rows, dataset.Columns
    if side >= min(rows, columns):
        return
    top, left, line = (rows - side) // 4, (columns - side) // 4, 2 * columns
    pixels = dataset.PixelData
    dataset.PixelData = b"".join(
        pixels[row * line + 2 * left : row * line + 2 * (left + side)] for row in range(top, top + side)
    )
    dataset.Rows = dataset.Columns = side


def _mark_plane(dataset: Any) -> None:
    x, y, _ = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [str(x), str(y), HEIGHT]
    dataset.InstanceNumber = NUMBER
    texts = [one for one in dataset if one.VR in ("DS", "IS", "LO", "SH", "TM") and one.VM == 1 and one.tag not in KEPT]
    texts.sort(key=lambda one: (one.VR != "TM", not one.tag.is_private, one.tag))  # times and makers' own vary most
    chosen = [one for one in texts if not one.tag.is_private_creator]
    for one, mark, time in zip(chosen, MARKS, TIME_MARKS, strict=False):
        one.value = time if one.VR == "TM" else mark


def _template(dataset: Any) -> Template:
    """Write the file once, with the placeholders of all files."""
    dataset.SeriesInstanceUID = SERIES
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = INSTANCE
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    written, pixels = buffer.getvalue(), dataset.PixelData
    native = not dataset.file_meta.TransferSyntaxUID.is_compressed
    if not native:
        return Template(written, b"", native)
    if not written.endswith(pixels):
        raise ValueError("pixel data do not end the file")
    return Template(written[: -len(pixels)], pixels)

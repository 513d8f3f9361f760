"""A file's header as bytes and as a pydicom data set, up to the pixels: what templates and users' functions look at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from crawler.dicom import uids
from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.files import open_file
from crawler.model import Instance

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def header_bytes(instance: Instance) -> bytes:
    """Bytes of a file in front of its pixel data; the whole of a deflated file."""
    with open_file(instance.file) as stream:
        pixels = instance.pixels
        if pixels is None or not pixels.offset or instance.transfer_syntax == uids.DeflatedExplicitVRLittleEndian:
            return stream.read()
        return stream.read(pixels.offset)


def header_dataset(instance: Instance) -> Dataset:
    """The same, parsed."""
    from pydicom import dcmread  # slow to load

    with quiet_pydicom():
        return dcmread(io.BytesIO(header_bytes(instance)), force=True, stop_before_pixels=True)

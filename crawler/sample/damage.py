"""Damaged DICOM files, one a way of breaking: what an exporter must report as failed, and survive.

Each is a small valid image that is spoilt in the way that its name says. Nothing is repaired or read here.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import uid as uids
from pydicom.dataset import Dataset

from crawler.sample.specimen import encapsulated, instance

BROKEN: dict[str, str] = {
    "cut_inside_header.dcm": "header",
    "noise_after_prefix.dcm": "header",
    "claims_65535_x_65535.dcm": "pixels",
    "garbage_jpeg_stream.dcm": "pixels",
    "no_rows.dcm": "pixels",
    "pixel_data_cut_short.dcm": "pixels",
    "unknown_transfer_syntax.dcm": "pixels",
}
"""File name -> the stage that must fail, as `FileError.stage` names it."""


def write_broken(folder: Path) -> list[Path]:
    """Write the damaged files of `BROKEN` into a folder, made when absent; return their paths, sorted.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(91).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    whole = _bytes(_picture("pixel_data_cut_short"))
    header = _bytes(_picture("cut_inside_header"))

    too_large = _picture("claims_65535_x_65535")
    too_large.Rows = too_large.Columns = 65535

    no_rows = _picture("no_rows")
    del no_rows.Rows

    unknown = _bytes(_picture("unknown_transfer_syntax"))
    syntax = uids.ExplicitVRLittleEndian.encode()

    contents = {
        # In the middle of the value of (0008,0016) SOP Class UID: nothing that says what the object is survives.
        "cut_inside_header.dcm": header[: header.index(b"\x08\x00\x16\x00UI") + 15],
        # 0xFF: no group, VR or length that a reader could take for an element.
        "noise_after_prefix.dcm": bytes(128) + b"DICM" + b"\xff" * 8 + noise,
        "claims_65535_x_65535.dcm": _bytes(too_large),
        "garbage_jpeg_stream.dcm": _bytes(
            encapsulated(_picture("garbage_jpeg_stream"), [noise[:1000]], uids.JPEGBaseline8Bit)
        ),
        "no_rows.dcm": _bytes(no_rows),
        "pixel_data_cut_short.dcm": whole[:-1000],
        "unknown_transfer_syntax.dcm": unknown.replace(syntax, syntax[:-1] + b"9", 1),
    }
    paths = []
    for name in sorted(BROKEN):
        path = folder / name
        path.write_bytes(contents[name])
        paths.append(path)
    return paths


def _picture(damage: str) -> Dataset:
    """A valid picture of 32 x 32 pixels in a series of its own, before the damage."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    pixels = np.rint(255 * np.clip(1.2 - np.hypot(y, x), 0, 1)).astype(np.uint8)
    return instance(
        f"ot_{damage}",
        1,
        uids.SecondaryCaptureImageStorage,
        pixels,
        8,
        ConversionType="SYN",
        SeriesDescription=damage.replace("_", " "),
    )


def _bytes(dataset: Dataset) -> bytes:
    """Bytes of the file."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()

"""Siemens headers and mosaics made on the spot, and the real ones that nibabel brings along."""

from __future__ import annotations

import importlib
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from crawler.instance.header import read_instance
from crawler.model import File, Instance
from support.factories import quick_dataset, save

with warnings.catch_warnings():  # nibabel calls its readers of DICOM experimental
    warnings.simplefilter("ignore")
    csareader = importlib.import_module("nibabel.nicom.csareader")
    dicomwrappers = importlib.import_module("nibabel.nicom.dicomwrappers")
NICOM = Path(csareader.__file__).parent / "tests" / "data"

TILE = (6, 4)
STEP = 3.0
SPACING = (2.0, 1.5)
CORNER = (-100.0, -80.0, 20.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def csa2(entries: Mapping[str, Sequence[str]], padding: int = 0) -> bytes:
    """A CSA header in the second format; `padding` adds empty items to every entry, as scanners do."""
    out = b"SV10\4\3\2\1" + struct.pack("<2I", len(entries), 77)
    for name, values in entries.items():
        items = [*values, *[""] * padding]
        out += struct.pack("<64si4s3i", name.encode(), len(values), b"LO", 19, len(items), 77)
        for value in items:
            data = value.encode() + b"\0" if value else b""
            out += struct.pack("<4i", len(data), len(data), 77, len(data)) + data + bytes(-len(data) % 4)
    return out


def csa1(entries: Mapping[str, Sequence[str]]) -> bytes:
    """A CSA header in the first format: lengths are too large by the number of items of the first entry."""
    out = struct.pack("<2I", len(entries), 77)
    first = len(next(iter(entries.values())))
    for name, values in entries.items():
        out += struct.pack("<64si4s3i", name.encode(), len(values), b"LO", 19, len(values), 77)
        for value in values:
            data = value.encode() + b"\0"
            out += struct.pack("<4i", len(data) + first, 0, 77, 0) + data + bytes(-len(data) % 4)
    return out


def protocol(*lines: str) -> bytes:
    """A series header whose protocol has these lines."""
    text = "\n".join(["<XProtocol>", "### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData ###", *lines])
    return csa2({"MrPhoenixProtocol": [text + "\n### ASCCONV END ###\n"]})


def montage(tiles: int, size: tuple[int, int] = TILE, dtype: Any = np.uint16) -> np.ndarray:
    """Tile k is filled with 100 + k, but for its first pixel, which is k; the empty places are 0."""
    across = int(np.ceil(np.sqrt(tiles)))
    out = np.zeros((across * size[0], across * size[1]), dtype)
    for tile in range(tiles):
        row, column = tile // across * size[0], tile % across * size[1]
        out[row : row + size[0], column : column + size[1]] = 100 + tile
        out[row, column] = tile
    return out


def mosaic_dataset(
    tiles: int = 5,
    normal: Sequence[float] | None = (0.0, 0.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    entries: Mapping[str, Sequence[str]] | None = None,
    series: bytes = b"",
    **keywords: Any,
) -> Dataset:
    """A mosaic; its CSA image header has `entries` beside number and normal, none at all when the normal is None."""
    elements = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "ImagePositionPatient": list(CORNER),
        "ImageOrientationPatient": [f"{cosine:.10f}" for cosine in orientation],
        "PixelSpacing": list(SPACING),
        "SpacingBetweenSlices": STEP,
        "SliceThickness": 1.0,
    }
    dataset = quick_dataset(montage(tiles), **(elements | keywords))
    table = dict(entries or {})
    if normal is not None:
        table |= {"NumberOfImagesInMosaic": [str(tiles)], "SliceNormalVector": [f"{part:.8f}" for part in normal]}
    if table or series:
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa2(table, padding=3) if table else b"")
        block.add_new(0x20, "OB", series)
    return dataset


def instance_of(dataset: Dataset, path: Path, **options: Any) -> Instance:
    """Write a dataset and read its header."""
    return instance_at(save(dataset, path), **options)


def instance_at(path: Path, **options: Any) -> Instance:
    """Read a file's header."""
    return read_instance(File(str(path.parent), path.name, path.stat().st_size, 1), **options)

"""A tiny distribution of another package, on disk as pip leaves one: it reads and writes a format of its own."""

from __future__ import annotations

from pathlib import Path

ENTRY_POINTS = """\
[dme.readers]
.raw4 = raw4:read
.cards = raw4:read_cards
.broken = raw4:read_nothing
.wrong = raw4:read_wrongly

[dme.writers]
raw4 = raw4:write
grumpy = raw4:write_nothing
absent = no_such_module:write
"""
MODULE = '''\
"""A format of one JSON file: shape, type, axes, affine, values."""

import json

import numpy as np

from crawler import Volume


def read(path):
    with open(path) as file:
        told = json.load(file)
    array = np.array(told["values"], dtype=told["dtype"]).reshape(told["shape"])
    return Volume(array, tuple(told["axes"]), told["affine"], told["metadata"])


def read_cards(path):
    """Two images, as pydicom data sets."""
    from support.factories import quick_dataset

    cards = [quick_dataset(np.full((3, 4), number, np.uint16)) for number in (5, 6)]
    for number, card in enumerate(cards):
        card.SeriesInstanceUID = "1.2.3"
        card.SOPInstanceUID = f"1.2.3.{number}"
        card.ImagePositionPatient = [0, 0, 2 * number]
        card.ImageOrientationPatient, card.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        card.InstanceNumber = number + 1
    return cards


def read_nothing(path):
    raise ValueError("DOE^JANE")


def read_wrongly(path):
    return "a text"


def write(path, volume):
    told = {
        "shape": volume.array.shape,
        "dtype": volume.array.dtype.str,
        "axes": list(volume.axes),
        "affine": None if volume.affine is None else np.asarray(volume.affine).tolist(),
        "values": volume.array.ravel().tolist(),
        "metadata": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in volume.metadata.items()
            if name.startswith("axis_") or name in ("Modality", "SeriesDescription")
        },
    }
    with open(path, "x") as file:
        json.dump(told, file)


def write_nothing(path, volume):
    raise RuntimeError("DOE^JANE")


write.extension = ".raw4"
'''


def install(folder: Path) -> Path:
    """Put the distribution into a folder, to be added to the paths of Python; return the folder."""
    known = folder / "raw4-1.0.dist-info"
    known.mkdir(parents=True)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: raw4\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "raw4.py").write_text(MODULE)
    return folder

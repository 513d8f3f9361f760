"""Layouts for the tests of volume formats, with voxels that tell their index, and a way to write them."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.geometry import affine
from crawler.model import TRAITS, Coordinates, File, Frame, Instance, Layout, Place, Plane, Scan
from crawler.sinks.base import LayoutSubject, Target

SHAPE = (3, 5, 7)
ORIENTATIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "oblique": (0.8, 0.6, 0.0, -0.36, 0.48, -0.8),
}


def matrix(orientation: str = "axial", shear: float = 0.0) -> np.ndarray:
    """Index (slice, row, column) to LPS: voxels of 2.5 x 0.75 x 0.5 mm; `shear` mm along x from slice to slice."""
    cosines = np.array(ORIENTATIONS[orientation])
    step = 2.5 * np.cross(cosines[:3], cosines[3:]) + np.array([shear, 0.0, 0.0])
    made = affine(cosines, (-10.0, -20.0, 30.0), (0.75, 0.5), step)
    assert made is not None
    return made


def subject(
    place: np.ndarray | None = None,
    shape: tuple[int, ...] = SHAPE,
    axes: tuple[str, ...] = ("slice", "row", "column"),
    dtype: Any = np.int16,
    traits: tuple[dict[str, Any], ...] = ({},),
    **attributes: Any,
) -> LayoutSubject:
    """A layout of one file a frame; the files are in an order of their own. `traits` are taken in turn."""
    leading = list(np.ndindex(shape[: axes.index("row")]))
    count = len(leading)
    instances = tuple(
        Instance(
            File("/in", f"säge/{number}.dcm", 1, 1),
            {"PatientName": "Doe^Jane"},
            sop_uid=f"1.2.3.{number}",
            modality="MR",
            planes=(
                Plane(
                    position=(-10.0, -20.0, 30.0 + number),
                    spacing=(0.75, 0.5),
                    slope=2.0,
                    traits=tuple(traits[number % len(traits)].get(name) for name in TRAITS),
                ),
            ),
        )
        for number in range(count)
    )
    places = tuple(Place(count - 1 - number, 0, index) for number, index in enumerate(leading))
    rows = None if place is None else tuple(map(tuple, place.tolist()))
    layout = Layout("", shape, axes, places, rows)
    colour = "RGB" if axes[-1] == "sample" else "MONOCHROME2"
    scan = Scan("folder/s3-0a1b2c3d", "1.2.2", instances)
    return LayoutSubject(scan, layout, np.dtype(dtype), "modality", colour, attributes)


def with_coordinates(made: LayoutSubject, *coordinates: Coordinates) -> LayoutSubject:
    """The same layout, with something known of its further axes."""
    return replace(made, layout=made.layout._replace(coordinates=coordinates))


def voxels(made: LayoutSubject) -> np.ndarray:
    """The whole array: every voxel has a value of its own, as far as its type goes."""
    return np.arange(math.prod(made.layout.shape)).reshape(made.layout.shape).astype(made.dtype)


def write(sink: Any, folder: Any, made: LayoutSubject) -> list[str]:
    """Write a layout, last frame first, and return the paths of its products."""
    temp = folder / "temp"
    temp.mkdir(exist_ok=True)
    sink.open(Target(str(folder / "out"), str(temp)), made)
    everything = voxels(made)
    for place in reversed(made.layout.placement):
        sink.put(place.index, Frame(0, everything[place.index], made.photometric))
    products = sink.close()
    assert os.listdir(temp) == []
    return [product.path for product in products]

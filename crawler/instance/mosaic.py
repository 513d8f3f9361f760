"""Mosaics: the slices of a volume side by side in one image, from left to right, then down.

Siemens' MOSAIC and the VFRAME ("grid") of United Imaging. Says how many tiles there are, where each lies in the
patient, and cuts decoded frames. Where the header does not tell, the image stays what it is for every other program: a
picture without a place. Frames of volumes, and with them *frame numbers* in their provenance, count tiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from crawler.dicom.attributes import Attributes
from crawler.dicom.csa import Csa
from crawler.geometry import Floats, normal
from crawler.instance.traits import seconds, with_traits
from crawler.model import Frame, Instance, Mosaic, Pixels, Plane, Vector

SIEMENS, UNITED = "MOSAIC", "VFRAME"
"""Values of (0008,0008) *Image Type*."""

_MR_HEADER = "SIEMENS MR HEADER"
_COUNT = (0x0019000A, _MR_HEADER)  # NumberOfImagesInMosaic
_TIMES = (0x00190029, _MR_HEADER)  # MosaicRefAcqTimes, ms from the start of the volume
# UIH's private elements (rordenlab/dcm2niix issue 225, from the maker).
_UNITED_HEADER = "Image Private Header"
_UNITED_COUNT = (0x00650050, _UNITED_HEADER)  # MR Number Of Slice In Volume
_UNITED_FRAMES = (0x00650051, _UNITED_HEADER)  # MR VFrame Sequence

MAX_TILES = 2**12
"""More are not believed: a mosaic of 64 x 64 slices of 64 x 64 pixels would be 4,096 pixels wide."""
PARALLEL = 1e-2
"""How far the cosine between *SliceNormalVector* and the normal of the orientation may be from 1 or -1: as
`geometry.UNIT_TOLERANCE`, 8 degrees. Only the sign is taken from the former, which is less exact (as nibabel does)."""


def is_montage(plane: Plane) -> bool:
    """Whether *Image Type* says that slices lie side by side; that of a frame which was taken apart may still."""
    kind = plane.trait("ImageType")
    return isinstance(kind, tuple) and (SIEMENS in kind or UNITED in kind)


def mosaic_of(fields: Attributes, csa: Csa, pixels: Pixels | None) -> Mosaic | None:
    """Return how an image is to be cut.

    Parameters
    ----------
    csa
        Of the image; its NumberOfImagesInMosaic counts, else (0019,xx0A), else the times of the slices, (0019,xx29).

    Returns
    -------
    Mosaic or None
        None for images that are no mosaic, and for mosaics whose number of tiles is not told or does not fit the image.
        Siemens fills a square of ``ceil(sqrt(tiles))`` tiles on a side; UIH leaves out empty rows of tiles.
    """
    kind = fields.value("ImageType")
    count: float | None
    if pixels is None or pixels.frames != 1 or not isinstance(kind, list):
        return None
    if SIEMENS in kind:
        count = csa.number("NumberOfImagesInMosaic") or fields.number(_COUNT) or float(len(fields.each(_TIMES)))
    elif UNITED in kind:
        count = fields.number(_UNITED_COUNT)
    else:
        return None
    if count is None or not count.is_integer() or not 0 < count <= MAX_TILES:
        return None
    tiles = int(count)
    across = math.isqrt(tiles - 1) + 1
    down = across if SIEMENS in kind else -(-tiles // across)
    if min(pixels.rows, pixels.columns) <= 0 or pixels.rows % down or pixels.columns % across:
        return None
    return Mosaic(tiles, across, pixels.rows // down, pixels.columns // across)


def tile_planes(mosaic: Mosaic, plane: Plane, fields: Attributes, csa: Csa) -> tuple[Plane, ...]:
    """Return the planes of the tiles.

    Parameters
    ----------
    plane
        Of the image as a whole; its position does not count.

    Returns
    -------
    tuple of Plane
        One a tile. Their positions are None where the place of the first slice, the step, or the direction in which the
        slices follow each other is not told: the usual order of the maker is no proof.
    """
    kind = fields.value("ImageType")
    if isinstance(kind, list) and UNITED in kind:
        return _united(mosaic, plane, fields)
    positions = _siemens_positions(mosaic, plane, fields, csa)
    start = plane.trait("AcquisitionTime")
    offsets: Sequence[float | None] = csa.numbers("MosaicRefAcqTimes") or fields.each(_TIMES)
    planes = []
    for tile in range(mosaic.tiles):
        traits = plane.traits
        offset = offsets[tile] if len(offsets) == mosaic.tiles else None
        if start is not None and offset is not None:
            traits = with_traits(traits, {"AcquisitionTime": start + offset / 1000})
        planes.append(plane._replace(position=positions[tile] if positions else None, traits=traits))
    return tuple(planes)


def tiles_of(instance: Instance, frame: Frame) -> Iterator[Frame]:
    """Yield the parts of a decoded frame that volumes are made of: the frame itself, or the tiles of a mosaic.

    A tile has its number in place of the frame's, and a copy of its values.
    """
    mosaic = instance.mosaic
    if mosaic is None:
        yield frame
        return
    values: Any = frame.values
    for tile in range(mosaic.tiles):
        row, column = tile // mosaic.across * mosaic.rows, tile % mosaic.across * mosaic.columns
        part = np.ascontiguousarray(values[row : row + mosaic.rows, column : column + mosaic.columns])
        yield replace(frame, number=tile, values=part)


def _siemens_positions(mosaic: Mosaic, plane: Plane, fields: Attributes, csa: Csa) -> list[Vector] | None:
    """Positions of the tiles.

    (0020,0032) is that of the first pixel of a slice as large as the whole mosaic, centred where the slices are
    (nibabel, "DICOM mosaic"; dcm2niix): from there to the first pixel of the first tile it is half the difference of
    the sizes.
    """
    corner = fields.vector("ImagePositionPatient", 3)
    direction = _direction(plane, csa)
    step = _step(fields, csa, mosaic.tiles)
    if corner is None or direction is None or step is None or plane.spacing is None or plane.orientation is None:
        return None
    rows, columns = fields.number("Rows"), fields.number("Columns")
    if rows is None or columns is None:
        return None
    along, down = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    first = np.array(corner)
    first = first + along * plane.spacing[1] * (columns - mosaic.columns) / 2
    first = first + down * plane.spacing[0] * (rows - mosaic.rows) / 2
    return [cast("Vector", tuple((first + tile * step * direction).tolist())) for tile in range(mosaic.tiles)]


def _direction(plane: Plane, csa: Csa) -> Floats | None:
    """Unit vector from a tile's slice to the next one's: the normal of the orientation, or its opposite.

    SliceNormalVector points from the first tile to the last, also where slices are numbered against Siemens' usual
    order (H>>F, L>>R, P>>A; issues 40 of rordenlab/dcm2niix and 75 of BIC-MNI/minc-tools). The protocol's sNormal does
    not know of the numbering: ucImageNumb with the main axis of the normal (Sag, Cor, Tra) reverses it.
    """
    along = normal(plane.orientation)
    if along is None:
        return None
    told = csa.numbers("SliceNormalVector")
    if len(told) != 3:
        axes = [csa.slices.get(f"asSlice[0].sNormal.d{axis}", 0.0) for axis in ("Sag", "Cor", "Tra")]
        main = ("Sag", "Cor", "Tra")[int(np.argmax(np.abs(along)))]
        sign = -1.0 if csa.slices.get(f"ucImageNumb{main}") else 1.0
        told = tuple(sign * axis for axis in axes)
    cosine = float(np.dot(along, told))
    length = math.hypot(*told)
    if not abs(length - 1) <= PARALLEL or not abs(cosine) >= length * (1 - PARALLEL):
        return None
    return along if cosine > 0 else -along


def _step(fields: Attributes, csa: Csa, tiles: int) -> float | None:
    """Distance between slices in mm: (0018,0088), or that of the first and last slice of the protocol by their number.

    *Slice Thickness* says nothing of the gaps between slices.
    """
    spacing = fields.number("SpacingBetweenSlices")
    if spacing is not None and spacing > 0:
        return spacing
    if csa.slices.get("lSize") != tiles or tiles < 2:
        return None
    ends = [
        [csa.slices.get(f"asSlice[{number}].sPosition.d{axis}", 0.0) for axis in ("Sag", "Cor", "Tra")]
        for number in (0, tiles - 1)
    ]
    distance = math.dist(*ends) / (tiles - 1)
    return distance if distance > 0 else None


def _united(mosaic: Mosaic, plane: Plane, fields: Attributes) -> tuple[Plane, ...]:
    """Planes of a grid, which has an item for every slice, with its own position and time."""
    items = fields.items(_UNITED_FRAMES)
    if len(items) != mosaic.tiles:
        return (plane._replace(position=None),) * mosaic.tiles
    planes = []
    for item in items:
        time = seconds(item.text("AcquisitionTime"))
        traits = plane.traits if time is None else with_traits(plane.traits, {"AcquisitionTime": time})
        position = cast("Vector | None", item.vector("ImagePositionPatient", 3))
        planes.append(plane._replace(position=position, traits=traits))
    return tuple(planes)

"""Where written planes lie: on the grid of the array, or, where planes share none, where their own headers put them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crawler.geometry import ORIENTATION_TOLERANCE
from crawler.series.errors import NoGeometry
from crawler.series.grid import Floats, Grid
from crawler.series.planes import PlaneStack, require_writable

UNEVEN = "Planes are not evenly spaced: each lies where its own header put it."


@dataclass(frozen=True, eq=False, slots=True)
class WrittenPlaces:
    """Places of planes, by their index (steps..., slice).

    Attributes
    ----------
    grid
        Directions and spacing of rows and columns; on it the places, unless `own` has them.
    own
        LPS of the first voxel of each plane, shape (..., 3); None where the grid says it.
    """

    grid: Grid
    own: Floats | None = None

    @classmethod
    def of(cls, stack: PlaneStack) -> WrittenPlaces:
        """Of planes.

        Raises
        ------
        NoGeometry
            They have no place, or rows and columns are such as no image can have.
        """
        if stack.grid is not None:
            require_writable(stack.grid)
            return cls(stack.grid)
        own = _own_places(stack)
        if own is None or stack.in_plane is None:
            raise NoGeometry(
                "the array has no geometry: DICOM images need positions. Give it one (a.affine = ..., or "
                "Series(a, geometry=b)), take slices one by one, or write numbers without a place "
                "(Series(numpy.asarray(a), template=b))"
            )
        require_writable(stack.in_plane)
        return cls(stack.in_plane, own)

    def position(self, index: tuple[int, ...]) -> Floats:
        """LPS of the first voxel of a plane, mm."""
        if self.own is not None:
            return np.asarray(self.own[index], dtype=np.float64)
        return self.grid.position(slice=index[-1])

    @property
    def step(self) -> float | None:
        """Distance between neighbouring slices along their normal, mm; None where it is not one for all."""
        return None if self.own is not None else abs(float(self.grid.vectors["slice"] @ self.grid.normal))

    @property
    def placed(self) -> bool:
        """Whether places are those of a patient."""
        return self.own is not None or self.grid.placed


def _own_places(stack: PlaneStack) -> Floats | None:
    """Places by the planes' own headers; None where one has none, or two run in other directions."""
    if stack.in_plane is None or not stack.frames.size:
        return None
    offset = stack.in_plane.origin
    places = np.zeros((*stack.frames.shape, 3))
    first: Any = None
    for index in np.ndindex(stack.frames.shape):
        header: Any = stack.frames[index]
        if header is None or header.plane.position is None or header.plane.orientation is None:
            return None
        first = header.plane.orientation if first is None else first
        if np.abs(np.subtract(first, header.plane.orientation)).max() > ORIENTATION_TOLERANCE:
            return None
        places[index] = np.asarray(header.plane.position, dtype=np.float64) + offset
    return places

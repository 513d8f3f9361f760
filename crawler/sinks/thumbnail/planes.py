"""The three planes that a preview shows of a volume: where they cut it, how they are turned, the letters at the sides.

Geometry of an affine alone: no frame is read and nothing is drawn. Planes follow the axes of the array, and are named
after the plane of the body that they are closest to; an oblique volume is not resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.model import Affine

SLICE, ROW, COLUMN = range(3)
# Where the patient's x, y and z begin and end: LPS (PS3.3 C.7.6.2.1.1).
ENDS = (("R", "L"), ("A", "P"), ("I", "S"))
# Name, then the patient's axes: across the plane, from left to right, from top to bottom; -1 is z from its end. As
# radiologists look at them: from the feet, from the front, from the left.
BODY = (("axial", 2, 0, 1), ("coronal", 1, 0, -1), ("sagittal", 0, 1, -1))


@dataclass(frozen=True, slots=True)
class Letters:
    """What the patient's side is called at each edge of a picture."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A plane through a volume.

    Attributes
    ----------
    name
        "axial", "coronal" or "sagittal".
    across
        Array axis that the plane stands on: `SLICE`, `ROW` or `COLUMN`.
    down, right
        Array axes that run along the picture's height and width.
    flipped
        Whether they run upwards, and to the left.
    """

    name: str
    across: int
    down: int
    right: int
    flipped: tuple[bool, bool]
    letters: Letters

    def turned(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the plane as it is looked at.

        Parameters
        ----------
        picture
            The plane with the two array axes in array order, and the samples of colour behind them.
        """
        upright = picture if self.down < self.right else picture.swapaxes(0, 1)
        return upright[:: -1 if self.flipped[0] else 1, :: -1 if self.flipped[1] else 1]


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Return the distance of neighbours along (slice, row, column), mm."""
    along = np.linalg.norm(np.array(affine)[:3, :3], axis=0)
    return float(along[SLICE]), float(along[ROW]), float(along[COLUMN])


def cuts_of(affine: Affine) -> tuple[Cut, ...]:
    """Return the axial, the coronal and the sagittal plane of a volume, whatever plane it was acquired in."""
    matrix = np.array(affine)[:3, :3]
    cosines = matrix / np.linalg.norm(matrix, axis=0)
    # Each axis of the array stands for one of the patient's: the choice that turns the volume least.
    axes = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[p, axis]) for p, axis in enumerate(axes)))
    backwards = [bool(cosines[p, axis] < 0) for p, axis in enumerate(axes)]
    cuts: list[Cut] = []
    for name, across, right, down in BODY:
        upwards, down = down < 0, down % 3
        top, bottom = reversed(ENDS[down]) if upwards else ENDS[down]
        flipped = (backwards[down] != upwards, backwards[right])
        cuts.append(Cut(name, axes[across], axes[down], axes[right], flipped, Letters(*ENDS[right], top, bottom)))
    return tuple(cuts)

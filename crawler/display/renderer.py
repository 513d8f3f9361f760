"""What media sinks, crops and thumbnails need of whatever shows frames: one method."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from crawler.model import Frame


class Renderer(Protocol):
    """What media sinks need of `display.Display`."""

    def render(self, frame: Frame, bits: int = 8) -> npt.NDArray[Any]:
        """uint8 or uint16 (rows, columns) for 8 or 16 `bits`; uint8 (rows, columns, 3) in colour."""
        ...

"""The frames that a layout still waits for: each comes once, at an index of its own, and fits the array.

Holds indices and no pixels; what is done with a frame that fits is the sink's business.
"""

from __future__ import annotations

import numpy as np

from crawler.errors import SinkError
from crawler.model import Frame
from crawler.sinks.base import LayoutSubject


class MissingFrames:
    """Indices of a layout whose frames have not come yet."""

    def __init__(self, subject: LayoutSubject) -> None:
        self._shape, self._dtype = subject.layout.shape, subject.dtype
        self._expected = len(subject.layout.placement)
        self._missing = {place.index for place in subject.layout.placement}

    def take(self, index: tuple[int, ...], frame: Frame) -> None:
        """Note that a frame has come.

        Parameters
        ----------
        index
            Of the layout's leading axes.
        frame
            ``values``: the layout's last two (in colour three) axes, in a type that fits the subject's without loss.

        Raises
        ------
        SinkError
            Shape, type or index do not belong to the layout.
        """
        shape = self._shape[len(index) :]
        if index not in self._missing:
            raise SinkError("frame out of place", f"index {index} is not expected (any more)")
        if frame.values.shape != shape:
            raise SinkError("frame differs from its layout", f"{frame.values.shape} instead of {shape}")
        if not np.can_cast(frame.values.dtype, self._dtype, "safe"):
            raise SinkError("frame differs from its layout", f"{frame.values.dtype} does not fit {self._dtype}")
        self._missing.remove(index)

    def check_complete(self) -> None:
        """Raise SinkError when a frame is missing."""
        if self._missing:
            raise SinkError("frames missing", f"{len(self._missing)} of {self._expected}")

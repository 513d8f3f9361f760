"""What every part of a series' class works on: voxels, in memory or still on disk, and their description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from crawler.series.description import Description

if TYPE_CHECKING:
    from crawler.series.lazy import LazyArray

Array = npt.NDArray[Any]


class State:
    """Voxels and description.

    A description is frozen: an array that was made of another shares it until one of them gets a new one.
    """

    _data: Array | LazyArray
    _description: Description

    @classmethod
    def _made(cls, data: Array | LazyArray, description: Description) -> Self:
        """A new array of these parts, which fit each other."""
        assert tuple(data.shape) == description.shape, (data.shape, description.shape)
        made = cls.__new__(cls)
        made._data, made._description = data, description
        return made

    def _like(self, data: Array | LazyArray) -> Self:
        return self._made(data, self._description)

    @property
    def description(self) -> Description:
        """Axes, grid, headers and metadata, frozen."""
        return self._description

    @property
    def is_lazy(self) -> bool:
        """Whether the voxels are still on disk."""
        return not isinstance(self._data, np.ndarray)

    @property
    def values(self) -> Array:
        """The voxels as a numpy array, not a copy. What was still on disk is read, and kept."""
        if not isinstance(self._data, np.ndarray):
            self._data = self._data.read()
        return self._data

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self._data.shape)

    @shape.setter
    def shape(self, value: Sequence[int]) -> None:
        raise IndexError("the shape of a series is not set: numpy.asarray(a).reshape(...) gives an array without axes")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self._data.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all values in memory, once they are there."""
        return self.size * self.itemsize

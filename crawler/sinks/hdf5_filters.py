"""HDF5 with other filters than gzip: LZ4 and Zstandard, which readers need hdf5plugin for, and none.

The frames pass through HDF5's own filters here; `hdf5.py` deflates them itself. What the file holds is the same.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.sinks.hdf5 import Hdf5Sink

PLUGIN_IDS = 256  # numbers of filters from here on are registered with the HDF Group, and are plug-ins


class PlainHdf5Sink(Hdf5Sink):
    """Without compression."""

    def _filters(self) -> dict[str, Any]:
        return {}

    def _write_chunk(self, index: tuple[int, ...], values: npt.NDArray[Any]) -> None:
        self._image[index] = np.ascontiguousarray(values, dtype=self._dtype)


class Lz4Hdf5Sink(PlainHdf5Sink):
    """LZ4 behind HDF5's shuffle: bytes of one weight lie together then, as with gzip."""

    needs: ClassVar[tuple[str, ...]] = ("h5py", "hdf5plugin")

    def _filters(self) -> dict[str, Any]:
        import hdf5plugin  # registers its filters when it is loaded

        return {**hdf5plugin.LZ4(), "shuffle": True}


class ZstdHdf5Sink(PlainHdf5Sink):
    """Zstandard at its own default level, 3."""

    needs: ClassVar[tuple[str, ...]] = ("h5py", "hdf5plugin")

    def _filters(self) -> dict[str, Any]:
        import hdf5plugin  # registers its filters when it is loaded

        return {**hdf5plugin.Zstd(), "shuffle": True}


BY_NAME: dict[str, type[Hdf5Sink]] = {
    "gzip": Hdf5Sink,
    "lz4": Lz4Hdf5Sink,
    "zstd": ZstdHdf5Sink,
    "none": PlainHdf5Sink,
}
"""By the names of `volume.compression`."""


def load_filters(dataset: Any) -> None:
    """Have h5py know the filters of a dataset that is about to be read.

    Raises
    ------
    OSError
        It is compressed by a plug-in, and hdf5plugin is not installed.
    """
    properties = dataset.id.get_create_plist()
    if any(properties.get_filter(number)[0] >= PLUGIN_IDS for number in range(properties.get_nfilters())):
        try:
            import hdf5plugin  # noqa: F401 - registers its filters when it is loaded
        except ImportError:
            raise OSError("it is compressed by a plug-in: install hdf5plugin") from None

"""What can be done with a series beside computing: write, resample, show, hand over.

Each is a module of its own, loaded when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from crawler.series.report import WriteReport
from crawler.series.state import State


class Operations(State):
    """Doors to the modules that do the work."""

    def write(
        self,
        url: str | os.PathLike[str],
        opts: Any = None,
        formats: str | Iterable[str] | None = None,
        **options: Any,
    ) -> WriteReport:
        """Write the array, or send it to a PACS.

        Files are made aside, read back, compared, and renamed into place; an existing file is never replaced, but one
        of an earlier write with ``replace=True``.

        Parameters
        ----------
        url
            A folder, a file with the extension of a format, ``file.zip`` (``file.zip?dir``), or
            ``dicom://host:port/AET``. ``%p`` stands for the name of the format.
        opts
            Options as a mapping or a namespace.
        formats
            "dicom" (default), "nifti", "metaimage" ("itk"), "mat", "npz", "hdf5", "png", "mp4", or several.
        **options
            Fields of `WriteOptions`, also as seeds/002 calls them (``sernum``, ``serdes``, ``keep_uid`` ...), or DICOM
            keywords with values.

        Returns
        -------
        WriteReport
            Files, largest rounding error, replaced values, notes.

        Raises
        ------
        FileAlreadyExistsError
            Something that is not replaced is there.
        NoGeometry, LossRefused, WriteNotImplemented
            The format cannot hold the array, or not without a loss that nobody agreed to.
        OutputError
            A file cannot be written, or does not read back as it should.
        """
        from crawler.series.writing import write_array, write_options

        settings, told = write_options(opts, options)
        names = [formats] if isinstance(formats, str) else list(formats or told)
        return write_array(self.values, self._description, os.fspath(url), names, settings)

    def view(self, *others: Any, **options: Any) -> Any:
        """Look at the array, and at others beside it: ``a.view()``, ``a.view(b)``, ``a.view([b, c])``.

        Parameters
        ----------
        *others
            Series; or a type of numpy, which gives a plain array of the same bytes, as ``ndarray.view`` does.
        **options
            ``window`` (centre, width), ``link``, ``colormap``, ``block`` (whether to wait until it is closed).

        Returns
        -------
        matplotlib.figure.Figure
            Drawn, also where there is no display.
        """
        if others and isinstance(others[0], (str, type, np.dtype)):
            return self.values.view(*others, **options)
        from crawler.series.viewer import show

        listed = [one for other in others for one in (other if isinstance(other, (list, tuple)) else [other])]
        return show([self, *listed], **options)

    def show(self, *others: Any, **options: Any) -> Any:
        """As `view`, without waiting."""
        return self.view(*others, **{"block": False, **options})

    def get_roi_mask(self, vertices: Any) -> Any:
        """A mask of polygons, uint8, with the place of the slices.

        Parameters
        ----------
        vertices
            Slice -> (row, column) of each corner; or one list of corners, for every slice.
        """
        from crawler.series.roi import roi_mask

        slices = self._description.sizes.get("slice", 1)
        polygons = vertices if isinstance(vertices, dict) else dict.fromkeys(range(slices), vertices)
        return roi_mask(self, polygons)

    def statistics(self, mask: Any = None) -> Any:
        """Least, greatest, mean, deviation, median of finite values, where a mask is not 0."""
        from crawler.series.statistics import statistics

        return statistics(self, mask)

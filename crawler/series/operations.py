"""What can be done with a series beside computing: write, resample, show, hand over.

Each is a module of its own, loaded when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

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

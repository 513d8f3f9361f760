"""What can be done with a series beside computing: write, resample, show, hand over.

Each is a module of its own, loaded when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

from crawler.series.errors import GeometryMismatch, NoGeometry
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
            A folder, ``file.zip`` (``file.zip?dir``), or ``dicom://host:port/AET``. Files are named by an extension, or
            a place for a number: ``dir/map.nii.gz``, ``dir/Scan_{:03d}.dcm``. ``%p`` stands for the name of the format.
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

    def resample(
        self,
        like: Any = None,
        spacing: Any = None,
        interpolation: str = "linear",
        fill: float = 0,
    ) -> Self:
        """Interpolate at the voxels of another series, or at another spacing.

        Parameters
        ----------
        like
            A series, whose grid is taken.
        spacing
            In place of it: mm between slices, rows, columns, over the same extent.
        interpolation
            "nearest", "linear" or "cubic". Integers are rounded into their type.
        fill
            Value of voxels outside of this array.

        Raises
        ------
        NoGeometry
            One of the arrays has no place in a patient.
        GeometryMismatch
            Both name a frame of reference, and not the same: what they show of each other's places is not known.
        """
        from crawler.series.resampling import resample, spaced_grid

        own = self._description
        if own.grid is None or not own.is_placed:
            raise NoGeometry("only an array with a place in the patient is resampled")
        if (like is None) == (spacing is None):
            raise ValueError("give like= or spacing=")
        if like is None:
            grid, sizes = spaced_grid(own.grid, own.sizes, list(spacing))
        else:
            grid, sizes = like.description.grid, like.description.sizes
            if grid is None or not grid.placed:
                raise NoGeometry("the other array has no place in the patient")
            both = {grid.frame_of_reference, own.grid.frame_of_reference} - {""}
            if len(both) > 1:
                raise GeometryMismatch("the arrays have different frames of reference")
        return self._made(*resample(self.values, own, grid, sizes, interpolation, fill))

    def align(self, reference: Any, interpolation: str = "linear", force: bool = False, fill_value: float = 0) -> Self:
        """As ``resample(like=reference)``; with `force` whatever the frames of reference are."""
        aligned = self
        if force and self._description.grid is not None and reference.description.grid is not None:
            uid = reference.description.grid.frame_of_reference
            grid = replace(self._description.grid, frame_of_reference=uid)
            aligned = self._made(self._data, replace(self._description, grid=grid))
        return aligned.resample(reference, None, interpolation, fill_value)

    def canonical(self, code: str = "RAS") -> Self:
        """The array with column, row and slice running towards three directions, as near as its axes allow.

        No voxel is interpolated, and none moves in the patient.
        """
        from crawler.series.resampling import canonical

        return self._made(*canonical(self.values, self._description, code))

    def match(self, other: Any) -> Self:
        """The array turned, cropped and padded with 0 to the grid of another, without interpolation.

        Raises
        ------
        GeometryMismatch
            The grids are not parts of one.
        """
        from crawler.series.resampling import match

        return self._made(*match(self.values, self._description, other.description))

    def to_nibabel(self) -> Any:
        """A `nibabel.Nifti1Image`."""
        from crawler.series import interop

        return interop.to_nibabel(self.values, self._description)

    def to_sitk(self) -> Any:
        """A `SimpleITK.Image`."""
        from crawler.series import interop

        return interop.to_sitk(self.values, self._description)

    def to_xarray(self) -> Any:
        """An `xarray.DataArray`."""
        from crawler.series import interop

        return interop.to_xarray(self.values, self._description)

    def to_torch(self) -> Any:
        """A `torch.Tensor`."""
        from crawler.series import interop

        return interop.to_torch(self.values, self._description)

    @classmethod
    def from_nibabel(cls, image: Any, template: Any = None) -> Any:
        """An array from an image of nibabel; headers from a template."""
        from crawler.series import interop

        made: Any = cls._made(*interop.from_nibabel(image))
        return made if template is None else type(made)(made, template=template)

    @classmethod
    def from_sitk(cls, image: Any, template: Any = None) -> Any:
        """An array from an image of SimpleITK; headers from a template."""
        from crawler.series import interop

        made: Any = cls._made(*interop.from_sitk(image))
        return made if template is None else type(made)(made, template=template)

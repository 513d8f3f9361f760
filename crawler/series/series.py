"""`Series`: an image series as an array that knows where it is, from whatever place it comes.

What it does as an array stands in `array.py`, what its header says in `elements.py`, where it lies in
`geometry_fields.py`. Here is how it comes to be.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crawler.dicom.dictionary import tag_for
from crawler.dicom.unique import new_uid
from crawler.series.array import SeriesArray
from crawler.series.axis import SAMPLE, Axes, counted, default_names
from crawler.series.description import Description, empty_frames
from crawler.series.elements import Elements
from crawler.series.errors import MultipleSeriesError
from crawler.series.geometry_fields import GeometryFields
from crawler.series.grid import Grid
from crawler.series.headers import Meta
from crawler.series.operations import Operations
from crawler.series.places import require_places
from crawler.series.read_dicom import Part, ReadOptions
from crawler.series.reading import read_one, read_parts
from crawler.series.showing import Showing
from crawler.series.templates import with_geometry, with_template

_READ = {field.name for field in fields(ReadOptions)}
_OTHER_NAMES = {
    "input_serinsuid": "series_uid",
    "input_echo": "echo",
    "input_acquisition": "acquisition",
    "accept_duplicate_tag": "accept_duplicates",
}
# Options of seeds/002 that ask for what is done anyway.
_DONE_ANYWAY = {
    "sort_on_slice_location", "skip_broken_series", "auto_sort", "split_acquisitions", "input_sort",
    "split_echo_numbers", "slice_tolerance", "dir_cosine_tolerance", "input_shape", "correct_acq", "strict_values",
}  # fmt: skip


class Series(Operations, Showing, GeometryFields, Elements, SeriesArray):
    """A medical image series: an array with axes, a place in the patient, and headers.

    Parameters
    ----------
    data
        A place to read (folder, file, glob, archive, ``file.zip?dir``, ``dicom://host:port/AET/study/series``), a list
        of places that hold one series, an array or anything that becomes one, or a Series (copied).
    order
        Of the axes before the slices: "auto" (what the headers tell), "none", "time", "trigger_time", "b", "bvector",
        "dti", "te", "fa", "ti", "echo", "phase", a DICOM keyword, a function of a pydicom header, or several in a list
        or with commas, outermost first.
    opts
        Further options as a mapping or a namespace.
    input_format
        The only format to look for: "dicom", "nifti", "metaimage" ("itk"), "mat", "npz", "hdf5", "image", "ps".
    template
        Series or place: headers for written files, and values of axes, come from there.
    geometry
        Series or place: position and orientation come from there.
    axes
        Axes, one a dimension, in place of those that were read.
    dtype
        Of the voxels.
    **options
        See `ReadOptions`; other names name orders (``ti="InversionTime"``). ``headers_only=True`` leaves voxels in
        their files, as `Series.open` does: the array has its shape, and reads them when they are looked at.

    Raises
    ------
    MultipleSeriesError
        There are several arrays; `Series.read_all` gives them all.
    CannotSort
        The images do not form an array in that order, or with ``strict=True`` no regular volume.
    SourceError
        The place cannot be read.
    GeometryMismatch
        `geometry` is that of another shape.

    Examples
    --------
    >>> a, b = Series("dirA", "time"), Series("dirB", "time")  # doctest: +SKIP
    >>> ((a + b) / 2).write("dirMean")  # doctest: +SKIP
    """

    def __init__(
        self,
        data: Any,
        order: Any = "auto",
        opts: Any = None,
        input_format: str | None = None,
        *,
        template: Any = None,
        geometry: Any = None,
        axes: Iterable[Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        **options: Any,
    ) -> None:
        further = option_mapping(opts)
        order = options.pop("input_order", None) or (further.get("input_order") if order == "auto" else None) or order
        template = further.get("template") if template is None else template
        geometry = further.get("geometry") if geometry is None else geometry
        dtype = further.get("dtype") if dtype is None else dtype
        lazy = options.pop("headers_only", further.pop("headers_only", False))
        if _is_place(data):
            part = read_one(require_places(data), read_options(order, input_format, options, further))
            self._data, self._description = part.data, part.description
        else:
            self._data, self._description = _from_array(data, order)
        self._finish(template, geometry, axes, dtype)
        if lazy in (False, None, "", "False", "false", "0"):
            self._data = self.values

    def _finish(self, template: Any, geometry: Any, axes: Any, dtype: Any) -> None:
        axes = None if axes is None else Axes(axes)
        if axes is not None and (template is not None or geometry is not None):
            self.axes = axes  # their names say what is compared with the others
        if template is not None:
            self._data, self._description = with_template(self._data, self._description, self._described_by(template))
        if geometry is not None:
            self._description = with_geometry(self._description, self._described_by(geometry))
        if axes is not None:
            self.axes = axes
        if dtype is not None and np.dtype(dtype) != self.dtype:
            self._data = self.values.astype(dtype)

    @classmethod
    def open(
        cls, data: Any, order: Any = "auto", opts: Any = None, input_format: str | None = None, **options: Any
    ) -> Self:
        """As `Series(...)`, but voxels stay in their files until they are looked at.

        An index over whole frames reads nothing; ``a[3]`` of 5,000 files opens one when its values are used. A file
        that changed in the meantime is refused.
        """
        further = option_mapping(opts)
        order = options.pop("input_order", None) or (further.get("input_order") if order == "auto" else None) or order
        finish = [options.pop(name, None) for name in ("template", "geometry", "axes", "dtype")]
        part = read_one(require_places(data), read_options(order, input_format, options, further))
        made = cls._made(part.data, part.description)
        made._finish(*finish)
        return made

    @classmethod
    def read_all(cls, data: Any, order: Any = "auto", input_format: str | None = None, **options: Any) -> list[Self]:
        """Every array of a place, in order of series numbers; voxels stay in their files until they are looked at."""
        parts = read_parts(require_places(data), read_options(order, input_format, options))
        return [cls._made(part.data, part.description) for part in parts]

    @classmethod
    def of_part(cls, part: Part) -> Self:
        """An array that was read."""
        return cls._made(part.data, part.description)

    def load(self) -> Self:
        """Read the voxels now, if they are still on disk."""
        self._data = self.values
        return self

    @property
    def header(self) -> Self:
        """The series itself: what seeds/002 keeps in a header are its own fields."""
        return self

    @property
    def input_format(self) -> str:
        """Where the array came from: "dicom", "nifti" ...; empty for one that was made of numbers."""
        return self._description.meta.input_format

    def __repr__(self) -> str:
        if self.is_lazy:
            return f"<Series {self._summary()}, on disk>"
        return np.array_repr(self.values).replace("array(", "Series(", 1)

    def __str__(self) -> str:
        return f"Series {self._summary()}"

    def _summary(self) -> str:
        """Shape and place; no element of the patient."""
        shape = " x ".join(f"{len(axis)} {axis.name}" for axis in self.axes)
        place = "" if self._description.is_placed else ", without a place in the patient"
        return f"{shape}, {self.dtype}, order {self.input_order}{place}"

    @classmethod
    def _described_by(cls, source: Any) -> Description:
        """The description of a template: a series, a place, or a pydicom data set."""
        if isinstance(source, SeriesArray):
            return source._description
        if hasattr(source, "file_meta") or type(source).__name__ in ("Dataset", "FileDataset"):
            from crawler.series.headers import Template

            return Description(Axes(), None, empty_frames(()), Meta(Template.of(source)))
        try:
            return cls.open(source)._description
        except MultipleSeriesError:
            return cls.open(source, uneven="keep", layout=1)._description


def read_options(
    order: Any, input_format: str | None, options: Mapping[str, Any], opts: Mapping[str, Any] | None = None
) -> ReadOptions:
    """Options of a caller as those of the readers.

    Parameters
    ----------
    options
        By name. Names that `order` mentions are orders: a keyword or a function.
    opts
        The same from a command line, with names beside that mean nothing here.

    Raises
    ------
    TypeError
        `options` has a name that means nothing.
    """
    orders = set(_names(order))
    given: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for name, value in {**(opts or {}), **options}.items():
        key = _OTHER_NAMES.get(name, name)
        if name in orders:
            named[name] = value
        elif name == "accept_uneven_slices":
            given["uneven"] = "keep"
        elif key in _READ and key not in ("order", "named", "input_format"):
            given[key] = value
        elif name in options and name not in _DONE_ANYWAY and not callable(value) and tag_for(str(value)) is None:
            raise TypeError(f"unknown option {name!r}")
    given = {name: value for name, value in given.items() if value is not None}
    for key in {"echo", "acquisition", "series_uid"} & given.keys():
        given[key] = str(given[key])
    fmt = input_format or (opts or {}).get("input_format") or ""
    return ReadOptions(order=order or "auto", named=named, input_format=str(fmt), **given)


def option_mapping(opts: Any) -> dict[str, Any]:
    """Options as a dictionary of their own: those of the caller are not changed."""
    if opts is None:
        return {}
    given = dict(opts) if isinstance(opts, Mapping) else dict(vars(opts))
    inner = given.pop("input_options", None)
    return {**given, **dict(inner or {})}


def _is_place(data: Any) -> bool:
    if isinstance(data, (str, bytes, os.PathLike)):
        return True
    listed = isinstance(data, (list, tuple)) and len(data) > 0
    return listed and all(isinstance(one, (str, os.PathLike)) for one in data)


def _from_array(data: Any, order: Any) -> tuple[Any, Description]:
    """An array that is made of numbers, or a copy of a series."""
    if isinstance(data, SeriesArray):
        copied = data.copy()
        described: Description = copied._description
        if described.meta.template is None and described.meta.series_uid:
            described = replace(described, meta=replace(described.meta, series_uid=new_uid()))
        return copied._data, described
    if isinstance(data, (list, tuple)) and data and all(isinstance(one, SeriesArray) for one in data):
        stacked: Any = np.stack(list(data))
        return stacked._data, stacked._description
    array = np.asarray(data)  # a list's is new; that of an array or a tensor is its own
    array = np.atleast_1d(array if isinstance(data, (list, tuple)) else np.array(array))
    if array.dtype.names:  # a field a channel
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
        names = default_names(array.ndim, _names(order), colour=True)
    else:
        names = default_names(array.ndim, _names(order))
    axes = counted(names, array.shape)
    frames = empty_frames([len(axis) for axis in axes if axis.name not in ("row", "column", SAMPLE)])
    return array, Description(axes, Grid.of_indices(), frames, Meta(series_uid=new_uid()))


def _names(order: Any) -> list[str]:
    listed = order.split(",") if isinstance(order, str) else list(order) if isinstance(order, (list, tuple)) else []
    return [str(name).strip() for name in listed if str(name).strip() not in ("auto", "none", "")]

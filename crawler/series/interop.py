"""To and from nibabel, SimpleITK, xarray and torch: each loaded when it is asked for, none needed otherwise."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from crawler.errors import StopError
from crawler.geometry import lps_to_ras, ras_to_lps
from crawler.series.axis import SPATIAL, counted, default_names
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import NoGeometry, WriteNotImplemented
from crawler.series.grid import Grid
from crawler.series.headers import Meta
from crawler.series.planes import PlaneStack, plane_stack

_TO_XYZ = [2, 1, 0]


def package(name: str, install: str = "") -> Any:
    """Load a package.

    Raises
    ------
    StopError
        It is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ImportError:
        raise StopError(f"this needs {install or name}: install with `pip install {install or name}`") from None


def to_nibabel(values: Any, description: Description) -> Any:
    """A `nibabel.Nifti1Image`: axes column, row, slice, others; RAS."""
    nibabel = package("nibabel")
    stack = _stack(values, description)
    image = nibabel.Nifti1Image(stack.values.T, lps_to_ras(_grid(stack).matrix[:, [*_TO_XYZ, 3]]))
    image.header.set_xyzt_units("mm", "sec")
    return image


def from_nibabel(image: Any) -> tuple[Any, Description]:
    """The array of an image of nibabel, in the order of its file."""
    array = np.asarray(image.dataobj).T
    return array, _described(array, ras_to_lps(np.asarray(image.affine, dtype=float))[:, [*_TO_XYZ, 3]])


def to_sitk(values: Any, description: Description) -> Any:
    """A `SimpleITK.Image` of three axes of space: x is column. A fourth axis cannot be had (SimpleITK issue 879)."""
    sitk = package("SimpleITK")
    stack = _stack(values, description)
    if stack.steps:
        raise WriteNotImplemented("SimpleITK has no further axes: take one step, as a[0]")
    image = sitk.GetImageFromArray(_native(stack.values), isVector=stack.colour)
    matrix = _grid(stack).matrix
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    directions = (matrix[:3, :3] / lengths)[:, _TO_XYZ]
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-4:
        raise NoGeometry("SimpleITK holds no sheared grid: resample the array first")
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetSpacing(lengths[_TO_XYZ].tolist())
    image.SetDirection(directions.ravel().tolist())
    return image


def from_sitk(image: Any) -> tuple[Any, Description]:
    """The array of an image of SimpleITK."""
    sitk = package("SimpleITK")
    array = sitk.GetArrayFromImage(image)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return array, _described(array, matrix[:, [*_TO_XYZ, 3]], colour=image.GetNumberOfComponentsPerPixel() > 1)


def to_xarray(values: Any, description: Description) -> Any:
    """An `xarray.DataArray` with the same names, values and units; the matrix is an attribute."""
    xarray = package("xarray")
    coordinates = {
        axis.name: (axis.name, axis.values, {"units": axis.unit} if axis.unit else {}) for axis in description.axes
    }
    attributes: dict[str, Any] = {}
    if description.is_placed and description.grid is not None:
        attributes = {"affine_lps": description.grid.matrix}
    return xarray.DataArray(values, coords=coordinates, dims=description.axes.names, attrs=attributes)


def to_torch(values: Any, description: Description) -> Any:
    """A `torch.Tensor`, without axes or place; it shares memory where type, order and right to write allow it."""
    torch = package("torch")
    array = np.require(_native(values), requirements=["C", "W"])  # a copy where they are not met
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _stack(values: Any, description: Description) -> PlaneStack:
    return plane_stack(values, description)


def _grid(stack: PlaneStack) -> Grid:
    return stack.grid if stack.grid is not None else Grid.of_indices()


def _native(values: Any) -> Any:
    """Types that other libraries know."""
    kinds = {"bool": np.uint8, "float16": np.float32}
    return values.astype(kinds[values.dtype.name]) if values.dtype.name in kinds else values


def _described(array: Any, matrix: Any, colour: bool = False) -> Description:
    names = default_names(array.ndim, (), colour)
    grid = Grid.of(matrix)
    axes = with_grid(counted(names, array.shape), grid)
    frames = empty_frames(
        [length for name, length in zip(names, array.shape, strict=True) if name not in (*SPATIAL[1:], "sample")]
    )
    return Description(axes, grid, frames, Meta(input_format="memory"))

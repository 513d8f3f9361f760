"""Arrays to files of other formats: NIfTI, MetaImage, MAT, NPZ, HDF5, PNG. One function a format.

Values keep their type; what a format cannot hold is refused. Axes, units and place are written where a format has a
field for them, under the names that the sinks of a run use, so that either reads the other's files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.geometry import lps_to_ras
from crawler.series.axis import PLANE_AXES, SPATIAL, Axis
from crawler.series.description import Description
from crawler.series.display_fields import window_of
from crawler.series.errors import WriteNotImplemented
from crawler.series.planes import PlaneStack, plane_stack
from crawler.series.read_files import ROWS_KEPT, ROWS_REVERSED
from crawler.series.report import WriteOptions
from crawler.sources.volume import Volume

Array = npt.NDArray[Any]
Writer = Callable[[str, Array, Description, WriteOptions], None]
"""Path of the file, array, what it is, options."""


def write_nifti(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """A NIfTI file, voxels in the order of the array; b-values and directions beside it."""
    import nibabel  # slow to load, as the other libraries of formats are

    stack = plane_stack(_numeric(values), description)
    array = stack.values
    if stack.colour:
        if array.dtype != np.uint8 or array.shape[-1] not in (3, 4):
            raise WriteNotImplemented("NIfTI has colours of three or four samples of uint8")
        letters = "RGBA"[: array.shape[-1]]
        array = np.ascontiguousarray(array).view([(letter, "u1") for letter in letters])[..., 0]
    if array.dtype in (np.dtype(bool), np.dtype(np.float16)):
        array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    if array.ndim > 7:
        raise WriteNotImplemented("NIfTI has seven axes at most")
    matrix = np.eye(4)
    grid = stack.grid
    if grid is not None:
        matrix = lps_to_ras(grid.matrix[:, [2, 1, 0, 3]])
    placed = grid is not None and grid.placed
    # As dcm2niix writes a stack of slices. Without a place programs take the second axis upwards (nifti1.h, method 1).
    reversed_rows = not placed or float(np.linalg.det(matrix[:3, :3])) > 0
    if reversed_rows:
        array = np.flip(array, axis=-2)
        matrix[:3, 3] += (array.shape[-2] - 1) * matrix[:3, 1]
        matrix[:3, 1] *= -1
    image = nibabel.Nifti1Image(array.T, matrix)
    image.header["descrip"] = ROWS_REVERSED if reversed_rows else ROWS_KEPT
    phase = next((one.record.get("InPlanePhaseEncodingDirection") for one in description.frames.flat if one), None)
    if phase in ("ROW", "COL"):  # (0018,1312): phase is encoded along a row, or along a column
        image.header.set_dim_info(*((1, 0, 2) if phase == "ROW" else (0, 1, 2)))
    image.header.set_sform(matrix, code=1 if placed else 0)
    image.header.set_qform(matrix if placed else None, code=1 if placed else 0, strip_shears=True)
    # Direction cosines have few digits: lengths are rounded to six, as pixel spacings have them. The matrix is exact.
    zooms = [float(f"{zoom:.6g}") for zoom in image.header.get_zooms()]
    if len(stack.steps) == 1 and stack.steps[0].name == "time":
        zooms[3] = _period(stack.steps[0])
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    _write_gradients(path, stack, matrix)


def write_metaimage(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """A MetaImage file, header and voxels in one."""
    from crawler.sinks.metaimage import TYPES

    stack = plane_stack(_numeric(values), description)
    array = stack.values.astype(np.uint8) if stack.values.dtype == bool else stack.values
    kind = TYPES.get(array.dtype.newbyteorder("<").str[1:])
    if kind is None:
        raise WriteNotImplemented(f"MetaImage has no type for {array.dtype}")
    extents = array.shape[-2::-1] if stack.colour else array.shape[::-1]
    count = len(extents)
    fields = {
        "ObjectType": "Image",
        "NDims": count,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
    }
    if stack.grid is not None and stack.grid.placed:
        steps = stack.grid.matrix[:3, [2, 1, 0]]
        lengths = np.linalg.norm(steps, axis=0)
        directions = np.eye(count)
        directions[:3, :3] = (steps / lengths).T
        fields["TransformMatrix"] = directions.ravel()
        fields["Offset"] = [*stack.grid.origin, *[0.0] * (count - 3)]
        fields["CenterOfRotation"] = [0] * count
        fields["ElementSpacing"] = [*lengths, *[_period(axis) for axis in stack.steps[::-1]]]
    fields["DimSize"] = extents
    if stack.colour:
        fields["ElementNumberOfChannels"] = array.shape[-1]
    fields |= {"ElementType": kind, "ElementDataFile": "LOCAL"}
    with open(path, "xb") as file:
        file.write("".join(f"{name} = {_text(value)}\n" for name, value in fields.items()).encode("ascii"))
        file.write(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())


def write_mat(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """A MATLAB file (level 5): variable A, axes, affine."""
    from scipy.io import savemat

    content: dict[str, Any] = {"A": values, "axes": np.array(description.axes.names, dtype=object)}
    if description.is_placed and description.grid is not None:
        content |= {"affine": description.grid.matrix, "affine_convention": _CONVENTION}
    savemat(path, {**content, **_axis_fields(description)}, do_compression=True)


def write_npz(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """An NPZ file: data, axes, affine; no pickles."""
    content: dict[str, Any] = {"data": values, "axes": np.array(description.axes.names)}
    if description.is_placed and description.grid is not None:
        content |= {"affine": description.grid.matrix, "affine_convention": np.array(_CONVENTION)}
    np.savez_compressed(path, **{**content, **_axis_fields(description)})


def write_hdf5(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """An HDF5 file: dataset ``image``, a frame a chunk, attributes beside it."""
    import h5py

    with h5py.File(path, "x", libver="latest") as file:
        inside = [number for number, axis in enumerate(description.axes) if axis.name in PLANE_AXES]
        chunks = tuple(length if number in inside else 1 for number, length in enumerate(values.shape))
        usable = values.ndim > 0 and values.size > 0
        image = file.create_dataset("image", data=values, chunks=chunks if usable else None, compression="gzip")
        for dimension, name in zip(image.dims, description.axes.names, strict=True):
            dimension.label = name
        if description.is_placed and description.grid is not None:
            image.attrs["affine"] = description.grid.matrix
            image.attrs["affine_convention"] = _CONVENTION
        for name, value in _axis_fields(description).items():
            texts = value.dtype.kind == "U"
            image.attrs[name] = value.astype(h5py.string_dtype()) if texts else value


def write_png(path: str, values: Array, description: Description, options: WriteOptions) -> None:
    """Pictures of all planes, 8 bits, by the window: ``Image_00000.png`` and so on beside `path`."""
    from PIL import Image

    base = path[: -len(".png")]
    frames = display_frames(values, description, options)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path if len(frames) == 1 else f"{base}_{number:05d}.png")


def display_frames(values: Array, description: Description, options: WriteOptions) -> list[Array]:
    """All planes as they are shown, uint8, in the order of the array."""
    stack = plane_stack(_numeric(values), description)
    flat = stack.values.reshape(-1, *stack.values.shape[len(stack.steps) + 1 :])
    if stack.colour:
        return [np.ascontiguousarray(frame.astype(np.uint8)) for frame in flat]
    shown = description.meta.display
    own = window_of(stack.values)
    told = tuple(shown.get(name, other) for name, other in zip(("window_center", "window_width"), own, strict=True))
    center, width = options.window or told
    low = float(center) - float(width) / 2
    scaled = (np.nan_to_num(flat.astype(np.float64)) - low) / max(float(width), 1e-12)
    return list(np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8))


_CONVENTION = "index of (slice, row, column) -> patient LPS, mm"
FORMATS: dict[str, tuple[str, Writer]] = {
    "nifti": (".nii.gz", write_nifti),
    "metaimage": (".mha", write_metaimage),
    "mat": (".mat", write_mat),
    "npz": (".npz", write_npz),
    "hdf5": (".h5", write_hdf5),
    "png": (".png", write_png),
}
"""Name -> extension and writer."""
OTHER_NAMES = {"itk": "metaimage", "mha": "metaimage", "nii": "nifti", "matlab": "mat", "h5": "hdf5", "image": "png"}


def _numeric(values: Array) -> Array:
    if values.dtype.kind not in "iufb":
        raise WriteNotImplemented(f"this format holds no values of type {values.dtype}: use npz or hdf5")
    return values


def _period(axis: Axis) -> float:
    step = abs(axis.step)
    return step if step > 0 and math.isfinite(step) else 1.0


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(_text(one) for one in value)
    if isinstance(value, (float, np.floating)):
        return repr(float(value) + 0.0)
    return str(value)


def volume_of(values: Array, description: Description) -> Volume:
    """An array as functions of other packages get it: planes in canonical order, place, axes, headers."""
    stack = plane_stack(values, description)
    names = [axis.name for axis in stack.steps] + list(SPATIAL) + (["sample"] if stack.colour else [])
    headers = [header for header in description.frames.ravel() if header is not None]
    first: dict[str, Any] = dict(headers[0].record) if headers else {}
    common = {name: value for name, value in first.items() if all(one.record.get(name) == value for one in headers)}
    metadata = {**common, **description.meta.changes, **_axis_fields(description)}
    placed = stack.grid is not None and stack.grid.placed
    return Volume(stack.values, tuple(names), stack.grid.matrix if placed and stack.grid else None, metadata)


def _axis_fields(description: Description) -> dict[str, Array]:
    """Values of the axes that are not of space, as the sinks name them (`sinks.provenance.axis_fields`)."""
    fields: dict[str, Array] = {}
    for axis in description.axes:
        if axis.name in (*SPATIAL, "sample"):
            continue
        numbers = axis.values.dtype.kind in "iuf"
        known = axis.values if numbers else np.array(["" if one is None else str(one) for one in axis])
        fields[f"axis_{axis.name}"] = np.asarray(known)
        fields[f"axis_{axis.name}_unit"] = np.array(axis.unit)
        fields[f"axis_{axis.name}_keyword"] = np.array(axis.keyword)
        if axis.directions:
            steps = [(math.nan,) * 3 if one is None else one for one in axis.directions]
            fields[f"axis_{axis.name}_directions"] = np.array(steps, dtype=float)
    return fields


def _write_gradients(path: str, stack: PlaneStack, matrix: Array) -> None:
    """FSL's files beside a NIfTI file: b-values, and directions along its voxel axes, whose matrix to RAS is given."""
    (axis,) = stack.steps if len(stack.steps) == 1 else (None,)
    if axis is None or axis.name != "b" or axis.values.dtype.kind not in "iuf":
        return
    base = path[: -len(".nii.gz")] if path.endswith(".gz") else os.path.splitext(path)[0]
    with open(f"{base}.bval", "x", encoding="ascii") as file:
        file.write(" ".join(f"{value:g}" for value in axis) + "\n")
    if not axis.directions or stack.grid is None or not stack.grid.placed:
        return
    with open(f"{base}.bvec", "x", encoding="ascii") as file:
        for row in gradient_rows(axis, np.diag([-1.0, -1.0, 1.0]) @ matrix[:3, :3]):
            file.write(" ".join(f"{value:.6f}" for value in row) + "\n")


def gradient_rows(axis: Axis, steps: Array) -> Sequence[Sequence[float]]:
    """Directions as FSL has them: along the voxel axes.

    x is turned round where the matrix to RAS has a positive determinant (FSL's radiological storage).
    """
    ras = np.diag([-1.0, -1.0, 1.0])
    rotation = ras @ (steps / np.linalg.norm(steps, axis=0))
    sign = -1.0 if np.linalg.det(rotation) > 0 else 1.0
    rows = np.zeros((3, len(axis)))
    for number, direction in enumerate(axis.directions):
        if direction is not None:
            rows[:, number] = np.linalg.inv(rotation) @ ras @ np.asarray(direction, dtype=float)
    rows[0] *= sign
    return [list(map(float, row + 0.0)) for row in rows]

"""Files that are no DICOM to arrays: NIfTI, MetaImage, MAT, NPZ, HDF5, pictures, PostScript where Ghostscript is there.

Volumes are read by the reader of the sinks, so that what a run wrote comes back; of files that others wrote, what their
format says of axes and place is taken, and nothing is guessed. Formats of other packages come in by the entry points
"dme.readers".
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.archives.quota import QUOTA
from crawler.dicom.files import open_file
from crawler.errors import FileError, SourceError
from crawler.model import File
from crawler.paths import readable
from crawler.series.axis import SAMPLE, Axes, Axis, default_names
from crawler.series.description import Description, with_grid
from crawler.series.errors import NotImageError
from crawler.series.grid import Grid
from crawler.series.headers import Meta
from crawler.series.indexing import select
from crawler.series.places import TemporaryFolder
from crawler.series.read_dicom import Part
from crawler.series.read_pictures import PICTURES, described, load_picture, load_postscript, no_headers
from crawler.sources.readers import Reader, call_reader, reader_of
from crawler.sources.volume import Volume

ROWS_REVERSED, ROWS_KEPT = b"dme: rows reversed", b"dme: rows as in DICOM"
"""What (the header field) ``descrip`` of a NIfTI file of ours says of the second axis."""
Loader = Callable[[str, str], tuple[Any, Description]]
"""Path and order -> array and description."""


def load_volume_file(path: str, order: str) -> tuple[Any, Description]:
    """A file of a volume format of the sinks."""
    from crawler.sinks.reading import read_volume  # loads the format's library when it is called

    fmt = next(name for ending, name in _FORMATS.items() if path.lower().endswith(ending))
    array, description = of_volume(read_volume(path), order, fmt)
    if fmt == "nifti":
        array, description = _rows_downwards(path, array, _with_bvals(path, description))
    return array, description


def _rows_downwards(path: str, array: Any, description: Description) -> tuple[Any, Description]:
    """A NIfTI file's rows from the first to the last as DICOM has them, where the file has them the other way round.

    What `write_files.write_nifti` wrote says so. Of others, voxel axes of a left-handed file are those of programs that
    reverse the rows of DICOM images (dcm2niix, seeds/002): images of a right-handed stack of slices.
    """
    import nibabel  # loaded already

    grid = description.grid
    if grid is None or not grid.placed:
        return array, description
    told = bytes(nibabel.load(path).header["descrip"].tobytes()).partition(b"\0")[0]
    if told not in (ROWS_REVERSED, ROWS_KEPT):
        told = ROWS_REVERSED if np.linalg.det(grid.matrix[:3, [2, 1, 0]]) < 0 else ROWS_KEPT
    if told == ROWS_KEPT:
        return array, description
    number = description.axes.names.index("row")
    selection = select((*[slice(None)] * number, slice(None, None, -1)), description.shape)
    assert selection is not None
    turned = description.indexed(selection)
    axes = [description.axes[number] if at == number else axis for at, axis in enumerate(turned.axes)]
    return array[selection.key], replace(turned, axes=Axes(axes))


def of_volume(volume: Volume, order: str, fmt: str) -> tuple[Any, Description]:
    """A volume, with what is known of its axes and its place."""
    array = volume.array.astype(volume.array.dtype.newbyteorder("="), copy=False)
    names = list(volume.axes)
    if fmt == "npz" and names[-3:] == ["Z", "Y", "X"]:
        names[-3:] = ["slice", "row", "column"]
    leading = [part.strip() for part in order.split(",") if part.strip() not in ("", "auto", "none")]
    unnamed = [number for number, name in enumerate(names) if name.startswith("axis")]
    for number, name in zip(unnamed[len(unnamed) - len(leading) :], leading, strict=False):
        names[number] = name
    if names.count("axis0") == 1 and "axis1" not in names:
        names[names.index("axis0")] = "none"
    colour = SAMPLE in names
    if len(set(names)) != len(names) or len(names) != array.ndim:
        names = list(default_names(array.ndim, leading, colour))
    grid = None if volume.affine is None else Grid.of(volume.affine)
    axes = [_axis(name, length, volume.metadata) for name, length in zip(names, array.shape, strict=True)]
    description = Description(with_grid(axes, grid), grid, no_headers(axes), Meta(input_format=_READ_AS.get(fmt, fmt)))
    while array.ndim > 3 and array.shape[0] == 1 and description.axes[0].name.startswith(("axis", "none")):
        array, description = array[0], description.reduced([0])
    return array, description


def load_mat(path: str, order: str) -> tuple[Any, Description]:
    """A MATLAB file of ours, or of others: its variable A, or the only array of numbers in it."""
    from scipy.io import loadmat  # slow to load
    from scipy.io.matlab import MatReadError

    try:
        content: Mapping[str, Any] = loadmat(path)
    except (MatReadError, NotImplementedError, OSError, ValueError, TypeError, LookupError, zlib.error) as error:
        raise NotImageError(f"{readable(path)} is no MATLAB file that can be read ({type(error).__name__})") from None
    if "axes" in content and "A" in content:
        return load_volume_file(path, order)
    arrays = {
        name: value
        for name, value in content.items()
        if not name.startswith("__") and isinstance(value, np.ndarray) and value.dtype.kind in "iufbc" and value.ndim
    }
    if "A" not in arrays and len(arrays) != 1:
        raise NotImageError(f"{readable(path)}: {len(arrays)} variables are arrays of numbers, and none is called A")
    array = arrays["A"] if "A" in arrays else next(iter(arrays.values()))
    # MATLAB's images are (row, column, slice, ...), where an array of ours is (..., slice, row, column).
    return described(np.ascontiguousarray(array.transpose(*range(2, array.ndim)[::-1], 0, 1)), order, "mat")


def read_others(files: Sequence[File], order: Any, input_format: str, psopt: str = "") -> list[Part]:
    """Arrays of files that are no DICOM, one a file; pictures of one folder that agree in size are one stack."""
    text = order if isinstance(order, str) else ",".join(map(str, order)) if isinstance(order, (list, tuple)) else ""
    parts: list[Part] = []
    pictures: list[Part] = []
    for file in files:
        loader = loader_of(file.name, input_format)
        if loader is None:
            continue
        with _on_disk(file) as path:
            if loader is load_postscript:
                array, description = load_postscript(path, text, psopt)
            else:
                array, description = loader(path, text)
        part = Part(array, description, f"{file.name}: {' x '.join(map(str, array.shape))}")
        (pictures if loader is load_picture else parts).append(part)
    if order not in ("auto", "", None):
        parts = _stacked_files(parts, text)
    return parts + _stacked_pictures(pictures)


def loader_of(name: str, input_format: str = "") -> Loader | None:
    """What reads a file of a name; None where nothing does."""
    lower = name.lower()
    table: dict[str, Loader] = {
        **{ending: load_volume_file for ending in _FORMATS if ending != ".mat"},
        ".mat": load_mat,
        **dict.fromkeys(PICTURES, load_picture),
        **dict.fromkeys((".ps", ".eps"), load_postscript),
    }
    for ending, loader in table.items():
        if lower.endswith(ending):
            kind = _FORMATS.get(ending) or ("ps" if loader is load_postscript else "image")
            return loader if input_format in ("", kind, *_OTHER_NAMES.get(kind, ())) else None
    found = reader_of(name)
    if found is None or input_format not in ("", found[0]):
        return None
    kind, reader = found
    return lambda path, order: _foreign(kind, reader, path, order)


def _foreign(kind: str, reader: Reader, path: str, order: str) -> tuple[Any, Description]:
    """A file of another package's format."""
    try:
        volume = call_reader(reader, path)
    except FileError as error:
        raise NotImageError(f"{readable(path)}: {error}") from error
    if not isinstance(volume, Volume):
        return _of_images(kind, path)
    return of_volume(volume, order, kind)


def _of_images(kind: str, path: str) -> tuple[Any, Description]:
    """A file whose reader gives DICOM images: they are read as such."""
    from crawler.series.read_dicom import ReadOptions, choose, parts_of, read_headers, scans_of
    from crawler.sources.reader_source import expand_file

    info = os.stat(path)
    spool = TemporaryFolder()
    file = File(os.path.dirname(os.path.abspath(path)), os.path.basename(path), info.st_size, info.st_mtime_ns)
    expanded = expand_file(file, spool.name, (f".{kind}",), QUOTA)
    notes: list[str] = []
    instances, _ = read_headers(expanded.members, notes)
    options = ReadOptions()
    part = choose(
        [part for scan in scans_of(instances, options) for part in parts_of(scan, options, spool, notes)],
        options,
        readable(path),
    )
    return part.data.read(), part.description


class _on_disk:
    """A file as a path: of a member of an archive a copy."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> str:
        if self._file.member is None:
            return self._file.native
        self._folder = tempfile.TemporaryDirectory(prefix="dme-series-")
        path = os.path.join(self._folder.name, os.path.basename(self._file.member))
        with open_file(self._file) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
        return path

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _stacked_files(parts: Sequence[Part], order: str) -> list[Part]:
    """Files of one shape and place as the steps of an axis that a user names, in the order of their names."""
    from crawler.series.description import stacked

    first = parts[0] if parts else None
    if first is None or len(parts) < 2 or len({(part.data.shape, part.data.dtype) for part in parts}) > 1:
        return list(parts)
    if "slice" in first.description.axes.names:
        for part in parts[1:]:
            first.description.require_same_place(part.description)
    names = [name.strip() for name in order.split(",") if name.strip() not in ("", "auto", "none")]
    taken = set(first.description.axes.names)
    name = next((one for one in names if one not in taken), "none" if "none" not in taken else f"axis{len(taken)}")
    description = stacked([part.description for part in parts], 0)
    name = "slice" if description.is_placed and description.axes[0].name == "slice" else name
    axes = Axes([description.axes[0].renamed(name), *description.axes[1:]])
    if first.description.is_placed and description.grid is None:
        return list(parts)  # single planes that lie elsewhere
    meta = replace(first.description.meta, series_uid="", history=())
    data = np.stack([part.data for part in parts])
    return [Part(data, replace(description, axes=axes, meta=meta), f"{len(parts)} files: {order}")]


def _stacked_pictures(parts: Sequence[Part]) -> list[Part]:
    if len(parts) < 2 or len({(part.data.shape, part.data.dtype) for part in parts}) > 1:
        return list(parts)
    first = parts[0]
    colour = SAMPLE in first.description.axes.names
    array = np.stack([part.data for part in parts])
    data, description = described(array, "", first.description.meta.input_format, colour)
    return [Part(data, description, f"{len(parts)} pictures: {' x '.join(map(str, array.shape))}")]


def _axis(name: str, length: int, metadata: Mapping[str, Any]) -> Axis:
    values = metadata.get(f"axis_{name}")
    listed = values.ravel().tolist() if isinstance(values, np.ndarray) else values
    listed = [listed] if isinstance(listed, (int, float, str)) else listed
    if not isinstance(listed, list) or len(listed) != length:
        return Axis(name, np.arange(length))
    told = metadata.get(f"axis_{name}_directions")
    rows = None if told is None else np.asarray(told, dtype=float).reshape(-1, 3)
    directions = [] if rows is None else [None if np.isnan(row).any() else tuple(row.tolist()) for row in rows]
    unit, keyword = (_word(metadata.get(f"axis_{name}_{field}")) for field in ("unit", "keyword"))
    return Axis(name, listed, unit, keyword, directions)


def _word(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _with_bvals(path: str, description: Description) -> Description:
    """The b-values that lie beside a NIfTI file, and name its fourth axis."""
    base = path[: -len(".nii.gz")] if path.lower().endswith(".gz") else path[: -len(".nii")]
    if not os.path.isfile(f"{base}.bval") or len(description.axes) != 4:
        return description
    with open(f"{base}.bval", encoding="utf-8") as file:
        try:
            values = [float(word) for word in file.read().split()]
        except ValueError:
            raise SourceError(f"{readable(base)}.bval holds other things than numbers") from None
    if len(values) != len(description.axes[0]):
        return description
    axis = Axis("b", values, "s/mm2", "DiffusionBValue", _directions(base, description, len(values)))
    return replace(description, axes=Axes((axis, *description.axes[1:])))


def _directions(base: str, description: Description, count: int) -> list[Any]:
    """Directions of gradients in LPS, of FSL's file: the way back from `write_files.gradient_rows`."""
    if not os.path.isfile(f"{base}.bvec") or description.grid is None or not description.grid.placed:
        return []
    with open(f"{base}.bvec", encoding="utf-8") as file:
        try:
            rows = np.array([[float(word) for word in line.split()] for line in file if line.strip()])
        except ValueError:
            raise SourceError(f"{readable(base)}.bvec holds other things than three rows of numbers") from None
    if rows.shape != (3, count):
        return []
    ras = np.diag([-1.0, -1.0, 1.0])
    steps = description.grid.matrix[:3, [2, 1, 0]]
    rotation = ras @ (steps / np.linalg.norm(steps, axis=0))
    rows[0] *= -1.0 if np.linalg.det(rotation) > 0 else 1.0
    directions = (ras @ rotation @ rows).T
    return [None if not one.any() else tuple((one + 0.0).tolist()) for one in directions]


_FORMATS = {
    ".h5": "hdf5",
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".npz": "npz",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".mat": "mat",
}
_READ_AS = {"metaimage": "itk"}  # the name that seeds/002 has for it
_OTHER_NAMES = {"metaimage": ("itk",), "image": ("itk", "pillow"), "nifti": ("nii",)}

"""Files that are no DICOM to arrays: NIfTI, MetaImage, MAT, NPZ, HDF5, pictures, PostScript where Ghostscript is there.

Volumes are read by the reader of the sinks, so that what a run wrote comes back; of files that others wrote, what their
format says of axes and place is taken, and nothing is guessed. Formats of other packages come in by the entry points
"dme.readers".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.dicom.files import open_file
from crawler.errors import SourceError
from crawler.model import File
from crawler.paths import readable
from crawler.series.axis import SAMPLE, Axes, Axis, default_names
from crawler.series.description import Description, empty_frames, with_grid
from crawler.series.errors import NotImageError, UnknownInputError
from crawler.series.grid import Grid
from crawler.series.headers import Meta
from crawler.series.read_dicom import Part

Loader = Callable[[str, str], tuple[Any, Description]]
"""Path and order -> array and description."""

GHOSTSCRIPT_SECONDS = 120
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".jp2")


def load_volume_file(path: str, order: str) -> tuple[Any, Description]:
    """A file of a volume format of the sinks."""
    from crawler.sinks.reading import read_volume  # loads the format's library when it is called

    volume = read_volume(path)
    array = volume.array.astype(volume.array.dtype.newbyteorder("="), copy=False)
    fmt = next(name for ending, name in _FORMATS.items() if path.lower().endswith(ending))
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
    description = Description(with_grid(axes, grid), grid, _no_headers(axes), Meta(input_format=_READ_AS.get(fmt, fmt)))
    while array.ndim > 3 and array.shape[0] == 1 and description.axes[0].name.startswith(("axis", "none")):
        array, description = array[0], description.reduced([0])
    if fmt == "nifti":
        description = _with_bvals(path, description)
    return array, description


def load_mat(path: str, order: str) -> tuple[Any, Description]:
    """A MATLAB file of ours, or of others: its variable A, or the only array of numbers in it."""
    from scipy.io import loadmat  # slow to load

    content: Mapping[str, Any] = loadmat(path)
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
    return described(np.ascontiguousarray(array), order, "mat")


def load_picture(path: str, order: str) -> tuple[Any, Description]:
    """A picture that Pillow reads; the frames of one that has several."""
    from PIL import Image, ImageSequence, UnidentifiedImageError  # slow to load

    try:
        with Image.open(path) as picture:
            if picture.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                planes = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
            else:
                planes = [np.asarray(frame) for frame in ImageSequence.Iterator(picture)]
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise NotImageError(f"{readable(path)} is no picture that can be read ({type(error).__name__})") from None
    array = planes[0] if len(planes) == 1 else np.stack(planes)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    colour = planes[0].ndim == 3
    return described(array, order, "image", colour)


def load_postscript(path: str, order: str) -> tuple[Any, Description]:
    """The pages of a PostScript or PDF file, as Ghostscript draws them."""
    program = shutil.which("gs")
    if program is None:
        raise UnknownInputError(f"{readable(path)}: PostScript needs Ghostscript: install the program gs")
    with tempfile.TemporaryDirectory(prefix="dme-ps-") as folder:
        command = [program, "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=png16m", "-r100"]
        done = subprocess.run(
            [*command, f"-sOutputFile={folder}/%05d.png", "-f", path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GHOSTSCRIPT_SECONDS,
            check=False,
        )
        names = sorted(os.listdir(folder))
        if done.returncode or not names:
            raise NotImageError(f"{readable(path)}: Ghostscript cannot draw it")
        pages = [load_picture(os.path.join(folder, name), order)[0] for name in names]
    return described(pages[0] if len(pages) == 1 else np.stack(pages), order, "ps", colour=True)


def described(array: Any, order: str, input_format: str, colour: bool = False) -> tuple[Any, Description]:
    """An array of which no place is known."""
    leading = [part.strip() for part in order.split(",") if part.strip() not in ("", "auto", "none")]
    names = default_names(array.ndim, leading, colour)
    axes = Axes(Axis(name, np.arange(length)) for name, length in zip(names, array.shape, strict=True))
    return array, Description(axes, Grid.of_indices(), _no_headers(axes), Meta(input_format=input_format))


def read_others(files: Sequence[File], order: Any, input_format: str) -> list[Part]:
    """Arrays of files that are no DICOM, one a file; pictures of one folder that agree in size are one stack."""
    text = order if isinstance(order, str) else ",".join(map(str, order)) if isinstance(order, (list, tuple)) else ""
    parts: list[Part] = []
    pictures: list[Part] = []
    for file in files:
        loader = loader_of(file.name, input_format)
        if loader is None:
            continue
        with _on_disk(file) as path:
            array, description = loader(path, text)
        part = Part(array, description, f"{file.name}: {' x '.join(map(str, array.shape))}")
        (pictures if loader is load_picture else parts).append(part)
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
    return _from_entry_points(lower)


def _from_entry_points(lower: str) -> Loader | None:
    from importlib.metadata import entry_points  # 10 ms, and only for names that nothing else takes

    for entry in entry_points(group="dme.readers"):
        if lower.endswith(entry.name.lower()):
            function, kind = entry.load(), entry.name.strip(".")
            return lambda path, order: described(np.asarray(function(path)), order, kind)
    return None


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


def _no_headers(axes: Sequence[Axis]) -> Any:
    return empty_frames([len(axis) for axis in axes if axis.name not in ("row", "column", SAMPLE)])


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

"""Volumes read back: any format that the sinks write, as one array with the same axes and the same affine.

The array comes as the file holds it, nothing is resampled. It reads whole volumes and writes nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from crawler.errors import FileError, SourceError
from crawler.paths import readable
from crawler.sinks.metaimage import TYPES
from crawler.sources.readers import call_reader, reader_of
from crawler.sources.volume import Volume

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_STRUCTURE = ("DIMENSION_LABELS", "DIMENSION_LIST", "affine", "affine_convention", "axes")


def read_volume(path: str) -> Volume:
    """Read a file that a volume sink wrote.

    Raises
    ------
    SourceError
        It does not exist, is damaged, or has no extension of ours.
    """
    reader = next((reader for ending, reader in READERS.items() if path.lower().endswith(ending)), None)
    foreign = None if reader is not None else reader_of(path)
    if foreign is not None and os.path.isfile(path):
        return _read_foreign(foreign[1], path)
    if reader is None:
        raise SourceError(f"{readable(path)}: expected a volume ({', '.join(READERS)}) or a folder")
    damage: tuple[type[Exception], ...] = (OSError, ValueError, LookupError, EOFError, StopIteration, zlib.error)
    try:
        return reader(path)
    except FileNotFoundError:
        raise SourceError(f"{readable(path)} does not exist") from None
    except (*damage, *_library_errors(path)) as error:
        raise SourceError(f"{readable(path)} cannot be read as a volume of ours ({type(error).__name__})") from None


def _read_foreign(reader: Callable[[str], Any], path: str) -> Volume:
    try:
        volume = call_reader(reader, path)
    except FileError as error:
        raise SourceError(f"{readable(path)}: {error}") from error
    if not isinstance(volume, Volume):
        raise SourceError(f"{readable(path)} is read as DICOM images, not as one volume: read it with Series")
    return volume


def _library_errors(path: str) -> tuple[type[Exception], ...]:
    """Errors of the library that reads a format, which are no kind of Python's own."""
    if path.lower().endswith((".nii", ".nii.gz")):
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError

        return ImageFileError, HeaderDataError
    if path.lower().endswith(".mat"):
        from scipy.io.matlab import MatReadError

        return (MatReadError,)
    if path.lower().endswith(".npz"):
        from zipfile import BadZipFile

        return (BadZipFile,)
    return ()


def _read_hdf5(path: str) -> Volume:
    import h5py  # slow to load: for this format only

    from crawler.sinks.hdf5_filters import load_filters  # as above

    with h5py.File(path, "r") as file:
        load_filters(file["image"])
        return hdf5_volume(file)


def hdf5_volume(group: Any) -> Volume:
    """The volume in an open HDF5 group, of a file of its own or of a pack."""
    image = group["image"]
    attributes = {name: _plain(value) for name, value in image.attrs.items() if name not in _STRUCTURE}
    axes = tuple(dimension.label for dimension in image.dims)
    affine = np.array(image.attrs["affine"]) if "affine" in image.attrs else None
    return Volume(image[()], axes, affine, attributes)


def _read_nifti(path: str) -> Volume:
    import nibabel  # slow to load: for this format only

    image: Any = nibabel.load(path)
    array = np.asarray(image.dataobj)
    if array.dtype.names:  # RGB24, RGBA32
        array = np.stack([array[name] for name in array.dtype.names])
    array = array.T  # (..., slice, row, column[, sample]) in C order, as it was
    colour = np.asarray(image.dataobj).dtype.names is not None
    known = image.header["sform_code"] > 0 or image.header["qform_code"] > 0
    affine = (_LPS_RAS @ image.affine)[:, [2, 1, 0, 3]] if known else None
    if affine is None:  # rows were written from the last to the first
        array = np.flip(array, axis=-3 if colour else -2)
    stem = path[: -len(".nii.gz")] if path.lower().endswith(".gz") else path[: -len(".nii")]
    metadata: dict[str, Any] = {}
    if os.path.isfile(f"{stem}.json"):
        with open(f"{stem}.json", encoding="utf-8") as file:
            metadata = json.load(file)
    return Volume(array, _axes(array.ndim, colour), affine, metadata)


def _read_npz(path: str) -> Volume:
    with np.load(path, allow_pickle=False) as archive:
        fields = {name: archive[name] for name in archive.files}
    array, affine = fields.pop("data"), fields.pop("affine", None)
    axes = tuple(map(str, fields.pop("axes")))
    return Volume(array, axes, affine, {name: _plain(value) for name, value in fields.items()})


def _read_metaimage(path: str) -> Volume:
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while fields.get("ElementDataFile") is None:
            name, equals, value = os.fsdecode(file.readline(1 << 16)).partition("=")
            if not equals:
                raise ValueError("no MetaImage header")
            fields[name.strip()] = value.strip()
        place = fields["ElementDataFile"]
        data = file.read() if place == "LOCAL" else b""
    if place != "LOCAL":
        with open(os.path.join(os.path.dirname(path), os.path.basename(place)), "rb") as file:
            data = file.read()
    if fields.get("CompressedData") == "True":
        data = zlib.decompress(data)
    kind = next(kind for kind, name in TYPES.items() if name == fields["ElementType"])
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    shape = [int(count) for count in fields["DimSize"].split()][::-1] + ([channels] if channels > 1 else [])
    array = np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape)
    affine = None
    if "TransformMatrix" in fields:
        count = int(fields["NDims"])
        directions = np.array(fields["TransformMatrix"].split(), float).reshape(count, count)[:3, :3].T
        affine = np.eye(4)
        affine[:3, :3] = directions * np.array(fields["ElementSpacing"].split(), float)[:3]
        affine[:3, 3] = np.array(fields["Offset"].split(), float)[:3]
        affine = affine[:, [2, 1, 0, 3]]
    return Volume(array, _axes(array.ndim, channels > 1), affine, dict(fields))


def _read_mat(path: str) -> Volume:
    from scipy.io import loadmat  # slow to load: for this format only

    content = loadmat(path, simplify_cells=True)
    axes = tuple(str(name) for name in np.atleast_1d(content["axes"]))
    array = np.asarray(loadmat(path, variable_names=["A"])["A"])  # simplify_cells drops axes of one
    affine = np.array(content["affine"], float) if "affine" in content else None
    metadata = {name: value for name, value in content.items() if not name.startswith("__") and name != "A"}
    return Volume(array, axes, affine, metadata)


def _axes(count: int, colour: bool) -> tuple[str, ...]:
    last = ("slice", "row", "column", *(("sample",) if colour else ()))
    return (*(f"axis{number}" for number in range(count - len(last))), *last[-count:])


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 0 or value.dtype.kind in "OSU" else value
    return value.item() if isinstance(value, np.generic) else value


READERS: dict[str, Callable[[str], Volume]] = {
    ".h5": _read_hdf5,
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".npz": _read_npz,
    ".mha": _read_metaimage,
    ".mhd": _read_metaimage,
    ".mat": _read_mat,
}

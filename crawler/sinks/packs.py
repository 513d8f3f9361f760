"""Packs: many finished files as one, in a format that its field reads without dme.

``tar`` holds the files as they are, named for WebDataset: what a name has before its first dot is the sample, the rest
the kind. ``hdf5`` and ``zarr`` hold each HDF5 volume as its array, and every other file as an array of bytes. This
module knows no ledger: the caller says what goes in, and under which name.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from crawler.errors import SourceError
from crawler.paths import portable
from crawler.sinks.reading import read_volume
from crawler.sources.volume import Volume

BYTES = "file"  # names the array, and marks it, of a file that is no volume
EXTENSIONS = {"tar": ".tar", "hdf5": ".h5", "zarr": ".zarr.zip"}
_ENDINGS = (".nii.gz", ".tar.gz", ".provenance.json")
_SHARD = 64 << 20  # bytes of a shard of a Zarr array, uncompressed: what is written at a time


class Pack(Protocol):
    """A pack that is being written: `add`, or `take` from an older one, then `close`."""

    def add(self, name: str, path: str) -> None:
        """Take in a file of the disk."""

    def take(self, old: str, names: Mapping[str, str]) -> None:
        """Take in members of another pack of the same format: under which names, by their names there."""

    def close(self) -> None:
        """Finish it."""


def member_name(folder: str, path: str, taken: set[str]) -> str:
    """The name of a file in a pack: its path with forward slashes, no dot in front of the ending, and unique.

    WebDataset takes all behind the first dot of a file's name for its kind, and what has one name for one sample.
    """
    above, name = posixpath.split(portable(path))
    ending = next((one for one in _ENDINGS if name.lower().endswith(one)), posixpath.splitext(name)[1])
    stem = name[: len(name) - len(ending)].replace(".", "_") or "_"
    made = base = posixpath.join(folder, above.replace("\\", "_"), stem.replace("\\", "_"))
    number = 1
    while f"{made}{ending}" in taken:
        number += 1
        made = f"{base}_{number}"
    taken.add(f"{made}{ending}")
    return f"{made}{ending}"


def sample_of(name: str) -> str:
    """The sample that a member belongs to, which must not be divided between packs."""
    above, base = posixpath.split(name)
    return posixpath.join(above, base.partition(".")[0])


class TarPack:
    """A tar archive for WebDataset: the same files give the same bytes."""

    def __init__(self, path: str) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by `close`

    def add(self, name: str, path: str) -> None:
        """As `Pack.add`."""
        info = tarfile.TarInfo(name)
        info.size = os.path.getsize(path)
        with open(path, "rb") as file:
            self._tar.addfile(info, file)

    def take(self, old: str, names: Mapping[str, str]) -> None:
        """As `Pack.take`."""
        with tarfile.open(old) as source:
            for name, new in names.items():
                there = source.getmember(name)
                info = tarfile.TarInfo(new)
                info.size = there.size
                self._tar.addfile(info, source.extractfile(there))

    def close(self) -> None:
        """As `Pack.close`."""
        self._tar.close()


class Hdf5Pack:
    """One HDF5 file: compressed chunks are copied as they are."""

    def __init__(self, path: str) -> None:
        import h5py  # slow to load: for this format only

        self._file: Any = h5py.File(path, "w")

    def add(self, name: str, path: str) -> None:
        """As `Pack.add`."""
        import h5py

        if path.lower().endswith(".h5"):
            with h5py.File(path, "r") as source:
                group = self._file.create_group(name)
                for key in source:
                    source.copy(key, group, expand_refs=False)
                group.attrs.update(source.attrs)
            return
        data = np.fromfile(path, np.uint8)
        self._file.create_dataset(name, data=data).attrs[BYTES] = os.path.basename(name)

    def take(self, old: str, names: Mapping[str, str]) -> None:
        """As `Pack.take`."""
        import h5py

        with h5py.File(old, "r") as source:
            for name, new in names.items():
                self._file.require_group(posixpath.dirname(new) or "/")
                source.copy(name, self._file, name=new)
                if BYTES in self._file[new].attrs:
                    self._file[new].attrs[BYTES] = os.path.basename(new)

    def close(self) -> None:
        """As `Pack.close`."""
        self._file.close()


class ZarrPack:
    """A Zarr v3 group in one zip file; arrays are sharded, with a frame a chunk."""

    def __init__(self, path: str) -> None:
        import zarr  # of the extra `packs`

        self._store = zarr.storage.ZipStore(path, mode="w")
        self._group: Any = zarr.create_group(self._store, zarr_format=3)

    def add(self, name: str, path: str) -> None:
        """As `Pack.add`."""
        if path.lower().endswith(".h5"):
            volume = read_volume(path)
            note = {"axes": list(volume.axes), "metadata": _json(volume.metadata)}
            if volume.affine is not None:
                note["affine"] = volume.affine.tolist()
            self._array(name, volume.array, note)
        else:
            self._array(name, np.fromfile(path, np.uint8), {BYTES: os.path.basename(name)})

    def take(self, old: str, names: Mapping[str, str]) -> None:
        """As `Pack.take`."""
        import zarr

        with zarr.storage.ZipStore(old, mode="r") as store:
            group: Any = zarr.open_group(store, mode="r")
            for name, new in names.items():
                note = dict(group[name].attrs)
                self._array(new, group[name][...], note | ({BYTES: os.path.basename(new)} if BYTES in note else {}))

    def close(self) -> None:
        """As `Pack.close`."""
        self._store.close()

    def _array(self, name: str, array: Any, note: dict[str, Any]) -> None:
        planes = array.ndim - (3 if array.ndim > 3 and array.shape[-1] in (3, 4) else 2)
        chunk = tuple([1] * max(0, planes)) + array.shape[max(0, planes) :]
        chunk = tuple(max(1, count) for count in chunk)
        shard = tuple(max(1, count) for count in array.shape)
        if array.nbytes > _SHARD and array.ndim > 2:  # along the first axis: each is written at once
            step = max(1, _SHARD * array.shape[0] // array.nbytes)
            shard = (step, *shard[1:])
        made = self._group.create_array(
            name, shape=array.shape, dtype=array.dtype, chunks=chunk, shards=shard, attributes=note
        )
        made[...] = array


FORMATS: dict[str, type[TarPack] | type[Hdf5Pack] | type[ZarrPack]] = {
    "tar": TarPack,
    "hdf5": Hdf5Pack,
    "zarr": ZarrPack,
}


def read_packed(pack: str, member: str) -> bytes | Volume:
    """A member of a pack: a volume of HDF5 as one, every other file as its bytes.

    Raises
    ------
    SourceError
        There is no such pack or member, or it is damaged.
    """
    damage: tuple[type[Exception], ...] = (OSError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile)
    try:
        if pack.endswith(".tar"):
            return _from_tar(pack, member)
        if pack.endswith(".h5"):
            return _from_hdf5(pack, member)
        return _from_zarr(pack, member)
    except damage as error:
        raise SourceError(f"{portable(pack)}: {member} cannot be read ({type(error).__name__})") from None


def members_of(pack: str) -> list[str]:
    """Names of all members.

    Raises
    ------
    OSError, ValueError, LookupError
        The pack cannot be opened.
    """
    if pack.endswith(".tar"):
        with tarfile.open(pack) as archive:
            return archive.getnames()
    if pack.endswith(".h5"):
        import h5py

        found: list[str] = []
        with h5py.File(pack, "r") as file:
            _leaves(file, "", found)
        return found
    with zipfile.ZipFile(pack) as archive_zip:
        ending = "/zarr.json"
        named = [name[: -len(ending)] for name in archive_zip.namelist() if name.endswith(ending)]
        return [name for name in named if b'"node_type": "array"' in archive_zip.read(name + ending)]


def _leaves(group: Any, above: str, found: list[str]) -> None:
    for name, item in group.items():
        path = f"{above}{name}"
        if hasattr(item, "shape") or "image" in item:
            found.append(path)
        else:
            _leaves(item, f"{path}/", found)


def _from_tar(pack: str, member: str) -> bytes | Volume:
    with tarfile.open(pack) as archive:
        stream = archive.extractfile(member)
        if stream is None:
            raise KeyError(member)
        if not member.lower().endswith(".h5"):
            return stream.read()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "volume.h5")
            with open(path, "wb") as file:
                shutil.copyfileobj(stream, file)
            return read_volume(path)


def _from_hdf5(pack: str, member: str) -> bytes | Volume:
    import h5py

    from crawler.sinks.reading import hdf5_volume

    with h5py.File(pack, "r") as file:
        item = file[member]
        return bytes(item[()].tobytes()) if BYTES in item.attrs else hdf5_volume(item)


def _from_zarr(pack: str, member: str) -> bytes | Volume:
    import zarr

    with zarr.storage.ZipStore(pack, mode="r") as store:
        array: Any = zarr.open_group(store, mode="r")[member]
        if BYTES in array.attrs:
            return bytes(np.asarray(array[...]).tobytes())
        note = dict(array.attrs)
        affine = np.array(note["affine"]) if "affine" in note else None
        return Volume(np.asarray(array[...]), tuple(note["axes"]), affine, dict(note["metadata"]))


def _json(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON holds; others as text."""
    return {key: value.tolist() if hasattr(value, "tolist") else _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def needed(name: str) -> Iterable[str]:
    """Packages that a format needs."""
    return {"tar": (), "hdf5": ("h5py",), "zarr": ("zarr",)}[name]

"""A layout as NIfTI: ``.nii.gz`` or ``.nii`` with its affine, a BIDS sidecar ``.json``, and ``.provenance.json``.

Diffusion images also have ``.bval`` and ``.bvec`` (`gradients.py`). The array (..., slice, row, column) in C order is,
byte for byte, NIfTI's (column, row, slice, ...) in Fortran order, so no voxel is moved: the affine says where it lies.
nibabel writes the header; the data are spooled, or, for ``.nii.gz``, compressed as they come. Layouts of more than
32,767 along an axis become NIfTI-2, whose header can count further.

An image without geometry has no matrix to say which way its rows run. Programs then take the second axis upwards
(method 1 of nifti1.h), so its rows are written from the last to the first, as dcm2niix does; the sidecar says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import FormatLimit
from crawler.geometry import LINE_TOLERANCE, Floats, lps_to_ras
from crawler.sinks.base import LayoutSubject
from crawler.sinks.bids import sidecar
from crawler.sinks.deflate import GZIP, LEVEL, CompressedFile, check_level
from crawler.sinks.gradients import bval, bvec
from crawler.sinks.provenance import spacing, write_json, write_provenance
from crawler.sinks.timing import period
from crawler.sinks.volume_base import ArrayFormat, FinishedFile, NoOptions, VolumeFile, VolumeSink

SCANNER = 1
"""NIFTI_XFORM_SCANNER_ANAT of nifti1.h: coordinates of the scanner, as Image Position (Patient) is."""

LARGEST = 2**15 - 1
"""What an axis of NIfTI-1 can count (short dim[8])."""

COLOURS = {3: np.dtype([(name, "u1") for name in "RGB"]), 4: np.dtype([(name, "u1") for name in "RGBA"])}
"""NIFTI_TYPE_RGB24 and RGBA32, by samples a pixel."""


@dataclass(frozen=True, slots=True)
class NiftiOptions:
    """How volumes are compressed: level of ISA-L from 0 to 3."""

    level: int = LEVEL

    def __post_init__(self) -> None:
        check_level(self.level, "nifti")


class NiftiSink(VolumeSink):
    """Writes one layout into one compressed NIfTI file and its companions, frames in any order."""

    needs: ClassVar[tuple[str, ...]] = ("nibabel",)
    Options: ClassVar[type[Any]] = NiftiOptions
    extension: str = ".nii.gz"

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        colour = subject.layout.axes[-1] == "sample"
        if colour and (subject.dtype != np.uint8 or shape[-1] not in COLOURS):
            raise FormatLimit(
                "no type for these voxels", f"NIfTI has no {shape[-1]} samples of {subject.dtype}: use hdf5"
            )
        extents = shape[-2::-1] if colour else shape[::-1]
        dtype = COLOURS[shape[-1]] if colour else subject.dtype
        return ArrayFormat(_header(subject, extents, dtype), subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        volume = volume_file.path if self._compressed is None else self._compressed.path
        fields, origin = self._scratch(".json"), self._scratch(".json")
        write_json(fields, sidecar(subject))
        write_provenance(origin, subject)
        gradients = {".bval": bval(subject.layout), ".bvec": bvec(subject.layout)}
        return [
            FinishedFile(volume, self.extension, "volume"),
            FinishedFile(fields, ".json", "sidecar"),
            *(self._text(text, extension) for extension, text in gradients.items() if text is not None),
            FinishedFile(origin, ".provenance.json", "sidecar"),
        ]

    def _rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Without a matrix the second axis of NIfTI points up, so that the first row comes last."""
        return values[::-1] if self._subject.layout.affine is None else values

    def _compressed_file(self) -> CompressedFile | None:
        """Open the gzip file.

        By ISA-L: 440 MB/s of CT, checksum included, where the gzip of the standard library makes 89 MB/s at level 1,
        and 2 % larger.
        """
        return CompressedFile(self._scratch(self.extension), self._options.level, GZIP)

    def _text(self, text: str, extension: str) -> FinishedFile:
        path = self._scratch(extension)
        with open(path, "x", encoding="ascii", newline="\n") as file:
            file.write(text)
        return FinishedFile(path, extension, "sidecar")


class PlainNiftiSink(NiftiSink):
    """Writes one layout into one NIfTI file that readers may map into memory, and its companions."""

    Options: ClassVar[type[Any]] = NoOptions
    extension: str = ".nii"

    def _compressed_file(self) -> None:
        return None


def _header(subject: LayoutSubject, extents: Sequence[int], dtype: np.dtype[Any]) -> bytes:
    """The header of a single file, up to its first voxel.

    Parameters
    ----------
    extents
        Of the axes of NIfTI: column, row, slice, then any others.
    dtype
        Of a voxel.

    Raises
    ------
    SinkError
        NIfTI does not know the type, or has not as many axes.
    """
    from nibabel.nifti1 import Nifti1Header  # slow to load: for NIfTI only
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    extents = (*extents, 1, 1)[: max(3, len(extents))]
    header = (Nifti1Header if max(extents) <= LARGEST else Nifti2Header)(endianness="<")
    try:
        header.set_data_dtype(dtype)
        header.set_data_shape(extents)
    except HeaderDataError as error:
        raise FormatLimit("no type for these voxels", f"{error}: use hdf5") from error
    header["vox_offset"] = header.sizeof_hdr + 4  # four zero bytes: no extension follows
    header.set_slope_inter(1, 0)
    sizes = spacing(subject)[::-1]
    seconds = period(subject)
    others = [seconds or 1.0, *[1.0] * len(extents)][: len(extents) - 3]
    header.set_zooms([size if math.isfinite(size) else 1.0 for size in sizes] + others)
    if any(map(math.isfinite, sizes)) or seconds:
        header.set_xyzt_units("mm" if any(map(math.isfinite, sizes)) else None, "sec" if seconds else None)
    if subject.layout.affine is not None:
        _place(header, lps_to_ras(np.asarray(subject.layout.affine)[:, [2, 1, 0, 3]]), extents[:3])
    return bytes(header.binaryblock) + bytes(4)


def _place(header: Any, affine: Floats, extents: Sequence[int]) -> None:
    """Set sform, and qform unless it cannot say the same.

    A quaternion holds no shear, as a tilted gantry makes it. Cosines that are printed with few digits are never quite
    orthogonal, so the two are compared by what it means: how far the corners of the volume move.
    """
    header.set_sform(affine, SCANNER)
    header.set_qform(affine, SCANNER)
    corners = np.array([(*corner, 1) for corner in product(*((0, extent - 1) for extent in extents))], np.float64)
    moved = (corners @ (header.get_qform() - affine).T)[:, :3]
    if np.linalg.norm(moved, axis=1).max() > LINE_TOLERANCE:
        for field in ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            header[field] = 0

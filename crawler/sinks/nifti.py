"""A layout as NIfTI: ``.nii.gz`` with its affine, a BIDS sidecar ``.json``, and ``.provenance.json``.

The array (..., slice, row, column) in C order is, byte for byte, NIfTI's (column, row, slice, ...) in Fortran order, so
no voxel is moved: the affine says where it lies. nibabel writes the header; the data are spooled and compressed in
blocks. Layouts of more than 32,767 along an axis become NIfTI-2, whose header can count further.
"""

from __future__ import annotations

import gzip
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from crawler.errors import ConfigError, SinkError
from crawler.geometry import LINE_TOLERANCE, Floats, lps_to_ras
from crawler.sinks.base import LayoutSubject
from crawler.sinks.bids import as_number, sidecar
from crawler.sinks.provenance import leading_axes, spacing, write_json, write_provenance
from crawler.sinks.raster import BLOCK, Part, Plan, Raster, RasterSink

SCANNER = 1
"""NIFTI_XFORM_SCANNER_ANAT of nifti1.h: coordinates of the scanner, as Image Position (Patient) is."""

LARGEST = 2**15 - 1
"""What an axis of NIfTI-1 can count (short dim[8])."""

COLOURS = {3: np.dtype([(name, "u1") for name in "RGB"]), 4: np.dtype([(name, "u1") for name in "RGBA"])}
"""NIFTI_TYPE_RGB24 and RGBA32, by samples a pixel."""


@dataclass(frozen=True, slots=True)
class NiftiOptions:
    """How volumes are compressed: gzip level from 0 to 9.

    1 writes 82 MB/s of MR, 6 (that of pigz) 19 MB/s for files that are 2 % smaller.
    """

    level: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 9:
            raise ConfigError(f"nifti level: {self.level} is not between 0 and 9")


class NiftiSink(RasterSink):
    """Writes one layout into one NIfTI file and its two companions, frames in any order."""

    needs: ClassVar[tuple[str, ...]] = ("nibabel",)
    Options: ClassVar[type[Any]] = NiftiOptions
    extension: str = ".nii.gz"

    def _plan(self, subject: LayoutSubject, shape: tuple[int, ...]) -> Plan:
        colour = subject.layout.axes[-1] == "sample"
        if colour and (subject.dtype != np.uint8 or shape[-1] not in COLOURS):
            raise SinkError(
                "no type for these voxels", f"NIfTI has no {shape[-1]} samples of {subject.dtype}: use hdf5"
            )
        extents = shape[-2::-1] if colour else shape[::-1]
        dtype = COLOURS[shape[-1]] if colour else subject.dtype
        return Plan(_header(subject, extents, dtype), subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, raster: Raster) -> list[Part]:
        volume, fields, origin = self._scratch(self.extension), self._scratch(".json"), self._scratch(".json")
        # Without name and time in the gzip header: equal volumes, equal bytes.
        with (
            open(raster.path, "rb") as source,
            open(volume, "xb") as file,
            gzip.GzipFile("", "wb", self._options.level, file, mtime=0) as packed,
        ):
            shutil.copyfileobj(source, packed, BLOCK)
        write_json(fields, sidecar(subject))
        write_provenance(origin, subject)
        return [
            Part(volume, self.extension, "volume"),
            Part(fields, ".json", "sidecar"),
            Part(origin, ".provenance.json", "sidecar"),
        ]


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
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    extents = (*extents, 1, 1)[: max(3, len(extents))]
    header = (Nifti1Header if max(extents) <= LARGEST else Nifti2Header)(endianness="<")
    try:
        header.set_data_dtype(dtype)
        header.set_data_shape(extents)
    except HeaderDataError as error:
        raise SinkError("no type for these voxels", f"{error}: use hdf5") from error
    header["vox_offset"] = header.sizeof_hdr + 4  # four zero bytes: no extension follows
    header.set_slope_inter(1, 0)
    sizes = spacing(subject)[::-1]
    period = _period(subject)
    header.set_zooms([size if math.isfinite(size) else 1.0 for size in sizes] + [period or 1.0] * (len(extents) - 3))
    if any(map(math.isfinite, sizes)) or period:
        header.set_xyzt_units("mm" if any(map(math.isfinite, sizes)) else None, "sec" if period else None)
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


def _period(subject: LayoutSubject) -> float | None:
    """Seconds from one volume to the next, where the fourth axis is time: (0018,0080) *Repetition Time*."""
    others = [axis for axis in leading_axes(subject) if axis != "slice"]
    value = as_number(subject.attributes.get("RepetitionTime")) if others[-1:] == ["time"] else None
    return value * 1e-3 if value is not None and value > 0 else None

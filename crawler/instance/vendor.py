"""Diffusion weighting of MR images: b-value and direction of the gradient, from public elements and vendors' own.

Public elements come first, except for directions of United Imaging. Private elements are asked for by creator, so that
no vendor's meaning is read into another's element. Does not decide which frames share a volume (`layout/` does).

Facts are from the vendors' conformance statements and the readers that were validated on their scanners: dcm2niix
(directories Siemens, GE, Philips, Canon and UIH of rordenlab/dcm2niix), dicm2nii (`get_dti_para` of
xiangruili/dicm2nii) and the NA-MIC wiki, "DTI:DICOM for DWI and DTI".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from crawler.dicom.attributes import Attributes
from crawler.dicom.csa import NO_CSA, Csa
from crawler.geometry import Floats, normal
from crawler.instance.traits import with_traits
from crawler.model import Plane, Vector

_MATRIX = "DiffusionBMatrixSequence"
"""What an image of *Diffusion Directionality* BMATRIX has in place of a direction (PS3.3 C.8.13.5.9)."""
B_VALUE, DIRECTION = "DiffusionBValue", "DiffusionGradientOrientation"

_SIEMENS = "SIEMENS MR HEADER"
_SIEMENS_B = (0x0019000C, _SIEMENS)
_SIEMENS_DIRECTION = (0x0019000E, _SIEMENS)  # in patient LPS, as all of Siemens'
_SIEMENS_MATRIX = (0x00190027, _SIEMENS)  # xx, xy, xz, yy, yz, zz
# (0018,0024) of sequences without CSA header: *ep_b1000#12, *ep_b50t
_SIEMENS_SEQUENCE = re.compile(r"\*?[a-z]{2,8}[0-9]?d?_b([0-9]{1,5})(?:[t#].*)?")

_GE_B = (0x00430039, "GEMS_PARM_01")  # the first of Slop_int_6 ... 9
_GE_DIRECTION = tuple((tag, "GEMS_ACQU_01") for tag in (0x001900BB, 0x001900BC, 0x001900BD))
_GE_FLAG = 10**9
"""Added to b-values of protocols with several of them: 1000000750 stands for 750."""

_PHILIPS_B = (0x20010003, "Philips Imaging DD 001")
_PHILIPS_DIRECTION = tuple((tag, "Philips MR Imaging DD 001") for tag in (0x200500B0, 0x200500B1, 0x200500B2))
_PHILIPS_FRAME = (0x2005000F, "Philips MR Imaging DD 005")  # sequence that holds them in a functional group

_UNITED = "Image Private Header"
_UNITED_B = (0x00650009, _UNITED)
_UNITED_DIRECTION = (0x00650037, _UNITED)  # along column index, row index and normal

_CANON = re.compile(r"b=([0-9]{1,5}(?:\.[0-9]{1,6})?)\(([-+0-9.eE]{1,20}),([-+0-9.eE]{1,20}),([-+0-9.eE]{1,20})\)")

_B_MATRIX = ("XX", "XY", "XZ", "YY", "YZ", "ZZ")

CORONAL = 1
DIRECTED = 0.5
"""Of the eigenvalues of a b-matrix the second may be this share of the first, where a direction is read from it:
images weighted along one direction have one eigenvalue beside small ones from imaging gradients; averages over
directions (trace images) have three alike."""
SCALED = (0.03, 0.97)
"""GE scales gradients, and with them the b-value by the square, by giving directions of such lengths (issue 163 of
rordenlab/dcm2niix); shorter ones are none, and longer ones are rounded unit vectors."""


class Diffusion(NamedTuple):
    """Weighting of an image: b-value in s/mm2, unit vector in patient LPS; None where there is none, or none told."""

    b: float | None = None
    direction: Vector | None = None


def with_diffusion(planes: tuple[Plane, ...], fields: Attributes, csa: Csa) -> tuple[Plane, ...]:
    """Return the planes of an MR image with b-values and directions completed from private elements.

    Directions become unit vectors in patient LPS; images without weighting, or that average over directions, have none.
    Planes of other modalities are returned as they are.

    Parameters
    ----------
    planes
        One a frame, or a single one; with what the public elements say in their traits.
    fields
        The whole record.
    csa
        Of the image.
    """
    if fields.text("Modality") != "MR":
        return planes
    groups = fields.items("PerFrameFunctionalGroupsSequence")
    if not groups:
        return tuple(_completed(plane, fields, csa) for plane in planes)
    if len(planes) == 1 < len(groups):  # a plane that all frames share, for want of items
        return planes
    return tuple(_completed(plane, group, csa) for plane, group in zip(planes, groups, strict=False))


def diffusion_of(fields: Attributes, orientation: Sequence[float] | None, csa: Csa) -> Diffusion:
    """Return what private elements say of an image, or of a frame.

    Parameters
    ----------
    fields
        The data set, or the item of a functional group.
    orientation
        (0020,0037) *Image Orientation (Patient)*, for vendors who give directions in the image's own axes.
    """
    for reader in (_siemens, _ge, _philips, _united, _canon):
        found = reader(fields, orientation)
        if found.b is not None or found.direction is not None:
            return found
    return _siemens_csa(fields, csa)


def _completed(plane: Plane, fields: Attributes, csa: Csa) -> Plane:
    """A plane whose b-value and direction are what all elements together say."""
    b, direction = plane.trait(B_VALUE), plane.trait(DIRECTION)
    macro = fields.item("MRDiffusionSequence") or fields
    kind = macro.text("DiffusionDirectionality")
    if kind == "NONE":
        b = 0.0 if b is None else b  # the b-value may be left out then, PS3.3 C.8.13.5.9
    if kind != "ISOTROPIC" and (matrix := _b_matrix(macro)) is not None:
        direction = _main_axis(matrix) if direction is None else direction
        b = matrix[0] + matrix[3] + matrix[5] if b is None else b  # its trace
    if b is None or direction is None or _UNITED_DIRECTION in fields:
        silent = csa is NO_CSA and fields.memoized(_is_silent)
        private = Diffusion() if silent else diffusion_of(fields, plane.orientation, csa)
        b = private.b if b is None else b
        if direction is None or _UNITED_DIRECTION in fields:
            direction = private.direction
    if b == 0 or kind in ("NONE", "ISOTROPIC"):
        direction = None
    unit = _unit(direction) if direction is not None else None
    if b == plane.trait(B_VALUE) and unit == plane.trait(DIRECTION):
        return plane
    return plane._replace(traits=with_traits(plane.traits, {B_VALUE: b, DIRECTION: unit}))


def _b_matrix(macro: Attributes) -> tuple[float, ...] | None:
    """(0018,9601) *Diffusion b-matrix Sequence*: xx, xy, xz, yy, yz, zz in s/mm2 (PS3.3 C.8.13.5.9); None without."""
    item = macro.item(_MATRIX)
    parts = [] if item is None else [item.number(f"DiffusionBValue{part}") for part in _B_MATRIX]
    known = tuple(part for part in parts if part is not None)
    return known if len(known) == len(_B_MATRIX) else None


def _is_silent(fields: Attributes) -> bool:
    """Whether private elements tell nothing, whatever the orientation."""
    return _UNITED_DIRECTION not in fields and diffusion_of(fields, None, NO_CSA) == Diffusion()


def _siemens(fields: Attributes, orientation: Sequence[float] | None) -> Diffusion:
    b = fields.number(_SIEMENS_B)
    if b is None:
        return Diffusion()
    return Diffusion(b, _unit(fields.vector(_SIEMENS_DIRECTION, 3)) or _main_axis(fields.vector(_SIEMENS_MATRIX, 6)))


def _siemens_csa(fields: Attributes, csa: Csa) -> Diffusion:
    """What the CSA header says, else the b-value in the name of the sequence."""
    b = csa.number("B_value")
    if b is not None:
        vector = _unit(csa.numbers("DiffusionGradientDirection"))
        return Diffusion(b, vector or _main_axis(csa.numbers("B_matrix")))
    kind = fields.value("ImageType")
    if isinstance(kind, list) and "DIFFUSION" in kind:
        name = _SIEMENS_SEQUENCE.fullmatch(fields.text("SequenceName"))
        return Diffusion(float(name[1]) if name else None)
    return Diffusion()


def _ge(fields: Attributes, orientation: Sequence[float] | None) -> Diffusion:
    """GE: components along frequency encoding, phase encoding and slice selection, the logical axes of the scanner.

    (0018,1312) *In-plane Phase Encoding Direction* says which of the first two runs along rows. The signs against the
    image's axes are those that GE's staff measured, the same for head first and feet first, straight and oblique
    (rordenlab/dcm2niix issues 737 and 970).
    """
    stored = fields.each(_GE_B)
    b = stored[0] if stored else None
    if b is None:
        return Diffusion()
    b %= _GE_FLAG
    parts = [fields.number(name) for name in _GE_DIRECTION]
    given = [part for part in parts if part is not None]
    if len(given) != 3 or b == 0:
        return Diffusion(b)
    length = math.hypot(*given)
    if SCALED[0] < length < SCALED[1]:
        b = float(round(b * length**2))
    axes = _axes(orientation)
    phase = fields.text("InPlanePhaseEncodingDirection")
    if axes is None or phase not in ("ROW", "COL"):
        return Diffusion(b)
    along, down, through = given[0], given[1] * (-1 if _main_plane(axes) == CORONAL else 1), -given[2]
    if phase == "ROW":
        along, down = down, -along
    return Diffusion(b, _unit(np.array([along, down, through]) @ axes))


def _philips(fields: Attributes, orientation: Sequence[float] | None) -> Diffusion:
    """Philips: components along R to L, A to P and F to H, which are the axes of the patient (LPS)."""
    inner = fields.item(_PHILIPS_FRAME)
    for level in (fields, inner):
        b = level.number(_PHILIPS_B) if level is not None else None
        if level is not None and b is not None:
            return Diffusion(b, _unit([level.number(name) for name in _PHILIPS_DIRECTION]))
    return Diffusion()


def _united(fields: Attributes, orientation: Sequence[float] | None) -> Diffusion:
    """United Imaging: a vector in the axes of the image.

    It is the true one: their (0018,9089) does not follow a turned field of view (rordenlab/dcm2niix issues 225, 836
    and 993).
    """
    b = fields.number(_UNITED_B)
    vector, axes = fields.vector(_UNITED_DIRECTION, 3), _axes(orientation)
    return Diffusion(b, None if vector is None or axes is None else _unit(np.array(vector) @ axes))


def _canon(fields: Attributes, orientation: Sequence[float] | None) -> Diffusion:
    """Canon (Toshiba): text in (0020,4000) *Image Comments*, b=1500(0.445,0.000,0.895), in axes of the image.

    What is known of them was measured with phase encoding along columns (rordenlab/dcm2niix issue 422). For rows, and
    for coronal slices, dcm2niix and dicm2nii do not agree: no direction is better than a wrong one.
    """
    if not fields.text("Manufacturer").upper().startswith(("CANON", "TOSHIBA")):
        return Diffusion()
    found = _CANON.search(fields.text("ImageComments"))
    if found is None:
        return Diffusion()
    axes, parts = _axes(orientation), [_decimal(text) for text in found.groups()[1:]]
    given = [part for part in parts if part is not None]
    known = fields.text("InPlanePhaseEncodingDirection") == "COL" and len(given) == 3
    if axes is None or not known or _main_plane(axes) == CORONAL:
        return Diffusion(float(found[1]))
    return Diffusion(float(found[1]), _unit(np.array([-given[1], -given[0], given[2]]) @ axes))


def _axes(orientation: Sequence[float] | None) -> Floats | None:
    """Unit vectors along column index, row index and normal, one a row; None without a valid orientation."""
    third = normal(orientation)
    if third is None or orientation is None:
        return None
    return np.array([orientation[:3], orientation[3:], third], dtype=np.float64)


def _main_plane(axes: Floats) -> int:
    """The patient's axis that is nearest to the normal: 0 in sagittal, `CORONAL` in coronal, 2 in axial images."""
    return int(np.argmax(np.abs(axes[2])))


def _unit(vector: Iterable[Any] | None) -> Vector | None:
    """A vector at length one; None for no vector, for zero, and for what is shorter than any direction."""
    parts = [] if vector is None else [float(part) for part in vector if part is not None]
    length = math.hypot(*parts) if len(parts) == 3 else 0.0
    if not SCALED[0] < length < math.inf:
        return None
    return cast("Vector", tuple(part / length for part in parts))


def _main_axis(matrix: Sequence[float] | None) -> Vector | None:
    """Direction along which a b-matrix weights, of either sign: the eigenvector of its largest eigenvalue."""
    if matrix is None or len(matrix) != 6:
        return None
    xx, xy, xz, yy, yz, zz = matrix
    values, vectors = np.linalg.eigh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], dtype=np.float64))
    if not values[2] > 0 or values[1] > DIRECTED * values[2]:
        return None
    return _unit(vectors[:, 2].tolist())


def _decimal(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

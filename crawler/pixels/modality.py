"""Stored values to modality values: rescale or Modality LUT (PS3.3 C.11.1), exactly, in a type that holds every result.

Works on single frames and knows no file: a table comes from the caller. Real World Value Mappings are not applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from crawler.errors import PixelError
from crawler.model import Frame, Instance, Pixels, Plane

Array = npt.NDArray[Any]

_FLOATS: dict[str, np.dtype[Any]] = {"FloatPixelData": np.dtype("float32"), "DoubleFloatPixelData": np.dtype("float64")}
_INTEGERS: tuple[np.dtype[Any], ...] = tuple(
    np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
)


class Table(Protocol):
    """A Modality LUT (PS3.3 C.11.1.1).

    Attributes
    ----------
    table
        Shape (entries,): whole numbers in any dtype.
    """

    @property
    def table(self) -> Array: ...  # noqa: D102

    def __call__(self, values: Array) -> Array: ...  # noqa: D102


def stored_type(pixels: Pixels) -> np.dtype[Any]:
    """Type of the values that `frames.frames` yields for an image.

    Raises
    ------
    PixelError
        "unsupported pixel format": *Bits Allocated* is none of 1, 8, 16, 32 and 64.
    """
    if pixels.keyword in _FLOATS:
        return _FLOATS[pixels.keyword]
    if pixels.bits_allocated == 1:
        return np.dtype("uint8")
    if pixels.bits_allocated not in (8, 16, 32, 64):
        raise PixelError("unsupported pixel format", f"samples of {pixels.bits_allocated} bits")
    return np.dtype(f"{'ui'[pixels.signed]}{pixels.bits_allocated // 8}")


def stored_range(pixels: Pixels) -> tuple[int, int]:
    """Least and greatest integer that *Bits Stored* and *Pixel Representation* allow (PS3.5 8.1.1)."""
    bits = min(pixels.bits_stored or pixels.bits_allocated, pixels.bits_allocated)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pixels.signed and bits > 1 else (0, (1 << bits) - 1)


def is_grey(photometric: str) -> bool:
    """Whether values are quantities, which a rescale applies to: neither colours nor indices of a palette."""
    return photometric.startswith("MONOCHROME")


def value_type(
    instances: Sequence[Instance],
    planes: Iterable[Plane],
    values: Literal["modality", "stored", "real_world"] | str,
    tables: Sequence[Table] = (),
) -> np.dtype[Any]:
    """Type of a volume's voxels.

    Parameters
    ----------
    instances
        Whose frames the volume is made of.
    planes
        Of those frames: their slopes and intercepts.
    values
        "stored", "modality" for rescaled values, or "real_world" for quantities by a Real World Value Mapping.
    tables
        The Modality LUTs of those instances that have one. A rescale applies to the others only.

    Returns
    -------
    dtype
        Stored values, and modality values with slope 1 and intercept 0, keep their type. Where all slopes and
        intercepts are whole numbers, modality values keep it too if it holds the whole stored range rescaled and all
        entries of tables, else they get the smallest integer type that does. Otherwise float32, or float64 for double
        pixels and where whole numbers leave the range of every integer type. Quantities are float32, or float64 where
        stored values have more than 16 bits, or more than 32 as floats.

    Raises
    ------
    PixelError
        "no pixel data" or "unsupported pixel format".
    """
    described = [instance.pixels for instance in instances if instance.pixels is not None]
    if not described:
        raise PixelError("no pixel data", "the objects describe no image")
    kinds = {stored_type(pixels) for pixels in described}
    stored: np.dtype[Any] = np.result_type(*kinds)
    if values == "real_world":
        return np.dtype("float64") if stored.itemsize > (2 if stored.kind in "iu" else 4) else np.dtype("float32")
    if values == "stored" or not all(is_grey(pixels.photometric) for pixels in described):
        return stored
    if stored.kind == "f":
        return np.dtype("float64") if stored.itemsize == 8 else np.dtype("float32")
    everywhere = len(tables) >= len(described)
    rescales = set() if everywhere else {(plane.slope, plane.intercept) for plane in planes}
    if not all(slope.is_integer() and intercept.is_integer() for slope, intercept in rescales):
        return np.dtype("float32")
    extremes = {end for pixels in described for end in stored_range(pixels)}
    ends = [end * int(slope) + int(intercept) for slope, intercept in rescales for end in extremes]
    ends += [int(end) for table in tables for end in (table.table.min(), table.table.max())]
    for kind in (stored, *_INTEGERS):
        if np.iinfo(kind).min <= min(ends, default=0) and max(ends, default=0) <= np.iinfo(kind).max:
            return kind
    return np.dtype("float64")


def modality(frame: Frame, dtype: np.dtype[Any], table: Table | None = None) -> Array:
    """Return a frame's modality values in a given type: from a table, else ``stored * slope + intercept``.

    PS3.3 C.11.1.1.1 and C.11.1.1.2. Colours and palette indices are not changed.

    Parameters
    ----------
    dtype
        As `value_type` chose it for the frame's volume.
    table
        The Modality LUT of the frame's image; values beyond it get its ends. It takes the place of the rescale.

    Returns
    -------
    ndarray of `dtype`, shape of ``frame.values``
        Integers are exact. Floats are computed in float64 and rounded once.

    Raises
    ------
    PixelError
        "damaged pixel data": a value lies beyond *Bits Stored*, so that its result does not fit the type.
    """
    if table is not None and is_grey(frame.photometric):
        values = _integers(table(np.asarray(frame.values)))
        frame = replace(frame, values=values, slope=1.0, intercept=0.0, within=None)
    slope, intercept = (frame.slope, frame.intercept) if is_grey(frame.photometric) else (1.0, 0.0)
    values = np.asarray(frame.values)
    if dtype.kind == "f" or values.dtype.kind == "f":
        if (slope, intercept) == (1.0, 0.0):
            return values.astype(dtype, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):  # an absurd slope gives infinities, as IEEE 754 has it
            return (values * np.float64(slope) + np.float64(intercept)).astype(dtype)
    if (slope, intercept) == (1.0, 0.0) and values.dtype == dtype:
        return values
    factor, term = int(slope), int(intercept)
    ends = sorted(int(end) * factor + term for end in frame.within or (values.min(), values.max()))
    if ends[0] < np.iinfo(dtype).min or ends[1] > np.iinfo(dtype).max:
        raise PixelError("damaged pixel data", "values exceed Bits Stored: their rescaled values do not fit the volume")
    # Arithmetic modulo 2**n is exact for results that fit n bits, whatever happens on the way; no wider copy is made.
    modulus = np.dtype(f"u{dtype.itemsize}")
    result = values.view(modulus) if values.dtype.itemsize == modulus.itemsize else values.astype(modulus)
    if factor != 1:
        result = result * modulus.type(factor % (1 << 8 * modulus.itemsize))
    if term:
        result = result + modulus.type(term % (1 << 8 * modulus.itemsize))
    return result.view(dtype)


def _integers(looked_up: Array) -> Array:
    """Entries of a table as integers: they have 16 bits at most (PS3.3 C.11.1.1), whatever type they are kept in."""
    return looked_up if looked_up.dtype.kind in "iu" else looked_up.astype(np.int64)

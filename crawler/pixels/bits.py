"""The bits of a sample: those that *Bits Stored* counts are kept, the others dropped, and the sign is extended.

One rule for native values and for those of a codestream, so that a file and its lossless recompression give equal
values. Nothing is decoded here, and no file is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.errors import PixelError
from crawler.model import Pixels
from crawler.pixels.codestream import SampleFormat
from crawler.pixels.modality import stored_range, stored_type

Array = npt.NDArray[Any]


def drop_unused_bits(values: Array, pixels: Pixels, precision: int | None = None) -> None:
    """Keep the *Bits Stored* bits below and including *High Bit*, sign-extended, in place (PS3.5 8.1.1).

    The other bits may hold anything; overlays (60xx,0102) lay there before 2004. *High Bit* counts where it lies above
    its place of today, *Bits Stored* - 1; below that it contradicts *Bits Stored* and is not followed.

    Parameters
    ----------
    values
        Integers of the type that *Bits Allocated* and *Pixel Representation* say.
    precision
        Bits of a sample in the codestream that they come from. A *High Bit* beyond them is not followed either.
    """
    allocated, stored = 8 * values.dtype.itemsize, pixels.bits_stored
    if not 0 < stored < allocated:
        return
    high = min(max(pixels.high_bit, stored - 1), allocated - 1)
    if precision is not None and high >= precision:
        high = stored - 1
    if high == stored - 1 and values.size:
        # Mostly nothing is there; to see it takes a quarter of the time of the shifts.
        least, most = stored_range(pixels)
        if values.max() <= most and (not pixels.signed or values.min() >= least):
            return
    np.left_shift(values, allocated - 1 - high, out=values)
    np.right_shift(values, allocated - stored, out=values)


def stored_values(decoded: Array, pixels: Pixels, coded: SampleFormat | None) -> Array:
    """Return what a decoder made of a codestream as stored values: of the type and the bits that the header says.

    A codestream often says more bits than *Bits Stored*, and JPEG, JPEG-LS and JPEG XL know no sign: negative values
    come as two's complement of *Bits Stored* bits (PS3.5 8.1.1, 8.2.3). JPEG 2000 knows a sign, which some writers
    leave out. What a lossy process gives beyond the range is an overshoot of its rounding, and takes the range's end.

    Parameters
    ----------
    decoded
        Integers in the sign of the codestream, of any width.
    coded
        What the codestream says of its samples; None where it is not known.

    Raises
    ------
    PixelError
        "damaged pixel data": values need more bits than *Bits Allocated*.
    """
    kind = stored_type(pixels)
    if decoded.dtype.kind not in "ui" or pixels.keyword != "PixelData":
        raise PixelError("damaged pixel data", f"the codestream holds {decoded.dtype} samples")
    surplus = coded is None or coded.precision > pixels.bits_stored
    if surplus and coded is not None and coded.lossy and coded.signed == pixels.signed:
        least, most = stored_range(pixels)
        limits = np.iinfo(decoded.dtype)
        decoded = np.clip(decoded, max(least, limits.min), min(most, limits.max))
    if decoded.dtype.itemsize > kind.itemsize and decoded.size:
        allocated = 8 * kind.itemsize
        if decoded.min() < -(1 << allocated - 1) or decoded.max() >= 1 << allocated:
            raise PixelError("damaged pixel data", f"the codestream's samples need more than {allocated} bits")
    values = decoded.astype(kind) if decoded.dtype.itemsize != kind.itemsize else decoded.view(kind)
    if coded is None or surplus or coded.signed != pixels.signed:
        if not values.flags.writeable:
            values = values.copy()
        drop_unused_bits(values, pixels, coded.precision if coded else None)
    return values

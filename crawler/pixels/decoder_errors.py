"""What decoders and pydicom may raise on damaged input."""

from __future__ import annotations

import struct
import zlib
from functools import cache


@cache
def decoder_errors() -> tuple[type[Exception], ...]:
    """Return the types, for an ``except`` clause, which asks for them only when something was raised.

    pydicom turns most of what its decoders raise into RuntimeError; the rest comes from the steps between the bytes and
    the values. Its own errors have no base in common with the others, and it is not loaded for their sake before.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        OSError,
        EOFError,
        struct.error,
        zlib.error,
        BytesLengthException,
        InvalidDicomError,
    )

"""The stored values of an instance, frame by frame, with memory for one frame whatever the file's size.

Stored means as PS3.5 section 8 encodes them: no rescale (`modality.py`), no colour conversion and no window
(`display/`). Compressed frames go through `codecs.py`. Every failure is a `PixelError` with one of `Reason`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from crawler.dicom import uids
from crawler.dicom.files import open_dataset, size_of
from crawler.dicom.fragments import frame_table, read_fragment
from crawler.errors import PixelError
from crawler.model import Frame, Instance, Pixels
from crawler.pixels.bits import drop_unused_bits, stored_values
from crawler.pixels.codestream import NATIVE_FRAMES, Decoded, sample_format
from crawler.pixels.masking import masked
from crawler.pixels.modality import stored_range

Array = npt.NDArray[Any]

Reason = Literal[
    "no pixel data",
    "missing Rows",
    "missing Columns",
    "missing BitsAllocated",
    "missing PhotometricInterpretation",
    "unsupported pixel format",
    "unsupported photometric interpretation",
    "missing palette",
    "pixel data too large",
    "truncated pixel data",
    "damaged pixel data",
    "frame missing",
    "unknown transfer syntax",
    "missing decoder",
    "video transfer syntax",
    "unreadable file",
]

DAMAGED: Reason = "damaged pixel data"
_RANGES = 10  # of damaged frames that an error names
NATIVE = "native"
"""Stands for a decoder where there is none."""
_UNCOMPRESSED = (
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
# Both planes of chroma for two pixels: Y Y Cb Cr (PS3.3 C.7.6.3.1.2).
_SUBSAMPLED = {"YBR_FULL_422": "YBR_FULL", "YBR_PARTIAL_422": "YBR_PARTIAL_422"}
_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}


def frames(
    instance: Instance,
    numbers: Sequence[int] | None = None,
    limit: int = 2 * 10**9,
    rgb: bool = False,
    go_on: bool = False,
) -> Iterator[Frame]:
    """Yield frames of stored values, decoded one at a time.

    Parameters
    ----------
    instance
        As `instance.header.read_instance` made it.
    numbers
        Frames wanted (0-based), in the order wanted; None for all.
    limit
        Bytes that one decoded frame may take.
    rgb
        No one needs YBR: a decoder that can convert it to RGB, to the values of `display.colour.to_rgb`, does so.
    go_on
        A frame whose codestream is damaged costs that frame: the others are yielded, then the error is raised.

    Yields
    ------
    Frame
        `values` of shape (rows, columns), or (rows, columns, samples) with the samples of a pixel together; native
        byte order; bits above *Bits Stored* removed and the sign extended (PS3.5 8.1.1). Single bits come as uint8.
        The sub-sampled YBR_FULL_422 comes at full size, as YBR_FULL.

    Raises
    ------
    PixelError
        See `Reason`. Frames in front of the fault, with `go_on` those behind it too, have been yielded by then. The
        detail names the damaged frames, counted from 1.
    FileError
        A deflated file cannot be inflated.
    """
    try:
        with open_dataset(instance.file, instance.transfer_syntax == uids.DeflatedExplicitVRLittleEndian) as stream:
            size = size_of(stream)
            pixels = check(instance, limit, _available(instance.pixels, size))
            if instance.mask is not None and instance.mask.search:
                raise PixelError("held by privacy", "its pixels were not looked at yet")
            decoded = _frame_decoder(stream, instance.transfer_syntax, pixels, size, rgb)
            damaged = DamagedFrames(pixels.frames)
            for number in range(pixels.frames) if numbers is None else numbers:
                if not 0 <= number < pixels.frames:
                    raise PixelError("frame missing", f"frame {number + 1} of {pixels.frames}")
                if len(instance.planes) > 1 and number >= len(instance.planes):
                    raise PixelError(
                        "frame missing", f"functional groups describe {len(instance.planes)} frames of {pixels.frames}"
                    )
                plane = instance.plane(number)
                try:
                    values, photometric, decoder = decoded(number)
                except PixelError as error:
                    damaged.add(number, error)
                    if go_on and error.reason == DAMAGED:
                        continue
                    raise damaged.error() from error
                # Bits beyond those stored were dropped.
                within = stored_range(pixels) if values.dtype.kind in "iu" else None
                if instance.mask is not None:
                    values = masked(values, photometric, instance.mask)
                yield Frame(number, values, photometric, plane.slope, plane.intercept, decoder, within=within)
            if damaged:
                raise damaged.error()
    except OSError as error:
        raise PixelError("unreadable file", error.strerror or type(error).__name__) from error


class DamagedFrames:
    """Frames of a file that cannot be decoded, told in one error."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._found: dict[int, PixelError] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, number: int, error: PixelError) -> None:
        """Note what the decoding of a frame (from 0) raised."""
        self._found[number] = error

    def error(self) -> PixelError:
        """Return the last frame's error when that was no damage, else the first's; the detail names all damaged ones.

        An error that ends the file, and that of a single-frame file, keep their own words.
        """
        *_, last = self._found.values()
        numbers = sorted(number for number, one in self._found.items() if one.reason == DAMAGED)
        if not numbers or self._frames == 1:
            return last
        first = self._found[numbers[0]]
        named = f"{_ranges(numbers)} of {self._frames}: {first.detail}"
        if last.reason != DAMAGED:
            return PixelError(last.reason, f"{last.detail}; damaged before it: {named}")
        return PixelError(first.reason, named)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending frame numbers as people count and write them: "frames 2, 4-7"; the first ten ranges."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    parts = [str(low + 1) if low == high else f"{low + 1}-{high + 1}" for low, high in ends[:_RANGES]]
    more = f" and others, {len(numbers)} in all," if len(ends) > _RANGES else ""
    return f"frame{'s'[: len(numbers) > 1]} {', '.join(parts)}{more}"


def check(instance: Instance, limit: int, available: int) -> Pixels:
    """Refuse what cannot be decoded, from the header alone, before anything is allocated.

    Parameters
    ----------
    limit
        Bytes that one decoded frame may take.
    available
        Bytes of the pixel data element that the stream holds.

    Returns
    -------
    Pixels
        The description, which is complete.

    Raises
    ------
    PixelError
        See `Reason`.
    """
    pixels = instance.pixels
    if pixels is None or not pixels.keyword:
        raise PixelError("no pixel data", "the object has no pixel data element")
    required = {
        "Rows": pixels.rows,
        "Columns": pixels.columns,
        "BitsAllocated": pixels.bits_allocated or pixels.keyword in _FLOATS,
        "PhotometricInterpretation": pixels.photometric,
    }
    for keyword, value in required.items():
        if not value:
            raise PixelError(f"missing {keyword}")
    native = instance.transfer_syntax in _UNCOMPRESSED
    if not native:
        from crawler.pixels.codecs import register, require_decoder  # slow to load, as the decoders are

        register()
        require_decoder(instance.transfer_syntax)
    if native == (pixels.length is None):
        raise PixelError("damaged pixel data", "the element's length contradicts the transfer syntax")
    # 1 bit or whole bytes: PS3.5 8.1.1. The packed 12 bits of ACR-NEMA are retired.
    if _bits(pixels) not in (1, 8, 16, 32, 64) or (pixels.samples > 1 and _bits(pixels) == 1):
        raise PixelError("unsupported pixel format", f"{pixels.samples} samples of {pixels.bits_allocated} bits")
    stored = pixels.rows * pixels.columns * max(pixels.samples, 1) * max(_bits(pixels) // 8, 1)
    if stored > limit:
        raise PixelError("pixel data too large", f"a frame takes {stored:,} bytes, the limit is {limit:,}")
    if not available:
        raise PixelError("truncated pixel data", "holds no byte of it")
    if native and 8 * available < _frame_bits(pixels):
        raise _truncated(pixels, available)
    return pixels


def _available(pixels: Pixels | None, size: int) -> int:
    if pixels is None:
        return 0
    held = max(size - pixels.offset, 0)
    return held if pixels.length is None else min(held, pixels.length)


def _bits(pixels: Pixels) -> int:
    """Bits that a sample takes in the file."""
    kind = _FLOATS.get(pixels.keyword)
    return 8 * np.dtype(kind).itemsize if kind else pixels.bits_allocated


def _subsampled(pixels: Pixels) -> bool:
    """Whether native values come as Y Y Cb Cr."""
    if pixels.photometric not in _SUBSAMPLED or pixels.samples != 3:
        return False
    # Some writers name YBR_FULL_422 and store every sample; the element's length, a third more, gives them away.
    full = pixels.rows * pixels.columns * 3 * _bits(pixels) // 8 * pixels.frames
    return pixels.length not in (full, full + full % 2)


def _frame_bits(pixels: Pixels) -> int:
    samples = 2 if _subsampled(pixels) else max(pixels.samples, 1)
    return pixels.rows * pixels.columns * samples * _bits(pixels)


def _truncated(pixels: Pixels, available: int) -> PixelError:
    whole = (_frame_bits(pixels) * pixels.frames + 7) // 8
    return PixelError("truncated pixel data", f"holds {available:,} of {whole:,} bytes")


def _frame_decoder(stream: BinaryIO, syntax: str, pixels: Pixels, size: int, rgb: bool) -> Callable[[int], Decoded]:
    """Return the function that decodes the frame of a number."""
    if syntax in _UNCOMPRESSED:
        return lambda number: _native(_read_native(stream, pixels, number, _available(pixels, size)), pixels)
    from crawler.pixels.codecs import decode  # slow to load

    table = frame_table(stream, pixels, size)
    options = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": 1,
        "samples_per_pixel": max(pixels.samples, 1),
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored or pixels.bits_allocated,
        "photometric_interpretation": pixels.photometric,
        "pixel_representation": int(pixels.signed),
        "planar_configuration": pixels.planar,
    }

    def compressed(number: int) -> Decoded:
        if number >= len(table):
            raise PixelError("frame missing", f"holds {len(table)} of {pixels.frames} frames")
        source = b"".join(read_fragment(stream, fragment, size, number) for fragment in table[number])
        if syntax == uids.DeflatedImageFrameCompression:
            source = _inflated(source, -(-_frame_bits(pixels) // 8), number)
        if syntax in NATIVE_FRAMES:
            if 8 * len(source) < _frame_bits(pixels):
                raise PixelError("truncated pixel data", f"frame {number + 1} holds {len(source):,} bytes")
            return _native(np.array(np.frombuffer(source, np.uint8)), pixels)
        values, photometric, decoder = decode(source, syntax, options, rgb)
        values = stored_values(values, pixels, sample_format(source, syntax))
        # Decoders give every pixel its chroma, so the values are no longer sub-sampled.
        return Decoded(values, _SUBSAMPLED.get(photometric, photometric), decoder)

    return compressed


def _inflated(source: bytes, size: int, number: int) -> bytes:
    """Inflate a frame (RFC 1951), up to the bytes that it must have, whatever the stream claims."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(source, size)
    except zlib.error as error:
        raise PixelError("damaged pixel data", f"frame {number + 1} cannot be inflated") from error


def _read_native(stream: BinaryIO, pixels: Pixels, number: int, available: int) -> Array:
    """Bytes of one native frame, as uint8; single bits start at the lowest bit."""
    first, bits = number * _frame_bits(pixels), _frame_bits(pixels)
    if first + bits > 8 * available:
        raise _truncated(pixels, available)
    start, end = first // 8, -(-(first + bits) // 8)
    # 8-bit samples written as big endian OW lie in swapped pairs (PS3.5 7.3), which may straddle two frames.
    swapped = pixels.big_endian and pixels.vr == "OW" and _bits(pixels) == 8
    begin, stop = (start - start % 2, end + end % 2) if swapped else (start, end)
    data = np.empty(stop - begin, np.uint8)
    stream.seek(pixels.offset + begin)
    held = data.data
    while held and (count := stream.readinto(held)):  # type: ignore[attr-defined]
        held = held[count:]
    if len(held) > stop - end:
        raise _truncated(pixels, available)
    if swapped:
        data.view("u2").byteswap(inplace=True)
        return data[start - begin : end - begin]
    if first % 8:  # frames of single bits follow each other without padding (PS3.5 8.1.1)
        return np.packbits(np.unpackbits(data, bitorder="little")[first % 8 :], bitorder="little")
    return data


def _native(data: Array, pixels: Pixels) -> Decoded:
    """Bytes (uint8) of one native frame as values, in place as far as it goes.

    Own code, where pydicom's decoder serves in the tests only: it does not know *High Bit*, nor frames of single bits
    that begin inside of a byte of its buffer; and it takes 0.05 ms at 512 x 512 and 12 bits stored, this 0.02.
    """
    shape: tuple[int, ...] = (pixels.rows, pixels.columns)
    count = _frame_bits(pixels) // _bits(pixels)
    if _bits(pixels) == 1:
        bits = np.unpackbits(data, count=count, bitorder="little")
        return Decoded(bits.reshape(shape), pixels.photometric, NATIVE)
    kind = _FLOATS.get(pixels.keyword) or f"{'ui'[pixels.signed]}{pixels.bits_allocated // 8}"
    values: Array = np.frombuffer(data, "<>"[pixels.big_endian] + kind, count)
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    if pixels.keyword not in _FLOATS:
        drop_unused_bits(values, pixels)
    if pixels.samples <= 1:
        return Decoded(values.reshape(shape), pixels.photometric, NATIVE)
    if _subsampled(pixels):
        return Decoded(_upsampled(values).reshape(*shape, 3), _SUBSAMPLED[pixels.photometric], NATIVE)
    photometric = _SUBSAMPLED.get(pixels.photometric, pixels.photometric)
    if pixels.planar:
        colour = values.reshape(pixels.samples, *shape).transpose(1, 2, 0)
        return Decoded(np.ascontiguousarray(colour), photometric, NATIVE)
    return Decoded(values.reshape(*shape, pixels.samples), photometric, NATIVE)


def _upsampled(values: Array) -> Array:
    """Y1 Y2 Cb Cr to Y1 Cb Cr Y2 Cb Cr (PS3.3 C.7.6.3.1.2)."""
    quads = values.reshape(-1, 4)
    return quads[:, [0, 2, 3, 1, 2, 3]].reshape(-1)

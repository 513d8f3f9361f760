"""One compressed frame to an array of stored values: which decoders there are, and in which order they are tried.

It adds imagecodecs to pydicom's decoders as a plug-in, and names the decoder that did the work. It neither finds the
frame in the file (`pixels.py`) nor converts colours: what a codestream holds comes out, and the photometric
interpretation says what that is.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from crawler.dataset.elements import quiet_pydicom
from crawler.errors import PixelError

Array = npt.NDArray[Any]

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_JPEG_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_J2K = (uid.JPEG2000Lossless, uid.JPEG2000)
_HTJ2K_LOSSLESS = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL)
# The families whose codestream begins with SOI and holds a frame header (ISO/IEC 10918-1, 14495-1).
_JPEG_LIKE = (*_JPEG, *_JPEG_LOSSLESS, *_JPEG_LS)
_J2K_LIKE = (*_J2K, *_HTJ2K_LOSSLESS, uid.HTJ2K)

# MPEG-2, MPEG-4 and HEVC (.4.100 to .4.108), SMPTE ST 2110 (.7.1 to .7.3): PS3.6 table A-1.
_VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")

# What any of the decoders may raise on damaged input. pydicom turns most of it into RuntimeError; the rest comes from
# the step between the decoder's bytes and the array.
FAULTS = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    OSError,
    EOFError,
    struct.error,
)

# Plug-ins in the order in which they are tried: the fastest exact one first. Milliseconds a frame on one core,
# imagecodecs / the next one: JPEG 0.7 / 0.9 Pillow (640 x 480 colour), RLE 0.2 / 1.7 pydicom (800 x 600), JPEG 2000
# 92 / 101 Pillow (1955 x 1841), lossless JPEG 2.9 / 5.9 jpegsof3 (1024 x 768).
PREFERENCE = ("imagecodecs", "jpegsof3", "pylibjpeg", "pyjpegls", "gdcm", "pillow", "pydicom")


class Decoded(NamedTuple):
    """A frame as it comes out of a decoder: (rows, columns[, samples]), what its samples mean, and who decoded it."""

    values: Array
    photometric: str
    decoder: str


def _jpeg(source: bytes) -> Array:
    """JPEG, 8 or 12 bit, or lossless of up to 16 bit, by libjpeg-turbo, components as coded."""
    _require_end(source)
    # Equal colour spaces at both ends switch off every transform; without that, libjpeg guesses one from the markers.
    # PS3.5 8.2.1: what the components mean is for Photometric Interpretation to say.
    return _array(imagecodecs.jpeg8_decode(source, colorspace="rgb", outcolorspace="rgb"))


def _jpeg_grey(source: bytes) -> Array:
    _require_end(source)
    return _array(imagecodecs.jpeg8_decode(source))


def _jpegsof3(source: bytes) -> Array:
    return _array(imagecodecs.jpegsof3_decode(source))


def _jpegls(source: bytes) -> Array:
    _require_end(source)
    return _array(imagecodecs.jpegls_decode(source))


def _jpeg2k(source: bytes) -> Array:
    return _array(imagecodecs.jpeg2k_decode(source))


def _htj2k(source: bytes) -> Array:
    """Reversible HTJ2K by OpenJPH, in half of OpenJPEG's time (1.0 ms against 1.9, 512 x 512)."""
    _require_end(source)
    return _array(imagecodecs.htj2k_decode(source))


_CODECS: dict[str, Callable[[bytes], Array]] = {
    **dict.fromkeys((*_JPEG, *_JPEG_LOSSLESS), _jpeg),
    **dict.fromkeys(_JPEG_LS, _jpegls),
    **dict.fromkeys(_J2K, _jpeg2k),
    **dict.fromkeys(_HTJ2K_LOSSLESS, _htj2k),
    # OpenJPH rounds the irreversible transform otherwise (by 1 in 8-bit colour) than OpenJPEG, pydicom's decoder.
    uid.HTJ2K: _jpeg2k,
}

DECODER_DEPENDENCIES = {
    syntax: ("imagecodecs>=2024.6",)
    for syntax in (*_JPEG_LIKE, *_J2K_LIKE, uid.RLELossless)  # named so by pydicom's plug-in interface
}


def is_available(syntax: str) -> bool:
    """Whether the plug-in decodes a transfer syntax; part of pydicom's plug-in interface."""
    return syntax in DECODER_DEPENDENCIES


def register() -> None:
    """Add this module to pydicom's decoders; calling it again changes nothing."""
    for syntax in DECODER_DEPENDENCIES:
        _add(syntax, "imagecodecs", "decode_with_imagecodecs")
    for syntax in _JPEG_LOSSLESS:
        _add(syntax, "jpegsof3", "decode_with_jpegsof3")


def _add(syntax: str, label: str, function: str) -> None:
    decoder = get_decoder(syntax)
    if label not in decoder.available_plugins:
        decoder.add_plugin(label, (__name__, function))


def decode_with_imagecodecs(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode a frame as pydicom's plug-in interface has it.

    Parameters
    ----------
    source
        The codestream of one frame.
    runner
        Describes the image; learns here what the decoder made of bits, planes and colours.
    """
    syntax = runner.transfer_syntax
    if syntax == uid.RLELossless:
        return _decode_rle(source, runner)
    codec = _CODECS[syntax]
    if codec is _jpeg:
        if runner.samples_per_pixel == 1:
            codec = _jpeg_grey
        elif _adobe_transform(source) == 1 and runner.photometric_interpretation == "RGB":
            # The encoder's own mark that it transformed to YCbCr (ISO/IEC 10918-6 6.5.3) contradicts the header; it is
            # believed, as pydicom believes a JFIF marker, and the frame says so.
            runner.set_option("photometric_interpretation", "YBR_FULL")
    return _deliver(codec(source), runner)


def decode_with_jpegsof3(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode lossless JPEG with imagecodecs' second decoder, in case libjpeg-turbo refuses the stream."""
    return _deliver(_jpegsof3(source), runner)


def _deliver(values: Array, runner: DecodeRunner) -> bytes:
    """Bring decoded values to colour-by-pixel, and note what they are now."""
    samples, rows, columns = runner.samples_per_pixel, runner.rows, runner.columns
    expected = (rows, columns) if samples == 1 else (rows, columns, samples)
    if values.shape != expected and values.shape == (samples, rows, columns):
        values = values.transpose(1, 2, 0)
    if values.shape != expected:
        raise ValueError(f"the codestream holds {_by(values.shape)} values, the header says {_by(expected)}")
    runner.set_option("bits_allocated", 8 * values.dtype.itemsize)
    if samples > 1:
        runner.set_option("planar_configuration", 0)
    # JPEG 2000 decoders undo the multi-component transform (PS3.5 8.2.4).
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    return values.tobytes()


def _decode_rle(source: bytes, runner: DecodeRunner) -> bytes:
    """RLE (PS3.5 annex G): one plane after the other, little endian."""
    size = runner.bits_allocated // 8
    _require_segments(source, runner.samples_per_pixel * size)
    planes = bytes(imagecodecs.dicomrle_decode(source, f"<u{size}"))
    expected = runner.rows * runner.columns * runner.samples_per_pixel * size
    if len(planes) != expected:
        raise ValueError(f"the segments hold {len(planes)} bytes, the header says {expected}")
    runner.set_option("planar_configuration", 1)
    return planes


def _require_segments(source: bytes, expected: int) -> None:
    """Check the RLE header (PS3.5 G.5): imagecodecs follows offsets out of the stream, into a segmentation fault."""
    if len(source) < 64:
        raise ValueError("the stream is shorter than its header")
    count, *offsets = struct.unpack("<16L", source[:64])
    bounds = [*offsets[:count], len(source)]
    if count != expected or bounds[0] < 64 or any(one >= two for one, two in itertools.pairwise(bounds)):
        raise ValueError(f"the header does not lead to the {expected} segments that the image needs")


def decode(source: bytes, syntax: str, options: dict[str, Any]) -> Decoded:
    """Decode one compressed frame, trying the decoders in the order of `PREFERENCE`.

    Parameters
    ----------
    source
        The codestream of one frame, its fragments joined.
    syntax
        Transfer syntax UID; `register` was called for it.
    options
        The image's description, by the names of pydicom's decoding options.

    Raises
    ------
    PixelError
        "damaged pixel data": every decoder refused, in the words of the first; or the codestream says another size
        than the header.
    """
    _require_size(source, syntax, options["rows"], options["columns"])
    # pydicom's decoders take frames as they lie in a file: an empty offset table, then the frame as one item.
    item = source if len(source) % 2 == 0 else source + b"\0"
    encapsulated = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(item)) + item
    decoder, words = get_decoder(syntax), ""
    for name in PREFERENCE:
        if name not in decoder.available_plugins:
            continue
        try:
            with quiet_pydicom():
                values, properties = decoder.as_array(
                    encapsulated, index=0, raw=True, validate=False, decoding_plugin=name, **options
                )
        except FAULTS as error:
            words = words or f"{name}: {_last_line(error)}"
        else:
            return Decoded(values, str(properties["photometric_interpretation"]), name)
    raise PixelError("damaged pixel data", words)


def require_decoder(syntax: str) -> None:
    """Raise PixelError unless the transfer syntax, an encapsulated one, can be decoded here.

    Raises
    ------
    PixelError
        "unknown transfer syntax", "video transfer syntax" or "missing decoder".
    """
    known = uid.UID(syntax)
    if known.type != "Transfer Syntax":
        raise PixelError("unknown transfer syntax", syntax or "the header names none")
    if syntax.startswith(_VIDEO):
        raise PixelError("video transfer syntax", known.name)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise PixelError("missing decoder", f"no package decodes {known.name} here") from None
    if not decoder.is_available:
        raise PixelError("missing decoder", f"{known.name}: pip install imagecodecs")


def _require_end(source: bytes) -> None:
    """Ask for the end marker (EOI, EOC) of a stream, which a cut one lacks.

    libjpeg-turbo and OpenJPH fill up what is not there and say nothing; CharLS says so, but was seen to take 4 s for it
    with 64 x 64 pixels.
    """
    # Padding and junk after the marker are common; 64 bytes are far below any frame's entropy-coded data.
    if b"\xff\xd9" not in source.rstrip(b"\0")[-64:]:
        raise ValueError("the stream has no end marker")


def _require_size(source: bytes, syntax: str, rows: int, columns: int) -> None:
    """Refuse a codestream of another size than the header's before a decoder allocates for it."""
    if syntax in _J2K_LIKE:
        size = _j2k_size(source)
    elif syntax in _JPEG_LIKE:
        size = _jpeg_size(source)
    else:
        return
    if size is not None and size != (rows, columns):
        raise PixelError("damaged pixel data", f"the codestream is {_by(size)}, the header says {_by((rows, columns))}")


def _j2k_size(source: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG 2000 codestream, from its SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    # A codestream begins with SOC and SIZ; inside a JP2 box they come later.
    start = source.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(source) < start + 24:
        return None
    width, height, left, top = struct.unpack_from(">4L", source, start + 8)
    return height - top, width - left


def _segments(source: bytes) -> list[tuple[int, int]]:
    """Marker code and position of the marker segments in front of the first scan (ISO/IEC 10918-1 B.1.1)."""
    found, at = [], 2
    while at + 4 <= len(source) and source[at] == 0xFF and source[at + 1] != 0xDA:
        if source[at + 1] == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        found.append((source[at + 1], at))
        at += 2 + int.from_bytes(source[at + 2 : at + 4], "big")
    return found


def _jpeg_size(source: bytes) -> tuple[int, int] | None:
    """Rows and columns from the frame header, SOF0 to SOF15 or SOF55."""
    for code, at in _segments(source):
        # C4, C8 and CC lie among the frame headers, and are DHT, JPG and DAC.
        if (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)) or code == 0xF7:
            rows, columns = struct.unpack_from(">HH", source.ljust(at + 9, b"\0"), at + 5)
            return (rows, columns) if rows else None  # 0: a DNL segment will say (B.2.5)
    return None


def _adobe_transform(source: bytes) -> int | None:
    """Colour transform that an APP14 "Adobe" segment states: 0 none, 1 YCbCr, 2 YCCK; None without one."""
    for code, at in _segments(source):
        if code == 0xEE and source[at + 4 : at + 9] == b"Adobe" and source[at + 2 : at + 4] >= b"\0\x0e":
            return source[at + 15] if at + 15 < len(source) else None
    return None


def _array(values: Any) -> Array:
    return np.ascontiguousarray(values)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _last_line(error: BaseException) -> str:
    """Return the decoder's own words: pydicom puts them on the last line of its message."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[-1].strip().removeprefix("imagecodecs: ")[:200]

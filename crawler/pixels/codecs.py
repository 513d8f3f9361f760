"""One compressed frame to an array of stored values: which decoders there are, and in which order they are tried.

It adds imagecodecs to pydicom's decoders as a plug-in, and names the decoder that did the work. It does not find the
frame in the file (`frames.py`). It converts no colours, unless RGB is asked for and the decoder does it on its way: the
components come out as the codestream holds them, and the photometric interpretation says what they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.config import IGNORE
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import UID

from crawler.dicom import uids
from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.terms import UNKNOWN, photometric_term
from crawler.errors import PixelError
from crawler.pixels.codestream import (
    HTJ2K_LOSSLESS,
    J2K,
    J2K_LIKE,
    JPEG,
    JPEG_LIKE,
    JPEG_LOSSLESS,
    JPEG_LS,
    NATIVE_FRAMES,
    PROGRESSIVE,
    Decoded,
    adobe_transform,
    component_names,
    require_boxes,
    require_end,
    require_segments,
    require_size,
    sample_count,
    sample_format,
    sizes_differ,
)
from crawler.pixels.decoder_errors import decoder_errors

Array = npt.NDArray[Any]

# JPEG XL, which pydicom 3.0 has no decoder for: PS3.5 8.2.15.
_JPEG_XL = {
    uids.JPEGXLLossless: "JPEG XL Lossless",
    uids.JPEGXLJPEGRecompression: "JPEG XL JPEG Recompression",
    uids.JPEGXL: "JPEG XL",
}
# Codestreams that say their process themselves go to the decoders of a syntax that pydicom knows.
_DECODED_AS = dict.fromkeys(PROGRESSIVE, uids.JPEGExtended12Bit)

# MPEG-2, MPEG-4 and HEVC (.4.100 to .4.108), SMPTE ST 2110 (.7.1 to .7.3): PS3.6 table A-1.
_VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")

# Plug-ins in the order in which they are tried: the fastest exact one first. Milliseconds a frame on one core,
# imagecodecs / the next one: JPEG 0.7 / 0.9 Pillow (640 x 480 colour), RLE 0.2 / 1.7 pydicom (800 x 600), JPEG 2000
# 92 / 101 Pillow (1955 x 1841), lossless JPEG 2.9 / 5.9 jpegsof3 (1024 x 768).
PREFERENCE = ("imagecodecs", "jpegsof3", "pylibjpeg", "pyjpegls", "gdcm", "pillow", "pydicom")


def _jpeg(source: bytes) -> Array:
    """JPEG, 8 or 12 bit, or lossless of up to 16 bit, by libjpeg-turbo, components as coded."""
    require_end(source)
    # Equal colour spaces at both ends switch off every transform; without that, libjpeg guesses one from the markers.
    # PS3.5 8.2.1: what the components mean is for Photometric Interpretation to say.
    return _array(imagecodecs.jpeg8_decode(source, colorspace="rgb", outcolorspace="rgb"))


def _jpeg_grey(source: bytes) -> Array:
    require_end(source)
    return _array(imagecodecs.jpeg8_decode(source))


def _jpegsof3(source: bytes) -> Array:
    """Lossless JPEG that libjpeg-turbo refuses.

    Where bits are damaged, this decoder reads on behind the end of the stream, into whatever memory lies there. So two
    fillings lie there, which are long enough, and the values must not depend on which. (A sample takes a code of 16
    bits and a difference of 16 bits at most: ISO/IEC 10918-1 H.1.2.2.)
    """
    behind = 4 * sample_count(source) + 64
    values = imagecodecs.jpegsof3_decode(source + bytes(behind))
    if not np.array_equal(values, imagecodecs.jpegsof3_decode(source + b"\x55" * behind)):
        raise ValueError("the stream ends before its picture does")
    return _array(values)


def _jpegls(source: bytes) -> Array:
    require_end(source)
    return _array(imagecodecs.jpegls_decode(source))


def _jpeg2k(source: bytes) -> Array:
    return _array(imagecodecs.jpeg2k_decode(source))


def _htj2k(source: bytes) -> Array:
    """Reversible HTJ2K by OpenJPH, in half of OpenJPEG's time (1.0 ms against 1.9, 512 x 512)."""
    require_end(source)
    return _array(imagecodecs.htj2k_decode(source))


_CODECS: dict[str, Callable[[bytes], Array]] = {
    **dict.fromkeys((*JPEG, *JPEG_LOSSLESS), _jpeg),
    **dict.fromkeys(JPEG_LS, _jpegls),
    **dict.fromkeys(J2K, _jpeg2k),
    **dict.fromkeys(HTJ2K_LOSSLESS, _htj2k),
    # OpenJPH rounds the irreversible transform otherwise (by 1 in 8-bit colour) than OpenJPEG, pydicom's decoder.
    uids.HTJ2K: _jpeg2k,
}

DECODER_DEPENDENCIES = {
    syntax: ("imagecodecs>=2024.6",)
    for syntax in (*JPEG_LIKE, *J2K_LIKE, uids.RLELossless)  # named so by pydicom's plug-in interface
    if syntax not in PROGRESSIVE
}


def is_available(syntax: str) -> bool:
    """Whether the plug-in decodes a transfer syntax; part of pydicom's plug-in interface."""
    return syntax in DECODER_DEPENDENCIES


def register() -> None:
    """Add this module to pydicom's decoders; calling it again changes nothing."""
    for syntax in DECODER_DEPENDENCIES:
        _add(syntax, "imagecodecs", "decode_with_imagecodecs")
    for syntax in JPEG_LOSSLESS:
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
    if syntax == uids.RLELossless:
        return _decode_rle(source, runner)
    codec = _CODECS[syntax]
    if codec is _jpeg:
        if runner.samples_per_pixel == 1:
            codec = _jpeg_grey
        elif adobe_transform(source) == 1 and runner.photometric_interpretation == "RGB":
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
        raise ValueError(sizes_differ(values.shape, expected))
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
    require_segments(source, runner.samples_per_pixel * size)
    planes = bytes(imagecodecs.dicomrle_decode(source, f"<u{size}"))
    expected = runner.rows * runner.columns * runner.samples_per_pixel * size
    if len(planes) != expected:
        raise ValueError(f"the segments hold {len(planes)} bytes, the header says {expected}")
    runner.set_option("planar_configuration", 1)
    return planes


def _decode_rle_of_bits(source: bytes, options: dict[str, Any]) -> Decoded:
    """RLE of single bits (PS3.5 G.2), for which pydicom 3.0 has no decoder: a byte a pixel, or eight pixels a byte.

    Writers do both; the length of the only segment tells which.
    """
    shape = (options["rows"], options["columns"])
    count = shape[0] * shape[1]
    packed = -(-count // 8)
    try:
        require_segments(source, 1)
        data = np.frombuffer(imagecodecs.dicomrle_decode(source, "<u1"), np.uint8)
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", f"imagecodecs: {_last_line(error)}") from error
    if data.size in (count, count + count % 2):  # segments may be padded to an even length (PS3.5 G.3.1)
        bits = (data[:count] != 0).view(np.uint8)
    elif data.size in (packed, packed + packed % 2):
        bits = np.unpackbits(data, count=count, bitorder="little")
    else:
        raise PixelError("damaged pixel data", f"the segment holds {data.size} bytes, {count} pixels need {packed}")
    return Decoded(bits.reshape(shape), options["photometric_interpretation"], "imagecodecs")


def decode(source: bytes, syntax: str, options: dict[str, Any], rgb: bool = False) -> Decoded:
    """Decode one compressed frame, trying the decoders in the order of `PREFERENCE`.

    The values are those of the codestream: its bits, and its sign.

    Parameters
    ----------
    source
        The codestream of one frame, its fragments joined.
    syntax
        Transfer syntax UID; `register` was called for it.
    options
        The image's description, by the names of pydicom's decoding options.
    rgb
        Whether YBR may come as RGB, where a decoder converts it on its way.

    Raises
    ------
    PixelError
        "damaged pixel data": every decoder refused, in the words of the first; or the codestream says another size
        than the header.
    """
    if syntax in J2K_LIKE:
        require_boxes(source)
    require_size(source, syntax, options["rows"], options["columns"])
    if syntax in _JPEG_XL:
        return _decode_jpegxl(source, options)
    if syntax == uids.RLELossless and options["bits_allocated"] == 1:
        return _decode_rle_of_bits(source, options)
    if rgb and (colours := _jpeg_colours(source, syntax, options)) is not None:
        return Decoded(colours, "RGB", "imagecodecs")
    # pydicom's decoders take frames as they lie in a file: an empty offset table, then the frame as one item.
    item = source if len(source) % 2 == 0 else source + b"\0"
    encapsulated = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(item)) + item
    coded = sample_format(source, syntax)
    # Described as they are coded, so that no decoder mends or cuts them by the header; `bits.py` does, for all.
    options = options | {"bits_stored": options["bits_allocated"]}
    if coded is not None:
        if coded.precision > 32:  # no decoder here has more
            raise PixelError("damaged pixel data", f"the codestream has samples of {coded.precision} bits")
        options |= {
            "bits_allocated": next(width for width in (8, 16, 32) if width >= coded.precision),
            "bits_stored": coded.precision,
            "pixel_representation": int(coded.signed),
        }
    decoder, words = get_decoder(_DECODED_AS.get(syntax, syntax)), ""
    for name in PREFERENCE:
        if name not in decoder.available_plugins:
            continue
        try:
            with quiet_pydicom():
                values, properties = decoder.as_array(
                    encapsulated, index=0, raw=True, validate=False, decoding_plugin=name, **options
                )
        except decoder_errors() as error:
            words = words or f"{name}: {_last_line(error)}"
            photometric = str(options["photometric_interpretation"])
            words = words.replace(photometric, photometric_term(photometric))  # some quote it
        else:
            return Decoded(values, str(properties["photometric_interpretation"]), name)
    raise PixelError("damaged pixel data", words)


def _jpeg_colours(source: bytes, syntax: str, options: dict[str, Any]) -> Array | None:
    """Decode JPEG of YCbCr to RGB at once, where the header says YBR; None where that is not possible, or not sure.

    It takes 1.1 ms a frame of 480 x 640, as long as decoding alone; by way of stored values, which pydicom hands on,
    and `to_rgb` it takes 4.4 ms, to the same values.
    """
    named = options["photometric_interpretation"] in ("YBR_FULL", "YBR_FULL_422")
    if syntax not in JPEG or not named or (options["bits_allocated"], options["bits_stored"]) != (8, 8):
        return None
    # Components called so are RGB whatever the header says, as pydicom has it.
    if options["pixel_representation"] or component_names(source).upper() == b"RGB":
        return None
    try:
        require_end(source)
        colours = _array(imagecodecs.jpeg8_decode(source, colorspace="ycbcr", outcolorspace="rgb"))
    except decoder_errors():
        return None  # the other way says in its own words what is wrong
    return colours if colours.shape == (options["rows"], options["columns"], 3) and colours.dtype == np.uint8 else None


def _decode_jpegxl(source: bytes, options: dict[str, Any]) -> Decoded:
    """JPEG XL by libjxl, which gives RGB whatever colour space the stream is coded in."""
    samples, shape = options["samples_per_pixel"], (options["rows"], options["columns"])
    expected = shape if samples == 1 else (*shape, samples)
    try:
        values = _array(imagecodecs.jpegxl_decode(source))
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", f"imagecodecs: {_last_line(error)}") from error
    if values.shape != expected:
        raise PixelError("damaged pixel data", sizes_differ(values.shape, expected))
    photometric = "RGB" if samples == 3 else options["photometric_interpretation"]
    return Decoded(values, photometric, "imagecodecs")


def require_decoder(syntax: str) -> None:
    """Raise PixelError unless the transfer syntax, an encapsulated one, can be decoded here.

    Raises
    ------
    PixelError
        "unknown transfer syntax", "video transfer syntax" or "missing decoder".
    """
    if syntax in NATIVE_FRAMES or (syntax in _JPEG_XL and imagecodecs.JPEGXL.available):
        return
    known = UID(syntax, IGNORE)  # what is no UID has its own error here
    if known.type != "Transfer Syntax":
        raise PixelError("unknown transfer syntax", UNKNOWN if syntax else "the header names none")
    if syntax.startswith(_VIDEO):
        raise PixelError("video transfer syntax", known.name)
    try:
        decoder = get_decoder(_DECODED_AS.get(syntax, syntax))
    except NotImplementedError:
        raise PixelError("missing decoder", f"no package decodes {known.name} here") from None
    if not decoder.is_available:
        raise PixelError("missing decoder", f"{known.name}: pip install imagecodecs")


def _array(values: Any) -> Array:
    return np.ascontiguousarray(values)


def _last_line(error: BaseException) -> str:
    """Return the decoder's own words: pydicom puts them on the last line of its message."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[-1].strip().removeprefix("imagecodecs: ")[:200]

"""What a codestream says about itself, read before a decoder sees it: size, end, segments, colour transform.

Decoders allocate for what a damaged stream claims, fill up what is not there, or follow its offsets out of memory; so
claims are checked here first. Nothing is decoded: `codecs.py` does that, which is loaded when it is needed.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from crawler.dicom import uids
from crawler.errors import PixelError
from crawler.pixels.jpegxl import read_header

if TYPE_CHECKING:
    import numpy.typing as npt

# Retired: PS3.6 table A-1.
PROGRESSIVE = (uids.JPEGSpectralSelectionNonHierarchical68, uids.JPEGFullProgressionNonHierarchical1012)
JPEG = (uids.JPEGBaseline8Bit, uids.JPEGExtended12Bit, *PROGRESSIVE)
JPEG_LOSSLESS = (uids.JPEGLossless, uids.JPEGLosslessSV1)
JPEG_LS = (uids.JPEGLSLossless, uids.JPEGLSNearLossless)
J2K = (uids.JPEG2000Lossless, uids.JPEG2000)
HTJ2K_LOSSLESS = (uids.HTJ2KLossless, uids.HTJ2KLosslessRPCL)
# The families whose codestream begins with SOI and holds a frame header (ISO/IEC 10918-1, 14495-1).
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "
JPEG_LIKE = (*JPEG, *JPEG_LOSSLESS, *JPEG_LS)
J2K_LIKE = (*J2K, *HTJ2K_LOSSLESS, uids.HTJ2K)
JPEG_XL = (uids.JPEGXLLossless, uids.JPEGXLJPEGRecompression, uids.JPEGXL)
# Frames in items that hold the bytes of native ones (PS3.5 A.4), as they are or each deflated by itself (PS3.5 8.2.16,
# A.4.13): `frames.py` reads them.
NATIVE_FRAMES = (uids.EncapsulatedUncompressedExplicitVRLittleEndian, uids.DeflatedImageFrameCompression)


SOC_SIZ = b"\xff\x4f\xff\x51"
"""A JPEG 2000 codestream begins so (ISO/IEC 15444-1 A.4.1, A.5.1)."""


class Decoded(NamedTuple):
    """A frame as it comes out of a decoder: (rows, columns[, samples]), what its samples mean, and who decoded it."""

    values: npt.NDArray[Any]
    photometric: str
    decoder: str


class SampleFormat(NamedTuple):
    """What a codestream says of its samples.

    Attributes
    ----------
    precision
        Bits of a sample, the sign among them.
    signed
        Samples may be negative; JPEG 2000 alone knows that.
    lossy
        They were rounded: by a discrete cosine transform, an irreversible wavelet, XYB, or a NEAR above 0.
    """

    precision: int
    signed: bool
    lossy: bool


def sample_format(source: bytes, syntax: str) -> SampleFormat | None:
    """Return what a codestream says of the samples of its first component; None where it does not say it plainly.

    From the frame header (ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2), from SIZ and COD (ISO/IEC 15444-1 A.5.1, A.6.1), or
    from the image metadata of JPEG XL.
    """
    if syntax in JPEG_XL:
        header = read_header(source)
        return SampleFormat(header.precision, signed=False, lossy=header.transformed) if header is not None else None
    if syntax in J2K_LIKE:
        start = source.find(SOC_SIZ)
        if start < 0 or len(source) < start + 43:
            return None
        size = source[start + 42]
        return SampleFormat((size & 0x7F) + 1, size > 0x7F, _is_irreversible(source, start + 2))
    at = _frame_header(source) if syntax in JPEG_LIKE else None
    if at is None or len(source) < at + 5:
        return None
    return SampleFormat(source[at + 4], signed=False, lossy=_is_lossy(source, source[at + 1]))


def _is_irreversible(source: bytes, at: int) -> bool:
    """Whether COD, among the marker segments that begin at `at`, names the irreversible wavelet (9-7)."""
    while at + 4 <= len(source) and source[at] == 0xFF and source[at + 1] != 0x90:  # SOT ends the main header
        if source[at + 1] == 0x52:  # length, style, progression, layers, colour transform, levels, block, transform
            return at + 13 < len(source) and source[at + 13] == 0
        at += 2 + int.from_bytes(source[at + 2 : at + 4], "big")
    return False


def _is_lossy(source: bytes, frame: int) -> bool:
    """Whether a JPEG of a kind of frame is: SOF3, SOF7, SOF11 and SOF15 are not, SOF55 (JPEG-LS) by its NEAR."""
    if frame != 0xF7:
        return frame & 3 != 3
    scan = next((at for code, at in _segments(source, scan=True) if code == 0xDA), None)
    if scan is None:
        return False
    near = scan + 5 + 2 * source[scan + 4] if scan + 4 < len(source) else len(source)
    return near < len(source) and source[near] > 0


def require_end(source: bytes) -> None:
    """Ask for the end marker (EOI, EOC) of a stream, which a cut one lacks; ValueError without it.

    libjpeg-turbo and OpenJPH fill up what is not there and say nothing; CharLS says so, but was seen to take 4 s for it
    with 64 x 64 pixels.
    """
    # Padding and junk after the marker are common; 64 bytes are far below any frame's entropy-coded data.
    if b"\xff\xd9" not in source.rstrip(b"\0")[-64:]:
        raise ValueError("the stream has no end marker")


def require_size(source: bytes, syntax: str, rows: int, columns: int) -> None:
    """Refuse a codestream of another size than the header's before a decoder allocates for it.

    Raises
    ------
    PixelError
        "damaged pixel data": the sizes differ. A stream whose size is not found is left to the decoder.
    """
    if syntax in J2K_LIKE:
        size = _j2k_size(source)
    elif syntax in JPEG_LIKE:
        size = _jpeg_size(source)
    elif syntax in JPEG_XL:
        header = read_header(source)
        size = None if header is None else (header.rows, header.columns)
    else:
        return
    if size is not None and size != (rows, columns):
        raise PixelError("damaged pixel data", sizes_differ(size, (rows, columns)))


def require_boxes(source: bytes) -> None:
    """Refuse JP2 boxes round a JPEG 2000 codestream whose lengths lead nowhere (ISO/IEC 15444-1 I.4).

    PS3.5 A.4.4 allows no boxes, yet some files have them. pydicom steps over them, and stands still for
    ever on one of length 0, which only the last may have: the codestream itself.

    Raises
    ------
    PixelError
        "damaged pixel data": a box in front of the codestream is shorter than its own header, or ends behind the frame.
    """
    at = len(_JP2_SIGNATURE) + 4 if source.startswith(_JP2_SIGNATURE) else len(source)
    while at < len(source) and source[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(source[at : at + 4], "big")
        if length < 8 or length > len(source) - at:
            raise PixelError("damaged pixel data", "a JP2 box in front of the codestream has an impossible length")
        at += length


def _j2k_size(source: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG 2000 codestream, from its SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    # A codestream begins with SOC and SIZ; inside a JP2 box they come later.
    start = source.find(SOC_SIZ)
    if start < 0 or len(source) < start + 24:
        return None
    width, height, left, top = struct.unpack_from(">4L", source, start + 8)
    return height - top, width - left


def _segments(source: bytes, scan: bool = False) -> list[tuple[int, int]]:
    """Marker code and position of the marker segments in front of the first scan (ISO/IEC 10918-1 B.1.1).

    With `scan`, its own header comes last.
    """
    found: list[tuple[int, int]] = []
    at = 2
    while at + 4 <= len(source) and source[at] == 0xFF:
        if source[at + 1] == 0xDA:
            return [*found, (0xDA, at)] if scan else found
        if source[at + 1] == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        found.append((source[at + 1], at))
        at += 2 + int.from_bytes(source[at + 2 : at + 4], "big")
    return found


def _frame_header(source: bytes) -> int | None:
    """Position of the frame header, SOF0 to SOF15 or SOF55; None without one."""
    for code, at in _segments(source):
        # C4, C8 and CC lie among the frame headers, and are DHT, JPG and DAC.
        if (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)) or code == 0xF7:
            return at
    return None


def _jpeg_size(source: bytes) -> tuple[int, int] | None:
    """Rows and columns from the frame header."""
    at = _frame_header(source)
    if at is None:
        return None
    rows, columns = struct.unpack(">HH", source[at + 5 : at + 9].ljust(4, b"\0"))
    return (rows, columns) if rows else None  # 0: a DNL segment will say (B.2.5)


def sample_count(source: bytes) -> int:
    """Samples of a JPEG: rows, columns and components from the frame header; the most there can be of unknown rows."""
    rows, columns = _jpeg_size(source) or (1 << 16, 0)
    at = _frame_header(source)
    if at is None or len(source) < at + 10:
        return 0
    return rows * (columns or int.from_bytes(source[at + 7 : at + 9])) * source[at + 9]


def component_names(source: bytes) -> bytes:
    """Identifiers of the components of a JPEG (ISO/IEC 10918-1 B.2.2): numbers, but for writers of b"RGB"."""
    at = _frame_header(source)
    return source[at + 10 : at + 10 + 3 * source[at + 9] : 3] if at is not None and len(source) > at + 9 else b""


def adobe_transform(source: bytes) -> int | None:
    """Colour transform that an APP14 "Adobe" segment states: 0 none, 1 YCbCr, 2 YCCK; None without one."""
    for code, at in _segments(source):
        if code == 0xEE and source[at + 4 : at + 9] == b"Adobe" and source[at + 2 : at + 4] >= b"\0\x0e":
            return source[at + 15] if at + 15 < len(source) else None
    return None


def require_segments(source: bytes, expected: int) -> None:
    """Check the RLE header (PS3.5 G.5), ValueError: imagecodecs follows offsets out of it, into a segmentation fault.

    Parameters
    ----------
    expected
        Segments that the image needs: one for every byte of every sample (PS3.5 G.2).
    """
    if len(source) < 64:
        raise ValueError("the stream is shorter than its header")
    count, *offsets = struct.unpack("<16L", source[:64])
    bounds = [*offsets[:count], len(source)]
    if count != expected or bounds[0] < 64 or any(one >= two for one, two in itertools.pairwise(bounds)):
        raise ValueError(f"the header does not lead to the {expected} segments that the image needs")


def sizes_differ(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Return the detail of an error: "the codestream is 512 x 8, the header says 512 x 512"."""
    first, second = (" x ".join(map(str, shape)) for shape in (found, expected))
    return f"the codestream is {first}, the header says {second}"

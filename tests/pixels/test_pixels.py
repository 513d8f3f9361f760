"""Stored values against pydicom's, across encodings, in bounded memory; and a reason for every failure."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from support.factories import multiframe, quick_dataset, save
from support.reference import FILES, SAME_IMAGE, Known

from crawler.display.colour import to_rgb
from crawler.errors import FileError, PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Instance
from crawler.pixels import codecs, codestream
from crawler.pixels.frames import Reason, check, frames

JPEG, JPEG_LOSSLESS, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"
JPEG_LS, J2K, J2K_LOSSY = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS, HTJ2K = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
PYDICOMS_OWN = ("pylibjpeg", "pillow", "pydicom")


def instance_of(path: Path) -> Instance:
    status = path.stat()
    return read_instance(File(str(path.parent), path.name, status.st_size, status.st_mtime_ns))


def decoded(path: Path, numbers: list[int] | None = None) -> list[np.ndarray]:
    return [frame.values for frame in frames(instance_of(path), numbers)]


def reason_of(path: Path) -> tuple[str, str]:
    with pytest.raises(PixelError) as caught:
        list(frames(instance_of(path)))
    assert caught.value.reason in get_args(Reason)
    return caught.value.reason, caught.value.detail


@pytest.fixture(scope="session")
def by_name(dicom_files: list[Path]) -> dict[str, Path]:
    return {path.name: path for path in dicom_files}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset of given pixels; `encoded` frames go in encapsulated."""

    def write(pixels: np.ndarray, encoded: list[bytes] | None = None, **keywords: Any) -> Path:
        if encoded is not None:
            keywords = {"PixelData": encapsulate(encoded)} | keywords
        return save(quick_dataset(pixels, **keywords), tmp_path / "image.dcm")

    return write


def pydicoms_own(path: Path) -> np.ndarray | None:
    """All frames by pydicom without this package's plug-in; None where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path, force=True)
            decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
            plugin = next((name for name in PYDICOMS_OWN if name in decoder.available_plugins), "")
            if decoder.is_encapsulated and not plugin:
                return None
            values, _ = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)
        except Exception:
            return None
    return values.reshape(int(dataset.get("NumberOfFrames") or 1), *decoded(path, [0])[0].shape)


def test_files_that_pydicom_decodes_are_equal(dicom_files: list[Path]) -> None:
    compared, different = 0, []
    for path in dicom_files:
        try:
            instance = instance_of(path)
        except FileError:
            continue
        if instance.pixels is None or not instance.pixels.keyword or path.stat().st_size > 20_000_000:
            continue
        expected = pydicoms_own(path)
        if expected is None:
            continue
        compared += 1
        found = np.stack(decoded(path))
        if found.dtype != expected.dtype.newbyteorder("=") or not np.array_equal(found, expected):
            different.append(path.name)
    assert not different
    assert compared > 120  # 140 of the files that pydicom 3.0 and pydicom-data 1.0 bring


@pytest.mark.parametrize(("name", "known"), FILES.items(), ids=FILES)
def test_known_pixels(by_name: dict[str, Path], name: str, known: Known) -> None:
    found = list(frames(instance_of(by_name[name])))
    first = found[0]
    assert [frame.number for frame in found] == list(range(known.frames))
    assert (first.values.shape, str(first.values.dtype)) == (known.shape, known.dtype)
    assert first.photometric == known.photometric
    assert {position: first.values[position] for position in known.values} == known.values


@pytest.mark.parametrize("names", SAME_IMAGE, ids=[names[0] for names in SAME_IMAGE])
def test_one_image_in_many_encodings(by_name: dict[str, Path], names: tuple[str, ...]) -> None:
    first, *others = (decoded(by_name[name])[0] for name in names)
    for name, other in zip(names[1:], others, strict=True):
        np.testing.assert_array_equal(first, other, err_msg=name)


def test_shared_data_decodes_or_has_a_reason(shared_data: Path) -> None:
    outcomes: dict[str, list[str]] = {"decoded": []}
    for path in sorted(shared_data.joinpath("in").rglob("*")):
        if not path.is_file():
            continue
        try:
            instance = instance_of(path)
            if instance.pixels is None:
                continue
            for _ in frames(instance):
                pass
        except PixelError as error:
            outcomes.setdefault(error.reason, []).append(path.name)
        except FileError:
            continue
        else:
            outcomes["decoded"].append(path.name)
    failed = sorted(name for reason, names in outcomes.items() if reason != "decoded" for name in names)
    assert set(outcomes) <= {"decoded", *get_args(Reason)}
    assert len(outcomes["decoded"]) > 900
    assert len(failed) < 10, outcomes


# -- codecs


def ramp(dtype: str, top: int, colour: bool = False) -> np.ndarray:
    """A smooth image with both extremes in it."""
    y, x = np.mgrid[:24, :40]
    grey = (x * y) * top // (23 * 39)
    values = np.stack([grey, top - grey, grey.T.reshape(24, 40)], axis=-1) if colour else grey
    return values.astype(dtype)


GREYS = [("uint8", 255), ("uint16", 4095), ("uint16", 65535)]


@pytest.mark.parametrize(("dtype", "top"), GREYS)
@pytest.mark.parametrize(
    ("syntax", "encode", "decoder"),
    [
        (JPEG_LS, imagecodecs.jpegls_encode, "imagecodecs"),
        (J2K, lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k"), "imagecodecs"),
        (HTJ2K_LOSSLESS, imagecodecs.htj2k_encode, "imagecodecs"),
        (HTJ2K, imagecodecs.htj2k_encode, "imagecodecs"),
        (
            JPEG_LOSSLESS,
            lambda v: imagecodecs.jpeg8_encode(v, lossless=True, bitspersample=8 * v.itemsize),
            "imagecodecs",
        ),
    ],
)
def test_lossless_round_trip(
    written: Callable[..., Path], syntax: str, encode: Any, decoder: str, dtype: str, top: int
) -> None:
    values = ramp(dtype, top)
    path = written(values, [encode(values)], TransferSyntaxUID=syntax)
    (frame,) = frames(instance_of(path))
    np.testing.assert_array_equal(frame.values, values)
    assert (frame.values.dtype, frame.decoder) == (values.dtype, decoder)


@pytest.mark.parametrize("syntax", [J2K, HTJ2K_LOSSLESS])
def test_signed_values_survive(written: Callable[..., Path], syntax: str) -> None:
    values = ramp("int16", 4095) - np.int16(2048)
    encode = imagecodecs.htj2k_encode if syntax == HTJ2K_LOSSLESS else imagecodecs.jpeg2k_encode
    path = written(values, [encode(values)], TransferSyntaxUID=syntax)
    np.testing.assert_array_equal(decoded(path)[0], values)


def test_htj2k_lossy_colour_is_what_pydicoms_decoder_gives(written: Callable[..., Path]) -> None:
    values = ramp("uint8", 255, colour=True)
    source = imagecodecs.htj2k_encode(values, level=0.01)
    path = written(values, [source], TransferSyntaxUID=HTJ2K, PhotometricInterpretation="YBR_ICT")
    (frame,) = frames(instance_of(path))
    codecs.register()
    expected, _ = get_decoder(HTJ2K).as_array(dcmread(path), raw=True, decoding_plugin="pylibjpeg")
    np.testing.assert_array_equal(frame.values, expected)
    assert frame.photometric == "RGB"


@pytest.mark.parametrize(
    ("header", "colorspace", "expected"),
    [("YBR_FULL_422", "ycbcr", "YBR_FULL"), ("YBR_FULL", "ycbcr", "YBR_FULL"), ("RGB", "rgb", "RGB")],
)
def test_jpeg_components_come_as_coded(
    written: Callable[..., Path], header: str, colorspace: str, expected: str
) -> None:
    values = np.full((16, 16, 3), (200, 90, 160), np.uint8)
    source = imagecodecs.jpeg8_encode(values, level=100, colorspace=colorspace, outcolorspace=colorspace)
    path = written(values, [source], TransferSyntaxUID=JPEG, PhotometricInterpretation=header)
    (frame,) = frames(instance_of(path))
    assert frame.photometric == expected
    np.testing.assert_allclose(frame.values, values.astype(float), atol=1)  # the quantisation of quality 100


def test_adobe_mark_overrules_rgb_in_the_header(written: Callable[..., Path]) -> None:
    values = np.full((16, 16, 3), (200, 90, 160), np.uint8)
    plain = imagecodecs.jpeg8_encode(values, level=100, colorspace="ycbcr", outcolorspace="ycbcr")
    jfif = 4 + int.from_bytes(plain[4:6], "big") if plain[2:4] == b"\xff\xe0" else 2
    source = plain[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01" + plain[jfif:]
    path = written(values, [source], TransferSyntaxUID=JPEG, PhotometricInterpretation="RGB")
    assert next(frames(instance_of(path))).photometric == "YBR_FULL"


@pytest.mark.parametrize("luma", [0, 1, 77, 128, 254, 255])
def test_jpeg_decoded_to_rgb_is_what_to_rgb_makes_of_it(written: Callable[..., Path], luma: int) -> None:
    values = np.empty((256, 256, 3), np.uint8)  # all pairs of chroma
    values[..., 0] = luma
    values[..., 1:] = np.moveaxis(np.indices((256, 256)), 0, -1)
    # A block of one colour is its mean alone, which quality 100 keeps.
    blocks = values.repeat(8, axis=0).repeat(8, axis=1)
    source = imagecodecs.jpeg8_encode(
        blocks, level=100, colorspace="ycbcr", outcolorspace="ycbcr", subsampling="444", optimize=False
    )
    instance = instance_of(written(blocks, [source], TransferSyntaxUID=JPEG, PhotometricInterpretation="YBR_FULL"))
    (stored,), (shown,) = frames(instance), frames(instance, rgb=True)
    np.testing.assert_array_equal(stored.values, blocks)
    assert (stored.photometric, shown.photometric) == ("YBR_FULL", "RGB")
    np.testing.assert_array_equal(shown.values, to_rgb(stored))


def test_rgb_of_real_files_is_the_same_either_way(dicom_files: list[Path]) -> None:
    converted = set()
    for path in dicom_files:
        try:
            stored, shown = (next(frames(instance_of(path), [0], rgb=rgb)) for rgb in (False, True))
        except FileError:
            continue
        if stored.photometric == shown.photometric:
            np.testing.assert_array_equal(shown.values, stored.values, err_msg=path.name)
            continue
        np.testing.assert_array_equal(shown.values, to_rgb(stored), err_msg=path.name)
        converted.add(path.name)
    assert converted >= {"color3d_jpeg_baseline.dcm", "examples_ybr_color.dcm", "SC_rgb_jpeg_dcmtk.dcm"}
    assert "SC_rgb_jpeg.dcm" not in converted


def test_what_is_named_ybr_and_is_not_stays_as_it_is(written: Callable[..., Path]) -> None:
    values = np.full((16, 16, 3), (200, 90, 160), np.uint8)
    source = imagecodecs.jpeg8_encode(values, level=100, colorspace="rgb", outcolorspace="rgb")
    assert codestream.component_names(source) == b"RGB"
    path = written(values, [source], TransferSyntaxUID=JPEG, PhotometricInterpretation="YBR_FULL")
    (frame,) = frames(instance_of(path), rgb=True)
    assert frame.photometric == "RGB"
    np.testing.assert_allclose(frame.values, values.astype(float), atol=1)
    cut = source[:-40] + b"\0" * 40
    path = written(values, [cut], TransferSyntaxUID=JPEG, PhotometricInterpretation="YBR_FULL")
    with pytest.raises(PixelError, match="damaged pixel data"):
        list(frames(instance_of(path), rgb=True))


def test_lossless_jpeg_decoders_agree(by_name: dict[str, Path]) -> None:
    codecs.register()
    codecs.register()  # again: nothing to add
    for name in ("JPEG-LL.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "bad_sequence.dcm"):
        dataset = dcmread(by_name[name])
        first, second = (
            get_decoder(JPEG_LOSSLESS).as_array(dataset, raw=True, decoding_plugin=plugin)[0]
            for plugin in ("imagecodecs", "jpegsof3")
        )
        np.testing.assert_array_equal(first, second, err_msg=name)


def test_next_decoder_takes_over(written: Callable[..., Path]) -> None:
    values = np.full((16, 16), 7, np.uint8)
    source = imagecodecs.jpeg8_encode(values).removesuffix(b"\xff\xd9")
    path = written(values, [source + b"\xff\xd9" + b"junk" * 30], TransferSyntaxUID=JPEG)
    (frame,) = frames(instance_of(path))
    assert frame.decoder == "pillow"
    np.testing.assert_array_equal(frame.values, values)


# -- syntaxes that pydicom has no decoder for


def encapsulated(path: Path, syntax: str, sources: list[bytes], pixels: np.ndarray, **keywords: Any) -> Path:
    """Write frames in a transfer syntax that pydicom refuses to write: under another name of its length."""
    stand_in = next(uid for uid in (JPEG_LS, HTJ2K) if len(even(uid.encode())) == len(even(syntax.encode())))
    dataset = quick_dataset(pixels, TransferSyntaxUID=stand_in, PixelData=encapsulate(sources), **keywords)
    save(dataset, path)
    path.write_bytes(path.read_bytes().replace(even(stand_in.encode()), even(syntax.encode()), 1))
    return path


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.112"])
@pytest.mark.parametrize(("dtype", "top"), GREYS)
def test_jpeg_xl(tmp_path: Path, syntax: str, dtype: str, top: int) -> None:
    values = ramp(dtype, top)
    source = imagecodecs.jpegxl_encode(values, lossless=True)
    (frame,) = frames(instance_of(encapsulated(tmp_path / "xl.dcm", syntax, [source], values)))
    np.testing.assert_array_equal(frame.values, values)
    assert (frame.values.dtype, frame.decoder) == (values.dtype, "imagecodecs")


def test_jpeg_in_jpeg_xl_is_rgb(tmp_path: Path) -> None:
    values = ramp("uint8", 255, colour=True)
    jpeg = imagecodecs.jpeg8_encode(values, level=95, subsampling="444")
    source = imagecodecs.jpegxl_encode_jpeg(jpeg)
    path = tmp_path / "xl.dcm"
    encapsulated(path, "1.2.840.10008.1.2.4.111", [source], values, PhotometricInterpretation="YBR_FULL")
    (frame,) = frames(instance_of(path))
    assert frame.photometric == "RGB"
    np.testing.assert_allclose(frame.values.astype(int), imagecodecs.jpeg8_decode(jpeg).astype(int), atol=6)


@pytest.mark.parametrize("length", [0, 1, 7, 1 << 30])
def test_jp2_boxes_that_lead_nowhere_cost_the_frame_and_no_hang(tmp_path: Path, length: int) -> None:
    """pydicom steps over the boxes by their lengths, and stays for ever at one of 0."""
    values = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    source = imagecodecs.jpeg2k_encode(values, codecformat="jp2", reversible=True)
    assert source[4:8] == b"jP  "
    path = encapsulated(tmp_path / "jp2.dcm", "1.2.840.10008.1.2.4.90", [source], values)
    np.testing.assert_array_equal(decoded(path)[0], values)
    source = source[:12] + struct.pack(">L", length) + source[16:]
    path = encapsulated(tmp_path / "box.dcm", "1.2.840.10008.1.2.4.90", [source], values)
    assert reason_of(path)[0] == "damaged pixel data"


@pytest.mark.parametrize("cut", [slice(0, 40), slice(0, 0)])
def test_jpeg_xl_that_is_cut_or_of_another_size(tmp_path: Path, cut: slice) -> None:
    values = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    source = imagecodecs.jpegxl_encode(values, lossless=True)[cut] or imagecodecs.jpegxl_encode(values[:16])
    path = encapsulated(tmp_path / "xl.dcm", "1.2.840.10008.1.2.4.110", [source], values)
    assert reason_of(path)[0] == "damaged pixel data"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32"])
def test_deflated_frames(tmp_path: Path, dtype: str) -> None:
    values = np.stack([ramp(dtype, 99), ramp(dtype, 88)])
    sources = [deflated(frame.tobytes()) for frame in values]
    path = encapsulated(tmp_path / "frames.dcm", "1.2.840.10008.1.2.8.1", sources, values)
    np.testing.assert_array_equal(np.stack(decoded(path)), values)


def test_deflated_frames_of_bits(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 5, 7), np.uint8)
    sources = [deflated(np.packbits(frame.reshape(-1), bitorder="little").tobytes()) for frame in bits]
    described = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    path = encapsulated(tmp_path / "bits.dcm", "1.2.840.10008.1.2.8.1", sources, bits, **described)
    np.testing.assert_array_equal(np.stack(decoded(path)), bits)


def test_deflated_frame_that_unfolds_without_end_takes_its_own_size(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint8)
    path = tmp_path / "bomb.dcm"
    encapsulated(path, "1.2.840.10008.1.2.8.1", [deflated(bytes(1 << 26))], values)
    count, most, reason = peak(path)
    assert (count, reason) == (1, "")
    assert most < 1 << 20


@pytest.mark.parametrize(
    ("source", "reason"), [(b"\xff" * 20, "damaged pixel data"), (b"\x03\0", "truncated pixel data")]
)
def test_deflated_frame_that_is_damaged(tmp_path: Path, source: bytes, reason: str) -> None:
    path = encapsulated(tmp_path / "frames.dcm", "1.2.840.10008.1.2.8.1", [source], np.zeros((8, 8), np.uint8))
    assert reason_of(path)[0] == reason


def deflated(data: bytes) -> bytes:
    """Raw deflate (RFC 1951), as zlib writes it between its header and its checksum."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"])
def test_progressive_jpeg(written: Callable[..., Path], syntax: str) -> None:
    values = ramp("uint8", 255)
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=100, progressive=True)
    (frame,) = frames(instance_of(written(values, [buffer.getvalue()], TransferSyntaxUID=syntax)))
    np.testing.assert_allclose(frame.values.astype(int), values.astype(int), atol=2)  # the quantisation of quality 100
    assert frame.decoder == "imagecodecs"


def test_partial_range_ybr_is_subsampled_too(written: Callable[..., Path]) -> None:
    stored = np.array([16, 235, 90, 240, 16, 16, 128, 128], np.uint8)
    pixels = np.zeros((1, 4, 3), np.uint8)
    path = written(pixels, PhotometricInterpretation="YBR_PARTIAL_422", PixelData=stored.tobytes())
    (frame,) = frames(instance_of(path))
    assert frame.photometric == "YBR_PARTIAL_422"
    assert frame.values[0].tolist() == [[16, 90, 240], [235, 90, 240], [16, 128, 128], [16, 128, 128]]


# -- native encodings


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", BIG_ENDIAN])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_odd_frames_of_bytes(tmp_path: Path, syntax: str, vr: str) -> None:
    values = np.arange(45, dtype=np.uint8).reshape(3, 3, 5)
    data = values.tobytes() + b"\0"
    if vr == "OW" and syntax == BIG_ENDIAN:
        data = np.frombuffer(data, "u2").byteswap().tobytes()
    dataset = quick_dataset(values, TransferSyntaxUID=syntax, PixelData=data)
    dataset["PixelData"].VR = vr
    dataset.save_as(tmp_path / "odd.dcm", enforce_file_format=False)
    np.testing.assert_array_equal(np.stack(decoded(tmp_path / "odd.dcm")), values)
    np.testing.assert_array_equal(decoded(tmp_path / "odd.dcm", [2, 1]), values[[2, 1]])


def test_frames_of_bits_need_not_begin_at_a_byte(written: Callable[..., Path]) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 3, 7), np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    path = written(bits, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed + b"\0" * (len(packed) % 2))
    np.testing.assert_array_equal(np.stack(decoded(path)), bits)


def test_planes_of_colour(written: Callable[..., Path]) -> None:
    values = ramp("uint16", 65535, colour=True)
    path = written(values, PlanarConfiguration=1, PixelData=values.transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(decoded(path)[0], values)


@pytest.mark.parametrize(("bits", "high"), [(12, 11), (12, 15), (10, 12), (12, 0)])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_bits_beside_the_stored_ones_are_dropped(
    written: Callable[..., Path], dtype: str, bits: int, high: int
) -> None:
    low = -(1 << bits - 1) if dtype == "int16" else 0
    values = np.linspace(low, low + (1 << bits) - 1, 64).astype(dtype).reshape(8, 8)
    place = max(high, bits - 1) - bits + 1  # a High Bit below Bits Stored - 1 is not possible, and not followed
    field = ((1 << bits) - 1) << place
    noise = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    data = (values.view(np.uint16) << place & field) | (noise & ~np.uint16(field))
    path = written(values, BitsStored=bits, HighBit=high, PixelData=data.astype("<u2").tobytes())
    np.testing.assert_array_equal(decoded(path)[0], values)


def test_ybr_422_that_stores_every_sample(written: Callable[..., Path]) -> None:
    values = ramp("uint8", 255, colour=True)
    (frame,) = frames(instance_of(written(values, PhotometricInterpretation="YBR_FULL_422")))
    np.testing.assert_array_equal(frame.values, values)
    assert frame.photometric == "YBR_FULL"


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float32", "float64"])
def test_wide_values(tmp_path: Path, dtype: str) -> None:
    path = multiframe(tmp_path / "wide.dcm", 3, 4, 5, np.dtype(dtype))
    found = decoded(path)
    assert len(found) == 3
    np.testing.assert_array_equal(found[2], (np.arange(20) + 2).reshape(4, 5).astype(dtype))
    assert found[2].dtype == dtype


# -- fragments


SOURCES = [imagecodecs.jpegls_encode(np.full((8, 8), level, np.uint8)) for level in range(4)]


def even(source: bytes) -> bytes:
    return source + b"\0" * (len(source) % 2)


def items(*values: bytes) -> bytes:
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value for value in values)


HALVES = [part for source in SOURCES for part in (even(source)[:20], even(source)[20:])]


@pytest.mark.parametrize(
    "data",
    [
        encapsulate(SOURCES),
        encapsulate(SOURCES, has_bot=False),
        encapsulate(SOURCES, fragments_per_frame=2),
        items(b"", *HALVES),  # no table: the end markers tell
        items(struct.pack("<4L", 0, 1, 2, 3), *HALVES),  # a wrong table is not followed
    ],
    ids=["table", "no table", "fragments", "fragments, no table", "wrong table"],
)
def test_fragments_find_their_frames(written: Callable[..., Path], data: bytes) -> None:
    path = written(np.zeros((4, 8, 8), np.uint8), TransferSyntaxUID=JPEG_LS, PixelData=data)
    assert [int(values.max()) for values in decoded(path)] == [0, 1, 2, 3]
    assert [int(values.max()) for values in decoded(path, [3, 1])] == [3, 1]


@pytest.mark.parametrize("tabled", [True, False])
def test_whole_frames_of_a_cut_file_with_fragments(written: Callable[..., Path], tabled: bool) -> None:
    sizes = [2 * 8 + len(even(source)) for source in SOURCES]
    offsets = [sum(sizes[:number]) for number in range(4)]
    table = struct.pack("<4L", *offsets) if tabled else b""
    path = written(np.zeros((4, 8, 8), np.uint8), TransferSyntaxUID=JPEG_LS, PixelData=items(table, *HALVES))
    whole = path.read_bytes()
    last = whole.rindex(items(HALVES[7]))  # the second half of the last frame is not there
    path.write_bytes(whole[: last + 9])
    taken = []
    with pytest.raises(PixelError):
        taken.extend(frames(instance_of(path)))
    assert [int(frame.values.max()) for frame in taken] == [0, 1, 2]


def test_extended_offset_table(written: Callable[..., Path]) -> None:
    data, offsets, lengths = encapsulate_extended(SOURCES)
    path = written(
        np.zeros((4, 8, 8), np.uint8),
        TransferSyntaxUID=JPEG_LS,
        PixelData=data,
        ExtendedOffsetTable=offsets,
        ExtendedOffsetTableLengths=lengths,
    )
    assert [int(values.max()) for values in decoded(path)] == [0, 1, 2, 3]


def test_fragments_of_a_single_frame_are_joined(written: Callable[..., Path]) -> None:
    source = even(SOURCES[3])
    data = items(b"", *(source[at : at + 10] for at in range(0, len(source), 10)))
    path = written(np.zeros((8, 8), np.uint8), TransferSyntaxUID=JPEG_LS, PixelData=data)
    assert int(decoded(path)[0].min()) == 3


def test_uncompressed_frames_in_items(written: Callable[..., Path]) -> None:
    values = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    path = written(values, [frame.tobytes() for frame in values], TransferSyntaxUID="1.2.840.10008.1.2.1.98")
    np.testing.assert_array_equal(np.stack(decoded(path)), values)


# -- failures


GREY = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": None}, "missing Rows"),
        ({"Columns": None}, "missing Columns"),
        ({"BitsAllocated": None}, "missing BitsAllocated"),
        ({"PhotometricInterpretation": None}, "missing PhotometricInterpretation"),
        ({"BitsAllocated": 12, "BitsStored": 12}, "unsupported pixel format"),
        ({"PixelData": bytes(100)}, "truncated pixel data"),
        ({"PixelData": b""}, "truncated pixel data"),
        ({"Rows": 65535, "Columns": 65535}, "pixel data too large"),
        ({"TransferSyntaxUID": "1.2.840.10008.1.2.4.52", "PixelData": items(b"", b"ab")}, "missing decoder"),
        ({"TransferSyntaxUID": "1.2.840.10008.1.2.4.102", "PixelData": items(b"", b"ab")}, "video transfer syntax"),
        ({"TransferSyntaxUID": J2K, "PixelData": items(b"", b"not a codestream")}, "damaged pixel data"),
        ({"TransferSyntaxUID": RLE, "PixelData": items(b"", b"\1\0\0\0" * 20)}, "damaged pixel data"),
        ({"TransferSyntaxUID": RLE, "PixelData": items(b"")}, "frame missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_reasons(written: Callable[..., Path], keywords: dict[str, Any], reason: str) -> None:
    assert reason_of(written(GREY, **keywords))[0] == reason


def test_unknown_transfer_syntax(written: Callable[..., Path]) -> None:
    path = written(GREY)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0"))
    assert reason_of(path) == ("unknown transfer syntax", "an unknown value")


def test_pixel_data_that_is_no_items(written: Callable[..., Path]) -> None:
    path = written(GREY, [b"0123456789"], TransferSyntaxUID=RLE)
    whole = path.read_bytes()
    table = items(bytes(4))
    assert whole.count(table) == 1
    path.write_bytes(whole.replace(table, b"no items" + bytes(4)))
    assert reason_of(path) == ("damaged pixel data", "the pixel data does not begin with an offset table")


def test_what_is_whole_comes_before_the_fault(written: Callable[..., Path]) -> None:
    values = np.arange(32, dtype=np.uint16).reshape(4, 2, 4)
    taken = []
    with pytest.raises(PixelError, match=r"truncated pixel data: holds 40 of 64 bytes"):
        taken.extend(frames(instance_of(written(values, PixelData=values.tobytes()[:40]))))
    np.testing.assert_array_equal(np.stack([frame.values for frame in taken]), values[:2])


def test_missing_frames_of_a_compressed_file(written: Callable[..., Path]) -> None:
    path = written(np.zeros((6, 8, 8), np.uint8), SOURCES, TransferSyntaxUID=JPEG_LS)
    taken = []
    with pytest.raises(PixelError, match=r"frame missing: holds 4 of 6 frames"):
        taken.extend(frames(instance_of(path)))
    assert [frame.number for frame in taken] == [0, 1, 2, 3]


def test_more_than_needed_is_fine(written: Callable[..., Path]) -> None:
    path = written(GREY, PixelData=GREY.tobytes() + bytes(300))
    np.testing.assert_array_equal(decoded(path), [GREY])


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K, HTJ2K_LOSSLESS])
def test_cut_codestream_fails(written: Callable[..., Path], syntax: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    encode = {
        JPEG: imagecodecs.jpeg8_encode,
        JPEG_LS: imagecodecs.jpegls_encode,
        J2K: imagecodecs.jpeg2k_encode,
        HTJ2K_LOSSLESS: imagecodecs.htj2k_encode,
    }[syntax]
    source = encode(values)
    path = written(values, [source[: len(source) // 2]], TransferSyntaxUID=syntax)
    assert reason_of(path)[0] == "damaged pixel data"


def test_cut_file_is_told_by_its_fragment(written: Callable[..., Path]) -> None:
    values = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = written(values, [imagecodecs.jpeg8_encode(values)], TransferSyntaxUID=JPEG)
    path.write_bytes(path.read_bytes()[:-500])
    assert reason_of(path)[0] == "truncated pixel data"


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K, HTJ2K])
def test_codestream_of_another_size_is_refused_before_decoding(written: Callable[..., Path], syntax: str) -> None:
    values = np.zeros((32, 16), np.uint8)
    encode = {
        JPEG: imagecodecs.jpeg8_encode,
        JPEG_LS: imagecodecs.jpegls_encode,
        J2K: imagecodecs.jpeg2k_encode,
        HTJ2K: imagecodecs.htj2k_encode,
    }[syntax]
    path = written(values, [encode(values)], TransferSyntaxUID=syntax, Rows=16, Columns=32)
    assert reason_of(path) == ("damaged pixel data", "the codestream is 32 x 16, the header says 16 x 32")


def test_file_that_went_away(written: Callable[..., Path]) -> None:
    path = written(GREY)
    instance = instance_of(path)
    path.unlink()
    with pytest.raises(PixelError, match="unreadable file") as caught:
        next(frames(instance))
    assert str(path.parent) not in str(caught.value)


def test_frame_that_the_header_does_not_count(written: Callable[..., Path]) -> None:
    with pytest.raises(PixelError, match="frame missing"):
        next(frames(instance_of(written(GREY)), [1]))


def test_limit_counts_one_frame(written: Callable[..., Path]) -> None:
    instance = instance_of(written(np.zeros((9, 8, 8), np.uint16)))
    assert len(list(frames(instance, limit=128))) == 9
    with pytest.raises(PixelError, match="pixel data too large"):
        next(frames(instance, limit=127))


def test_check_needs_no_file(written: Callable[..., Path]) -> None:
    instance = instance_of(written(GREY))
    absent = instance._replace(file=instance.file._replace(path="absent.dcm"))
    assert check(absent, limit=128, available=128) is absent.pixels
    with pytest.raises(PixelError, match="truncated"):
        check(absent, limit=128, available=127)


# -- memory


def peak(path: Path) -> tuple[int, int, str]:
    """Frames, greatest number of bytes allocated at a time while they were read, touched or not, and the failure."""
    instance = instance_of(path)
    count, reason = 0, ""
    tracemalloc.start()
    try:
        for _ in frames(instance):
            count += 1
    except PixelError as error:
        reason = error.reason
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return count, most, reason


@pytest.mark.slow
def test_memory_is_that_of_a_few_frames(tmp_path: Path) -> None:
    path = multiframe(tmp_path / "large.dcm", 300, 512, 1024)  # 300 frames of 1 MiB
    count, most, _ = peak(path)
    assert count == 300
    assert 1 << 20 <= most < 4 << 20  # the frame that was yielded, the next one, and small things


def test_memory_of_compressed_frames(tmp_path: Path) -> None:
    values = np.zeros((512, 1024), np.uint16)
    description = quick_dataset(np.zeros((2, 1, 1), np.uint16), Rows=512, Columns=1024, NumberOfFrames=200)
    description.file_meta.TransferSyntaxUID = JPEG_LS
    description.PixelData = encapsulate([imagecodecs.jpegls_encode(values)] * 200)
    description["PixelData"].VR, description["PixelData"].is_undefined_length = "OB", True
    count, most, _ = peak(save(description, tmp_path / "compressed.dcm"))
    assert count == 200
    # beside them the decoder's output, its bytes, and pydicom's array of them
    assert 1 << 20 <= most < 8 << 20


def test_claim_of_65535_squared_allocates_nothing(written: Callable[..., Path]) -> None:
    count, most, reason = peak(written(GREY, Rows=65535, Columns=65535))
    assert (count, reason) == (0, "pixel data too large")
    assert most < 1 << 20


@pytest.mark.parametrize("damage", ["count", "offset", "order", "short"])
def test_an_rle_header_that_leads_out_of_the_stream_is_refused(damage):
    """imagecodecs ends the process on such offsets."""
    stream = struct.pack("<16L", 2, 64, 70, *[0] * 13) + bytes(12)
    codestream.require_segments(stream, 2)
    header = list(struct.unpack("<16L", stream[:64]))
    if damage == "count":
        header[0] = 3
    elif damage == "offset":
        header[2] = 2**31
    elif damage == "order":
        header[1], header[2] = header[2], header[1]
    data = struct.pack("<16L", *header) + bytes(12)
    with pytest.raises(ValueError, match="header"):
        codestream.require_segments(data[:40] if damage == "short" else data, 2)


def test_lossless_jpeg_that_ends_early_takes_nothing_from_behind_it():
    """jpegsof3 read on into other memory: the values depended on what a worker did before (found by mutated files)."""
    dataset = dcmread(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    (source,) = generate_frames(dataset.PixelData, number_of_frames=1)
    whole = codecs._jpegsof3(source)
    assert whole.shape == (100, 100, 3)
    assert np.array_equal(whole, imagecodecs.jpegsof3_decode(source))
    assert codestream.sample_count(source) == whole.size
    for length in (len(source) // 2, len(source) - 40):
        with pytest.raises(ValueError, match="ends before its picture"):
            codecs._jpegsof3(source[:length] + b"\xff\xd9")

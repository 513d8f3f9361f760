"""Grey levels and colours against PS3.3's own formulas and pydicom's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, convert_color_space
from pydicom.sequence import Sequence
from support.factories import quick_dataset, save

from crawler.display.colour import to_rgb
from crawler.display.display import Display, ScanDisplay, display_for
from crawler.display.voi import Ramp, Window
from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Frame, Instance
from crawler.pixels.frames import frames

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def instance_of(path: Path) -> Instance:
    status = path.stat()
    return read_instance(File(str(path.parent), path.name, status.st_size, status.st_mtime_ns))


@pytest.fixture(scope="session")
def by_name(dicom_files: list[Path]) -> dict[str, Path]:
    return {path.name: path for path in dicom_files}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(pixels: np.ndarray, **keywords: Any) -> Path:
        return save(quick_dataset(pixels, **keywords), tmp_path / "image.dcm")

    return write


def shown(path: Path, window: Window = "auto", bits: int = 8, frame: int = 0) -> np.ndarray:
    instance = instance_of(path)
    return display_for(instance, window).render(next(frames(instance, [frame])), bits)


TWELVE_BITS = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": "1", "RescaleIntercept": "-1024"}


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (2048, 4096), (0, 1), (300.5, 51.25)])
@pytest.mark.parametrize("bits", [8, 16])
def test_window_equals_pydicoms(
    written: Callable[..., Path], function: str, center: float, width: float, bits: int
) -> None:
    path = written(RAMP, **TWELVE_BITS, WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    dataset = dcmread(path)
    # pydicom scales to the range of Bits Stored of the rescaled values: -1024 ... 3071
    with np.errstate(over="ignore"):  # pydicom's exp, far below the window
        expected = (apply_windowing(apply_modality_lut(RAMP, dataset), dataset) + 1024) / 4095 * ((1 << bits) - 1)
    for window in ("auto", "dicom"):
        found = shown(path, window, bits)
        assert found.dtype == (np.uint8 if bits == 8 else np.uint16)
        np.testing.assert_allclose(found, expected, atol=0.5 + 1e-6)  # one rounding


def test_users_window_is_in_modality_units(written: Callable[..., Path]) -> None:
    path = written(RAMP, **TWELVE_BITS, WindowCenter=9, WindowWidth=9)
    found = shown(path, (0, 101))
    assert found.flat[1024 - 51] == 0  # -51 lies below the window, 0.5 above the middle of -50.5 ... 49.5
    assert found.flat[1024 + 50] == 255
    assert int(found.flat[1024 - 1]) in (126, 127, 128)


@pytest.mark.parametrize(
    ("keywords", "times"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, 1),
        ({"PresentationLUTShape": "INVERSE"}, 1),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, 1),
        ({"PresentationLUTShape": "IDENTITY"}, 0),
    ],
)
def test_inverted_once(written: Callable[..., Path], keywords: dict[str, str], times: int) -> None:
    plain = shown(written(RAMP, **TWELVE_BITS))
    found = shown(written(RAMP, **TWELVE_BITS, **keywords))
    np.testing.assert_array_equal(found, 255 - plain if times else plain)


def test_full_is_the_range_of_bits_stored(written: Callable[..., Path]) -> None:
    found = shown(written(RAMP[:32], **TWELVE_BITS, WindowCenter=9, WindowWidth=9), "full", 16)
    np.testing.assert_array_equal(found, np.rint(RAMP[:32] * (65535 / 4095)))


def test_eight_bits_without_a_window_are_shown_as_they_are(written: Callable[..., Path]) -> None:
    values = np.arange(100, 200, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(shown(written(values)), values)


@pytest.mark.parametrize("marked", [(), (20 * 64 + 30,), range(64 * 64)])
def test_one_bit_is_shown_as_it_is(written: Callable[..., Path], marked: Iterable[int]) -> None:
    """A mask that is full is white, and not what a constant image is."""
    values = np.zeros(64 * 64, np.uint8)
    values[list(marked)] = 1
    packed = np.packbits(values, bitorder="little").tobytes()
    mask = written(values.reshape(64, 64), BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    np.testing.assert_array_equal(shown(mask), 255 * values.reshape(64, 64))


def test_percentiles_over_the_whole_file(written: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, 100 * (frame + 1), (64, 64)) for frame in range(40)]).astype(np.uint16)
    values[:, 0, 0] = 65535  # a dead pixel
    instance = instance_of(written(values))
    asked: list[int] = []

    def sample(numbers: Iterable[int]) -> Iterable[Frame]:
        asked.extend(numbers)
        return frames(instance, asked)

    display = display_for(instance, "auto", sample)
    assert (len(asked), asked[0], asked[-1]) == (16, 0, 39)
    found = [display.render(frame) for frame in frames(instance)]
    # one window for all frames: brightness grows with the frame as the values do
    assert (np.diff([one.mean() for one in found]) > 0).all()
    assert found[-1][0, 0] == 255


def test_few_bright_pixels_are_not_lost(written: Callable[..., Path]) -> None:
    values = np.zeros((64, 64), np.uint16)
    values[3, 4] = 700
    found = shown(written(values))
    assert (found[3, 4], found.sum()) == (255, 255)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("window", ["auto", "dicom", "full"])
def test_constant_images(written: Callable[..., Path], dtype: str, window: Window) -> None:
    for level in (0, 7):
        found = shown(written(np.full((8, 8), level, dtype)), window)
        assert found.dtype == np.uint8
        assert (found == found[0, 0]).all()


def test_nan_and_infinity_in_float_pixels(written: Callable[..., Path]) -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, :3] = np.nan, np.inf, -np.inf
    for photometric, ends in (("MONOCHROME2", (0, 255, 0)), ("MONOCHROME1", (0, 0, 255))):
        found = shown(written(values, PhotometricInterpretation=photometric), "full")
        assert tuple(found[0, :3]) == ends
    assert (shown(written(np.full((4, 4), np.nan, np.float32))) == 0).all()


def test_slope_of_each_frame_counts(written: Callable[..., Path]) -> None:
    display = display_for(instance_of(written(RAMP, **TWELVE_BITS)), (50, 101))
    values = np.array([[20, 40]], np.uint16)
    once, twice = (display.render(Frame(0, values, "MONOCHROME2", slope, 0.0)) for slope in (1.0, 2.0))
    assert once[0, 1] == twice[0, 0]


# -- lookup tables


@pytest.mark.parametrize("name", ["mlut_18.dcm", "vlut_04.dcm"])
def test_tables_equal_pydicoms(by_name: dict[str, Path], name: str) -> None:
    dataset = dcmread(by_name[name])
    units = apply_modality_lut(next(frames(instance_of(by_name[name]))).values, dataset)
    window: Window = "auto"
    if "VOILUTSequence" in dataset:
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        expected = apply_voi(units, dataset) / ((1 << bits) - 1) * 255
    else:
        window = (float(units.mean()), 2.0 * float(np.ptp(units)))
        expected = ((units - (window[0] - 0.5)) / (window[1] - 1) + 0.5) * 255
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        expected = 255 - expected
    np.testing.assert_allclose(shown(by_name[name], window), expected, atol=0.5 + 1e-6)


def lut(keyword: str, descriptor: list[int], data: bytes) -> dict[str, Any]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", data)
    return {keyword: Sequence([item])}


def test_voi_table_goes_before_the_window(written: Callable[..., Path]) -> None:
    table = np.array([0, 4095, 0, 2048], "<u2")
    values = np.array([[9, 10, 11], [12, 13, 99]], np.uint16)
    voi = lut("VOILUTSequence", [4, 10, 12], table.tobytes())
    found = shown(written(values, WindowCenter=9, WindowWidth=9, **voi))
    np.testing.assert_array_equal(found, [[0, 0, 255], [0, 128, 128]])


@pytest.mark.parametrize("name", ["OBXXXX1A.dcm", "OBXXXX1A_2frame.dcm", "OT-PAL-8-face.dcm", "examples_palette.dcm"])
def test_palettes_equal_pydicoms(by_name: dict[str, Path], name: str) -> None:
    stored = next(frames(instance_of(by_name[name]))).values
    expected = apply_color_lut(stored, dcmread(by_name[name], force=True))
    if expected.dtype == np.uint16:
        expected = expected >> 8
    found = shown(by_name[name])
    np.testing.assert_array_equal(found, expected[..., :3])
    assert found.dtype == np.uint8


def test_palette_in_big_endian(by_name: dict[str, Path]) -> None:
    np.testing.assert_array_equal(shown(by_name["OBXXXX1A_expb.dcm"]), shown(by_name["OBXXXX1A.dcm"]))


def palette(entries: np.ndarray, first: int = 0) -> dict[str, Any]:
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for column, colour in enumerate(("Red", "Green", "Blue")):
        bits = 8 * entries.itemsize
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [len(entries) % 65536, first, bits]
        keywords[f"{colour}PaletteColorLookupTableData"] = entries[:, column].tobytes()
    return keywords


def test_palette_of_bytes_with_many_entries(written: Callable[..., Path]) -> None:
    entries = np.random.default_rng(0).integers(0, 256, (1000, 3), np.uint8)
    values = np.arange(0, 1200, 3, dtype=np.uint16).reshape(20, 20)
    found = shown(written(values, **palette(entries, first=100)))
    np.testing.assert_array_equal(found, entries[np.clip(values.astype(int) - 100, 0, 999)])


def test_palette_that_is_absent(written: Callable[..., Path]) -> None:
    with pytest.raises(PixelError, match="missing palette"):
        shown(written(RAMP, PhotometricInterpretation="PALETTE COLOR"))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4"])
def test_every_kind_of_values_is_looked_up(dtype: str) -> None:
    values = np.random.default_rng(0).integers(-120 if "i" in dtype else 3, 120, (300, 700)).astype(dtype)
    if dtype[1] < "4":
        values[0, :2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    expected = np.rint(np.clip((values.astype(float) * 0.5 - 1 + 40) / 90, 0, 1) * 65535)
    display = Display(vois=(Ramp(-40, 50),))
    for part in (np.s_[:], np.s_[::2, ::3], np.s_[:1, :1]):
        found = display.render(Frame(0, values[part], "MONOCHROME2", 0.5, -1.0), 16)
        np.testing.assert_array_equal(found, expected[part])
        assert found.dtype == np.uint16


# -- colour


def test_ybr_becomes_rgb_once(by_name: dict[str, Path]) -> None:
    reference = shown(by_name["SC_rgb.dcm"]).astype(int)
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_ybr_full_uncompressed.dcm"):
        found = shown(by_name[name])
        # bars of plain colours: quantisation of JPEG and of YBR moves them by a few levels inside of the bars
        assert np.percentile(abs(found - reference), 90) <= 3, name
    np.testing.assert_array_equal(shown(by_name["SC_rgb_rle.dcm"]), reference)


def test_deep_colour_is_shown_with_eight_bits(by_name: dict[str, Path]) -> None:
    np.testing.assert_array_equal(shown(by_name["SC_rgb_16bit.dcm"], bits=16), shown(by_name["SC_rgb.dcm"]))


@pytest.mark.parametrize("claimed", [16, 17, 40, 65535])
def test_bits_stored_beyond_those_allocated_do_not_count(claimed: int) -> None:
    values = np.array([[[0, 0x7FFF, 0xFFFF]]], np.uint16)
    found = Display(bits_stored=claimed).render(Frame(0, values, "RGB"), 8)
    assert found.tolist() == [[[0, 0x7F, 0xFF]]]
    signed = np.array([[[0, 0x3FFF, 0x7FFF]]], np.int16)
    assert Display(bits_stored=claimed).render(Frame(0, signed, "RGB"), 8).tolist() == [[[0, 0x3F, 0x7F]]]


def test_to_rgb_is_pydicoms_conversion() -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    np.testing.assert_array_equal(to_rgb(Frame(0, values, "YBR_FULL")), convert_color_space(values, "YBR_FULL", "RGB"))
    part = values[::2, ::3]
    np.testing.assert_array_equal(to_rgb(Frame(0, part, "YBR_FULL")), to_rgb(Frame(0, values, "YBR_FULL"))[::2, ::3])
    assert to_rgb(Frame(0, values, "RGB")) is values


def test_to_rgb_of_every_colour_there_is() -> None:
    factors = np.array([[1, 0, 1.402], [1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1, 1.772, 0]])
    triples, of_pydicom = np.empty((256, 256, 3), np.uint8), 0
    triples[..., 1:] = np.moveaxis(np.indices((256, 256)), 0, -1)
    for luma in range(256):
        triples[..., 0] = luma
        found = to_rgb(Frame(0, triples, "YBR_FULL")).astype(int)
        exact = np.clip((triples - np.array([0.0, 128, 128])) @ factors.T, 0, 255)
        assert abs(found - exact).max() < 0.502  # to the nearest level, but for what lies in the middle
        differences = abs(found - convert_color_space(triples, "YBR_FULL", "RGB"))
        assert differences.max() <= 1
        of_pydicom += np.count_nonzero(differences)
    assert of_pydicom < 2**24 * 3 / 2000


@pytest.mark.parametrize("photometric", ["ARGB", "CMYK", "HSV", "YBR_PARTIAL_420", "MONOCHROME2"])
def test_other_colours_are_refused(photometric: str) -> None:
    frame = Frame(0, np.zeros((4, 4, 3), np.uint8), photometric)
    with pytest.raises(PixelError, match="unsupported photometric interpretation"):
        to_rgb(frame)


def test_every_file_that_decodes_is_shown(dicom_files: list[Path]) -> None:
    count = 0
    for path in dicom_files:
        try:
            instance = instance_of(path)
            first = next(frames(instance)) if instance.pixels else None
        except Exception:
            continue
        if first is None or path.stat().st_size > 20_000_000:
            continue
        found = display_for(instance).render(first)
        assert found.dtype == np.uint8, path.name
        assert found.shape[:2] == first.values.shape[:2], path.name
        count += 1
    assert count > 120


# -- which window


def enhanced(path: Path, windows: list[dict[str, Any]], **keywords: Any) -> Path:
    """Two frames that hold 0 ... 4095, with an item of Frame VOI LUT Sequence each."""
    groups = []
    for window in windows:
        voi, group = Dataset(), Dataset()
        for keyword, value in window.items():
            setattr(voi, keyword, value)
        group.FrameVOILUTSequence = Sequence([voi])
        groups.append(group)
    pixels = np.stack([RAMP, RAMP])
    return save(quick_dataset(pixels, PerFrameFunctionalGroupsSequence=Sequence(groups), **keywords), path)


def test_each_frame_of_an_enhanced_object_has_its_window(tmp_path: Path) -> None:
    windows = [
        {"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": [2000, 1000], "WindowWidth": [4000, 2000], "VOILUTFunction": "LINEAR_EXACT"},
    ]
    path = enhanced(tmp_path / "enhanced.dcm", windows)
    assert (shown(path).flat[100], shown(path, frame=1).flat[2000]) == (128, 128)
    assert (shown(path).flat[200], shown(path, frame=1).flat[200]) == (255, 13)
    assert shown(path, 2, frame=1).flat[2000] == 255
    assert shown(path, 2).flat[100] == 128, "a frame with one window shows it"


def test_windows_are_chosen_by_number(written: Callable[..., Path]) -> None:
    path = written(RAMP, WindowCenter=[100, 2000], WindowWidth=[200, 4000], VOILUTFunction="LINEAR_EXACT")
    assert [int(shown(path, window).flat[100]) for window in ("auto", 1, 2, 3)] == [128, 128, 6, 128]


def test_tables_are_counted_before_windows(written: Callable[..., Path]) -> None:
    table = np.array([0, 4095, 0, 2048], "<u2")
    voi = lut("VOILUTSequence", [4, 10, 12], table.tobytes())
    path = written(np.array([[10, 11, 12]], np.uint16), WindowCenter=11, WindowWidth=1, **voi)
    assert [shown(path, number).tolist() for number in (1, 2)] == [[[0, 255, 0]], [[0, 255, 255]]]


@pytest.mark.parametrize("ends", [(-2000, None), (-2000, -1990), (-1990, -2000)])
def test_padding_is_no_value(tmp_path: Path, ends: tuple[int, int | None]) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (64, 64)).astype(np.int16)
    values[:, :40] = -2000
    dataset = quick_dataset(values, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1])
    found = shown(save(dataset, tmp_path / "padded.dcm"))
    assert abs(int(np.median(found[:, 40:])) - 128) < 8
    assert (found[:, :40] == 0).all()


def test_padding_of_float_pixels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (64, 64)).astype(np.float32)
    values[:, :40] = -3e38
    found = shown(save(quick_dataset(values, FloatPixelPaddingValue=-3e38), tmp_path / "padded.dcm"))
    assert abs(int(np.median(found[:, 40:])) - 128) < 8


def test_files_of_a_series_share_a_range(tmp_path: Path) -> None:
    values = [RAMP // 8 * (number + 1) for number in range(4)]
    instances = [instance_of(save(quick_dataset(v), tmp_path / f"{n}.dcm")) for n, v in enumerate(values)]
    asked: list[int] = []

    def decode(number: int) -> Frame:
        asked.append(number)
        if number == 1:
            raise PixelError("damaged pixel data")
        return next(frames(instances[number], [0]))

    series = ScanDisplay(instances, decode)
    found = [series.of(number).render(next(frames(instances[number], [0])), 16) for number in range(4)]
    assert asked == [0, 1, 2, 3], "each once"
    for number in (1, 2, 3):  # equal values, equal levels, in every file
        shared = np.intersect1d(values[0], values[number])
        of_first, of_other = (
            [picture[one == value][0] for value in shared]
            for picture, one in ((found[0], values[0]), (found[number], values[number]))
        )
        assert of_first == of_other


def test_series_range_overrules_windows_that_differ(tmp_path: Path) -> None:
    written = [quick_dataset(RAMP, WindowCenter=number * 100, WindowWidth=50) for number in (1, 2)]
    instances = [instance_of(save(one, tmp_path / f"{n}.dcm")) for n, one in enumerate(written)]
    for window, equal in (("auto", False), ("series", True)):
        series = ScanDisplay(instances, lambda number: next(frames(instances[number], [0])), window)
        first, second = (series.of(n).render(next(frames(instances[n], [0]))) for n in (0, 1))
        assert np.array_equal(first, second) is equal


def test_a_cine_that_is_cut_short_shows_what_it_has(written: Callable[..., Path]) -> None:
    values = np.stack([RAMP] * 4)
    instance = instance_of(written(values, PixelData=values.tobytes()[: 2 * RAMP.nbytes]))
    found = display_for(instance).render(next(frames(instance, [0])))
    assert (found.min(), found.max()) == (0, 255)


# -- palettes and overlays


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_entries_of_any_depth_are_shown_with_eight_bits(written: Callable[..., Path], bits: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint16)
    levels[0] = 255
    keywords = palette((levels << bits - 8).astype("<u2"))
    for colour in ("Red", "Green", "Blue"):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(shown(written(values, **keywords)), levels[values])


def test_segmented_palette(written: Callable[..., Path]) -> None:
    # PS3.3 C.7.9.2: three entries given, then a line of four entries up to 65280
    segments = np.array([0, 3, 0, 256, 512, 1, 4, 65280], "<u2").tobytes()
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [7, 0, 16]
        keywords[f"Segmented{colour}PaletteColorLookupTableData"] = segments
    found = shown(written(np.arange(8, dtype=np.uint8).reshape(1, 8), **keywords))
    assert found[0, :3, 0].tolist() == [0, 1, 2]
    assert found[0, 6:, 1].tolist() == [255, 255]
    assert (np.diff(found[0, 2:7, 2].astype(int)) > 60).all()


def with_overlay(path: Path, origin: tuple[int, int], **elements: Any) -> Path:
    dataset = quick_dataset(np.zeros((3, 8, 8), np.uint8))
    plane = np.packbits(np.ones(8, np.uint8), bitorder="little").tobytes()
    dataset.add_new((0x6000, 0x0010), "US", 2)
    dataset.add_new((0x6000, 0x0011), "US", 4)
    dataset.add_new((0x6000, 0x0050), "SS", list(origin))
    dataset.add_new((0x6000, 0x0100), "US", 1)
    if "first" in elements:
        dataset.add_new((0x6000, 0x0015), "IS", 1)
        dataset.add_new((0x6000, 0x0051), "US", elements["first"])
    dataset.add_new((0x6000, 0x3000), "OW", plane + b"\0")
    return save(dataset, path)


@pytest.mark.parametrize(
    ("origin", "place"), [((1, 1), (slice(0, 2), slice(0, 4))), ((8, 7), (slice(7, 8), slice(6, 8)))]
)
def test_overlays_are_drawn_on_request(tmp_path: Path, origin: tuple[int, int], place: Any) -> None:
    instance = instance_of(with_overlay(tmp_path / "overlay.dcm", origin))
    expected = np.zeros((8, 8), np.uint16)
    expected[place] = 65535
    for frame in frames(instance):
        assert not display_for(instance).render(frame, 16).any()
        np.testing.assert_array_equal(display_for(instance, overlays=True).render(frame, 16), expected)


def test_overlay_that_lies_partly_above_the_image(tmp_path: Path) -> None:
    instance = instance_of(with_overlay(tmp_path / "overlay.dcm", (0, -1)))
    found = display_for(instance, overlays=True).render(next(frames(instance)))
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1]]


def test_overlay_of_one_frame(tmp_path: Path) -> None:
    instance = instance_of(with_overlay(tmp_path / "overlay.dcm", (1, 1), first=2))
    display = display_for(instance, overlays=True)
    assert [bool(display.render(frame).any()) for frame in frames(instance)] == [False, True, False]


def test_overlays_of_a_real_file(by_name: dict[str, Path]) -> None:
    path = by_name["MR-SIEMENS-DICOM-WithOverlays.dcm"]
    instance = instance_of(path)
    frame = next(frames(instance))
    plain, drawn = display_for(instance).render(frame), display_for(instance, overlays=True).render(frame)
    mask = dcmread(path).overlay_array(0x6000).astype(bool)
    np.testing.assert_array_equal(drawn, np.where(mask, 255, plain))
    assert mask.any()


def test_overlay_leaves_the_frame_alone(tmp_path: Path) -> None:
    instance = instance_of(with_overlay(tmp_path / "overlay.dcm", (1, 1)))
    values = np.zeros((8, 8, 3), np.uint8)
    assert display_for(instance, overlays=True).render(Frame(0, values, "RGB")).any()
    assert not values.any()


def test_partial_range_ybr() -> None:
    """Black, white and the three primaries of ITU-R BT.601 with 8 bits."""
    values = np.array([[[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110]]], np.uint8)
    expected = [[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    np.testing.assert_allclose(to_rgb(Frame(0, values, "YBR_PARTIAL_422")).astype(int), expected, atol=2)


@pytest.mark.parametrize("least", [2**63 - 2, 2**63, 2**64 - 2])
def test_levels_beyond_signed_integers(written: Callable[..., Path], least: int) -> None:
    """64-bit pixels whose few levels are told by no signed integer: shown as neighbours, black to white."""
    pixels = np.full((8, 8), least, np.uint64)
    pixels[4:] += np.uint64(1)
    picture = shown(written(pixels, BitsAllocated=64, BitsStored=64, HighBit=63))
    assert picture.dtype == np.uint8
    assert len(np.unique(picture)) <= 2

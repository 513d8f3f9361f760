"""Lookup tables whose descriptors contradict their data, the image or themselves: each file has one right picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from support.factories import quick_dataset, save

from crawler.dicom.dictionary import tag_for
from crawler.dicom.elements import Coding, Element
from crawler.dicom.record import Context, json_of, vr_of
from crawler.dicom.values import Value
from crawler.display.attributes import DisplayAttributes
from crawler.display.display import Display, display_for
from crawler.display.entries import first_mapped, read_entries
from crawler.display.lut import Lut, display_lut, modality_lut, modality_range
from crawler.display.palette import _eight_bits, palette_of
from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Instance, Pixels, Plane
from crawler.pixels.frames import frames

XA, XRF, BIPLANE, ENHANCED_XA = (f"1.2.840.10008.5.1.4.1.1.12.{last}" for last in ("1", "2", "3", "1.1"))
X_RAY_3D = "1.2.840.10008.5.1.4.1.1.13.1.1"
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=1)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Instance]:
    def write(pixels: np.ndarray, **keywords: Any) -> Instance:
        path = save(quick_dataset(pixels, **keywords), tmp_path / "image.dcm")
        status = path.stat()
        return read_instance(File(str(tmp_path), path.name, status.st_size, status.st_mtime_ns))

    return write


def shown(instance: Instance, window: Any = "auto", bits: int = 8) -> np.ndarray:
    return display_for(instance, window).render(next(frames(instance)), bits)


def lut(
    keyword: str, descriptor: Sequence[int] | None, data: Any, vr: str = "US", data_vr: str = "OW"
) -> dict[str, Any]:
    item = Dataset()
    item.add_new("LUTDescriptor", vr, descriptor)
    item.add_new("LUTData", data_vr, data)
    return {keyword: Items([item])}


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def line(first: int, last: int, count: int) -> bytes:
    return np.linspace(first, last, count).round().astype("<u2").tobytes()


# -- bits of a VOI LUT


@pytest.mark.parametrize("declared", [8, 10, 12, 14, 16, 0, 17])
@pytest.mark.parametrize("used", [8, 10, 12, 14, 16])
def test_brightest_entry_of_a_voi_lut_is_white(written: Callable[..., Instance], declared: int, used: int) -> None:
    voi = lut("VOILUTSequence", [4096, 0, declared], line(0, (1 << used) - 1, 4096))
    instance = written(RAMP, BitsStored=12, HighBit=11, **voi)
    found = shown(instance, bits=16)
    assert (found.flat[0], found.flat[-1]) == (0, 65535)
    top = (1 << used) - 1
    np.testing.assert_allclose(found.flat, np.linspace(0, top, 4096).round() * (65535 / top), atol=0.5 + 1e-6)
    notes = display_for(instance).notes
    assert notes == ((f"a VOI LUT of {declared} bits uses {used}: these are shown from black to white",)
                     if declared in range(1, 17) and declared != used else
                     () if declared == used or used == 16 else
                     (f"a VOI LUT of 16 bits uses {used}: these are shown from black to white",))  # fmt: skip


def test_a_voi_lut_that_ends_below_white_keeps_its_levels(written: Callable[..., Instance]) -> None:
    voi = lut("VOILUTSequence", [4096, 0, 12], line(0, 3000, 4096))
    assert shown(written(RAMP, **voi)).max() == round(3000 / 4095 * 255)


def test_a_voi_lut_of_one_bit(written: Callable[..., Instance]) -> None:
    voi = lut("VOILUTSequence", [4, 1, 1], words(0, 1, 0, 1))
    found = shown(written(np.array([[0, 1, 2], [3, 4, 9]], np.uint16), **voi))
    assert found.tolist() == [[0, 0, 255], [0, 255, 255]]


def test_a_black_voi_lut_is_black(written: Callable[..., Instance]) -> None:
    assert not shown(written(RAMP, **lut("VOILUTSequence", [2, 0, 12], words(0, 0)))).any()


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_a_voi_lut_of_65536_entries(written: Callable[..., Instance], vr: str) -> None:
    """A number of entries of 0 means 65,536 (C.11.2.1.1), as does its sign in nothing."""
    values = np.array([[0, 1, 255, 256], [4095, 32768, 65534, 65535]], np.uint16)
    voi = lut("VOILUTSequence", [0, 0, 16], np.arange(65535, -1, -1).astype("<u2").tobytes(), vr)
    np.testing.assert_array_equal(shown(written(values, **voi), bits=16), 65535 - values)


def test_a_modality_lut_of_65536_entries(written: Callable[..., Instance]) -> None:
    values = np.array([[-32768, -1], [0, 32767]], np.int16)
    table = lut("ModalityLUTSequence", [0, -32768, 16], np.arange(65536).astype("<u2").tobytes(), "SS")
    found = modality_lut(DisplayAttributes(written(values, **table)))
    assert found is not None
    assert found(values).tolist() == [[0, 32767], [32768, 65535]]


# -- first value mapped


@pytest.mark.parametrize(
    ("written_value", "count", "inputs", "expected"),
    [
        (0, 256, (0, 255), 0),
        (32767, 10, (-32768, 32767), 32767),
        (-1024, 4096, (-1024, 3071), -1024),
        (64512, 4096, (-1024, 3071), -1024),
        (40000, 4096, (0, 65535), 40000),
        (-25536, 4096, (0, 65535), 40000),
        (63488, 4096, (-2048, 2047), -2048),
        (65535, 256, (0, 255), 65535),  # no negative value, and none is written
        (-1, 256, (0, 255), -1),
        (32768, 0x10000, (-32768, 32767), -32768),
        (32768, 100, (-40000, 40000), 32768),  # both fit: as written
        (-32768, 100, (-40000, 40000), -32768),
        (32768, 100, (-5, 5), 32768),  # neither fits: as written
        (-32768, 100, (-5, 5), -32768),
        (65535, 2, (-1, 0), -1),
        (65436, 100, (-1, 0), -100),
        (65435, 100, (-1, 0), 65435),  # ends one before the values
        (60000, 1, (-5536, 59999), -5536),
        (60000, 1, (-5535, 60000), 60000),
    ],
)
def test_sign_of_the_first_value_mapped(
    written_value: int, count: int, inputs: tuple[float, float], expected: int
) -> None:
    assert first_mapped(written_value, count, inputs) == expected


@pytest.mark.parametrize(("vr", "first"), [("SS", -1024), ("US", 64512)])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_voi_lut_of_hounsfield_units(written: Callable[..., Instance], vr: str, first: int, implicit: bool) -> None:
    voi = lut("VOILUTSequence", [4096, first, 16], line(0, 65535, 4096), vr)
    syntax = {"TransferSyntaxUID": ImplicitVRLittleEndian} if implicit else {}
    instance = written(RAMP, BitsStored=12, HighBit=11, RescaleSlope=1, RescaleIntercept=-1024, **voi, **syntax)
    np.testing.assert_array_equal(shown(instance, bits=16), np.linspace(0, 65535, 4096).round().reshape(64, 64))


@pytest.mark.parametrize(("vr", "first"), [("SS", -2048), ("US", 63488)])
def test_a_modality_lut_of_signed_pixels(written: Callable[..., Instance], vr: str, first: int) -> None:
    values = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    table = lut("ModalityLUTSequence", [4096, first, 16], line(0, 65535, 4096), vr)
    instance = written(values, BitsStored=12, HighBit=11, **table)
    found = modality_lut(DisplayAttributes(instance))
    assert found is not None
    np.testing.assert_array_equal(found(values), np.linspace(0, 65535, 4096).round().reshape(64, 64))


def test_range_of_modality_values() -> None:
    planes = (Plane(slope=2.0, intercept=-10.0), Plane(slope=-1.0))
    instance = Instance(File("", "", 0, 0), {}, pixels=Pixels(bits_allocated=8, bits_stored=8), planes=planes)
    assert modality_range(instance, None) == (-255, 500)
    assert modality_range(instance, Lut(0, np.array([7.0, 3.0]))) == (3, 7)
    infinite = Instance(File("", "", 0, 0), {}, pixels=Pixels(bits_allocated=8), planes=(Plane(slope=float("inf")),))
    assert modality_range(infinite, None) == (0, 0)
    assert modality_range(Instance(File("", "", 0, 0), {}), None) == (0, 0)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("first", [-40000, -1, 0, 3, 40000, 65535])
def test_any_first_value_with_any_type(dtype: str, first: int) -> None:
    ends = np.iinfo(dtype) if "f" not in dtype else np.finfo(dtype)
    values = np.array([ends.min, 0, 4, ends.max], dtype)
    table = np.arange(10.0)
    expected = [table[min(max(int(value) - first, 0), 9)] for value in values.tolist()]
    assert Lut(first, table)(values).tolist() == expected


def test_halves_and_no_numbers_are_looked_up() -> None:
    values = np.array([0.4, 0.6, np.nan, np.inf, -np.inf])
    assert Lut(0, np.array([5.0, 6.0, 7.0]))(values).tolist() == [5, 6, 5, 7, 5]


# -- tables that are not there, or not whole


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    ("descriptor", "data"), [(None, None), (None, words(1, 2)), ([2, 0, 16], None), ([2, 0, 16], b"")]
)
def test_empty_items_are_no_tables(written: Callable[..., Instance], keyword: str, descriptor: Any, data: Any) -> None:
    plain = shown(written(RAMP, WindowCenter=2000, WindowWidth=4000))
    instance = written(RAMP, WindowCenter=2000, WindowWidth=4000, **lut(keyword, descriptor, data))
    np.testing.assert_array_equal(shown(instance), plain)
    assert display_for(instance).notes == ()


def test_items_without_attributes_are_no_tables(written: Callable[..., Instance]) -> None:
    plain = shown(written(RAMP, WindowCenter=2000, WindowWidth=4000))
    for items in ([], [Dataset()], [Dataset(), Dataset()]):
        tables = {"VOILUTSequence": Items(items), "ModalityLUTSequence": Items(items)}
        np.testing.assert_array_equal(shown(written(RAMP, WindowCenter=2000, WindowWidth=4000, **tables)), plain)


def test_a_damaged_voi_lut_gives_way_to_the_window(written: Callable[..., Instance]) -> None:
    plain = shown(written(RAMP, WindowCenter=2000, WindowWidth=4000))
    instance = written(RAMP, WindowCenter=2000, WindowWidth=4000, **lut("VOILUTSequence", [4096, 0], bytes(8192)))
    np.testing.assert_array_equal(shown(instance), plain)
    assert display_for(instance).notes == ("a VOI LUT is not used: the descriptor of LUTData does not fit it",)


def test_a_voi_lut_that_lacks_entries(written: Callable[..., Instance]) -> None:
    window = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2000, "WindowWidth": 4000}
    plain = shown(written(RAMP, **window))
    instance = written(RAMP, **window, **lut("VOILUTSequence", [4096, 0, 12], line(0, 4095, 2048)))
    np.testing.assert_array_equal(shown(instance), plain)
    assert display_for(instance).notes == ("a VOI LUT is not used: it holds 2,048 of 4,096 entries",)
    whole = written(RAMP, **window, **lut("VOILUTSequence", [0, 0, 12], line(0, 4095, 4096)))
    np.testing.assert_array_equal(shown(whole, bits=16), np.rint(RAMP * (65535 / 4095)))
    almost = written(RAMP, **window, **lut("VOILUTSequence", [0, 0, 12], line(0, 4095, 4095)))
    np.testing.assert_array_equal(shown(almost), plain)


def test_a_modality_lut_that_lacks_entries_is_refused_where_they_are_needed(written: Callable[..., Instance]) -> None:
    instance = written(RAMP, **lut("ModalityLUTSequence", [4096, 0, 16], line(0, 4095, 4095)))
    table = modality_lut(DisplayAttributes(instance))
    assert table is not None
    assert table(np.array([4094])).tolist() == [4095]
    assert table(np.zeros(0, np.uint8)).size == 0
    with pytest.raises(PixelError, match="holds 4,095 of 4,096 entries"):
        table(np.array([4095]))


def test_a_damaged_modality_lut_fails_the_file(written: Callable[..., Instance]) -> None:
    with pytest.raises(PixelError, match="the descriptor of LUTData does not fit it"):
        shown(written(RAMP, **lut("ModalityLUTSequence", [4096, 0], bytes(8192))))


def test_a_damaged_voi_lut_beside_a_good_one(written: Callable[..., Instance]) -> None:
    items = [lut("x", [4096, 0], bytes(8192))["x"][0], lut("x", [2, 0, 8], words(255, 0))["x"][0]]
    found = shown(written(np.array([[0, 1]], np.uint16), VOILUTSequence=Items(items)))
    assert found.tolist() == [[255, 0]]


# -- angiography


@pytest.mark.parametrize(
    ("sop_class", "applied"), [(XA, False), (XRF, False), (BIPLANE, False), (ENHANCED_XA, False), (X_RAY_3D, True)]
)
def test_angiograms_are_shown_without_their_modality_lut(
    written: Callable[..., Instance], sop_class: str, applied: bool
) -> None:
    table = lut("ModalityLUTSequence", [256, 0, 16], ((np.arange(256) / 255) ** 4 * 65535).astype("<u2").tobytes())
    window = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
    instance = written(BYTES, SOPClassUID=sop_class, PixelIntensityRelationship="LOG", **window, **table)
    found = shown(instance)
    assert np.array_equal(found, BYTES) is not applied
    attributes = DisplayAttributes(instance)
    assert (display_lut(attributes) is not None) is applied
    assert modality_lut(attributes) is not None, "volumes have modality values"
    if not applied:
        np.testing.assert_array_equal(shown(instance, "full"), BYTES)


@pytest.mark.parametrize(("sop_class", "applied"), [(XA, False), (XRF, False), (X_RAY_3D, True)])
@pytest.mark.parametrize("window", ["dicom", "full", "auto"])
def test_angiograms_are_shown_without_their_slope(
    written: Callable[..., Instance], sop_class: str, applied: bool, window: Any
) -> None:
    """A negative slope would turn black into white; dcmj2pnm shows the plain ramp."""
    ends = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"} if window != "full" else {}
    instance = written(BYTES, SOPClassUID=sop_class, RescaleSlope=-1, RescaleIntercept=255, **ends)
    np.testing.assert_array_equal(shown(instance, window), 255 - BYTES if applied else BYTES)
    assert (instance.plane(0).slope, instance.plane(0).intercept) == (-1, 255), "volumes have modality values"


# -- the entries


def element(keyword: str, vr: str, value: Any, little: bool = True) -> Value:
    numbers = [] if value is None else value
    raw = (
        value if isinstance(value, bytes) else np.array(numbers, f"{'><'[little]}u2" if vr == "US" else "<i2").tobytes()
    )
    stored = Element(tag_for(keyword) or 0, vr, len(raw), 0, Coding(False, little), raw)
    found = vr_of(stored, "", False)
    return Value(found, raw, little, json_of(stored, found, Context("keyword")))


@pytest.mark.parametrize(
    ("count", "bits", "vr", "value", "expected"),
    [
        (4, 16, "OW", words(1, 2, 3, 65535), [1, 2, 3, 65535]),
        (3, 16, "OW", words(1, 2, 3, 9), [1, 2, 3]),  # more than is needed
        (4, 8, "OW", b"\1\2\3\4", [1, 2, 3, 4]),
        (3, 8, "OW", b"\1\2\3\0", [1, 2, 3]),  # padded
        (3, 16, "OW", b"\1\2\3\0", [1, 2, 3]),
        (3, 16, "OW", b"\1\2\3", [1, 2, 3]),
        (3, 16, "OW", b"\1\2\3\4\5", [0x201, 0x403]),
        (4, 16, "OW", b"\1\2\3\4", [1, 2, 3, 4]),
        (4, 9, "OW", b"\1\2\3\4", [0x201, 0x403]),
        (4, 9, "OW", b"\1\2\3\4\5\6", [0x201, 0x403, 0x605]),
        (4, 12, "OW", b"\1\2\3\4", [0x201, 0x403]),  # 12 bits have no room in a byte
        (4, 8, "OW", b"\1\2\3\4\5\6", [1, 2, 3, 4]),  # bytes, and more than are needed
        (4, 8, "US", [0x201, 0x403], [1, 2, 3, 4]),
        (4, 8, "US", [1, 2, 3, 4], [1, 2, 3, 4]),
        (1, 16, "US", 7, [7]),
        (2, 16, "SS", [-1, -32768], [65535, 32768]),
        (300, 8, "OW", bytes(range(1, 201)), list(range(1, 201))),  # ends early, as bytes
        (300, 8, "OW", words(*range(100)), list(range(100))),  # ends early, as words: their upper halves are empty
        (300, 8, "OW", words(*(256 * n for n in range(100))), [256 * n for n in range(100)]),
        (4, 16, "OW", words(1, 2, 3) + b"\7", [1, 2, 3]),  # an odd length
        (4, 16, "OW", words(700, 2, 3), [700, 2, 3]),
    ],
)
def test_entries_are_bytes_or_words(count: int, bits: int, vr: str, value: Any, expected: list[int]) -> None:
    descriptor = element("LUTDescriptor", "US", [count, 5, bits])
    found = read_entries(descriptor, element("LUTData", vr, value), "LUTData", (0, 9))
    assert found.table.tolist() == expected
    assert (found.first, found.bits, found.declared) == (5, bits, count)


@pytest.mark.parametrize(
    ("vr", "bits", "value", "expected"),
    [
        ("OW", 16, b"\1\2\3\4", [0x102, 0x304]),
        ("OW", 8, b"\2\1", [1, 2]),  # words that were swapped on writing
        ("US", 8, b"\2\1", [1, 2]),
        ("US", 16, b"\1\2\3\4", [0x102, 0x304]),
        ("OB", 8, b"\1\2", [1, 2]),
    ],
)
def test_entries_in_big_endian(vr: str, bits: int, value: bytes, expected: list[int]) -> None:
    descriptor = element("LUTDescriptor", "US", [2, 0, bits], False)
    data = element("LUTData", vr, value, False)
    assert read_entries(descriptor, data, "LUTData", (0, 9)).table.tolist() == expected


@pytest.mark.parametrize("little", [True, False])
def test_a_descriptor_that_was_read_as_unknown(little: bool) -> None:
    packed = np.array([2, 64512, 12], "<u2" if little else ">u2").tobytes()
    data = element("LUTData", "US", [1, 2])
    found = read_entries(element("LUTDescriptor", "UN", packed, little), data, "LUTData", (-1024, 3071))
    assert (found.first, found.bits, found.declared) == (-1024, 12, 2)


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [
        ([2, 0, 16], None),
        ([2, 0], b"\1\2"),
        ([2, 0, 16, 1], b"\1\2"),
        (5, b"\1\2"),
        ([2, 0, 16], b""),
        ([2, 0, 8], b"\1"),
    ],
)
def test_entries_that_cannot_be_read(descriptor: Any, data: bytes) -> None:
    with pytest.raises(PixelError, match="the descriptor of LUTData does not fit it"):
        read_entries(element("LUTDescriptor", "US", descriptor), element("LUTData", "OW", data), "LUTData", (0, 9))


@pytest.mark.parametrize(("bits", "expected"), [(0, 16), (17, 16), (1, 1), (2, 2), (15, 15), (16, 16)])
def test_bits_that_an_entry_has(bits: int, expected: int) -> None:
    descriptor = element("LUTDescriptor", "US", [2, 0, bits])
    assert read_entries(descriptor, element("LUTData", "OW", words(1, 2)), "LUTData", (0, 9)).bits == expected


# -- palettes


def palette(
    pack: Callable[[np.ndarray], bytes],
    bits: Sequence[int] = (16, 16, 16),
    entries: int = 256,
    first: int = 0,
    vr: str = "US",
) -> dict[str, Any]:
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for place, colour in enumerate(("Red", "Green", "Blue")):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [entries, first, bits[place]]
        keywords[f"{colour}PaletteColorLookupTableData"] = pack(COLOURS[:, place])
    return keywords


PACKED: dict[str, Callable[[np.ndarray], bytes]] = {
    "words, high byte": lambda c: (c << 8).astype("<u2").tobytes(),
    "words, low byte": lambda c: c.astype("<u2").tobytes(),
    "words, both bytes": lambda c: (c * 257).astype("<u2").tobytes(),
    "bytes": lambda c: c.astype("u1").tobytes(),
}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_whatever_depth_is_named(written: Callable[..., Instance], pack: str, bits: int) -> None:
    found = shown(written(BYTES, **palette(PACKED[pack], (bits, bits, bits))))
    np.testing.assert_array_equal(found, COLOURS[BYTES])


@pytest.mark.parametrize(
    ("bits", "used"), [(16, 12), (8, 12), (16, 10), (8, 10), (12, 12), (10, 10), (14, 14), (12, 16)]
)
def test_colours_of_fewer_bits_than_are_named(written: Callable[..., Instance], bits: int, used: int) -> None:
    scaled = lambda c: (c * ((1 << used) - 1) // 255).astype("<u2").tobytes()  # noqa: E731
    found = shown(written(BYTES, **palette(scaled, (bits, bits, bits))))
    np.testing.assert_allclose(found.astype(int), COLOURS[BYTES], atol=1)


def test_a_dark_palette_stays_dark(written: Callable[..., Instance]) -> None:
    found = shown(written(BYTES, **palette(lambda c: (c // 4 << 8).astype("<u2").tobytes())))
    np.testing.assert_array_equal(found, COLOURS[BYTES] // 4)
    found = shown(written(BYTES, **palette(lambda c: (c * 80 + 1).astype("<u2").tobytes())))
    np.testing.assert_array_equal(found, COLOURS[BYTES] * 80 + 1 >> 8)
    # So dark that twelve bits would hold it; but no low byte, or one that repeats the high one, tells of sixteen.
    for scale in (256, 257):
        found = shown(written(BYTES, **palette(lambda c, scale=scale: (c // 16 * scale).astype("<u2").tobytes())))
        np.testing.assert_array_equal(found, COLOURS[BYTES] // 16)


def test_colours_that_name_several_depths(written: Callable[..., Instance]) -> None:
    keywords = palette(PACKED["words, high byte"], (16, 8, 16))
    keywords["GreenPaletteColorLookupTableData"] = COLOURS[:, 1].astype("u1").tobytes()
    np.testing.assert_array_equal(shown(written(BYTES, **keywords)), COLOURS[BYTES])


def test_a_palette_in_big_endian(written: Callable[..., Instance]) -> None:
    pack = lambda c: (c << 8).astype(">u2").tobytes()  # noqa: E731
    instance = written(BYTES, TransferSyntaxUID=ExplicitVRBigEndian, **palette(pack))
    np.testing.assert_array_equal(shown(instance), COLOURS[BYTES])


@pytest.mark.parametrize(
    ("first", "expected"), [(0, lambda i: i), (3, lambda i: i - 3), (65535, lambda i: i * 0), (300, lambda i: i * 0)]
)
def test_first_index_of_a_palette(
    written: Callable[..., Instance], first: int, expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    found = shown(written(BYTES, **palette(PACKED["bytes"], (8, 8, 8), first=first)))
    np.testing.assert_array_equal(found, COLOURS[np.clip(expected(BYTES.astype(int)), 0, 255)])


def test_first_index_of_signed_pixels(written: Callable[..., Instance]) -> None:
    keywords = palette(PACKED["bytes"], (8, 8, 8), first=-128)
    found = shown(written((BYTES.astype(int) - 128).astype(np.int8), **keywords))
    np.testing.assert_array_equal(found, COLOURS[BYTES])


def test_a_palette_that_lacks_entries(written: Callable[..., Instance]) -> None:
    part = lambda c: c[:200].astype("<u2").tobytes()  # noqa: E731
    keywords = palette(part, (8, 8, 8))
    np.testing.assert_array_equal(shown(written(BYTES[:12], **keywords)), COLOURS[BYTES[:12]])
    with pytest.raises(PixelError, match="a lookup table holds 200 of 256 entries"):
        shown(written(BYTES, **keywords))


@pytest.mark.parametrize("absent", ["GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableDescriptor"])
def test_a_palette_that_lacks_a_colour(written: Callable[..., Instance], absent: str) -> None:
    keywords = palette(PACKED["bytes"], (8, 8, 8))
    del keywords[absent]
    with pytest.raises(PixelError, match="the palette lacks a colour"):
        shown(written(BYTES, **keywords))


def test_colours_that_differ_in_length(written: Callable[..., Instance]) -> None:
    keywords = palette(PACKED["bytes"], (8, 8, 8))
    keywords["GreenPaletteColorLookupTableData"] = bytes(100)
    with pytest.raises(PixelError, match="differ in length"):
        shown(written(BYTES, **keywords))


def test_an_empty_palette_is_none(written: Callable[..., Instance]) -> None:
    with pytest.raises(PixelError, match="missing palette"):
        shown(written(BYTES, **palette(lambda c: b"")))


def test_a_segmented_palette_of_signed_indices(written: Callable[..., Instance]) -> None:
    segments = words(0, 3, 0, 256, 512, 1, 4, 65280)
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [7, -3, 16]
        keywords[f"Segmented{colour}PaletteColorLookupTableData"] = segments
    found = shown(written(np.array([[-9, -3, -2, -1, 3, 99]], np.int16), **keywords))
    assert found[0, :, 0].tolist() == [0, 0, 1, 2, 255, 255]


def test_nothing_is_noted_of_good_files(written: Callable[..., Instance]) -> None:
    assert display_for(written(RAMP, WindowCenter=9, WindowWidth=9)).notes == ()
    assert Display().notes == ()


def test_a_voi_lut_that_cannot_be_converted_gives_way(tmp_path: Path) -> None:
    """Six bytes that call themselves numbers of four."""

    def instance_of(**keywords: Any) -> Instance:
        path = save(quick_dataset(RAMP, WindowCenter=2000, WindowWidth=4000, **keywords), tmp_path / "image.dcm")
        descriptor = b"\x28\0\x02\x30"
        path.write_bytes(path.read_bytes().replace(descriptor + b"US", descriptor + b"FL"))
        return read_instance(File(str(tmp_path), path.name, path.stat().st_size, 0))

    plain = shown(instance_of())
    instance = instance_of(**lut("VOILUTSequence", [2, 0, 16], words(0, 1)))
    np.testing.assert_array_equal(shown(instance), plain)
    assert display_for(instance).notes == ("a VOI LUT is not used: the descriptor of LUTData does not fit it",)
    with pytest.raises(PixelError, match="the descriptor of LUTData does not fit it"):
        display_for(instance_of(**lut("ModalityLUTSequence", [2, 0, 16], words(0, 1))))


def test_the_descriptor_of_red_counts(written: Callable[..., Instance]) -> None:
    """All three are equal (C.7.6.3.1.5); where they are not, it is one table all the same."""
    keywords = palette(PACKED["bytes"], (8, 8, 8))
    keywords["GreenPaletteColorLookupTableDescriptor"] = [256, 7, 8]
    np.testing.assert_array_equal(shown(written(BYTES, **keywords)), COLOURS[BYTES])
    part = palette(lambda c: c[:200].astype("u1").tobytes(), (8, 8, 8), entries=200)
    part["GreenPaletteColorLookupTableDescriptor"] = [256, 0, 8]
    found = palette_of(DisplayAttributes(written(BYTES, **part)))
    assert found is not None
    assert (found.first, len(found.table), found.declared) == (0, 200, 200)


@pytest.mark.parametrize("entries", [7, 0])
def test_a_segmented_palette_has_the_entries_that_it_names(written: Callable[..., Instance], entries: int) -> None:
    segments = words(0, 3, 0, 256, 512, 1, (entries or 65536) - 3 & 0xFFFF, 65280)
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [entries, 2, 16]
        keywords[f"Segmented{colour}PaletteColorLookupTableData"] = segments
    found = palette_of(DisplayAttributes(written(RAMP, **keywords)))
    assert found is not None
    assert (found.first, found.table.shape, found.table.dtype) == (2, (entries or 65536, 3), np.uint8)
    assert found.table[[0, 1, 2, -1], 0].tolist() == [0, 1, 2, 255]


@pytest.mark.parametrize("absent", ["Red", "Green", "Blue"])
def test_a_segmented_palette_that_lacks_a_colour(written: Callable[..., Instance], absent: str) -> None:
    keywords: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        keywords[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        keywords[f"Segmented{colour}PaletteColorLookupTableData"] = words(0, 2, 0, 256)
    keywords[f"Segmented{absent}PaletteColorLookupTableData"] = b""
    attributes = DisplayAttributes(written(RAMP, **keywords))
    if absent == "Red":
        assert palette_of(attributes) is None
    else:
        with pytest.raises(PixelError, match="the palette lacks a colour"):
            palette_of(attributes)


@pytest.mark.parametrize(
    ("greatest", "bits", "depth"),
    [
        *((255, bits, 8) for bits in (1, 8, 9, 12, 16)),
        *((300, 8, 10), (300, 10, 10), (300, 16, 10), (300, 17, 10)),
        *((511, 9, 9), (512, 9, 10), (1023, 10, 10), (1023, 8, 10), (1025, 8, 12), (1025, 10, 12)),
        *((1023, 14, 14), (2047, 11, 11), (4095, 12, 12), (4095, 16, 12), (4097, 12, 16), (4097, 16, 16)),
        *((4097, 15, 15), (32769, 15, 16), (65535, 8, 16)),
    ],
)
def test_depth_of_a_palette(greatest: int, bits: int, depth: int) -> None:
    """The second entry has a low byte that is not the high one, which would tell of sixteen bits."""
    found = _eight_bits(np.array([[greatest, 3, 0]], np.uint16), bits)
    assert found.dtype == np.uint8
    assert found.tolist() == [[greatest >> depth - 8, 3 >> depth - 8, 0]]


@pytest.mark.parametrize(
    ("top", "depths"), [(256, (10, 9, 10)), (512, (10, 10, 10)), (1024, (12, 11, 12)), (4096, (16, 13, 16))]
)
def test_depth_of_a_power_of_two(top: int, depths: tuple[int, int, int]) -> None:
    named = (top.bit_length() - 1, top.bit_length(), 16)  # one bit too few, just enough, and what everyone says
    for bits, depth in zip(named, depths, strict=True):
        assert _eight_bits(np.array([[top, 3]], np.uint16), bits)[0, 0] == top >> depth - 8

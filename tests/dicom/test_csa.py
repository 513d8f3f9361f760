"""CSA headers: equal to what nibabel reads, and harmless whatever they hold."""

from __future__ import annotations

import gzip
import io
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.siemens import NICOM, csa1, csa2, csareader, mosaic_dataset, protocol

from crawler.dicom.csa import MAX_BYTES, MAX_TAGS, NO_CSA, Csa, LazyEntries, parse, read_csa, slice_array
from crawler.dicom.elements import EXPLICIT_LITTLE, Element
from crawler.dicom.walk import walk

ENTRIES = {
    "First": ["1.5", "-2"],
    "NumberOfImagesInMosaic": ["48"],
    "Text": ["a b"],
    "SliceNormalVector": ["0", "0", "1"],
}


def real_headers() -> Iterator[tuple[str, bytes]]:
    for name in ("csa2_b0.bin", "csa2_b1000.bin", "csa2_zero_len.bin.gz"):
        data = (NICOM / name).read_bytes()
        yield name, gzip.decompress(data) if name.endswith(".gz") else data
    for name in ("siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"):
        dataset = pydicom.dcmread(io.BytesIO(gzip.decompress((NICOM / name).read_bytes())))
        yield f"{name} image", dataset[0x0029, 0x1010].value
        yield f"{name} series", dataset[0x0029, 0x1020].value


HEADERS = dict(real_headers())


@pytest.mark.parametrize("name", HEADERS)
def test_real_headers_as_nibabel_reads_them(name: str) -> None:
    theirs = csareader.read(HEADERS[name])["tags"]
    ours = parse(HEADERS[name])
    assert list(ours) == list(theirs)
    for entry, tag in theirs.items():
        expected = [item for item in tag["items"] if item not in ("", b"")]
        if tag["vr"] in csareader._CONVERTERS:
            assert [float(text) for text in ours[entry]] == expected
        else:
            texts = [item.decode("latin-1") if isinstance(item, bytes) else item for item in expected]
            assert list(ours[entry]) == [text.strip() for text in texts]


@pytest.mark.parametrize(
    "data", [*HEADERS.values(), csa1(ENTRIES), csa2(ENTRIES), csa2(ENTRIES, padding=4), b"", b"SV10"]
)
def test_an_entry_that_is_looked_for_is_the_one_that_is_read(data: bytes) -> None:
    whole, found = parse(data), LazyEntries(data)
    assert {name: found[name] for name in whole} == whole == dict(found)
    assert len(found) == len(whole)
    assert "Nothing" not in found
    for cut in range(0, len(data), 1 + len(data) // 50):
        part = LazyEntries(data[:cut])
        assert {name: part.get(name) for name in parse(data[:cut])} == parse(data[:cut])


def test_values_of_a_real_header() -> None:
    csa = Csa(LazyEntries(HEADERS["siemens_dwi_1000.dcm.gz image"]))
    assert csa.number("NumberOfImagesInMosaic") == 48
    assert csa.numbers("SliceNormalVector") == (0.0, 0.00523632, 0.99998629)
    assert csa.text("DiffusionDirectionality") == "DIRECTIONAL"
    assert csa.numbers("DiffusionDirectionality") == ()
    assert (csa.number("nothing"), csa.numbers("nothing"), csa.text("nothing")) == (None, (), "")


@pytest.mark.parametrize("data", [csa1(ENTRIES), csa2(ENTRIES), csa2(ENTRIES, padding=4)], ids=["1", "2", "2 padded"])
def test_both_formats(data: bytes) -> None:
    assert parse(data) == {name: tuple(values) for name, values in ENTRIES.items()}


def test_the_protocol_of_a_real_series() -> None:
    slices = slice_array(parse(HEADERS["siemens_dwi_1000.dcm.gz series"]))
    assert slices["lSize"] == 48
    assert slices["asSlice[0].sNormal.dTra"] == 0.9999862922
    assert slices["asSlice[0].sPosition.dCor"] == -20.03015269
    assert "ucImageNumbTra" not in slices


def test_numbers_of_a_protocol() -> None:
    lines = ("sSliceArray.lSize = 2", "sSliceArray.ucImageNumbTra = 0x1", "sSliceArray.asSlice[0].sNormal.dSag = -1e-3")
    others = ("sSliceArray.tText = word", "sSliceArrayOther.lSize = 7", "lContrasts = 1", "sSliceArray.x = 1e999")
    found = slice_array(parse(protocol(*lines, *others)))
    assert found == {"lSize": 2.0, "ucImageNumbTra": 1.0, "asSlice[0].sNormal.dSag": -1e-3}
    assert slice_array({}) == slice_array({"MrPhoenixProtocol": ("### ASCCONV BEGIN",)}) == {}


@pytest.mark.parametrize("data", [b"", b"SV10", b"SV10\4\3\2\1\1", b"junk" * 100, b"\0" * 4096, b"\xff" * 4096])
def test_what_is_no_header(data: bytes) -> None:
    assert parse(data) == {}


def test_entries_in_front_of_the_damage_are_kept() -> None:
    whole = csa2(ENTRIES)
    assert parse(whole[:-3]) == {name: tuple(ENTRIES[name]) for name in list(ENTRIES)[:-1]}
    for cut in range(len(whole)):
        found = parse(whole[:cut])
        assert found == {name: tuple(ENTRIES[name]) for name in list(ENTRIES)[: len(found)]}


def test_thousands_of_damaged_headers() -> None:
    chance = random.Random(4)
    words = (0, 1, -1, 77, 2**16, 2**31 - 1, -(2**31), MAX_TAGS)
    start = time.process_time()
    for _ in range(3000):
        data = bytearray(chance.choice([HEADERS["csa2_b1000.bin"], csa1(ENTRIES), csa2(ENTRIES)]))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data) - 4)
            if chance.random() < 0.5:
                struct.pack_into("<i", data, place & ~3, chance.choice(words))
            else:
                data[place] = chance.randrange(256)
        for name, values in parse(bytes(data)).items():
            assert isinstance(name, str)
            assert all(isinstance(value, str) and value is not None for value in values)
            assert all(isinstance(value, str) for value in LazyEntries(bytes(data)).get(name, ()))
    assert time.process_time() - start < 60  # some 0.3 ms each


@given(st.binary(max_size=600), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes, marked: bool) -> None:
    data = b"SV10\4\3\2\1" + data if marked else data
    found = parse(data)
    assert all(sum(map(len, LazyEntries(data).get(name, ()))) <= len(data) for name in found)
    assert sum(len(value) for values in found.values() for value in values) <= len(data)


def test_lies_about_counts_take_no_time() -> None:
    claims = struct.pack("<64si4s3i", b"Name", 2**31 - 1, b"LO", 1, 2**31 - 1, 77)
    data = b"SV10\4\3\2\1" + struct.pack("<2I", MAX_TAGS, 77) + claims + bytes(MAX_BYTES)
    start = time.process_time()
    assert parse(data) == {}
    assert time.process_time() - start < 20  # 0.1 s: an item takes 16 bytes at least


def elements_of(path: Path) -> tuple[io.BytesIO, list[Element]]:
    data = path.read_bytes()
    stream = io.BytesIO(data)
    stream.seek(132)
    return stream, list(walk(stream, EXPLICIT_LITTLE, len(data)))


def test_headers_are_read_for_mosaics_only(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    mosaic_dataset(entries={"Long": ["x" * 5000]}).save_as(path)
    csa = read_csa(*elements_of(path))
    assert csa.number("NumberOfImagesInMosaic") == 5
    assert len(csa.text("Long")) == 5000  # an element that the walk passes over
    mosaic_dataset(ImageType=["ORIGINAL", "PRIMARY", "M"]).save_as(path)
    assert read_csa(*elements_of(path)) is NO_CSA
    mosaic_dataset(ImageType=None).save_as(path)
    assert read_csa(*elements_of(path)) is NO_CSA


def test_diffusion_needs_the_header_where_no_element_tells(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = mosaic_dataset(entries={"B_value": ["700"]}, ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])
    dataset.save_as(path)
    assert read_csa(*elements_of(path)).number("B_value") == 700
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", 700)
    dataset.save_as(path)
    assert read_csa(*elements_of(path)) is NO_CSA


def test_another_block_and_another_creator(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = mosaic_dataset(normal=None)
    dataset.private_block(0x0029, "SOMEBODY ELSE", create=True).add_new(0x10, "OB", csa2({"B_value": ["1"]}))
    dataset.save_as(path)
    assert read_csa(*elements_of(path)) is NO_CSA
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa2({"B_value": ["2"]}))
    dataset.save_as(path)
    assert read_csa(*elements_of(path)).number("B_value") == 2

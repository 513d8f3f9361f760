"""Headers that are read by what another one of their series left: the same instances as the full reader gives."""

from __future__ import annotations

import copy
import io
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.mutations import mutate
from support.siemens import csa2, mosaic_dataset
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head
from test_fast_header import IMPLICIT, SOP_CLASS, SOP_CLASS_IMPLICIT, STYLES, differs, implicit, part10, quickly

from crawler.archives.streams import BLOCK
from crawler.dicom.attributes import Attributes
from crawler.dicom.dictionary import KeyStyle
from crawler.dicom.fast import reader
from crawler.dicom.fast.header_template import HeaderTemplate
from crawler.dicom.fast.memo import Memo, MemoAttributes
from crawler.dicom.fast.walker import Walker

MUTANTS = int(os.environ.get("DME_HEADERS", "3000")) // 3
LARGEST = 150_000  # bytes, as in `test_fuzz`
SERIES = explicit(0x0020000E, "UI", b"1.2.3.4\0")
SERIES_IMPLICIT = implicit(0x0020000E, b"1.2.3.4\0")


@pytest.fixture(autouse=True)
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were walked through, and no template of an earlier test."""
    walked: list[int] = []
    walk = Walker.walk

    def noted(self: Walker, block: bytes) -> Any:
        walked.append(self.size)
        return walk(self, block)

    monkeypatch.setattr(Walker, "walk", noted)
    reader._template_cache.cache_clear()
    return walked


def alike(first: bytes, other: bytes, walks: list[int], style: KeyStyle = "keyword") -> bool:
    """Whether `other` is read by the template of `first`; fails where the readers disagree."""
    for content in (first, first):  # the second one makes the parts of the template
        assert differs(content, style) is False
    walks.clear()
    assert not differs(other, style)
    return not walks


def meta(declared: int | None = None, instance: bytes = b"1.2.840") -> bytes:
    """File meta information with the length that it has, or that it declares."""
    uid = instance + b"\0" * (len(instance) % 2)
    rest = explicit(0x00020003, "UI", uid) + explicit(0x00020010, "UI", b"1.2.840.10008.1.2.1\0")
    length = len(rest) if declared is None else declared
    return bytes(128) + b"DICM" + explicit(0x00020000, "UL", struct.pack("<L", length)) + rest


ROWS = explicit(0x00280010, "US", b"\7\0")
CREATOR = explicit(0x00290010, "LO", b"ACME")
PRIVATE = explicit(0x00291001, "DS", b"1.5 ")
TAIL = explicit(0x00741204, "LO", b"TAIL")  # a changing element of less than 12 bytes that ends a file is not answered


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (explicit(0x00200013, "IS", b"9 "), explicit(0x00200013, "IS", b"1000")),
        (explicit(0x00200013, "IS", b"9 "), explicit(0x00200013, "IS", b"")),
        (explicit(0x00200013, "IS", b""), explicit(0x00200013, "IS", b"9.5 ")),
        (explicit(0x00201041, "DS", b"1.0 "), explicit(0x00201041, "DS", b"1\\2 ")),
        (explicit(0x00204000, "LT", b"a "), explicit(0x00204000, "LT", b"b" * 40_000)),
        (explicit(0x00204000, "LT", b"a" * 40_000), explicit(0x00204000, "LT", b"b ")),
        (explicit(0x00204000, "UT", b"a" * 40_000), explicit(0x00204000, "UT", b"b" * 90_000)),
        (CREATOR + explicit(0x00291001, "OB", b"a" * 9), CREATOR + explicit(0x00291001, "OB", b"b" * 9)),
        (CREATOR + explicit(0x00291001, "OB", b"a" * 9), CREATOR + explicit(0x00291001, "OB", b"a" * 90_000)),
        (CREATOR + explicit(0x00291001, "OB", b"a" * 90_000), CREATOR + explicit(0x00291001, "OB", b"a")),
        (CREATOR + PRIVATE, CREATOR + PRIVATE.replace(b"1.5", b"2.5")),
        (explicit(0x00280103, "US", b"\1\0") + explicit(0x00280106, "UN", b"\1\0"),
         explicit(0x00280103, "US", b"\1\0") + explicit(0x00280106, "UN", b"\xff\xff")),
        (explicit(0x00400275, "SQ", head(ITEM, len(ROWS)) + ROWS), explicit(0x00400275, "SQ", b"")),
        (explicit(0x00400275, "SQ", b""), explicit(0x00400275, "SQ", (head(ITEM, len(ROWS)) + ROWS) * 2)),
        (explicit(0x00400275, "SQ", head(SEQUENCE_END), UNDEFINED),
         explicit(0x00400275, "SQ", head(ITEM, UNDEFINED) + ROWS + head(ITEM_END) + head(SEQUENCE_END), UNDEFINED)),
        (ROWS + explicit(0x7FE00010, "OW", b"ab"), ROWS + explicit(0x7FE00010, "OW", b"abcd")),
        (ROWS + explicit(0x7FE00010, "OW", b"ab"), ROWS + explicit(0x7FE00010, "OW", b"", UNDEFINED)),
        (ROWS + explicit(0xFFFCFFFC, "OB", b"ab"), ROWS + explicit(0xFFFCFFFC, "OB", b"abcd")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", STYLES)
def test_files_that_differ_in_values(first: bytes, other: bytes, style: KeyStyle, walks: list[int]) -> None:
    ends = first.startswith(ROWS)  # with pixels or padding
    contents = [part10(SOP_CLASS + SERIES + part + (b"" if ends else TAIL)) for part in (first, other)]
    assert alike(*contents, walks, style)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (ROWS, b""),
        (b"", ROWS),
        (ROWS, explicit(0x00280011, "US", b"\7\0")),
        (ROWS, explicit(0x00280010, "UL", b"\7\0\0\0")),
        (ROWS, ROWS + ROWS),
        (ROWS, ROWS[:-1]),
        (ROWS + explicit(0x7FE00010, "OW", b"ab"), ROWS),
        (ROWS, ROWS + explicit(0x7FE00010, "OW", b"ab")),
        (ROWS + explicit(0x7FE00010, "OW", b"ab"), ROWS + explicit(0x7FE00008, "OF", b"abcd")),
        (CREATOR + PRIVATE, explicit(0x00290010, "LO", b"ACMF") + PRIVATE),
        (CREATOR + PRIVATE, explicit(0x00290011, "LO", b"ACME") + PRIVATE),
        (explicit(0x00280103, "US", b"\0\0") + explicit(0x00280106, "UN", b"\xff\xff"),
         explicit(0x00280103, "US", b"\1\0") + explicit(0x00280106, "UN", b"\xff\xff")),
        (explicit(0x00204000, "LT", b"a "), explicit(0x00204000, "LT", b"a ", 200)),
        (CREATOR + explicit(0x00291001, "OB", b"a"), CREATOR + explicit(0x00291001, "OB", b"a", 2000)),
        (explicit(0x00400275, "SQ", b""), explicit(0x00400275, "SQ", head(ITEM, 20) + ROWS)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", STYLES)
def test_files_that_are_unlike(first: bytes, other: bytes, style: KeyStyle, walks: list[int]) -> None:
    assert not alike(part10(SOP_CLASS + SERIES + first), part10(SOP_CLASS + SERIES + other), walks, style)


@pytest.mark.parametrize(
    ("name", "terms"),
    [(b"\xe9t\xe9 ", (b"ISO_IR 100", b"ISO_IR 101")), (b"\xc3\xa9", (b"ISO_IR 192", b"ISO_IR 144"))],
)
def test_another_character_set_is_another_meaning(name: bytes, terms: tuple[bytes, bytes], walks: list[int]) -> None:
    rest = SOP_CLASS + explicit(0x00100010, "PN", name) + SERIES
    first, other = (part10(explicit(0x00080005, "CS", term) + rest) for term in terms)
    assert not alike(first, other, walks)


def test_file_meta_information_of_another_length(walks: list[int]) -> None:
    data = SOP_CLASS + SERIES + ROWS
    assert alike(meta() + data, meta(instance=b"1.2.840.113619") + data, walks)
    for declared in (0, 30, 200):
        assert not alike(meta() + data, meta(declared) + data, walks)


@pytest.mark.parametrize("value", [b"9 ", b"1000", b"x" * 0x4141, b"", b"-1"])
def test_implicit_vr(value: bytes, walks: list[int]) -> None:
    data = SOP_CLASS_IMPLICIT + SERIES_IMPLICIT
    contents = [data + implicit(0x00200013, number) + implicit(0x00741204, b"TAIL") for number in (b"1 ", value)]
    assert alike(part10(contents[0], IMPLICIT), part10(contents[1], IMPLICIT), walks)


def test_implicit_vr_that_is_explicit_all_the_same(walks: list[int]) -> None:
    first = part10(implicit(0x00080008, b"A" * 0x10) + SOP_CLASS_IMPLICIT + SERIES_IMPLICIT, IMPLICIT)
    other = part10(implicit(0x00080008, b"A" * 0x4142) + SOP_CLASS_IMPLICIT + SERIES_IMPLICIT, IMPLICIT)
    assert not alike(first, other, walks)


def test_a_record_is_not_changed_by_the_next_one() -> None:
    contents = [part10(SOP_CLASS + SERIES + explicit(0x00200013, "IS", b"%d " % number)) for number in range(5)]
    instances = [quickly(content) for content in contents]
    assert [instance and instance.record["InstanceNumber"] for instance in instances] == [0, 1, 2, 3, 4]
    assert [instance and instance.instance_number for instance in instances] == [0, 1, 2, 3, 4]


def test_series_that_lie_mixed_have_a_mould_each(walks: list[int]) -> None:
    for number in range(40):
        for series in range(8):
            uid = explicit(0x0020000E, "UI", b"1.2.%d\0" % series)
            assert differs(part10(SOP_CLASS + uid + explicit(0x00200013, "IS", b"%04d" % number))) is False
    assert len(walks) == 8


def test_templates_are_few() -> None:
    for series in range(3 * reader._MOST):
        odd = explicit(0x00180000 + series, "LO", b"x ")  # no template of another series fits
        quickly(part10(SOP_CLASS + odd + explicit(0x0020000E, "UI", b"1.2.%05d\0" % series)))
    assert len(reader._template_cache("keyword")._templates) == reader._MOST


def radiograph(number: int, *elements: bytes) -> bytes:
    """A file that is a series of its own."""
    uid = explicit(0x0020000E, "UI", b"1.2.%05d\0" % number)
    return part10(SOP_CLASS + b"".join(elements) + uid + explicit(0x00200013, "IS", b"%04d" % number) + TAIL)


def test_series_of_one_file_each_are_read_by_the_mould_of_another(walks: list[int]) -> None:
    for number in range(40):
        assert differs(radiograph(number)) is False
    assert len(walks) == reader._ALONE
    for number in (39, 39, 3):
        assert differs(radiograph(number)) is False
    assert len(walks) == reader._ALONE


def test_series_of_one_file_each_that_are_unlike_are_tried_ever_less(
    walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    read = HeaderTemplate.read

    def noted(self: HeaderTemplate, walker: Walker, block: bytes) -> Any:
        tries.append(len(walks))
        return read(self, walker, block)

    monkeypatch.setattr(HeaderTemplate, "read", noted)
    for number in range(400):
        assert differs(radiograph(number, explicit(0x00090000 + number, "LO", b"x "))) is False
    assert len(walks) == 400
    assert 4 < len(tries) < 10
    for number in range(400, 1200):  # and are found out when they are alike again
        assert differs(radiograph(number)) is False
    assert len(walks) < 900


def test_csa_headers_of_their_own(walks: list[int]) -> None:
    contents = []
    for number in range(6):
        dataset = mosaic_dataset(entries={"Long": ["x" * 700 * number]}, tiles=4 + number % 2)
        dataset.InstanceNumber = number
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        contents.append(buffer.getvalue())
    assert [differs(content) for content in contents] == [False] * 6
    assert len(walks) == 1
    assert b"MOSAIC" in contents[0]
    assert csa2({}) is not None


def siblings(dataset: Dataset, rng: random.Random, count: int, alone: bool) -> list[bytes]:
    """Files that differ in values, and now and then in elements, at any depth: of one series, or each of its own."""
    made = []
    for number in range(count):
        other = copy.deepcopy(dataset)
        if alone and "SeriesInstanceUID" in other:
            other.SeriesInstanceUID = f"1.2.3.{number}"
        for _ in range(rng.randrange(6)):
            change(other, rng)
        buffer = io.BytesIO()
        try:
            other.save_as(buffer)
        except Exception:
            continue
        made.append(buffer.getvalue())
    return made


def change(dataset: Dataset, rng: random.Random) -> None:
    tags = [tag for tag in dataset._dict if tag.group != 0x7FE0 and tag not in (0x0020000E, 0x00080016)]
    if not tags:
        return
    tag = rng.choice(tags)
    element = dataset[tag]
    match rng.randrange(12):
        case 0:
            del dataset[tag]
        case 1:
            dataset.add_new(0x00280106, "US", rng.randrange(65536))
        case 2:
            dataset.add_new(0x00200013, "IS", rng.randrange(10**6))
        case _ if element.VR == "SQ":
            if element.value and rng.random() < 0.8:
                change(rng.choice(element.value), rng)
            else:
                dataset[tag] = DataElement(tag, "SQ", Sequence([*element.value, Dataset()]))
        case _ if element.VR in ("DS", "IS"):
            element.value = str(rng.randrange(-999, 10 ** rng.randrange(1, 6)))
        case _ if element.VR in ("US", "UL"):
            element.value = rng.randrange(65536)
        case _ if element.VR in ("FD", "FL"):
            element.value = rng.random()
        case _ if element.VR in ("OB", "OW", "UN"):
            element.value = bytes(2 * rng.randrange(4000))
        case _ if element.VR in ("LO", "SH", "ST", "LT", "PN", "UI", "TM", "DA"):
            element.value = "".join(rng.choice("0123456789.") for _ in range(rng.randrange(1, 16)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("alone", [False, True])
def test_siblings_of_package_borne_files(dicom_files: list[Path], walks: list[int], alone: bool) -> None:
    rng = random.Random(5)
    read = 0
    for path in dicom_files:
        if path.stat().st_size > LARGEST:
            continue
        try:
            dataset = dcmread(path)
            dataset.walk(lambda *_: None)
        except Exception:  # damaged
            continue
        style = rng.choice(STYLES)
        reader._template_cache.cache_clear()
        for content in siblings(dataset, rng, 8, alone):
            before = len(walks)
            answer = differs(content, style)
            assert not answer, path.name
            read += answer is False and len(walks) == before
    assert read > (200 if alone else 300)


@pytest.mark.parametrize("batch", range(-(-MUTANTS // 1000)))
def test_mutants_after_the_file_that_they_were_made_from(dicom_files: list[Path], batch: int) -> None:
    small = [path for path in dicom_files if path.stat().st_size <= LARGEST]
    for group in range(50):
        rng = random.Random(batch * 50 + group)
        content, style = rng.choice(small).read_bytes(), rng.choice(STYLES)
        differs(content, style)
        for number in range(20):
            assert not differs(mutate(content, rng), style), f"batch {batch}, group {group}, number {number}"


def test_what_was_worked_out_is_asked_again_only_when_it_may_differ() -> None:
    calls: list[Any] = []

    def work(fields: Attributes) -> Any:
        calls.append(fields.number("SliceThickness"))
        return calls[-1]

    varying = {"InstanceNumber"}
    memory = Memo(varying)
    for number in range(5):
        fields = MemoAttributes({"SliceThickness": 1.0, "InstanceNumber": number}, "keyword", memory)
        assert fields.memoized(work) == 1.0
    assert len(calls) == 1
    varying.add("SliceThickness")
    given = [1.0, 2.0, 2.0, -0.0, 0.0, 0, *map(float, range(20))]
    assert [MemoAttributes({"SliceThickness": one}, "keyword", memory).memoized(work) for one in given] == given
    assert str(calls[1:4]) == "[2.0, -0.0, 0.0]"
    assert Attributes({"SliceThickness": 3.0}, "keyword").memoized(work) == 3.0


def test_long_headers_leave_no_template(walks: list[int]) -> None:
    """Those of enhanced objects, which no other file of the series is like."""
    item = explicit(0x00204000, "LT", b"x" * 60_000)
    data = SOP_CLASS + SERIES + explicit(0x52009230, "SQ", (head(ITEM, len(item)) + item) * 8)
    for _ in range(3):
        assert differs(part10(data)) is False
    assert len(walks) == 3
    assert not reader._template_cache("keyword")._templates


@pytest.mark.parametrize("vr", ["UT", "UN", "OB", "SQ"])
def test_no_more_is_read_than_the_file_has(vr: str) -> None:
    """Whatever length is claimed: a worker that knows the series must not allocate it, as one that does not."""

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 <= size <= max(BLOCK, len(self.getvalue()))
            return super().read(size)

    series = SOP_CLASS + SERIES
    value = b"" if vr == "SQ" else b"long text "
    for content in (part10(series + explicit(0x00204000, vr, value) + ROWS),) * 2:
        assert reader.read_fast(Watched(content), len(content)) is not None
    for claimed in (100, 20_000, 0x7FFFFFFE, 0xFFFFFFFE):
        damaged = part10(series + explicit(0x00204000, vr, value, claimed) + ROWS)
        assert reader.read_fast(Watched(damaged), len(damaged)) is None
        assert differs(damaged) is None

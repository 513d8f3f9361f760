"""The fast reader against the full one: where it answers, the instances are the same, to the type of every value.

`DME_HEADERS` is the number of mutated headers: 3,000 by default, 100,000 in CI. A failure names its seed, which makes
the same header again.
"""

from __future__ import annotations

import io
import os
import random
import re
import struct
from pathlib import Path

import pytest
from support.mutations import mutate
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.dicom.dictionary import KeyStyle
from crawler.dicom.fast.conversions import conversions_of
from crawler.dicom.fast.reader import read_fast
from crawler.errors import FileError
from crawler.instance.header import fast_instance, full_instance
from crawler.model import File, Instance

MUTANTS = int(os.environ.get("DME_HEADERS", "3000"))
BATCH = 1000
LARGEST = 150_000  # bytes, as in `test_fuzz`
NOWHERE = File("/nowhere", "file", 0, 0)
STYLES: tuple[KeyStyle, ...] = ("keyword", "name", "tag")

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def quickly(content: bytes, style: KeyStyle = "keyword") -> Instance | None:
    return fast_instance(NOWHERE, io.BytesIO(content), style)


def carefully(content: bytes, style: KeyStyle = "keyword") -> str:
    """The instance in full, or the error: `repr` tells 1 from 1.0 and True, and shows the order of keys."""
    try:
        return repr(full_instance(NOWHERE, io.BytesIO(content), style))
    except FileError as error:
        return repr(error)


def differs(content: bytes, style: KeyStyle = "keyword") -> bool | None:
    """Whether the two readers disagree; None where the fast one does not answer."""
    quick = quickly(content, style)
    return None if quick is None else repr(quick) != carefully(content, style)


def part10(data: bytes, syntax: str = EXPLICIT) -> bytes:
    """A file around a data set."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = explicit(0x00020010, "UI", uid)
    return bytes(128) + b"DICM" + explicit(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + data


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return head(tag, len(value) if length is None else length) + value


SOP_CLASS = explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
SOP_CLASS_IMPLICIT = implicit(0x00080016, b"1.2.840.10008.5.1.4.1.1.2\0")


def test_package_borne_files_read_the_same(dicom_files: list[Path]) -> None:
    answers = [
        differs(path.read_bytes(), style) for path in dicom_files if path.stat().st_size < 2**24 for style in STYLES
    ]
    assert True not in answers
    assert answers.count(False) > len(answers) // 2


@pytest.mark.parametrize("batch", range(-(-MUTANTS // BATCH)))
def test_mutants_read_the_same(dicom_files: list[Path], batch: int) -> None:
    small = [path for path in dicom_files if path.stat().st_size <= LARGEST]
    answered = 0
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        rng = random.Random(seed)
        content = mutate(rng.choice(small).read_bytes(), rng)
        answer = differs(content, rng.choice(STYLES))
        assert not answer, f"seed {seed}"
        answered += answer is not None
    assert answered > BATCH // 5  # mostly what hits a value or pixels; a hit on a tag, VR or length is handed over


@pytest.mark.parametrize(
    "value",
    [
        b"1", b" 1 ", b"1 \0", b"-0", b"+.5", b"5.", b".", b"", b"  ", b"1e5", b"1E999", b"1_0", b"1,5", b"nan", b"inf",
        b"1\\2\\3", b"1\\\\3", b"\\", b"1 2", b"--1", b"9" * 18, b"9" * 20, b"1" * 400, b"\t1", b"\xb2",
        b"1" * 301 + b"\\2", b"12.0", b" \0", b"1\\ 2 \\3 ", b"0x1", b"1.5\\2", b"9" * 18 + b"\\" + b"9" * 19,
    ],
)  # fmt: skip
@pytest.mark.parametrize(("tag", "vr"), [(0x00180050, "DS"), (0x00200013, "IS")])
def test_number_strings(tag: int, vr: str, value: bytes) -> None:
    content = part10(SOP_CLASS + explicit(tag, vr, value))
    assert not differs(content)
    if re.fullmatch(rb"[-+0-9 \\\0]*", value) and not re.search(rb"--|\d \d|\d{20}", value):
        assert quickly(content) is not None


@pytest.mark.parametrize(
    "vr", ["AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
)
@pytest.mark.parametrize(
    "value", [b" a ", b"a\0 \0", b" a\\ b \\", b"\\", b"A=B==\\C=", b"\xe9t\xe9", b"\x1b$B", b" =", b"\0a", b"a\\\0"]
)
@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"nonsense"])
def test_texts(vr: str, value: bytes, charset: bytes) -> None:
    data = explicit(0x00080005, "CS", charset) + SOP_CLASS + explicit(0x00100011, vr, value)
    content = part10(data)
    assert not differs(content)
    if value.isascii() and charset in (b"", b"ISO_IR 100") and b"\x1b" not in value:
        assert quickly(content) is not None


@pytest.mark.parametrize("vr", ["US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"])
@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"\xff" * 2, b"\x01\x02" * 2, b"\xff" * 8, b"\0\0\x80\x7f\0\0\xf0\x7f" * 3]
)
def test_binary_numbers(vr: str, value: bytes) -> None:
    descriptor = part10(SOP_CLASS + explicit(0x00281101, vr, value))
    assert differs(descriptor) is (None if vr in ("FL", "FD") else False)  # fractions where whole numbers belong
    assert differs(part10(SOP_CLASS + explicit(0x00189089, vr, value))) is False


ITEMS = {
    "defined": head(ITEM, 10) + explicit(0x00280010, "US", b"\x07\0"),
    "open": head(ITEM, UNDEFINED) + explicit(0x00280010, "US", b"\x07\0") + head(ITEM_END),
    "empty": head(ITEM, 0) + head(ITEM, UNDEFINED) + head(ITEM_END),
    "none": b"",
    "icon": head(ITEM, UNDEFINED) + explicit(0x7FE00010, "OW", b"abcd") + head(ITEM_END),
    "nested": head(ITEM, 12) + explicit(0x00081140, "SQ", b""),
}


@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS)
@pytest.mark.parametrize("delimited", [False, True])
def test_sequences(items: bytes, delimited: bool) -> None:
    length = UNDEFINED if delimited else None
    value = items + (head(SEQUENCE_END) if delimited else b"")
    sequence = explicit(0x00081110, "SQ", value, length)
    assert differs(part10(SOP_CLASS + sequence + explicit(0x00280011, "US", b"\x08\0"))) is False


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (explicit(0x00190010, "LO", b"A ") + explicit(0x00191001, "UN", b"12"), True),
        (explicit(0x00190010, "LO", b"A ") + explicit(0x00190011, "LO", b"A") + explicit(0x00191001, "LO", b"1 ")
         + explicit(0x00191101, "LO", b"2 "), True),  # two blocks, one name
        (explicit(0x00191001, "LO", b"1 "), True),  # no creator
        (explicit(0x00280103, "US", b"\1\0") + explicit(0x00280106, "UN", b"\xff\xff"), True),
        (explicit(0x00189810, "UN", b"\xff\xff") + explicit(0x00280103, "US", b"\1\0"), False),  # the sign comes later
        (explicit(0x00081110, "UN", b""), False),
        (explicit(0x00081110, "UN", head(SEQUENCE_END), UNDEFINED), False),
        (explicit(0x00280010, "US", b"\1\0") + explicit(0x00200013, "IS", b"1 "), False),  # descending
        (explicit(0x00280010, "US", b"\1\0") * 2, False),
        (explicit(0x00280010, "ZZ", b"\1\0"), False),
        (explicit(0x00280010, "US", b"\1\0", 200), False),
        (explicit(0x00280010, "US", b"\1\0") + bytes(8), False),
        (explicit(0x00282000, "OB", b"", UNDEFINED), False),
        (explicit(0x00204000, "UT", b"", UNDEFINED), False),
        (explicit(0x7FE00010, "OW", b"", UNDEFINED), True),
        (explicit(0x7FE00010, "OW", b"ab", 400), True),
        (explicit(0xFFFCFFFC, "OB", b"ab"), True),
        (explicit(0x00204000, "LT", b"x" * 60_000), True),  # does not end in the first block
        (explicit(0x00204000, "OB", b"x" * 100_000) + explicit(0x00280010, "US", b"\1\0"), True),
        (explicit(0x00204000, "OB", b"x" * 100, 101), False),
        (explicit(0x00400275, "SQ", (head(ITEM, 30_000) + explicit(0x00204000, "UT", b"x" * 29_988)) * 2), True),
    ],
)  # fmt: skip
def test_what_is_answered_and_what_is_handed_over(data: bytes, answered: bool) -> None:
    content = part10(SOP_CLASS + data)
    assert (quickly(content) is not None) == answered
    assert not differs(content)


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (implicit(0x00280010, b"\7\0") + implicit(0x00280103, b"\1\0") + implicit(0x00280106, b"\xff\xff"), True),
        (implicit(0x00081110, head(ITEM, 10) + implicit(0x00280010, b"\7\0")), True),
        (implicit(0x00190010, b"ACME") + implicit(0x00191001, head(ITEM, 0) + head(SEQUENCE_END), UNDEFINED), True),
        (implicit(0x00080003, head(SEQUENCE_END), UNDEFINED), False),  # (0008,0003) stands before (0008,0016)
        (implicit(0x00283006, b"\1\0") + implicit(0x7FE00010, b"ab"), True),
        (implicit(0x00283006, b"\1\0\2\0"), True),
    ],
)
def test_implicit_vr(data: bytes, answered: bool) -> None:
    content = part10(SOP_CLASS_IMPLICIT + data, IMPLICIT)
    assert (quickly(content) is not None) == answered
    assert not differs(content)


def test_a_header_is_read_in_few_bytes() -> None:
    """Long binary values are passed over."""

    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.total += len(data)
            return data

    big = explicit(0x00291010, "OB", b"x" * 1_000_000) + explicit(0x7FE00010, "OW", b"x" * 1_000_000)
    content = part10(SOP_CLASS + explicit(0x00290010, "LO", b"ACME") + big)
    stream = Counting(content)
    header = read_fast(stream, len(content))
    assert header is not None
    assert header.pixel is not None
    assert content[header.pixel.offset :] == b"x" * 1_000_000
    assert stream.total <= 2 * 16_384


def test_plans_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.dicom.fast.conversions._MOST", 10)
    conversions_of.cache_clear()
    try:
        for number in range(30):
            tag = 0x00091000 + number
            data = explicit(0x00090010, "LO", b"ACME") + explicit(tag, "LO", b"a ")
            assert differs(part10(SOP_CLASS + data)) is False
        assert len(conversions_of("keyword")) <= 10
    finally:
        conversions_of.cache_clear()

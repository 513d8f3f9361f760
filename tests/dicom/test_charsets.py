"""Text by its character set: code extensions, Latin-9, terms written in other ways, bytes that a set does not have."""

from __future__ import annotations

import io

import pytest
from dicom.test_fast_header import SOP_CLASS, differs, part10
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import decode_bytes
from support.streams import explicit

from crawler.dicom.charsets import CODECS, codecs_of, decode, names_of, standard_codecs
from crawler.instance.header import full_instance
from crawler.model import File, Instance


def read(term: bytes | None, value: bytes, vr: str = "PN") -> Instance:
    charset = b"" if term is None else explicit(0x00080005, "CS", term)
    content = part10(charset + SOP_CLASS + explicit(0x00100010, vr, value))
    assert not differs(content)
    return full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(content), "keyword")


# Examples of PS3.5 annexes H to K, and others of their kind.
@pytest.mark.parametrize(
    ("term", "value", "text"),
    [
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田"),
        (b"\\ISO 2022 IR 159", b"X=\x1b$(D0!\x1b(B", "X=丂"),
        (b"\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong=洪^吉洞"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xc8\xab^\xb1\xe6\xb5\xbf", "홍^길동"),  # the escape is not repeated
        (b"\\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang=张^小东"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 126", b"J\xe9r\xf4me=\x1b-F\xc4\xe9\xef", "Jérôme=Διο"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xbb\xee", "éЛю"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 203", b"A\x1b-b\xa4", "A€"),
        (b"ISO_IR 203", b"\xbcuvre^\xa4\xa8", "Œuvre^€š"),
        (b"ISO 2022 IR 203", b"\xbcuvre^\xa4\xa8", "Œuvre^€š"),
        (b"ISO_IR 192", "王^小東".encode(), "王^小東"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"GBK", "王^小东".encode("gbk"), "王^小东"),
        (b"ISO_IR 166", "นาม".encode("iso8859_11"), "นาม"),
    ],
)
def test_texts_of_the_standard(term: bytes, value: bytes, text: str) -> None:
    instance = read(term, value)
    assert (instance.record["PatientName"], instance.header_notes) == (text, ())


@pytest.mark.parametrize(
    ("written", "defined"),
    [
        (b"iso_ir 192", "ISO_IR 192"), (b"ISO_IR  192", "ISO_IR 192"), (b"ISO-IR 192", "ISO_IR 192"),
        (b"ISO IR 192", "ISO_IR 192"), (b"UTF-8", "ISO_IR 192"), (b"utf8", "ISO_IR 192"), (b"IR 100", "ISO_IR 100"),
        (b"ISO2022 IR 87", "ISO 2022 IR 87"), (b"iso 2022 ir 58", "ISO 2022 IR 58"), (b"ISO 8859-15", "ISO_IR 203"),
        (b"ISO_IR_100", "ISO_IR 100"), (b"latin1", "ISO_IR 100"), (b"gb18030", "GB18030"),
    ],
)  # fmt: skip
def test_terms_written_in_other_ways(written: bytes, defined: str) -> None:
    told: list[str] = []
    assert codecs_of(written, told.append) == (CODECS[defined],)
    assert told == [f"read as {defined}"]


@pytest.mark.parametrize("written", [b"ISO_IR 100 ", b" ISO_IR 100", b"ISO_IR 100\0", b"ISO_IR 100\0\0 "])
def test_padding_of_a_term_is_not_told(written: bytes) -> None:
    instance = read(written, b"\xe9t\xe9")
    assert (instance.record["PatientName"], instance.header_notes) == ("été", ())


@pytest.mark.parametrize("written", [b"nonsense", b"ISO_IR 999", b"\\nonsense", b"8859-99"])
def test_unknown_terms_are_told_and_lose_nothing(written: bytes) -> None:
    instance = read(written, b"\xe9t\xe9")
    assert instance.record["PatientName"].encode("latin-1") == b"\xe9t\xe9"
    assert any("no character set" in note for note in instance.header_notes)


def test_a_set_that_stands_alone_is_used_alone() -> None:
    instance = read(b"GB18030\\ISO_IR 100", "王".encode("gb18030"))
    assert instance.record["PatientName"] == "王"
    assert instance.header_notes


@pytest.mark.parametrize(
    ("term", "value", "text"),
    [
        (None, "Müller^Jörg".encode(), "Müller^Jörg"),
        (b"ISO_IR 6", "Müller".encode(), "Müller"),
        (b"ISO_IR 100", "Müller".encode(), "Müller"),
        (b"ISO_IR 144", "Müller".encode(), "Müller"),  # would mix alphabets in one word
        (b"\\ISO 2022 IR 149", "홍길동".encode(), "홍길동"),
        (b"\\ISO 2022 IR 149", "홍".encode("euc_kr"), "홍"),  # without its escape sequence
        (b"ISO_IR 100", b"\x1b$B;3ED\x1b(B", "山田"),  # not announced
    ],
)
def test_what_can_be_meant_in_one_way_is_used_and_told(term: bytes | None, value: bytes, text: str) -> None:
    instance = read(term, value)
    assert instance.record["PatientName"] == text
    assert len(instance.header_notes) == 1


@pytest.mark.parametrize(
    ("term", "text"), [(b"ISO_IR 144", "ТАНЯ"), (b"ISO_IR 126", "ΓΌΡΟΣ"), (b"ISO_IR 100", "Ärzte")]
)
def test_right_declarations_are_believed(term: bytes, text: str) -> None:
    value = text.encode(CODECS[term.decode()])
    assert (read(term, value).record["PatientName"], read(term, value).header_notes) == (text, ())


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (b"ISO_IR 192", b"M\xfcller"), (b"ISO_IR 192", "王".encode() + b"\xff"), (b"ISO_IR 127", b"\xff\xfe"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3E"), (b"\\ISO 2022 IR 87", b"a\x1b%Gb"), (None, b"\xc8\xe2\xe0\xed\xee\xe2"),
        (b"GB18030", b"\xff\xff"), (b"ISO_IR 13", b"\x80\xff"),
    ],
)  # fmt: skip
def test_bytes_that_a_set_does_not_have_are_kept(term: bytes | None, value: bytes) -> None:
    """docs/reference/outputs.md: `text.encode("latin-1")` gives the stored bytes."""
    instance = read(term, value, "LO")
    assert instance.record["PatientName"].encode("latin-1") == value
    assert len(instance.header_notes) == 1
    assert "Latin-1" in instance.header_notes[0]


@given(
    st.sampled_from(
        [b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"\\ISO 2022 IR 58", b"GB18030", b"ISO_IR 13"]
    ),
    st.binary(max_size=40),
)
def test_any_bytes_give_text_that_json_holds(term: bytes, value: bytes) -> None:
    text = decode(value, codecs_of(term))
    assert "\ufffd" not in text or "\ufffd".encode() in value or term == b"GB18030"
    text.encode("utf-8")


@pytest.mark.parametrize("term", [term for term in CODECS if "192" not in term and "GB" not in term])
def test_one_set_without_escapes_decodes_as_pydicom(term: str) -> None:
    codecs = standard_codecs(names_of(term.encode()))
    assert codecs is not None
    for value in (b"Smith^John", b"A=B^C", b"a\\b"):
        assert decode(value, codecs, True) == decode_bytes(value, list(codecs), {0x5E, 0x3D})

"""A header that is read for its row is read for its display: the same reader, and the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.factories import quick_dataset, save
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.dicom.dictionary import key_of
from crawler.dicom.values import Values, read_values
from crawler.display.attributes import DisplayAttributes
from crawler.display.display import display_for
from crawler.display.grey_range import padding
from crawler.display.palette import palette_of
from crawler.display.voi import window_voi
from crawler.errors import FileError, PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Instance

INNER = explicit(0x00081155, "UI", b"1.2.9\0")
ODD = {
    "stray delimiter": head(SEQUENCE_END),
    "stray item": head(ITEM, len(INNER)) + INNER,
    "zeros": bytes(16),
    "UN with items": explicit(
        0x00280FFF, "UN", head(ITEM, UNDEFINED) + INNER + head(ITEM_END) + head(SEQUENCE_END), UNDEFINED
    ),
    "no VR": b"\x29\x00\x01\x10??\x04\x00ABCD",
}


def instance(path: Path) -> Instance:
    return read_instance(File(str(path.parent), path.name, path.stat().st_size, 0))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_palette_behind_something_odd(odd: bytes, tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file("examples_palette.dcm")))
    content = whole.read_bytes()
    place = content.index(b"\x28\0\x01\x11US")  # Red Palette Color Lookup Table Descriptor
    if odd.startswith(b"\x29"):
        odd = odd.replace(b"\x29\0", b"\x27\0", 1)
        place = content.index(b"\x28\0\x02\0US")
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(content[:place] + odd + content[place:])
    expected = palette_of(DisplayAttributes(instance(whole)))
    found = palette_of(DisplayAttributes(instance(damaged)))
    assert expected is not None
    assert found is not None
    assert np.array_equal(found.table, expected.table)


def test_only_what_is_wanted_is_read() -> None:
    attributes = DisplayAttributes(instance(Path(str(get_testdata_file("examples_palette.dcm")))))
    assert {tag >> 16 for tag in attributes.values} == {0x0028}


# -- one truth: what the row says is what the display works with


class Everything:
    """Any tag."""

    def __contains__(self, tag: object) -> bool:
        return True


def as_in_the_row(values: Values) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in values:
        value = values.get(tag)
        assert value is not None
        items = [as_in_the_row(item) for item in value.items]
        found[key_of(tag, "", "tag")] = items if value.vr == "SQ" else value.json
    return found


def public_part(record: dict[str, Any]) -> dict[str, Any]:
    """A row without private elements, pixel data, and what stands for long text and for what cannot be read."""
    found = {}
    for key, value in record.items():
        if int(key[4], 16) % 2 or "#" in key or key.startswith(("(0002", "(7FE0")):
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = [public_part(item) for item in value]
        if not (isinstance(value, dict) and ("error" in value or "begins" in value or value["length"] is None)):
            found[key] = value if value is not None else []
    return found


def test_the_display_has_the_values_of_the_row(dicom_files: list[Path]) -> None:
    """Every public element of every file of the packages, read as for the display and as for the row."""
    compared = 0
    for path in dicom_files:
        file = File(str(path.parent), path.name, path.stat().st_size, 0)
        try:
            found = read_instance(file, keys="tag")
            values, _ = read_values(found, Everything(), Everything())
        except (FileError, PixelError):
            continue
        row, again = public_part(found.record), public_part(as_in_the_row(values))
        assert {key: again.get(key) for key in row} == row, path.name
        compared += len(row)
    assert compared > 5000


@pytest.mark.parametrize(("text", "center"), [(b"000500", 500.0), (b" 70,5 ", 70.5), (b"  9e2 ", 900.0)])
def test_a_window_that_is_written_oddly(tmp_path: Path, text: bytes, center: float) -> None:
    """In the item of a frame as in the data set: the row's number is the one that is shown."""
    image = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64).repeat(2, axis=0)
    item = Dataset()
    item.FrameVOILUTSequence = Sequence([Dataset()])
    item.FrameVOILUTSequence[0].WindowCenter, item.FrameVOILUTSequence[0].WindowWidth = 500, 1000
    path = save(quick_dataset(image, SharedFunctionalGroupsSequence=Sequence([item])), tmp_path / "image.dcm")
    content, head = path.read_bytes(), b"\x28\0\x50\x10DS\6\0"
    assert content.count(head + b"500.0 ") == 1
    path.write_bytes(content.replace(head + b"500.0 ", head + text))
    found = instance(path)
    (window,) = found.record["SharedFunctionalGroupsSequence"][0]["FrameVOILUTSequence"]
    assert window["WindowCenter"] == center
    assert display_for(found).vois == (window_voi(center, 1000),)


def test_padding_in_text_is_padding(tmp_path: Path) -> None:
    """Numbers in the VR of text are used where they mean one number only, for the row and for the display."""
    path = save(quick_dataset(np.zeros((4, 4), np.uint16), PixelPaddingValue=0x3037), tmp_path / "image.dcm")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x28\0\x20\1US\2\x0070", b"\x28\0\x20\1SH\2\x0070"))
    found = instance(path)
    assert found.record["PixelPaddingValue"] == 70
    assert found.pixels is not None
    assert padding(DisplayAttributes(found), found.pixels) == (70, 70)


@pytest.mark.parametrize(("keyword", "fails"), [("ModalityLUTSequence", True), ("VOILUTSequence", False)])
def test_a_table_whose_sequence_is_damaged(tmp_path: Path, keyword: str, fails: bool) -> None:
    """No file is shown without the Modality LUT that it has; a VOI LUT is one way of several, and it is told."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [2, 0, 16])
    item.add_new("LUTData", "OW", b"\0\0\1\0")
    image = quick_dataset(np.zeros((4, 4), np.uint16), **{keyword: Sequence([item])})
    path = save(image, tmp_path / "image.dcm")
    content = path.read_bytes()
    place = content.index(b"\xfe\xff\x00\xe0")
    path.write_bytes(content[:place] + b"\xfe\xff\x07\xe0" + content[place + 4 :])
    found = instance(path)
    if fails:
        with pytest.raises(PixelError, match=keyword):
            display_for(found)
    else:
        assert display_for(found).notes == ("VOILUTSequence is not whole: it cannot be read to its end",)

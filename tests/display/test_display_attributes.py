"""A header that is read for its row is read for its display: the same reader finds the lookup tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.display.attributes import DisplayAttributes
from crawler.display.palette import palette_of
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
    assert {element.tag.group for element in attributes.dataset} == {0x0028}

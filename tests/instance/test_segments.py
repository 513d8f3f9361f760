"""Segments as a data set describes them."""

from __future__ import annotations

import pytest

from crawler.dicom.attributes import Attributes
from crawler.instance.segments import segments_of


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        # CIELab (D50) of sRGB primaries, http://www.brucelindbloom.com (CIE Color Calculator, Bradford)
        ((54.2917, 80.8125, 69.8851), (255, 0, 0)),
        ((87.8181, -79.2873, 80.9902), (0, 255, 0)),
        ((29.5676, 68.2986, -112.0294), (0, 0, 255)),
        ((53.5850, 0.0, 0.0), (128, 128, 128)),
        ((1.0, 0.0, 0.0), (4, 4, 4)),
    ],
)
def test_colours_are_srgb(lab: tuple[float, float, float], rgb: tuple[int, int, int]) -> None:
    """As stored in 16 bits by PS3.3 C.10.7.1.1."""
    stored = [lab[0] / 100 * 65535, *((part + 128) / 255 * 65535 for part in lab[1:])]
    item = {"SegmentNumber": 1, "RecommendedDisplayCIELabValue": [round(value) for value in stored]}
    found = segments_of(Attributes({"SegmentSequence": [item]}, "keyword"))[1]
    assert found.colour is not None
    assert max(abs(one - other) for one, other in zip(found.colour, rgb, strict=True)) <= 1


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, 3, 4], [1, 2, None]])
def test_what_is_no_colour_is_none(values: list[int | None]) -> None:
    item = {"SegmentNumber": 1, "RecommendedDisplayCIELabValue": values}
    assert segments_of(Attributes({"SegmentSequence": [item]}, "keyword"))[1].colour is None

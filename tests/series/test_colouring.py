"""Colours, masks over images, channels, outlines of masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mr import mr_series

from crawler import Series
from crawler.series.errors import GeometryMismatch


@pytest.fixture
def volume(tmp_path: Path) -> Series:
    mr_series(tmp_path / "in", times=1, slices=3, size=(12, 10))
    return Series(tmp_path / "in")


def test_grey_values_become_colours_by_the_window(volume: Any) -> None:
    rgb = volume.to_rgb()
    assert rgb.shape == (3, 12, 10, 3)
    assert rgb.color
    assert rgb.affine == pytest.approx(volume.affine)
    assert np.array_equal(rgb["R"], rgb["B"])
    assert rgb[0, 5, 0, 0] == round(255 * 50 / 100)  # value 50, window from 0 to 100
    assert rgb[2].values.min() == 255
    assert len(np.unique(volume.to_rgb(lut=4))) <= 4
    assert (volume.to_rgb(norm="log").values >= rgb.values).all()
    assert volume.to_rgb(clip="hist", probs=(0.25, 0.75)).values[0].max() < 255
    assert not np.array_equal(*[volume.to_rgb("viridis")[channel] for channel in "RB"])
    with pytest.raises(ValueError, match="colours already"):
        rgb.to_rgb()


def test_colours_are_written(volume: Any, tmp_path: Path) -> None:
    rgb = volume.to_rgb()
    rgb.write(tmp_path / "rgb")
    again = Series(tmp_path / "rgb")
    assert np.array_equal(again, rgb)
    assert again.affine == pytest.approx(volume.affine)


def test_masks_over_images(volume: Any) -> None:
    mask = np.zeros_like(volume, dtype=np.uint8)
    mask[1, 4:8, 3:7] = 1
    fused = volume.fuse_mask(mask)
    assert fused.shape == (3, 12, 10, 3)
    assert np.array_equal(fused[0], volume.to_rgb()[0])
    assert fused["R"].values[1, 5, 5] > fused["G"].values[1, 5, 5]
    several = mask.values.copy()
    several[1, 4, 4] = 2
    assert volume.fuse_mask(several, alpha=1.0, maskmap="viridis").values[1, 5, 5, 2] > 0
    elsewhere = np.copy(mask)
    elsewhere.affine = volume.affine + np.eye(1, 16, 3).reshape(4, 4) * 9
    for wrong in (mask.values[:, :3], elsewhere):
        with pytest.raises(GeometryMismatch):
            volume.fuse_mask(wrong)


def test_channels_have_labels(volume: Any) -> None:
    both = volume.to_channels([volume, volume * 2], ["x", "y"])
    assert both.axes.names[-1] == "sample"
    assert np.array_equal(both["y"], volume.values * 2)
    with pytest.raises(IndexError):
        _ = both["R"]


def test_outlines_are_the_masks_again(volume: Any) -> None:
    mask = np.zeros_like(volume, dtype=np.uint8)
    mask[1, 4:8, 3:7] = 1
    outlines = volume.vertices_from_grid(mask)
    assert list(outlines) == [1]
    assert np.array_equal(volume.get_roi_mask(outlines), mask)
    again, polygons = volume.get_roi(mask, vertices=True)
    assert np.array_equal(again, mask)
    assert polygons == outlines
    repeated = np.stack([volume, volume]).get_roi(mask, follow=True)
    assert repeated.shape == (2, *volume.shape)


def test_ranges() -> None:
    values = Series(np.arange(101.0).reshape(1, 101))
    assert values.calculate_clip_range((0.1, 0.9)) == (10, 90)

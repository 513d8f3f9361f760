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
    volume.windowCenter, volume.windowWidth = 1000, 4000  # dark enough to take more red
    mask = np.zeros_like(volume, dtype=np.uint8)
    mask[1, 4:8, 3:7] = 1
    fused = volume.fuse_mask(mask)
    assert fused.shape == (3, 12, 10, 3)
    assert np.array_equal(fused[0], volume.to_rgb()[0])
    assert (fused["R"].values.astype(int) - fused["G"].values)[1, 4:8, 3:7].max() > 20
    several = mask.values.copy()
    several[1, 4, 4] = 2
    assert volume.fuse_mask(several, alpha=0, blend=True, maskmap="viridis").values[1, 4, 4].tolist() == [253, 231, 37]
    dimmed = volume.fuse_mask(np.zeros_like(mask), alpha=0.5, blend=True)
    assert np.abs(dimmed.values - volume.to_rgb().values / 2.0).max() <= 0.5
    elsewhere = np.copy(mask)
    elsewhere.affine = volume.affine + np.eye(1, 16, 3).reshape(4, 4) * 9
    for wrong in (mask.values[:, :3], elsewhere):
        with pytest.raises(GeometryMismatch):
            volume.fuse_mask(wrong)


def test_masks_have_the_colours_of_imagedata() -> None:
    """Measured with imagedata 3.10."""
    black = Series(np.zeros((4, 10, 10)))
    mask = np.zeros((4, 10, 10), np.uint8)
    mask[2, 2:7, 2:7] = 1
    assert black.fuse_mask(mask).values[2, 3, 4].tolist() == [58, 0, 0]
    point = np.zeros((4, 10, 10), np.uint8)
    point[2, 3, 4] = 1
    colours = black.to_rgb()
    for one in (point, np.repeat(point[..., None], 3, axis=-1)):
        assert colours.fuse_mask(one).values[2, 3, 4].tolist() == [5, 0, 0]
    rows, columns = np.meshgrid(np.linspace(-3, 3, 100), np.linspace(-2, 2, 100))
    peak = np.exp(-(rows**2) - columns**2) + 50 * np.exp(-((rows * 10) ** 2) - (columns * 10) ** 2)
    flat = Series(np.zeros((1, 100, 100)))
    shown = flat.fuse_mask(peak).values[0]
    for at, expected in (((7, 7), (0, 0, 1)), ((45, 50), (3, 2, 9)), ((50, 50), (75, 76, 57))):
        assert np.abs(shown[at].astype(int) - expected).max() <= 1  # rounded where imagedata cuts
    assert flat.fuse_mask(peak, maskrange=(20, 44)).values[0, 45, 50].tolist() == [0, 0, 1]


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

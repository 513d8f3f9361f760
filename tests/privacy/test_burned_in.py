"""Writing in pixels: what is found of it, what is masked, in every output, and what is held back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from support.burned import SHAPES, SIZES, covered, ground, picture
from support.factories import quick_dataset, save
from support.runs import export, rows

from crawler.privacy.strokes import find, share

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def clean(source: Path, out: Path, privacy: dict[str, Any] | None = None, **sections: Any) -> dict[str, dict[str, Any]]:
    usual: dict[str, Any] = {"metadata": {}, "image": {"bits": 8, "window": "full"}, "volume": {"formats": ["hdf5"]}}
    export(source, out, **usual, **sections, privacy={"private": str(out.parent / "private"), **(privacy or {})})
    return rows(out)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("level", [255, 60])
def test_strings_of_every_size_are_found(kind: str, level: int) -> None:
    found: list[bool] = []
    for size in SIZES:
        one = picture(kind, size, size, level)
        boxes = find(one.values)
        found += [covered(boxes, string) >= 0.6 for string in one.strings]
    assert len(found) == 4 * len(SIZES)
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("kind", SHAPES)
def test_clean_pictures_stay_nearly_whole(kind: str) -> None:
    assert max(share(find(ground(kind, seed)), *SHAPES[kind]) for seed in range(3)) < 0.03


def test_writing_of_a_secondary_capture_is_black_in_every_output(tmp_path: Path) -> None:
    one = picture("CT", 3, 14)
    save(
        quick_dataset(one.values.astype(np.uint8), SOPClassUID=SECONDARY_CAPTURE, Modality="OT"),
        tmp_path / "in" / "a.dcm",
    )
    (row,) = clean(tmp_path / "in", tmp_path / "out", preview={}).values()
    assert row["outcome"] == "exported"
    assert any("rectangles are masked" in note for note in row["header_notes"])
    shown = np.asarray(Image.open(tmp_path / "out" / "media" / row["media_file"]))
    with h5py.File(tmp_path / "out" / "volumes" / row["volume_file"]) as file:
        stored = file["image"][()].reshape(one.values.shape)
    for top, bottom, left, right in one.strings:
        assert np.unique(shown[top:bottom, left:right]).size == 1
        assert np.unique(stored[top:bottom, left:right]).size == 1
    same = stored == one.values
    assert same.mean() > 0.8  # what is no writing is as it was


def test_ultrasound_is_masked_outside_of_its_regions_in_all_frames(tmp_path: Path) -> None:
    values = np.stack([picture("US", number, 14).values for number in range(3)]).astype(np.uint8)
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 100, 90
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 539, 399
    made = quick_dataset(values, Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1", NumberOfFrames=3)
    made.SequenceOfUltrasoundRegions = [region]
    save(made, tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out", video={"extension": "frames"}).values()
    with h5py.File(tmp_path / "out" / "volumes" / row["volume_file"]) as file:
        stored = file["image"][()].reshape(values.shape)
    assert np.array_equal(stored[:, 90:400, 100:540], values[:, 90:400, 100:540])
    stored[:, 90:400, 100:540] = 0
    assert not stored.any()
    for path in (tmp_path / "out" / "media").rglob("*.png"):
        shown = np.asarray(Image.open(path))
        assert np.unique(shown[:80]).size == 1


@pytest.mark.parametrize(
    ("changes", "privacy", "why"),
    [
        ({"BurnedInAnnotation": "YES"}, {"pixels": {"action": "hold"}}, "may have writing"),
        ({"Modality": "US"}, {"pixels": {"detect": "none"}}, "may have writing"),
        ({"SOPClassUID": SECONDARY_CAPTURE}, {}, "too small"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, {}, "document"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.9.1.1"}, {}, "waveform"),
        ({"Modality": "MR", "BodyPartExamined": "HEAD", "SliceThickness": 1}, {"faces": "hold"}, "face"),
    ],
)
def test_what_may_name_somebody_is_held_back(
    tmp_path: Path, changes: dict[str, Any], privacy: dict[str, Any], why: str
) -> None:
    save(quick_dataset(np.zeros((40, 40), np.uint8) + 9, **changes), tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out", preview={}, privacy=privacy).values()
    assert (row["outcome"], row["reason"]) == ("skipped", "held by privacy")
    assert why in row["stage"]
    assert not row["media_files"]
    assert not row["volume_files"]
    assert not [
        path for path in (tmp_path / "out").rglob("*") if path.suffix in (".png", ".h5") and path.stem[0] == "s"
    ]


def test_a_plain_ct_is_neither_searched_nor_masked(tmp_path: Path) -> None:
    values = picture("CT", 1, 14).values.astype(np.int16)
    save(quick_dataset(values, Modality="CT"), tmp_path / "in" / "a.dcm")
    (row,) = clean(tmp_path / "in", tmp_path / "out").values()
    assert row["outcome"] == "exported"
    assert "header_notes" not in row


def test_a_cine_without_regions_is_masked_where_writing_stands_still(tmp_path: Path) -> None:
    one = picture("US", 1, 18)
    frames = np.stack([np.maximum(ground("US", number), np.where(one.values == 255, 255, 0)) for number in range(4)])
    path = tmp_path / "in" / "a.dcm"
    save(
        quick_dataset(
            frames.astype(np.uint8), Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1", NumberOfFrames=4
        ),
        path,
    )
    (row,) = clean(tmp_path / "in", tmp_path / "out").values()
    with h5py.File(tmp_path / "out" / "volumes" / row["volume_file"]) as file:
        stored = file["image"][()].reshape(frames.shape)
    for top, bottom, left, right in one.strings:
        assert not stored[:, top:bottom, left:right].any()

"""Cines, stacks and crops through the engine: formats, rates, names, accounts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from support.cines import SIZE, cine
from support.factories import ct_series, quick_dataset, save
from support.runs import accounts_hold, content, export, failures, rows
from support.videos import facts, pictures


def regions(*boxes):
    """Items of *Sequence of Ultrasound Regions*: first and last column, first and last row."""
    items = []
    for left, right, top, bottom in boxes:
        item = Dataset()
        item.RegionLocationMinX0, item.RegionLocationMaxX1 = left, right
        item.RegionLocationMinY0, item.RegionLocationMaxY1 = top, bottom
        items.append(item)
    return items


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    ("keywords", "rate"),
    [
        ({"RecommendedDisplayFrameRate": 10, "CineRate": 20}, 10),
        ({"CineRate": 20}, 20),
        ({"FrameTime": 125}, 8),
        ({"FrameTimeVector": [0, *[80] * 8]}, 12.5),
        ({}, 30),
    ],
)
def test_an_mp4_is_what_browsers_play(tmp_path, keywords, rate, colour):
    cine(tmp_path / "in" / "a.dcm", colour=colour, size=(47, 63), **keywords)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    found = facts(tmp_path / "out" / "media" / "a.mp4")
    assert (found["codec"], found["pix_fmt"], found["frames"], found["size"]) == ("h264", "yuv420p", 9, (64, 48))
    assert found["seconds"] == pytest.approx(9 / rate, abs=0.001)
    assert found["order"].index("moov") < found["order"].index("mdat")


@pytest.mark.parametrize("colour", [False, True])
def test_every_format_at_once(tmp_path, colour):
    values = cine(tmp_path / "in" / "us" / "a.dcm", colour=colour, CineRate=20)
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, video={"extension": [".gif", "frames", ".mp4"]})
    accounts_hold(summary, 1)
    media = tmp_path / "out" / "media"
    numbered = [f"us/a.frames/{number:04}.png" for number in range(1, 10)]
    row = rows(tmp_path / "out")["us/a.dcm"]
    assert row["media_files"] == ["us/a.gif", *numbered, "us/a.mp4"]
    assert (row["media_file"], row["media_type"], row["outcome"]) == ("us/a.gif", "video", "exported")
    shades = values if colour else np.repeat(values[..., np.newaxis], 3, axis=-1)
    for number, name in enumerate(numbered):
        with Image.open(media / name) as picture:
            held = np.asarray(picture) if colour else np.asarray(picture) // 257
        np.testing.assert_array_equal(held, values[number])
    gif = pictures(media / "us" / "a.gif", *SIZE)
    assert np.abs(gif.astype(int) - shades).mean() <= (3 if colour else 0)
    with Image.open(media / "us" / "a.gif") as picture:
        assert picture.n_frames == 9
        assert (picture.info["duration"], picture.info["loop"]) == (50, 0)


@pytest.mark.parametrize(("stored", "mode"), [(8, "L"), (12, "I;16")])
def test_stills_have_the_bits_that_their_pixels_need(tmp_path, stored, mode):
    dtype = np.uint8 if stored == 8 else np.uint16
    save(
        quick_dataset(np.arange(12, dtype=dtype).reshape(3, 4), BitsStored=stored, HighBit=stored - 1),
        tmp_path / "in" / "a.dcm",
    )
    export(tmp_path / "in", tmp_path / "out", image={"bits": "auto"})
    with Image.open(tmp_path / "out" / "media" / "a.png") as picture:
        assert picture.mode == mode


def test_a_gif_is_never_faster_than_browsers_show(tmp_path):
    cine(tmp_path / "in" / "a.dcm", CineRate=200)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"extension": ".gif"})
    with Image.open(tmp_path / "out" / "media" / "a.gif") as picture:
        assert (picture.n_frames, picture.info["duration"]) == (9, 20)


def test_equal_runs_give_equal_bytes(tmp_path):
    cine(tmp_path / "in" / "grey.dcm")
    cine(tmp_path / "in" / "colour.dcm", colour=True)
    ct_series(tmp_path / "in" / "ct", 4)
    sections = {"metadata": {}, "image": {}, "video": {"extension": [".mp4", ".gif", "frames"], "series": True}}
    export(tmp_path / "in", tmp_path / "one", **sections)
    export(tmp_path / "in", tmp_path / "two", workers=2, **sections)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_foreign_frames_stay_and_ours_are_replaced(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b"):
        cine(source / f"{name}.dcm")
    (out / "media" / "a.frames").mkdir(parents=True)
    (out / "media" / "a.frames" / "0003.png").write_text("mine")
    options = {"metadata": {}, "video": {"extension": "frames"}}
    export(source, out, **options)
    made = rows(out)
    assert (made["a.dcm"]["outcome"], made["a.dcm"]["reason"]) == ("skipped", "exists")
    assert (out / "media" / "a.frames" / "0003.png").read_text() == "mine"
    cine(source / "b.dcm", 4)
    export(source, out, **options)
    assert len(rows(out)["b.dcm"]["media_files"]) == 4
    assert len(list((out / "media" / "b.frames").iterdir())) == 4
    (source / "b.dcm").unlink()
    export(source, out, **options)
    assert not (out / "media" / "b.frames").exists()


# -- stacks -------------------------------------------------------------------------------------------------------


def test_a_stack_is_a_video_in_array_order(tmp_path):
    ct_series(tmp_path / "in" / "ct", 6, shuffle=True, size=(48, 64))
    out = tmp_path / "out"
    summary = export(
        tmp_path / "in", out, metadata={}, image={"window": [1500, 3000]}, video={"series": True}, volume={}
    )
    accounts_hold(summary, 6)
    made = rows(out)
    (stack,) = {row["media_files"][-1] for row in made.values()}
    assert all(row["media_type"] == "image" and len(row["media_files"]) == 2 for row in made.values())
    assert stack == made["ct/" + sorted(made)[0].split("/")[1]]["volume_file"].replace(".h5", ".mp4")
    found = facts(out / "media" / stack)
    assert (found["codec"], found["frames"], found["size"]) == ("h264", 6, (64, 48))
    assert found["seconds"] == pytest.approx(0.6, abs=0.001)


def test_a_stack_has_one_window_where_slices_differ(tmp_path):
    for number in range(4):
        values = np.full((48, 64), 1000 + 500 * number, np.uint16)
        place = {"ImagePositionPatient": [0, 0, number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        level = {"WindowCenter": 1000 + 500 * number, "WindowWidth": 100}
        save(
            quick_dataset(values, InstanceNumber=number, PixelSpacing=[1, 1], **place, **level),
            tmp_path / "in" / f"{number}.dcm",
        )
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"series": True, "extension": ".gif"})
    (stack,) = (tmp_path / "out" / "media").glob("*.gif")
    shades = [int(frame.mean()) for frame in pictures(stack, 48, 64)]
    assert shades == sorted(set(shades)), "each slice is brighter than the one before"
    assert rows(tmp_path / "out")["2.dcm"]["media_type"] == "video"


def test_a_damaged_slice_costs_a_stack_that_slice(tmp_path):
    paths = ct_series(tmp_path / "in", 6, size=(48, 64))
    paths[2].write_bytes(paths[2].read_bytes()[:-3000])
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, video={"series": True})
    accounts_hold(summary, 6)
    assert list(failures(tmp_path / "out")) == [paths[2].name]
    videos = sorted((tmp_path / "out" / "media").glob("*.mp4"))
    assert sum(facts(video)["frames"] for video in videos) == 5
    assert all(rows(tmp_path / "out")[path.name]["media_files"] for path in paths if path != paths[2])


def test_a_single_slice_and_a_cine_are_no_stack(tmp_path):
    ct_series(tmp_path / "in" / "one", 1)
    cine(tmp_path / "in" / "cine" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"series": True})
    assert [path.name for path in (tmp_path / "out" / "media").rglob("*.mp4")] == ["a.mp4"]


# -- crops --------------------------------------------------------------------------------------------------------


def test_ultrasound_is_cut_to_all_of_its_regions(tmp_path):
    boxes = regions((10, 29, 8, 20), (20, 63, 15, 40))
    values = cine(tmp_path / "in" / "cine.dcm", SequenceOfUltrasoundRegions=boxes)
    save(quick_dataset(values[0], Modality="US", SequenceOfUltrasoundRegions=boxes), tmp_path / "in" / "still.dcm")
    cine(tmp_path / "in" / "free.dcm")
    sections = {"image": {"crop": "us_region", "bits": 8}, "video": {"extension": ["frames", ".mp4"]}, "volume": {}}
    export(tmp_path / "in", tmp_path / "out", metadata={}, **sections)
    media = tmp_path / "out" / "media"
    for name, expected in (("still.png", values[0]), ("cine.frames/0004.png", values[3])):
        with Image.open(media / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), expected[8:41, 10:64])
    assert facts(media / "cine.mp4")["size"] == (54, 34)
    assert facts(media / "free.mp4")["size"] == (64, 48)


def test_regions_outside_of_the_image_fail_the_file(tmp_path):
    cine(tmp_path / "in" / "a.dcm", SequenceOfUltrasoundRegions=regions((100, 200, 8, 20)))
    export(tmp_path / "in", tmp_path / "out", metadata={}, image={"crop": "us_region"}, video={})
    assert failures(tmp_path / "out")["a.dcm"]["reason"] == "unusable ultrasound regions"
    assert not list((tmp_path / "out" / "media").rglob("*.mp4"))


# -- real files ---------------------------------------------------------------------------------------------------


def test_an_mp4_is_a_seventh_of_the_gif(tmp_path, shared_data):
    shutil.copytree(shared_data / "in" / "ultrasound_cine", tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"extension": [".mp4", ".gif"]})
    media = tmp_path / "out" / "media"
    for name in ("I_000009", "I_000024"):
        assert (media / f"{name}.mp4").stat().st_size < 0.15 * (media / f"{name}.gif").stat().st_size
        assert facts(media / f"{name}.mp4")["frames"] == 10

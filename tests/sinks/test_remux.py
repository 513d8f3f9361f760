"""Videos that are encoded already: rewrapped with their sound, and decoded only where pictures are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, uid
from support.factories import save
from support.runs import accounts_hold, export, failures, rows
from support.videos import H264, clip, facts, pictures, wrap

from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.pixels.video import SYNTAXES, copy_stream, is_video
from crawler.sources.directory import roots_of, walk

# Name of the clip, its encoder, transfer syntax, fragments, codec that the MP4 has.
CASES = {
    "mpeg2 stream": ("a.m2v", ("-c:v", "mpeg2video", "-bf", "2"), uid.MPEG2MPML, 1, "mpeg2video"),
    "mpeg2 program stream": ("a.mpg", ("-c:v", "mpeg2video", "-f", "vob"), uid.MPEG2MPHL, 1, "mpeg2video"),
    "h264 stream": ("a.h264", H264, uid.MPEG4HP41, 1, "h264"),
    "h264 transport stream": ("a.ts", H264, uid.MPEG4HP41BD, 1, "h264"),
    "h264 mp4, index last": ("a.mp4", H264, uid.MPEG4HP422D, 1, "h264"),
    "h264 in fragments": ("a.ts", H264, uid.MPEG4HP41F, 5, "h264"),
    "h264 stereo": ("a.h264", H264, uid.MPEG4HP42STEREO, 1, "h264"),
    "hevc stream": ("a.hevc", ("-c:v", "libx265", "-x265-params", "log-level=error"), uid.HEVCMP51, 1, "hevc"),
}


def instance_of(path: Path):
    (root,) = roots_of([str(path)])
    (file,) = (file for folder in walk(root, True) for file in folder.files())
    return read_instance(file)


@pytest.mark.parametrize("case", CASES)
def test_rewrapped_as_it_is(tmp_path, case):
    name, codec, syntax, pieces, expected = CASES[case]
    stream = clip(tmp_path / name, *codec)
    wrap(stream, tmp_path / "in" / "v.dcm", syntax, pieces=pieces)
    out = tmp_path / "out"
    summary = export(tmp_path / "in", out)
    accounts_hold(summary, 1)
    row = rows(out)["v.dcm"]
    assert (row["outcome"], row["media_type"], row["media_files"]) == ("exported", "video", ["v.mp4"])
    assert row["volume_files"] == []
    found = facts(out / "media" / "v.mp4")
    assert (found["codec"], found["frames"], found["size"]) == (expected, 12, (64, 48))
    assert found["seconds"] == pytest.approx(12 / 25, abs=0.03)
    assert found["order"].index("moov") < found["order"].index("mdat")
    # Not encoded again: every picture is the one that the stream holds.
    assert np.array_equal(pictures(out / "media" / "v.mp4", 48, 64), pictures(stream, 48, 64))


@pytest.mark.parametrize(
    ("name", "sound", "expected"),
    # An MP4 does not tell layer 2 of MPEG audio from layer 3.
    [("a.ts", "aac", "aac"), ("a.ts", "mp2", "mp3"), ("a.ts", "ac3", "ac3"), ("a.m2ts", "pcm_bluray", "aac")],
)
def test_sound_is_kept(tmp_path, name, sound, expected):
    wrap(clip(tmp_path / name, *H264, sound=sound), tmp_path / "in" / "v.dcm", uid.MPEG4HP41BD)
    export(tmp_path / "in", tmp_path / "out")
    found = facts(tmp_path / "out" / "media" / "v.mp4")
    assert found["frames"] == 12
    assert found["audio"] == expected


def test_a_second_run_gives_equal_bytes_without_names(tmp_path):
    source = clip(tmp_path / "a.mp4", *H264, "-metadata", "title=Doe^Jane", sound="aac")
    assert b"Doe^Jane" in source.read_bytes()
    wrap(source, tmp_path / "in" / "v.dcm", uid.MPEG4HP41)
    made = []
    for name in ("one", "two"):
        export(tmp_path / "in", tmp_path / name)
        made.append((tmp_path / name / "media" / "v.mp4").read_bytes())
    assert made[0] == made[1]
    assert b"Doe^Jane" not in made[0]


def test_pictures_are_decoded_when_asked_for(tmp_path):
    stream = clip(tmp_path / "a.h264", *H264)
    wrap(stream, tmp_path / "in" / "v.dcm", uid.MPEG4HP41)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"extension": [".mp4", ".gif", "frames"]})
    media = tmp_path / "out" / "media"
    names = rows(tmp_path / "out")["v.dcm"]["media_files"]
    assert names == ["v.mp4", "v.gif", *(f"v.frames/{number:04}.png" for number in range(1, 13))]
    expected = pictures(stream, 48, 64)
    for number, name in enumerate(names[2:]):
        with Image.open(media / name) as picture:
            assert np.array_equal(np.asarray(picture), expected[number])
    assert len(pictures(media / "v.gif", 48, 64)) == 12


def test_a_crop_decodes_and_encodes(tmp_path):
    region = {"RegionLocationMinX0": 10, "RegionLocationMinY0": 8, "RegionLocationMaxX1": 40, "RegionLocationMaxY1": 40}
    path = wrap(clip(tmp_path / "a.h264", *H264), tmp_path / "in" / "v.dcm", uid.MPEG4HP41)
    dataset = dcmread(path)
    item = Dataset()
    for keyword, value in region.items():
        setattr(item, keyword, value)
    dataset.SequenceOfUltrasoundRegions = [item]
    save(dataset, path)
    export(tmp_path / "in", tmp_path / "out", metadata={}, image={"crop": "us_region"}, video={})
    found = facts(tmp_path / "out" / "media" / "v.mp4")
    assert (found["codec"], found["size"], found["frames"]) == ("h264", (32, 34), 12)


@pytest.mark.parametrize("formats", [".mp4", ".gif"])
def test_damage_fails_the_file_by_name(tmp_path, formats):
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)) * 8)
    stream = clip(tmp_path / "a.h264", *H264)
    wrap(tmp_path / "junk.bin", tmp_path / "in" / "junk.dcm", uid.MPEG4HP41)
    whole = wrap(stream, tmp_path / "in" / "whole.dcm", uid.MPEG4HP41).read_bytes()
    (tmp_path / "in" / "cut.dcm").write_bytes(whole[:-200])
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, video={"extension": formats}, volume={})
    accounts_hold(summary, 3)
    failed = failures(tmp_path / "out")
    assert failed["cut.dcm"]["reason"] == "truncated pixel data"
    assert failed["junk.dcm"]["reason"] == ("video not encoded" if formats == ".mp4" else "damaged pixel data")
    assert [path.name for path in (tmp_path / "out" / "media").rglob("*.*")] == [f"whole{formats}"]


def test_an_empty_stream_is_refused(tmp_path):
    path = wrap(clip(tmp_path / "a.h264", *H264), tmp_path / "v.dcm", uid.MPEG4HP41)
    instance = instance_of(path)
    assert is_video(instance)
    copy_stream(instance, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes().rstrip(b"\0") == (tmp_path / "a.h264").read_bytes().rstrip(b"\0")
    empty = dcmread(path)
    empty.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0"  # an offset table, and no fragment
    hollow = instance_of(save(empty, tmp_path / "empty.dcm"))
    with pytest.raises(PixelError, match="holds no byte"):
        copy_stream(hollow, str(tmp_path / "none"))


def test_every_video_syntax_of_pydicom_is_known():
    named = {syntax for syntax, (name, *_) in uid.UID_dictionary.items() if "MPEG" in name or "HEVC" in name}
    assert {syntax for syntax in named if uid.UID(syntax).type == "Transfer Syntax"} == SYNTAXES

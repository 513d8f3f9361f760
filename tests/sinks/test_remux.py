"""Videos that are encoded already: rewrapped with their sound, and decoded only where pictures are asked for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, uid
from support.factories import save
from support.field_video import Coded
from support.field_video import stream as field_stream
from support.runs import accounts_hold, export, failures, rows
from support.videos import FFMPEG, H264, clip, facts, pictures, wrap

from crawler.errors import PixelError, SinkError
from crawler.instance.header import read_instance
from crawler.pixels.picture_order import UnknownOrderError
from crawler.pixels.video import SYNTAXES, copy_stream, is_video
from crawler.sinks import remux
from crawler.sinks.ffmpeg import packet_times
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


ORDERED = {
    "h264": ("a.h264", H264, uid.MPEG4HP41),
    "h264, short groups": ("a.h264", (*H264, "-g", "7"), uid.MPEG4HP41),
    "h264, pyramid": ("a.h264", ("-c:v", "libx264", "-bf", "8", "-x264-params", "b-pyramid=normal"), uid.MPEG4HP41),
    "hevc": ("a.hevc", ("-c:v", "libx265", "-x265-params", "log-level=error"), uid.HEVCMP51),
    "hevc, short groups": ("a.hevc", ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=8"), uid.HEVCMP51),
    "mpeg2": ("a.m2v", ("-c:v", "mpeg2video", "-bf", "2"), uid.MPEG2MPML),
}


@pytest.mark.parametrize("kind", ORDERED)
@pytest.mark.parametrize(("frames", "rate"), [(1, 25), (10, 25), (37, 25), (11, 30000 / 1001), (10, 15.5)])
def test_every_picture_of_a_bare_stream_has_its_time(tmp_path, kind, frames, rate):
    name, codec, syntax = ORDERED[kind]
    stream = clip(tmp_path / name, *codec, frames=frames)
    wrap(stream, tmp_path / "in" / "v.dcm", syntax, frames, FrameTime=1000 / rate)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    media = tmp_path / "out" / "media" / "v.mp4"
    command = [FFMPEG, "-hide_banner", "-i", media, "-vf", "showinfo", "-fps_mode", "passthrough", "-f", "null", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    times = [float(time) for time in re.findall(r"pts_time:([-0-9.]+)", text)]
    told = 25 if kind == "mpeg2" else rate  # its sequence header tells the rate (ISO/IEC 13818-2 6.3.3)
    np.testing.assert_allclose(times, np.arange(frames) / told, atol=2e-3)  # MPEG-2 and MP4 count in 1/1000 s or finer
    assert np.array_equal(pictures(media, 48, 64), pictures(stream, 48, 64))


@pytest.mark.parametrize("delimited", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_two_fields_are_shown_as_one_picture(tmp_path, delimited, order):
    """Each field counted as a picture would make the video last twice as long."""
    coded = [Coded(place, 40 * place + 20, 40 * place + 30, reference=place in (0, 3)) for place in order]
    source = tmp_path / "a.h264"
    source.write_bytes(field_stream(coded, delimited))
    wrap(source, tmp_path / "in" / "v.dcm", uid.MPEG4HP41, 4, FrameTime=40, Rows=32, Columns=32)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    media = tmp_path / "out" / "media" / "v.mp4"
    command = [FFMPEG, "-hide_banner", "-i", media, "-vf", "showinfo", "-fps_mode", "passthrough", "-f", "null", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    times = [float(time) for time in re.findall(r"pts_time:([-0-9.]+)", text)]
    np.testing.assert_allclose(times, [0.0, 0.04, 0.08, 0.12], atol=2e-3)
    shown = pictures(media, 32, 32)[..., 0].astype(int)
    assert (np.diff(shown[:, 0, 0]) > 0).all(), "in the order of their places"
    assert (shown[:, 1, 0] > shown[:, 0, 0]).all(), "the rows of both fields"


def test_a_field_without_its_other_one_has_no_time(tmp_path):
    source = tmp_path / "a.h264"
    coded = [Coded(place, 40 * place + 20, 40 * place + 30) for place in range(4)]
    data = field_stream(coded, delimited=False)
    source.write_bytes(data[: data.rindex(b"\0\0\0\1")])
    wrap(source, tmp_path / "in" / "v.dcm", uid.MPEG4HP41, 4, FrameTime=40, Rows=32, Columns=32)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    row = rows(tmp_path / "out")["v.dcm"]
    assert (row["outcome"], row["media_files"]) == ("failed", [])
    assert failures(tmp_path / "out")["v.dcm"]["detail"] == "the stream does not tell when its pictures are shown"


@pytest.mark.parametrize(("codec", "outcome"), [(("-c:v", "libx264", "-bf", "0"), "exported"), (H264, "failed")])
def test_a_stream_that_does_not_tell_its_order_is_not_guessed_at(tmp_path, monkeypatch, codec, outcome):
    def unknown(stream, codec):
        raise UnknownOrderError("fields")

    monkeypatch.setattr(remux, "pictures", unknown)
    wrap(clip(tmp_path / "a.h264", *codec, frames=10), tmp_path / "in" / "v.dcm", uid.MPEG4HP41, 10)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    row = rows(tmp_path / "out")["v.dcm"]
    assert row["outcome"] == outcome
    assert row["media_files"] == (["v.mp4"] if outcome == "exported" else [])
    if outcome == "failed":
        detail = failures(tmp_path / "out")["v.dcm"]["detail"]
        assert detail == "the stream does not tell when its pictures are shown"
    assert not list((tmp_path / "out" / "media").rglob("*.mpg"))


def test_times_of_a_file_that_is_no_video_are_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(SinkError) as caught:
        packet_times(FFMPEG, str(tmp_path / "a.mp4"))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("times", [[], [5], [0, 4, 2, 6], [1, 3.15, 5]])
def test_even_times(times):
    remux.require_even(times)


@pytest.mark.parametrize("times", [[0, 4, 4, 6], [0, 1, 2, 4], [0, 2, 4.5, 6]])
def test_uneven_times(times):
    with pytest.raises(SinkError, match="does not tell"):
        remux.require_even(times)

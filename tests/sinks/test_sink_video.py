"""Sizes, rates, encoders and failures of videos. Read back with ffmpeg alone."""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from crawler.errors import OutputError, SinkError, StopError
from crawler.model import File, Frame, Instance
from crawler.sinks import video
from crawler.sinks.base import FileSubject, Target
from crawler.sinks.gif import GifSink

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


class Plain:
    """A display that shows values as they are."""

    def render(self, frame, bits=8):
        return frame.values


@pytest.fixture
def target(tmp_path):
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out"), str(tmp_path / "temp"))


def ramp(rows, columns, count=4, colour=False):
    """Smooth frames that move."""
    row, column = np.mgrid[:rows, :columns]
    frames = np.stack([(row * 3 + column * 2 + number * 9) % 200 for number in range(count)]).astype(np.uint8)
    return np.stack([frames, frames // 2, 220 - frames], axis=-1) if colour else frames


def sink_for(target, rate=None, **options):
    sink = video.VideoSink(video.VideoOptions(**options))
    instance = Instance(File("/in", "a.dcm", 1, 1), {}, frame_rate=rate)
    sink.open(target, FileSubject(instance, Plain()))
    return sink


def write(target, frames, rate=None, **options):
    sink = sink_for(target, rate, **options)
    try:
        for number, values in enumerate(frames):
            sink.put((number,), Frame(number, values, ""))
        (product,) = sink.close()
    finally:
        sink.abort()
        assert os.listdir(target.temp) == []
    return product.path


def read(path, rows, columns, colour=False):
    command = [FFMPEG, "-v", "error", "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24" if colour else "gray", "-"]
    data = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    return data.reshape(-1, rows, columns, 3) if colour else data.reshape(-1, rows, columns)


def describe(path):
    return subprocess.run([FFMPEG, "-hide_banner", "-i", path], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 200), (47, 65), (48, 64), (255, 255)])
@pytest.mark.parametrize("colour", [False, True])
def test_all_sizes(target, size, colour):
    rows, columns = size
    frames = ramp(rows, columns, colour=colour)
    back = read(write(target, frames), rows + rows % 2, columns + columns % 2, colour)
    assert len(back) == len(frames)
    # Colour is halved in both directions by 4:2:0, grey is not.
    assert np.abs(back[:, :rows, :columns].astype(int) - frames).mean() < (8 if colour else 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 1), (5, 3), (47, 65), (481, 639)])
def test_a_gif_of_few_colours_keeps_them(target, size):
    colours = np.random.default_rng(0).integers(0, 256, (30, 3), np.uint8)
    frames = colours[np.random.default_rng(1).integers(0, 30, (3, *size))]
    sink = GifSink()
    sink.open(target, FileSubject(Instance(File("/in", "a.dcm", 1, 1), {}), Plain()))
    for number, values in enumerate(frames):
        sink.put((number,), Frame(number, values, "RGB"))
    (product,) = sink.close()
    back = read(product.path, *size, colour=True)
    np.testing.assert_allclose(back.astype(int), frames, atol=1)  # palettegen rounds in another colour space


def test_the_edge_goes_on_in_the_padding(target):
    frames = np.full((2, 15, 15), 180, np.uint8)
    assert np.abs(read(write(target, frames), 16, 16).astype(int) - 180).max() <= 2


@pytest.mark.parametrize("shade", [(255, 0, 0), (0, 160, 0), (30, 60, 200), (255, 255, 255), (0, 0, 0)])
def test_colours_are_true(target, shade):
    frames = np.broadcast_to(np.array(shade, np.uint8), (2, 32, 32, 3))
    path = write(target, frames)
    assert np.abs(read(path, 32, 32, colour=True)[:, 8:24, 8:24].astype(int) - shade).max() <= 6
    assert "bt709" in describe(path)


@pytest.mark.parametrize(
    ("fps", "rate", "expected"),
    [
        ("auto", None, 30),
        ("auto", 12.5, 12.5),
        ("auto", 0.0, 30),
        ("auto", float("nan"), 30),
        ("auto", 1000 / 33.333, 30),
        ("auto", 29.97, 29.97),
        (7, 12.5, 7),
        (0.5, None, 0.5),
    ],
)
def test_frame_rate(target, fps, rate, expected):
    path = write(target, ramp(16, 16, 6), rate, fps=fps)
    found = re.search(r"([\d.]+) fps", describe(path))
    assert found
    assert float(found[1]) == pytest.approx(expected, abs=0.01)
    assert len(read(path, 16, 16)) == 6


@pytest.mark.parametrize("rate", [0.001, 1e4, 1e5, 1e-9, 1e12])
def test_extreme_rates_lose_no_frame(target, rate):
    assert len(read(write(target, ramp(16, 16, 5), rate), 16, 16)) == 5


@pytest.mark.parametrize(
    ("encoding_format", "name"), [("h264", "h264"), ("libx264", "h264"), ("hevc", "hevc"), ("mpeg4", "mpeg4")]
)
def test_formats(target, encoding_format, name):
    options = {} if encoding_format == "mpeg4" else {"crf": 17}
    path = write(target, ramp(48, 64), encoding_format=encoding_format, options=options)
    assert f"Video: {name}" in describe(path)
    assert len(read(path, 48, 64)) == 4


def test_options_reach_the_encoder(target):
    noise = np.random.default_rng(0).integers(0, 255, (10, 64, 64), dtype=np.uint8)

    def size(**options):
        return os.path.getsize(write(target, noise, **options))

    fine = size(options={"crf": "17"})
    assert size(options={"crf": 40}) < fine / 2
    assert size(options={"-crf": 17}) == fine
    assert size(bit_rate=100_000) < fine / 2
    assert "yuv444p" in describe(write(target, noise, pix_fmt="yuv444p"))
    assert "Baseline" in describe(write(target, noise, profile="baseline"))


def test_a_preset_of_the_user_goes_before_ours():
    def preset(**options):
        arguments = video.VideoOptions(**options).arguments()
        return [value for name, value in pairwise(arguments) if name in ("-preset", "-partitions")]

    assert preset() == preset(options={}) == ["veryfast", "i4x4,i8x8"]
    assert preset(options={"partitions": "all"}) == ["veryfast", "all"]
    assert preset(options={"preset": "slow"}) == preset(options={"-preset": "slow"}) == ["slow"]
    assert preset(encoding_format="hevc") == []


def test_a_short_gop_has_more_key_frames(target):
    still = np.full((12, 32, 32), 90, np.uint8)  # nothing in it makes the encoder set a key frame by itself

    def keys(gop):
        command = [FFMPEG, "-v", "error", "-skip_frame", "nokey", "-i", write(target, still, gop_size=gop)]
        command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
        return len(subprocess.run(command, capture_output=True, check=True).stdout) // still[0].nbytes

    assert (keys(3), keys(12)) == (4, 1)


@pytest.mark.parametrize("encoding_format", ["h264", "hevc"])
def test_no_version_in_the_bytes(target, encoding_format):
    data = Path(write(target, ramp(48, 64), encoding_format=encoding_format)).read_bytes()
    assert re.search(rb"x264 - core|x265 \(build|Lav[fc]\d", data) is None
    assert data.index(b"moov") < data.index(b"mdat")  # a browser starts before it has the whole file


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"encoding_format": "nope"}, "Unknown encoder 'nope'"),
        ({"options": {"crf": "abc"}}, "Error setting option crf to value abc"),
        ({"options": {"nosuch": 1}}, "Unrecognized option 'nosuch'"),
        ({"pix_fmt": "nope"}, "Unknown pixel format requested: nope"),
        ({"profile": "nope"}, "Error setting profile nope"),
        ({"extension": ".nope"}, "Unable to choose an output format"),
    ],
)
def test_the_last_meaningful_line_is_given(target, options, line):
    with pytest.raises(SinkError, match="video not encoded") as caught:
        write(target, ramp(480, 640, 30), **options)
    assert caught.value.detail.startswith(line)
    assert target.temp not in str(caught.value)


def test_an_encoder_that_is_killed_is_reported(target):
    sink = sink_for(target)
    frames = ramp(480, 640, 3, colour=True)
    sink.put((0,), Frame(0, frames[0], "RGB"))
    process = sink._encoder._process
    process.kill()
    with pytest.raises(SinkError, match="ended by signal 9"):  # noqa: PT012 - the pipe may take a few more frames
        for number in range(1, 50):
            sink.put((number,), Frame(number, frames[1], "RGB"))
        sink.close()
    sink.abort()
    assert process.returncode == -9
    assert os.listdir(target.temp) == []


def test_abort_leaves_no_process(target):
    sink = sink_for(target)
    sink.put((0,), Frame(0, ramp(64, 64)[0], ""))
    process = sink._encoder._process
    assert process.poll() is None
    sink.abort()
    assert process.returncode is not None
    assert all(pipe.closed for pipe in (process.stdin, process.stdout, process.stderr))


def test_a_talkative_encoder_does_not_block(target):
    path = write(target, ramp(32, 32, 300), options={"loglevel": "debug", "debug": "pict"})
    assert len(read(path, 32, 32)) == 300


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        ("echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", OutputError, "disk full"),
        ("echo '[mp4 @ 0x55d0] it broke' >&2; echo 'Conversion failed!' >&2; exit 1", SinkError, "encoded: it broke$"),
        ("exit 7", SinkError, "ended with code 7"),
        ("cat >/dev/null; echo frame=3; echo progress=end", SinkError, "wrote 3 of 4 frames"),
        ("cat >/dev/null", SinkError, "wrote 0 of 4 frames"),
    ],
)
def test_programs_that_fail(target, tmp_path, monkeypatch, script, error, text):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(error, match=text):
        write(target, ramp(64, 64))


def test_no_ffmpeg_stops_the_run(target, monkeypatch):
    def fail():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", fail)
    with pytest.raises(StopError, match="no ffmpeg"):
        sink_for(target)


def test_frames_out_of_order_are_refused(target):
    sink = sink_for(target)
    sink.put((1,), Frame(1, ramp(16, 16)[0], ""))
    with pytest.raises(SinkError, match="out of order"):
        sink.put((1,), Frame(1, ramp(16, 16)[0], ""))
    sink.abort()


def test_frames_of_another_size_are_refused(target):
    sink = sink_for(target)
    sink.put((0,), Frame(0, ramp(16, 16)[0], ""))
    with pytest.raises(SinkError, match="differ in size"):
        sink.put((1,), Frame(1, ramp(16, 18)[0], ""))
    sink.abort()

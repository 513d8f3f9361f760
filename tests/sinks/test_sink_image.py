"""Formats, depths and parameters of stills."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crawler.errors import OutputError, SinkError
from crawler.model import File, Frame, Instance
from crawler.sinks import image, picture
from crawler.sinks.base import FileSubject, Target

GREY = (np.arange(40 * 30, dtype=np.uint16) * 53).reshape(40, 30)
COLOUR = np.stack([GREY >> 8, GREY & 255, 255 - (GREY >> 8)], axis=-1).astype(np.uint8)


class Ramp:
    """Renders one picture in the depth that is asked for, and remembers it."""

    def __init__(self, colour=False):
        self.colour = colour
        self.bits = []

    def render(self, frame, bits=8):
        self.bits.append(bits)
        if self.colour:
            return COLOUR
        return GREY if bits == 16 else (GREY >> 8).astype(np.uint8)


FRAME = Frame(0, GREY, "MONOCHROME2")
INSTANCE = Instance(File("/in", "a.dcm", 1, 1), {})


@pytest.fixture
def target(tmp_path):
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out"), str(tmp_path / "temp"))


def write(target, display, **options):
    sink = image.ImageSink(image.ImageOptions(**options))
    try:
        sink.open(target, FileSubject(INSTANCE, display))
        sink.put((0,), FRAME)
        (product,) = sink.close()
    finally:
        sink.abort()
        assert os.listdir(target.temp) == []
    return product.path


@pytest.mark.parametrize("extension", [".png", ".PNG", ".tif", ".tiff", ".pgm", ".jp2", ".j2k"])
def test_sixteen_bits_are_kept(target, extension):
    with Image.open(write(target, Ramp(), extension=extension)) as shown:
        np.testing.assert_array_equal(np.asarray(shown), GREY)


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".bmp", ".gif", ".tga"])
def test_other_formats_get_eight_bits(target, extension):
    display = Ramp()
    with Image.open(write(target, display, extension=extension)) as shown:
        assert display.bits == [8]
        assert np.abs(np.asarray(shown.convert("L")).astype(int) - (GREY >> 8)).mean() < 4


def test_every_format_of_the_sixteen_bit_table_keeps_sixteen_bits():
    for name in picture.SIXTEEN_BIT:
        buffer = io.BytesIO()
        Image.fromarray(GREY).save(buffer, format=name)
        with Image.open(buffer) as shown:
            np.testing.assert_array_equal(np.asarray(shown), GREY)


@pytest.mark.parametrize("extension", [".png", ".tif", ".ppm", ".bmp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colour_has_eight_bits(target, extension, bits):
    with Image.open(write(target, Ramp(colour=True), extension=extension, bits=bits)) as shown:
        assert shown.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(shown), COLOUR)


def test_eight_bits_on_request(target):
    with Image.open(write(target, Ramp(), bits=8)) as shown:
        assert shown.mode == "L"


def test_code_stream_and_boxed_jpeg2000_differ(target):
    assert Path(write(target, Ramp(), extension=".j2k")).read_bytes().startswith(b"\xff\x4f\xff\x51")
    assert b"jP  " in Path(write(target, Ramp(), extension=".jp2")).read_bytes()[:12]


def test_parameters_reach_the_writer(target):
    small = os.path.getsize(write(target, Ramp(), pil_writer_params={"compress_level": 9}))
    large = os.path.getsize(write(target, Ramp(), pil_writer_params={"compress_level": 0}))
    assert small < large


@pytest.mark.parametrize(
    ("extension", "parameters", "reason"),
    [
        (".png", {"compres_level": 1}, "PNG has no compres_level, the nearest is compress_level"),
        (".jpg", {"compress_level": 1}, "unknown writer parameter"),
        (".jpg", {"quality": "nonsense"}, "image not encoded"),
        (".png", {"compress_level": "nonsense"}, "image not encoded"),
        (".tif", {"compression": "group4"}, "image not encoded"),
        (".jp2", {"progression": "nonsense"}, "image not encoded"),
        (".nonsense", {}, "unknown image format"),
        (".psd", {}, "unknown image format"),
        (".xbm", {}, "image not encoded"),
    ],
)
def test_what_pillow_cannot_do_is_reported(target, extension, parameters, reason):
    with pytest.raises(SinkError, match=reason):
        write(target, Ramp(), extension=extension, pil_writer_params=parameters)


@pytest.mark.parametrize("name", list(picture.PARAMETERS))
def test_listed_parameters_are_those_that_pillow_reads(name):
    """Each appears by name in the source of Pillow's plug-in."""
    Image.init()
    import importlib
    import inspect

    source = inspect.getsource(importlib.import_module(Image.SAVE[name].__module__))
    for parameter in picture.PARAMETERS[name].split():
        assert f'"{parameter}"' in source


def test_a_second_frame_is_an_error(target):
    sink = image.ImageSink()
    sink.open(target, FileSubject(INSTANCE, Ramp()))
    sink.put((0,), FRAME)
    with pytest.raises(SinkError, match="more than one frame"):
        sink.put((1,), FRAME)
    sink.abort()


def test_a_full_disk_while_writing_ends_the_run(target, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = image.ImageSink()
    sink.open(target, FileSubject(INSTANCE, Ramp()))
    monkeypatch.setattr("builtins.open", lambda *args, **kwargs: Full())
    with pytest.raises(OutputError, match="disk full"):
        sink.put((0,), FRAME)

"""A trial of writers' parameters before any work: one tiny picture or video, so that a slip is told at once.

Only parameters that differ from the defaults are tried: a run with none pays nothing for it. It reads no input.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace

import numpy as np

from crawler.config.sections import ImageSaveSection, ImageSection, VideoSaveSection, VideoSection
from crawler.display.display import display_for
from crawler.errors import ConfigError, SinkError
from crawler.model import File, Frame, Instance, Pixels
from crawler.sinks import FileSubject, Target, media_sinks

ROWS, COLUMNS = 96, 128
"""Of the picture: one of the few sizes that every encoder takes (H.263 has five, ITU-T H.263 table 1)."""
FRAMES = 3


def try_writers(image: ImageSection | None, video: VideoSection | None, bits: int = 16) -> None:
    """Write a tiny picture and a tiny video with the parameters of the configuration, and delete them.

    Raises
    ------
    ConfigError
        Pillow, or ffmpeg, refuses the parameters.
    StopError
        A program is missing.
    """
    if image is not None and image.save_method_kwargs != ImageSaveSection():
        parameters = dict(image.save_method_kwargs.pil_writer_params)
        _try(image, 1, bits, f"image.save_method_kwargs.pil_writer_params = {parameters}")
    changed = video is not None and video.save_method_kwargs != VideoSaveSection()
    if video is not None:
        for extension in video.formats:
            if extension not in (".gif", "frames") and (changed or extension != ".mp4"):  # they have no such parameters
                told = _told(video.save_method_kwargs) if changed else f"video.extension = {extension}"
                _try(replace(video, extension=extension), FRAMES, bits, told)


def _try(section: ImageSection | VideoSection, frames: int, bits: int, told: str) -> None:
    shape = Pixels(ROWS, COLUMNS, frames, 1, "MONOCHROME2", 8, 8, 7, keyword="PixelData", vr="OB")
    instance = Instance(File("", "trial", 0, 0), {}, pixels=shape)
    subject = FileSubject(instance, display_for(instance, (128.0, 256.0)))
    with tempfile.TemporaryDirectory(prefix="dme-") as folder:
        for sink in media_sinks(section, bits):
            try:
                sink.open(Target(os.path.join(folder, "trial"), folder), subject)
                for number in range(frames):
                    values = np.add.outer(np.arange(ROWS), np.arange(COLUMNS) + 9 * number).astype(np.uint8)
                    sink.put((number,), Frame(number, values, "MONOCHROME2"))
                sink.close()
            except SinkError as error:
                why = f"{error.reason}: {error.detail}" if error.detail else error.reason
                raise ConfigError(f"{told}: not what the writer takes ({' '.join(why.split())})") from None
            finally:
                sink.abort()


def _told(section: VideoSaveSection) -> str:
    """The keys that differ from the defaults, with their values."""
    default, args = VideoSaveSection(), section.encoding_args
    found = []
    if section.encoding_format != default.encoding_format:
        found.append(f"encoding_format = {section.encoding_format}")
    for name in ("pix_fmt", "options", "bit_rate", "gop_size", "profile"):
        value = getattr(args, name)
        if value != getattr(default.encoding_args, name):
            found.append(f"encoding_args.{name} = {dict(value) if name == 'options' else value}")
    return f"video.save_method_kwargs: {', '.join(found)}"

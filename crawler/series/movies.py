"""Planes as a film: H.264 in MP4, in the order of the array, by the program ffmpeg that videos of runs use."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from crawler.series.description import Description
from crawler.series.report import WriteOptions
from crawler.series.write_files import display_frames
from crawler.sinks.ffmpeg import PLAIN, Encoder, find_program, local

FRAMES_A_SECOND = 10.0
"""Where no option ``fps`` says otherwise: what seeds/001 shows slices at."""


def write_mp4(path: str, values: Any, description: Description, options: WriteOptions) -> None:
    """A film of all planes; a row or column is added where there is an odd number, as 4:2:0 needs it."""
    frames = [
        np.stack([one] * 3, axis=-1) if one.ndim == 2 else one for one in display_frames(values, description, options)
    ]
    rate = float(dict(options.further).get("fps", FRAMES_A_SECOND))
    rows, columns = frames[0].shape[:2]
    command = [find_program(), "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}", "-r", f"{rate:g}"]
    command += ["-i", "pipe:0", *PLAIN, "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "17"]
    encoder = Encoder([*command, "-pix_fmt", "yuv420p", "-y", local(path)], [path], os.path.dirname(path))
    try:
        for frame in frames:
            encoder.write(np.ascontiguousarray(frame))
        encoder.finish()
    except BaseException:
        encoder.kill()
        raise

"""Frames of a video that is encoded already, decoded by ffmpeg one after the other.

For outputs that are made of pictures; an MP4 needs none of it (`sinks/remux.py`). Memory holds one frame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np

from crawler.errors import PixelError, SinkError
from crawler.model import Frame, Instance
from crawler.pixels.video import copy_stream
from crawler.sinks import program
from crawler.sinks.base import Target, discard, writing
from crawler.sinks.ffmpeg import LAST_LINES, QUIET, failure, find_program, local

DECODER = "ffmpeg"
# Every picture as a PPM, which says its own size: the header may be wrong about it.
PICTURES = ("-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-fps_mode", "passthrough")


def decoded(
    instance: Instance, folder: str, limit: int = 2 * 10**9, advance: Callable[[], None] = lambda: None
) -> Iterator[Frame]:
    """Yield the frames of an encoded video.

    Parameters
    ----------
    folder
        Existing folder for a copy of the stream while it is decoded.
    limit
        Bytes that one decoded frame may take.
    advance
        Called while bytes are copied.

    Yields
    ------
    Frame
        `values` uint8, shape (rows, columns, 3), RGB.

    Raises
    ------
    PixelError
        "truncated pixel data", "damaged pixel data" or "pixel data too large". Frames in front of the fault have been
        yielded by then.
    """
    source = Target("", folder).scratch(".stream")
    try:
        with writing():
            copy_stream(instance, source, advance)
        yield from _pictures(source, folder, limit)
    finally:
        discard(source)


def _pictures(source: str, folder: str, limit: int) -> Iterator[Frame]:
    command = [find_program(), *QUIET, "-i", local(source), "-map", "0:v:0", "-threads", "1", *PICTURES]
    with writing():
        process = program.start([*command, "pipe:1"])
    assert process.stdout is not None
    assert process.stderr is not None
    messages: deque[bytes] = deque(maxlen=LAST_LINES)
    reader = threading.Thread(target=messages.extend, args=(process.stderr,), daemon=True)
    reader.start()
    number = 0
    try:
        while (shape := _shape(process.stdout)) is not None:
            size = shape[0] * shape[1] * 3
            if size > limit:
                raise PixelError("pixel data too large", f"a frame takes {size:,} bytes, the limit is {limit:,}")
            data = process.stdout.read(size)
            if len(data) < size:
                break
            values = np.frombuffer(data, np.uint8).reshape(*shape, 3)
            yield Frame(number, values, "RGB", decoder=DECODER)
            number += 1
        code = process.wait()
    finally:
        process.kill()  # does nothing to one that has ended
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()
    if code != 0 or not number:
        error = failure(b"".join(messages), code, [local(source), source, folder])
        if not isinstance(error, SinkError):
            raise error
        raise PixelError("damaged pixel data", f"after {number} frames: {error.detail}")


def _shape(pictures: IO[bytes]) -> tuple[int, int] | None:
    """Rows and columns out of the head of the next PPM as ffmpeg writes it; None at the end."""
    head = [pictures.readline() for _ in range(3)]
    if not head[2]:
        return None
    columns, rows = head[1].split()
    return int(rows), int(columns)

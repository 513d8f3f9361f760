"""What sinks of moving pictures share: frames go to ffmpeg in their order, and none gets lost on the way.

Knows the rate of a cine and no format; formats are the subclasses' (`video.py`, `gif.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, ClassVar

import numpy.typing as npt

from crawler.errors import ConfigError, SinkError
from crawler.instance.frame_rate import is_absurd
from crawler.model import Frame, Product
from crawler.sinks.base import FileSubject, Order, Per, Target
from crawler.sinks.ffmpeg import Encoder, find_program

# Frames a second when the header says nothing; DESIGN.md, `video.fps`.
FALLBACK_RATE = 30.0
# ffmpeg reads a rate as a fraction of numbers up to 1,001,000 (av_parse_video_rate).
LARGEST_TERM = 1001
RATES = (0.001, 100_000.0)
FAST_START = ("-movflags", "+faststart")


def check_rate(fps: float | str) -> None:
    """Raise ConfigError unless `fps` is "auto" or a rate that a file can have."""
    if fps != "auto" and not (isinstance(fps, int | float) and RATES[0] <= fps <= RATES[1]):
        raise ConfigError(f"video.fps: {fps!r} is neither auto nor a number from 0.001 to 100,000")


def rate_of(fps: float | str, of_file: float | None, most: float = RATES[1]) -> Fraction:
    """Frames a second, as ffmpeg takes them.

    Parameters
    ----------
    fps
        As configured: a number, or "auto" for the file's.
    of_file
        What the header says, if anything; one that cannot be meant counts as absent.
    most
        The highest that the format shows; above it, frames are shown slower and none is dropped.
    """
    rate = float(fps) if fps != "auto" else of_file
    if rate is None or (fps == "auto" and is_absurd(rate)):
        rate = FALLBACK_RATE
    return Fraction(min(rate, most)).limit_denominator(LARGEST_TERM)


class VideoSinkBase(ABC):
    """Streams rendered frames into ffmpeg, as `base.Sink` describes. The first frame tells the size and starts it."""

    per: ClassVar[Per] = "file"
    order: ClassVar[Order] = "sequential"
    needs: ClassVar[tuple[str, ...]] = ("imageio-ffmpeg",)

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._count = 0
        self._last: tuple[int, ...] = (-1,)
        self._shape: tuple[int, ...] = ()

    @abstractmethod
    def _outputs(self, target: Target, subject: FileSubject, pixels: npt.NDArray[Any]) -> tuple[list[str], list[str]]:
        """Paths of the unfinished files, and the arguments behind the input that have ffmpeg write them."""

    @abstractmethod
    def _rate(self, subject: FileSubject) -> str:
        """Frames a second, as ffmpeg takes them."""

    @abstractmethod
    def _shown(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A rendered frame as it is to be encoded."""

    @abstractmethod
    def _published(self, target: Target, paths: tuple[str, ...]) -> list[Product]:
        """Make the product of what ffmpeg has written, and put it in place."""

    def open(self, target: Target, subject: FileSubject) -> None:
        """Find ffmpeg.

        Raises
        ------
        StopError
            There is none.
        """
        self._target = target
        self._subject = subject
        self._program = find_program()

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Encode one more frame.

        Raises
        ------
        SinkError
            Frames come out of order or in several sizes, or ffmpeg refuses something.
        OutputError
            The disk is full.
        """
        if index <= self._last:
            raise SinkError("frames out of order", f"{index} came after {self._last}")
        pixels = self._subject.display.render(frame, 8)
        if self._encoder is None:
            self._shape = pixels.shape
            self._encoder = self._start(pixels)
        elif pixels.shape != self._shape:
            raise SinkError("frames differ in size", f"{pixels.shape} came after {self._shape}")
        self._encoder.write(self._shown(pixels))
        self._last = index
        self._count += 1

    def close(self) -> list[Product]:
        """Finish the file, check that it has every frame, and put it in place.

        Raises
        ------
        SinkError
            No frame came, ffmpeg fails, or the target cannot be written.
        OutputError
            The disk is full.
        """
        if self._encoder is None:
            raise SinkError("no frame", "nothing to write")
        written = self._encoder.finish()
        if written != self._count:
            raise SinkError("video not encoded", f"ffmpeg wrote {written} of {self._count} frames")
        products = self._published(self._target, self._encoder.paths)
        self._encoder = None
        return products

    def abort(self) -> None:
        """Kill ffmpeg and remove the unfinished files, if any."""
        if self._encoder is not None:
            self._encoder.kill()
            self._encoder = None

    def _start(self, pixels: npt.NDArray[Any]) -> Encoder:
        """Start ffmpeg; `pixels` is a frame as rendered."""
        rows, columns = self._shown(pixels).shape[:2]
        paths, arguments = self._outputs(self._target, self._subject, pixels)
        command = [
            *(self._program, "-filter_threads", "1"),
            *("-f", "rawvideo", "-pix_fmt", "gray" if pixels.ndim == 2 else "rgb24", "-s", f"{columns}x{rows}"),
            *("-framerate", self._rate(self._subject), "-i", "pipe:0", *arguments),
        ]
        return Encoder(command, paths, self._target.temp)

"""The frames of a file as a video, through an ffmpeg process that is fed frame by frame.

How a frame looks is the display's business (`display.py`); a size that is odd gets one more row or column, as 4:2:0
colour needs. No frame is dropped, doubled or kept in memory.
"""

from __future__ import annotations

import math
import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import ConfigError, CrawlerError, OutputError, SinkError, StopError
from crawler.model import Frame, Product
from crawler.sinks.base import FileSubject, Json, Order, Per, Target, discard, writing

# Formats by the name that people use -> the encoder in ffmpeg. Other names are taken for encoders.
ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "mpeg4": "mpeg4",
    "vp9": "libvpx-vp9",
    "av1": "libaom-av1",
}
# What each encoder needs so that its name and version stay out of the file: SEI messages dropped (x264 has no switch;
# NAL type 6, ITU-T H.264 table 7-1), or not made (x265). hvc1 is the tag that QuickTime and Safari want.
EXTRAS = {
    "libx264": ("-bsf:v", "filter_units=remove_types=6"),
    "libx265": ("-tag:v", "hvc1", "-x265-params", "info=0:log-level=error"),
}
# Frames a second when the header says nothing; DESIGN.md, `video.fps`.
FALLBACK_RATE = 30.0
# ffmpeg reads a rate as a fraction of numbers up to 1,001,000 (av_parse_video_rate).
LARGEST_TERM = 1001
RATES = (0.001, 100_000.0)

# Colour for HD and the web (ITU-R BT.709), in the range that players expect; converted with full precision.
BT709 = (
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
)

LAST_LINES = 200  # of an encoder that complains about every frame, the last tell enough; a report has a dozen
FULL_DISK = ("No space left on device", "Disk quota exceeded")
# Lines in which ffmpeg only says that something above has failed.
ECHOES = re.compile(
    r"^(Error opening output|Error splitting|Error while opening encoder|Error sending frames|Task finished|"
    r"Terminating thread|Could not open encoder|Nothing was written|Conversion failed|Error applying encoder|"
    r"Error selecting an encoder|Error initializing the muxer)"
)
ORIGIN = re.compile(r"\[[^\[\]]* @ (0x)?[0-9a-f]+\] |\[enc:[^\]]*\] ")


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How videos are written.

    Attributes
    ----------
    extension
        With its dot; chooses the container.
    fps
        Frames a second, or "auto": the file's own rate, else 30.
    encoding_format
        A key of `ENCODERS`, or the name of an encoder of ffmpeg.
    pix_fmt
        Pixel format of the file; yuv420p is what all players show.
    options
        Further options of the encoder, without their dash: ``{"crf": "17"}``.
    bit_rate
        Bits a second, in place of a crf among the options.
    gop_size
        Frames from one key frame to the next, at most.
    profile
        Of the format: "baseline", "main", "high".
    """

    extension: str = ".mp4"
    fps: float | str = "auto"
    encoding_format: str = "h264"
    pix_fmt: str = "yuv420p"
    options: Mapping[str, Json] = field(default_factory=lambda: {"crf": "17"})
    bit_rate: int | None = None
    gop_size: int | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        if not self.extension.startswith("."):
            raise ConfigError(f"video.extension: {self.extension!r} does not start with a dot")
        if self.fps != "auto" and not (isinstance(self.fps, int | float) and RATES[0] <= self.fps <= RATES[1]):
            raise ConfigError(f"video.fps: {self.fps!r} is neither auto nor a number from 0.001 to 100,000")

    def arguments(self) -> list[str]:
        """Arguments of ffmpeg that describe the encoder."""
        encoder = ENCODERS.get(self.encoding_format, self.encoding_format)
        arguments = ["-c:v", encoder, "-pix_fmt", self.pix_fmt, *EXTRAS.get(encoder, ())]
        fixed = {"-b:v": self.bit_rate, "-g": self.gop_size, "-profile:v": self.profile}
        named = {f"-{name.lstrip('-')}": value for name, value in self.options.items()}
        if self.bit_rate is not None:
            named.pop("-crf", None)  # encoders would obey it and forget the rate
        for name, value in (fixed | named).items():
            if value is not None:
                arguments += [name, str(int(value)) if isinstance(value, bool) else str(value)]
        return arguments


class VideoSink:
    """Streams frames into ffmpeg. The process starts with the first frame, which tells the size."""

    per: ClassVar[Per] = "file"
    order: ClassVar[Order] = "sequential"
    needs: ClassVar[tuple[str, ...]] = ("imageio-ffmpeg",)
    Options: ClassVar[type[Any]] = VideoOptions

    def __init__(self, options: VideoOptions | None = None) -> None:
        self._options = options or VideoOptions()
        self._encoder: _Encoder | None = None
        self._count = 0
        self._last: tuple[int, ...] = (-1,)
        self._shape: tuple[int, ...] = ()

    @property
    def extension(self) -> str:
        """Extension of the video."""
        return self._options.extension

    def open(self, target: Target, subject: FileSubject) -> None:
        """Find ffmpeg.

        Raises
        ------
        StopError
            There is none.
        """
        import imageio_ffmpeg

        self._target = target
        self._subject = subject
        try:
            self._program: str = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            raise StopError("no ffmpeg found: install it, or name it in IMAGEIO_FFMPEG_EXE") from error

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
            self._encoder = _Encoder(self._command(pixels), self._target, self.extension)
        elif pixels.shape != self._shape:
            raise SinkError("frames differ in size", f"{pixels.shape} came after {self._shape}")
        self._encoder.write(_even(pixels))
        self._last = index
        self._count += 1

    def close(self) -> list[Product]:
        """Finish the video, check that it has every frame, and put it in place.

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
        product = self._target.publish(self._encoder.path, self.extension, "video")
        self._encoder = None
        return [product]

    def abort(self) -> None:
        """Kill ffmpeg and remove the unfinished file, if any."""
        if self._encoder is not None:
            self._encoder.kill()
            self._encoder = None

    def _command(self, pixels: npt.NDArray[Any]) -> list[str]:
        """Everything but the output: `pixels` is a frame as rendered."""
        rows, columns = _even(pixels).shape[:2]
        wanted = self._options.fps if self._options.fps != "auto" else self._subject.instance.frame_rate
        colour: list[str] = []
        if self._options.pix_fmt.startswith("yuv4"):
            # Without tags players guess the matrix from the size, and red comes out differently on each.
            colour = list(BT709)
        return [
            *(self._program, "-hide_banner", "-loglevel", "error", "-nostdin", "-filter_threads", "1"),
            *("-f", "rawvideo", "-pix_fmt", "gray" if pixels.ndim == 2 else "rgb24", "-s", f"{columns}x{rows}"),
            *("-framerate", str(_rate(wanted)), "-i", "pipe:0", "-an", *colour, *self._options.arguments()),
            # One thread and no time stamps: equal frames give equal bytes.
            *("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"),
            *(("-movflags", "+faststart") if self.extension.lower() in (".mp4", ".mov", ".m4v") else ()),
            # No longer -stats_period: ffmpeg 7.0 notices only at a report that its encoder has failed.
            *("-progress", "pipe:1"),
        ]


class _Encoder:
    """An ffmpeg process that writes to an unfinished file.

    Its messages and its progress are read while it runs, by a thread each: a pipe that nobody reads would block it, and
    a file in place of the pipe could lie on the disk that is full.
    """

    def __init__(self, command: list[str], target: Target, extension: str) -> None:
        self.path = target.scratch(extension)
        self._hidden = (self.path, target.temp)
        with writing():
            self._process = subprocess.Popen(
                [*command, f"file:{self.path}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the engine: it decides whether this file is finished
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._frames, self._progress, self._errors = self._process.stdin, self._process.stdout, self._process.stderr
        self._reports: deque[bytes] = deque(maxlen=LAST_LINES)
        self._messages: deque[bytes] = deque(maxlen=LAST_LINES)
        self._readers = (
            threading.Thread(target=self._reports.extend, args=(self._progress,), daemon=True),
            threading.Thread(target=self._messages.extend, args=(self._errors,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def write(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Hand over one frame; waits while ffmpeg is busy."""
        try:
            self._frames.write(np.ascontiguousarray(pixels).data)
        except OSError as error:
            self._wait()
            raise self._failure() from error

    def finish(self) -> int:
        """End the stream and return how many frames ffmpeg says it wrote."""
        if self._wait() != 0:
            raise self._failure()
        counts = re.findall(rb"^frame=\s*(\d+)", b"".join(self._reports), re.MULTILINE)
        return int(counts[-1]) if counts else 0

    def kill(self) -> None:
        """End the process at once and remove its file."""
        if self._process.poll() is None:
            self._process.kill()
        self._wait()
        discard(self.path)

    def _wait(self) -> int:
        """Close the pipes and collect the process, so that no zombie stays; a second time it only tells the code."""
        if not self._progress.closed:
            with suppress(OSError):  # it is gone already, and its return code says why
                self._frames.close()
            self._process.wait()
            for reader in self._readers:
                reader.join()
            self._progress.close()
            self._errors.close()
        return self._process.wait()

    def _failure(self) -> CrawlerError:
        """What ffmpeg says went wrong, in one line, without the names of unfinished files."""
        text = b"".join(self._messages).decode("utf-8", "replace")
        for name in self._hidden:
            text = text.replace(name, "output")
        for sign in FULL_DISK:
            if sign in text:
                return OutputError(f"disk full: {sign}; free some space and run again, finished files are kept")
        lines = [stripped for line in text.splitlines() if (stripped := ORIGIN.sub("", line).strip())]
        telling = [line for line in lines if not ECHOES.match(line)] or lines
        return SinkError("video not encoded", telling[-1] if telling else _ending(self._process.returncode))


def _ending(code: int) -> str:
    return f"ffmpeg was ended by signal {-code}" if code < 0 else f"ffmpeg ended with code {code}"


def _even(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Double the last row and column where their number is odd. An edge that goes on costs the encoder no bits."""
    padding = [(0, size % 2) for size in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels


def _rate(wanted: float | str | None) -> Fraction:
    """Frames a second as ffmpeg takes them; a rate that no file can have counts as absent."""
    rate = float(wanted) if wanted is not None else FALLBACK_RATE
    if not (math.isfinite(rate) and RATES[0] <= rate <= RATES[1]):
        rate = FALLBACK_RATE
    return Fraction(rate).limit_denominator(LARGEST_TERM)

"""A video that is encoded already, put into an MP4 as it is: no frame is decoded, and its sound is kept.

The stream's own tags (titles, dates, names) are left behind. What the codec is, a player has to know: H.264 plays
everywhere, HEVC in some browsers, MPEG-2 in none.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from crawler.errors import SinkError
from crawler.model import Frame, Product
from crawler.pixels.picture_order import UnknownFieldsError, UnknownOrderError, pictures
from crawler.pixels.video import copy_stream
from crawler.sinks.base import FileSubject, Order, Per, Target, discard, writing
from crawler.sinks.ffmpeg import PLAIN, find_program, local, packet_times, probe, run
from crawler.sinks.program_stream import CLOCK, write_program_stream
from crawler.sinks.video_base import FAST_START, check_rate, rate_of

# Streams without a container have no time stamps: the rate comes from us. Those of MPEG-2 tell ffmpeg the order in
# which pictures are shown, which is not that of the stream.
RAW = {"mpegvideo": ("-fflags", "+genpts")}
# For those of H.264 and HEVC the order is worked out here, see `_timed`. Where a stream does not tell it plainly, a
# filter of ffmpeg is asked, and what it says is checked: it errs at the ends of streams and of groups of pictures
# (ffmpeg 7.0 to 9.0). An ffmpeg that lacks the filter, before 6.1, refuses such a video.
ORDERED = {"h264": "h264", "hevc": "hevc"}
FILTER = ("-bsf:v", "dts2pts")
EVEN = 0.1  # of the time from one picture to the next: how far one may be from its place
# Linear PCM as Blu-ray and DVD have it, which no player takes in an MP4; it becomes AAC.
UNPLAYABLE = "pcm_"
NOT_TOLD = "the stream does not tell when its pictures are shown"


@dataclass(frozen=True, slots=True)
class RemuxOptions:
    """How encoded videos are rewrapped.

    Attributes
    ----------
    fps
        Frames a second of a stream that has no time stamps: a number, or "auto" for the header's, else 30.
    advance
        Called while bytes are copied.
    """

    fps: float | str = "auto"
    advance: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        check_rate(self.fps)


class RemuxSink:
    """Rewraps the stream of a file; it needs no frames, and passes over those that it is given."""

    per: ClassVar[Per] = "file"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ("imageio-ffmpeg",)
    Options: ClassVar[type[Any]] = RemuxOptions
    extension = ".mp4"

    def __init__(self, options: RemuxOptions | None = None) -> None:
        self._options = options or RemuxOptions()
        self._source = ""

    def open(self, target: Target, subject: FileSubject) -> None:
        """Copy the stream to an unfinished file.

        Raises
        ------
        PixelError
            The stream is not there, or not complete.
        StopError
            There is no ffmpeg.
        """
        self._target, self._subject, self._program = target, subject, find_program()
        self._source = target.scratch(".stream")
        try:
            with writing():
                copy_stream(subject.instance, self._source, self._options.advance)
        except BaseException:
            self.abort()
            raise

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Do nothing: the frames are in the stream."""

    def close(self) -> list[Product]:
        """Rewrap the stream and put the video in place.

        Raises
        ------
        SinkError
            ffmpeg cannot read the stream, or the target cannot be written.
        OutputError
            The disk is full.
        """
        if not self._source:
            raise SinkError("video not written", "it is closed")
        path, timed = (self._target.scratch(extension) for extension in (self.extension, ".mpg"))
        hidden = [name for one in (path, self._source, timed) for name in (local(one), one)] + [self._target.temp]
        try:
            container, codecs = probe(self._program, self._source)
            rate = rate_of(self._options.fps, self._subject.instance.frame_rate)
            if container in ORDERED and self._timed(timed, container, rate):
                run(self._command(path, ("-f", "mpeg", "-i", local(timed)), codecs), hidden)
            elif container in ORDERED:
                raw = ("-framerate", str(rate), "-f", container, "-i", local(self._source))
                run(self._command(path, raw, codecs, FILTER), hidden)
                require_even(packet_times(self._program, path))
            else:
                of_raw = ("-framerate", str(rate), "-f", container, *RAW[container]) if container in RAW else ()
                run(self._command(path, (*of_raw, "-i", local(self._source)), codecs), hidden)
        except BaseException:
            discard(path)
            raise
        finally:
            discard(timed)
            self.abort()
        return [self._target.publish(path, self.extension, "video")]

    def abort(self) -> None:
        """Remove the copy, if any."""
        if self._source:
            discard(self._source)
            self._source = ""

    def _timed(self, path: str, codec: str, rate: Fraction) -> bool:
        """Write the pictures with their times to a program stream; False when their order cannot be told."""
        with open(self._source, "rb") as file:
            # Never closed by name: that fails while an error on its way still refers to a part.
            stream = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        try:
            found = pictures(stream, codec)
        except UnknownFieldsError as error:  # as pictures they would take twice the time
            raise SinkError("video not encoded", NOT_TOLD) from error
        except UnknownOrderError:
            return False
        # A picture is decoded in time to be shown, and nothing comes before the clock begins.
        delay = max(number - picture.place for number, picture in enumerate(found))
        step = CLOCK / rate
        coded = (
            (stream[one.start : one.end], round((one.place + delay) * step), round(number * step))
            for number, one in enumerate(found)
        )
        with writing(), open(path, "xb") as target:
            write_program_stream(target, codec, coded, self._options.advance)
        return True

    def _command(
        self, path: str, source: Sequence[str], codecs: Sequence[str], options: Sequence[str] = ()
    ) -> list[str]:
        return [
            self._program,
            *source,
            *("-map", "0:v:0", "-map", "0:a?", "-map_chapters", "-1", "-c", "copy"),
            *options,
            *(("-tag:v", "hvc1") if "hevc" in codecs[:1] else ()),  # what QuickTime and Safari want
            *(("-c:a", "aac") if any(codec.startswith(UNPLAYABLE) for codec in codecs) else ()),
            *PLAIN,
            *FAST_START,
            local(path),
        ]


def require_even(times: Sequence[float]) -> None:
    """Raise SinkError unless pictures follow each other evenly, whatever order they are coded in.

    Parameters
    ----------
    times
        When each is shown, in any unit.
    """
    ordered = sorted(times)
    step = (ordered[-1] - ordered[0]) / max(len(ordered) - 1, 1) if ordered else 0.0
    if any(abs(time - ordered[0] - number * step) > EVEN * step for number, time in enumerate(ordered)):
        raise SinkError("video not encoded", NOT_TOLD)

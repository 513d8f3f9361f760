"""A video that is encoded already, put into an MP4 as it is: no frame is decoded, and its sound is kept.

The stream's own tags (titles, dates, names) are left behind. What the codec is, a player has to know: H.264 plays
everywhere, HEVC in some browsers, MPEG-2 in none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from crawler.errors import SinkError
from crawler.model import Frame, Product
from crawler.pixels.video import copy_stream
from crawler.sinks.base import FileSubject, Order, Per, Target, discard, writing
from crawler.sinks.ffmpeg import PLAIN, find_program, local, probe, run
from crawler.sinks.video_base import FAST_START, check_rate, rate_of

# Streams without a container have no time stamps. ffmpeg takes their rate from us; the order in which pictures are
# shown, which is not that of the stream, it finds by what stands here: options of the input, then of the output. (An
# ffmpeg that lacks the filter, before 6.1, refuses such a video.)
RAW = {
    "h264": ((), ("-bsf:v", "dts2pts")),
    "hevc": ((), ("-bsf:v", "dts2pts")),
    "mpegvideo": (("-fflags", "+genpts"), ()),
}
# Linear PCM as Blu-ray and DVD have it, which no player takes in an MP4; it becomes AAC.
UNPLAYABLE = "pcm_"


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
        path = self._target.scratch(self.extension)
        try:
            run(self._command(path), [local(path), path, local(self._source), self._source, self._target.temp])
        except BaseException:
            discard(path)
            raise
        finally:
            self.abort()
        return [self._target.publish(path, self.extension, "video")]

    def abort(self) -> None:
        """Remove the copy, if any."""
        if self._source:
            discard(self._source)
            self._source = ""

    def _command(self, path: str) -> list[str]:
        container, codecs = probe(self._program, self._source)
        rate = rate_of(self._options.fps, self._subject.instance.frame_rate)
        of_input, of_output = RAW.get(container, ((), ()))
        return [
            self._program,
            *(("-framerate", str(rate), "-f", container, *of_input) if container in RAW else ()),
            *("-i", local(self._source), "-map", "0:v:0", "-map", "0:a?", "-map_chapters", "-1", "-c", "copy"),
            *of_output,
            *(("-tag:v", "hvc1") if "hevc" in codecs[:1] else ()),  # what QuickTime and Safari want
            *(("-c:a", "aac") if any(codec.startswith(UNPLAYABLE) for codec in codecs) else ()),
            *PLAIN,
            *FAST_START,
            local(path),
        ]

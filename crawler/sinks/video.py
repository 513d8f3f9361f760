"""The frames of a file as an encoded video, through an ffmpeg process that is fed frame by frame.

How a frame looks is the display's business (`display.py`); a size that is odd gets one more row or column, as 4:2:0
colour needs. No frame is dropped, doubled or kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.errors import ConfigError
from crawler.model import Product
from crawler.sinks.base import FileSubject, Json, Target
from crawler.sinks.ffmpeg import PLAIN
from crawler.sinks.video_base import FAST_START, VideoSinkBase, check_rate, rate_of

# Formats by the name that people use -> the encoder in ffmpeg. Other names are taken for encoders.
ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "mpeg4": "mpeg4",
    "vp9": "libvpx-vp9",
    "av1": "libaom-av1",
}
# Presets that are not the encoder's own. At equal crf, veryfast is 2.3 to 2.9 times as fast as x264's medium and its
# files are 1 to 5 % smaller, with 0.7 to 1.4 dB less PSNR (four ultrasound cines, crf 17, one thread). Without motion
# of blocks smaller than 16 x 16 it takes 12 to 28 % less time again, for files of 97 to 102 % and -0.06 to +0.12 dB
# (three ultrasound cines, one of them with noise, an angiogram, simulated speckle).
PRESETS = {"libx264": {"-preset": "veryfast", "-partitions": "i4x4,i8x8"}}
# What each encoder needs so that its name and version stay out of the file: SEI messages dropped (x264 has no switch;
# NAL type 6, ITU-T H.264 table 7-1), or not made (x265). hvc1 is the tag that QuickTime and Safari want.
EXTRAS = {
    "libx264": ("-bsf:v", "filter_units=remove_types=6"),
    "libx265": ("-tag:v", "hvc1", "-x265-params", "info=0:log-level=error"),
}
# Colour for HD and the web (ITU-R BT.709), in the range that players expect; converted with full precision.
BT709 = (
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
)


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
        Further options of the encoder, without their dash: ``{"crf": "17"}``. A preset replaces that of `PRESETS`.
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
        check_rate(self.fps)

    def arguments(self) -> list[str]:
        """Arguments of ffmpeg that describe the encoder."""
        encoder = ENCODERS.get(self.encoding_format, self.encoding_format)
        arguments = ["-c:v", encoder, "-pix_fmt", self.pix_fmt, *EXTRAS.get(encoder, ())]
        fixed = {"-b:v": self.bit_rate, "-g": self.gop_size, "-profile:v": self.profile}
        given = {f"-{name.lstrip('-')}": value for name, value in self.options.items()}
        named: dict[str, Json] = {} if "-preset" in given else dict(PRESETS.get(encoder, {}))
        named |= given
        if self.bit_rate is not None:
            named.pop("-crf", None)  # encoders would obey it and forget the rate
        for name, value in (fixed | named).items():
            if value is not None:
                arguments += [name, str(int(value)) if isinstance(value, bool) else str(value)]
        return arguments


class VideoSink(VideoSinkBase):
    """Encodes frames as they come; the container starts with its index, so that a browser plays it while it loads."""

    Options: ClassVar[type[Any]] = VideoOptions

    def __init__(self, options: VideoOptions | None = None) -> None:
        super().__init__()
        self._options = options or VideoOptions()

    @property
    def extension(self) -> str:
        """Extension of the video."""
        return self._options.extension

    def _outputs(self, target: Target, subject: FileSubject, pixels: npt.NDArray[Any]) -> tuple[list[str], list[str]]:
        colour: list[str] = []
        if self._options.pix_fmt.startswith("yuv4"):
            # Without tags players guess the matrix from the size, and red comes out differently on each.
            colour = list(BT709)
        path = target.scratch(self.extension)
        fast = FAST_START if self.extension.lower() in (".mp4", ".mov", ".m4v") else ()
        return [path], ["-an", *colour, *self._options.arguments(), *PLAIN, *fast, f"file:{path}"]

    def _rate(self, subject: FileSubject) -> str:
        return str(rate_of(self._options.fps, subject.instance.frame_rate))

    def _shown(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Double the last row and column where their number is odd. An edge that goes on costs the encoder no bits."""
        padding = [(0, size % 2) for size in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
        return np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels

    def _published(self, target: Target, paths: tuple[str, ...]) -> list[Product]:
        return [target.publish(paths[0], self.extension, "video")]

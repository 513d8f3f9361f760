"""The frames of a file as an animated GIF that repeats for ever.

Grey frames keep every level: their palette is the 256 greys. Colour frames get the 256 colours that suit the whole
cine best, so they are kept on disk, without loss, until the last one is known. No frame is dropped or kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from crawler.model import Product
from crawler.sinks.base import FileSubject, Target, discard
from crawler.sinks.ffmpeg import PLAIN, local, run
from crawler.sinks.video_base import VideoSinkBase, check_rate, rate_of

# A delay counts hundredths of a second, and browsers take one of a single hundredth for ten.
HIGHEST_RATE = 50.0
# On the two colour cines of 10 frames in issue 5's ultrasound data, 288 x 384: without dithering 809 and 680 kB at 51
# and 49 dB; Sierra 816 and 690 kB at 51 and 49 dB; Bayer, scale 3, 864 and 718 kB at 41 dB. Pillow's palettes, one a
# frame, take 832 and 755 kB for 47 and 39 dB.
PALETTE = "paletteuse=dither=none"
# The codec of the lossless file. On an ultrasound cine of 120 frames, 480 x 640, it takes 0.8 s both ways and 32 MB of
# 111; ffv1 takes 1.9 s and 9 MB, and refuses pictures of a single column; utvideo cannot read back what it wrote of
# some sizes.
LOSSLESS = "ffvhuff"


@dataclass(frozen=True, slots=True)
class GifOptions:
    """How GIFs are written.

    Attributes
    ----------
    fps
        Frames a second, or "auto": the file's own rate, else 30. Above 50, the cine is shown at 50.
    """

    fps: float | str = "auto"

    def __post_init__(self) -> None:
        check_rate(self.fps)


class GifSink(VideoSinkBase):
    """Writes a GIF: grey as it comes, colour in a second pass over a lossless file."""

    Options: ClassVar[type[Any]] = GifOptions
    extension = ".gif"

    def __init__(self, options: GifOptions | None = None) -> None:
        super().__init__()
        self._options = options or GifOptions()

    def _rate(self, subject: FileSubject) -> str:
        return str(rate_of(self._options.fps, subject.instance.frame_rate, HIGHEST_RATE))

    def _shown(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return pixels

    def _outputs(self, target: Target, subject: FileSubject, pixels: npt.NDArray[Any]) -> tuple[list[str], list[str]]:
        if pixels.ndim == 2:
            path = target.scratch(self.extension)
            return [path], ["-pix_fmt", "gray", *PLAIN, "-fps_mode", "passthrough", "-loop", "0", local(path)]
        frames, palette = target.scratch(".nut"), target.scratch(".png")
        lossless = ["-c:v", LOSSLESS, *PLAIN, "-fps_mode", "passthrough", local(frames)]
        return [frames, palette], [*lossless, "-vf", "palettegen", *PLAIN, "-update", "1", local(palette)]

    def _published(self, target: Target, paths: tuple[str, ...]) -> list[Product]:
        if len(paths) == 1:
            return [target.publish(paths[0], self.extension, "video")]
        path = target.scratch(self.extension)
        inputs = [argument for source in paths for argument in ("-i", local(source))]
        output = [*PLAIN, "-fps_mode", "passthrough", "-loop", "0", local(path)]
        try:
            run(
                [self._program, "-filter_complex_threads", "1", *inputs, "-lavfi", PALETTE, *output],
                [local(path), path, *map(local, paths), *paths, target.temp],
            )
        except BaseException:
            discard(path)
            raise
        finally:
            for source in paths:
                discard(source)
        return [target.publish(path, self.extension, "video")]

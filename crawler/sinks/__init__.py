"""The table of sinks: what frames can be turned into, and how a section of the configuration chooses one.

A new format is one module here and one row below. Importing this imports none of the packages that formats need
(`base.require` looks for them).
"""

from __future__ import annotations

from crawler.sections import ImageSection, VideoFormat, VideoSection
from crawler.sinks.base import FileSubject, LayoutSubject, Renderer, Sink, Target, require
from crawler.sinks.bids import FIELDS
from crawler.sinks.frames import FramesOptions, FramesSink
from crawler.sinks.gif import GifOptions, GifSink
from crawler.sinks.hdf5 import Hdf5Sink
from crawler.sinks.image import ImageOptions, ImageSink
from crawler.sinks.mat import MatSink
from crawler.sinks.metaimage import DetachedMetaImageSink, MetaImageSink
from crawler.sinks.nifti import NiftiSink, PlainNiftiSink
from crawler.sinks.npz import NpzSink
from crawler.sinks.video import VideoOptions, VideoSink

__all__ = [
    "LAYOUT_SINKS",
    "NOTED",
    "SINKS",
    "FileSubject",
    "LayoutSubject",
    "Renderer",
    "Sink",
    "Target",
    "media_sinks",
    "require",
]

SINKS: dict[str, type[Sink]] = {
    "image": ImageSink,
    "video": VideoSink,
    "gif": GifSink,
    "frames": FramesSink,
    "hdf5": Hdf5Sink,
    "nifti": NiftiSink,
    "nii": PlainNiftiSink,
    "npz": NpzSink,
    "metaimage": MetaImageSink,
    "mhd": DetachedMetaImageSink,
    "mat": MatSink,
}
# Elements, by keyword, that volumes note where all of their files agree.
NOTED = tuple(dict.fromkeys(keyword for keyword, _ in FIELDS.values()))
# By the names of `volume.formats`.
LAYOUT_SINKS = {name: sink for name, sink in SINKS.items() if sink.per == "layout"}


def media_sinks(section: ImageSection | VideoSection, bits: int = 16) -> list[Sink]:
    """Make the sinks that a section asks for, with their options.

    Parameters
    ----------
    bits
        Of a grey frame that becomes a picture of its own.

    Raises
    ------
    ConfigError
        A value is out of range.
    """
    if isinstance(section, ImageSection):
        parameters = section.save_method_kwargs.pil_writer_params
        return [ImageSink(ImageOptions(section.extension, section.bits, parameters))]
    return [_video_sink(section, name, bits) for name in section.formats]


def _video_sink(section: VideoSection, name: VideoFormat, bits: int) -> Sink:
    if name == ".gif":
        return GifSink(GifOptions(section.fps))
    if name == "frames":
        return FramesSink(FramesOptions(bits))
    encoding = section.save_method_kwargs.encoding_args
    return VideoSink(
        VideoOptions(
            extension=name,
            fps=section.fps,
            encoding_format=section.save_method_kwargs.encoding_format,
            pix_fmt=encoding.pix_fmt,
            options=encoding.options,
            bit_rate=encoding.bit_rate,
            gop_size=encoding.gop_size,
            profile=encoding.profile,
        )
    )

"""The table of sinks: what frames can be turned into, and how a section of the configuration chooses one.

A new format is one module here and one row below. A module is loaded when its sink is first asked for, and the packages
that a format needs when it first writes (`base.require` looks for them): all of them take longer to load than a small
run takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from crawler.config.sections import ImageSection, VideoFormat, VideoSection
from crawler.sinks.base import FileSubject, LayoutSubject, Sink, Target, require

__all__ = [
    "LAYOUT_SINKS",
    "SINKS",
    "FileSubject",
    "LayoutSubject",
    "Sink",
    "Target",
    "layout_sink",
    "media_sinks",
    "require",
]


class Table(Mapping[str, type[Sink]]):
    """Sinks by name, given by module and class."""

    def __init__(self, homes: Mapping[str, tuple[str, str]]) -> None:
        self._homes = dict(homes)

    def __getitem__(self, name: str) -> type[Sink]:
        """Load a sink."""
        module, kind = self._homes[name]
        sink: type[Sink] = getattr(import_module(f"crawler.sinks.{module}"), kind)
        return sink

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


_MEDIA = {
    "image": ("image", "ImageSink"),
    "video": ("video", "VideoSink"),
    "gif": ("gif", "GifSink"),
    "frames": ("frames", "FramesSink"),
}
_LAYOUTS = {
    "hdf5": ("hdf5", "Hdf5Sink"),
    "nifti": ("nifti", "NiftiSink"),
    "nii": ("nifti", "PlainNiftiSink"),
    "npz": ("npz", "NpzSink"),
    "metaimage": ("metaimage", "MetaImageSink"),
    "mhd": ("metaimage", "DetachedMetaImageSink"),
    "mat": ("mat", "MatSink"),
}
SINKS = Table(_MEDIA | _LAYOUTS)
# By the names of `volume.formats`.
LAYOUT_SINKS = Table(_LAYOUTS)


def layout_sink(name: str, compression: str) -> type[Sink]:
    """The sink of a format of volumes, perhaps another package's; `compression` is that of HDF5.

    Raises
    ------
    StopError
        No installed package writes the format, or it cannot be loaded.
    """
    if name == "hdf5" and compression != "gzip":
        from crawler.sinks.hdf5_filters import BY_NAME

        return BY_NAME[compression]
    if name not in LAYOUT_SINKS:
        from crawler.sinks.writers import writer_sink  # loads another package

        return writer_sink(name)
    return LAYOUT_SINKS[name]


def media_sinks(section: ImageSection | VideoSection, bits: int = 16) -> list[Sink]:
    """Make the sinks that a section asks for, with their options.

    Parameters
    ----------
    bits
        Of a grey frame that becomes a picture.

    Raises
    ------
    ConfigError
        A value is out of range.
    """
    if isinstance(section, ImageSection):
        from crawler.sinks.image import ImageOptions, ImageSink

        parameters = section.save_method_kwargs.pil_writer_params
        return [ImageSink(ImageOptions(section.extension, bits, parameters))]
    return [_video_sink(section, name, bits) for name in section.formats]


def _video_sink(section: VideoSection, name: VideoFormat, bits: int) -> Sink:
    if name == ".gif":
        from crawler.sinks.gif import GifOptions, GifSink

        return GifSink(GifOptions(section.fps))
    if name == "frames":
        from crawler.sinks.frames import FramesOptions, FramesSink

        return FramesSink(FramesOptions(bits))
    from crawler.sinks.video import VideoOptions, VideoSink

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

"""One frame as a still picture, in any format that Pillow writes.

How the frame looks is the display's business (`display.py`); here it only gets encoded. No pixel is scaled, cropped or
padded.
"""

from __future__ import annotations

import difflib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from crawler.errors import ConfigError, SinkError
from crawler.model import Frame, Product
from crawler.sinks.base import FileSubject, Order, Per, Target, discard, writing

# Formats in which Pillow 13 keeps 16 bit grey as it is: each was written and read back. Others get 8 bit.
SIXTEEN_BIT = frozenset({"PNG", "TIFF", "PPM", "JPEG2000"})

# Pillow passes over a parameter that it does not know without a word, so a misspelt one would change nothing. These
# are the parameters of a still picture that YAML can express (Pillow handbook, "Image file formats").
# A format that is not listed takes any.
PARAMETERS = {
    "BMP": "dpi",
    "GIF": "comment interlace optimize",
    "JPEG": "comment dpi keep_rgb optimize progressive qtables quality restart_marker_blocks restart_marker_rows smooth"
    " streamtype subsampling",
    "JPEG2000": "cinema_mode codeblock_size comment irreversible mct no_jp2 num_resolutions offset plt precinct_size"
    " progression quality_layers quality_mode signed tile_offset tile_size",
    "PNG": "bits compress_level compress_type dpi optimize transparency",
    "TIFF": "artist big_tiff compression copyright date_time description dpi quality resolution resolution_unit"
    " software strip_size tiffinfo x_resolution y_resolution",
    "WEBP": "exact lossless method quality",
}

# What Pillow's encoders raise for values that they cannot use, besides OSError.
REFUSALS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, SystemError, struct.error)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How stills are written.

    Attributes
    ----------
    extension
        With its dot; chooses the format.
    bits
        8 or 16 a grey sample; colour always has 8, and so have formats that cannot hold 16.
    pil_writer_params
        Keyword arguments of ``PIL.Image.Image.save``.
    """

    extension: str = ".png"
    bits: int = 16
    pil_writer_params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise ConfigError(f"image.bits: {self.bits} is neither 8 nor 16")
        if not self.extension.startswith("."):
            raise ConfigError(f"image.extension: {self.extension!r} does not start with a dot")


class ImageSink:
    """Writes a single frame through Pillow."""

    per: ClassVar[Per] = "file"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ("pillow",)
    Options: ClassVar[type[Any]] = ImageOptions

    def __init__(self, options: ImageOptions | None = None) -> None:
        self._options = options or ImageOptions()
        self._scratch = ""

    @property
    def extension(self) -> str:
        """Extension of the picture."""
        return self._options.extension

    def open(self, target: Target, subject: FileSubject) -> None:
        """Find the format that the extension stands for.

        Raises
        ------
        SinkError
            Pillow does not know the extension, or the format has no such parameter.
        """
        self._target = target
        self._subject = subject
        self._format = _format(self.extension)
        _check_parameters(self._format, self._options.pil_writer_params)

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Write the frame to an unfinished file.

        Raises
        ------
        SinkError
            It is the second frame, or Pillow refuses it or the parameters.
        OutputError
            The disk is full.
        """
        if self._scratch:
            raise SinkError("more than one frame", f"one image holds one frame, {index} is another")
        bits = self._options.bits if self._format in SIXTEEN_BIT else 8
        # Encoded in memory: while Pillow writes to a file it loses the number of the system's error, and a full disk
        # could not be told from a bad picture.
        encoded = self._encode(self._subject.display.render(frame, bits))
        self._scratch = self._target.scratch(self.extension)
        with writing(), open(self._scratch, "xb") as sink:
            sink.write(encoded)

    def _encode(self, pixels: Any) -> bytes:
        from PIL import Image

        buffer = _Buffer(self.extension)
        try:
            Image.fromarray(pixels).save(buffer, format=self._format, **self._options.pil_writer_params)
        except (OSError, *REFUSALS) as error:
            raise SinkError("image not encoded", f"{self._format}: {error}") from error
        return buffer.getvalue()  # not getbuffer: CPython 3.12.1 may crash collecting one (gh-111049)

    def close(self) -> list[Product]:
        """Put the file in place.

        Raises
        ------
        SinkError
            No frame came, or the target cannot be written.
        OutputError
            The disk is full.
        """
        if not self._scratch:
            raise SinkError("no frame", "nothing to write")
        product = self._target.publish(self._scratch, self.extension, "image")
        self._scratch = ""
        return [product]

    def abort(self) -> None:
        """Remove the unfinished file, if any."""
        if self._scratch:
            discard(self._scratch)
            self._scratch = ""


class _Buffer(io.BytesIO):
    """A file in memory; by its name Pillow tells a bare code stream (.j2k) from a boxed one (.jp2)."""

    def __init__(self, extension: str) -> None:
        super().__init__()
        self.name = f"image{extension}"


def _format(extension: str) -> str:
    """Pillow's name of the format with this extension."""
    from PIL import Image

    extension = extension.lower()
    Image.preinit()
    if extension not in Image.EXTENSION:
        Image.init()  # the less common plug-ins
    name = Image.EXTENSION.get(extension, "")
    if name not in Image.SAVE:
        raise SinkError("unknown image format", f"Pillow writes no {extension} files")
    return name


def _check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    if name not in PARAMETERS:
        return
    known = PARAMETERS[name].split()
    for parameter in parameters:
        if parameter not in known:
            nearest = difflib.get_close_matches(parameter, known, 1)
            hint = f", the nearest is {nearest[0]}" if nearest else ""
            raise SinkError("unknown writer parameter", f"{name} has no {parameter}{hint}")

"""One frame as a still picture, in any format that Pillow writes.

How the frame looks is the display's business (`display.py`); here it only gets encoded, by `picture.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from crawler.errors import ConfigError, SinkError
from crawler.model import Frame, Product
from crawler.sinks.base import FileSubject, Order, Per, Target, discard, writing
from crawler.sinks.picture import SIXTEEN_BIT, check_parameters, encode, format_of


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
        self._format = format_of(self.extension)
        check_parameters(self._format, self._options.pil_writer_params)

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
        pixels = self._subject.display.render(frame, bits)
        encoded = encode(pixels, self._format, self.extension, self._options.pil_writer_params)
        self._scratch = self._target.scratch(self.extension)
        with writing(), open(self._scratch, "xb") as sink:
            sink.write(encoded)

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

"""The frames of a file as a folder of pictures, one PNG a frame, numbered from 1 as in the file.

A frame that could not be decoded leaves its number out. All frames share one display, so that levels compare from frame
to frame. They are put in place when all are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from crawler.errors import ConfigError, SinkError
from crawler.model import Frame, Product
from crawler.naming import FRAMES
from crawler.sinks.base import FileSubject, Order, Per, Target, discard, writing
from crawler.sinks.picture import encode

DIGITS = 4


@dataclass(frozen=True, slots=True)
class FramesOptions:
    """How frames are written.

    Attributes
    ----------
    bits
        8 or 16 a grey sample; colour has 8.
    """

    bits: int = 16

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise ConfigError(f"image.bits: {self.bits} is neither 8 nor 16")


class FramesSink:
    """Writes each frame to a file of its own."""

    per: ClassVar[Per] = "file"
    order: ClassVar[Order] = "sequential"
    needs: ClassVar[tuple[str, ...]] = ("pillow",)
    Options: ClassVar[type[Any]] = FramesOptions

    def __init__(self, options: FramesOptions | None = None) -> None:
        self._options = options or FramesOptions()
        self._scratches: dict[int, str] = {}
        self._last: tuple[int, ...] = (-1,)

    @property
    def extension(self) -> str:
        """What the first picture's path has behind the target's."""
        return self._name(0)

    def open(self, target: Target, subject: FileSubject) -> None:
        """Remember where to write."""
        self._target = target
        self._subject = subject

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Write the frame to an unfinished file.

        Raises
        ------
        SinkError
            Frames come out of order, or Pillow refuses one.
        OutputError
            The disk is full.
        """
        if index <= self._last:
            raise SinkError("frames out of order", f"{index} came after {self._last}")
        encoded = encode(self._subject.display.render(frame, self._options.bits), "PNG", ".png", {})
        scratch = self._target.scratch(".png")
        self._scratches[index[0] if len(index) == 1 else len(self._scratches)] = scratch
        with writing(), open(scratch, "xb") as sink:
            sink.write(encoded)
        self._last = index

    def close(self) -> list[Product]:
        """Put all frames in place.

        Raises
        ------
        SinkError
            No frame came, or a target cannot be written. Nothing is in place then.
        OutputError
            The disk is full.
        """
        if not self._scratches:
            raise SinkError("no frame", "nothing to write")
        products: list[Product] = []
        try:
            for number, scratch in self._scratches.items():
                products.append(self._target.publish(scratch, self._name(number), "image"))
        except BaseException:
            self._target.take_back(products)  # half of a cine is of no use
            self.abort()
            raise
        self._scratches = {}
        return products

    def abort(self) -> None:
        """Remove the unfinished files, if any."""
        while self._scratches:
            discard(self._scratches.popitem()[1])

    def _name(self, number: int) -> str:
        digits = max(DIGITS, len(str(max(self._scratches, default=0) + 1)))  # so that names sort like numbers
        return f"{FRAMES}/{number + 1:0{digits}}.png"

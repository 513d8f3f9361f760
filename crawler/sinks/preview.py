"""The preview of a layout: one PNG of 8 bits, drawn from the frames that its thumbnail needs.

It chooses no window and no kind of picture (`previews.py` and `sinks/thumbnail/` do), and never holds a volume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from crawler.display.renderer import Renderer
from crawler.errors import SinkError
from crawler.model import Frame, Layout, Product
from crawler.sinks.base import Order, Per, Target, discard, writing
from crawler.sinks.picture import encode
from crawler.sinks.thumbnail import Index, Thumbnail, thumbnail_of

EXTENSION = ".png"


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """Pixels of the longer edge of one plane."""

    size: int = 256


@dataclass(frozen=True, slots=True)
class PreviewSubject:
    """What a preview is made of.

    Attributes
    ----------
    display
        How the frame at an index of the layout is shown.
    aspect
        Height of a pixel in units of its width; an affine tells better.
    """

    layout: Layout
    display: Callable[[Index], Renderer]
    aspect: float = 1.0


class PreviewSink:
    """Writes a preview, as `base.Sink` describes; frames come as they are stored, like those of media.

    Attributes
    ----------
    wanted
        Indices of the frames that an open one needs; others need not be decoded for it.
    """

    per: ClassVar[Per] = "layout"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ("pillow",)
    Options: ClassVar[type[Any]] = PreviewOptions
    extension = EXTENSION

    def __init__(self, options: Any = None) -> None:
        self._options = options or PreviewOptions()
        self._thumbnail: Thumbnail | None = None
        self.wanted: frozenset[Index] = frozenset()
        self._missing: set[Index] = set()

    def open(self, target: Target, subject: PreviewSubject) -> None:
        """Begin; nothing is written before the end."""
        self._target, self._subject = target, subject
        self._thumbnail = thumbnail_of(subject.layout, self._options.size, subject.aspect)
        self.wanted = self._thumbnail.wanted
        self._missing = set(self.wanted)

    def put(self, index: Index, frame: Frame) -> None:
        """Take a frame; one that the picture does not need is passed over.

        Raises
        ------
        PixelError
            The frame cannot be shown.
        """
        if self._thumbnail is not None and index in self._missing:
            self._missing.remove(index)
            self._thumbnail.put(index, frame, self._subject.display(index).render)

    def close(self) -> list[Product]:
        """Draw the picture and put it in place.

        Raises
        ------
        SinkError
            A frame is missing, or the target cannot be written.
        OutputError
            The disk is full.
        """
        if self._thumbnail is None:
            raise SinkError("preview not written", "it is closed")
        if self._missing:
            raise SinkError("frames missing", f"{len(self._missing)} of {len(self.wanted)}")
        data = encode(self._thumbnail.draw(), "PNG", EXTENSION, {"optimize": True})
        self._thumbnail = None
        scratch = self._target.scratch(EXTENSION)
        try:
            with writing(), open(scratch, "xb") as file:
                file.write(data)
            return [self._target.publish(scratch, EXTENSION, "preview", self._subject.layout.name)]
        finally:
            discard(scratch)

    def abort(self) -> None:
        """Forget the picture."""
        self._thumbnail = None

"""Layouts being written: an open layout with its sinks, and which layouts must be open together.

It knows nothing of files' outcomes; `scan.py` decides what a failure costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from crawler import display
from crawler.error_boundary import ErrorBoundary
from crawler.errors import FormatLimit
from crawler.instance.real_world import Mapping as RealWorldMapping
from crawler.layout.derived import has_palette
from crawler.model import Frame, Instance, Layout, Outcome, Product
from crawler.pixels.modality import modality
from crawler.sinks import LayoutSubject, Sink, Target

Index = tuple[int, ...]
Identity = tuple[Any, ...]
"""Name, shape, affine, and ((instance, frame, index), ...): two plans may share a layout."""


def identity_of(layout: Layout, members: Sequence[int]) -> Identity:
    """What makes a layout the same one in another plan; `members` number its instances within the scan."""
    places = tuple((members[place.instance], place.frame, place.index) for place in layout.placement)
    return layout.name, layout.shape, layout.affine, places


def files_of(identity: Identity) -> list[int]:
    """Instances (by position in the scan) that a layout holds."""
    return sorted({number for number, _, _ in identity[3]})


@dataclass(slots=True)
class Volume:
    """A layout being written. Its sinks may be none: then it swallows what it gets.

    Nothing is opened before the first frame is there: a file whose pixels cannot be had costs no array. A sink that
    fails is dropped, `record` is told, and the others go on. A format that cannot hold the volume is left out, which
    `omitted` says; if none can, that is the `limit`. `mappings` are those of frames that are to hold quantities.
    """

    identity: Identity
    dtype: np.dtype[Any]
    rgb: bool
    record: Callable[[Outcome], None]
    values: str = "modality"
    mappings: Mapping[Index, RealWorldMapping] = field(default_factory=dict)
    sinks: list[Sink] = field(default_factory=list)
    unopened: list[tuple[Sink, Target, LayoutSubject]] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)
    limit: Outcome | None = None

    @property
    def files(self) -> list[int]:
        """Instances (by position in the scan) that fill it."""
        return files_of(self.identity)

    def add(self, sink: Sink, target: Target, subject: LayoutSubject) -> None:
        """Have it written in one more format."""
        self.values = subject.values
        self.sinks.append(sink)
        self.unopened.append((sink, target, subject))

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Hand a frame to every sink, as the values that volumes hold."""
        if not self.sinks:
            return
        opening, self.unopened = self.unopened, []
        for sink, target, subject in opening:
            self._attempt(sink, partial(self._open, sink, target, subject))
        if self.omitted and self.limit is not None and not any(sink.extension for sink in self.sinks):
            self.record(self.limit)
        frame = self._as_held(index, frame)  # what is wrong with a frame's values is its own file's fault: the caller's
        for sink in tuple(self.sinks):
            self._attempt(sink, partial(sink.put, index, frame))

    def close(self) -> list[Product]:
        """Finish every sink that is left."""
        products: list[Product] = []
        for sink in tuple(self.sinks):
            self._attempt(sink, lambda sink=sink: products.extend(sink.close()))  # type: ignore[misc]
        self.sinks = []
        return products

    def abort(self) -> None:
        """Leave nothing unfinished behind."""
        for sink in self.sinks:
            sink.abort()
        self.sinks, self.unopened = [], []

    def _as_held(self, index: Index, frame: Frame) -> Frame:
        if self.values == "stored":
            return replace(frame, values=frame.values.astype(self.dtype, copy=False))
        if self.values == "real_world":
            return replace(frame, values=self.mappings[index](frame.values).astype(self.dtype, copy=False))
        if self.rgb and frame.photometric == "PALETTE COLOR":
            assert frame.table is not None
            return replace(frame, values=frame.table(frame.values), photometric="RGB", table=None)
        if self.rgb:
            return replace(frame, values=display.to_rgb(frame), photometric="RGB")
        return replace(frame, values=modality(frame, self.dtype, frame.table))

    def _open(self, sink: Sink, target: Target, subject: LayoutSubject) -> None:
        """Open a sink. A format that cannot hold the volume is left out; if none can, that is a failure."""
        try:
            sink.open(target, subject)
        except FormatLimit as error:
            self.sinks.remove(sink)
            self.omitted.append(f"{sink.extension} omitted: {error.detail or error.reason}")
            self.limit = self.limit or Outcome("failed", "write", error.reason, error.detail)

    def _attempt(self, sink: Sink, deed: Callable[[], None]) -> None:
        with ErrorBoundary("write", self.record) as boundary:
            deed()
        if boundary.failed:
            sink.abort()
            if sink in self.sinks:
                self.sinks.remove(sink)


def photometric_of(subject: Instance, values: str) -> str:
    """(0028,0004) of the values that a volume holds: colour becomes RGB unless stored values are asked for."""
    pixels = subject.pixels
    if pixels is None:
        return ""
    coloured = pixels.samples == 3 or has_palette([subject])
    return "RGB" if coloured and values != "stored" else pixels.photometric


def sharing(plan: Iterable[Layout]) -> list[list[Layout]]:
    """Layouts in groups that share instances, so that each file is decoded once for all of its layouts."""
    groups: list[list[Layout]] = []
    owner: dict[int, int] = {}
    for layout in plan:
        files = {place.instance for place in layout.placement}
        hits = sorted({owner[file] for file in files if file in owner})
        home = hits[0] if hits else len(groups)
        if not hits:
            groups.append([])
        groups[home].append(layout)
        for other in hits[1:]:
            groups[home].extend(groups[other])
            groups[other] = []
        for file in files | {file for file, group in owner.items() if group in hits[1:]}:
            owner[file] = home
    return [group for group in groups if group]

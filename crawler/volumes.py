"""Layouts being written: an open layout with its sinks, and which layouts must be open together.

It knows nothing of files' outcomes; `export.py` decides what a failure costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crawler.display import to_rgb
from crawler.model import Frame, Instance, Layout, Product
from crawler.sinks import LayoutSubject, Sink, Target
from crawler.values import modality

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

    Nothing is opened before the first frame is there: a file whose pixels cannot be had costs no array.
    """

    identity: Identity
    dtype: np.dtype[Any]
    rgb: bool
    values: str = "modality"
    sinks: list[Sink] = field(default_factory=list)
    unopened: list[tuple[Sink, Target, LayoutSubject]] = field(default_factory=list)

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
        while self.unopened:
            sink, target, subject = self.unopened.pop(0)
            sink.open(target, subject)
        if self.values == "stored":
            frame = replace(frame, values=frame.values.astype(self.dtype, copy=False))
        elif self.rgb:
            frame = replace(frame, values=to_rgb(frame), photometric="RGB")
        else:
            frame = replace(frame, values=modality(frame, self.dtype))
        for sink in self.sinks:
            sink.put(index, frame)

    def close(self) -> list[Product]:
        """Finish every sink; what is not finished when one fails is left to `abort`."""
        products: list[Product] = []
        while self.sinks:
            products.extend(self.sinks[0].close())
            self.sinks.pop(0)
        return products

    def abort(self) -> None:
        """Leave nothing unfinished behind."""
        for sink in self.sinks:
            sink.abort()
        self.sinks, self.unopened = [], []


def photometric_of(subject: Instance, values: str) -> str:
    """(0028,0004) of the values that a volume holds: colour becomes RGB unless stored values are asked for."""
    pixels = subject.pixels
    if pixels is None:
        return ""
    return "RGB" if pixels.samples == 3 and values == "modality" else pixels.photometric


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

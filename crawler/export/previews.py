"""Previews of a scan's layouts: where each goes, and in which window its frames are shown.

One window serves all frames of a grey layout, so that planes across the slices have no stripes; colour is shown as each
file says. It decodes nothing but what a window needs; `scan.py` hands the frames over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial

from crawler.display.crop import Cropped, us_region
from crawler.display.display import Display, display_for
from crawler.display.renderer import Renderer
from crawler.export.foreign import foreign_outcome, may_replace
from crawler.export.media import MediaOutputs, OpenMedia
from crawler.export.result import State
from crawler.export.setup import Setup
from crawler.model import Instance, Layout, Outcome
from crawler.pixels.modality import is_grey
from crawler.sinks import Target
from crawler.sinks.preview import EXTENSION, PreviewOptions, PreviewSink, PreviewSubject
from crawler.sinks.thumbnail import Index

# Modalities whose images have ultrasound regions, PS3.3 C.8.5.5; cut to them, an image has no planes to cut across.
ULTRASOUND = ("US", "IVUS")
NARROW = 16.0  # a pixel more oblong than that is a slip of the header: it would be shown as a line


class Previews:
    """Opens the previews of one scan.

    Parameters
    ----------
    media_outputs
        Of the same scan; it knows the window that files share.
    states
        Of the scan's files.
    found
        ``preview/<path>`` (native, relative) of what lies in the folder of previews and is not ours.
    """

    def __init__(
        self, setup: Setup, media_outputs: MediaOutputs, states: Sequence[State], found: frozenset[str]
    ) -> None:
        self.setup, self.media_outputs, self.states, self.found = setup, media_outputs, states, found

    def open(
        self, path: str, layout: Layout, files: Sequence[int], record: Callable[[Outcome], None]
    ) -> tuple[OpenMedia, frozenset[Index]]:
        """Begin the preview of a layout.

        Parameters
        ----------
        path
            Native, below the folder of previews, without extension.
        files
            The scan's file that each instance of the layout is.
        record
            Told of what fails.

        Returns
        -------
        OpenMedia
            Without sinks when another file lies in the way.
        frozenset
            Indices of the frames that it needs.
        """
        opened, section, root = OpenMedia(record), self.setup.preview, self.setup.preview_dir
        assert section is not None
        assert root is not None
        outcome = foreign_outcome(self.found, f"preview/{path}{EXTENSION}")
        if outcome is not None:
            for number in {files[place.instance] for place in layout.placement}:
                self.states[number].record(outcome)
            return opened, frozenset()
        first = self.media_outputs.members[files[layout.placement[0].instance]].instance
        if self.setup.crops and first.modality in ULTRASOUND:
            layout = layout._replace(affine=None)
        subject = PreviewSubject(layout, _FrameDisplays(self.media_outputs, layout, files), _aspect(first))
        replace_of = partial(may_replace, self.found, f"preview/{path}")
        target = Target(os.path.join(root, path), self.setup.temp(root), replace_of)
        sink = PreviewSink(PreviewOptions(section.size))
        opened.open(sink, target, subject)
        return opened, sink.wanted if opened.sinks else frozenset()


class _FrameDisplays:
    """How the frame at each index of a layout is shown; found out when the first one is there."""

    def __init__(self, media_outputs: MediaOutputs, layout: Layout, files: Sequence[int]) -> None:
        self._media_outputs = media_outputs
        self._files = {place.index: files[place.instance] for place in layout.placement}
        self._flat = layout.affine is None
        self._shared: Display | None = None
        self._last: tuple[int, Renderer] | None = None

    def __call__(self, index: Index) -> Renderer:
        """Return how the frame is shown; raises PixelError as `display.display_for` does."""
        number = self._files[index]
        if self._last is None or self._last[0] != number:
            self._last = number, self._of(self._media_outputs.members[number].instance)
        return self._last[1]

    def _of(self, instance: Instance) -> Renderer:
        setup = self._media_outputs.setup
        grey = instance.pixels is not None and is_grey(instance.pixels.photometric)
        display = self._grey() if grey else display_for(instance, setup.window)
        box = us_region(instance) if setup.crops and self._flat else None
        return display if box is None else Cropped(display, box)

    def _grey(self) -> Display:
        """The window of the whole layout: of its files, or the range of its values where frames differ."""
        if self._shared is None:
            numbers = list(dict.fromkeys(self._files.values()))
            self._shared = self._media_outputs.stack_display(numbers)
            if len(self._shared.vois) > 1:
                first = self._media_outputs.members[numbers[0]].instance
                self._shared = display_for(first, "series")
        return self._shared


def _aspect(instance: Instance) -> float:
    """Height of a pixel in units of its width, by (0028,0030) *Pixel Spacing*; 1 where it tells nothing credible."""
    spacing = instance.plane(0).spacing
    if spacing is None or not all(math.isfinite(step) and step > 0 for step in spacing):
        return 1.0
    aspect = spacing[0] / spacing[1]
    return aspect if 1 / NARROW < aspect < NARROW else 1.0

"""The quality of a scan's files: which are measured, what their frames need for it, and the cells of rows and series.

`quality/measures.py` measures and judges; `scan.py` decodes, and hands over each frame that it has. A frame that cannot
be measured, or a video that is not decoded, has no measures and costs its file nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from crawler import display, quality
from crawler.dicom.dictionary import key_for
from crawler.errors import PixelError
from crawler.export.result import Header, State
from crawler.export.setup import Setup
from crawler.model import Frame, Instance
from crawler.pixels.video import is_video

_PADDING = tuple(f"{kind}PixelPaddingValue" for kind in ("", "Float", "DoubleFloat"))


# Segmentations, label maps, parametric maps, real world value maps and doses: two levels or few are their meaning.
NO_PICTURES = tuple(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("30", "66.4", "66.7", "481.2"))


class ScanQuality:
    """Measures one scan.

    Parameters
    ----------
    headers, states
        Of the scan's files. The states are told their cells by `finish`.

    Attributes
    ----------
    pending
        Numbers of the files still to be measured; empty when the configuration has no section `quality`.
    """

    def __init__(self, setup: Setup, headers: Sequence[Header], states: Sequence[State]) -> None:
        self._section, self._headers, self._states = setup.quality, headers, states
        self._keys = [f'"{key_for(keyword, setup.keys)}":'.encode() for keyword in _PADDING]
        self._tallies: dict[int, quality.Tally] = {}
        on = self._section is not None
        self.pending = {number for number, one in enumerate(headers) if on and _is_measured(one.instance)}

    def open(self, number: int) -> Callable[[Frame], None]:
        """Begin a file, which then waits no longer; the answer takes its frames, and does nothing when it is done."""
        if self._section is None or number not in self.pending:
            return lambda frame: None
        self.pending.discard(number)
        tally = self._tallies[number] = quality.Tally(self._section.share)
        instance = self._headers[number].instance
        given = self._section.thresholds.get(instance.modality)
        thresholds = quality.thresholds_for(instance.modality, asdict(given) if given is not None else None)
        try:
            return self._consumer(number, tally, thresholds)
        except PixelError:  # a table is damaged: where pictures are made, that file fails
            return lambda frame: None

    def finish(self) -> dict[str, Any]:
        """Tell every file its cells; return those of the series. Nothing of either without a section `quality`."""
        if self._section is None:
            return {}
        series = quality.Tally(self._section.share)
        for number, state in enumerate(self._states):
            tally = self._tallies.get(number, quality.Tally(self._section.share))
            state.quality = tally.cells("frames")
            if tally.count:
                series.add(tally.mean, tally.reasons)
        cells = series.cells("files")
        return cells | {"quality_reasons": "|".join(cells["quality_reasons"])}

    def _consumer(self, number: int, tally: quality.Tally, thresholds: quality.Thresholds) -> Callable[[Frame], None]:
        header = self._headers[number]
        instance, attributes = header.instance, display.DisplayAttributes(header.instance)
        pixels, text = instance.pixels, header.text()
        table = palette = pad = None
        if pixels is not None and pixels.has_luts:
            coloured = pixels.photometric == "PALETTE COLOR"
            palette = display.palette_of(attributes) if coloured else None
            table = None if coloured else display.modality_lut(attributes)
        if pixels is not None and any(key in text for key in self._keys):
            pad = display.padding(attributes, pixels)

        def take(frame: Frame) -> None:
            if frame.photometric == "PALETTE COLOR" and palette is None:
                return  # indices without colours
            try:
                found = quality.measure(quality.grey_of(frame, table, palette, pad), instance.inverse)
            except PixelError:  # colours that nothing here knows: where pictures are made, that file fails
                return
            if found is not None:
                tally.add(found, quality.judge(found, thresholds))

        return take


def _is_measured(instance: Instance) -> bool:
    is_image = instance.pixels is not None and not instance.is_index and not is_video(instance)
    return is_image and instance.sop_class not in NO_PICTURES and instance.modality not in ("SEG", "RTDOSE")

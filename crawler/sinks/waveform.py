"""Waveforms as files: sound as WAV, everything else as a table (CSV) with a picture (PNG).

The first multiplex group has the name of the other media, the further ones add ``-group2`` and so on: their rates
differ, so that they do not fit one table. How samples become physical units is decided in `waveforms.py`, how a
picture looks in `chart.py`.
"""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.waveforms import Group, is_audio, is_ecg, multiplex_groups
from crawler.errors import SinkError
from crawler.model import Instance, Product
from crawler.sinks.base import Target, discard, writing
from crawler.sinks.chart import DPI, draw_ecg, draw_lanes

_ROWS = 4096  # written at a time
_LARGEST = 2**32 - 4096  # bytes; sizes in a WAV file have 32 bits, its header takes the rest
_WIDEST = 2**16 - 1  # bytes of one sample of all channels


def nothing() -> None:
    """Report progress to nobody."""


def as_it_is(group: Group) -> Group:
    """Tell all that a group says."""
    return group


def write_waveform(
    instance: Instance,
    target: Target,
    advance: Callable[[], None] = nothing,
    told: Callable[[Group], Group] = as_it_is,
) -> list[Product]:
    """Write all multiplex groups of an instance beside the other media.

    Parameters
    ----------
    advance
        Called while the work goes on: hours of many channels take longer than a worker may be silent.
    told
        Makes of a group, as it was read, what is told of it.

    Returns
    -------
    list of Product
        ``.wav`` of kind "waveform" for each group of an audio object; else ``.csv`` of kind "waveform" and ``.png`` of
        kind "image". A table has a row a sample: time in s, then a column a channel in the physical unit that its
        header names in brackets; ``nan`` where no sample was recorded.

    Raises
    ------
    PixelError
        The waveform cannot be read. Nothing is in place then.
    SinkError
        A target cannot be written, or the format does not hold the samples. Nothing is in place then.
    OutputError
        The disk is full.
    """
    parts: list[tuple[str, str, str]] = []  # unfinished file, extension, kind
    products: list[Product] = []

    def part(group: Group, extension: str, kind: str) -> str:
        suffix = f"-group{group.number}" if group.number > 1 else ""
        parts.append((target.scratch(extension), suffix + extension, kind))
        return parts[-1][0]

    try:
        for group in map(told, multiplex_groups(instance)):
            advance()
            if is_audio(instance.sop_class):
                _write_wav(part(group, ".wav", "waveform"), group)
                continue
            _write_csv(part(group, ".csv", "waveform"), group, advance)
            _write_png(part(group, ".png", "image"), group, is_ecg(instance.sop_class))
        for scratch, extension, kind in parts:
            products.append(target.publish(scratch, extension, kind))
    except BaseException:
        for scratch, _, _ in parts:
            discard(scratch)
        target.take_back(products)
        raise
    return products


def _write_wav(path: str, group: Group) -> None:
    """Linear samples: unsigned in 8 bits, signed in more, as WAV has them."""
    values = _signed(group.values)
    rate, width = max(round(group.rate), 1), values.itemsize * values.shape[1]  # WAV has whole rates only
    if max(values.nbytes, rate * width) > _LARGEST or width > _WIDEST:
        raise SinkError("too large for WAV", f"{values.nbytes:,} bytes, {values.shape[1]} channels, {rate:,} Hz")
    with writing(), open(path, "xb") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(values.shape[1])
        sound.setsampwidth(values.itemsize)
        sound.setframerate(rate)
        sound.writeframes(values.tobytes())


def _signed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Samples of the type that WAV has for their size, with silence where it was."""
    size = values.dtype.itemsize
    if size > 4:
        raise SinkError("no WAV of such samples", f"{8 * size} bits")
    middle = 1 << (8 * size - 1)
    if size == 1:
        return values if values.dtype.kind == "u" else (values.astype(np.int16) + middle).astype(np.uint8)
    if values.dtype.kind == "u":
        values = (values.astype(np.int64) - middle).astype(f"i{size}")
    return values.astype(f"<i{size}")


def _write_csv(path: str, group: Group, advance: Callable[[], None]) -> None:
    units = [f"{channel.name} [{channel.unit}]" if channel.unit else channel.name for channel in group.channels]
    # Ten digits hold any sample of 32 bits, and a day at 100 kHz.
    row = ",".join(["%.10g"] * (1 + len(units))) + "\n"
    with writing(), open(path, "x", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(["time [s]", *units])
        for first in range(0, len(group.values), _ROWS):
            last = min(first + _ROWS, len(group.values))
            block = np.column_stack([group.times(first, last), group.physical(first, last)])
            file.write(row * len(block) % tuple(block.ravel().tolist()))
            advance()


def _write_png(path: str, group: Group, ecg: bool) -> None:
    picture = (draw_ecg(group) if ecg else None) or draw_lanes(group)
    encoded = io.BytesIO()
    picture.save(encoded, "PNG", dpi=(DPI, DPI), optimize=True)
    with writing(), open(path, "xb") as file:
        file.write(encoded.getvalue())

"""Writing in pixels, found by a network that detects text: PP-OCRv4, whose model lies in the wheel of `rapidocr`.

It detects and reads nothing, so what it does not know to read (other scripts, writing by hand) is found as well.
Nothing is fetched: the model is a file of the package, whose code is not loaded (it needs OpenCV, which needs libGL).
PP-OCRv6, which version 3.10 holds, marked most of 6 of 9 clean pictures of speckle and tissue as one line; this one
marks none so. Which frames are looked at is decided in `pixels.py`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.config.packaged import install
from crawler.errors import ConfigError
from crawler.privacy.strokes import Box, connected

Colours = npt.NDArray[np.uint8]

_TILE = 1024
"""Rows and columns that the network is given at once, which bounds its memory."""
_SHORTER = 1024
"""A smaller picture is scaled up to so many pixels of its shorter side: of 24 strings of 8 px 13 are found, 7 with the
736 of rapidocr, and all of 72 from 10 to 28 px, 69 with those. It takes half as much time again."""
_OVERLAP = 128  # a line of 64 px that lies across an edge is whole in one of the tiles
_MARGIN = 3  # pixels around what is found: feet of letters, and what JPEG spread
_LIKELY, _SURE, _GROWN = 0.3, 0.5, 1.6  # of rapidocr: least likelihood of a pixel, mean of a line, and its growth
_RANGE = (0.1, 99.9)  # percentiles that count as black and white
_WIDER = 1.5  # ... and where the whole range is so much wider, it is looked at as well: few bright letters, much tissue


def require() -> None:
    """Raise ConfigError where the network is not installed."""
    try:
        there = all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))
        if there:
            _model()
    except (FileNotFoundError, ImportError):
        there = False
    if not there:
        raise ConfigError(
            f"privacy.pixels.detect: ocr needs rapidocr (3.2 to 3.8) and onnxruntime: install with `{install('ocr')}`,"
            " or set it to strokes"
        )


def find(values: npt.NDArray[np.generic]) -> list[Box]:
    """Rectangles of a picture in which the network detects writing.

    Parameters
    ----------
    values
        Grey values (rows, columns), or RGB (rows, columns, 3), of any depth.

    Returns
    -------
    list of Box
        Around what is found, upright, with a margin. They may overlap.
    """
    rows, columns = values.shape[:2]
    boxes: dict[Box, None] = {}
    for picture in _pictures(values):
        for top, bottom in _cuts(rows):
            for left, right in _cuts(columns):
                for box in _detected(picture[top:bottom, left:right]):
                    boxes[
                        max(0, box[0] + top - _MARGIN),
                        min(rows, box[1] + top + _MARGIN),
                        max(0, box[2] + left - _MARGIN),
                        min(columns, box[3] + left + _MARGIN),
                    ] = None
    return list(boxes)


def _pictures(values: npt.NDArray[np.generic]) -> Iterator[Colours]:
    """The values with 8 bits: windowed to nearly all of them, and to all where these reach much further."""
    grey = values.astype(np.float32)
    grey = np.where(np.isfinite(grey), grey, 0)
    if not grey.size:
        return
    least, greatest = float(grey.min()), float(grey.max())
    low, high = (float(number) for number in np.percentile(grey[:: max(1, grey.shape[0] // 512)], _RANGE))
    ranges = [(low, high)] if high > low else []
    if greatest - least > _WIDER * (high - low):
        ranges.append((least, greatest))
    for dark, bright in ranges:
        shown = np.clip((grey - dark) * (255 / (bright - dark)), 0, 255).astype(np.uint8)
        yield shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)


def _cuts(size: int) -> Iterator[tuple[int, int]]:
    """Starts and ends of tiles, of about equal size, that overlap."""
    count = 1 if size <= _TILE else -(-(size - _OVERLAP) // (_TILE - _OVERLAP))
    step = -(-(size - _OVERLAP) // count)
    for number in range(count):
        start = number * step if count > 1 else 0
        yield start, min(size, start + step + _OVERLAP)


def _detected(tile: Colours) -> Iterator[Box]:
    """What the network detects in a tile."""
    from PIL import Image  # slow to load, and headers need no pictures

    if tile.min() == tile.max():
        return
    rows, columns = tile.shape[:2]
    # The shorter side is scaled up: of a narrow strip that would be a picture of many times its size.
    padding = max(0, columns // 2 - rows), max(0, rows // 2 - columns)
    padded = np.pad(tile, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
    scale = max(1.0, _SHORTER / min(padded.shape[:2]))
    height, width = (max(32, round(size * scale / 32) * 32) for size in padded.shape[:2])  # what its layers halve
    scaled = np.asarray(Image.fromarray(padded).resize((width, height), Image.Resampling.BILINEAR))
    given = (scaled[..., ::-1].transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)  # of BGR, -1 to 1
    (likely,) = _network().run(None, {"x": given})
    down, across = padded.shape[0] / height, padded.shape[1] / width
    for top, bottom, left, right in _lines(likely[0, 0]):
        if top * down < rows and left * across < columns:
            yield int(top * down), int(np.ceil(bottom * down)), int(left * across), int(np.ceil(right * across))


def _lines(likely: npt.NDArray[np.float32]) -> Iterator[Box]:
    """Rectangles around lines of writing: the network marks their core, which is grown to their height.

    As differentiable binarization has it (Liao et al., AAAI 2020): by area over circumference.
    """
    cell = 2
    rows, columns = likely.shape
    blocks = likely.reshape(rows // cell, cell, columns // cell, cell).max(axis=(1, 3))
    for top, bottom, left, right in connected(blocks > _LIKELY):
        inside = blocks[top:bottom, left:right]
        if inside[inside > _LIKELY].mean() < _SURE:
            continue
        height, width = (bottom - top) * cell, (right - left) * cell
        grown = _GROWN * height * width / (2 * (height + width))
        yield (
            max(0, int(top * cell - grown)),
            min(rows, int(np.ceil(bottom * cell + grown))),
            max(0, int(left * cell - grown)),
            min(columns, int(np.ceil(right * cell + grown))),
        )


def _model() -> Path:
    """The file of the model that detects. Raises FileNotFoundError where the package has none."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is not None and spec.origin is not None:
        for path in sorted((Path(spec.origin).parent / "models").glob("ch_PP-OCRv4_det_*.onnx")):
            return path
    raise FileNotFoundError("rapidocr holds no model of PP-OCRv4 that detects")


@cache
def _network() -> Any:
    """The network, loaded when a process first needs it: memory and time that most runs do not."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a pool has a process a processor already
    options.enable_cpu_mem_arena = False  # which would keep the memory of the largest picture
    options.log_severity_level = 4
    return InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])

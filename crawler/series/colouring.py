"""Grey values as colours, masks over images, several arrays as channels. Values become uint8 here, for eyes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.axis import SAMPLE, Axes, Axis
from crawler.series.description import Description
from crawler.series.display_fields import window_of
from crawler.series.errors import GeometryMismatch, WriteNotImplemented

Array = npt.NDArray[Any]
GREYS = ("Greys_r", "gray", "grey", None)
SMOOTH = 1.5
"""Pixels: standard deviation by which the edge of a mask is blurred, as seeds/002 does it."""


def clip_range(values: Array, probs: Sequence[float]) -> tuple[float, float]:
    """Values below which a share of the finite values lies: of two shares."""
    low, high = probs
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 1.0
    ends = np.quantile(finite.astype(np.float64), [low, high])
    return float(ends[0]), float(ends[1])


def to_rgb(
    values: Array,
    description: Description,
    window: tuple[float, float] | None,
    colormap: Any = None,
    lut: int | None = None,
    norm: str | Callable[[Array], Array] = "linear",
    clip: str = "window",
    probs: Sequence[float] = (0.01, 0.999),
) -> tuple[Array, Description]:
    """Colours of grey values.

    Parameters
    ----------
    window
        (centre, width); None for the range of the values.
    colormap
        A name of matplotlib, or a function of shares from 0 to 1.
    lut
        Number of different colours.
    norm
        "linear", "log", or a function of shares.
    clip
        "window", or "hist" for the range between the shares `probs` of values.
    """
    if SAMPLE in description.axes.names:
        raise WriteNotImplemented("the array has colours already")
    low, high = _ends(values, window, clip, probs)
    shares = np.clip((np.nan_to_num(values.astype(np.float64), nan=low) - low) / max(high - low, 1e-12), 0, 1)
    if norm == "log":
        shares = np.log1p(shares * 9) / np.log(10)
    elif callable(norm):
        shares = np.clip(np.asarray(norm(shares)), 0, 1)
    elif norm != "linear":
        raise ValueError('norm is "linear", "log" or a function')
    if lut is not None:
        shares = np.rint(shares * (lut - 1)) / max(lut - 1, 1)
    return _with_samples(_coloured(shares, colormap), description, ("R", "G", "B"))


def fuse_mask(
    values: Array,
    description: Description,
    mask: Any,
    window: tuple[float, float] | None,
    alpha: float = 0.7,
    blend: bool = False,
    maskmap: Any = "magma",
    maskrange: tuple[float, float] | None = None,
    **options: Any,
) -> tuple[Array, Description]:
    """A mask in colours over an image, grey or in colours itself.

    A mask of truth values, or of the integers 0 and 1, is red, with a soft edge; any other is shown by a colour map.

    Parameters
    ----------
    mask
        Of the array's shape, or of that of its slices, or of a slice.
    alpha
        Share of the image, of which the mask gets the rest: its colours are added.
    blend
        Whether the image is dimmed to its share.
    maskmap, maskrange
        Colour map of a mask, and the values that its ends stand for (None: least and greatest).
    **options
        As of `to_rgb`.

    Raises
    ------
    GeometryMismatch
        The mask has another shape, or lies elsewhere.
    """
    from scipy.ndimage import gaussian_filter  # slow to load

    if hasattr(mask, "description"):
        description.require_same_place(mask.description)
    if SAMPLE in description.axes.names:
        base, coloured = values, replace(description, meta=description.meta.derived("colours"))
    else:
        base, coloured = to_rgb(values, description, window, **options)
    weights = np.asarray(mask)
    if weights.shape == base.shape:  # a value for each channel
        weights = weights.max(axis=-1)
    whole = base.shape[:-1]
    if weights.shape != whole[len(whole) - weights.ndim :]:
        raise GeometryMismatch(f"the mask has shape {weights.shape}, the array {values.shape}")
    binary = weights.dtype.kind == "b" or (weights.dtype.kind in "iu" and set(np.unique(weights)) <= {0, 1})
    if binary:
        names = [axis.name for axis in description.axes if axis.name != SAMPLE][-weights.ndim :] if weights.ndim else []
        sigma = [SMOOTH if name in ("row", "column") else 0.0 for name in names]
        red = gaussian_filter(weights.astype(np.float64), sigma)
        over = np.stack([red, np.zeros_like(red), np.zeros_like(red)], axis=-1) * 255
    else:
        known = weights[np.isfinite(weights)]
        low, high = maskrange or ((known.min(), known.max()) if known.size else (0, 1))
        shares = np.nan_to_num((weights.astype(np.float64) - float(low)) / (float(high) - float(low) or 1.0))
        over = _coloured(np.clip(shares, 0, 1), maskmap).astype(np.float64)
    fused = np.clip((1 - alpha) * over + (alpha if blend else 1.0) * base, 0, 255)
    return np.rint(fused).astype(np.uint8), coloured


def to_channels(arrays: Sequence[Any], labels: Sequence[str]) -> tuple[Array, Description]:
    """Arrays of one shape and place as channels of one; each channel by its label.

    Raises
    ------
    GeometryMismatch
        Shapes or places differ.
    """
    if len(arrays) != len(labels) or not arrays:
        raise ValueError(f"{len(labels)} labels for {len(arrays)} channels")
    first = arrays[0]
    for other in arrays[1:]:
        if np.shape(other) != first.shape:
            raise GeometryMismatch(f"channels of shapes {first.shape} and {np.shape(other)}")
        if hasattr(other, "description"):
            first.description.require_same_place(other.description)
    return _with_samples(np.stack([np.asarray(one) for one in arrays], axis=-1), first.description, labels)


def _with_samples(values: Array, description: Description, labels: Sequence[str]) -> tuple[Array, Description]:
    axes = Axes((*description.axes, Axis(SAMPLE, list(labels))))
    return values, replace(description, axes=axes, meta=description.meta.derived("colours"))


def _ends(values: Array, window: tuple[float, float] | None, clip: str, probs: Sequence[float]) -> tuple[float, float]:
    if clip == "hist":
        return clip_range(values, probs)
    if clip != "window":
        raise ValueError('clip is "window" or "hist"')
    center, width = window if window is not None else window_of(values)
    return center - width / 2, center + width / 2


def _coloured(shares: Array, colormap: Any) -> Array:
    """Colours of shares from 0 to 1, uint8."""
    if isinstance(colormap, (str, type(None))) and colormap in GREYS:
        return np.repeat(np.rint(shares * 255).astype(np.uint8)[..., None], 3, axis=-1)
    if isinstance(colormap, str):
        from matplotlib import colormaps  # slow to load

        colormap = colormaps[colormap]
    colours = np.asarray(colormap(shares))[..., :3]
    return np.rint(colours * 255).astype(np.uint8) if colours.dtype.kind == "f" else colours.astype(np.uint8)

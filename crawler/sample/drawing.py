"""Soft shapes and smooth noise on pixel grids: the pencils of `phantom.py` and `planar.py`.

Shapes are signed distances (negative inside), which `edge` turns into coverage, so that outlines are smooth at any
size. Nothing here knows anatomy or DICOM.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def grid(rows: int, columns: int, height: float, width: float) -> tuple[Array, Array]:
    """Return coordinates (y down, x right) of pixel centres about the middle of the picture.

    Returns
    -------
    tuple of ndarray
        Shapes (rows, 1) and (1, columns), in the unit of ``height`` and ``width``.
    """
    y = (np.arange(rows) + 0.5) / rows * height - height / 2
    x = (np.arange(columns) + 0.5) / columns * width - width / 2
    return y[:, None], x[None, :]


def smooth_noise(shape: tuple[int, ...], grain: tuple[float, ...], seed: int, fine: float = 0.0) -> Array:
    """Return Gaussian noise of unit variance, low-passed to a grain.

    Parameters
    ----------
    grain
        Standard deviation of the Gaussian in pixels, an axis.
    fine
        Subtract the same noise at ``fine`` times the grain, which leaves a band of sizes (folds, trabeculae).
    """
    white = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    last = len(shape) - 1
    square = np.zeros(white.shape)
    for axis, (n, width) in enumerate(zip(shape, grain, strict=True)):
        frequency = np.fft.rfftfreq(n) if axis == last else np.fft.fftfreq(n)
        square = square + (frequency * width).reshape([-1 if k == axis else 1 for k in range(len(shape))]) ** 2
    response = np.exp(-2 * np.pi**2 * square)
    if fine:
        response = response - np.exp(-2 * np.pi**2 * square * fine**2)
    noise = np.fft.irfftn(white * response, shape, axes=range(len(shape)))
    result: Array = (noise - noise.mean()) / noise.std()
    return result


def edge(distance: Array, width: float = 1.0) -> Array:
    """Return the share of a pixel that lies inside: 1 below ``-width / 2``, 0 above ``width / 2``."""
    return np.clip(0.5 - distance / width, 0.0, 1.0)


def blob(y: Array, x: Array, cy: float, cx: float, ry: float, rx: float, angle: float = 0.0) -> Array:
    """Return the signed distance (about, negative inside) to an ellipse; ``angle`` in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (y - cy) * cos + (x - cx) * sin, (x - cx) * cos - (y - cy) * sin
    distance: Array = (np.sqrt((u / ry) ** 2 + (v / rx) ** 2) - 1) * min(abs(ry), abs(rx))
    return distance


def stroke(y: Array, x: Array, points: npt.ArrayLike) -> Array:
    """Return the distance to a line through ``points``, shape (n, 2), as (y, x)."""
    path = np.asarray(points, dtype=float)
    nearest = np.full(np.broadcast_shapes(y.shape, x.shape), np.inf)  # squared: one root at the end, not one a segment
    for (ay, ax), (by, bx) in itertools.pairwise(path):
        dy, dx = by - ay, bx - ax
        v, u = y - ay, x - ax
        along = (v * dy + u * dx) / (dy * dy + dx * dx + 1e-12)
        np.clip(along, 0, 1, out=along)
        np.minimum(nearest, (v - along * dy) ** 2 + (u - along * dx) ** 2, out=nearest)
    distance: Array = np.sqrt(nearest)
    return distance

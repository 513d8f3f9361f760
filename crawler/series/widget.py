"""Series in a notebook: three planes and a rendering that turn in the browser, by NiiVue (the package ipyniivue).

The browser gets NIfTI, in patient coordinates. Nothing is written to disk; polygons are drawn in the window of
`viewer.py` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from crawler.config.packaged import install
from crawler.errors import StopError
from crawler.series.interop import to_nibabel

OVERLAY = 0.5
"""Opacity of series over the first one."""
COLOURS = ("gray", "warm", "winter", "plasma", "viridis")
"""Colour maps of NiiVue: of the first series, and of those over it in turn."""
_TYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")
"""Of voxels, that NiiVue draws without turning them into others."""


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def is_installed() -> bool:
    """Whether the package is there; it is not loaded."""
    from importlib.util import find_spec

    return find_spec("ipyniivue") is not None


def widget(series: Sequence[Any], window: tuple[float, float] | None = None, colormap: Any = None) -> Any:
    """An `ipyniivue.NiiVue` of series in one place: the first in grey, others over it in colours.

    Parameters
    ----------
    window
        (centre, width) of the first; None for its own.
    colormap
        Name of a colour map of NiiVue for the first.

    Raises
    ------
    StopError
        ipyniivue is not installed; says how to install it.
    """
    try:
        from ipyniivue import NiiVue  # an extra; it loads IPython
    except ImportError:
        raise StopError(f"the viewer in a notebook needs ipyniivue: install it with `{install('widget')}`") from None
    shown = NiiVue()
    shown.set_radiological_convention(True)  # the patient's right on the left, as DICOM rows have it
    shown.load_volumes([_volume(one, number, window, colormap) for number, one in enumerate(series)])
    return shown


def _volume(one: Any, number: int, window: tuple[float, float] | None, colormap: Any) -> dict[str, Any]:
    """What NiiVue is told of a series: bytes of NIfTI, and how it is shown; nothing of the patient."""
    told: dict[str, Any] = {
        "name": f"series{number + 1}.nii",
        "data": nifti_bytes(one),
        "opacity": 1.0 if number == 0 else OVERLAY,
    }
    if one.color:
        return told
    center, width = (one.windowCenter, one.windowWidth) if window is None or number else window
    told["colormap"] = str(colormap) if colormap and not number else COLOURS[number % len(COLOURS)]
    told |= {"cal_min": float(center) - float(width) / 2, "cal_max": float(center) + float(width) / 2}
    return told


def nifti_bytes(one: Any) -> bytes:
    """A series as a NIfTI file in memory."""
    values = one.values
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype.name not in _TYPES:
        values = values.astype(np.uint8 if values.dtype.kind == "b" else np.float32)
    if one.color:
        channels = [(letter, "u1") for letter in "RGBA"[: values.shape[-1]]]
        image = to_nibabel(values, one.description)
        import nibabel  # loaded by now

        planes = np.ascontiguousarray(np.moveaxis(np.asarray(image.dataobj), 0, -1).astype(np.uint8)).view(channels)
        return bytes(nibabel.Nifti1Image(planes[..., 0], image.affine).to_bytes())
    return bytes(to_nibabel(values, one.description).to_bytes())

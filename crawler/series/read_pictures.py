"""Pictures and pages to arrays without a place: what Pillow reads, PostScript where Ghostscript is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from crawler.errors import SourceError
from crawler.paths import readable
from crawler.series.axis import SAMPLE, Axes, Axis, default_names
from crawler.series.description import Description, empty_frames
from crawler.series.errors import NotImageError, UnknownInputError
from crawler.series.grid import Grid
from crawler.series.headers import Meta

GHOSTSCRIPT_SECONDS = 120
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".jp2")


def load_picture(path: str, order: str) -> tuple[Any, Description]:
    """A picture that Pillow reads; the frames of one that has several."""
    from PIL import Image, ImageSequence, UnidentifiedImageError  # slow to load

    try:
        with Image.open(path) as picture:
            if picture.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                planes = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
            else:
                planes = [np.asarray(frame) for frame in ImageSequence.Iterator(picture)]
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise NotImageError(f"{readable(path)} is no picture that can be read ({type(error).__name__})") from None
    array = planes[0] if len(planes) == 1 else np.stack(planes)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    colour = planes[0].ndim == 3
    return described(array, order, "image", colour)


def load_postscript(path: str, order: str, psopt: str = "") -> tuple[Any, Description]:
    """The pages of a PostScript or PDF file, as Ghostscript draws them.

    Parameters
    ----------
    psopt
        "dpi=100,driver=png16m,rotate=0": pixels an inch, png16m or pnggray, and degrees, a multiple of 90.
    """
    dpi, driver, rotate = _postscript_options(psopt)
    program = shutil.which("gs")
    if program is None:
        raise UnknownInputError(f"{readable(path)}: PostScript needs Ghostscript: install the program gs")
    with tempfile.TemporaryDirectory(prefix="dme-ps-") as folder:
        command = [program, "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={driver}", f"-r{dpi}"]
        try:
            done = subprocess.run(
                [*command, f"-sOutputFile={folder}/%05d.png", "-f", path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GHOSTSCRIPT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotImageError(f"{readable(path)}: Ghostscript took over {GHOSTSCRIPT_SECONDS} s to draw it") from None
        names = sorted(os.listdir(folder))
        if done.returncode or not names:
            raise NotImageError(f"{readable(path)}: Ghostscript cannot draw it")
        pages = [load_picture(os.path.join(folder, name), order)[0] for name in names]
    pages = [np.ascontiguousarray(np.rot90(page, rotate // 90)) for page in pages]
    return described(pages[0] if len(pages) == 1 else np.stack(pages), order, "ps", colour=pages[0].ndim == 3)


def _postscript_options(psopt: str) -> tuple[int, str, int]:
    given = {"dpi": "100", "driver": "png16m", "rotate": "0"}
    for pair in psopt.split(",") if psopt else ():
        name, _, value = pair.partition("=")
        if name.strip() not in given:
            raise SourceError(f"psopt has no {name.strip()!r}: dpi, driver, rotate")
        given[name.strip()] = value.strip()
    right = given["dpi"].isdigit() and 0 < int(given["dpi"]) <= 2400 and given["driver"] in ("png16m", "pnggray")
    if not right or given["rotate"] not in ("0", "90", "180", "270"):
        raise SourceError("psopt: dpi up to 2400, driver png16m or pnggray, rotate 0, 90, 180 or 270")
    return int(given["dpi"]), given["driver"], int(given["rotate"])


def described(array: Any, order: str, input_format: str, colour: bool = False) -> tuple[Any, Description]:
    """An array of which no place is known."""
    leading = [part.strip() for part in order.split(",") if part.strip() not in ("", "auto", "none")]
    names = default_names(array.ndim, leading, colour)
    axes = Axes(Axis(name, np.arange(length)) for name, length in zip(names, array.shape, strict=True))
    return array, Description(axes, Grid.of_indices(), no_headers(axes), Meta(input_format=input_format))


def no_headers(axes: Sequence[Axis]) -> Any:
    """Headers of frames of which nothing is known."""
    return empty_frames([len(axis) for axis in axes if axis.name not in ("row", "column", SAMPLE)])

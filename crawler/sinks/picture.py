"""One array as an encoded picture in memory, in any format that Pillow writes; plain PNG goes a faster way (`png.py`).

It knows which formats hold 16 bits and which parameters each writer takes. No pixel is scaled, cropped or padded, and
no file is written.
"""

from __future__ import annotations

import difflib
import io
import struct
from collections.abc import Mapping
from typing import Any

from crawler.errors import SinkError
from crawler.sinks import png

# Formats in which Pillow 13 keeps 16 bit grey as it is: each was written and read back. Others get 8 bit.
SIXTEEN_BIT = frozenset({"PNG", "TIFF", "PPM", "JPEG2000"})

# Pillow passes over a parameter that it does not know without a word, so a misspelt one would change nothing. These
# are the parameters of a still picture that YAML can express (Pillow handbook, "Image file formats").
# A format that is not listed takes any.
PARAMETERS = {
    "BMP": "dpi",
    "GIF": "comment interlace optimize",
    "JPEG": "comment dpi keep_rgb optimize progressive qtables quality restart_marker_blocks restart_marker_rows smooth"
    " streamtype subsampling",
    "JPEG2000": "cinema_mode codeblock_size comment irreversible mct no_jp2 num_resolutions offset plt precinct_size"
    " progression quality_layers quality_mode signed tile_offset tile_size",
    "PNG": "bits compress_level compress_type dpi optimize transparency",
    "TIFF": "artist big_tiff compression copyright date_time description dpi quality resolution resolution_unit"
    " software strip_size tiffinfo x_resolution y_resolution",
    "WEBP": "exact lossless method quality",
}

# What Pillow's encoders raise for values that they cannot use, besides OSError.
REFUSALS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, SystemError, struct.error)


def encode(pixels: Any, name: str, extension: str, parameters: Mapping[str, Any]) -> bytes:
    """Encode a picture.

    In memory: while Pillow writes to a file it loses the number of the system's error, and a full disk could not be
    told from a bad picture.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (rows, columns), or uint8, shape (rows, columns, 3).
    name
        The format, as `format_of` gives it.
    extension
        Tells a bare code stream (.j2k) from a boxed one (.jp2).
    parameters
        Of Pillow's writer.

    Raises
    ------
    SinkError
        Pillow refuses the picture or the parameters.
    """
    if name == "PNG" and not parameters and png.holds(pixels):
        return png.encode(pixels)
    from PIL import Image  # slow to load: a plain PNG does without

    buffer = _Buffer(extension)
    try:
        Image.fromarray(pixels).save(buffer, format=name, **parameters)
    except (OSError, *REFUSALS) as error:
        raise SinkError("image not encoded", f"{name}: {error}") from error
    return buffer.getvalue()  # not getbuffer: CPython 3.12.1 may crash collecting one (gh-111049)


def format_of(extension: str) -> str:
    """Pillow's name of the format with this extension.

    Raises
    ------
    SinkError
        It writes none.
    """
    from PIL import Image  # slow to load: a plain PNG does without

    extension = extension.lower()
    Image.preinit()
    if extension not in Image.EXTENSION:
        Image.init()  # the less common plug-ins
    name = Image.EXTENSION.get(extension, "")
    if name not in Image.SAVE:
        raise SinkError("unknown image format", f"Pillow writes no {extension} files")
    return name


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise SinkError for a parameter that the writer of a format would pass over."""
    if name not in PARAMETERS:
        return
    known = PARAMETERS[name].split()
    for parameter in parameters:
        if parameter not in known:
            nearest = difflib.get_close_matches(parameter, known, 1)
            hint = f", the nearest is {nearest[0]}" if nearest else ""
            raise SinkError("unknown writer parameter", f"{name} has no {parameter}{hint}")


class _Buffer(io.BytesIO):
    """A file in memory; by its name Pillow tells a bare code stream (.j2k) from a boxed one (.jp2)."""

    def __init__(self, extension: str) -> None:
        super().__init__()
        self.name = f"image{extension}"

"""Stored values to what a person sees (PS3.3 C.11): VOI, LUTs, palettes, colour, overlays, crop.

A run for headers or volumes makes no picture. This door loads a module when one of its names is first asked for, which
saves such a run some 25 ms of a start of 260.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not follow `__getattr__`
    from crawler.display.attributes import DisplayAttributes
    from crawler.display.colour import to_rgb
    from crawler.display.crop import Box, Cropped, us_region
    from crawler.display.display import Display, ScanDisplay
    from crawler.display.grey_range import padding
    from crawler.display.lut import Lut, modality_lut
    from crawler.display.palette import palette_of
    from crawler.display.renderer import Renderer
    from crawler.display.voi import Window

__all__ = [
    "Box",
    "Cropped",
    "Display",
    "DisplayAttributes",
    "Lut",
    "Renderer",
    "ScanDisplay",
    "Window",
    "modality_lut",
    "padding",
    "palette_of",
    "to_rgb",
    "us_region",
]

_HOMES = {
    "Box": "crop",
    "Cropped": "crop",
    "Display": "display",
    "DisplayAttributes": "attributes",
    "Lut": "lut",
    "Renderer": "renderer",
    "ScanDisplay": "display",
    "Window": "voi",
    "modality_lut": "lut",
    "padding": "grey_range",
    "palette_of": "palette",
    "to_rgb": "colour",
    "us_region": "crop",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"crawler.display.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

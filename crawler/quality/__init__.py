"""Measures of image quality, without a model.

This door loads the measures when one of their names is first asked for: few runs measure, and NumPy's part of it costs
a tenth of a start.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not follow `__getattr__`
    from crawler.quality.measures import Tally, Thresholds, grey_of, judge, measure, thresholds_for

__all__ = ["Tally", "Thresholds", "grey_of", "judge", "measure", "thresholds_for"]


def __getattr__(name: str) -> object:
    """Load the measures."""
    if name in __all__:
        return getattr(importlib.import_module("crawler.quality.measures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

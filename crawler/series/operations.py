"""What can be done with a series beside computing: write, resample, show, hand over.

Each is a module of its own, loaded when it is first used.
"""

from __future__ import annotations

from crawler.series.state import State


class Operations(State):
    """Doors to the modules that do the work."""

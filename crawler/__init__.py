"""dme: folders of DICOM files to tables, media and volumes, with every file accounted for.

>>> from crawler import load_config, run
>>> summary = run(load_config("config.yml"))  # doctest: +SKIP

README.md, "From Python", shows the stages one by one.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not follow `__getattr__`
    from crawler.api import find
    from crawler.config.loader import load_config
    from crawler.engine.run import run
    from crawler.instance.header import read_instance
    from crawler.layout.layouts import layouts
    from crawler.layout.scan import group_scans
    from crawler.pixels.frames import frames

__version__ = "0.1.0"

__all__ = ["__version__", "find", "frames", "group_scans", "layouts", "load_config", "read_instance", "run"]


_HOMES = {
    "find": "crawler.api",
    "frames": "crawler.pixels.frames",
    "group_scans": "crawler.layout.scan",
    "layouts": "crawler.layout.layouts",
    "load_config": "crawler.config.loader",
    "read_instance": "crawler.instance.header",
    "run": "crawler.engine.run",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is first asked for: `import crawler` alone stays cheap."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

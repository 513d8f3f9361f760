"""dme: folders of DICOM files to tables, media and volumes, with every file accounted for.

>>> from crawler import load_config, run
>>> summary = run(load_config("config.yml"))  # doctest: +SKIP

README.md, "From Python", shows the stages one by one.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not follow `__getattr__`
    from crawler.api import find
    from crawler.config import load_config
    from crawler.header import read_instance
    from crawler.layout import layouts
    from crawler.pixels import frames
    from crawler.runner import run
    from crawler.scan import group_scans

__version__ = "0.1.0"

__all__ = ["__version__", "find", "frames", "group_scans", "layouts", "load_config", "read_instance", "run"]


_HOMES = {
    "find": "crawler.api",
    "frames": "crawler.pixels",
    "group_scans": "crawler.scan",
    "layouts": "crawler.layout",
    "load_config": "crawler.config",
    "read_instance": "crawler.header",
    "run": "crawler.runner",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is first asked for: `import crawler` alone stays cheap."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

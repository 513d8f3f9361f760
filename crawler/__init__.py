"""dme: folders of DICOM files to tables, media and volumes, with every file accounted for.

>>> from crawler import load_config, run
>>> summary = run(load_config("config.yml"))  # doctest: +SKIP
"""

import importlib

__version__ = "0.1.0"

__all__ = ["__version__", "load_config", "run"]


_HOMES = {"load_config": "crawler.config", "run": "crawler.runner"}


def __getattr__(name: str) -> object:
    """Load the engine when it is first asked for: `import crawler` alone stays cheap."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

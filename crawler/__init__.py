"""dme: folders of DICOM files to tables, media and volumes, with every file accounted for.

>>> from crawler import load_config, run
>>> summary = run(load_config("config.yml"))  # doctest: +SKIP

docs/reference/python.md shows the stages one by one.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not follow `__getattr__`
    from crawler.api import find, iter_series, load_volume
    from crawler.config.loader import load_config
    from crawler.engine.run import run
    from crawler.errors import (
        ConfigError,
        CrawlerError,
        FileError,
        HeaderError,
        LayoutError,
        LedgerError,
        NotDicom,
        OutputError,
        PixelError,
        SinkError,
        SourceError,
        StopError,
    )
    from crawler.instance.header import read_instance
    from crawler.layout.layouts import layouts
    from crawler.layout.scan import group_scans
    from crawler.pixels.frames import frames
    from crawler.series.collection import Cohort, Patient, Study
    from crawler.series.series import Series
    from crawler.sources.volume import Volume
    from crawler.tables.reading import read_metadata, read_series

__version__ = "0.1.0"

__all__ = [
    "Cohort",
    "ConfigError",
    "CrawlerError",
    "FileError",
    "HeaderError",
    "LayoutError",
    "LedgerError",
    "NotDicom",
    "OutputError",
    "Patient",
    "PixelError",
    "Series",
    "SinkError",
    "SourceError",
    "StopError",
    "Study",
    "Volume",
    "__version__",
    "find",
    "frames",
    "group_scans",
    "iter_series",
    "layouts",
    "load_config",
    "load_volume",
    "read_instance",
    "read_metadata",
    "read_series",
    "run",
]

_HOMES = {
    "find": "crawler.api",
    "frames": "crawler.pixels.frames",
    "group_scans": "crawler.layout.scan",
    "iter_series": "crawler.api",
    "layouts": "crawler.layout.layouts",
    "load_config": "crawler.config.loader",
    "load_volume": "crawler.api",
    "read_instance": "crawler.instance.header",
    "read_metadata": "crawler.tables.reading",
    "read_series": "crawler.tables.reading",
    "Cohort": "crawler.series.collection",
    "Patient": "crawler.series.collection",
    "Series": "crawler.series.series",
    "Study": "crawler.series.collection",
    "Volume": "crawler.sources.volume",
    "run": "crawler.engine.run",
}
_HOMES |= {name: "crawler.errors" for name in __all__ if name.endswith(("Error", "NotDicom"))}


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is first asked for: `import crawler` alone stays cheap."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

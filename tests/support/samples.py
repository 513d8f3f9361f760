"""The sample tree for tests that only need one: written once a process, which takes seconds, and copied."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from crawler.sample import write_sample


def copy_sample(folder: Path, broken: bool = False) -> None:
    """Fill a folder as `write_sample` does."""
    shutil.copytree(_written(broken), folder, dirs_exist_ok=True)


TEMP = tempfile.gettempdir()  # a test may give the process another one, and look whether it stays empty


@functools.cache
def _written(broken: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dme-sample-", dir=TEMP))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_sample(folder, broken=broken)
    return folder

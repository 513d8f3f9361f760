"""NiiVue's script, where the package that brings it is installed. The package is not imported: its file is found."""

from __future__ import annotations

import os
from importlib.util import find_spec

from crawler.config.packaged import install

ENDINGS = (".nii", ".nii.gz")
"""Of volumes that NiiVue is given."""
_SCRIPT = ("static", "widget.js")


def script() -> str | None:
    """Path of the script in the package ipyniivue; None where it is not installed."""
    found = find_spec("ipyniivue")
    folder = os.path.dirname(found.origin) if found is not None and found.origin else ""
    path = os.path.join(folder, *_SCRIPT)
    return path if folder and os.path.isfile(path) else None


def how_to_install() -> str:
    """The command that installs it."""
    return install("widget")

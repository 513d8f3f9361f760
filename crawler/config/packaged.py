"""Files that come with dme and are no Python: `dicom_tags/` and the sample configuration.

In a checkout they lie at its top level, where people edit them; a wheel holds copies in `crawler/packaged/`
(pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def packaged(name: str) -> Path:
    """Path of a file or folder that comes with dme: "dicom_tags", "config.yml"."""
    inside = _PACKAGE / "packaged" / name
    return inside if inside.exists() else _PACKAGE.parent / name


def install(extra: str) -> str:
    """The command that installs an extra: "tables", "formats"; from a checkout by its file of requirements."""
    installed = (_PACKAGE / "packaged").exists()
    return (
        f'python -m pip install "dicom-dme[{extra}]"'
        if installed
        else (f"python -m pip install -r requirements-{extra}.txt")
    )

"""Names of the files that a retrieval keeps beside what it received."""

from __future__ import annotations

import os

MANIFEST = "retrieval.manifest"
ARRIVALS = f"{MANIFEST}.arrivals"


def manifest_files(folder: str) -> list[str]:
    """Paths of these files in a folder of received files: they are no input."""
    return [os.path.join(folder, name) for name in (MANIFEST, f"{MANIFEST}-journal", ARRIVALS)]

"""Series whose headers are a small part of them, and how many bytes these headers have."""

from __future__ import annotations

from pathlib import Path

from crawler.instance.header import read_instance
from crawler.sources.directory import listing, roots_of
from support.factories import ct_series


def large_headers(folder: Path) -> int:
    """Write four series of 15 slices of 512 x 512; return the bytes in front of their pixels."""
    headers = 0
    for number in range(4):
        for path in ct_series(folder / f"{number}", n=15, size=(512, 512), uid=f"1.2.3.{number}"):
            (root,) = roots_of([str(path)])
            pixels = read_instance(listing(root, "").files()[0]).pixels
            assert pixels is not None
            headers += pixels.offset
    return headers

"""Sizes in bytes: what a configuration says of one, and what a person reads of one."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Z]*)", re.ASCII | re.IGNORECASE)
A_SIZE = "a size of at least one byte, such as 4GB, 512 MB or 1GiB"


def read_size(written: object) -> object:
    """Bytes of a text such as "4GB", "512 MB", "1.5GiB" (GB is 10^9, GiB is 2^30), else ValueError.

    Anything but text comes back unchanged, for the check of its type.
    """
    if not isinstance(written, str):
        return written
    match = _SIZE.fullmatch(written.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(A_SIZE)
    from decimal import Decimal  # few configurations name a size

    return int(Decimal(match[1]) * _UNITS[match[2].upper()])


def size_text(size: float) -> str:
    """Bytes with a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"

"""Addresses of remote folders, such as ``s3://bucket/prefix``: what is one, and which package reaches it.

It connects to nothing. Everything that is no address of a known kind is a path of this machine.
"""

from __future__ import annotations

import os
import re

# By scheme: what `fsspec` needs beside itself. `file` and `memory` need nothing, and serve tests.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "file": "",
    "memory": "",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# The names that somebody means when there is one before an @: a password is never one of them.
_SECRET = re.compile(r"[^/@:]*:[^/@]*@")


def scheme_of(path: str) -> str:
    """The scheme of something that is written as an address; empty for a path of this machine."""
    found = _SCHEME.match(path)
    return found[1].lower() if found else ""


def is_remote(path: str) -> bool:
    """Whether a path is an address that `fsspec` reaches."""
    return "://" in path and scheme_of(path) in PACKAGES


def identity(path: str) -> str:
    """A text that two names of one place share: an address as it is, else the real path."""
    return path if is_remote(path) else os.path.normcase(os.path.realpath(path))


def normal(address: str) -> str:
    """An address as it is recorded and compared: scheme in small letters, no slash at its end."""
    scheme, _, rest = address.partition("://")
    return f"{scheme.lower()}://{rest.rstrip('/') or '/'}"


def wrong_address(path: str) -> str:
    """What is wrong with an address; empty for a good one, and for a path.

    An address is written to the ledger and to logs, so it must hold no secret.
    """
    scheme = scheme_of(path)
    if not scheme:
        return ""
    if scheme not in PACKAGES:
        known = ", ".join(f"{name}://" for name in PACKAGES)
        return f"expected a folder, or an address that begins with one of {known}"
    rest = path.partition("://")[2]
    if _SECRET.match(rest) or (scheme in ("http", "https") and "?" in rest):
        return (
            "expected an address without password and query: they would be written to logs; give credentials the way"
            " that its library takes them (environment, key files, fsspec's configuration)"
        )
    return ""

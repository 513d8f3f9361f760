"""Where a PACS is: ``dicom://host:port/AET/study/series`` as a path, and addresses from the environment or a ``.env``.

It connects to nothing, and keeps no secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crawler.pacs.query import is_uid

SCHEME = "dicom://"
EXPECTED = "dicom://host:port/AET, and then /study UID and /series UID if need be"
# As the exporter of seeds/000 has them, and what DICOMweb needs beyond.
ADDRESSES = ("PACS_IP", "PACS_PORT", "CALLED_AET", "CALLING_AET", "CALLING_PORT", "PACS_URL")
SECRETS = ("PACS_USER", "PACS_PASSWORD", "PACS_TOKEN")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_AET_LENGTH = 16  # PS3.5 table 6.2-1, VR AE


class Address(NamedTuple):
    """A server and, if given, a study and a series there."""

    host: str
    port: int
    called_aet: str
    study_uid: str = ""
    series_uid: str = ""


def is_address(path: str) -> bool:
    """Whether a path names a PACS."""
    return path.lower().startswith(SCHEME)


def parse_address(text: str) -> Address:
    """Read ``dicom://host:port/AET[/study[/series]]``.

    Raises
    ------
    ValueError
        Says what is expected.
    """
    from urllib.parse import unquote, urlsplit  # 4 ms, and no run without an address needs it

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(EXPECTED) from None
    names = [unquote(name) for name in parts.path.split("/")[1:]]
    if names and not names[-1]:
        names.pop()
    if not parts.hostname or not port or parts.username or parts.query or parts.fragment or not 1 <= len(names) <= 3:
        raise ValueError(EXPECTED)
    if wrong_aet(names[0]):
        raise ValueError(f"{EXPECTED}; the AE title {wrong_aet(names[0])}")
    if not all(is_uid(uid) for uid in names[1:]):
        raise ValueError(f"{EXPECTED}; a UID has digits and dots")
    return Address(parts.hostname, port, *names)


def wrong_aet(title: str) -> str:
    """Say what is wrong with an AE title (PS3.5 6.2); empty when it is good."""
    if not title.strip():
        return "is empty"
    if len(title) > _AET_LENGTH:
        return f"has more than {_AET_LENGTH} characters"
    if "\\" in title or not (title.isascii() and title.isprintable()):
        return "may hold printable ASCII characters only, and no backslash"
    return ""


def settings(folders: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What environment and ``.env`` files say of `ADDRESSES` and `SECRETS`.

    Parameters
    ----------
    folders
        Where to look for a ``.env``; the first one that is there is read. The environment goes before it.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for folder in folders:
        lines = _lines(os.path.join(folder, ".env"))
        if lines is not None:
            found = {match[1]: _unquoted(match[2]) for line in lines if (match := _LINE.fullmatch(line))}
            break
    known = (*ADDRESSES, *SECRETS)
    merged = {**found, **{name: environ[name] for name in known if environ.get(name)}}
    return {name: merged[name] for name in known if merged.get(name)}


def _lines(path: str) -> list[str] | None:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return re.sub(r"\s+#.*$", "", value)

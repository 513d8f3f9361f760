"""The linking table: which file, patient and UID a token of the output stands for. Encrypted, in the private folder.

Each process of a run appends sealed records to a file of its own (AES-256-GCM, a key derived from the secret); reading
needs the same secret. A file that is read again is linked again, and the last record of it counts. Needs the package
`cryptography`, the extra `privacy`.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from crawler.errors import OutputError
from crawler.model import Instance
from crawler.privacy.keys import Key
from crawler.privacy.policy import Policy

FOLDER = "linking"
_ENDING = ".sealed"
_NONCE = 12  # bytes, NIST SP 800-38D 8.2
_SIZE = 4


def is_available() -> bool:
    """Whether the package that seals is installed."""
    return importlib.util.find_spec("cryptography") is not None


class LinkWriter:
    """Collects links of one process, and seals those of a task together."""

    def __init__(self, folder: str, key: Key) -> None:
        self._path = os.path.join(folder, f"{secrets.token_hex(8)}{_ENDING}")
        self._key = key
        self._records: list[dict[str, Any]] = []

    def add(self, policy: Policy, original: Instance, cleaned: Instance) -> None:
        """Note one file."""
        record = original.record
        self._records.append(
            {
                "public": cleaned.file.key,
                "root": os.fsencode(original.file.root).decode("utf-8", "replace"),
                "file": os.fsencode(original.file.true).decode("utf-8", "replace"),
                "subject": policy.key.subject(*policy.identity(original)),
                "basis": policy.identity(original)[0],
                "patient_id": record.get("PatientID") or record.get("(0010,0020)") or record.get("Patient ID"),
                "study": [original.study_uid, cleaned.study_uid],
                "series": [original.series_uid, cleaned.series_uid],
                "sop": [original.sop_uid, cleaned.sop_uid],
            }
        )

    def flush(self) -> None:
        """Seal and append what was collected. Raises OutputError."""
        if not self._records:
            return
        sealed = _sealed(self._key, orjson.dumps(self._records, default=str))
        self._records = []
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                file.write(len(sealed).to_bytes(_SIZE, "big") + sealed)
        except OSError as error:
            raise OutputError(f"the linking table cannot be written in privacy.private: {error.strerror}") from None


def read_links(folder: Path, key: Key) -> Iterator[dict[str, Any]]:
    """Links of all runs and shards below a folder, one a file of the input, the last record of each.

    Raises
    ------
    OutputError
        A record cannot be opened: another key made it, or it is damaged.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.rglob(f"*{_ENDING}"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        data = path.read_bytes()
        place = 0
        while place + _SIZE <= len(data):
            size = int.from_bytes(data[place : place + _SIZE], "big")
            sealed = data[place + _SIZE : place + _SIZE + size]
            place += _SIZE + size
            if len(sealed) < size:
                break  # a kill cut the last one; its task was done again
            for link in orjson.loads(_opened(key, sealed)):
                found[link["root"], link["file"]] = link
    yield from found.values()


def _sealed(key: Key, plain: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # an extra

    nonce = secrets.token_bytes(_NONCE)
    return nonce + bytes(AESGCM(key.derived("linking")).encrypt(nonce, plain, None))


def _opened(key: Key, sealed: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # an extra
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return bytes(AESGCM(key.derived("linking")).decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
    except InvalidTag:
        raise OutputError("the linking table was made with another key, or is damaged") from None

"""The linking table: which file, patient and UID a token of the output stands for. Encrypted, in the private folder.

Each process of a run appends sealed records to a file of its own, by a key derived from the secret, or to a custodian's
public key (`sealing.py`); reading needs the same secret, or the custodian's private key. A file that is read again is
linked again, and the last record of it counts. Needs the package `cryptography`, the extra `privacy`.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from crawler.errors import ConfigError, OutputError
from crawler.model import Instance
from crawler.privacy.keys import Key
from crawler.privacy.policy import Policy
from crawler.privacy.sealing import PRIVATE, PUBLIC, opened, opened_by, read_half, sealed, sealed_to

FOLDER = "linking"
_ENDING = ".sealed"
_OF_CUSTODIAN = ".sealed-to-custodian"
_DOMAIN = "linking"
_SIZE = 4


def is_available() -> bool:
    """Whether the package that seals is installed."""
    return importlib.util.find_spec("cryptography") is not None


class LinkWriter:
    """Collects links of one process, and seals those of a task together."""

    def __init__(self, folder: str, key: Key, custodian: str | None = None) -> None:
        self._public = None if custodian is None else read_half(custodian, PUBLIC)
        ending = _ENDING if self._public is None else _OF_CUSTODIAN
        self._path = os.path.join(folder, f"{secrets.token_hex(8)}{ending}")
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
        plain, public = orjson.dumps(self._records, default=str), self._public
        data = sealed_to(public, plain) if public is not None else sealed(self._key.derived(_DOMAIN), plain)
        self._records = []
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                file.write(len(data).to_bytes(_SIZE, "big") + data)
        except OSError as error:
            raise OutputError(f"the linking table cannot be written in privacy.private: {error.strerror}") from None


def read_links(folder: Path, key: Key, custodian: str | None = None) -> Iterator[dict[str, Any]]:
    """Links of all runs and shards below a folder, one a file of the input, the last record of each.

    Parameters
    ----------
    custodian
        File of the private key of a custodian, for what was sealed to it.

    Raises
    ------
    ConfigError
        That file holds no such key, or is needed.
    OutputError
        A record cannot be opened: another key made it, or it is damaged.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    private = None if custodian is None else read_half(custodian, PRIVATE)
    paths = [*folder.rglob(f"*{_ENDING}"), *folder.rglob(f"*{_OF_CUSTODIAN}")]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        of_custodian = path.name.endswith(_OF_CUSTODIAN)
        if of_custodian and private is None:
            raise ConfigError("the linking table is sealed to a custodian: --custodian FILE names the private key")
        for data in _records(path):
            plain = opened_by(private, data) if of_custodian and private else opened(key.derived(_DOMAIN), data)
            for link in orjson.loads(plain):
                found[link["root"], link["file"]] = link
    yield from found.values()


def _records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    place = 0
    while place + _SIZE <= len(data):
        size = int.from_bytes(data[place : place + _SIZE], "big")
        record = data[place + _SIZE : place + _SIZE + size]
        place += _SIZE + size
        if len(record) < size:
            return  # a kill cut the last one; its task was done again
        yield record

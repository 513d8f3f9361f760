"""STOW-RS (PS3.18 10.5): files stored over HTTP, one a request, so that each has an answer of its own.

The file goes as it is; a dataset without file meta information gets one. Retries are in `send.py`.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from crawler.pacs.http import WebClient, outcome_of, status_words, whole
from crawler.pacs.model import Server
from crawler.pacs.part10 import file_meta
from crawler.pacs.send import Outgoing, Verdict
from crawler.pacs.status import WARNINGS, words

_PIECE = 1 << 20
# Failed SOP Sequence, Referenced SOP Sequence, Failure Reason, Warning Reason.
_FAILED, _STORED, _REASON, _WARNING = "00081198", "00081199", "00081197", "00081196"


class StowClient:
    """A `Channel` over STOW-RS."""

    def __init__(self, server: Server) -> None:
        self._client = WebClient(server)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._client.close()

    def prepare(self, instances: list[Outgoing]) -> None:
        """Nothing is agreed upon beforehand."""

    def store(self, instance: Outgoing, stop: threading.Event) -> Verdict:
        """Store one; see `Channel`."""
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        start = 0
        if not instance.whole:
            head += file_meta(instance.sop_class, instance.sop_uid, instance.transfer_syntax)
            start = instance.offset
        tail = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            with instance.open() as stream:
                stream.seek(start)
                while piece := stream.read(_PIECE):
                    yield piece
            yield tail

        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + instance.size - start + len(tail)),
            "Accept": "application/dicom+json",
        }
        with self._client.request("POST", "/studies", stop, headers, body) as response:
            return _verdict(response.status, whole(response))


def _verdict(status: int, body: bytes) -> Verdict:
    """What the answer says of the one instance (PS3.18 10.5.3.3)."""
    answer = _parsed(body)
    outcome = outcome_of(status)
    code = _code(answer, _FAILED, _REASON)
    if code is not None:
        busy = code >> 8 == 0xA7
        reason = f"the server answers {status_words(status)} and {words(code)}"
        return Verdict("failed" if busy else "refused", code, reason, busy)
    if outcome != "complete":
        again = outcome == "busy" or status >= 500
        return Verdict("failed" if again else "refused", status, f"the server answers {status_words(status)}", again)
    warning = _code(answer, _STORED, _WARNING)
    if warning is not None:
        kind = words(warning) if warning in WARNINGS else f"0x{warning:04X}"
        return Verdict("warning", warning, f"the server warns: {kind}")
    if status == 202 and not answer.get(_STORED):
        return Verdict("warning", status, "the server says accepted, and not that it is stored")
    return Verdict("stored", status)


def _parsed(body: bytes) -> dict[str, Any]:
    """The dataset of an answer; {} when it is none that we read."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    if isinstance(answer, list):
        answer = answer[0] if answer else {}
    return answer if isinstance(answer, dict) else {}


def _code(answer: dict[str, Any], sequence: str, element: str) -> int | None:
    """A code in the first item of a sequence; 0xC000 for a failed item without one."""
    items = answer.get(sequence)
    items = items.get("Value") if isinstance(items, dict) else None
    if not isinstance(items, list) or not items:
        return None
    values = items[0].get(element) if isinstance(items[0], dict) else None
    values = values.get("Value") if isinstance(values, dict) else None
    if isinstance(values, list) and values and isinstance(values[0], int):
        return int(values[0])
    return 0xC000 if sequence == _FAILED else None

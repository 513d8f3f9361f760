"""The error that a request is answered with."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not answered as it was asked: a status of HTTP and a sentence without identifiers."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

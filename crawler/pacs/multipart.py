"""The parts of a multipart/related body (RFC 2387, PS3.18 8.6.1.2) as they arrive, in memory that does not grow.

A part ends where its Content-Length says, or where the boundary comes. It does not look into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import Message
from typing import Protocol

from crawler.errors import RequestError

_BUFFER = 1 << 20
_MAX_HEADER = 1 << 14


class Stream(Protocol):
    """Something to read bytes from, such as an HTTP response."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes; 0 at the end."""
        ...


def boundary_of(content_type: str) -> tuple[str, bytes | None]:
    """Return the media type of a Content-Type and its boundary parameter; None when it has none."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    return message.get_content_type(), boundary.encode("latin-1", "replace") if isinstance(boundary, str) else None


class Parts:
    """Reads the parts of a body in turn."""

    def __init__(self, stream: Stream, boundary: bytes) -> None:
        self._stream = stream
        self._mark = b"\r\n--" + boundary
        self._view = memoryview(bytearray(_BUFFER))
        self._bytes: bytearray = self._view.obj  # type: ignore[assignment]  # what the view was made of
        self._start = self._end = 0

    def headers(self) -> Iterator[dict[str, str]]:
        """Yield the header of each part, names in lower case; `copy` must be called for each.

        Raises
        ------
        RequestError
            The body is cut off or is no multipart body.
        """
        # The first boundary may lack the line break that belongs to the others.
        self._bytes[:2] = b"\r\n"
        self._end = 2
        self._skip_to_mark()
        while True:
            ending = self._exactly(2)
            if ending == b"--":
                return
            while ending[-2:] != b"\r\n":  # white space behind a boundary
                ending = ending[-1:] + self._exactly(1)
            yield self._header()

    def copy(self, header: dict[str, str], write: Callable[[memoryview], object]) -> None:
        """Write the content of the part whose header was yielded last.

        Raises
        ------
        RequestError
            No boundary follows: what was written is not the part.
        """
        length = header.get("content-length", "")
        if length.isdigit():
            self._copy_length(int(length), write)
        else:
            self._copy_to_mark(write)
        if self._exactly(len(self._mark)) != self._mark:
            raise RequestError("the server's parts do not end where they say")

    def _header(self) -> dict[str, str]:
        """The lines up to an empty one."""
        found: dict[str, str] = {}
        size = 0
        while line := self._line():
            size += len(line)
            if size > _MAX_HEADER:
                raise RequestError("the header of a part has no end")
            name, _, value = line.decode("latin-1").partition(":")
            found[name.strip().lower()] = value.strip()
        return found

    def _line(self) -> bytes:
        """A line without its line break."""
        while (at := self._bytes.find(b"\r\n", self._start, self._end)) < 0:
            if self._end - self._start > _MAX_HEADER:
                raise RequestError("the header of a part has no end")
            self._fill()
        line = bytes(self._view[self._start : at])
        self._start = at + 2
        return line

    def _copy_length(self, length: int, write: Callable[[memoryview], object]) -> None:
        while length:
            if self._start == self._end:
                self._fill()
            end = min(self._end, self._start + length)
            write(self._view[self._start : end])
            length -= end - self._start
            self._start = end

    def _copy_to_mark(self, write: Callable[[memoryview], object]) -> None:
        """All up to the boundary, which stays unread."""
        keep = len(self._mark) - 1
        while (at := self._bytes.find(self._mark, self._start, self._end)) < 0:
            safe = max(self._start, self._end - keep)
            if safe > self._start:
                write(self._view[self._start : safe])
                self._start = safe
            self._fill()
        if at > self._start:
            write(self._view[self._start : at])
        self._start = at

    def _skip_to_mark(self) -> None:
        self._copy_to_mark(lambda _: None)
        self._start += len(self._mark)

    def _exactly(self, count: int) -> bytes:
        while self._end - self._start < count:
            self._fill()
        self._start += count
        return bytes(self._view[self._start - count : self._start])

    def _fill(self) -> None:
        """Read more, behind what is left."""
        left = self._end - self._start
        if self._start:
            self._view[:left] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, left
        got = self._stream.readinto(self._view[self._end :])
        if not got:
            raise RequestError("the server's answer is cut off", "dropped")
        self._end += got

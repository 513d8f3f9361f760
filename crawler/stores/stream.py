"""A remote file as seekable bytes: its beginning in blocks that grow little by little, everything else as it is asked.

A reader of headers takes what is there (`read_block`) and asks for more when it needs more: headers cost little more
than their own bytes. Reads elsewhere fetch what they ask for; those that go on where the last one ended fetch ahead.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from crawler.stores.header_sizes import LEAST
from crawler.stores.remote import RemoteStore
from crawler.stores.sized_stream import SizedStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST = 8 << 20  # bytes of one request: a longer read is made of several, in bounded memory
# Bytes of a file's beginning that are kept; who reads on so far reads the file from its first byte to its last.
_HEAD = 4 << 20


class RemoteStream(SizedStream, io.BufferedIOBase):
    """A part of a remote file, read only.

    Parameters
    ----------
    address
        Of the file.
    size
        Bytes of it, as listed.
    start, length
        The part that the stream is made of; all of it without.
    """

    def __init__(self, store: RemoteStore, address: str, size: int, start: int = 0, length: int | None = None) -> None:
        self._store, self._address, self._whole, self._start = store, address, size, start
        self._size = size - start if length is None else length
        self._head = b""
        self._window, self._window_at, self._ahead = b"", 0, 0

    # -- what a reader of headers knows of it ----------------------------------------------------------------------

    def read_block(self, least: int) -> bytes:
        """Bytes from the present position on: `least` of them unless the file ends before, and what is there anyway."""
        position = self._position
        if position > len(self._head) or len(self._head) >= _HEAD:
            data = self.read(max(least, LEAST))
            rest = self._position - self._window_at
            if 0 <= rest < len(self._window):
                data += self._window[rest:]
                self._position = self._window_at + len(self._window)
            return data
        self._grow(position + least)
        self._position = len(self._head)
        return self._head[position:]

    def header_ended(self, length: int) -> None:
        """Learn for the next file how long this one's header is, up to a value that was passed over."""
        self._store.headers.add(min(length, len(self._head)))

    @property
    def is_plain(self) -> bool:
        """Whether the file was found before to be no compressed attachment."""
        return self._store.is_plain(self._key)

    def note_plain(self) -> None:
        """Note that it is none."""
        self._store.note_plain(self._key)

    @property
    def _key(self) -> str:
        return f"{self._address}\0{self._start}" if self._start else self._address

    # -- what any file does ----------------------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes; fewer at the end.

        Raises
        ------
        OSError
            They cannot be had.
        """
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        end = self._position + wanted
        if end <= len(self._head):
            data = self._head[self._position : end]
        elif self._position <= len(self._head) < _HEAD and wanted <= _HEAD:
            self._grow(end)
            data = self._head[self._position : end]
        else:
            data = self._elsewhere(self._position, end)
        self._position += len(data)
        return data

    read1 = read

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def peek(self, size: int = 0, /) -> bytes:
        """Bytes from the present position on, which stays."""
        position = self._position
        data = self.read_block(max(1, min(size, 1)))
        self._position = position
        return data

    def _grow(self, end: int) -> None:
        """Fetch more of the beginning, so that it reaches at least so far."""
        have = len(self._head)
        end = min(end, self._size)
        if end <= have:
            return
        sizes = self._store.headers
        ahead = have + sizes.more(have) if have else sizes.first()
        self._head += self._fetch(have, min(max(end, ahead), self._size))

    def _elsewhere(self, position: int, end: int) -> bytes:
        """Bytes that lie behind the beginning, and ahead of those that are read one after the other."""
        parts: list[bytes] = []
        while position < end:
            inside = position - self._window_at
            if not 0 <= inside < len(self._window):
                goes_on = self._window and inside == len(self._window)
                self._ahead = min(2 * max(self._ahead, len(self._window)), LARGEST) if goes_on else 0
                stop = min(max(min(end, position + LARGEST), position + self._ahead), self._size)
                self._window, self._window_at, inside = self._fetch(position, stop), position, 0
            part = self._window[inside : inside + end - position]
            parts.append(part)
            position += len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _fetch(self, start: int, end: int) -> bytes:
        return self._store.fetch(self._address, self._start + start, self._start + end, self._whole)

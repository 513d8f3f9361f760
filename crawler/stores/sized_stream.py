"""What every read-only stream of known size does alike, however its bytes are had: it moves as any file does."""

from __future__ import annotations

import io


class SizedStream(io.IOBase):
    """A read-only stream of known size; who derives from it reads at `_position` and moves it on."""

    name = ""  # pydicom asks a buffered stream for it
    _position = 0
    _size = 0  # bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move as any file does; nothing is read for it.

        Raises
        ------
        ValueError
            The position would lie before the first byte.
        """
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the present position."""
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

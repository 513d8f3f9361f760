"""Temporary copies of an archive's members, below a folder that the caller owns.

Names come from counting, never from the archive. What is granted is checked before and while it is written, and a copy
that does not get finished is removed.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from typing import Self

from crawler.archives.quota import Quota
from crawler.errors import FileError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Spool:
    """Copies of one archive's members; as a context, it leaves no empty folder, and nothing at all after an error.

    Parameters
    ----------
    folder
        Made when it is not there; the copies lie in a new one below it.
    """

    def __init__(self, folder: str, quota: Quota) -> None:
        self._quota = quota
        os.makedirs(folder, exist_ok=True)
        self._folder = tempfile.mkdtemp(dir=folder)
        self._number = 0
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not os.listdir(self._folder):
            shutil.rmtree(self._folder)

    def check(self, size: int, written: int = 0) -> None:
        """Refuse `size` more bytes, beside the `written` ones of an unfinished copy, for which there is no room.

        Raises
        ------
        FileError
            "archive too large".
        """
        if self._used + written + size > self._quota.spooled:
            raise FileError("archive too large", f"its copies may take {self._quota.spooled:,} bytes: unpack it first")
        free = shutil.disk_usage(self._folder).free
        if size > free - self._quota.reserve:
            raise FileError(
                "archive too large", f"{size:,} bytes do not fit the {free:,} that are free: unpack it first"
            )

    def copy(self, parts: Iterable[bytes]) -> str:
        """Write a member; return the copy's path.

        Raises
        ------
        FileError
            "archive too large", with nothing left of the copy. What `parts` raises passes through, likewise.
        """
        path = os.path.join(self._folder, str(self._number))
        self._number += 1
        written = 0
        try:
            with open(path, "xb") as copy:
                for part in parts:
                    self.check(len(part), written)  # again at each part: others write to the same disk
                    copy.write(part)
                    written += len(part)
        except OSError as error:
            os.unlink(path)
            if error.errno in _FULL:
                raise FileError("archive too large", "the disk of the temporary copies is full") from error
            raise
        except BaseException:
            os.unlink(path)
            raise
        self._used += written
        return path

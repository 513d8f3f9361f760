"""Which paths a request may name: those below the workspace and the configured roots, with links resolved.

It opens nothing but the file that it was asked to open.
"""

from __future__ import annotations

import os
import re
import stat
from typing import BinaryIO

from crawler.paths import within
from crawler.web.refusals import Refused

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\\ud800-\udfff]{1,120}")
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
_DEEPEST = 24  # folders of an upload


class Places:
    """Folders that are open to requests."""

    def __init__(self, workspace: str, roots: tuple[str, ...] = ()) -> None:
        self.workspace = os.path.realpath(workspace)
        self.roots = tuple(dict.fromkeys(os.path.realpath(root) for root in roots))

    @property
    def all(self) -> tuple[str, ...]:
        """Workspace and roots."""
        return (self.workspace, *self.roots)

    def allows(self, path: str) -> bool:
        """Whether a path lies at or below one of the folders, links resolved, whether it exists or not."""
        if "\0" in path:
            return False
        real = os.path.realpath(path)
        return any(within(real, root) for root in self.all)

    def inside(self, path: str) -> str:
        """The real path of what a request names.

        Raises
        ------
        Refused
            It lies elsewhere.
        """
        if not self.allows(path):
            raise Refused(403, "the path lies outside the workspace and the configured folders")
        return os.path.realpath(path)

    def open(self, path: str) -> tuple[BinaryIO, os.stat_result]:
        """Open a regular file that lies inside, to read.

        Raises
        ------
        Refused
            It lies elsewhere, is gone, or is no regular file.
        """
        real = self.inside(path)
        try:
            handle = os.open(real, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            raise Refused(404, "the file is gone") from None
        file = open(handle, "rb")  # noqa: SIM115 - the caller closes it
        state = os.fstat(handle)
        # What was opened is what was asked about: a folder of the path may have become a link meanwhile.
        there = os.stat(real) if self.allows(real) else None
        if there is None or not os.path.samestat(there, state) or not stat.S_ISREG(state.st_mode):
            file.close()
            raise Refused(404, "the file is gone")
        return file, state


def upload_name(text: str) -> str:
    """The relative native path of an uploaded file, as a browser names it.

    Raises
    ------
    Refused
        It would lead out of the folder, or no file can have it.
    """
    parts = text.split("/")
    for part in parts:
        bad = part.strip() in ("", ".", "..") or not _NAME.fullmatch(part) or len(os.fsencode(part)) > 240
        if bad or (os.name == "nt" and re.search(r'[<>:"|?*]', part)):
            raise Refused(400, "a file of that name cannot be taken")
    if len(parts) > _DEEPEST:
        raise Refused(400, "the folders are nested too deep")
    return os.path.join(*parts)


def is_id(text: str) -> bool:
    """Whether a text is the name of a job, as `jobs.new_id` makes them."""
    return _ID.fullmatch(text) is not None

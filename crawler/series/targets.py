"""Where files go: a folder or a zip archive, filled aside and renamed into place when everything in it was checked.

Nothing that lies there is replaced, but for files of an earlier write of ours where a caller asks for it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from crawler.errors import OutputError
from crawler.paths import TEMP, readable
from crawler.series.errors import FileAlreadyExistsError
from crawler.series.places import FILE_SCHEME

Ours = Callable[[str], bool]
"""Whether a file is one that an earlier write left."""


class Target:
    """A folder or a zip archive to write into; a context. Files are made in `folder`, and in place after `publish`.

    Parameters
    ----------
    url
        Path of a folder, or of a ``.zip``; behind "?" the folder inside the archive; ``file:`` in front perhaps.
    replace
        Whether files of ours may be replaced.
    """

    def __init__(self, url: str, replace: bool = False) -> None:
        path = url.strip() if url.strip().lower().startswith(FILE_SCHEME) else url
        if path.lower().startswith(FILE_SCHEME):
            path = path[len(FILE_SCHEME) :].removeprefix("//")
        front, mark, inside = path.partition("?")
        if mark and front.lower().endswith(".zip"):
            path = front
        else:
            inside = ""
        self.path = os.path.abspath(os.path.expanduser(path))
        self.is_archive = self.path.lower().endswith(".zip")
        self.inside = inside.strip("/")
        self.replace = replace
        if self.is_archive and os.path.exists(self.path) and not replace:
            raise FileAlreadyExistsError(f"{readable(self.path)} exists: write to another name, or with replace=True")
        if not self.is_archive and os.path.exists(self.path) and not os.path.isdir(self.path):
            raise FileAlreadyExistsError(f"{readable(self.path)} is a file, and no folder")
        self._parent = os.path.dirname(self.path)
        self._aside = os.path.join(self._parent, TEMP, secrets.token_hex(8))
        self.folder = os.path.join(self._aside, "content", *self.inside.split("/"))

    def __enter__(self) -> Target:
        try:
            os.makedirs(self.folder)
        except OSError as error:
            raise OutputError(f"{readable(self.path)} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        with suppress(OSError):  # other writes are under way
            os.rmdir(os.path.join(self._parent, TEMP))

    def names(self) -> list[str]:
        """Paths of the files that were made, relative to the target, in order."""
        top = os.path.join(self._aside, "content")
        found = [os.path.relpath(os.path.join(place, name), top) for place, _, names in os.walk(top) for name in names]
        return sorted(found)

    def publish(self, is_ours: Ours) -> list[str]:
        """Put everything in place; return the paths (of an archive the names of its members).

        Raises
        ------
        FileAlreadyExistsError
            Something of that name is there that may not be replaced. Nothing is in place then.
        OutputError
            The file system refuses.
        """
        names = self.names()
        try:
            if self.is_archive:
                return self._publish_archive(names)
            return self._publish_folder(names, is_ours)
        except FileAlreadyExistsError:
            raise
        except OSError as error:
            raise OutputError(f"{readable(self.path)} cannot be written: {error.strerror}") from error

    def _publish_archive(self, names: list[str]) -> list[str]:
        scratch = os.path.join(self._aside, "archive.zip")
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name in names:
                archive.write(os.path.join(self._aside, "content", name), name.replace(os.sep, "/"))
        if os.path.exists(self.path) and not self.replace:
            raise FileAlreadyExistsError(f"{readable(self.path)} exists")
        os.replace(scratch, self.path)
        return [name.replace(os.sep, "/") for name in names]

    def _publish_folder(self, names: list[str], is_ours: Ours) -> list[str]:
        taken = [name for name in names if os.path.lexists(os.path.join(self.path, name))]
        foreign = [name for name in taken if not (self.replace and is_ours(os.path.join(self.path, name)))]
        if foreign:
            raise FileAlreadyExistsError(
                f"{readable(self.path)} holds {len(foreign)} files of these names, as {readable(foreign[0])}: "
                "write into another folder" + ("" if self.replace else ", or with replace=True where they are ours")
            )
        top = os.path.join(self._aside, "content")
        if not os.path.exists(self.path):
            os.rename(top, self.path)
        else:
            for name in names:
                final = os.path.join(self.path, name)
                os.makedirs(os.path.dirname(final), exist_ok=True)
                os.replace(os.path.join(top, name), final)
        return [os.path.join(self.path, name) for name in names]

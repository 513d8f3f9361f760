"""Sets of templates on the disk: folders that `metadata.templates` may name, with the lists and rules in them.

Those that come with dme, and one that a job names elsewhere, are read alone. Those of the workspace are written: a file
whole or not at all, never over one that was changed meanwhile, and never through a link. What a text says is not
looked at here: `template_check.py` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import threading
from dataclasses import dataclass

from crawler.config.loader import SHIPPED_TEMPLATES
from crawler.config.packaged import packaged
from crawler.config.templates import OTHERS, is_name
from crawler.errors import StopError
from crawler.web.jobs import Jobs
from crawler.web.places import Places
from crawler.web.refusals import Refused

FOLDER = "templates"  # in the workspace
LARGEST = 200_000  # bytes of a file: the greatest that comes with dme has 11,000
_SETS, _FILES = 200, 100  # that are listed
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_OF_JOB = "job-"
_LOCK = threading.Lock()  # one server has a workspace: what is compared is what is replaced


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """One folder.

    Attributes
    ----------
    name
        Its name in addresses.
    folder
        Absolute path.
    value
        What `metadata.templates` says for it.
    is_own
        Whether it lies in the workspace's folder of sets, and may be changed.
    """

    name: str
    folder: str
    value: str
    is_own: bool

    def files(self) -> list[str]:
        """Names of its files, sorted."""
        try:
            found = sorted(name for name in os.listdir(self.folder) if is_file_name(name))
        except OSError:
            return []
        return [name for name in found if _is_regular(os.path.join(self.folder, name))][:_FILES]


class TemplateSets:
    """The sets that a server offers."""

    def __init__(self, places: Places, jobs: Jobs) -> None:
        self._places, self._jobs = places, jobs
        self._home = os.path.join(places.workspace, FOLDER)

    def all(self) -> list[TemplateSet]:
        """Those that come with dme, and those of the workspace by name."""
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = sorted(filter(_NAME.fullmatch, os.listdir(self._home)))[:_SETS]
        shipped = TemplateSet(SHIPPED_TEMPLATES, str(packaged(SHIPPED_TEMPLATES)), SHIPPED_TEMPLATES, False)
        own = [self._own(name) for name in names if name != SHIPPED_TEMPLATES and not name.startswith(_OF_JOB)]
        return [shipped, *(one for one in own if self._is_there(one))]

    def get(self, name: str) -> TemplateSet:
        """The set of a name; ``job-ID`` is the one that a job's configuration names.

        Raises
        ------
        Refused
            There is none, or it lies outside of what is open.
        """
        if name.startswith(_OF_JOB):
            found = self.of_job(name.removeprefix(_OF_JOB))
        else:
            found = next((one for one in self.all() if one.name == name), None)
        if found is None:
            raise Refused(404, "there is no such set of templates")
        return found

    def of_job(self, job: str) -> TemplateSet | None:
        """The set that a job's configuration names; None when it names none, or its configuration is wrong.

        Raises
        ------
        Refused
            There is no such job, or the folder lies outside of what is open.
        """
        try:
            config = self._jobs.get(job).config()
        except StopError:
            return None
        folder = config.templates_dir
        if folder is None:
            return None
        known = next((one for one in self.all() if os.path.realpath(one.folder) == os.path.realpath(folder)), None)
        if known is not None:
            return known
        return TemplateSet(f"{_OF_JOB}{job}", self._places.inside(folder), folder, False)

    def read(self, where: TemplateSet, file: str) -> str:
        """The text of a file.

        Raises
        ------
        Refused
            There is none, it is no text, or it is too large.
        """
        if not is_file_name(file):
            raise Refused(404, "there is no such file")
        raw = _read(os.path.join(where.folder, file))
        if raw is None:
            raise Refused(404, "there is no such file")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Refused(415, "the file is not UTF-8 text") from None

    def save(self, where: TemplateSet, file: str, text: str, seen: str) -> None:
        """Write a file.

        Parameters
        ----------
        seen
            `digest` of the text that was edited; empty for a file that is new.

        Raises
        ------
        Refused
            The set is not the workspace's, the name is none, or the file is another by now (409).
        """
        folder = self._writable(where, file)
        path = os.path.join(folder, file)
        with _LOCK:
            raw = _read(path)
            if (_digest(raw) if raw is not None else "") != seen:
                raise Refused(409, "the file was changed meanwhile")
            _write(path, text.encode(), new=raw is None)

    def remove(self, where: TemplateSet, file: str) -> None:
        """Delete a file, and the folder of a set with its last one."""
        folder = self._writable(where, file)
        with _LOCK:
            if _read(path := os.path.join(folder, file)) is None:
                raise Refused(404, "there is no such file")
            os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def copy(self, source: TemplateSet, name: str) -> TemplateSet:
        """A set of the workspace with the files of another.

        Raises
        ------
        Refused
            The name is none, or taken.
        """
        if not _NAME.fullmatch(name) or name == SHIPPED_TEMPLATES or name.startswith(_OF_JOB):
            raise Refused(400, "a name has small letters, digits, - and _, and is not that of another set")
        texts = [(file, self.read(source, file)) for file in source.files()]
        made = self._own(name)
        with _LOCK:
            os.makedirs(self._home, mode=0o700, exist_ok=True)
            self._not_a_link(self._home)
            try:
                os.mkdir(made.folder, 0o700)
            except FileExistsError:
                raise Refused(409, "there is a set of that name") from None
            for file, text in texts:
                _write(os.path.join(made.folder, file), text.encode(), new=True)
        return made

    def _own(self, name: str) -> TemplateSet:
        folder = os.path.join(self._home, name)
        return TemplateSet(name, folder, folder, True)

    def _is_there(self, one: TemplateSet) -> bool:
        return os.path.isdir(one.folder) and os.path.realpath(one.folder) == one.folder

    def _writable(self, where: TemplateSet, file: str) -> str:
        if not where.is_own:
            raise Refused(403, "this set is read alone: copy it to the workspace")
        if not is_file_name(file):
            raise Refused(400, "a file is called by a modality in small letters, such as ct.json, or mr_clean.json")
        if not self._is_there(where):
            raise Refused(404, "there is no such set of templates")
        return where.folder

    def _not_a_link(self, folder: str) -> None:
        if os.path.realpath(folder) != folder:
            raise Refused(403, "the path lies outside the workspace and the configured folders")


def is_file_name(name: str) -> bool:
    """Whether a file of a set may be called so."""
    return name in OTHERS or (name.endswith(".json") and is_name(name.removesuffix(".json")))


def digest(text: str) -> str:
    """Tells a text from what it becomes."""
    return _digest(text.encode())


def _digest(raw: bytes) -> str:
    return hashlib.blake2b(raw.removeprefix(b"\xef\xbb\xbf"), digest_size=16).hexdigest()


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _read(path: str) -> bytes | None:
    """A regular file that is no link; None when there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError:
        raise Refused(403, "this is a link, or cannot be read") from None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused(403, "this is no regular file")
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise Refused(413, "the file is too large to be edited here")
    return raw


def _write(path: str, raw: bytes, *, new: bool) -> None:
    """Write a file that only its owner reads, and put it into place; a new one over nothing."""
    scratch = f"{path}.{secrets.token_hex(4)}.new"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(raw)
    try:
        if new:
            os.link(scratch, path)  # fails where something is there
        else:
            os.replace(scratch, path)
    except FileExistsError:
        raise Refused(409, "the file was changed meanwhile") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)

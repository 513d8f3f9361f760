"""A folder of further names for products: hard links, which take no space; copies where a disk has none.

It is told which names lead where, settles those that clash, and brings the folder to that state. What it made is
recorded in the ledger as the run's own files are, so that nothing else is ever written over or deleted.
"""

from __future__ import annotations

import logging
import os
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crawler.disk import fingerprint, is_absent, is_below, is_folder, is_there
from crawler.ledger.database import Ledger
from crawler.ledger.own_files import OwnFiles
from crawler.paths import native, readable

log = logging.getLogger("dme")

_SCHEMA = (
    "CREATE TEMP TABLE names (key TEXT PRIMARY KEY, stem TEXT, folded TEXT) WITHOUT ROWID",
    "CREATE TEMP TABLE named (key TEXT, ending TEXT, source BLOB, size INTEGER, checksum TEXT, path TEXT)",
    "CREATE INDEX temp.named_by_key ON named (key)",
    "CREATE INDEX temp.named_by_path ON named (path)",
    "CREATE TEMP TABLE taken (folded TEXT PRIMARY KEY) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class Target:
    """A file that is to have a further name: native absolute path, size and checksum as the ledger has them."""

    path: str
    size: int
    checksum: str


class LinkTree:
    """The names of one folder. `add` all of them, `settle`, then `write`.

    Parameters
    ----------
    folder
        Native absolute path.
    """

    def __init__(self, ledger: Ledger, folder: str) -> None:
        self._ledger, self._folder = ledger, folder
        for name in ("names", "named", "taken"):
            ledger.execute(f"DROP TABLE IF EXISTS temp.{name}")
        for statement in _SCHEMA:
            ledger.execute(statement)

    def add(self, key: str, stem: str, files: Iterable[tuple[str, Target]]) -> None:
        """Have files named together.

        Parameters
        ----------
        key
            What tells them from others, and settles who comes first of those that want one name.
        stem
            Relative path with forward slashes, without the endings.
        files
            Ending (``.nii.gz``, ``.frames/0001.png``) and file.
        """
        self._ledger.execute("INSERT INTO names VALUES (?, ?, ?)", (key, stem, _folded(stem)))
        for ending, file in files:
            values = (key, ending, os.fsencode(file.path), file.size, file.checksum)
            self._ledger.execute("INSERT INTO named VALUES (?, ?, ?, ?, ?, NULL)", values)

    def settle(self) -> None:
        """Give every file a name of its own: of those that want one, the first by key has it, the others a number.

        Names that differ in case or Unicode normalisation only are one, as they are on some file systems. Who gets
        which depends on nothing but names and keys.
        """
        for (stem,) in self._ledger.execute("SELECT folded FROM names").fetchall():
            parent = stem.rpartition("/")[0]
            while parent and self._take([f"{parent}/"]):
                parent = parent.rpartition("/")[0]
        later: list[tuple[str, str]] = []
        for key, stem in self._ledger.execute("SELECT key, stem FROM names ORDER BY folded, key").fetchall():
            if not self._name(key, stem):
                later.append((key, stem))
        for key, stem in later:
            number = 2
            while not self._name(key, f"{stem}_{number}"):
                number += 1

    def names(self) -> Iterator[tuple[str, str, str]]:
        """(key, native absolute path of the file, its name) by name; to be asked for when they are settled."""
        for key, source, path in self._ledger.execute("SELECT key, source, path FROM named ORDER BY path"):
            yield key, os.fsdecode(source), path

    def write(self, texts: dict[str, bytes] | None = None) -> int:
        """Make the folder hold these names, and `texts` by their relative paths; return how many could not be made.

        Raises
        ------
        OSError
            The disk is full, or the folder cannot be written.
        """
        own = OwnFiles(self._ledger)
        before = own.recorded_below(self._folder)
        os.makedirs(self._folder, exist_ok=True)
        texts = {self._place(name): content for name, content in (texts or {}).items()}
        left = 0
        for path, state in before.items():
            if path not in texts and not self._is_wanted(path):
                left += not own.drop(path, state, self._folder)
        query = "SELECT path, source, size, checksum FROM named ORDER BY path"
        wanted: list[tuple[str, Target | bytes]] = []
        for name, source, size, checksum in self._ledger.execute(query):
            path = self._place(name)
            if before.get(path) != (size, checksum) or _size_of(path) != size:
                wanted.append((path, Target(os.fsdecode(source), size, checksum)))
        wanted += texts.items()
        free = [(path, content) for path, content in wanted if self._free(path, before, own)]
        for path, _ in free:
            own.note(path)
        self._ledger.commit()  # from here on what lies there is ours, whatever kills the run
        for path, content in free:
            if isinstance(content, bytes):
                with open(path, "xb") as file:
                    file.write(content)
                own.note(path, *fingerprint(path))
            else:
                _link(content.path, path)
                own.note(path, content.size, content.checksum)
        if left:
            self._ledger.touch()  # newer than what the caller makes: the next run tries again
        return len(wanted) - len(free)

    def _free(self, path: str, before: dict[str, tuple[int | None, str | None]], own: OwnFiles) -> bool:
        """Make room for a name: False where a file of somebody else lies, which stays."""
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            if self._is_barred(os.path.dirname(path)):
                return self._refused(path)
            raise
        if not is_below(os.path.dirname(path), self._folder):  # a link leads out of it
            return self._refused(path)
        if not is_there(path):
            return True
        if path in before and own.agrees(path, before[path]):
            os.unlink(path)
            return True
        return self._refused(path)

    def _is_barred(self, folder: str) -> bool:
        """Whether something else lies where a folder, or one above it, should be; what cannot be looked at does not."""
        while len(folder) > len(self._folder):
            if is_folder(folder) is False and not is_absent(folder):
                return True
            folder = os.path.dirname(folder)
        return False

    def _refused(self, path: str) -> bool:
        log.warning("%s is not of this output, or was changed: it stays, and the name is not given", readable(path))
        return False

    def _name(self, key: str, stem: str) -> bool:
        """Give the files of a key a stem; False when any of their names is taken."""
        folded = _folded(stem)
        endings = [row[0] for row in self._ledger.execute("SELECT ending FROM named WHERE key = ?", (key,))]
        claims = {folded + _folded(ending).partition("/")[0] for ending in endings}
        if any(self._is_taken(claim) or self._is_taken(f"{claim}/") for claim in claims):
            return False
        self._take(sorted(claims))
        self._ledger.execute("UPDATE named SET path = ? || ending WHERE key = ?", (stem, key))
        return True

    def _is_taken(self, folded: str) -> bool:
        return self._ledger.execute("SELECT 1 FROM taken WHERE folded = ?", (folded,)).fetchone() is not None

    def _take(self, names: Sequence[str]) -> bool:
        """Take names; False when one of them was taken."""
        added = [self._ledger.execute("INSERT OR IGNORE INTO taken VALUES (?)", (name,)).rowcount for name in names]
        return all(added)

    def _place(self, name: str) -> str:
        return os.path.join(self._folder, native(name) if os.sep != "/" else name)

    def _is_wanted(self, path: str) -> bool:
        name = os.path.relpath(path, self._folder).replace(os.sep, "/")
        return self._ledger.execute("SELECT 1 FROM named WHERE path = ?", (name,)).fetchone() is not None


def _folded(name: str) -> str:
    """What names share that some file system takes for one."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def _size_of(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None


def _link(source: str, path: str) -> None:
    """Give a file a further name; a copy where the disk has no hard links, or it lies on another one."""
    try:
        os.link(source, path, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, path)

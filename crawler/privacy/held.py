"""The register of what was held back, for a person to look at: one line a file, in the private folder.

Each process of a run appends to a file of its own. What is held is named by what its file holds and by the key, so that
an answer to it is never an answer to another picture, wherever a file moves to; equal files are one item.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import orjson

from crawler.dicom.files import open_file
from crawler.dicom.waveforms import is_waveform
from crawler.errors import OutputError
from crawler.model import File, Instance
from crawler.pixels.video import is_video
from crawler.privacy.keys import Key

FOLDER = "review"
_LINES = "held-*.jsonl"
_DOMAIN = "held"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Held:
    """A file that is held back.

    Attributes
    ----------
    item
        Its name, 16 lower-case letters and digits.
    file, true
        As outputs name it, and as it is.
    scan
        The series, as outputs name it.
    why
        Why it is held.
    kind
        "picture", "video", "document", "waveform" or "object".
    rows, columns, frames
        Of a picture; 0 where there is none.
    shown
        What there is to look at: (file below the folder of the register, what it is).
    noted
        Nanoseconds since the epoch.
    """

    item: str
    file: str
    true: str
    scan: str
    why: str
    kind: str
    rows: int = 0
    columns: int = 0
    frames: int = 0
    shown: tuple[tuple[str, str], ...] = ()
    noted: int = 0


_FIELDS = frozenset(one.name for one in fields(Held))


def item_of(key: Key, file: File) -> str:
    """The name of what a file holds. Raises OSError or FileError as `dicom.files.open_file`."""
    digest = hashlib.blake2b(digest_size=32)
    with open_file(file) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return key.token(_DOMAIN, digest.hexdigest())


def true_text(file: File) -> str:
    """Absolute path of a file as it is, for tables in the private folder; undecodable bytes are U+FFFD."""
    return os.fsencode(os.path.join(file.root, file.true)).decode("utf-8", "replace")


def kind_of(instance: Instance) -> str:
    """What a held instance is, as `Held.kind` has it."""
    if instance.pixels is not None:
        return "video" if is_video(instance) else "picture"
    if is_waveform(instance.sop_class):
        return "waveform"
    return "document" if "encapsulated" in instance.held else "object"


class HeldWriter:
    """Adds lines to the register of one process.

    Parameters
    ----------
    folder
        `FOLDER` in the private folder of the run.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._path = os.path.join(folder, _LINES.replace("*", secrets.token_hex(8)))

    def add(self, held: Held) -> None:
        """Add one. Raises OutputError."""
        line = orjson.dumps({**asdict(held), "noted": time.time_ns()}) + b"\n"
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                file.write(line)
        except OSError as error:
            raise OutputError(f"what is held back cannot be noted in privacy.private: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Register:
    """All that was held back by the runs and shards of an output.

    Attributes
    ----------
    items
        Item -> the last line of it, its `shown` as paths below the private folder.
    names
        Item -> names in outputs of the files that were it.
    now
        Items that a file was when it was looked at last; others are of files that changed since.
    """

    items: dict[str, Held]
    names: dict[str, frozenset[str]]
    now: frozenset[str]


def read_register(private: str) -> Register:
    """Read the registers below a private folder; lines that a kill cut off are left out."""
    lines = sorted(_lines(Path(private)), key=lambda held: held.noted)
    items: dict[str, Held] = {}
    names: dict[str, set[str]] = {}
    last: dict[str, str] = {}
    for held in lines:
        before = items.get(held.item)
        items[held.item] = held if held.shown or before is None else replace(held, shown=before.shown)
        names.setdefault(held.item, set()).add(held.file)
        last[held.true] = held.item
    return Register(items, {item: frozenset(files) for item, files in names.items()}, frozenset(last.values()))


def _lines(private: Path) -> Iterator[Held]:
    for path in sorted(private.rglob(f"{FOLDER}/{_LINES}")):
        place = path.parent.relative_to(private)
        for line in path.read_bytes().splitlines():
            try:
                told = orjson.loads(line)
                shown = tuple(((place / name).as_posix(), what) for name, what in told["shown"])
                yield Held(**{name: told[name] for name in _FIELDS} | {"shown": shown})
            except (ValueError, KeyError, TypeError):
                continue

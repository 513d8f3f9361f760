"""What passes between workers and the engine: the set-up, headers, the state of each file, finished rows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import orjson

from crawler.dicom.attributes import Name
from crawler.dicom.dictionary import KeyStyle, key_for, key_of
from crawler.dicom.private_names import named
from crawler.error_boundary import stop_of
from crawler.errors import OutputError
from crawler.export import exporter_rows
from crawler.export.cells import Cells
from crawler.export.setup import Setup
from crawler.model import File, Instance, Outcome, Product
from crawler.paths import portable
from crawler.sinks.bids_fields import NOTED

INLINE = 4 << 20  # bytes of rows that a result carries itself; more go through a file
EXPORTED = Outcome("exported")


@cache
def noted_keys(style: KeyStyle) -> dict[str, str]:
    """Elements that volumes note: by keyword, their keys in a record."""
    return {told: _key(name, style) for told, name in NOTED.items()}


def _key(name: Name, style: KeyStyle) -> str:
    """Key of an element; in the style "tag" that of a private one in the first block, where vendors have theirs."""
    if isinstance(name, str):
        return key_for(name, style)
    tag, creator = name
    return key_of(tag | 0x1000, creator, style)


class Header(NamedTuple):
    """An instance, of whose record no more is left than volumes note, and the record as JSON: bytes, or where it lies.

    ``row`` in a spool file is (path, start, size). Behind the record, and a line feed, it holds the texts of
    `exporter_rows.py` where they are asked for. ``said``: under privacy, the original's texts that identify.
    """

    instance: Instance
    row: bytes | tuple[str, int, int]
    said: frozenset[str] = frozenset()

    def whole(self) -> bytes:
        """What ``row`` holds."""
        if isinstance(self.row, bytes):
            return self.row
        path, start, size = self.row
        with using_spool(), open(path, "rb") as spool:
            spool.seek(start)
            return spool.read(size)

    def text(self) -> bytes:
        """The record as JSON."""
        return self.whole().partition(b"\n")[0]

    def texts(self) -> bytes:
        """Texts by name as JSON; empty when they are not asked for."""
        return self.whole().partition(b"\n")[2]

    def record(self) -> dict[str, Any]:
        """The record; empty when no output needs it."""
        record: dict[str, Any] = orjson.loads(self.text() or b"{}")
        return record


class ScanResult(NamedTuple):
    """A scan done. `rows` are its finished JSON lines, or the path of a file that holds them.

    `cells` are those of its rows in metadata.csv; `kept` are parts (`config/parts.py`) that earlier runs made and that
    are as they were.
    """

    scan_id: str
    series_uid: str
    digest: str
    files: tuple[tuple[File, Outcome], ...]
    products: tuple[Product, ...]
    verdict: dict[str, Any]
    rows: bytes | str
    kept: frozenset[str] = frozenset()
    cells: Cells | None = None


@dataclass(slots=True)
class State:
    """What became of one instance so far.

    `usable`: it may enter a volume; `decoder` gave its frames; `notes` say what its media do not show as the header
    asks; `quality` are further cells of its row.
    """

    outcome: Outcome = EXPORTED
    usable: bool = True
    decoder: str | None = None
    media_type: str | None = None
    media: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)

    def record(self, outcome: Outcome) -> None:
        """Keep the first failure; a skip gives way to it."""
        if self.outcome.outcome == "exported" or (self.outcome.outcome == "skipped" and outcome.outcome == "failed"):
            self.outcome = outcome

    def exclude(self, outcome: Outcome) -> None:
        """Keep the instance out of volumes."""
        self.usable = False
        self.record(outcome)


def relative(product: Product, root: str | None) -> str:
    """Path of a product below its output folder, as rows give it."""
    return portable(os.path.relpath(product.path, root))


def write_rows(setup: Setup, scan_id: str, headers: Sequence[Header], states: Sequence[State]) -> bytes | str:
    """The scan's lines of the JSONL: as bytes, or in a file when they are many."""
    if not setup.rows:
        return b""
    lines: list[bytes] = []
    size, path = 0, ""
    syntax = orjson.dumps(key_for("TransferSyntaxUID", setup.keys)) + b":"
    for header, state in zip(headers, states, strict=True):
        if setup.compat is not None:
            lines.append(_earlier_line(setup, header, state))
        else:
            lines.append(_line(scan_id, header, state, syntax, setup.keys))
        size += len(lines[-1])
        if size > INLINE:
            path = path or os.path.join(setup.spool, f"{uuid.uuid4().hex}.rows")
            _append(path, lines)
            lines, size = [], 0
    if not path:
        return b"".join(lines)
    _append(path, lines)
    return path


@contextmanager
def using_spool() -> Iterator[None]:
    """Have an error at the run's own unfinished rows stop the run: it is no file's fault, and no row may be lost.

    Raises
    ------
    OutputError
        Inside, the system raised an error.
    """
    try:
        yield
    except OSError as error:
        text = f"rows on their way cannot be kept below output.dir: {error.strerror}; check the disk and run again"
        raise stop_of(error) or OutputError(text) from error


def _append(path: str, lines: list[bytes]) -> None:
    with using_spool(), open(path, "ab") as file:
        file.writelines(lines)


def _earlier_line(setup: Setup, header: Header, state: State) -> bytes:
    """One row of `metadata.compat`; none for a file without a medium, which had none, unless no media are asked for."""
    if setup.media_dir is not None and not (state.media and state.media_type in exporter_rows.MEDIA):
        return b""
    medium = state.media[0] if state.media else None
    return exporter_rows.line_of(
        header.texts(), dicom_file=header.instance.file.key, media_file=medium, media_type=state.media_type
    )


def _line(scan_id: str, header: Header, state: State, syntax: bytes, keys: KeyStyle) -> bytes:
    """One row: what we know of the file, then its record; `syntax` begins the transfer syntax in a record."""
    record = header.text()
    if keys == "name" and b'"(' in record:
        record = orjson.dumps(named(orjson.loads(record)))
    assumed = None if syntax in record else header.instance.transfer_syntax or None
    ours = orjson.dumps(
        {
            "dicom_file": header.instance.file.key,
            "outcome": state.outcome.outcome,
            "stage": state.outcome.stage or None,
            "reason": state.outcome.reason or None,
            "scan_id": scan_id,
            "media_type": state.media_type,
            "media_file": state.media[0] if state.media else None,
            "volume_file": state.volumes[0] if state.volumes else None,
            "media_files": state.media,
            "volume_files": state.volumes,
            "decoder": state.decoder,
            "media_notes": state.notes or None,
            "assumed_transfer_syntax": assumed,
            **({"header_notes": notes} if (notes := header.instance.header_notes) else {}),
            **state.quality,
        }
    )
    return ours + b"\n" if record == b"{}" else b"".join((ours[:-1], b",", memoryview(record)[1:], b"\n"))

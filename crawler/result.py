"""What passes between workers and the engine: the set-up, headers, the state of each file, finished rows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from crawler.dataset.dictionary import KeyStyle, key_for
from crawler.model import File, Instance, Outcome, Product
from crawler.paths import portable
from crawler.sections import ImageSection, PreviewSection, QualitySection, SelectSection, VideoSection, VolumeSection

INLINE = 4 << 20  # bytes of rows that a result carries itself; more go through a file
TEMP = ".dme-tmp"
EXPORTED = Outcome("exported")


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for all scans of a run: the sections that are on, folders (native, absolute), limits.

    ``spool`` receives unfinished files that are no product; unfinished products lie below their own output folder, so
    that they can be renamed into place.
    """

    keys: KeyStyle
    rows: bool
    spool: str
    token: str
    media_dir: str | None = None
    image: ImageSection | None = None
    video: VideoSection | None = None
    volume: VolumeSection | None = None
    volume_dir: str | None = None
    preview: PreviewSection | None = None
    preview_dir: str | None = None
    pixels: int = 2 * 10**9
    select: SelectSection | None = None
    quality: QualitySection | None = None
    documents: bool = False
    waveforms: bool = False
    text: bool = False

    @property
    def records(self) -> bool:
        """Whether anything asks for an instance's record after it was read."""
        return self.rows or any(section is not None for section in (self.volume, self.select, self.quality))

    @property
    def window(self) -> Any:
        """How grey values are shown."""
        return self.image.window if self.image is not None else "auto"

    @property
    def overlays(self) -> bool:
        """Whether overlay planes are drawn."""
        return self.image is not None and self.image.overlays

    @property
    def bits(self) -> int:
        """Bits of a grey picture."""
        return self.image.bits if self.image is not None else 16

    @property
    def crops(self) -> bool:
        """Whether ultrasound is cut to its regions."""
        return self.image is not None and self.image.crop == "us_region"

    @property
    def stacks(self) -> bool:
        """Whether stacks of slices become videos."""
        return self.media_dir is not None and self.video is not None and self.video.series

    def temp(self, root: str) -> str:
        """Folder for unfinished products of an output folder: on its file system, this run's own."""
        path = os.path.join(root, TEMP, self.token)
        os.makedirs(path, exist_ok=True)
        return path


@dataclass(frozen=True, slots=True)
class Spooled:
    """Where an instance and its row lie in a spool file."""

    path: str
    start: int
    sizes: tuple[int, int]


@cache
def noted_keys(style: KeyStyle) -> dict[str, str]:
    """Elements that volumes note: by keyword, their keys in a record."""
    from crawler.sinks.bids import NOTED

    return {keyword: key_for(keyword, style) for keyword in NOTED}


@dataclass(frozen=True, slots=True)
class Header:
    """An instance, of whose record no more is left than volumes note, and the record as JSON: bytes, or where it lies.

    ``row`` in a spool file is (path, start, size).
    """

    instance: Instance
    row: bytes | tuple[str, int, int]

    def text(self) -> bytes:
        """The record as JSON."""
        if isinstance(self.row, bytes):
            return self.row
        path, start, size = self.row
        with open(path, "rb") as spool:
            spool.seek(start)
            return spool.read(size)

    def record(self) -> dict[str, Any]:
        """The record; empty when no output needs it."""
        record: dict[str, Any] = orjson.loads(self.text() or b"{}")
        return record


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan done. `rows` are its finished JSON lines, or the path of a file that holds them."""

    scan_id: str
    series_uid: str
    digest: str
    files: tuple[tuple[File, Outcome], ...]
    products: tuple[Product, ...]
    verdict: dict[str, Any]
    rows: bytes | str


@dataclass(slots=True)
class State:
    """What became of one instance so far.

    `usable`: it may enter a volume; `decoder` gave its frames; `quality` are further cells of its row.
    """

    outcome: Outcome = EXPORTED
    usable: bool = True
    decoder: str | None = None
    media_type: str | None = None
    media: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)

    def settle(self, outcome: Outcome) -> None:
        """Keep the first failure; a skip gives way to it."""
        if self.outcome.outcome == "exported" or (self.outcome.outcome == "skipped" and outcome.outcome == "failed"):
            self.outcome = outcome

    def bar(self, outcome: Outcome) -> None:
        """Keep the instance out of volumes."""
        self.usable = False
        self.settle(outcome)


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
        lines.append(_line(scan_id, header, state, syntax))
        size += len(lines[-1])
        if size > INLINE:
            path = path or os.path.join(setup.spool, f"{uuid.uuid4().hex}.rows")
            _append(path, lines)
            lines, size = [], 0
    if not path:
        return b"".join(lines)
    _append(path, lines)
    return path


def _append(path: str, lines: list[bytes]) -> None:
    with open(path, "ab") as file:
        file.writelines(lines)


def _line(scan_id: str, header: Header, state: State, syntax: bytes) -> bytes:
    """One row: what we know of the file, then its record; `syntax` begins the transfer syntax in a record."""
    record = header.text()
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
            "assumed_transfer_syntax": assumed,
            **state.quality,
        }
    )
    return ours + b"\n" if record == b"{}" else b"".join((ours[:-1], b",", memoryview(record)[1:], b"\n"))

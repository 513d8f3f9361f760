"""A sample of scans exported again from their files, into a temporary folder, and compared voxel by voxel.

What a run writes now must be what lies in the output: arrays of every format with shape, type and affine, pictures
pixel by pixel. Scans out of archives are not compared, nor are videos, whose bytes differ between versions of encoders.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from crawler.config.loader import Config
from crawler.config.output import OutputSection
from crawler.engine.run import run
from crawler.errors import SourceError
from crawler.ledger.status import Reader
from crawler.ledger.store import output_root
from crawler.paths import native, portable
from crawler.sinks.reading import READERS, read_volume
from crawler.sources.directory import Root, roots_of
from crawler.sources.readers import reader_of
from crawler.sources.volume import Volume
from crawler.stores.access import is_file
from crawler.stores.address import is_remote
from crawler.stores.remote import stores
from crawler.verify.packs import PackCheck

GONE = "its source is not there any more, or lies in an archive"
DIFFERS = "it differs from what its source gives"


@dataclass(frozen=True, slots=True)
class _Scan:
    number: int
    scan_id: str
    files: tuple[str, ...]


def sample_scans(ledger: Reader, count: int) -> list[tuple[int, str]]:
    """(number, scan_id) of an even sample of the scans that have volumes or pictures; the same for the same output."""
    which = "SELECT DISTINCT scan FROM products WHERE kind IN ('volume', 'image')"
    total = int(ledger.execute(f"SELECT count(*) FROM ({which})").fetchone()[0])
    step = max(1, -(-total // count)) if count else 0
    if not step:
        return []
    sql = f"SELECT id, scan_id FROM scans WHERE id IN ({which}) ORDER BY scan_id"
    return [row for place, row in enumerate(ledger.execute(sql)) if place % step == 0]


def compare(config: Config, ledger: Reader, number: int, scan_id: str) -> Iterator[tuple[str, str]]:
    """(path, what is wrong, or empty) of every product of a scan that can be compared; (scan_id, GONE) for none."""
    sql = "SELECT path, name FROM files JOIN folders ON folders.id = files.folder WHERE scan = ? ORDER BY path, name"
    keys = [f"{path}/{name}" if path else name for path, name in ledger.execute(sql, (number,))]
    sql = "SELECT kind, path, size, checksum FROM products WHERE scan = ? AND kind IN ('volume', 'image') ORDER BY path"
    products = ledger.execute(sql, (number,)).fetchall()
    packs = PackCheck(config, ledger) if config.output.pack else None
    roots = roots_of(config.roots, config.dicom.readers)
    with tempfile.TemporaryDirectory(prefix="dme-verify-", ignore_cleanup_errors=True) as folder:
        places = [_laid(root, os.path.join(folder, "in")) for root in roots]
        for key in keys:
            if not _link(key, roots, os.path.join(folder, "in")):
                yield scan_id, GONE
                return
        again = _again(config, places, os.path.join(folder, "out"))
        run(again)
        for kind, place, size, checksum in products:
            path = os.fsdecode(place)
            if os.path.splitext(path)[1].lower() in (".mp4", ".gif", ".raw", ".zraw"):
                continue
            mine, other = (os.path.join(output_root(one, kind), path) for one in (config, again))
            try:
                packed = packs.content(kind, place, size, checksum) if packs else None
            except SourceError:
                yield portable(mine), "it cannot be read"
                continue
            if isinstance(packed, bytes):
                unpacked = os.path.join(folder, os.path.basename(path))
                with open(unpacked, "wb") as file:
                    file.write(packed)
                yield portable(mine), _difference(unpacked, other)
            else:
                yield portable(mine), _difference(packed or mine, other)


def _laid(root: Root, above: str) -> str:
    """The folder that stands for an input: of the same name, so that names of outputs are the same."""
    place = os.path.join(above, root.prefix or "root")
    os.makedirs(place, exist_ok=True)
    return place


def _link(key: str, roots: list[Root], above: str) -> bool:
    """Lay one file out as it lies in its input; False when it is not there."""
    path = native(key)
    for root in roots:
        prefix = root.prefix + os.sep if root.prefix else ""
        if not path.startswith(prefix):
            continue
        inside = path[len(prefix) :]
        source = root.path if root.is_file else os.path.join(root.path, inside)
        if is_file(source):
            target = os.path.join(above, root.prefix or "root", inside)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if is_remote(source):
                stores.of(source).download(source, target)
            else:
                os.symlink(source, target)
            return True
    return False


def _again(config: Config, places: list[str], out: str) -> Config:
    """The same outputs from and to other places, in this process."""
    media, volume = config.media, config.volume
    return replace(
        config,
        num_workers=0,
        output=OutputSection(out, report=False),
        dicom=replace(config.dicom, dir=places[0] if len(places) == 1 else tuple(places)),
        config=None,
        pacs=None,
        metadata=None,
        media=replace(media, dir="media", name=None) if media else None,
        volume=replace(volume, dir="volumes", name=None) if volume else None,
        preview=None,
    )


def _difference(mine: str | Volume, again: str) -> str:
    if not os.path.exists(again):
        return "its source gives no such file now"
    try:
        from PIL import Image  # for a sample only

        if isinstance(mine, str) and not mine.lower().endswith(tuple(READERS)):
            if os.path.splitext(mine)[1].lower() in Image.registered_extensions():
                with Image.open(mine) as one, Image.open(again) as other:
                    return "" if np.array_equal(np.asarray(one), np.asarray(other)) else DIFFERS
            if reader_of(mine) is None:
                return ""  # a format of another package, and none that is installed reads it
        first, second = mine if isinstance(mine, Volume) else read_volume(mine), read_volume(again)
        if first.array.shape != second.array.shape:
            return f"its shape is {first.array.shape}, and its source gives {second.array.shape}"
        same = first.array.dtype == second.array.dtype and _equal(first.array, second.array)
        if first.affine is None or second.affine is None:
            return "" if same and first.affine is second.affine else DIFFERS
        return "" if same and np.array_equal(first.affine, second.affine) else DIFFERS
    except (OSError, SourceError, ValueError):
        return "it cannot be read"


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")

"""Trees to be divided, and shards run one after the other in this process."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from crawler.cluster.run_shard import run_shard
from crawler.config.loader import Config
from crawler.ledger.summary import Summary
from support.factories import ct_series, multiframe
from support.runs import content


def mixed_tree(folder: Path) -> Path:
    """Folders of CT of many sizes, one with a damaged file, files in the root, an archive, a cine, a text."""
    for number in range(5):
        slices = ct_series(folder / "ct" / f"{number:02}", n=2 + 2 * number, uid=f"1.2.3.{number}")
    slices[3].write_bytes(slices[3].read_bytes()[:-100])
    (folder / "ct" / "00" / "broken").write_bytes(slices[0].read_bytes()[:200])
    for number, path in enumerate(ct_series(folder / "loose", n=2, uid="1.2.4")):
        shutil.move(path, folder / f"{number}.dcm")
    (folder / "loose").rmdir()
    multiframe(folder / "cine" / "one.dcm", 6, 32, 32)
    with zipfile.ZipFile(folder / "ct" / "packed.zip", "w") as archive:
        for path in ct_series(folder / "packed", n=3, uid="1.2.5"):
            archive.write(path, f"inside/{path.name}")
    shutil.rmtree(folder / "packed")
    (folder / "notes.txt").write_text("no DICOM")
    return folder


def run_all(config: Config, shards: int) -> list[Summary]:
    """Every shard, the last first."""
    return [run_shard(config, number, shards) for number in range(shards, 0, -1)]


def without_shards(out: Path) -> dict[str, object]:
    """What a merged output holds, without the shards' own files: that of one run over the same tree."""
    return {name: value for name, value in content(out).items() if not name.startswith("dme-shards/")}

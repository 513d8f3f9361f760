"""The section `output`: where outputs lie, who may read them, and whether they are packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crawler.config.sections import SIZE_RULES, key


@dataclass(frozen=True, slots=True)
class PackSection:
    """Packs in place of single files."""

    format: Literal["tar", "hdf5", "zarr"] = key(
        "tar",
        "tar: as WebDataset reads them; hdf5: one file of many groups; zarr: a Zarr v3 group in a zip",
        shapes=False,
    )
    size: int = key(10**9, "bytes of a pack", **SIZE_RULES | {"minimum": 1})
    dir: str = key("packs", "folder of the packs and their index", shapes=False)


@dataclass(frozen=True, slots=True)
class OutputSection:
    """Where outputs lie."""

    dir: str | None = key(
        None,
        "folder of relative outputs and of the run's own files; else the current, and beside metadata.file",
        shapes=False,
    )
    staging: str | None = key(
        None,
        "for an address in dir: folder of this machine in which outputs are made before they go there",
        shapes=False,
    )
    min_free: int = key(
        0, "bytes that stay free on the disks of outputs: the run ends in order before", **SIZE_RULES | {"minimum": 0}
    )
    layout: Literal["mirror", "bids"] = key(
        "mirror", "bids: also a BIDS dataset of the NIfTI volumes of MR, in the folder bids/", shapes=False
    )
    report: bool = key(True, "whether to write report.html, a page about the run", shapes=False)
    mode: Literal["private", "group", "umask"] = key(
        "private",
        "who may read what is written. private: the user alone; group: its group, too; umask: as the system is set",
        shapes=False,
    )
    pack: PackSection | None = key(None, "media and volumes into packs of a bounded size", shapes=False)
    durable: Literal["auto"] | bool = key(
        "auto",
        "whether products are on the disk before they count as done, for power cuts; auto: on local disks",
        shapes=False,
    )

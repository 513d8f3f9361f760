"""Shards of one output: their names, places and configurations, and which folders each has without a plan.

Ledger and rows of a shard lie in ``<output>/dme-shards/<number>-of-<shards>/``, with `privacy` in its private folder;
its products lie where a run without shards would put them. It reads no DICOM and opens no ledger for writing.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace

from crawler.config.loader import Config
from crawler.disk import is_absent
from crawler.engine.share import Share
from crawler.errors import StopError

_FOLDER = re.compile(r"([1-9]\d*)-of-([1-9]\d*)")
ROWS = "metadata.jsonl"  # of a shard, whatever the name of the whole
NO_ROWS = "dme"  # what the ledger is named after where there are none (`ledger.store.ledger_of`)


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One of `of` shards; `number` counts from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number}-of-{self.of}"


def parse_shard(text: str) -> Shard:
    """Read "2/4".

    Raises
    ------
    StopError
        It is no such text, or there is no such shard.
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
    if match is None:
        raise StopError(f"shard {text!r}: expected a number of a number of shards, such as 2/4")
    return checked(int(match[1]), int(match[2]))


def checked(number: int, of: int) -> Shard:
    """Make a shard.

    Raises
    ------
    StopError
        There is none of that number.
    """
    if not 1 <= number <= of:
        raise StopError(f"there is no shard {number}/{of}: shards count from 1/{of} to {of}/{of}")
    return Shard(number, of)


def shards_dir(config: Config) -> str:
    """The folder of all shards and their plan."""
    return config.shards_dir


def begun_shards(config: Config) -> list[Shard]:
    """Those that have a ledger."""
    try:
        names = os.listdir(shards_dir(config))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [Shard(int(match[1]), int(match[2])) for name in names if (match := _FOLDER.fullmatch(name))]
    return sorted(shard for shard in found if not is_absent(ledger_path_of(config, shard)))


def shard_dir(config: Config, shard: Shard) -> str:
    """The folder of a shard's ledger, rows and log."""
    return os.path.join(shards_dir(config), shard.name)


def ledger_path_of(config: Config, shard: Shard) -> str:
    """A shard's ledger; `ledger.store.ledger_of` says the same of its configuration."""
    return os.path.join(shard_dir(config, shard), f"{ROWS if config.metadata else NO_ROWS}.ledger")


def shard_config(config: Config, shard: Shard) -> Config:
    """The configuration of a shard's run: products lie where those of the whole lie, all else in its own folder."""
    folder = shard_dir(config, shard)
    metadata, media, volume, preview = config.metadata, config.media, config.volume, config.preview
    if metadata is not None:
        rows = os.path.join(folder, ROWS)
        metadata = replace(metadata, file=rows, append=True, tables=(), templates=None, mr_clean=False)
    privacy = config.privacy and replace(config.privacy, private=folder)
    pack = config.output.pack
    if pack is not None:
        pack = replace(pack, dir=config.path(pack.dir))
    return replace(
        config,
        output=replace(config.output, dir=folder, report=False, pack=pack),
        config=None,
        privacy=privacy,
        metadata=metadata,
        media=replace(media, dir=config.media_dir) if media and config.media_dir else None,
        volume=replace(volume, dir=config.volume_dir) if volume and config.volume_dir else None,
        preview=replace(preview, dir=config.preview_dir) if preview and config.preview_dir else None,
    )


def number_of(key: str, shards: int) -> int:
    """The shard of a folder, or an archive, by a hash of its key: the same on every machine, today and later."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards + 1


class HashShare(Share):
    """The folders that a hash of their keys gives to a shard: no plan is needed, and each shard walks the whole."""

    whole = False

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def has(self, key: str) -> bool:
        """As `Share.has`."""
        return number_of(key, self._shard.of) == self._shard.number

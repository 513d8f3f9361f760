"""Products that lie in packs: whether each is there as it was recorded, and volumes of packs for comparison.

The packs themselves are files of the run's own, whose bytes `files.py` compares.
"""

from __future__ import annotations

import os
import tarfile
import zipfile

import xxhash

from crawler.config.loader import Config
from crawler.ledger.packed import place_of
from crawler.ledger.status import Reader
from crawler.sinks.packs import members_of, read_packed
from crawler.sources.volume import Volume
from crawler.verify.files import CHANGED, MISSING

_BLOCK = 1 << 20


class PackCheck:
    """The packs of an output, each opened once."""

    def __init__(self, config: Config, ledger: Reader) -> None:
        assert config.output.pack is not None, "only an output with packs has some"
        self._folder, self._ledger = config.path(config.output.pack.dir), ledger
        self._members: dict[str, dict[str, tuple[int, str] | None]] = {}

    def problem(self, kind: str, path: bytes, size: int, checksum: str) -> str | None:
        """What is wrong with a packed product, empty for nothing; None for one that lies by itself."""
        place = place_of(self._ledger, kind, path, size, checksum)
        if place is None:
            return None
        pack, member = place
        if pack not in self._members:
            self._members[pack] = _opened(os.path.join(self._folder, pack))
        if member not in self._members[pack]:
            return f"it is missing in {pack}" if self._members[pack] else f"{pack}: {MISSING}, or cannot be opened"
        found = self._members[pack][member]
        return "" if found is None or found == (size, checksum) else CHANGED

    def content(self, kind: str, path: bytes, size: int, checksum: str) -> Volume | bytes | None:
        """The content of a packed product; None for one that lies by itself.

        Raises
        ------
        SourceError
            It cannot be read.
        """
        place = place_of(self._ledger, kind, path, size, checksum)
        return None if place is None else read_packed(os.path.join(self._folder, place[0]), place[1])


def _opened(pack: str) -> dict[str, tuple[int, str] | None]:
    """Names of a pack's members, of a tar with size and checksum; none of one that cannot be opened."""
    found: dict[str, tuple[int, str] | None] = {}
    try:
        if not pack.endswith(".tar"):
            return dict.fromkeys(members_of(pack))
        with tarfile.open(pack) as archive:
            for info in archive:
                stream, digest = archive.extractfile(info), xxhash.xxh3_128()
                while stream is not None and (block := stream.read(_BLOCK)):
                    digest.update(block)
                found[info.name] = info.size, digest.hexdigest()
    except (OSError, ValueError, LookupError, tarfile.TarError, zipfile.BadZipFile):
        return found
    return found

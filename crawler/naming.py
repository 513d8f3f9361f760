"""Names of outputs: from paths and UIDs alone, a pure function of a folder's present listing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from crawler.model import File

FRAMES = ".frames"  # ends the name of a cine's folder of pictures: no file of the input has its still in such a folder


def _stripped(name: str) -> str:
    return name[:-4] if len(name) > 4 and name[-4:].lower() == ".dcm" else name


def media_stems(names: Iterable[str]) -> dict[str, str]:
    """Name of each file's media, without their extension: the file's own, less `.dcm` unless that makes a clash.

    `IM1`, `IM1.dcm` and `IM1.ima` become `IM1`, `IM1.dcm` and `IM1.ima`; `A.dcm` alone becomes `A`. Names that differ
    only in case clash, since outputs may be copied to a file system that does not tell them apart.
    """
    names = list(names)
    claims = Counter(claim.casefold() for name in names for claim in {name, _stripped(name)})
    return {name: short if claims[(short := _stripped(name)).casefold()] == 1 else name for name in names}


def scan_digest(files: Iterable[File], stems: Iterable[str]) -> str:
    """Fingerprint of a scan: of its files as listed and of the names that its outputs take from them."""
    pairs = zip(files, stems, strict=True)
    lines = sorted(f"{file.mirror}\0{file.size}\0{file.mtime_ns}\0{stem}" for file, stem in pairs)
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

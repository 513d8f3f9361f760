"""Names of outputs: from paths and UIDs alone, a pure function of a folder's present listing."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import xxhash

from crawler.model import File

FRAMES = ".frames"  # ends the name of a cine's folder of pictures
_EXTENSION = re.compile(r"\.[a-z][a-z0-9_]*")  # of media: one dot, then a letter; ".512" of a UID is none
_GROUP = re.compile(r"(.+)-group[0-9]+", re.DOTALL)  # further multiplex groups of a waveform: `sinks/waveform.py`
# As `layout/scan.py` names what is made of a series.
_SCAN = re.compile(r"s(-?[0-9]{1,12})?-[0-9a-f]{8,32}(-[0-9]+)?")


def media_stems(names: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Name of each file's media, without their extension, so that no two outputs of a folder have one name.

    It is the file's own name, less `.dcm` unless that makes a clash: `IM1`, `IM1.dcm` and `IM1.ima` become `IM1`,
    `IM1.dcm` and `IM1.ima`; `A.dcm` alone becomes `A`. A name that still clashes gets a number: `IM1_2`.

    Parameters
    ----------
    names
        Files of one folder.
    reserved
        What else has a name in the folder of outputs: subfolders, which are mirrored, and files of the run itself.

    Notes
    -----
    Names that differ only in case or in Unicode normalisation clash, since outputs may be copied to a file system that
    does not tell them apart. So do a name and what a file of another name may give: the pictures of a cine
    (`a.frames/0001.png`), a further group of a waveform (`a-group2.csv`), the video of a series (`s1-0123abcd.mp4`).
    """
    names = sorted(names)
    claims = Counter(claim for name in names for claim in {_folded(name), _folded(_stripped(name))})
    blocked = _stems_of(reserved)
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        for stem in _candidates(name):
            folded = _folded(stem)
            if stem == name:
                free = folded not in taken
            else:  # no other file has or may get that name
                free = claims[folded] == (1 if stem == _stripped(name) else 0) and folded not in taken
            if free and folded not in blocked and not _is_derived(folded, claims):
                break
        stems[name] = stem
        taken.add(folded)
    return stems


def are_plain(names: Iterable[str], reserved: Iterable[str]) -> bool:
    """Whether `media_stems` gives each of these files `plain_stem`, found in 16 bytes a name; False when in doubt."""
    import numpy as np  # for folders of thousands of files

    blocked, hashes = _stems_of(reserved), array("Q")
    for name in names:
        short = _folded(_stripped(name))
        if short in blocked or "-group" in short or (short.startswith("s") and _SCAN.fullmatch(short)):
            return False
        hashes.append(xxhash.xxh3_64_intdigest(short.encode("utf-8", "surrogatepass")))
        if (whole := _folded(name)) != short:
            hashes.append(xxhash.xxh3_64_intdigest(whole.encode("utf-8", "surrogatepass")))
    found = np.frombuffer(hashes, np.uint64)
    return len(np.unique(found)) == len(found)


def plain_stem(name: str) -> str:
    """A file's own name, less `.dcm`."""
    return _stripped(name)


def colliding(names: Iterable[str], reserved: Iterable[str]) -> list[str]:
    """Those of the reserved names that have a say in `media_stems`, sorted."""
    reserved = sorted(reserved)
    if not reserved:
        return []
    claims = {claim for name in names for claim in (_folded(name), _folded(_stripped(name)))}
    return [name for name in reserved if not claims.isdisjoint(_stems_of([name]))]


def scan_digest(files: Iterable[File], stems: Iterable[str]) -> str:
    """Fingerprint of a scan: of its files as listed and of the names that its outputs take from them."""
    pairs = zip(files, stems, strict=True)
    lines = sorted(f"{file.mirror}\0{file.size}\0{file.mtime_ns}\0{stem}" for file, stem in pairs)
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _candidates(name: str) -> Iterator[str]:
    short = _stripped(name)
    if short != name:
        yield short
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"  # no "-": that is how layouts and groups are numbered
        number += 1


def _stripped(name: str) -> str:
    return name[:-4] if len(name) > 4 and name[-4:].lower() == ".dcm" else name


def _folded(name: str) -> str:
    """What names share that some file system takes for one."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _stems_of(names: Iterable[str]) -> set[str]:
    """Stems, folded, whose media could have one of these names."""
    stems: set[str] = set()
    for name in map(_folded, names):
        stem, dot, extension = name.rpartition(".")
        if stem and _EXTENSION.fullmatch(dot + extension):
            stems.add(stem)
            group = _GROUP.fullmatch(stem)
            if group:
                stems.add(group[1])
    return stems


def _is_derived(stem: str, claims: Counter[str]) -> bool:
    """Whether another file, or the series, may give outputs that are named so."""
    group = _GROUP.fullmatch(stem) if "-group" in stem else None
    return (group is not None and group[1] in claims) or (stem.startswith("s") and _SCAN.fullmatch(stem) is not None)

"""Files with small faults, made at random."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile

FORGED = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, lengths forged, parts cut out or doubled, the end cut off; mostly in the header."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        end = len(data) if rng.random() < 0.4 else min(len(data), 2500)
        at = rng.randrange(0, max(end, 1))
        match rng.randrange(6):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                size = rng.choice((2, 4))
                data[at : at + size] = (rng.choice(FORGED) & (1 << 8 * size) - 1).to_bytes(size, "little")
            case 3:
                del data[at : at + rng.choice((1, 2, 8, 64))]
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 2, 8, 64))]
            case 5 if rng.random() < 0.3:
                del data[rng.randrange(len(data) // 2, len(data) + 1) :]
    return bytes(data)


# Elements that decide how pixels and geometry are read (PS3.6), with a value of which each stays as long as it was.
FIELDS = (
    *(0x00020010, 0x00080016, 0x00180088, 0x00181063, 0x00200013, 0x00200032, 0x00200037, 0x00280002, 0x00280004),
    *(0x00280006, 0x00280008, 0x00280009, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101, 0x00280102),
    *(0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281101, 0x00281201, 0x00283002, 0x003A0005),
    *(0x54000100, 0x60000010, 0x60003000, 0x7FE00010),
)
TEXTS = (
    b"0",
    b"-1",
    b"1",
    b"99999999",
    b"1e99",
    b"-1e-99",
    b"nan",
    b"\\",
    b"1\\2\\3",
    b"MONOCHROME1",
    b"RGB",
    b"1.2.840",
    b"",
)


def forge_fields(content: bytes, rng: random.Random) -> bytes:
    """Values of elements that matter replaced by extreme ones; everything else stays as it is."""
    data = bytearray(content)
    places = [
        at
        for tag in FIELDS
        for pattern in (struct.pack("<HH", tag >> 16, tag & 0xFFFF), struct.pack(">HH", tag >> 16, tag & 0xFFFF))
        if (at := data.find(pattern, 128)) >= 0
    ]
    for at in rng.sample(places, min(len(places), rng.choice((1, 1, 2, 4)))):
        explicit = data[at + 4 : at + 6].isalpha()
        length = int.from_bytes(data[at + 6 : at + 8] if explicit else data[at + 4 : at + 8], "little")
        if rng.random() < 0.15:  # a length in place of a value
            data[at + 6 : at + 8] = (rng.choice(FORGED) & 0xFFFF).to_bytes(2, "little")
        elif length <= 4:
            data[at + 8 : at + 8 + length] = (rng.choice(FORGED) & (1 << 8 * length) - 1).to_bytes(length, "little")
        elif length <= 128:
            data[at + 8 : at + 8 + length] = rng.choice(TEXTS).ljust(length)[:length]
        else:
            data[at + 8 : at + 12] = rng.choice(FORGED).to_bytes(4, "little")
    return bytes(data)


def archived(contents: list[bytes], rng: random.Random) -> tuple[str, bytes]:
    """An archive of files, mutated as a whole more often than not: the ending of its name, and its bytes."""
    ending = rng.choice((".zip", ".zip", ".tar", ".tar.gz", ".dcm.gz"))
    target = io.BytesIO()
    if ending == ".dcm.gz":
        target.write(gzip.compress(contents[0]))
    elif ending == ".zip":
        with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for number, content in enumerate(contents):
                archive.writestr(f"{number % 2}/{number}", content)
    else:
        with tarfile.open(fileobj=target, mode="w:gz" if ending.endswith("gz") else "w") as archive:
            for number, content in enumerate(contents):
                entry = tarfile.TarInfo(f"{number % 2}/{number}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    data = target.getvalue()
    return ending, mutate(data, rng) if rng.random() < 0.7 else data

"""Files with small faults, made at random."""

from __future__ import annotations

import random

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

"""Pictures with writing burned in, of several sizes, contrasts and grounds, and the same without."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXTS = ("QUASTENFLOSSER^LUDMILLA", "ID 4711-0815", "17.04.1931 F 89Y", "St. Nowhere Hospital", "Acc: A20240229-7")
SIZES = (10, 12, 14, 18, 22, 28)
SHAPES = {"US": (480, 640), "CR": (1024, 840), "CT": (512, 512)}


class Picture(NamedTuple):
    """A picture from 0 to 255, and where its strings stand: (top, bottom, left, right)."""

    values: np.ndarray
    strings: tuple[tuple[int, int, int, int], ...]


def ground(kind: str, seed: int) -> np.ndarray:
    """What a picture of a kind looks like without writing: a fan with speckle, lungs, a body with bones."""
    random = np.random.default_rng(seed)
    rows, columns = SHAPES[kind]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    if kind == "US":
        radius, angle = np.hypot(y + 40, x - columns / 2), np.arctan2(x - columns / 2, y + 40)
        fan = (radius > 120) & (radius < rows - 30) & (np.abs(angle) < 0.7)
        speckle = _smooth(random.gamma(2.0, 30.0, (rows, columns)).astype(np.float32), 2)
        return np.where(fan, np.clip(speckle, 0, 255), 0)
    if kind == "CR":
        body = 190 - 90 * np.exp(-(((x - columns * 0.3) / 130) ** 2 + ((y - rows / 2) / 260) ** 2))
        body -= 90 * np.exp(-(((x - columns * 0.7) / 130) ** 2 + ((y - rows / 2) / 260) ** 2))
        ribs = 18 * (np.sin(y / 26 + 0.002 * (x - columns / 2) ** 2 / 40) > 0.6)
        return np.clip(_smooth(body + ribs, 3) + random.normal(0, 4, (rows, columns)), 0, 255)
    inside = ((x - columns / 2) / (columns * 0.4)) ** 2 + ((y - rows / 2) / (rows * 0.32)) ** 2 < 1
    bone = ((x - columns / 2) / 30) ** 2 + ((y - rows * 0.68) / 24) ** 2 < 1
    organ = ((x - columns * 0.4) / 90) ** 2 + ((y - rows * 0.5) / 60) ** 2 < 1
    values = np.where(bone, 240, np.where(organ, 130, np.where(inside, 105, 4)))
    return np.clip(_smooth(values.astype(np.float32), 2) + random.normal(0, 5, (rows, columns)), 0, 255)


def picture(kind: str, seed: int, size: int, level: int = 255, count: int = 4) -> Picture:
    """A picture with strings in its corners, on and beside the body."""
    values = ground(kind, seed)
    rows, columns = values.shape
    image = Image.fromarray(values.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    boxes = []
    for number in range(count):
        text = TEXTS[(seed + number) % len(TEXTS)]
        place = (8 if number % 2 == 0 else columns // 2, (8 if number < 2 else rows - 3 * size) + (seed % 3) * size)
        draw.text(place, text, fill=level, font=font)
        left, top, right, bottom = draw.textbbox(place, text, font=font)
        boxes.append((int(top), int(bottom) + 1, int(left), min(int(right) + 1, columns)))
    return Picture(np.asarray(image), tuple(boxes))


def covered(boxes: list[tuple[int, int, int, int]], string: tuple[int, int, int, int]) -> float:
    """Share of a string's rectangle that lies in rectangles."""
    top, bottom, left, right = string
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    for one in boxes:
        inside[max(0, one[0] - top) : max(0, one[1] - top), max(0, one[2] - left) : max(0, one[3] - left)] = True
    return float(inside.mean())


def _smooth(values: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        values = (values + np.roll(values, 1, 0) + np.roll(values, 1, 1) + np.roll(values, (1, 1), (0, 1))) / 4
    return values

"""Writing in pixels: what share of strings each detector covers, what it marks of clean pictures, and what it takes.

    python -m benchmarks.burned_in [--seeds 1] [--tesseract] [--memory]

Strings in every font of matplotlib that has letters and of the system, from 8 to 40 px, of three contrasts, on flat,
noisy and drawn grounds, in 8 and 16 bits, in colour and after JPEG. A string is covered when 60 % of its rectangle is.
Then the clean grounds, CT and MR that come with pydicom, and its ultrasounds, of which nobody wrote down what stands in
them. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from crawler.privacy import ocr
from crawler.privacy.strokes import Box, as_grey, covered_by, find, share

TEXTS = ("QUASTENFLOSSER^LUDMILLA", "ID 4711-0815", "17.04.1931 F 89Y", "St. Nowhere Hospital", "Acc: A20240229-7")
SIZES = (8, 10, 12, 16, 24, 40)
CONTRASTS = {"full": 255, "70 of 255": 70, "30 of 255": 30}
GROUNDS = ("dark", "bright", "noise", "ultrasound", "radiograph")
KINDS = ("8 bits", "16 bits", "colour", "JPEG")
ROWS, COLUMNS = 480, 640
LEAST = 0.6
_SKIPPED = ("Emoji", "Siz", "LastResort", "Symbol", "OpenSymbol", "cmex", "cmsy", "NonUni", "Oblique", "Dingbats")

Values = npt.NDArray[Any]


class Picture(NamedTuple):
    """Stored values, where strings stand, and the classes that they count in."""

    values: Values
    strings: tuple[Box, ...]
    classes: tuple[str, ...]


def fonts() -> list[Path]:
    """Fonts of matplotlib and of the system with Latin letters."""
    import matplotlib

    places = [Path(matplotlib.get_data_path()) / "fonts" / "ttf", Path("/usr/share/fonts")]
    found = [path for place in places for path in sorted(place.rglob("*.[to]tf"))]
    return [path for path in found if not any(word in path.name for word in _SKIPPED)]


def ground(kind: str, seed: int) -> Values:
    """A clean picture, 0 to 255."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    if kind == "dark":
        return np.full((ROWS, COLUMNS), 12.0, np.float32)
    if kind == "bright":
        return np.asarray(200 + 20 * x / COLUMNS)
    if kind == "noise":
        return np.clip(random.normal(90, 18, (ROWS, COLUMNS)), 0, 255).astype(np.float32)
    if kind == "ultrasound":
        radius, angle = np.hypot(y + 40, x - COLUMNS / 2), np.arctan2(x - COLUMNS / 2, y + 40)
        fan = (radius > 120) & (radius < ROWS - 30) & (np.abs(angle) < 0.7)
        speckle = _smooth(random.gamma(2.0, 30.0, (ROWS, COLUMNS)).astype(np.float32), 2)
        return np.where(fan, np.clip(speckle, 0, 255), 0).astype(np.float32)
    body = np.full((ROWS, COLUMNS), 180, np.float32)
    for middle in (0.3, 0.7):
        body -= 80 * np.exp(-(((x - COLUMNS * middle) / 110) ** 2 + ((y - ROWS / 2) / 170) ** 2))
    ribs = 18 * (np.sin(y / 20 + 0.002 * (x - COLUMNS / 2) ** 2 / 40) > 0.6)
    return np.clip(_smooth(body + ribs, 3) + random.normal(0, 4, body.shape), 0, 255).astype(np.float32)


def pictures(seeds: int) -> Iterator[Picture]:
    """Every ground, size and contrast; fonts and kinds of pixels by turns."""
    faces, number = fonts(), 0
    for seed in range(seeds):
        for kind in GROUNDS:
            for size in SIZES:
                for contrast, step in CONTRASTS.items():
                    number += 1
                    yield _picture(ground(kind, seed), faces, number, (kind, f"{size} px", contrast), size, step)


def _picture(values: Values, faces: list[Path], number: int, classes: tuple[str, ...], size: int, step: int) -> Picture:
    layer = Image.new("L", (COLUMNS, ROWS))
    draw = ImageDraw.Draw(layer)
    boxes = []
    for place, (top, left) in enumerate(((6, 8), (60, 40), (240, 190), (400, 16))):
        font = ImageFont.truetype(str(faces[(4 * number + place) % len(faces)]), size)
        text = TEXTS[(number + place) % len(TEXTS)]
        draw.text((left, top), text, fill=255, font=font)
        box = draw.textbbox((left, top), text, font=font)
        boxes.append((int(box[1]), min(ROWS, int(box[3]) + 1), int(box[0]), min(COLUMNS, int(box[2]) + 1)))
    letters = np.asarray(layer, np.float32) / 255
    level = np.zeros_like(values)
    for top, bottom, left, right in boxes:
        mean = values[top:bottom, left:right].mean()
        level[top:bottom, left:right] = np.clip(mean + (step if mean < 128 else -step), 0, 255)
    shown = np.rint(values * (1 - letters) + level * letters).astype(np.uint8)
    kind = KINDS[number % len(KINDS)]
    stored: Values = shown
    if kind == "16 bits":
        stored = shown.astype(np.uint16) * 13 + 300
    elif kind == "colour":
        stored = np.stack([shown, shown, np.minimum(shown, 255 - shown // 3)], axis=2)
    elif kind == "JPEG":
        packed = io.BytesIO()
        Image.fromarray(shown).save(packed, "JPEG", quality=40)
        stored = np.asarray(Image.open(packed))
    return Picture(stored, tuple(boxes), (*classes, kind))


def tesseract(values: Values) -> list[Box]:
    """Words that tesseract reads."""
    packed = io.BytesIO()
    Image.fromarray(as_grey(values).astype(np.uint8)).save(packed, "PNG")
    command = ["tesseract", "stdin", "stdout", "--psm", "11", "tsv"]
    told = subprocess.run(command, input=packed.getvalue(), capture_output=True, check=True).stdout.decode()
    boxes = []
    for line in told.splitlines()[1:]:
        cells = line.split("\t")
        if len(cells) == 12 and cells[11].strip() and float(cells[10]) >= 0:
            left, top, width, height = map(int, cells[6:10])
            boxes.append((top, top + height, left, left + width))
    return boxes


def real() -> Iterator[tuple[str, Values]]:
    """Pictures that come with pydicom, first frames, by class."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.pixels.processing import apply_color_lut

    named = {
        "CT and MR": ("CT_small.dcm", "MR_small.dcm", "693_J2KR.dcm", "JPEG2000.dcm"),
        "ultrasound": (
            *("examples_ybr_color.dcm", "examples_rgb_color.dcm", "examples_palette.dcm"),
            *("US1_UNCR.dcm", "gdcm-US-ALOKA-16.dcm", "color3d_jpeg_baseline.dcm"),
        ),
    }
    for kind, names in named.items():
        for name in names:
            path = get_testdata_file(name, download=False)
            if path is None:
                continue
            dataset = dcmread(path)
            values = dataset.pixel_array
            if dataset.PhotometricInterpretation == "PALETTE COLOR":
                values = apply_color_lut(values, dataset)
            frames = int(dataset.get("NumberOfFrames") or 1)
            yield kind, values[0] if frames > 1 else values


def main() -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burned_in", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tesseract", action="store_true")
    parser.add_argument(
        "--memory", action="store_true", help="peak memory of one process, with and without the network"
    )
    options = parser.parse_args()
    if options.memory:
        return _memory()
    tools: dict[str, Callable[[Values], list[Box]]] = {"strokes": find, "network": ocr.find}
    if options.tesseract:
        tools["tesseract"] = tesseract
    covered: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, float] = defaultdict(float)
    ocr.find(ground("noise", 0))  # loads the network
    count = 0
    for picture in pictures(options.seeds):
        count += 1
        found = {}
        for name, tool in tools.items():
            found[name], took = _timed(tool, picture.values)
            seconds[name] += took
        found["both"] = found["strokes"] + found["network"]
        for name, boxes in found.items():
            mask = covered_by(boxes, ROWS, COLUMNS)
            hits = [bool(mask[t:b, left:right].mean() >= LEAST) for t, b, left, right in picture.strings]
            for one in (*picture.classes, "all"):
                covered[one][name] += hits
    names = ["strokes", "network", "both", *(["tesseract"] if options.tesseract else [])]
    print(f"{count} pictures of {COLUMNS} x {ROWS}, {len(fonts())} fonts\n")
    print(f"| strings covered, % | strings | {' | '.join(names)} |\n|---|{'---:|' * (1 + len(names))}")
    rows = (*(f"{size} px" for size in SIZES), *CONTRASTS, *GROUNDS, *KINDS, "all")
    for row in rows:
        cells = " | ".join(f"{100 * float(np.mean(covered[row][name])):.0f}" for name in names)
        print(f"| {row} | {len(covered[row]['both'])} | {cells} |")
    took_each = " | ".join(f"{sum(seconds[part] for part in _of(name)) / count:.2f}" for name in names)
    print(f"| seconds a picture | | {took_each} |")
    clean: dict[str, list[Values]] = {}
    for kind in ("noise", "ultrasound", "radiograph"):
        clean[f"clean: {kind}"] = [ground(kind, seed) for seed in range(100, 104)]
    for kind, values in real():
        clean.setdefault(f"pydicom: {kind}", []).append(values)
    print(f"\n| marked of pictures, % | pictures | {' | '.join(names)} |\n|---|{'---:|' * (1 + len(names))}")
    for kind, those in clean.items():
        shares: dict[str, list[float]] = defaultdict(list)
        for values in those:
            boxes_of = {name: tool(values) for name, tool in tools.items()}
            boxes_of["both"] = boxes_of["strokes"] + boxes_of["network"]
            for name in names:
                shares[name].append(share(boxes_of[name], *values.shape[:2]))
        cells = " | ".join(f"{100 * float(np.mean(shares[name])):.1f}" for name in names)
        print(f"| {kind} | {len(those)} | {cells} |")
    return 0


def _of(name: str) -> tuple[str, ...]:
    return ("strokes", "network") if name == "both" else (name,)


def _timed(tool: Callable[[Values], list[Box]], values: Values) -> tuple[list[Box], float]:
    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    before = spent()
    boxes = tool(values)
    return boxes, spent() - before


def _memory() -> int:
    program = (
        "import resource, sys, numpy as np; from crawler.privacy import ocr, strokes; rows = int(sys.argv[2]);"
        " values = np.random.default_rng(1).integers(0, 255, (rows, rows * 4 // 3), dtype=np.uint8);"
        " strokes.find(values); sys.argv[1] == 'network' and ocr.find(values);"
        " print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    for rows in (480, 1024, 2400):
        used = [
            subprocess.run([sys.executable, "-c", program, name, str(rows)], capture_output=True, text=True, check=True)
            for name in ("strokes", "network")
        ]
        print(f"{rows * 4 // 3} x {rows}: " + ", ".join(f"{one.stdout.strip()} MB" for one in used), flush=True)
    return 0


def _smooth(values: Values, times: int) -> Values:
    for _ in range(times):
        values = (values + np.roll(values, 1, 0) + np.roll(values, 1, 1) + np.roll(values, (1, 1), (0, 1))) / 4
    return values


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())

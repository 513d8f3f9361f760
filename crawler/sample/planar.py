"""Projections and cines of invented patients, as numpy arrays: what `tree.py` writes as US, XA, DX and MG.

As in `phantom.py`, anatomy goes as far as it helps to judge an export by eye: motion, colour, inversion, fine detail.
Every function is deterministic. Nothing here knows DICOM.
"""

from __future__ import annotations

import numpy as np

from crawler.sample.drawing import Array, blob, edge, grid, smooth_noise, stroke

# Chambers of a heart in an apical four-chamber view, in fractions of the sector's depth: centre (depth, side), half
# axes, angle in radians, share of the half axes that a beat takes away (atria fill while ventricles empty).
CHAMBERS = (
    (0.40, -0.125, 0.185, 0.080, 0.12, 0.20),
    (0.39, 0.105, 0.215, 0.100, -0.08, 0.26),
    (0.755, -0.135, 0.120, 0.100, 0.05, -0.14),
    (0.760, 0.120, 0.125, 0.105, -0.05, -0.14),
)

# Valve leaflets: depth and side of the hinge, side of the free edge when closed.
LEAFLETS = ((0.605, 0.015, 0.085), (0.615, 0.205, 0.135), (0.60, -0.06, -0.105), (0.61, -0.20, -0.14))

Tree = list[tuple[list[tuple[float, float]], float, float]]
"""Branches of a vessel: points (y, x), width, and length of the way from the root to the branch."""


def vessels(root: tuple[float, float], heading: float, length: float, width: float, seed: int, depth: int = 5) -> Tree:
    """Return a tree of curved branches, each one thinner and shorter than its mother.

    Parameters
    ----------
    heading
        Direction of the first branch, radians from straight down, positive to the right.
    length, width
        Of the first branch, in the picture's unit.
    """
    random = np.random.default_rng(seed)
    tree: Tree = []

    def grow(point: tuple[float, float], angle: float, reach: float, thick: float, way: float, left: int) -> None:
        points = [point]
        bend = random.normal(0, 0.16)
        for _ in range(5):
            angle += bend + random.normal(0, 0.07)
            y, x = points[-1]
            points.append((y + np.cos(angle) * reach / 5, x + np.sin(angle) * reach / 5))
        tree.append((points, thick, way))
        if left:
            side = random.choice((-1.0, 1.0))
            spread = random.uniform(0.35, 0.6)
            grow(points[-1], angle - side * spread * 0.45, reach * 0.84, thick * 0.84, way + reach, left - 1)
            grow(points[-1], angle + side * spread, reach * 0.74, thick * 0.64, way + reach, left - 1)
            if left > 2:
                grow(points[2], angle - side * 0.9, reach * 0.6, thick * 0.45, way + reach * 0.4, left - 2)

    grow(root, heading, length, width, 0.0, depth)
    return tree


def ultrasound(frames: int = 20, rows: int = 221, columns: int = 288) -> Array:
    """Return one beat of a heart in an ultrasound sector, with colour Doppler over the mitral valve and an ECG.

    Returns
    -------
    ndarray, shape (frames, rows, columns, 3)
        RGB, 0 to 1.
    """
    y, x = grid(rows, columns, 1.0, columns / rows)
    y, x = y + 0.47 + 0 * x, x + 0 * y
    depth, angle = np.hypot(y, x) / 0.86, np.arctan2(x, y)
    sector = edge((np.abs(angle) - 0.72) * depth * rows) * edge((depth - 1) * rows) * edge((0.045 - depth) * rows)
    # Speckle is fine along the beam and widens with depth: made in beam coordinates, then looked up.
    beams, samples = 112, 300
    speckle = np.hypot(*(smooth_noise((samples, beams), (1.1, 0.8), seed) for seed in (41, 42)))
    drift = smooth_noise((samples, beams), (14.0, 9.0), 43)
    at = (depth.clip(0, 0.999) * samples).astype(int), ((angle + 0.73) / 1.46 * beams).astype(int).clip(0, beams - 1)
    cine = np.empty((frames, rows, columns, 3))
    for k in range(frames):
        phase = k / frames
        squeeze = np.sin(np.pi * min(phase / 0.45, 1.0)) ** 2  # systole takes 45 % of the beat
        opening = np.sin(np.pi * np.clip((phase - 0.45) / 0.5, 0, 1)) ** 0.5
        v, u = y / 0.86 - 0.03 * squeeze, x / 0.86
        cavity = np.full(y.shape, 1.0)
        for cy, cx, ry, rx, turn, beat in CHAMBERS:
            wall = blob(v, u, cy, cx, ry * (1 - 0.5 * beat * squeeze), rx * (1 - beat * squeeze), -turn)
            cavity = np.minimum(cavity, wall)
        muscle = blob(v, u, 0.53, -0.005, 0.45, 0.285)
        echo = 0.20 + 0.16 * drift[at] * 0.5 + 0.34 * edge(muscle, 0.03) + 0.32 * edge(np.abs(muscle) - 0.008, 0.016)
        echo *= 0.12 + 0.88 * edge(-cavity, 0.022)
        echo += 0.22 * edge(np.abs(cavity) - 0.004, 0.012) * edge(muscle, 0.03)
        for height, hinge, tip in LEAFLETS:
            free = tip + (hinge - tip) * 0.75 * opening
            leaf = [(height, hinge), (height - 0.02, (hinge + free) / 2), (height - 0.03 - 0.075 * opening, free)]
            echo += 0.75 * edge(stroke(v, u, leaf) - 0.006, 0.01)
        jump = (at[0] + int(6 * squeeze)) % samples
        grain = 20 * np.log10(speckle[jump, at[1]] + 0.08) / 24
        grey = np.clip(echo * (0.98 - 0.30 * depth) * (1 + 0.75 * grain) + 0.02 * grain, 0, 1) * sector
        image = grey[..., None] * np.array([1.0, 0.985, 0.94])
        image = _doppler(image, v, u, speckle[jump, at[1]], sector, opening, squeeze)
        cine[k] = _trace(image, k, frames)
    return np.clip(cine, 0, 1)


def _doppler(image: Array, v: Array, u: Array, speckle: Array, sector: Array, opening: float, squeeze: float) -> Array:
    """Blood towards the probe in red (filling), away from it in blue (a leak in systole); with the colour bar."""
    flow = np.zeros(v.shape)
    fill = blob(v, u, 0.545 - 0.07 * opening, 0.108, 0.13 * opening + 0.01, 0.05)
    leak = blob(v, u, 0.665 + 0.03 * squeeze, 0.10, 0.11 * squeeze + 0.01, 0.030, 0.2)
    flow += opening * edge(fill, 0.05) * (opening > 0.25)
    flow -= squeeze * edge(leak, 0.04) * (squeeze > 0.25)
    flow *= np.clip(0.65 + 0.35 * speckle, 0, 1.15) * sector
    columns = v.shape[1]
    bar = np.zeros(v.shape)
    bar[12:72, columns - 16 : columns - 8] = np.linspace(1, -1, 60)[:, None]
    hot, cold = np.array([1.0, 0.28, 0.05]), np.array([0.08, 0.35, 1.0])
    for field in (flow, bar):
        strength = np.abs(field)[..., None]
        tone = np.where((field > 0)[..., None], hot, cold) * (0.35 + 0.65 * strength)
        image = np.where(strength > 0.22 if field is flow else strength > 0, tone, image)
    return image


def _trace(image: Array, frame: int, frames: int) -> Array:
    """An ECG under the sector, drawn up to the frame's place in the beat."""
    rows, columns, _ = image.shape
    y, x = np.arange(rows)[:, None] * 1.0, np.arange(columns)[None, :] * 1.0
    t = np.arange(columns) / columns * 2 % 1.0
    wave = 0.12 * np.exp(-(((t - 0.86) / 0.035) ** 2)) + 0.28 * np.exp(-(((t - 0.34) / 0.06) ** 2))
    wave += np.exp(-(((t - 0.02) / 0.012) ** 2)) - 0.25 * np.exp(-(((t - 0.055) / 0.014) ** 2))
    level = rows - 10 - 18 * wave
    steep = 1 + np.abs(np.gradient(level))[None, :] * 0.5
    now = (frame + 1) / frames / 2 * columns
    shown = np.where((x % (columns / 2)) <= now, 0.85, 0.30) * edge(np.abs(y - level) - 0.4 * steep, 1.2)
    shown = np.maximum(shown, edge(np.hypot(y - level[int(now) % columns], x - now) - 2.2))
    return image * (1 - shown[..., None]) + np.array([0.25, 0.95, 0.45]) * shown[..., None]


def angiogram(frames: int = 20, size: int = 160) -> Array:
    """Return an injection into a coronary artery: catheter, contrast that fills and washes out, a beating heart.

    Returns
    -------
    ndarray, shape (frames, size, size)
        Brightness 0 to 1; contrast is dark.
    """
    y, x = grid(size, size, 100.0, 100.0)
    tree = vessels((-22.0, -14.0), 0.55, 21.0, 2.6, seed=77, depth=5)
    tree += vessels((-22.0, -14.0), -0.35, 15.0, 2.0, seed=85, depth=4)
    soft = smooth_noise((size, size), (14.0, 14.0), 51)
    noise = np.random.default_rng(52).standard_normal((frames, size, size))
    ground = 0.70 + 0.03 * soft - 0.17 * edge(np.abs(x + 34 - y * 0.06) - 11, 14)  # spine
    for k in range(6):  # ribs
        ground = ground - 0.05 * edge(np.abs(y + 52 - 20 * k - 0.012 * (x - 8) ** 2 + 0.25 * x) - 2.6, 3.0)
    ground = ground - 0.16 * edge(blob(y, x, 12, 8, 44, 40, 0.5), 16)  # heart
    ground = ground - 0.20 * edge(52 - y - 10 * np.cos((x - 20) / 40), 14) * (y > 20)  # diaphragm
    cine = np.empty((frames, size, size))
    for k in range(frames):
        beat = np.sin(2 * np.pi * k / 10)
        v = y - 2.2 * beat - 0.03 * beat * (y + 22) + 0 * x
        u = x - 1.2 * beat * np.cos(y / 30) + 0.025 * beat * (x + 14)
        loss = np.zeros((size, size))
        front, back = 9.0 * (k - 1), 9.5 * (k - 13)
        for points, width, way in tree:
            for n in range(5):
                fill = np.clip((front - way - 3 * n) / 12, 0, 1) * np.clip(1 - (back - way - 3 * n) / 30, 0, 1)
                here = _around(y, x, points[n : n + 2], 10.0)
                if fill > 0:
                    radius = width * (0.5 - 0.02 * n)
                    narrow = 0.45 if abs(way - 17.6) < 0.1 and n == 1 and width > 1.5 else 1.0  # a stenosis
                    near = stroke(v[here], u[here], points[n : n + 2])
                    thick = np.sqrt(np.clip((radius * narrow + 0.3) ** 2 - near**2, 0, None))
                    loss[here] = np.maximum(loss[here], fill * np.minimum(thick * 0.42, 0.62))
        tip = (-22.5 + 2.0 * beat, -14.0 + beat)
        tube = stroke(y, x, [(-51, -24), (-44, -27), (-36, -27), (-29, -24), (tip[0] - 1, tip[1] - 4), tip])
        loss = np.maximum(loss, 0.36 * edge(tube - 1.0, 0.8))
        cine[k] = ground * (1 - loss) + 0.013 * noise[k]
    collimated = edge(np.maximum(np.abs(x), np.abs(y)) - 48.5, 1.0)
    return np.clip(cine * collimated + 0.03, 0, 1)


def _around(y: Array, x: Array, points: list[tuple[float, float]], margin: float) -> tuple[slice, slice]:
    """Return the part of a picture with rows at ``y`` and columns at ``x`` that is near some points.

    Lines are drawn only there: the cine takes 0.7 s instead of 2.5 s, and the pictures are equal.
    """
    low, high = np.min(points, axis=0) - margin, np.max(points, axis=0) + margin
    rows, columns = (
        np.flatnonzero((at.ravel() >= first) & (at.ravel() <= last))
        for at, first, last in zip((y, x), low, high, strict=True)
    )
    if not len(rows) or not len(columns):
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def chest(rows: int = 320, columns: int = 304) -> Array:
    """Return a frontal chest radiograph as brightness: bone near 1, air near 0.

    Returns
    -------
    ndarray, shape (rows, columns)
        The patient's right is left in the picture.
    """
    y, x = grid(rows, columns, 380.0, 361.0)
    soft = smooth_noise((rows, columns), (10.0, 10.0), 61)
    flank = 136 + 62 * edge(y + 88, 90) + 6 * np.cos(y / 40)
    shoulder = -152 + 0.0028 * np.maximum(np.abs(x) - 40, 0) ** 2 - y
    body = np.minimum(np.maximum(np.abs(x) - flank, shoulder), np.maximum(np.abs(x) - 46, y + 100))
    image = 0.54 * edge(body, 16) + 0.05 * edge(body, 4) + 0.012 * soft * edge(body, 6)
    heart = np.minimum(blob(y, x, 50, 30, 50, 72, 0.42), blob(y, x, -42, 14, 30, 22))
    for side in (-1.0, 1.0):
        image = _half_chest(image, y, side * x, side, soft)
    image += 0.30 * edge(heart, 12) * (1 - 0.5 * edge(78 - y, 20))
    image += 0.13 * edge(np.abs(x) - 22 + 0.02 * y, 10) * edge(body, 8) * (1 - 0.7 * edge(heart, 12))
    for n in range(17):  # vertebrae with their spinous processes
        bone = np.maximum(np.abs(x) - 14, np.abs(y + 178 - 22.5 * n) - 9.6)
        image += 0.04 * edge(bone, 3.0) + 0.035 * edge(blob(y, x, -176 + 22.5 * n, 0, 5, 2.4), 2.0)
    windpipe = stroke(y, x, [(-185, 0), (-60, 2), (-38, 3)]) - 7.0
    for side in (-1.0, 1.0):
        windpipe = np.minimum(windpipe, stroke(y, x, [(-38, 3), (-20, 3 + side * 20)]) - 5.0)
    image -= 0.11 * edge(windpipe, 4.0)
    noise = np.random.default_rng(62).standard_normal((rows, columns))
    return np.clip(1.06 * np.tanh(1.25 * image) + 0.006 * noise, 0.005, 1)


def _half_chest(image: Array, y: Array, s: Array, side: float, soft: Array) -> Array:
    """Add lung, ribs and shoulder of one side; ``s``: mm from the middle outwards, ``side``: -1 on the right."""
    dome = 124 - 10 * (side < 0) - 36 * np.cos((s - 60) / 54)
    lung = np.maximum(np.maximum(blob(y, s, 8, 64, 152, 62, -0.10), y - dome), 18.0 - s)
    air = edge(lung, 12)
    image = image - 0.44 * air + 0.016 * soft * edge(lung, 8)
    seed = 66 + int(side)
    branches = vessels((-8.0, 24.0), 0.75, 34.0, 5.5, seed=seed) + vessels((-14.0, 24.0), 2.4, 26.0, 4.5, seed=seed + 4)
    for points, width, way in branches:
        here = _around(y, s, points, width / 2 + 1.2)
        vessel = stroke(y[here[0]], s[:, here[1]], points) - width / 2
        image[here] += 0.09 * edge(vessel, 2.4) * air[here] * np.exp(-way / 110)
    for n in range(9):  # ribs fall outwards behind and, fainter, inwards in front
        top = -134 + 25.0 * n
        wide = 64 + 62 * np.sqrt(max(1 - ((top + 12) / 152) ** 2, 0.05))
        rear = [(top - 5 * np.sin(np.pi * t) + 24 * t**3, 14 + (wide - 14) * t) for t in np.linspace(0, 1, 11)]
        fore = [(top + 24 + 46 * t, wide - (62 - 2 * n) * t * t) for t in np.linspace(0, 1, 8)]
        cover = np.zeros(image.shape)
        for line, strength, thick in ((rear, 0.12, 4.6), (fore, 0.065, 5.2)):
            near = stroke(y, s, line) - thick
            rib = 0.6 * edge(near, 3.0) + 0.4 * edge(np.abs(near + 0.9) - 0.7, 1.6)
            cover = np.maximum(cover, strength * rib)
        image += cover
    collar = stroke(y, s, [(-112, 12), (-118, 36), (-128, 70), (-133, 104), (-130, 132)]) - 5.5
    image += 0.13 * edge(collar, 3.0) + 0.05 * edge(np.abs(collar + 0.6) - 0.7, 1.4)
    blade = stroke(y, s, [(-112, 132), (-60, 112), (-22, 104)]) - 14 + (y + 22) * 0.08
    image += 0.05 * edge(blade, 4.0) + 0.03 * edge(np.abs(blade + 1) - 0.8, 1.6)
    arm = np.minimum(blob(y, s, -108, 156, 20, 18), np.maximum(np.abs(s - 164 - 0.1 * (y + 100)) - 11, -100 - y))
    return image + 0.16 * edge(arm, 4.0) * np.clip(3 * image, 0, 1)


def breast(rows: int = 352, columns: int = 224) -> Array:
    """Return a left mediolateral oblique mammogram as brightness: pectoral muscle, glands, a mass, fine calcifications.

    Returns
    -------
    ndarray, shape (rows, columns)
        0 to 1; chest wall at the left edge, background exactly 0.
    """
    y, x = grid(rows, columns, 220.0, 140.0)
    x = x + 70
    outline = blob(y, x, 22, -12, 92, 122, 0.10)
    axilla = x - 52 + 0.30 * (y + 110)
    skin = np.minimum(outline, np.maximum(axilla, y + 20))
    nipple = blob(y, x, 24, 108, 5.5, 4.5)
    glands = smooth_noise((rows, columns), (9.0, 9.0), 71)
    fibres = smooth_noise((rows, columns), (2.6, 6.5), 72, fine=0.45)
    dense = edge(blob(y, x, 28, 44, 52, 50, 0.2) + 11 * glands, 34)
    image = 0.25 + 0.30 * dense * (0.8 + 0.22 * glands) + (0.018 + 0.040 * dense) * fibres
    for seed, turn in ((73, -1.9), (74, -1.45), (75, -1.1), (76, -0.8)):  # ducts run from the nipple inwards
        for points, width, way in vessels((24.0, 103.0), turn, 24.0, 2.4, seed=seed, depth=4):
            here = _around(y, x, points, width / 2 + 0.8)
            duct = stroke(y[here[0]], x[:, here[1]], points) - width / 2
            image[here] += 0.09 * edge(duct, 1.6) * np.exp(-way / 120)
    muscle = x - 50 + 0.52 * (y + 110)
    image += (0.66 + 0.02 * fibres - image) * edge(muscle, 9)
    mass = stroke(y, x, [(2, 50), (3, 51)])
    theta = np.arctan2(y - 2.5, x - 50.5)
    image += 0.26 * edge(mass - 7.5 - 1.6 * np.abs(np.sin(4.5 * theta)) ** 3, 3.0)
    random = np.random.default_rng(78)
    for cy, cx in random.normal((52, 66), 5, (16, 2)):
        image += 0.38 * edge(np.hypot(y - cy, x - cx) - random.uniform(0.35, 0.7), 0.7)
    image *= np.clip(1 - np.exp(np.minimum(skin, 0) / 9), 0, 1) * 0.85 + 0.15  # thinner towards the skin
    image += 0.16 * edge(np.abs(skin + 1.0) - 0.7, 1.2) + 0.30 * edge(nipple, 3)
    noise = np.random.default_rng(79).standard_normal((rows, columns))
    return np.clip(image + 0.008 * noise, 0.01, 1) * (np.minimum(skin, nipple) < 0.5)

"""Volumes of invented patients, as numpy arrays: what `tree.py` writes as CT and MR.

Anatomy is drawn from ellipsoids and folded noise as far as it helps to see at a glance whether windowing, orientation
and order of slices are right. Every function is deterministic. Nothing here knows DICOM, and nothing is fit
for measuring image quality.
"""

from __future__ import annotations

import numpy as np

from crawler.sample.drawing import Array, blob, edge, grid, smooth_noise, stroke

# Side of a plane of `head`, mm.
HEAD_FIELD = 208.0
# CT numbers in HU: textbook values for an adult head at 120 kV, rounded.
AIR, FAT, WATER, CSF, WHITE, GREY, BLOOD, SKIN, BONE = -1000.0, -90.0, 0.0, 6.0, 25.0, 39.0, 68.0, 45.0, 1050.0

# Position 0 to 1, then red, green, blue: dark to hot, as blood flow is usually shown.
FLOW_COLOURS = (
    (0.00, 0.00, 0.00, 0.00),
    (0.10, 0.09, 0.03, 0.30),
    (0.28, 0.05, 0.28, 0.85),
    (0.45, 0.00, 0.72, 0.75),
    (0.60, 0.25, 0.85, 0.25),
    (0.75, 0.98, 0.85, 0.10),
    (0.90, 0.95, 0.25, 0.08),
    (1.00, 1.00, 0.90, 0.85),
)

# Proton density (liquor: 1) and T2 in ms, rounded from textbook values at 1.5 T.
TISSUES: dict[str, tuple[float, float]] = {
    "air": (0.0, 1.0),
    "fat": (0.95, 75.0),
    "muscle": (0.72, 38.0),
    "marrow": (0.62, 62.0),
    "cortical": (0.10, 20.0),
    "disc": (0.86, 105.0),
    "fibre": (0.38, 30.0),
    "liquor": (1.0, 900.0),
    "cord": (0.80, 82.0),
    "bowel": (0.55, 50.0),
}


def head(slices: int = 24, size: int = 192, spacing: float = 6.0, field: float = HEAD_FIELD) -> Array:
    """Return a head in the manner of the modified Shepp-Logan phantom, with folds, eyes, sinuses and a bleeding.

    Returns
    -------
    ndarray, shape (slices, size, size)
        HU; axial planes from the skull base up, ``spacing`` mm apart, ``field`` mm wide, face up (rows grow
        to the back, columns to the patient's left).
    """
    y, x = grid(size, size, field, field)
    folds = smooth_noise((slices, size, size), (1.1, 5.0, 5.0), 11, fine=0.6)
    patches = smooth_noise((slices, size, size), (1.2, 9.0, 9.0), 12)
    grain = smooth_noise((slices, size, size), (0.0, 0.7, 0.7), 13)
    volume = np.empty((slices, size, size))
    for k in range(slices):
        z = (k - 8.5) * spacing
        volume[k] = _head_plane(y, x, z, folds[k], patches[k])
        inside = edge(blob(y, x, 4, 0, 103, 82))
        volume[k] += 2.4 * grain[k] * inside
        table = np.abs(np.hypot(y + 60, x) - 165) + 400 * (np.abs(x) > 62)
        volume[k] = np.where(volume[k] < -900, np.maximum(AIR, AIR + 900 * edge(table - 1.6)), volume[k])
    return volume


def _head_plane(y: Array, x: Array, z: float, folds: Array, patches: Array) -> Array:
    """One axial plane of `head`, without noise; z in mm from the orbits' level upwards."""
    height = np.sqrt(max(1 - (max(z, -8) / 92) ** 2, 0.0))  # outline of an ellipsoid that ends 92 mm above
    if height < 0.12:
        return np.full(folds.shape, AIR)
    skin = blob(y, x, 4, 0, 97 * height, 77 * height) + 0.8 * patches
    skull = skin + 5.5
    brain = skull + 7.5
    image = AIR + (SKIN - AIR) * edge(skin)
    image += (FAT - image) * edge(np.abs(skin + 2.8) - 1.0) * 0.8
    image += (BONE - image) * edge(skull)
    image += (480 - image) * edge(np.abs(skull + 3.7) - 0.8 - 0.3 * patches)  # diploe
    image += (CSF - image) * edge(brain)
    cortex = brain + 1.5
    rim = np.clip((cortex + 20) / 14, 0, 1)  # 0 in the depth, 1 from 6 mm below the surface
    tissue = WHITE + (GREY - WHITE) * edge(np.abs(folds) - 1.3 * rim + 0.1, 0.3)
    tissue += (CSF - tissue) * edge(np.abs(folds) - 0.5 * rim + 0.12, 0.3)
    image += (tissue - image) * edge(cortex)
    fissure = np.abs(x - 1.2 * patches) - 0.9 - 1.2 * edge(-(np.abs(y) - 42), 20)
    image += (CSF - image) * edge(fissure) * edge(cortex + 1) * edge(-(np.abs(y - 2) - 32), 8)
    for side in (-1.0, 1.0):
        if 12 < z < 62:  # deep grey matter and lateral ventricles
            grow = np.sqrt(max(1 - ((z - 36) / 27) ** 2, 0.0))
            for cy, cx, ry, rx, angle, value in (
                (4, 22, 17, 8, 0.35, 41.0),
                (10, 11, 11, 6.5, -0.45, 41.0),
                (-20, 9.5, 17, 4.6, 0.28, CSF),
                (26, 17.5, 20, 5.2, -0.42, CSF),
                (2, 7, 18, 3.6, 0.05, CSF),
            ):
                shape = blob(y, x, cy, side * cx, ry * grow + 0.1, rx * grow + 0.1, side * angle)
                image += (value - image) * edge(shape, 1.6)
            plexus = blob(y, x, 32, side * 20, 3.5, 2.2)
            image += (160 - image) * edge(plexus) * (22 < z < 36)
        if -30 < z < 6:  # eyes, lens, orbital fat, bony wall
            ball = np.sqrt(max(1 - ((z + 9) / 17) ** 2, 0.0))
            orbit = blob(y, x, -55, side * 33, 27 * ball + 0.1, 19 * ball + 0.1, side * -0.35)
            image += (700 - image) * edge(orbit - 3) * edge(skin + 4)
            image += (FAT - image) * edge(orbit)
            image += (SKIN - image) * edge(blob(y, x, -42, side * 26, 17, 2.6, side * 0.45)) * edge(orbit)
            globe = blob(y, x, -69, side * 34, 12.5 * ball + 0.1, 12.5 * ball + 0.1)
            image += (62 - image) * edge(globe)
            image += (12 - image) * edge(globe + 1.6)
            image += (85 - image) * edge(blob(y, x, -77, side * 34, 2.2, 4.6)) * (abs(z + 9) < 6)
        if z < 2:  # petrous bone with air cells, maxillary and ethmoid sinuses
            petrous = blob(y, x, 16, side * 43, 11, 27, side * 0.5) + 1.5 * patches
            image += (BONE + 350 - image) * edge(petrous) * edge(skin + 7)
            cells = edge(petrous + 4) * edge(0.2 - np.abs(folds), 0.2) * edge(-(np.abs(x) - 38))
            image += (-650 - image) * cells * edge(skin + 9)
            sinus = blob(y, x, -58, side * 6.5, 20, 5) + 0.8 * patches
            image += (320 - image) * edge(np.abs(sinus) - 1.1)
            image += (AIR + 40 - image) * edge(sinus + 1)
    if 12 < z < 40:  # third ventricle, pineal calcification
        image += (CSF - image) * edge(blob(y, x, 12, 0, 14, 2.0))
        image += (190 - image) * edge(blob(y, x, 30, 0, 2.6, 2.2)) * (18 < z < 30)
    if 24 < z < 66:  # bleeding with a rim of oedema, on the patient's right (left in the picture)
        core = np.sqrt(max(1 - ((z - 45) / 20) ** 2, 0.0))
        lesion = blob(y, x, 10, -41, 15 * core + 0.1, 11 * core + 0.1, 0.5) + 1.6 * patches
        image += (17 - image) * edge(lesion - 7 * core, 6) * edge(cortex + 2)
        image += (BLOOD - image) * edge(lesion, 2) * edge(brain + 2) * (core > 0.1)
    return np.maximum(image, AIR)


def spine(echo_times: tuple[float, ...], slices: int = 10, spacing: float = 4.5) -> Array:
    """Return sagittal planes of a lumbar spine, spin echoes of one excitation.

    Parameters
    ----------
    echo_times
        ms.
    spacing
        mm between planes; the middle of the stack is the middle of the patient.

    Returns
    -------
    ndarray, shape (len(echo_times), slices, 144, 96)
        Signal, 0 to about 1, with noise; 1.9 mm pixels, rows grow to the feet, columns to the back; planes from the
        patient's right to the left.
    """
    y, x = grid(144, 96, 273.6, 182.4)
    texture = smooth_noise((slices, 144, 96), (0.5, 1.6, 1.6), 21)
    loops = smooth_noise((slices, 144, 96), (0.8, 5.0, 5.0), 22, fine=0.5)
    noise = np.random.default_rng(23).standard_normal((2, len(echo_times), slices, 144, 96)) * 0.012
    signal = np.zeros((len(echo_times), slices, 144, 96))
    for k in range(slices):
        density, decay = _spine_plane(y, x, (k - (slices - 1) / 2) * spacing, loops[k])
        density = density * (1 + 0.05 * texture[k])
        for echo, time in enumerate(echo_times):
            signal[echo, k] = density * np.exp(-time / decay)
    # A surface coil under the back: brighter there, as every spine image is.
    signal *= 0.62 + 0.5 * np.exp(-(((x - 60) / 85) ** 2))
    magnitude: Array = np.hypot(signal + noise[0], noise[1])
    return magnitude


def _spine_plane(y: Array, x: Array, side: float, loops: Array) -> tuple[Array, Array]:
    """Proton density and T2 (ms) of one sagittal plane, ``side`` mm from the middle."""
    density, decay = np.zeros(loops.shape), np.ones(loops.shape)

    def paint(tissue: str, cover: Array) -> None:
        for image, value in zip((density, decay), TISSUES[tissue], strict=True):
            image += (value - image) * cover

    def course(v: Array | float) -> Array:
        """Anterior-posterior place of the vertebral axis: lordosis, then the sacrum's bend, mm."""
        v = np.asarray(v, dtype=float)
        return 10.0 - 13.0 * np.cos((v - 25) / 75) + 0.008 * np.maximum(v - 62, 0) ** 2

    axis = course(y)
    front, back = -74 + 5 * np.cos(y / 60), 78 - 6 * np.cos((y - 10) / 45)
    body = np.maximum(front - x, x - back)
    paint("fat", edge(body))
    paint("muscle", edge(np.maximum(front + 9 - x, x - back + 15 + 5 * np.cos(y / 30))))
    paint("bowel", edge(x - axis + 28) * edge(np.maximum(front + 12 - x, 0)) * edge(0.2 - loops, 0.5))
    paint("fat", edge(x - axis + 24) * edge(front + 11 - x) * edge(loops + 0.5, 0.5))
    if abs(side) > 3:  # the great vessels run left and right of the middle; flowing blood gives no signal
        paint("air", edge(np.abs(x - axis + 25) - 6.0) * 0.9)
    half = 17.0 * np.sqrt(max(1 - (side / 27) ** 2, 0.0)) + 0.1
    canal = np.abs(x - axis - half - 9.5) - 8.0 * np.sqrt(max(1 - (side / 11) ** 2, 0.0))
    if abs(side) < 10:
        paint("fat", edge(np.abs(x - axis - half - 11.5) - 10.0))
        paint("liquor", edge(canal))
        thick = np.where(y < -42, 4.3, np.maximum(4.3 - (y + 42) * 0.28, 0.0))  # the cord ends at L1
        paint("cord", edge(np.abs(x - axis - half - 9.0) - thick * (abs(side) < 6)))
        if abs(side) < 7:
            for strand in (-3.5, -0.5, 2.2, 4.4):
                thread = np.abs(x - axis - half - 10.5 - strand + 1.2 * np.sin(y / 17 + strand)) - 0.2
                paint("cord", edge(thread, 2.2) * edge(-(y + 40), 8) * edge(y - 75, 20) * 0.75)
    for level in range(-4, 5):
        centre = level * 33.0 + 6
        middle, slope = float(course(centre)), float(course(centre + 8) - course(centre - 8)) / 16
        v, u = y - centre + slope * (x - middle), x - middle - slope * (y - centre)
        waist = half - 1.6 * np.cos(v / 9)
        shrink = 1.0 if level < 3 else 1 - 0.16 * (level - 2)  # sacrum
        bone = np.maximum(np.abs(u) - waist * shrink, np.abs(v) - 12.6 * shrink)
        paint("cortical", edge(bone - 0.7) * 0.8)
        paint("marrow", edge(bone + 0.6))
        paint("cortical", edge(stroke(v, u, [(0, half - 8), (0, half)]) - 0.5) * 0.6 * (abs(side) < 6))
        gap = np.maximum(np.abs(u) - half - 1.2 * (level == 1) - 0.5, np.abs(v - 16.6) - 3.6)
        if level < 3:
            worn = level == 1  # one worn, bulging disc
            paint("fibre", edge(gap))
            bulge = blob(v, u, 16.6, half + 1.5, 3.6, 4.6)
            paint("fibre", edge(bulge) * worn * (abs(side) < 8))
            paint("disc", edge(blob(v, u, 16.6, -1.0, 2.9, half * 0.72), 2) * (0.1 if worn else 1.0))
        if abs(side) < 5 and level < 4:  # spinous process
            process = stroke(v, u, [(4, half + 24), (12, half + 47)]) - 7.0 * shrink
            paint("cortical", edge(process - 1.2))
            paint("marrow", edge(process))
        elif 8 < abs(side) < 20 and level < 3:  # pedicle, joint, and the nerve root in the fat of the foramen
            paint("fat", edge(blob(v, u, 13, half + 8, 12, 7)))
            paint("cortical", edge(stroke(v, u, [(-7, half - 2), (-6, half + 17), (14, half + 21)]) - 6.6))
            paint("marrow", edge(stroke(v, u, [(-7, half - 2), (-6, half + 17), (14, half + 21)]) - 5.2))
            paint("cord", edge(blob(v, u, 5, half + 7, 3.4, 3.0)))
    outside = edge(-body)
    return density * (1 - outside), decay


def perfusion(plane: Array, seed: int = 31) -> Array:
    """Return a blood-flow map of a middle plane of `head`, 0 to 1: low around the bleeding, high in the cortex."""
    y, x = grid(plane.shape[0], plane.shape[1], HEAD_FIELD, HEAD_FIELD)
    inside = edge(np.abs(plane - 32) - 30, 8) * edge(blob(y, x, 4, 0, 77, 59), 4)  # brain without skin and fat
    soft = smooth_noise(plane.shape, (3.0, 3.0), seed)
    flow = np.clip((plane - 4) / 44, 0, 1) * np.where(plane > 55, 0.1, 1.0)
    for _ in range(3):
        padded = np.pad(flow * inside, 1)
        flow = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + padded[1:-1, 1:-1]) / 5
    return np.clip(flow * (0.95 + 0.12 * soft), 0, 1)


def flow_palette() -> Array:
    """Return the colours of `perfusion` in 256 steps, shape (256, 3): red, green and blue, 0 to 1."""
    stops, *channels = zip(*FLOW_COLOURS, strict=True)
    return np.stack([np.interp(np.linspace(0, 1, 256), stops, levels) for levels in channels], axis=1)


def key_image(plane: Array) -> Array:
    """Return a plane of `head` in its brain window, the bleeding tinted and framed, as a radiologist saves it.

    Returns
    -------
    ndarray, shape (rows, columns, 3)
        RGB, 0 to 1.
    """
    grey = np.clip(plane / 80, 0, 1)[..., None] * np.ones(3)
    y, x = grid(plane.shape[0], plane.shape[1], HEAD_FIELD, HEAD_FIELD)
    rows, columns = np.nonzero((plane > 56) & (plane < 85) & (blob(y, x, 10, -41, 18, 14, 0.5) < 0))
    tint = np.zeros((*plane.shape, 1))
    tint[rows, columns] = 0.6
    image: Array = grey * (1 - tint) + np.array([1.0, 0.42, 0.16]) * tint
    top, bottom, left, right = rows.min() - 5, rows.max() + 5, columns.min() - 5, columns.max() + 5
    yellow = [1.0, 0.85, 0.25]
    for line in (top, bottom):
        image[line, left : right + 1] = yellow
    for line in (left, right):
        image[top : bottom + 1, line] = yellow
    return image

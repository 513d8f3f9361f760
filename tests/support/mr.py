"""MR series that a test reads: several times, slices in their order, pixels that tell both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from support.factories import ORIENTATIONS, _oblique, make_uid, quick_dataset, save


def mr_series(
    folder: Path,
    times: int = 3,
    slices: int = 4,
    *,
    orientation: str = "axial",
    offset: int = 0,
    size: tuple[int, int] = (6, 5),
    change: Callable[[Dataset], None] | None = None,
    **keywords: Any,
) -> list[Path]:
    """Write a dynamic MR series: pixel (r, c) of time t and slice s is ``1000 t + 100 s + columns r + c + offset``.

    Times lie 2.5 s apart from 10:00:00, slices 3 mm, and each slice is a tenth of a second after the one before.
    """
    cosines = np.array(_oblique() if orientation == "oblique" else ORIENTATIONS[orientation], dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    rows, columns = size
    paths = []
    for time in range(times):
        for number in range(slices):
            values = np.arange(rows * columns).reshape(size) + 1000 * time + 100 * number + offset
            position = np.array([-10.0, -20.0, -30.0]) + 3.0 * number * normal
            seconds = 2.5 * time + 0.1 * number
            elements: dict[str, Any] = {
                "SOPClassUID": MRImageStorage,
                "Modality": "MR",
                "SOPInstanceUID": make_uid(folder.name, time, number),
                "SeriesInstanceUID": make_uid("series", folder.name),
                "FrameOfReferenceUID": make_uid("frame"),
                "InstanceNumber": time * slices + number + 1,
                "ImageType": ["ORIGINAL", "PRIMARY", "M"],
                "AcquisitionTime": f"1000{seconds:09.6f}",
                "ImagePositionPatient": [f"{value:.6f}" for value in position],
                "ImageOrientationPatient": [f"{value:.10f}" for value in cosines],
                "PixelSpacing": [0.5, 0.7],
                "SliceThickness": 5,
                "ScanningSequence": "GR",
                "SequenceVariant": "SP",
                "EchoTime": 2.5,
                "WindowCenter": 50,
                "WindowWidth": 100,
            }
            dataset = quick_dataset(values.astype(np.uint16), **(elements | keywords))
            if change is not None:
                change(dataset)
            paths.append(save(dataset, folder / f"{time:02d}_{number:03d}.dcm"))
    return paths

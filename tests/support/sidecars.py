"""Sidecars of dcm2niix and ours for the same folder, matched by series and voxels."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dcm2niix
import nibabel
import numpy as np

from support.runs import export

Sidecar = dict[str, Any]


class Pair(NamedTuple):
    """Sidecars of one image: the name of dcm2niix's file, its sidecar, ours."""

    name: str
    theirs: Sidecar
    ours: Sidecar


class _Image(NamedTuple):
    name: str
    series: str
    volumes: list[np.ndarray]
    sidecar: Sidecar


def pairs(source: Path, work: Path) -> list[Pair]:
    """Convert a folder with both; an image of dcm2niix without a match of ours is left out."""
    theirs = work / "theirs"
    theirs.mkdir(parents=True)
    # -ba n: series UIDs, by which images are matched; -p n: values by the public rescale, as ours.
    command = [
        dcm2niix.bin,
        "-b",
        "y",
        "-ba",
        "n",
        "-z",
        "n",
        "-p",
        "n",
        "-f",
        "%s_%p_%e",
        "-o",
        str(theirs),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 8), done.stdout
    export(source, work / "ours", volume={"formats": ["nii"], "split": ["te"]})
    ours = list(_images(work / "ours", ".provenance.json"))
    found = []
    for image in _images(theirs, ".json"):
        match = next((one for one in ours if one.series == image.series and _shares_volume(one, image)), None)
        if match is not None:
            found.append(Pair(image.name, image.sidecar, match.sidecar))
    return found


def _images(folder: Path, origin: str) -> Iterator[_Image]:
    for path in sorted(folder.rglob("*.nii")):
        sidecar = path.with_suffix(".json")
        told = path.with_suffix(origin)
        if not sidecar.exists():
            continue
        loaded: Any = nibabel.load(path)
        if np.isnan(nibabel.orientations.io_orientation(loaded.affine)).any():  # an axis without length
            continue
        image = nibabel.as_closest_canonical(loaded)
        voxels = np.asarray(image.dataobj)
        if voxels.dtype.fields:
            continue
        series = json.loads(told.read_text(encoding="utf-8")).get("SeriesInstanceUID", "")
        volumes = list(np.moveaxis(voxels.reshape(*voxels.shape[:3], -1), 3, 0).astype(float))
        yield _Image(path.name, series, volumes, json.loads(sidecar.read_text(encoding="utf-8")))


def _shares_volume(one: _Image, other: _Image) -> bool:
    return any(
        volume.shape == other.volumes[0].shape and np.allclose(volume, other.volumes[0], rtol=1e-4, atol=1e-3)
        for volume in one.volumes
    )

"""`volume.order`, `volume.tolerance` and elements of the header in real runs, from files to arrays on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.factories import make_uid, quick_dataset, save, slice_pixels
from support.runs import export

MR = "1.2.840.10008.5.1.4.1.1.4"


def write(folder: Path, slot: int, step: int, count: int = 4, **elements: Any) -> None:
    """One slice of one step; its pixels say both."""
    dataset = quick_dataset(
        slice_pixels(100 * step + slot, (6, 5)),
        SOPClassUID=MR,
        Modality="MR",
        SeriesInstanceUID=make_uid("order"),
        InstanceNumber=step * count + slot + 1,
        ImagePositionPatient=[0, 0, elements.pop("z", 3.0 * slot)],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[0.5, 0.7],
        SliceThickness=3,
        RescaleSlope=None,
        RescaleIntercept=None,
        **elements,
    )
    save(dataset, folder / f"{step}-{slot}.dcm")


def volumes(out: Path) -> list[tuple[np.ndarray[Any, Any], dict[str, Any]]]:
    found = []
    for path in sorted((out / "volumes").rglob("*.h5")):
        if path.name != "pixel_data.h5":
            with h5py.File(path) as file:
                found.append((file["image"][()], dict(file["image"].attrs)))
    return found


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_a_keyword_becomes_the_axis(tmp_path: Path, keys: str) -> None:
    for step, angle in enumerate((30.0, 10.0, 20.0)):
        for slot in range(4):
            write(tmp_path / "in", slot, step, ImagingFrequency=angle, AcquisitionNumber=step + 1)
    export(tmp_path / "in", tmp_path / "out", metadata={"keys": keys}, volume={"order": "ImagingFrequency"})
    ((voxels, attributes),) = volumes(tmp_path / "out")
    assert list(attributes["axes"]) == ["ImagingFrequency", "slice", "row", "column"]
    assert attributes["axis_ImagingFrequency"].tolist() == [10.0, 20.0, 30.0]
    assert voxels[:, :, 0, 0].tolist() == [[100 * step + slot for slot in range(4)] for step in (1, 2, 0)]


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_elements_that_nobody_named_tell_volumes_apart(tmp_path: Path, keys: str) -> None:
    """Energies in an order that alternates from slice to slice, in whatever style the rows have their keys."""
    for slot in range(4):
        for place, step in enumerate((0, 1) if slot % 2 else (1, 0)):
            write(tmp_path / "in", slot, step, TransmitCoilName="AB"[step], InstanceCreatorUID=f"1.2.{slot}{place}")
    export(tmp_path / "in", tmp_path / "out", metadata={"keys": keys}, volume={})
    for voxels, _ in volumes(tmp_path / "out"):
        for volume in voxels.reshape(-1, *voxels.shape[-3:]):
            assert len({value // 100 for value in volume[:, 0, 0].tolist()}) == 1


@pytest.mark.parametrize(("tolerance", "whole"), [(None, False), (0.2, False), (0.4, True)])
def test_the_tolerance_of_a_run(tmp_path: Path, tolerance: float | None, whole: bool) -> None:
    """A slice is 0.3 mm off: too much for a tenth of 3 mm, and never more than 0.1 mm there."""
    for slot, z in enumerate((0.0001, 3.0002, 6.0003, 9.0004, 12.4005)):
        write(tmp_path / "in", slot, 0, z=z)
    volume = {} if tolerance is None else {"tolerance": tolerance}
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume=volume)
    sizes = [len(voxels) for voxels, _ in volumes(tmp_path / "out")]
    assert (sizes == [5]) is whole
    assert sum(sizes) == 5

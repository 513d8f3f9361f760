"""One SOP Instance UID is one object: what becomes of a second file that claims it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
from pydicom.uid import RLELossless
from support.factories import ct_series, quick_dataset, save, slice_pixels
from support.runs import export


def volumes(out: Path) -> list[np.ndarray[Any, Any]]:
    found = []
    for path in sorted((out / "volumes").rglob("*.h5")):
        if path.name != "pixel_data.h5":
            with h5py.File(path) as file:
                found.append(file["image"][()])
    return found


def verdict(out: Path) -> dict[str, str]:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return row


def run(tmp_path: Path) -> Any:
    return export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})


def test_a_copy_whose_header_differs_is_no_second_time(tmp_path: Path) -> None:
    for path in ct_series(tmp_path / "in", n=4):
        dataset = pydicom.dcmread(path)
        dataset.RetrieveAETitle = "ARCHIVE2"
        save(dataset, path.with_name(f"z{path.name}"))
    summary = run(tmp_path)
    assert summary.skipped == {"duplicate": 4}
    assert [one.shape[0] for one in volumes(tmp_path / "out")] == [4]
    assert verdict(tmp_path / "out")["reason"] == ""


def test_a_copy_that_was_compressed_anew(tmp_path: Path) -> None:
    for path in ct_series(tmp_path / "in", n=3):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        save(dataset, path.with_name(f"z{path.name}"))
    assert run(tmp_path).skipped == {"duplicate": 3}
    assert [one.shape[0] for one in volumes(tmp_path / "out")] == [3]
    assert verdict(tmp_path / "out")["reason"] == ""


def test_other_pixels_under_one_uid_are_told(tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "in", n=3)
    dataset = pydicom.dcmread(paths[1])
    dataset.PixelData = slice_pixels(77).tobytes()
    save(dataset, paths[1].with_name("z.dcm"))
    assert run(tmp_path).skipped == {"duplicate": 1}
    (volume,) = volumes(tmp_path / "out")
    assert volume[:, 0, 0].tolist() == [-1024, -1023, -1022]  # the first file's pixels, in HU
    assert verdict(tmp_path / "out")["reason"] == "one SOP Instance UID for files whose pixels differ"


def test_one_uid_for_all_places_loses_nothing(tmp_path: Path) -> None:
    for path in ct_series(tmp_path / "in", n=5):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        save(dataset, path)
    assert run(tmp_path).skipped == {}
    assert [one.shape[0] for one in volumes(tmp_path / "out")] == [5]
    assert verdict(tmp_path / "out")["reason"] == "one SOP Instance UID for files at several places"


def test_a_first_file_that_cannot_be_decoded_leaves_the_second(tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "in", n=3)
    shutil.copy(paths[1], tmp_path / "in" / "z.dcm")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    summary = run(tmp_path)
    assert summary.skipped == {}
    assert sum(summary.failed.values()) == 1
    assert [one.shape[0] for one in volumes(tmp_path / "out")] == [3]


def test_images_without_a_place_that_share_a_uid_and_a_number(tmp_path: Path) -> None:
    for number in range(2):
        pixels = np.full((4, 3), number, np.uint16)
        save(quick_dataset(pixels, SOPInstanceUID="1.2.3.5", RetrieveAETitle="A"), tmp_path / "in" / f"{number}.dcm")
    assert run(tmp_path).skipped == {"duplicate": 1}
    assert verdict(tmp_path / "out")["reason"].endswith("one SOP Instance UID for files whose pixels differ")

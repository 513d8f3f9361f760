"""How pictures look, on whole runs: series without windows, files that are cut short, what a row says of decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from support.factories import ct_series, multiframe, quick_dataset, save, slice_pixels
from support.runs import export, failures, rows

MEDIA: dict[str, Any] = {"metadata": {}, "media": {}, "image": {}}


@pytest.mark.parametrize("bits", [8, 16])
def test_equal_values_of_a_series_have_equal_levels(tmp_path: Path, bits: int) -> None:
    for number in range(5):
        values = (np.arange(64 * 64).reshape(64, 64) % 700 + 300 * number).astype(np.uint16)
        save(quick_dataset(values, InstanceNumber=number), tmp_path / "in" / f"{number}.dcm")
    export(tmp_path / "in", tmp_path / "out", **(MEDIA | {"image": {"bits": bits}}))
    levels: dict[int, set[int]] = {}
    for number in range(5):
        stored = dcmread(tmp_path / "in" / f"{number}.dcm").pixel_array
        shown = np.asarray(Image.open(tmp_path / "out" / "media" / f"{number}.png"))
        for value in np.unique(stored):
            levels.setdefault(int(value), set()).update(np.unique(shown[stored == value]).tolist())
    assert {len(some) for some in levels.values()} == {1}
    assert len({next(iter(some)) for some in levels.values()}) > 200


def test_a_file_that_fails_leaves_its_series_shown(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 4)
    whole = (tmp_path / "in" / "0001.dcm").read_bytes()
    export(tmp_path / "in", tmp_path / "whole", **MEDIA)
    (tmp_path / "in" / "0001.dcm").write_bytes(whole[:-100])
    summary = export(tmp_path / "in", tmp_path / "cut", **MEDIA)
    assert (summary.found, summary.exported) == (4, 3)
    assert sorted(path.name for path in (tmp_path / "cut" / "media").glob("*.png")) == [
        "0000.png",
        "0002.png",
        "0003.png",
    ]


def test_whole_frames_of_a_cut_cine_are_shown_and_flagged(tmp_path: Path) -> None:
    path = tmp_path / "in" / "cine.dcm"
    path.parent.mkdir()
    multiframe(path, 10, 32, 32, np.uint8)
    path.write_bytes(path.read_bytes()[: -4 * 1024 - 10])
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, media={}, video={})
    assert summary.failed == {"pixels: truncated pixel data": 1}
    assert "holds 6,134 of 10,240 bytes" in failures(tmp_path / "out")["cine.dcm"]["detail"]
    row = rows(tmp_path / "out")["cine.dcm"]
    assert (row["outcome"], row["reason"]) == ("failed", "truncated pixel data")
    assert (tmp_path / "out" / "media" / row["media_file"]).stat().st_size > 0


def test_a_row_names_the_decoder_and_an_assumed_transfer_syntax(tmp_path: Path) -> None:
    named, unnamed = quick_dataset(), quick_dataset(TransferSyntaxUID=None)
    save(named, tmp_path / "in" / "named.dcm")
    unnamed.save_as(tmp_path / "in" / "unnamed.dcm", implicit_vr=True, little_endian=True, enforce_file_format=False)
    export(tmp_path / "in", tmp_path / "out", **MEDIA)
    found = rows(tmp_path / "out")
    assert [found[name]["decoder"] for name in ("named.dcm", "unnamed.dcm")] == ["native", "native"]
    assert found["named.dcm"]["assumed_transfer_syntax"] is None
    assert found["unnamed.dcm"]["assumed_transfer_syntax"] == "1.2.840.10008.1.2"


def test_overlays_are_drawn_on_request(tmp_path: Path) -> None:
    dataset = quick_dataset(np.zeros((4, 4), np.uint8))
    dataset.add_new((0x6000, 0x0010), "US", 4)
    dataset.add_new((0x6000, 0x0011), "US", 4)
    dataset.add_new((0x6000, 0x3000), "OW", b"\x0f\x00")
    save(dataset, tmp_path / "in" / "one.dcm")
    for drawn, total in ((False, 0), (True, 4 * 255)):
        out = tmp_path / str(drawn)
        export(tmp_path / "in", out, **(MEDIA | {"image": {"overlays": drawn, "bits": 8}}))
        assert int(np.asarray(Image.open(out / "media" / "one.png")).sum(dtype=int)) == total


def test_a_modality_lut_that_cannot_be_read_costs_its_own_file(tmp_path: Path) -> None:
    """Of five slices with a table one has a table of two entries for 4,096: four make a volume."""
    for number, path in enumerate(ct_series(tmp_path / "in", 5)):
        dataset = dcmread(path)
        item = Dataset()
        item.LUTDescriptor = [4096, 0, 16]
        item["LUTDescriptor"].VR = "US"
        item.ModalityLUTType = "US"
        entries = np.arange(4096, dtype=np.uint16)
        item.add_new("LUTData", "OW", (entries * 2)[: 2 if number == 2 else None].tobytes())
        dataset.ModalityLUTSequence = [item]
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.save_as(path)
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"irregular": "keep"})
    assert (summary.exported, sum(summary.failed.values())) == (4, 1)
    assert [row["stage"] for row in failures(tmp_path / "out").values()] == ["pixels"]
    (path,) = (path for path in (tmp_path / "out" / "volumes").rglob("s*.h5"))
    with h5py.File(path) as file:
        assert file["image"].shape == (4, 16, 12)
        assert file["image"][0, 1, 1] == 2 * slice_pixels(0)[1, 1]

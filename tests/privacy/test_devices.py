"""Rules by device: which pictures they fit, what they mask in every output, and what of a file is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from support.factories import quick_dataset, save
from support.runs import config, export, rows
from support.videos import pictures

from crawler.cli.main import main
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError
from crawler.privacy.devices import read_devices

ROWS, COLUMNS = 48, 64


def section(tmp_path: Path, rules: Any, **pixels: Any) -> dict[str, Any]:
    path = tmp_path / "rules.yml"
    path.write_text(rules if isinstance(rules, str) else json.dumps({"rules": rules}), encoding="utf-8")
    return {"private": str(tmp_path / "private"), "pixels": {"rules": str(path), **pixels}}


def full(frames: int = 1) -> np.ndarray:
    """Values of which none is 0."""
    values = np.arange(frames * ROWS * COLUMNS, dtype=np.uint32) % 200 + 50
    return values.reshape((frames, ROWS, COLUMNS)).astype(np.uint8)


def save_us(tmp_path: Path, frames: int = 1, **changes: Any) -> np.ndarray:
    values = full(frames)
    elements = {"Modality": "US", "Manufacturer": "ACME Imaging ", "SoftwareVersions": ["4.1", "b7"], **changes}
    if frames > 1:
        elements = {"NumberOfFrames": frames, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", **elements}
    save(quick_dataset(values if frames > 1 else values[0], **elements), tmp_path / "in" / "a.dcm")
    return values


def stored(out: Path, shape: tuple[int, ...]) -> np.ndarray:
    (path,) = (out / "volumes").rglob("*.h5")
    with h5py.File(path) as file:
        return np.asarray(file["image"][()]).reshape(shape)


def volume(tmp_path: Path, rules: Any, **pixels: Any) -> tuple[dict[str, Any], np.ndarray]:
    privacy = section(tmp_path, rules, **pixels)
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5"]}, privacy=privacy)
    (row,) = rows(out).values()
    return row, stored(out, (ROWS, COLUMNS)) if row["outcome"] == "exported" else np.zeros(0)


@pytest.mark.parametrize("by", ["rule", "regions"])
def test_a_mask_is_black_in_every_output_and_nothing_else_is(tmp_path: Path, by: str) -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 8, 10
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 59, 39
    elements = {"SequenceOfUltrasoundRegions": [region]} if by == "regions" else {}
    values = save_us(tmp_path, 4, **elements)
    want = values.copy()
    want[:, :10] = 0
    if by == "rule":
        want[:, 40:, 8:20] = 0
    else:
        want[:, 40:], want[:, :, :8], want[:, :, 60:] = 0, 0, 0
    rule = {
        "when": {"Modality": "US", "Manufacturer": {"contains": "acme"}, "SoftwareVersions": {"regex": r"^4\."}},
        "mask": [{"rows": [0, 10]}, {"rows": [-8, None], "columns": [8, 20]}],
    }
    privacy = section(tmp_path, [rule])
    if by == "regions":
        del privacy["pixels"]["rules"]
    out = tmp_path / "out"
    export(
        tmp_path / "in",
        out,
        metadata={},
        image={"bits": 8, "window": "full"},
        video={"extension": ["frames", "mp4"]},
        volume={"formats": ["hdf5", "nifti"]},
        preview={},
        privacy=privacy,
    )
    (row,) = rows(out).values()
    if by == "rule":
        assert "privacy: device rule 1: 24% of the picture masked" in row["header_notes"]
    assert np.array_equal(stored(out, values.shape), want)
    (path,) = (out / "volumes").rglob("*.nii.gz")
    nifti = np.asarray(nibabel.load(path).dataobj).squeeze()
    assert sorted(nifti.ravel()) == sorted(want.ravel())
    black = want[0] == 0
    frames = sorted((out / "media").rglob("*.png"))
    assert len(frames) == 4
    for frame in frames:
        shown = np.asarray(Image.open(frame).convert("L"))
        assert not shown[black].any()
        assert shown[~black].min() > 0
    (film,) = (out / "media").rglob("*.mp4")
    decoded = pictures(film, ROWS, COLUMNS)
    assert decoded[0][:8].max() < 24  # of a lossy picture
    assert decoded[0][14:36, 24:56].min() > 24
    (preview,) = (path for path in (out / "previews").rglob("*") if path.suffix in (".png", ".jpg", ".webp"))
    assert np.asarray(Image.open(preview).convert("L")).min() < 24


def test_dicom_written_back_has_the_mask(tmp_path: Path) -> None:
    values = save_us(tmp_path)
    (tmp_path / "k.key").write_text("ab" * 32)
    (tmp_path / "k.key").chmod(0o600)
    privacy = section(tmp_path, [{"when": {"Rows": ROWS}, "keep": [{"rows": [10, 40], "columns": [0, -4]}]}])
    privacy["key"] = {"file": str(tmp_path / "k.key")}
    document = {
        "output": {"dir": str(tmp_path / "out")},
        "dicom": {"dir": str(tmp_path / "in")},
        "metadata": {},
        "privacy": privacy,
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert main(["privacy", "dicom", str(tmp_path / "config.json"), str(tmp_path / "dicom")]) == 0
    (path,) = (tmp_path / "dicom").rglob("*.dcm")
    want = values[0].copy()
    want[:10], want[40:], want[:, 60:] = 0, 0, 0
    assert np.array_equal(dcmread(path).pixel_array, want)


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"Modality": "US"}, True),
        ({"Modality": "us"}, False),
        ({"Manufacturer": "ACME Imaging"}, True),
        ({"Manufacturer": {"contains": "IMAGING"}}, True),
        ({"Manufacturer": {"regex": "^imaging"}}, False),
        ({"Modality": ["CT", "US"]}, True),
        ({"Modality": "US", "Rows": 47}, False),
        ({"Rows": 48, "Columns": [64, 640]}, True),
        ({"SoftwareVersions": "b7"}, True),
        ({"SoftwareVersions": 4.1}, True),
        ({"StationName": None}, True),
        ({"Modality": None}, False),
        ({"StationName": "X"}, False),
    ],
)
def test_elements_are_compared(tmp_path: Path, when: dict[str, Any], fits: bool) -> None:
    save_us(tmp_path, StationName="")
    row, values = volume(tmp_path, [{"when": when, "clean": True}])
    if fits:
        assert row["outcome"] == "exported"
        assert "privacy: device rule 1: clean" in row["header_notes"]
        assert np.array_equal(values, full()[0])
    else:  # it is small and at risk
        assert row["reason"] == "held by privacy"


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    save_us(tmp_path)
    row, _ = volume(tmp_path, [{"when": {"Modality": "US"}, "hold": True}, {"when": {"Rows": ROWS}, "clean": True}])
    assert (row["outcome"], row["stage"]) == ("skipped", "device rule 1 of privacy.pixels.rules")


def test_rectangles_beyond_a_picture_hold_it_back(tmp_path: Path) -> None:
    save_us(tmp_path)
    row, _ = volume(tmp_path, [{"when": {"Modality": "US"}, "mask": [{"rows": [0, 10], "columns": [0, 65]}]}])
    assert row["reason"] == "held by privacy"
    assert "device rule 1 has rectangles beyond it" in row["stage"]


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ({"mask": [{"rows": [20, 24]}]}, [(8, 20, 4, 60), (24, 40, 4, 60)]),
        ({"keep": [{"columns": [0, 32]}]}, [(8, 40, 4, 32)]),
        ({"keep": [{"rows": [0, 8]}]}, []),
        ({"clean": True}, [(8, 40, 4, 60)]),
    ],
)
def test_regions_of_ultrasound_are_masked_as_well(
    tmp_path: Path, rule: dict[str, Any], shown: list[tuple[int, int, int, int]]
) -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 4, 8
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 59, 39
    values = save_us(tmp_path, SequenceOfUltrasoundRegions=[region])[0]
    _, found = volume(tmp_path, [{"when": {"Modality": "US"}, **rule}])
    want = np.zeros_like(values)
    for top, bottom, left, right in shown:
        want[top:bottom, left:right] = values[top:bottom, left:right]
    assert np.array_equal(found, want)


def test_a_rule_is_also_for_pictures_without_risk(tmp_path: Path) -> None:
    save_us(tmp_path, Modality="CT")
    _, found = volume(tmp_path, [{"when": {"Modality": "CT"}, "mask": [{"rows": [0, 4]}]}])
    assert not found[:4].any()
    assert found[4:].all()


def test_search_looks_for_more_than_the_rectangles(tmp_path: Path) -> None:
    save_us(tmp_path)
    row, _ = volume(tmp_path, [{"when": {"Modality": "US"}, "mask": [{"rows": [0, 4]}], "search": True}])
    assert "too small to be searched" in row["stage"]


def test_another_content_of_the_file_is_another_policy(tmp_path: Path) -> None:
    save_us(tmp_path)
    (tmp_path / "k.key").write_text("ab" * 32)
    (tmp_path / "k.key").chmod(0o600)
    for rows_masked, place in ((4, "rules.yml"), (4, "moved.yml"), (5, "rules.yml")):
        privacy = section(tmp_path, [{"when": {"Modality": "US"}, "mask": [{"rows": [0, rows_masked]}]}])
        if place == "moved.yml":
            (tmp_path / place).write_text("# the same\n" + (tmp_path / "rules.yml").read_text())
        privacy["pixels"]["rules"] = str(tmp_path / place)
        privacy["key"] = {"file": str(tmp_path / "k.key")}
        settings = config(tmp_path / "in", tmp_path / "out", metadata={}, privacy=privacy)
        if rows_masked == 4:
            run(settings)
        else:
            with pytest.raises(LedgerError, match="the rules differ"):
                run(settings)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "the key `rules`"),
        ("rules: []", 1, "the key `rules`"),
        (f"rules:\n- mask: {'[' * 3000}", 1, "nested too deeply"),
        (f"rules:\n- mask: {'[' * 3000}{']' * 3000}", 1, "nested too deeply"),
        ("rules:\n- when: {Modality: US}\n", 2, "one of mask, keep"),
        ("rules:\n- when: {Modality: US}\n  mask: []\n", 3, "expected rectangles"),
        ("rules:\n- when: {Modality: US}\n  mask: [{rows: [5, 5]}]\n", 3, "expected rectangles"),
        ("rules:\n- when: {Modality: US}\n  mask: [{rows: [0, 4], top: 3}]\n", 3, "expected rectangles"),
        ("rules:\n- when: {Modality: US}\n  hold: true\n  clean: true\n", 2, "one of mask, keep"),
        ("rules:\n- when: {Modality: US}\n  hold: false\n", 2, "are true, or left out"),
        ("rules:\n- when: {Modality: US}\n  clean: true\n  search: true\n", 2, "search goes with"),
        ("rules:\n- clean: true\n", 2, "at least one element"),
        ("rules:\n- when: {Modalit: US}\n  clean: true\n", 2, "no keyword"),
        ("rules:\n- when: {Modality: {like: US}}\n  clean: true\n", 2, "contains: TEXT"),
        ("rules:\n- when: {Modality: {regex: '('}}\n  clean: true\n", 2, "no regular expression"),
        ("rules:\n- when: {BurnedInAnnotation: YES}\n  clean: true\n", 2, 'write "YES"'),
        ("rules:\n- when: {Modality: US}\n  when: {Rows: 4}\n  clean: true\n", 3, "given twice"),
        ("rules: [", 1, "no YAML"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_by_its_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        read_devices(str(path))
    message = str(told.value)
    assert message.startswith("privacy.pixels.rules: ")
    assert f"line {line}" in message
    assert why in message
    assert "\n" not in message


def test_a_missing_file_is_told_before_any_work(tmp_path: Path) -> None:
    save_us(tmp_path)
    privacy = {"private": str(tmp_path / "private"), "pixels": {"rules": str(tmp_path / "none.yml")}}
    with pytest.raises(ConfigError, match=r"none\.yml cannot be read"):
        export(tmp_path / "in", tmp_path / "out", metadata={}, privacy=privacy)
    assert not (tmp_path / "out" / "metadata.jsonl").exists()

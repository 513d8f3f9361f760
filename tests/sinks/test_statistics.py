"""Statistics of volumes against NumPy's, and their column in series.csv."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import export

from crawler.api import load_volume
from crawler.sinks import statistics
from crawler.sinks.statistics import PERCENTILES


def numbers(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.e+-]+)", text.partition(" (")[0])}


def expected(values: np.ndarray) -> dict[str, float]:
    values = values.astype(np.float64)
    found = {f"p{one}": value for one, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}
    found["median"] = found.pop("p50")
    return found | {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}


def column(out: Path) -> str:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return row["volume_statistics"]


@pytest.mark.parametrize(("slope", "kind"), [("1", "i"), ("0.37", "f")])
def test_they_are_those_of_the_values_that_the_volume_holds(tmp_path: Path, slope: str, kind: str) -> None:
    chance = np.random.default_rng(1)
    for path in ct_series(tmp_path / "in", n=3, RescaleSlope=slope, RescaleIntercept="-1024"):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = chance.integers(0, 4000, (16, 12), dtype=np.uint16).tobytes()
        dataset.save_as(path)
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"statistics": True})
    [path] = (tmp_path / "out" / "volumes").rglob("*.h5")
    values = load_volume(path).array
    assert values.dtype.kind == kind
    assert numbers(column(tmp_path / "out")) == pytest.approx(expected(values), rel=1e-5)


def test_of_many_floats_percentiles_are_of_a_part_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "KEPT", 200)
    ct_series(tmp_path / "in", n=3, RescaleSlope="0.37")
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"statistics": True})
    text = column(tmp_path / "out")
    assert text.endswith("(percentiles of one in 3 values)")
    [path] = (tmp_path / "out" / "volumes").rglob("*.h5")
    found, whole = numbers(text), expected(load_volume(path).array)
    for name in ("min", "max", "mean", "std"):
        assert found[name] == pytest.approx(whole[name], rel=1e-5)


def test_colours_have_none_and_several_volumes_are_named(tmp_path: Path) -> None:
    save(quick_dataset(np.zeros((8, 8, 3), np.uint8)), tmp_path / "colour" / "a.dcm")
    export(tmp_path / "colour", tmp_path / "one", metadata={}, volume={"statistics": True})
    assert column(tmp_path / "one") == ""
    paths = ct_series(tmp_path / "gap", n=9)
    paths[4].unlink()
    paths[5].unlink()
    export(tmp_path / "gap", tmp_path / "two", metadata={}, volume={"statistics": True})
    texts = column(tmp_path / "two").split("; ")
    assert len(texts) > 1
    assert all(re.match(r"\S+: min ", text) for text in texts)


def test_without_the_key_there_is_no_column(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", n=2)
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    assert "volume_statistics" not in (tmp_path / "out" / "series.csv").read_text()

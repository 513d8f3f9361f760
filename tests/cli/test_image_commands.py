"""`dme image ...` and the console names of seeds/002: what they write and print, and that no expression is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mr import mr_series

from crawler import Series
from crawler.cli import image_names
from crawler.cli.main import main
from crawler.series.calculator import ExpressionError, evaluate


@pytest.fixture
def place(tmp_path: Path) -> Path:
    mr_series(tmp_path / "in", times=2, slices=3)
    return tmp_path


def test_convert_and_back(place: Path) -> None:
    """README of imagedata: `image_data --of nifti`, then `--of dicom --template`."""
    assert image_names.image_data(["--of", "nifti", f"{place}/nifti", f"{place}/in"]) == 0
    back = ["--of", "dicom", "--template", f"{place}/in", "--sernum", "1004", "--serdes", "Processed data"]
    assert image_names.image_data([*back, f"{place}/back", f"{place}/nifti"]) == 0
    again, first = Series(place / "back", "time"), Series(place / "in", "time")
    assert np.array_equal(again, first)
    assert (again.seriesNumber, again.seriesDescription) == (1004, "Processed data")


@pytest.mark.parametrize("kind", ["float", "int", "uint16", "double"])
def test_types(place: Path, kind: str) -> None:
    """imagedata 3.10: `--dtype float` raises."""
    assert main(["image", "convert", "--dtype", kind, "--of", "npz", f"{place}/out", f"{place}/in", "-q"]) == 0
    assert Series(place / "out").dtype == {"float": "f4", "int": "i4", "uint16": "u2", "double": "f8"}[kind]


def test_calculator(place: Path) -> None:
    assert image_names.image_calculator([f"{place}/out", "(a + b) / 2 + 1", f"{place}/in", f"{place}/in"]) == 0
    assert np.array_equal(Series(place / "out", "time"), Series(place / "in", "time").values + 1)
    assert main(["image", "calculator", f"{place}/mean", "np.mean(a, axis=0)", f"{place}/in", "-q"]) == 0
    assert Series(place / "mean").shape == (3, 6, 5)


EVIL = [
    "__import__('os').system('touch pwned')",
    "open('x', 'w')",
    "a.__class__",
    "np.load('x')",
    "np.save('x', a)",
    "(lambda: 1)()",
    "[x for x in a]",
    "a if a else b",
    "exec('1')",
    "a.tofile('x')",
    "np.__dict__",
    "f'{a}'",
    "'text' * 10",
    "(1).__class__",
    "sqrt.__globals__",
    "c + 1",
    "a @ a",
    "a;a",
    "a := 1",
    "1 << 99",
    "-" * 5000 + "a",
    "sqrt(a, out=a)",
    "((((" * 30 + "a" + "))))" * 30 + ".x",
]


@pytest.mark.parametrize("expression", EVIL)
def test_no_expression_is_run(expression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """imagedata 3.10 gives them to eval."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpressionError):
        evaluate(expression, {"a": np.ones(3), "b": np.ones(3)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + 2 * b", 7.0),
        ("-a ** 2", -1.0),
        ("sqrt(b) > 1", True),
        ("where(a > 10, a, 0)", 0.0),
        ("(a > 0) & (b < 5)", True),
        ("clip(a * 9, 0, 5)", 5.0),
        ("a[0:1] + pi", 1 + np.pi),
        ("np.maximum(a, b)", 3.0),
        ("9 ** 999 * a", np.inf),
    ],
)
def test_expressions(expression: str, expected: Any) -> None:
    with np.errstate(over="ignore"):
        found = evaluate(expression, {"a": np.ones(3), "b": np.full(3, 3.0)})
    assert np.array_equal(found, np.full(np.shape(found), expected))


def test_list_and_statistics(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """imagedata 3.10: `image_list PATH` raises; statistics of the last study only."""
    mr_series(place / "other", times=1, slices=2)
    assert image_names.image_list([f"{place}/in", f"{place}/other"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("shape: ")[2].partition(",")[0] for line in lines] == ["2x3x6x5", "2x6x5"]
    assert image_names.image_statistics([f"{place}/in", f"{place}/other"]) == 0
    text = capsys.readouterr().out
    assert text.count("min: ") == 2
    assert "Test^Quick" not in text
    assert image_names.image_statistics(["--bash", f"{place}/other"]) == 0
    told = dict(line.split("=") for line in capsys.readouterr().out.splitlines() if "=" in line)
    assert (float(told["min"]), float(told["max"])) == (0, 129)


def test_statistics_of_a_mask(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros_like(Series(place / "in")[0], dtype=np.uint8)
    mask[0, 0, :2] = 1
    mask.write(place / "mask", formats=["npz"])
    assert image_names.image_statistics(["--mask", f"{place}/mask", "--bash", f"{place}/in"]) == 0
    assert "max=1001" in capsys.readouterr().out


def test_timeline(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image_names.timeline([f"{place}/in"]) == 0
    assert "2.5" in capsys.readouterr().out
    assert image_names.timeline(["-1", f"{place}/in"]) == 0
    assert capsys.readouterr().out.splitlines() == ["t [s]", "0", "2.5"]


def test_dump_and_sort(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """imagedata 3.10: `dicom_dump` raises; `dicom_sort` writes files of one base name over each other."""
    mr_series(place / "more" / "in", times=2, slices=3, SeriesInstanceUID="2.25.9", SeriesNumber=9)
    assert image_names.dicom_dump([str(place)]) == 0
    assert "SeriesInstanceUID: 2" in capsys.readouterr().out
    mr_series(place / "same", times=1, slices=1, SeriesInstanceUID="2.25.9", SOPInstanceUID="2.25.99", SeriesNumber=9)
    assert image_names.dicom_sort([f"{place}/sorted", str(place)]) == 0
    copies = list((place / "sorted").rglob("*.dcm"))
    assert len(copies) == 13
    assert not any("QUICK" in str(path) for path in copies)
    assert image_names.dicom_sort([f"{place}/sorted", f"{place}/in", f"{place}/more"]) == 1


def test_faults_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "convert", f"{place}/out", f"{place}/nothing"]) == 1
    assert main(["image", "convert", f"{place}/in", f"{place}/in"]) == 1
    assert main(["image", "calculator", f"{place}/x", "z + 1", f"{place}/in"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("dme: ") for line in lines)


def test_show_writes_a_picture(place: Path) -> None:
    assert image_names.image_show([f"{place}/in", "--save", f"{place}/view.png"]) == 0
    assert (place / "view.png").stat().st_size > 1000

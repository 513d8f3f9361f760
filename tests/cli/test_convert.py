"""`python dme.py convert`: seeds/001's command line on the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cines import cine
from support.factories import quick_dataset, save
from support.videos import facts

from crawler.cli import main as cli


def still(path: Path, **keywords) -> Path:
    return save(quick_dataset(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64), **keywords), path)


def converted(*arguments: object) -> int:
    return cli.main(["convert", *map(str, arguments), "-q", "--workers", "0"])


def media(out: Path) -> set[str]:
    paths = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    return {str(path) for path in paths if path.parts[0] != "records"}


def test_one_file(tmp_path):
    assert converted(still(tmp_path / "in" / "a.dcm"), "-o", tmp_path / "out") == 0
    assert media(tmp_path / "out") == {"a.png", "a.txt"}
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.mode.startswith("I;16")


def test_a_folder_with_what_is_below_it(tmp_path):
    still(tmp_path / "in" / "a.dcm")
    cine(tmp_path / "in" / "deep" / "b.dcm", CineRate=20)
    assert converted(tmp_path / "in", "-o", tmp_path / "out", "--8bit", "--fps", "5") == 0
    assert media(tmp_path / "out") == {"a.png", "a.txt", "deep/b.mp4", "deep/b.gif", "deep/b.txt"}
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.mode == "L"
    assert facts(tmp_path / "out" / "deep" / "b.mp4")["seconds"] == pytest.approx(9 / 5)


def test_without_mp4(tmp_path):
    cine(tmp_path / "in" / "b.dcm")
    assert converted(tmp_path / "in", "-o", tmp_path / "out", "--no-mp4") == 0
    assert media(tmp_path / "out") == {"b.gif", "b.txt"}


def test_several_inputs_share_a_folder_and_nothing_is_overwritten(tmp_path):
    first = still(tmp_path / "one" / "a.dcm")
    out = tmp_path / "out"
    assert converted(first, "-o", out) == 0
    kept = (out / "a.png").read_bytes()
    assert converted(still(tmp_path / "two" / "a.dcm", WindowCenter=9, WindowWidth=9), "-o", out) == 0
    assert converted(still(tmp_path / "two" / "b.dcm"), "-o", out) == 0
    assert (out / "a.png").read_bytes() == kept
    assert media(out) == {"a.png", "a.txt", "b.png", "b.txt"}


def test_other_flags_need_a_rebuild(tmp_path, capsys):
    path = still(tmp_path / "in" / "a.dcm")
    assert converted(path, "-o", tmp_path / "out") == 0
    assert converted(path, "-o", tmp_path / "out", "--8bit") == 1
    assert "--rebuild" in capsys.readouterr().err
    assert converted(path, "-o", tmp_path / "out", "--8bit", "--rebuild") == 0
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.mode == "L"


def test_exit_codes_and_what_is_said(tmp_path, capsys):
    assert converted(tmp_path / "nowhere", "-o", tmp_path / "out") == 1
    path = still(tmp_path / "in" / "a.dcm")
    path.write_bytes(path.read_bytes()[:-4000])
    still(tmp_path / "in" / "b.dcm")
    capsys.readouterr()
    assert cli.main(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--workers", "0"]) == 3
    said = capsys.readouterr().out
    assert "1 files failed" in said
    assert "records" in said
    (failures,) = (tmp_path / "out" / "records").glob("in-*/unreadable_files.csv")
    assert "truncated pixel data" in failures.read_text()
    assert "b.png" in media(tmp_path / "out")


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "fast"])
def test_impossible_rates_are_refused(tmp_path, fps):
    with pytest.raises(SystemExit):
        converted(tmp_path, "--fps", fps)


def test_without_a_path_it_takes_the_folder_of_the_earlier_converter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    still(tmp_path / "dicom_data" / "a.dcm")
    assert converted() == 0
    assert media(tmp_path / "output") == {"a.png", "a.txt"}


def test_eight_bits_stay_eight(tmp_path):
    save(quick_dataset(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)), tmp_path / "in" / "a.dcm")
    still(tmp_path / "in" / "b.dcm")
    assert converted(tmp_path / "in", "-o", tmp_path / "out") == 0
    modes = [Image.open(tmp_path / "out" / name).mode for name in ("a.png", "b.png")]
    assert modes == ["L", "I;16"]


def test_a_cine_without_a_rate_plays_at_ten(tmp_path):
    cine(tmp_path / "in" / "b.dcm")
    cine(tmp_path / "in" / "c.dcm", CineRate=20)
    assert converted(tmp_path / "in", "-o", tmp_path / "out") == 0
    assert facts(tmp_path / "out" / "b.mp4")["seconds"] == pytest.approx(9 / 10)
    assert facts(tmp_path / "out" / "c.mp4")["seconds"] == pytest.approx(9 / 20)

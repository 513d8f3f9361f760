"""`dme init`, and how the commands name the program that was started."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support.runs import ROOT

from crawler.cli.common import started_as
from crawler.cli.main import main
from crawler.config.loader import load_config
from crawler.config.packaged import packaged
from crawler.config.starters import GOALS


def test_it_writes_the_reference_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "study"]) == 0
    assert (tmp_path / "study" / "config.yml").read_text("utf-8") == (ROOT / "config.yml").read_text("utf-8")
    assert load_config(tmp_path / "study" / "config.yml").dicom.dir == "dicom_data"


def test_a_file_that_lies_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert (tmp_path / "config.yml").read_text() == "mine"
    assert "stays" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("started", "dme", "crawler"),
    [
        ("dme.py", "python dme.py", "python run_crawler.py"),
        ("/usr/local/bin/dme", "dme", "python run_crawler.py"),
        (r"dme.exe", "dme", "python run_crawler.py"),
        ("/site-packages/crawler/__main__.py", "python -m crawler", "python -m crawler"),
        ("/venv/bin/run_crawler", "python dme.py", "run_crawler"),
    ],
)
def test_messages_name_what_was_typed(monkeypatch: pytest.MonkeyPatch, started: str, dme: str, crawler: str) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert (started_as("dme"), started_as("run_crawler")) == (dme, crawler)


def test_what_comes_with_the_package_is_found() -> None:
    assert packaged("dicom_tags").joinpath("ct.json").is_file()
    assert yaml.safe_load(packaged("config.yml").read_text("utf-8"))["dicom"] is not None


def test_shipped_templates_serve_where_no_folder_of_that_name_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yml").write_text("dicom: {dir: in}\nmetadata: {templates: dicom_tags}\n")
    assert load_config("c.yml").templates_dir == str(packaged("dicom_tags"))
    (tmp_path / "dicom_tags").mkdir()
    assert load_config("c.yml").templates_dir == str(tmp_path / "dicom_tags")


@pytest.mark.parametrize("goal", GOALS)
def test_the_configuration_for_a_goal_is_valid_and_says_what_it_is_for(goal: str, tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--goal", goal]) == 0
    text = (tmp_path / "config.yml").read_text("utf-8")
    assert text.startswith(f"# {GOALS[goal]}\n")
    assert len(text.splitlines()) < 30
    config = load_config(tmp_path / "config.yml")
    assert config.metadata is not None
    assert (config.pacs is not None) == (goal == "pacs")


@pytest.mark.parametrize("goal", [goal for goal in GOALS if goal != "pacs"])
def test_the_configuration_for_a_goal_runs(goal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("us_heart", "ct_head", "mr_spine"):
        shutil.copytree(ROOT / "dicom_data" / name, tmp_path / "dicom_data" / name)
    assert main(["init", "--goal", goal]) == 0
    assert main(["config.yml", "-q", "--workers", "0"]) == 0
    wanted = {
        "ml": ["volumes/*/*.npz", "series.csv"],
        "audit": ["metadata.csv", "metadata_mr.csv"],
        "cine": ["media/*/*.mp4", "media/*/*.gif", "media/*/*.png", "media/*/*.txt"],
        "neuro": ["volumes/*/*-1.nii.gz", "volumes/*/*-1.json", "mr_cleaned.csv"],
        "tables": ["metadata.csv"],
    }
    assert [one for one in wanted[goal] if not list((tmp_path / "output").glob(one))] == []

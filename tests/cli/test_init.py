"""`dme init`, and how the commands name the program that was started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from support.runs import ROOT

from crawler.cli.common import started_as
from crawler.cli.main import main
from crawler.config.loader import load_config
from crawler.config.packaged import packaged


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

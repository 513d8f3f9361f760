"""The documentation site: every page is found, every example configuration runs, and the Python beside it, too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import ROOT, page, pages

from crawler.config.loader import load_config
from crawler.config.starters import GOALS
from crawler.engine.run import run
from crawler.mr.bids_rules import load_bids_rules

RUN = ("README.md", "start.md", "howto/ml.md", "howto/audit.md", "howto/cine.md", "howto/neuro.md")


def code(text: str, language: str) -> list[str]:
    """Code blocks of a language; none is all right."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def whole(text: str) -> dict[str, Any] | None:
    """A block of YAML as a configuration; one that shows single sections gets what they need."""
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        return None
    return data if {"dicom", "pacs"} & data.keys() else {"dicom": {"dir": "dicom_data"}, **data}


def nav() -> set[str]:
    """Pages in the navigation."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    return set(re.findall(r"[\w./-]+\.md", re.sub(r"#.*", "", text)))


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    written = {name for name in pages() if name != "README.md"}
    assert nav() == written, "mkdocs.yml, nav: add the page there"


@pytest.mark.parametrize("name", [name for name, text in pages().items() if code(text, "yaml")])
def test_every_configuration_in_the_pages_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for block in code(page(name), "yaml"):
        config = whole(block)
        assert config is not None
        load_config(config)


def test_short_examples_in_tables_are_valid() -> None:
    for text in pages().values():
        for line in re.findall(r"^\|.*\|$", text, re.MULTILINE):
            for example in re.findall(r"`((?:metadata|media|image|video|volume|select|preview): ?\{[^`]*\})`", line):
                load_config({"dicom": {"dir": "in"}, "metadata": {}, **yaml.safe_load(example)})


@pytest.mark.parametrize("name", RUN)
def test_the_examples_run_as_they_stand(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "dicom_data", tmp_path / "dicom_data")
    [config, *_] = map(whole, code(page(name), "yaml"))
    summary = run({**(config or {}), "num_workers": 0})
    assert summary.exported > 0
    assert not summary.failed
    for block in code(page(name), "python"):
        exec(compile(block, name, "exec"), {"__name__": "example"})


def test_the_example_rules_of_bids_are_rules(tmp_path: Path) -> None:
    [block] = code(page("howto/neuro.md"), "json")
    (tmp_path / "bids.json").write_text(block)
    assert len(load_bids_rules(str(tmp_path)).rules) == len(json.loads(block)["rules"])


def test_the_dataset_of_the_page_is_what_the_example_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "dicom_data" / "mr_spine", tmp_path / "dicom_data" / "mr_spine")
    text = page("howto/neuro.md")
    run({**(whole(code(text, "yaml")[0]) or {}), "num_workers": 0})
    made = {path.name for path in (tmp_path / "output" / "bids").rglob("*.nii.gz")}
    assert made == set(re.findall(r"sub-SAMPLE_\S*\.nii\.gz", text))


def test_goals_are_told_on_the_page_of_commands() -> None:
    text = page("reference/command-line.md")
    assert all(f"`{goal}`" in text for goal in GOALS)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="needs mkdocs-material: python -m pip install -r requirements-docs.txt")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "start.html").is_file()
    assert (tmp_path / "images" / "report.png").is_file()

"""What README.md, config.yml and `--help` say is what the code does: keys, defaults, flags, exit codes, examples."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from operator import call
from pathlib import Path
from typing import Any

import pytest
import yaml

from crawler.cli import run
from crawler.config import checking, loader

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = tuple(import_module(f"crawler.cli.{name}").build_parser for name in run.COMMANDS)
KEYS = {key.path: key for key in checking.keys(loader.Config)}


def section(title: str) -> str:
    """Text of README's second-level section of that title."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {title!r}"
    return found[1]


def table(title: str) -> dict[str, str]:
    """First cell -> second cell of the tables in a section, for rows whose first cell is in code quotes."""
    return dict(re.findall(r"^\| `([^`]+)`[^|]*\| ([^|]*?) *\|", section(title), re.MULTILINE))


def blocks(language: str, title: str) -> list[str]:
    """Code blocks in a section."""
    found = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert found, f"README.md, {title!r}: no block of {language}"
    return found


def nested(paths: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in paths.items():
        *above, last = path.split(".")
        place = tree
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return tree


# -- configuration ------------------------------------------------------------------------------------------------


def test_every_key_is_in_the_readme_and_no_other() -> None:
    documented = table("Configuration").keys()
    assert documented == KEYS.keys(), "the table of README.md and the sections of crawler/config.py differ"


def test_defaults_in_the_readme_are_the_defaults() -> None:
    written = {path: yaml.safe_load(cell.strip("`")) for path, cell in table("Configuration").items() if "`" in cell}
    server = {"host": "pacs", "port": 104, "query": {"PatientID": "1"}, "tls": {}}  # a section needs them to be valid
    spelt_out = nested({**written, "dicom.dir": "in"})
    spelt_out["pacs"] |= server
    empty = {name: {} for name in spelt_out if isinstance(spelt_out[name], dict)}
    left_out = {**empty, "dicom": {"dir": "in"}, "pacs": server}
    first, second = (replace(loader.Config.from_mapping(tree), text="") for tree in (spelt_out, left_out))
    assert first == second


def test_every_key_is_in_config_yml() -> None:
    text = (ROOT / "config.yml").read_text("utf-8")
    missing = [path for path in KEYS if not re.search(rf"\b{re.escape(path.rpartition('.')[2])}\s*:", text)]
    assert not missing, f"config.yml is the reference that users copy; it lacks {', '.join(missing)}"


# -- command line -------------------------------------------------------------------------------------------------


def test_every_flag_is_in_the_readme_and_no_other() -> None:
    parsers = [run.build_parser(), *map(call, COMMANDS)]
    for parser in list(parsers):
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parsers += [command for action in below for command in action.choices.values()]
    known = {flag for parser in parsers for action in parser._actions for flag in action.option_strings}
    rows = [line for line in section("Command line").splitlines() if line.startswith("| `-")]
    documented = {flag for row in rows for flag in re.findall(r"(?<=`)--?[a-z0-9-]+", row.split("|")[1])}
    known -= {"-h", "--help"}
    assert documented == known


def test_exit_codes_are_in_the_readme_and_in_help() -> None:
    codes = {"0", "1", "2", "3", "130"}
    assert table("Exit codes").keys() == codes
    text = run.build_parser().format_help()
    missing = sorted(code for code in codes if not re.search(rf"\b{code}\b", text))
    assert not missing, f"--help does not name exit code {', '.join(missing)}"


def test_every_command_is_in_the_readme_and_in_help() -> None:
    usage = blocks("", "Command line")[0]
    help_text = run.build_parser().format_help()
    for parser in map(call, COMMANDS):
        assert parser.prog in usage
        assert parser.prog in help_text


def test_dry_run_in_the_readme_is_what_it_tells(finished: Path) -> None:
    command = [sys.executable, str(ROOT / "dme.py"), "config.yml", "--dry-run"]
    done = subprocess.run(command, cwd=finished, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    printed = blocks("", "Command line")[1].splitlines()
    told = done.stdout.splitlines()
    measured = ("trial run", "estimate", " ")  # times and sizes are this machine's
    of_trial = next(number for number, line in enumerate(printed) if line.startswith("trial run"))
    assert told[:of_trial] == printed[:of_trial]
    assert [line.startswith(measured) for line in told[of_trial:]] == [True, True, True, False]
    assert told[-1] == printed[-1]


# -- examples: what the README shows is what a run of config.yml on dicom_data/ gives -------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which config.yml has run on the sample tree."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "dicom_data", folder / "dicom_data")
    shutil.copy(ROOT / "config.yml", folder)
    command = [sys.executable, str(ROOT / "dme.py"), "config.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_example_row_is_a_row(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "output" / "metadata.jsonl").read_text("utf-8").splitlines()]
    [example] = [json.loads(block) for block in blocks("json", "Outputs")]
    [row] = [row for row in rows if row["dicom_file"] == example["dicom_file"]]
    assert {key: row.get(key) for key in example} == example


def test_outputs_in_the_readme_are_written(finished: Path) -> None:
    names = table("Outputs").keys()
    missing = [name for name in names if not list((finished / "output").glob(name))]
    assert names
    assert not missing


def test_python_in_the_readme_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    for block in blocks("python", "Reading the outputs"):
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing, f"README.md links to {', '.join(missing)}"

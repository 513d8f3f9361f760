"""What README.md, docs/, config.yml and `--help` say is what the code does: keys, defaults, flags, codes, examples."""

from __future__ import annotations

import argparse
import ast
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
from support.pages import ROOT, blocks, page, pages, section, table

from crawler.cli import arguments
from crawler.config import checking, loader

KEYS_PAGE = "reference/configuration.md"
COMMANDS_PAGE = "reference/command-line.md"
CODES_PAGE = "reference/exit-codes.md"
OUTPUTS_PAGE = "reference/outputs.md"
PYTHON_PAGE = "reference/python.md"
COMMANDS = tuple(import_module(f"crawler.cli.{name}").build_parser for name in arguments.COMMANDS)
KEYS = {key.path: key for key in checking.keys(loader.Config)}


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


def test_every_key_is_in_the_reference_and_no_other() -> None:
    documented = table(page(KEYS_PAGE)).keys()
    assert documented == KEYS.keys(), f"the table of docs/{KEYS_PAGE} and the sections of crawler/config differ"


def test_defaults_in_the_reference_are_the_defaults() -> None:
    written = {path: yaml.safe_load(cell.strip("`")) for path, cell in table(page(KEYS_PAGE)).items() if "`" in cell}
    server = {"host": "pacs", "port": 104, "query": {"PatientID": "1"}, "tls": {}}  # a section needs them to be valid
    spelt_out = nested({**written, "dicom.dir": "in"})
    spelt_out["pacs"] |= server
    empty = {name: {} for name in spelt_out if isinstance(spelt_out[name], dict)}
    left_out = {**empty, "dicom": {"dir": "in"}, "pacs": server, "output": {"pack": {}}}
    first, second = (replace(loader.Config.from_mapping(tree), text="") for tree in (spelt_out, left_out))
    assert first == second


def test_every_key_is_in_config_yml() -> None:
    text = (ROOT / "config.yml").read_text("utf-8")
    missing = [path for path in KEYS if not re.search(rf"\b{re.escape(path.rpartition('.')[2])}\s*:", text)]
    assert not missing, f"config.yml is the reference that users copy; it lacks {', '.join(missing)}"


# -- command line -------------------------------------------------------------------------------------------------


def test_every_flag_is_in_the_reference_and_no_other() -> None:
    parsers = [arguments.build_parser(), *map(call, COMMANDS)]
    for parser in list(parsers):
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parsers += [command for action in below for command in action.choices.values()]
    known = {flag for parser in parsers for action in parser._actions for flag in action.option_strings}
    rows = [line for line in page(COMMANDS_PAGE).splitlines() if line.startswith("| `-")]
    documented = {flag for row in rows for flag in re.findall(r"(?<=`)--?[A-Za-z0-9_-]+", row.split("|")[1])}
    known -= {"-h", "--help"}
    assert documented == known


def test_exit_codes_are_in_the_reference_and_in_help() -> None:
    codes = {"0", "1", "2", "3", "130"}
    assert table(page(CODES_PAGE)).keys() == codes
    text = arguments.build_parser().format_help()
    missing = sorted(code for code in codes if not re.search(rf"\b{code}\b", text))
    assert not missing, f"--help does not name exit code {', '.join(missing)}"


def test_every_command_is_in_the_reference_and_in_help() -> None:
    usage = blocks(page(COMMANDS_PAGE), "")[0]
    help_text = arguments.build_parser().format_help()
    for parser in map(call, COMMANDS):
        assert parser.prog in usage
        assert parser.prog in help_text


def test_dry_run_in_the_reference_is_what_it_tells(finished: Path) -> None:
    command = [sys.executable, str(ROOT / "dme.py"), "config.yml", "--dry-run"]
    done = subprocess.run(command, cwd=finished, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    printed = blocks(page(COMMANDS_PAGE), "")[1].splitlines()
    told = done.stdout.splitlines()
    measured = ("trial run", "estimate", " ")  # times and sizes are this machine's
    of_trial = next(number for number, line in enumerate(printed) if line.startswith("trial run"))
    assert told[:of_trial] == printed[:of_trial]
    assert [line.startswith(measured) for line in told[of_trial:]] == [True, True, True, False]
    assert told[-1] == printed[-1]


# -- examples: what the pages show is what a run of config.yml on dicom_data/ gives -------------------------------


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
    [example] = [json.loads(block) for block in blocks(page(OUTPUTS_PAGE), "json")]
    [row] = [row for row in rows if row["dicom_file"] == example["dicom_file"]]
    assert {key: row.get(key) for key in example} == example


def test_outputs_in_the_reference_are_written(finished: Path) -> None:
    names = table(page(OUTPUTS_PAGE).partition("\n## ")[0]).keys()
    missing = [name for name in names if not list((finished / "output").glob(name))]
    assert names
    assert not missing


def test_python_in_the_reference_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    for block in blocks(section(PYTHON_PAGE, "Reading the outputs"), "python"):
        exec(compile(block, PYTHON_PAGE, "exec"), {"__name__": "readme"})


def test_links_lead_to_files() -> None:
    missing = []
    for name, text in pages().items():
        folder = ROOT if name == "README.md" else (ROOT / "docs" / name).parent
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        missing += [f"{name}: {link}" for link in links if not (folder / link).exists()]
    assert not missing


def test_readme_is_short() -> None:
    assert len(page("README.md").splitlines()) < 250, "README.md says what, why and how to start; docs/ has the rest"


def test_a_skip_for_want_of_a_package_says_how_to_install_it() -> None:
    calls = [
        node
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip"
    ]
    assert calls
    for found in calls:
        (reason,) = (ast.literal_eval(word.value) for word in found.keywords if word.arg == "reason")
        assert reason.startswith("needs ") or "pip install " in reason, ast.unparse(found)

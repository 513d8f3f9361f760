"""Imports between the folders of `crawler/` go downward only, and modules stay small (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CRAWLER = Path(__file__).parents[1] / "crawler"
# From the top down, one line a folder: a folder may import what stands below it, and itself.
FOLDERS = (
    "cli",
    "web",
    "cluster",
    "verify",
    "dryrun",
    "compat",
    "engine",
    "tables",
    "export",
    "ledger",
    "series",
    "sinks",
    "quality",
    "mr",
    "layout",
    "privacy",
    "display",
    "pixels",
    "instance",
    "config",
    "pacs",
    "sources",
    "dicom",
    "archives",
    "stores",
    "",  # the ground floor: modules that lie directly in `crawler/`
)
# The sample tree is written beside the pipeline: only `cli` imports it, and it knows the ground floor alone.
ASIDE = "sample"
DOORS = ("__init__", "__main__", "api")  # on the roof: what users import and start
GROUND = 10  # most modules directly in `crawler/`
LINES = 400  # STYLE.md, rule 1: "past 400, find the second noun"

MODULES = {path.relative_to(CRAWLER).with_suffix("").as_posix(): path for path in sorted(CRAWLER.rglob("*.py"))}


def folder_of(module: str) -> str:
    """`sinks/thumbnail/flat` -> "sinks", `model` -> ""."""
    return module.split("/")[0] if "/" in module else ""


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of `crawler` that a source imports, anywhere in it, by their paths; "__init__" for the package itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full (from crawler...)"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "crawler":
                continue
            # `from crawler.sinks import base` imports a module, `from crawler.model import File` a name in one.
            for end in range(len(parts), 0, -1):
                path = "/".join(parts[1:end])
                found = next((one for one in (path, f"{path}/__init__".lstrip("/")) if one in MODULES), None)
                if found:
                    yield found
                    break
            else:
                raise AssertionError(f"crawler has no module {name}")


def allowed(module: str, other: str) -> bool:
    """Whether a module may import another."""
    mine, its = folder_of(module), folder_of(other)
    if module in DOORS:
        return True
    if other in DOORS:
        return mine in ("cli", "tables") and other == "__init__"  # for the version
    if ASIDE in (mine, its):
        return mine == its or (mine == ASIDE and its == "") or (mine == "cli" and its == ASIDE)
    return mine == its or FOLDERS.index(mine) < FOLDERS.index(its)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module: str) -> None:
    wrong = sorted({other for other in imported(ast.parse(MODULES[module].read_bytes())) if not allowed(module, other)})
    assert not wrong, f"crawler/{module} may not import {', '.join(wrong)}: that stands above it in FOLDERS"


def test_each_folder_has_its_line() -> None:
    assert {folder_of(module) for module in MODULES} == {*FOLDERS, ASIDE}


def test_no_modules_import_each_other() -> None:
    """In circles: beside the order of folders, modules of one folder have one too."""
    below = {
        module: {other for other in imported(ast.parse(path.read_bytes())) if other != module}
        for module, path in MODULES.items()
        if module not in DOORS
    }
    while leaves := {module for module, others in below.items() if not others & below.keys()}:
        for module in leaves:
            del below[module]
    assert not below, f"these import each other: {', '.join(sorted(below))}"


@pytest.mark.parametrize("module", MODULES)
def test_module_is_short(module: str) -> None:
    lines = len(MODULES[module].read_bytes().splitlines())
    assert lines <= LINES, f"crawler/{module} has {lines} lines: find the second noun"


def test_few_modules_lie_on_the_ground_floor() -> None:
    assert len([module for module in MODULES if "/" not in module]) <= GROUND


def test_tests_mirror_the_folders() -> None:
    tests = Path(__file__).parent
    found = {path.name for path in tests.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert found == {*FOLDERS, ASIDE} - {""} - {"archives", "mr"}, "their tests are those of sources and tables"


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("model", "engine/run"),
        ("instance/header", "pixels/frames"),
        ("sources/directory", "ledger/database"),
        ("engine/run", "sample/tree"),
        ("sample/tree", "instance/header"),
        ("engine/run", "__init__"),
        ("errors", "api"),
    ],
)
def test_rule_refuses(module: str, other: str) -> None:
    assert not allowed(module, other)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import crawler.dicom.files", {"dicom/files"}),
        ("def f():\n    from crawler.errors import PixelError", {"errors"}),
        ("from crawler import model, errors, load_config", {"model", "errors", "__init__"}),
        ("from crawler.sinks import base, require", {"sinks/base", "sinks/__init__"}),
        ("import numpy, os\nfrom crawling import model", set()),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert set(imported(ast.parse(source))) == expected

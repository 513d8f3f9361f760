"""ARCHITECTURE.md names folders, modules and functions that are there, and all folders."""

from __future__ import annotations

import ast
import re

import pytest
from support.runs import ROOT
from test_layering import ASIDE, FOLDERS

TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
MODULES = sorted(set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)\b", TEXT)))
NAMES = sorted(set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py): ([\w.]+)", TEXT)))


@pytest.mark.parametrize("module", MODULES)
def test_module_exists(module: str) -> None:
    assert (ROOT / "crawler" / module).is_file() or (ROOT / module).is_file()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_name_exists(module: str, name: str) -> None:
    place: ast.AST = ast.parse((ROOT / "crawler" / module).read_bytes())
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = [node for node in ast.iter_child_nodes(place) if isinstance(node, kinds) and node.name == part]
        assigned = [
            node
            for node in ast.iter_child_nodes(place)
            if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == part for to in node.targets)
        ]
        assert found or assigned, f"{module} has no {name}"
        place = (found or assigned)[0]


def test_every_folder_has_a_row() -> None:
    rows = {
        name for cell in re.findall(r"^\| (`[^|]*) \|", TEXT, re.MULTILINE) for name in re.findall(r"`(\w+)/`", cell)
    }
    assert rows == {*FOLDERS, ASIDE} - {"", ASIDE}

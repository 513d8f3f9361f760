"""docs/promises.md names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")


def functions(path: Path) -> set[str]:
    """Names of the functions of a module, those of classes included."""
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_tests_that_exist():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| We promise")]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, name in named:
            assert name in functions(ROOT / path), f"{path} has no {name}"


def test_the_readme_and_the_site_lead_there():
    assert "docs/promises.md" in (ROOT / "README.md").read_text("utf-8")
    assert "promises.md" in (ROOT / "mkdocs.yml").read_text("utf-8")

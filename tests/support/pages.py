"""Pages of the documentation as tests look at them: text, tables and code blocks of README.md and docs/."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    """Text of a page: `README.md`, or one below docs/ such as `reference/outputs.md`."""
    return (ROOT / name if name == "README.md" else ROOT / "docs" / name).read_text("utf-8")


def pages() -> dict[str, str]:
    """README.md and every page of the site, by the names that `page` takes."""
    below = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return {name: page(name) for name in ("README.md", *below)}


def section(name: str, title: str) -> str:
    """What stands on a page under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section {title!r}"
    return found[1]


def table(text: str) -> dict[str, str]:
    """First cell -> second cell of the tables in a text, for rows whose first cell is in code quotes."""
    return dict(re.findall(r"^\| `([^`]+)`[^|]*\| ([^|]*?) *\|", text, re.MULTILINE))


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a language in a text, at least one."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"no block of {language or 'plain text'}"
    return found

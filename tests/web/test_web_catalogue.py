"""Every text of the pages is in the catalogue of every language, and nothing else is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import polib
import pytest

import crawler.web
from crawler.web.catalogue import script_texts, texts, translator
from crawler.web.fields import sections
from crawler.web.settings import LANGUAGES

HERE = Path(crawler.web.__file__).parent
OTHERS = [language for language in LANGUAGES if language != "en"]
_STRING = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""


def wanted() -> set[str]:
    """All texts: of templates, of scripts, marked ones of the code, what the code translates, and the help of keys."""
    found = set(script_texts("en"))
    for page in (HERE / "templates").iterdir():
        found |= {ast.literal_eval(text) for text in re.findall(rf"\b_\({_STRING}", page.read_text("utf-8"))}
    for module in HERE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(module.read_bytes())) if isinstance(node, ast.Call)]
        for call in calls:
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if name in ("mark", "translate") and call.args and isinstance(call.args[0], ast.Constant):
                found.add(str(call.args[0].value))
    for section in sections():
        found |= {section.help, *(field.help for field in section.fields)}
    return found - {""}


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_every_text_and_no_other(language: str) -> None:
    entries = polib.pofile((HERE / "locale" / f"{language}.po").read_text("utf-8"))
    assert {entry.msgid for entry in entries} == wanted()
    assert [entry.msgid for entry in entries if not entry.translated()] == []
    assert len(entries) == len({entry.msgid for entry in entries})


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_their_values(language: str) -> None:
    for text, other in texts(language).items():
        assert sorted(re.findall(r"\{(\w+)\}", other)) == sorted(re.findall(r"\{(\w+)\}", text)), text
        assert other.strip() == other


@pytest.mark.parametrize("language", OTHERS)
def test_translations_are_of_the_language(language: str) -> None:
    """Words of another alphabet, but for what has no other name."""
    assert language == "zh"
    plain = [text for text, other in texts(language).items() if not re.search("[\u4e00-\u9fff]", other)]
    assert plain == []


def test_scripts_and_pages_have_no_other_texts() -> None:
    """A text between tags, or in an attribute that is read out, goes through the catalogue."""
    for page in (HERE / "templates").iterdir():
        text = re.sub(
            r"\{%.*?%\}|\{\{.*?\}\}|<code>.*?</code>|<kbd>.*?</kbd>|<title>.*?</title>", "", page.read_text("utf-8")
        )
        bare = [piece.strip() for piece in re.findall(r">([^<>]*[A-Za-z]{2}[^<>]*)<", text)]
        assert [piece for piece in bare if piece not in ("dme", "YAML")] == [], page.name
        assert re.findall(r'(?:aria-label|alt|placeholder|title)="[^"{]*[A-Za-z]', text) == [], page.name


def test_values_are_put_in() -> None:
    assert translator("en")("{count} jobs, the newest first", count=3) == "3 jobs, the newest first"
    assert "3" in translator("zh")("{count} jobs, the newest first", count=3)

"""`--help` is as wide as the terminal: every line of every command, but commands that are there to be copied."""

from __future__ import annotations

import argparse
from importlib import import_module

import pytest

from crawler.cli.arguments import COMMANDS
from crawler.cli.arguments import build_parser as main_parser
from crawler.cli.help_text import HelpText, wrapped


def parsers() -> dict[str, argparse.ArgumentParser]:
    return {"": main_parser()} | {name: import_module(f"crawler.cli.{name}").build_parser() for name in COMMANDS}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, parser in parsers().items():
        told = parser.format_help().partition("\n\n")[2]  # argparse never parts a group of its usage
        long = [line for line in told.splitlines() if len(line) > columns]
        assert all(line.startswith("  ") and f"{parser.prog.split()[0]} " in line for line in long), (name, long)


def test_the_text_is_the_same_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for columns in (60, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        texts.append({name: " ".join((parser.epilog or "").split()) for name, parser in parsers().items()})
        for name, parser in parsers().items():
            assert texts[-1][name] in " ".join(parser.format_help().split())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("line", "width", "parts"),
    [
        ("a short line", 20, ["a short line"]),
        ("words that go on here", 12, ["words that", "go on here"]),
        ("  name  what it does is told here to the very end of it", 48,
         ["  name  what it does is told here to the very", "        end of it"]),
        ("  python dme.py c.yml    which explanation goes below", 45,
         ["  python dme.py c.yml", "      which explanation goes below"]),
        ("  python dme.py pacs get A=1 B=2", 20, ["  python dme.py pacs get A=1 B=2"]),
        ("  1. words that go on", 16, ["  1. words that", "     go on"]),
        ("/a/path/that/is/long and words", 10, ["/a/path/that/is/long", "and words"]),
    ],
)  # fmt: skip
def test_lines(line: str, width: int, parts: list[str]) -> None:
    assert wrapped(line, width) == parts


def test_paragraphs_are_filled_and_lists_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "32")
    text = "Words of a paragraph\nthat goes on.\n\nkinds:\n  a  one\n  b  two\n"
    told = argparse.ArgumentParser(add_help=False, usage="x", epilog=text, formatter_class=HelpText).format_help()
    assert told.endswith("Words of a paragraph that goes\non.\n\nkinds:\n  a  one\n  b  two\n")

"""Descriptions and examples of `--help`, line by line as wide as the terminal: argparse wraps them as one text, or not.

It knows what lines look like and nothing of what they say.
"""

from __future__ import annotations

import argparse
import re
import textwrap

# A line of two columns: an example or a name, two spaces or more, and what it does.
_COLUMNS = re.compile(r"(\s*\S.*?\s{2,})(\S.*)")
_COMMAND = re.compile(r"\s+(python\S* |dme |run_crawler )")
# The end of a line within a paragraph: text goes on, not indented, and the line announces no list.
_PARAGRAPH = re.compile(r"(?<![:\n])\n(?=\S)")
_LEAST = 40  # characters; a second column of less goes below the first


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions and epilogs, and wraps those that are longer than the terminal is wide."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = _PARAGRAPH.sub(" ", text.strip("\n")).splitlines()
        return "\n".join(indent + part for line in lines for part in wrapped(line, width - len(indent)))


def wrapped(line: str, width: int) -> list[str]:
    """Return a line in parts of at most `width` characters; what follows stands under the column that it goes on.

    A command alone on its line is there to be copied, and stays whole.
    """
    if len(line) <= width:
        return [line]
    margin = len(line) - len(line.lstrip())
    if not margin:
        return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    columns = _COLUMNS.fullmatch(line)
    if columns is None:
        return [line] if _COMMAND.match(line) else _fill(line.strip(), width, " " * margin, " " * (margin + 3))
    first, second = columns[1], columns[2]
    if width - len(first) >= _LEAST:
        return _fill(second, width, first, " " * len(first))
    below = " " * (margin + 4)
    return [first.rstrip(), *_fill(second, width, below, below)]


def _fill(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )

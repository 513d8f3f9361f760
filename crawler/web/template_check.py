"""A text of a template or of rules, checked as a run checks it: problems with their lines, and unknown words.

It opens no file. A text that is too long, or nested too deep, was refused before.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from crawler.config.templates import COMPUTED, EARLIER, RULES, keywords_of
from crawler.dicom.dictionary import tag_for, unknown_keyword
from crawler.errors import ConfigError
from crawler.mr.bids_rules import FILE as BIDS
from crawler.mr.bids_rules import bids_rules_of_text
from crawler.mr.rules import rules_of_text

_SHOWN = 50  # problems
_NEAREST = 10  # words for which the nearest keyword is looked for: 20 ms each
MR = (RULES, EARLIER)


class Found(NamedTuple):
    """What is to be said of a text.

    Attributes
    ----------
    problems
        Why a run would not take it, one line each, with the line of the text.
    warnings
        What a run takes, and tells.
    columns
        How many columns or rules it has; None where they are not counted.
    """

    problems: list[str]
    warnings: list[str]
    columns: int | None


def kind_of(file: str) -> str:
    """What a file holds, by its name: mr, bids or template."""
    return "mr" if file in MR else "bids" if file == BIDS else "template"


def check(file: str, text: str) -> Found:
    """Check the text of a file of that name."""
    kind = kind_of(file)
    if kind == "template":
        return _template(file, text)
    try:
        if kind == "mr":
            rules_of_text(text, file)
            return Found([], [], None)
        return Found([], [], len(bids_rules_of_text(text, file).rules))
    except ConfigError as error:
        return Found(str(error).split("\n")[:_SHOWN], [], None)


def _template(file: str, text: str) -> Found:
    problems: list[str] = []
    words = keywords_of(text, file, problems)
    unknown = [word for word in words if word not in COMPUTED and tag_for(word) is None]
    warnings = [
        f"{file}:{_line(text, word)}: {json.dumps(word, ensure_ascii=False)}: {_said(word, number)}"
        for number, word in enumerate(unknown[:_SHOWN])
    ]
    return Found(problems[:_SHOWN], warnings, len(words))


def _said(word: str, number: int) -> str:
    wrong = unknown_keyword(word[:64]) if number < _NEAREST else "no DICOM keyword"
    return f"{wrong}; its column is empty"


def _line(text: str, word: str) -> int:
    return text.count("\n", 0, max(0, text.find(json.dumps(word)))) + 1

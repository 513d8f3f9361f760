"""The languages of the pages: texts by `.po` files, read when the server starts. English is what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import polib

from crawler.web.settings import LANGUAGES

Translate = Callable[..., str]
_OF_SCRIPTS = re.compile(r'\bt\("((?:[^"\\]|\\.)*)"')


@cache
def texts(language: str) -> dict[str, str]:
    """Text of the code -> text of a language; fuzzy and empty entries are left out."""
    if language == "en" or language not in LANGUAGES:
        return {}
    source = files("crawler.web").joinpath("locale", f"{language}.po").read_text("utf-8")
    return {entry.msgid: entry.msgstr for entry in polib.pofile(source) if entry.translated()}


def translator(language: str) -> Translate:
    """The function `_` of pages: a text in a language, with its values put in."""
    known = texts(language)

    def translate(text: str, /, **values: Any) -> str:
        found = known.get(text, text)
        return found.format(**values) if values else found

    return translate


@cache
def script_texts(language: str) -> dict[str, str]:
    """The texts that the scripts use, in a language."""
    known = texts(language)
    folder = files("crawler.web").joinpath("static")
    found: dict[str, str] = {}
    for file in folder.iterdir():
        if file.name.endswith(".js"):
            for text in _OF_SCRIPTS.findall(file.read_text("utf-8")):
                found[text] = known.get(text, text)
    return found

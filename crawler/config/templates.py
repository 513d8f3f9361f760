"""Lists of keywords, one JSON file a modality, that choose the columns of that modality's table.

A template `ct.json` is a list of DICOM keywords, in the order of its columns, meant to be edited. Its name is the
modality that it is for; a few modalities without a list of their own share a neighbour's. This module reads and checks
templates and knows nothing of tables.
"""

from __future__ import annotations

import errno
import json
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawler.dicom.dictionary import unknown_keyword
from crawler.errors import ConfigError
from crawler.paths import readable

# Defined terms of (0008,0060) *Modality* (PS3.3 C.7.3.1.1.1) that go with another one's list. DR is none of them, but
# is found in files.
NEIGHBOURS = {"dx": ("CR", "DR", "IO", "PX"), "us": ("IVUS",), "xa": ("RF",)}
RULES, EARLIER = "mr_clean.json", "mr_clean_config.json"  # of `mr/rules.py`; the second of seeds/000
OTHERS = (RULES, "bids.json", EARLIER)  # and of `mr/bids_rules.py`: in the same folder, and no templates
COMPUTED = ("FirstSOPInstanceUID", "MiddleSOPInstanceUID", "dcm", "metafilename", "b_value")
"""Columns of earlier lists that are no elements: UIDs of the first and middle file, path, name of the rows, b-value."""
_TOLD = 100  # problems of a file: each is looked for in its text
_NAME = re.compile(r"[a-z0-9_]{1,16}")  # a code string has up to 16 characters (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Template:
    """The columns of a modality's table.

    Attributes
    ----------
    name
        Stem of its file: "ct".
    modalities
        Values of *Modality* whose rows it shows.
    keywords
        DICOM keywords and names of `COMPUTED`, in the order of columns.
    unknown
        Those of them that are neither: their columns are empty.
    """

    name: str
    modalities: frozenset[str]
    keywords: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def load_templates(folder: str) -> tuple[Template, ...]:
    """Read and check every template of a folder, by name.

    Raises
    ------
    ConfigError
        There is none, or one is not what it should be: one line a problem, with file and line.
    """
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.suffix == ".json" and path.name not in OTHERS)
    except OSError as error:
        raise ConfigError(f"metadata.templates: {readable(folder)} cannot be read: {error.strerror}") from None
    if not files:
        raise ConfigError(f"metadata.templates: {readable(folder)} holds no template, such as ct.json")
    problems: list[str] = []
    lists = {path.stem: _keywords(path, problems) for path in files}
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(
        Template(name, _modalities(name, lists), words, tuple(word for word in words if _is_unknown(word)))
        for name, words in lists.items()
    )


def warnings_of(templates: Iterable[Template]) -> list[str]:
    """A line for each word that is no keyword, with the nearest one."""
    return [
        f"{template.name}.json: {json.dumps(word)}: {unknown_keyword(word)}; its column is empty"
        for template in templates
        for word in template.unknown
    ]


def _is_unknown(word: str) -> bool:
    return word not in COMPUTED and unknown_keyword(word) != ""


def read_text(path: Path) -> str:
    """Content of a small text file.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file: reading a pipe would wait for ever.
    UnicodeDecodeError
        It is not UTF-8.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device")
    return path.read_text("utf-8")


def _modalities(name: str, known: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Its own, and its neighbours' that have no list."""
    return frozenset([name.upper(), *(code for code in NEIGHBOURS.get(name, ()) if code.lower() not in known)])


def _keywords(path: Path, problems: list[str]) -> tuple[str, ...]:
    """The words of a file; what is wrong with them goes to `problems`."""
    name = readable(str(path))
    if not is_name(path.stem):
        problems.append(f"{name}: the name of a template is a modality in lower case, such as ct.json")
        return ()
    try:
        text = read_text(path)
    except OSError as error:
        problems.append(f"{name}: cannot be read: {error.strerror}")
        return ()
    except UnicodeDecodeError:
        problems.append(f"{name}: not UTF-8 text")
        return ()
    return keywords_of(text, name, problems)


def is_name(stem: str) -> bool:
    """Whether a template can be called so: a modality in lower case."""
    return _NAME.fullmatch(stem) is not None


def keywords_of(text: str, name: str, problems: list[str]) -> tuple[str, ...]:
    """The words of a template's text; what is wrong with them goes to `problems`, as lines ``name:line: ...``."""
    try:
        words = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(f"{name}:{error.lineno}: not valid JSON: {error.msg}")
        return ()
    except (RecursionError, ValueError):  # nested without end, a number of thousands of digits
        problems.append(f"{name}:1: expected a list of DICOM keywords")
        return ()
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        problems.append(f"{name}:1: expected a list of DICOM keywords")
        return ()
    problems += (f"{name}:{_line(text, word)}: {json.dumps(word)}: {wrong}" for word, wrong in _wrong(words))
    return tuple(words)


def _wrong(words: list[Any]) -> list[tuple[str, str]]:
    """(word, what is wrong with it)."""
    return [(word, "given twice") for word, count in Counter(words).items() if count > 1][:_TOLD]


def _line(text: str, word: str) -> int:
    """Line, from 1, of the last place of a word: of one that is given twice the one too many."""
    return text.count("\n", 0, max(0, text.rfind(json.dumps(word)))) + 1

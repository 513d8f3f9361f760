"""A template or rules tried on a file of an output: what its row has for each column, or what the rules make of it.

Users' rules hold regular expressions, and rows are long: the trial is a process of its own (`python -m
crawler.web.trial`), with a limit of time and memory. It reads the rows of the output, which under privacy are
de-identified, and no DICOM file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import orjson

from crawler.config.packaged import install
from crawler.config.templates import COMPUTED, keywords_of
from crawler.dicom.dictionary import key_for, tag_for
from crawler.dicom.private_names import restored
from crawler.errors import ConfigError
from crawler.web.queue import environment
from crawler.web.refusals import Refused
from crawler.web.template_check import kind_of

SECONDS = 20  # of a processor
_WAIT = 120  # seconds in all: the machine may be busy
_MEMORY = 4 << 30  # bytes of addresses
_VALUE = 200  # characters of a value
_COLUMNS = 2000
_TOO_LONG = "the trial took too long, and was ended"

Line = tuple[str, str, str]
"""Column, value, and a word on it: "", "absent", "unknown" or the rule that fired."""


def run_trial(file: str, text: str, rows: str, keys: str, scan_id: str, number: int) -> list[Line]:
    """Try a text.

    Parameters
    ----------
    file, text
        Name and text of the template or rules.
    rows, keys
        Path of the JSONL, and the style of its keys.
    scan_id, number
        The series, and which of its rows, from 1.

    Raises
    ------
    Refused
        It takes too long, or cannot be done, with the reason.
    """
    asked = {
        "seconds": SECONDS,
        "file": file,
        "text": text,
        "rows": rows,
        "keys": keys,
        "scan_id": scan_id,
        "number": number,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "crawler.web.trial"],
            input=json.dumps(asked).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_WAIT,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused(422, _TOO_LONG) from None
    except OSError:
        raise Refused(422, "the trial failed") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise Refused(422, _TOO_LONG)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise Refused(422, "the trial failed") from None
    if isinstance(told, str):
        raise Refused(422, told)
    return [(str(name), str(value), str(word)) for name, value, word in told]


def main() -> None:
    """Read what is asked from the input, and write the lines, or the reason why there are none, as JSON."""
    import resource  # of POSIX: so is the server

    asked = json.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"], asked["seconds"] + 5))
    try:
        told: Any = _tried(asked)
    except ConfigError as error:
        told = str(error).split("\n")[0]
    except ImportError:
        told = f"this needs pandas: {install('tables')}"
    sys.stdout.buffer.write(json.dumps(told).encode())


def _tried(asked: dict[str, Any]) -> list[Line] | str:
    row = _row(asked["rows"], asked["scan_id"], asked["number"])
    if row is None:
        return "no row of this series was found"
    kind = kind_of(asked["file"])
    if kind == "template":
        return _columns(asked, row)
    if row.get(key_for("Modality", asked["keys"])) != "MR":
        return "rules of MR are tried on a series of MR"
    return _rules(asked, row) if kind == "mr" else _bids(asked, row)


def _row(path: str, scan_id: str, number: int) -> dict[str, Any] | None:
    """The row of a scan."""
    mark = orjson.dumps({"scan_id": scan_id})[1:-1]
    with open(path, "rb") as lines:
        rows = (orjson.loads(line) for line in lines if mark in line)
        own = (row for row in rows if row.get("scan_id") == scan_id)
        row = next(islice(own, number - 1, None), None)
    return None if row is None else restored(row)


def _columns(asked: dict[str, Any], row: dict[str, Any]) -> list[Line]:
    problems: list[str] = []
    words = keywords_of(asked["text"], asked["file"], problems)
    if problems:
        raise ConfigError(problems[0])
    lines: list[Line] = []
    for word in words[:_COLUMNS]:
        if word in COMPUTED:
            lines.append((word, "", "computed"))
        elif tag_for(word) is None:
            lines.append((word, "", "unknown"))
        elif (value := row.get(key_for(word, asked["keys"]))) in (None, "", []):
            lines.append((word, "", "absent"))
        else:
            lines.append((word, _text(value), ""))
    return lines


def _cleaned(rules: Any, row: dict[str, Any], keys: Any) -> dict[str, Any]:
    import pandas as pd  # an extra, and slow to load

    from crawler.mr.facts import COLUMNS
    from crawler.mr.table import clean_mr
    from crawler.tables.mr_cleaned import by_keyword

    cells = {keyword: by_keyword(row.get(key_for(keyword, keys)), keys) for keyword in COLUMNS}
    cleaned = clean_mr(pd.DataFrame([cells], columns=list(COLUMNS), dtype=object), rules).astype(object)
    cleaned = cleaned.where(cleaned.notna(), None)
    return {str(name): value for name, value in cleaned.iloc[0].items()}


def _rules(asked: dict[str, Any], row: dict[str, Any]) -> list[Line]:
    from crawler.mr.rules import rules_of_text

    cells = _cleaned(rules_of_text(asked["text"], asked["file"]), row, asked["keys"])
    return [
        (name, _text(value), _text(cells.get(f"{name}Rule", "")))
        for name, value in cells.items()
        if not name.endswith("Rule")
    ]


def _bids(asked: dict[str, Any], row: dict[str, Any]) -> list[Line]:
    from crawler.mr.bids_rules import bids_rules_of_text

    rules = bids_rules_of_text(asked["text"], asked["file"]).rules
    kind = str(_cleaned(None, row, asked["keys"]).get("sequenceClass") or "UNKNOWN")
    lines: list[Line] = [("sequenceClass", kind, "")]
    for number, rule in enumerate(rules, 1):
        if any(fnmatchcase(kind, word) for word in rule.classes):
            place = "/".join(filter(None, (rule.datatype, rule.suffix))) or str(rule.leave_out)
            lines.append((f"rules[{number}]", place, ", ".join(rule.classes)))
    return lines if len(lines) > 1 else [*lines, ("rules", "", "absent")]


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}…"


if __name__ == "__main__":
    os.nice(5)
    main()

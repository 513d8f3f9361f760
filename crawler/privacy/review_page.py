"""The page on which a person looks at what is held back, and the list that takes the answers.

Both lie in the private folder, for the user alone. The page asks no network for anything, and its script makes the
list's lines; without a script the list is filled in by hand.
"""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import groupby
from urllib.parse import quote

from crawler.disk import put_private
from crawler.errors import OutputError
from crawler.paths import printable
from crawler.privacy.answers import COLUMNS, NAME, Answer, boxes_text
from crawler.privacy.held import FOLDER, Held, Register

PAGE = "review.html"
_PICTURE = (".png",)


def write_review(private: str, register: Register, answers: Mapping[str, Answer]) -> str:
    """Write the page, add a line to the list for each item that has none, and return the page's path.

    Parameters
    ----------
    answers
        Those that were given, by item.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    folder = os.path.join(private, FOLDER)
    page = os.path.join(folder, PAGE)
    there = [register.items[item] for item in register.now]
    there.sort(key=lambda held: (held.scan, held.file, held.item))
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        put_private(page, _page(there, answers).encode())
        _add_lines(os.path.join(folder, NAME), [held.item for held in there])
    except OSError as error:
        raise OutputError(f"the review in privacy.private cannot be written: {error.strerror}") from None
    return page


def _add_lines(path: str, items: list[str]) -> None:
    """Add lines without an answer; what stands in the list stays, byte for byte."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            before = file.read()
    except FileNotFoundError:
        before = ""
    except UnicodeDecodeError:
        return  # the next run says what is wrong with it
    known = {(line.get("item") or "").strip().lower() for line in csv.DictReader(io.StringIO(before, newline=""))}
    new = [item for item in items if item not in known]
    if before and not new:
        return
    added = io.StringIO(newline="")
    writer = csv.writer(added, lineterminator="\n")
    if not before:
        writer.writerow(COLUMNS)
    elif not before.endswith("\n"):
        added.write("\n")
    columns = next(csv.reader(io.StringIO(before, newline="")), list(COLUMNS))
    writer.writerows([item if column == "item" else "" for column in columns] for item in new)
    put_private(path, (before + added.getvalue()).encode())


def _page(there: list[Held], answers: Mapping[str, Answer]) -> str:
    text = files("crawler.privacy").joinpath("review.html").read_text(encoding="utf-8")
    parts = "\n".join(_series(scan, list(some), answers) for scan, some in groupby(there, key=lambda held: held.scan))
    open_ = sum(held.item not in answers for held in there)
    counts = f"{len(there):,} held back, {open_:,} without an answer"
    return text.replace("{{counts}}", counts).replace("{{items}}", parts or "<p>Nothing is held back.</p>")


def _series(scan: str, some: list[Held], answers: Mapping[str, Answer]) -> str:
    reasons = ", ".join(dict.fromkeys(held.why for held in some))
    head = f"<h2>{_text(scan)}</h2><p>{len(some):,} held: {_text(reasons)}</p>"
    every = "".join(f'<button type="button" data-all="{word}">{word} all</button>' for word in ("release", "drop"))
    return f"<section>{head}{every if len(some) > 1 else ''}{''.join(_item(held, answers) for held in some)}</section>"


def _item(held: Held, answers: Mapping[str, Answer]) -> str:
    answer = answers.get(held.item, Answer(""))
    size = f", {held.columns} x {held.rows}" if held.rows else ""
    frames = f", {held.frames} frames" if held.frames > 1 else ""
    words = ["", "release", *(["mask"] if held.rows else []), "drop"]
    options = "".join(
        f'<option value="{word}"{" selected" if word == answer.word else ""}>{word or "held back"}</option>'
        for word in words
    )
    return (
        f'<article data-item="{held.item}" data-rows="{held.rows}" data-columns="{held.columns}"'
        f' data-boxes="{_text(boxes_text(answer.boxes))}">'
        f"<h3>{held.item}</h3><p>{_text(held.why)}: {held.kind}{size}{frames}</p>"
        f"<p class=path>{_text(held.file)}<br>{_text(held.true)}</p>"
        f"<label>answer <select>{options}</select></label> <span class=boxes></span>"
        f"<div class=shown>{''.join(_shown(held))}</div></article>"
    )


def _shown(held: Held) -> Iterator[str]:
    if not held.shown:
        yield "<p>It cannot be shown.</p>"
    for path, what in held.shown:
        place = quote(os.path.relpath(path, FOLDER).replace(os.sep, "/"))
        if path.endswith(_PICTURE):
            yield f'<figure><img loading=lazy src="{place}" alt=""><figcaption>{_text(what)}</figcaption></figure>'
        else:
            yield f'<p><a href="{place}">{_text(os.path.basename(path))}</a></p>'


def _text(text: str) -> str:
    return html.escape(printable(text), quote=True)

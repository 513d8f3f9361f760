"""What a person says of what is held back: let it out, mask these rectangles of it, or leave it out for good.

A CSV file in the private folder, a line an item. It is read before any work; what it cannot mean is an error then. What
an answer makes of an instance is decided here; what is shown for it, in `export/held.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from crawler.errors import ConfigError
from crawler.model import Instance, Mask
from crawler.paths import readable
from crawler.privacy.held import Held

NAME = "answers.csv"
COLUMNS = ("item", "answer", "boxes")
WORDS = ("release", "mask", "drop")
DROPPED = "dropped in review"
_BOX = re.compile(r"(\d{1,6})[ ,]+(\d{1,6})[ ,]+(\d{1,6})[ ,]+(\d{1,6})")

Box = tuple[int, int, int, int]
"""Top, bottom, left, right, as `model.Mask` has them; ends lie behind."""


class Answer(NamedTuple):
    """What becomes of an item: one of `WORDS`, and what is masked of it, in all of its frames."""

    word: str
    boxes: tuple[Box, ...] = ()

    @property
    def text(self) -> str:
        """The same for equal answers alone."""
        return " ".join([self.word, *("/".join(map(str, box)) for box in self.boxes)])


def read_answers(path: str, items: dict[str, Held]) -> dict[str, Answer]:
    """Item -> answer; empty where there is no file, and without the lines that answer nothing yet.

    Parameters
    ----------
    items
        What was held back, by item.

    Raises
    ------
    ConfigError
        One line a problem: an item that nothing was held back as, a word that is none, a rectangle outside of its
        picture, two answers to one item, or no such file. It names lines, and nothing that stands in them.
    """
    found: dict[str, Answer] = {}
    problems: list[str] = []
    for number, line in _lines(path):
        try:
            item, answer = _answer(line, items)
            if answer is None:
                continue
            if found.setdefault(item, answer) != answer:
                raise ValueError("another answer to an item than in a line above")
        except ValueError as error:
            problems.append(f"{readable(path)}:{number}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def answered(instance: Instance, answer: Answer) -> Instance:
    """A held instance as an answer has it.

    An empty mask stays: a video is encoded anew by it, so that neither its sound nor what its stream says passes.
    """
    if answer.word == "drop":
        return instance._replace(held=DROPPED)
    note = "privacy: released in review"
    if answer.boxes:
        note = f"privacy: {len(answer.boxes)} rectangles are masked, as its review says"
    return instance._replace(held="", mask=Mask(blank=answer.boxes), header_notes=(*instance.header_notes, note))


def boxes_text(boxes: tuple[Box, ...]) -> str:
    """Rectangles as the file has them: left, top, right and bottom of each, in pixels from 0; ends lie behind."""
    return "; ".join(f"{left} {top} {right} {bottom}" for top, bottom, left, right in boxes)


def _lines(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    name = f"privacy: {readable(path)}"
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            if not {"item", "answer"} <= {*(reader.fieldnames or ())}:
                raise ConfigError(f"{name}: expected CSV with the columns {', '.join(COLUMNS)}")
            for line in reader:
                told = {column: str(line.get(column) or "").strip() for column in COLUMNS}
                if any(told.values()):
                    yield reader.line_num, told
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "no CSV in UTF-8"
        raise ConfigError(f"{name} cannot be read: {why}") from None


def _answer(line: dict[str, str], items: dict[str, Held]) -> tuple[str, Answer | None]:
    """Item and answer of a line. Raises ValueError."""
    item, word = line["item"].lower(), line["answer"].lower()
    held = items.get(item)
    if held is None:
        raise ValueError("nothing is held back as the item of this line")
    if not word and not line["boxes"]:
        return item, None
    if word not in WORDS:
        raise ValueError(f"expected an answer of {', '.join(WORDS)}")
    if word != "mask":
        if line["boxes"]:
            raise ValueError(f"boxes belong to the answer mask, and not to {word}")
        return item, Answer(word)
    if not held.rows or not held.columns:
        raise ValueError("there is no picture to be masked: release or drop")
    boxes = tuple(_box(part, held) for part in line["boxes"].split(";") if part.strip())
    if not boxes:
        raise ValueError("mask needs boxes: left top right bottom; left top right bottom; ...")
    return item, Answer(word, boxes)


def _box(text: str, held: Held) -> Box:
    match = _BOX.fullmatch(text.strip())
    if match is None:
        raise ValueError("a box is four whole numbers: left top right bottom")
    left, top, right, bottom = map(int, match.groups())
    if not (left < right <= held.columns and top < bottom <= held.rows):
        raise ValueError(f"a box lies outside of its picture of {held.columns} columns and {held.rows} rows")
    return top, bottom, left, right

"""Rules by device: a file of the user's says which pictures have writing, where it stands, and which have none.

YAML or JSON, checked before any work. A rule compares elements of the header with what it names, and says what becomes
of the pictures that fit: rectangles that are masked or kept, held back, or clean. The first rule that fits decides.
What regions of ultrasound add to it is decided in `hold.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from crawler.config.yaml_nodes import Problem, Reading, compose, line_of
from crawler.dicom.attributes import Attributes
from crawler.dicom.dictionary import tag_for
from crawler.errors import ConfigError
from crawler.paths import readable
from crawler.privacy.strokes import Box

Span = tuple[int, int | None]
"""First row or column, and the one behind the last: negative numbers count from the end, None is the end."""
_ALL: Span = (0, None)
_ACTIONS = ("mask", "keep", "hold", "clean")
_CONDITION = "expected a value, a list of values, null (absent), {contains: TEXT} or {regex: PATTERN}"
_RECTANGLE = "expected rectangles such as [{rows: [0, 60], columns: [0, 640]}], or with null for the end"


class Condition(NamedTuple):
    """What a value must be: one of `equal` (None: absent or empty), or hold `contains`, or have `regex` in it."""

    keyword: str
    equal: tuple[Any, ...] = ()
    contains: str = ""
    regex: re.Pattern[str] | None = None

    def fits(self, fields: Attributes) -> bool:
        """Whether an element of a header, or any of its values, is as it must be."""
        value = fields.value(self.keyword)
        values = [one for one in (value if isinstance(value, list) else [value]) if one not in (None, "")]
        if not values:
            return None in self.equal
        return any(map(self._is, values))

    def _is(self, value: Any) -> bool:
        text = str(value).strip()
        if self.contains:
            return self.contains.casefold() in text.casefold()
        if self.regex is not None:
            return self.regex.search(text) is not None
        number = _number(text)
        return any(text == one if isinstance(one, str) else number is not None and number == one for one in self.equal)


class Device(NamedTuple):
    """One rule; `number` is its place in the file, from 1."""

    number: int
    when: tuple[Condition, ...]
    mask: tuple[tuple[Span, Span], ...] = ()
    keep: tuple[tuple[Span, Span], ...] = ()
    hold: bool = False
    search: bool = False

    def boxes(self, spans: tuple[tuple[Span, Span], ...], rows: int, columns: int) -> tuple[Box, ...] | None:
        """Rectangles in a picture of a size; None where one of them does not lie in it."""
        found = [(*_placed(down, rows), *_placed(across, columns)) for down, across in spans]
        if any(not (0 <= t < b <= rows and 0 <= left < right <= columns) for t, b, left, right in found):
            return None
        return tuple(found)


@dataclass(frozen=True)
class Devices:
    """The rules of a file.

    Attributes
    ----------
    rules
        In the order of the file.
    said
        What the file says, as plain values: another content makes another policy.
    """

    rules: tuple[Device, ...]
    said: Any

    def of(self, fields: Attributes) -> Device | None:
        """The first rule that fits a header."""
        return next((rule for rule in self.rules if all(one.fits(fields) for one in rule.when)), None)


def read_devices(path: str) -> Devices:
    """Read a file of rules.

    Raises
    ------
    ConfigError
        It cannot be read, or a rule cannot be understood: one line a problem, with the number of its line.
    """
    name = f"privacy.pixels.rules: {readable(path)}"
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
        root, reading = compose(text), Reading()
        said = None if root is None else reading.value(root, (), ())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{name} cannot be read: {why}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"{name} is no YAML or JSON" + (f": line {mark.line + 1}" if mark else "")) from None
    except RecursionError:
        raise ConfigError(f"{name}: line 1: nested too deeply for rules") from None
    problems = list(reading.problems)
    rules = [] if problems else list(_rules(said, problems))
    if problems:
        lines = (f"{name}: line {line_of(problem, reading.lines)}: {problem.message}" for problem in problems)
        raise ConfigError("\n".join(lines))
    return Devices(tuple(rules), said)


def _rules(said: Any, problems: list[Problem]) -> Iterator[Device]:
    items = said.get("rules") if isinstance(said, dict) and set(said) == {"rules"} else None
    if not isinstance(items, list) or not items:
        problems.append(Problem((), "expected the key `rules` with a list of rules, and no other key"))
        return
    for place, item in enumerate(items):
        path = ("rules", place)
        if not isinstance(item, dict) or set(item) - {"when", "search", *_ACTIONS}:
            problems.append(Problem(path, f"expected the keys when, search and one of {', '.join(_ACTIONS)}"))
            continue
        given = [name for name in _ACTIONS if name in item]
        flags = [name for name in ("hold", "clean", "search") if name in item]
        if any(item[name] is not True for name in flags):
            problems.append(Problem(path, "hold, clean and search are true, or left out"))
            continue
        if len(given) != 1 and given != ["mask", "keep"]:
            problems.append(Problem(path, "expected one of mask, keep (or both), hold or clean"))
            continue
        if "search" in item and ("hold" in item or "clean" in item):
            problems.append(Problem(path, "search goes with mask or keep: what else is in the picture is looked for"))
            continue
        yield Device(
            place + 1,
            tuple(_conditions(item.get("when"), (*path, "when"), problems)),
            mask=tuple(_rectangles(item, "mask", path, problems)),
            keep=tuple(_rectangles(item, "keep", path, problems)),
            hold="hold" in item,
            search="search" in item,
        )


def _conditions(when: Any, path: tuple[Any, ...], problems: list[Problem]) -> Iterator[Condition]:
    if not isinstance(when, dict) or not when:
        problems.append(Problem(path, "expected at least one element: when: {Modality: US, Rows: 480}"))
        return
    for keyword, wanted in when.items():
        inner = (*path, keyword)
        if tag_for(keyword) is None:
            problems.append(Problem(inner, f"{readable(keyword)} is no keyword of PS3.6"))
        elif isinstance(wanted, Mapping):
            ((kind, text),) = wanted.items() if len(wanted) == 1 else (("", ""),)
            if kind not in ("contains", "regex") or not isinstance(text, str) or not text:
                problems.append(Problem(inner, _CONDITION))
            elif kind == "contains":
                yield Condition(keyword, contains=text)
            else:
                try:
                    yield Condition(keyword, regex=re.compile(text))
                except re.error as error:
                    problems.append(Problem(inner, f"no regular expression: {error.msg}"))
        else:
            equal = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            if any(isinstance(one, bool) for one in equal):
                problems.append(Problem(inner, 'YAML takes YES and NO for true and false: write "YES"'))
            elif not equal or any(isinstance(one, dict | list) for one in equal):
                problems.append(Problem(inner, _CONDITION))
            else:
                yield Condition(keyword, tuple(one.strip() if isinstance(one, str) else one for one in equal))


def _rectangles(
    item: dict[str, Any], name: str, path: tuple[Any, ...], problems: list[Problem]
) -> Iterator[tuple[Span, Span]]:
    if name not in item:
        return
    given, path = item[name], (*path, name)
    if not isinstance(given, list) or not given:
        problems.append(Problem(path, _RECTANGLE))
        return
    for place, one in enumerate(given):
        spans = {name: _span(one[name]) for name in one} if isinstance(one, dict) else {}
        if not spans or None in spans.values() or set(spans) - {"rows", "columns"}:
            problems.append(Problem((*path, place), _RECTANGLE))
        else:
            yield spans.get("rows") or _ALL, spans.get("columns") or _ALL


def _span(given: Any) -> Span | None:
    """First and last of rows or columns; None where it is neither."""
    if not isinstance(given, list) or len(given) != 2:
        return None
    first, last = given
    if not isinstance(first, int) or isinstance(first, bool) or isinstance(last, bool | float | str | list | dict):
        return None
    empty = last is not None and (first < 0) == (last < 0) and last <= first
    return None if empty else (first, last)


def _placed(span: Span, size: int) -> tuple[int, int]:
    first, last = span
    return first + size * (first < 0), size if last is None else last + size * (last < 0)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

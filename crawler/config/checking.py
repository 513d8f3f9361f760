"""A YAML document checked against frozen dataclasses; every problem is named by line and key.

A *section* is a frozen dataclass. A field is a *key* of the document when its metadata holds ``help``. The metadata
are data, so that a schema or a manual can be printed from the same classes:

``help``
    One line for the reader.
``expects``
    What error messages say is expected; otherwise it is derived from the type.
``minimum``, ``above``
    Inclusive and exclusive lower bound of a number.
``min_items``
    Fewest items of a list.
``read``
    Function from the value as written to the value as kept, called before the type is checked. Its `ValueError`
    says what is expected.
``later``
    Values that the contract knows and this version does not offer.

Types may be bool, int, float, str, None, object (any value), `Literal`, unions, ``tuple[X, ...]`` (no item twice),
``tuple[X, Y]``, ``Mapping[str, X]`` and sections. A section that is present but empty, or true, takes its defaults.

This module knows no key by name, opens no file, and follows YAML aliases but not merge keys (``<<``).
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import math
import os
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar

import yaml

from crawler.config.yaml_nodes import LARGEST, NOTHING, Path, Problem, Reading, compose, line_of
from crawler.errors import ConfigError

T = TypeVar("T")

SHOWN = 60  # characters of a value in a message

_SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", object: "any value"}


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping of plain values, and where each of them was written.

    Attributes
    ----------
    name
        Name of the document in messages.
    lines
        Line, from 1, of the key or list item at a path; empty when there is no text.
    problems
        What was found while reading.
    """

    name: str
    data: dict[str, Any]
    lines: Mapping[Path, int] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def error(self, problems: Iterable[Problem]) -> ConfigError:
        """One line a key, in order of lines: ``file:line: key = value: what is expected``."""
        first = {problem.path: problem for problem in reversed(list(problems))}.values()
        located = sorted(((line_of(p, self.lines), p) for p in reversed(first)), key=lambda pair: pair[0])
        return ConfigError("\n".join(self._text(line, problem) for line, problem in located))

    def _text(self, line: int, problem: Problem) -> str:
        parts = [f"{self.name}:{line}" if self.lines else self.name]
        shown = "" if problem.value is NOTHING else f" = {_show(problem.value)}"
        if problem.path:
            parts.append(dotted(problem.path) + shown)
        return ": ".join([*parts, problem.message])


class Key(NamedTuple):
    """One key that a tree of sections knows; its `default` is `dataclasses.MISSING` when it must be given."""

    path: str
    kind: Any
    default: Any
    metadata: Mapping[str, Any]


def keys(section: type) -> Iterator[Key]:
    """Every key of a section and of the sections in it, in order of declaration, without the sections' own names."""
    hints = _hints(section)
    for name, field in _fields(section).items():
        inner = _section_in(hints[name])
        if inner is None:
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            yield Key(name, hints[name], default, field.metadata)
        else:
            yield from (key._replace(path=f"{name}.{key.path}") for key in keys(inner))


def parse(text: str, name: str) -> Document:
    """Read YAML text.

    Raises
    ------
    ConfigError
        The text is not YAML, or is not a mapping.
    """
    try:
        root = compose(text)
        reading = Reading()
        data = None if root is None else reading.value(root, (), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: not valid YAML: a control character") from None
    except RecursionError:
        raise ConfigError(f"{name}:1: nested too deeply for a configuration") from None
    if root is None:
        raise ConfigError(f"{name}:1: the file is empty")
    if not isinstance(data, dict):
        raise ConfigError(f"{name}:{root.start_mark.line + 1}: expected sections (key: value), not {_show(data)}")
    return Document(name, data, reading.lines, tuple(reading.problems))


def from_mapping(mapping: Mapping[str, Any], name: str) -> Document:
    """Take a Python mapping as if it had been written in YAML: tuples are lists, path objects are text."""
    return Document(name, {str(key): _plain(value) for key, value in mapping.items()})


def check(section: type[T], document: Document) -> T:
    """Build a section out of a document.

    Raises
    ------
    ConfigError
        With all problems of the document, one a line.
    """
    checker = _Checker(section, document.problems)
    built: T = checker.section(section, document.data, ())
    if checker.problems:
        raise document.error(checker.problems)
    return built


def dotted(path: Path) -> str:
    """``("dicom", "dir", 0)`` as ``dicom.dir[0]``, on one line."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return text if text.isprintable() else ascii(text)[1:-1]


def describe(kind: Any, metadata: Mapping[str, Any] = types.MappingProxyType({})) -> str:
    """What a type accepts, in words."""
    if "expects" in metadata:
        return str(metadata["expects"])
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return _any_of([str(choice) for choice in arguments])
    members = [member for member in _members(kind) if member is not types.NoneType]
    if len(members) > 1 or members[0] is not kind:
        return _any_of([describe(member, metadata) for member in members])
    if origin is tuple:
        many = arguments[-1] is Ellipsis
        return f"a list of {describe(arguments[0])}" if many else f"a list of {len(arguments)} values"
    if origin is collections.abc.Mapping:
        return f"keys, each with {describe(arguments[1])}"
    if dataclasses.is_dataclass(kind):
        return "a section with " + ", ".join(_fields(kind))
    text = _SCALARS[kind]
    if kind in (int, float):
        text += f" of at least {metadata['minimum']}" if "minimum" in metadata else ""
        text += f" above {metadata['above']}" if "above" in metadata else ""
        text += f" and up to {metadata['maximum']}" if "maximum" in metadata else ""
    return text


class _Checker:
    """Fits plain values to types; what it returns is meaningless once it has problems."""

    def __init__(self, root: type, problems: tuple[Problem, ...]) -> None:
        self.root = root
        self.problems = list(problems)

    def section(self, section: type, data: Any, path: Path) -> Any:
        if not isinstance(data, dict):
            hint = "; to switch a section off, leave it out" if isinstance(data, bool) else ""
            return self._refuse(path, f"expected {describe(section)}{hint}", data)
        hints, known, before = _hints(section), _fields(section), len(self.problems)
        for key in [key for key in data if key not in known]:
            self._refuse((*path, key), f"unknown key; {self._nearest_key(key, path, known)}", data[key])
        kept = {}
        for name, field in known.items():
            kind, inner = hints[name], (*path, name)
            required = field.default is field.default_factory is dataclasses.MISSING
            if name in data:
                kept[name] = self.field(kind, data[name], inner, field.metadata)
            elif required and _section_in(kind):
                kept[name] = self.value(kind, {}, inner, {})  # names the keys that it requires
            elif required:
                self._refuse(inner, f"required; expected {describe(kind, field.metadata)}")
        return section(**kept) if len(self.problems) == before else None

    def field(self, kind: Any, value: Any, path: Path, metadata: Mapping[str, Any]) -> Any:
        later = metadata.get("later", ())
        if any(item in later for item in (value if isinstance(value, list) else [value])):
            return self._refuse(path, f"not available in this version; choose {describe(kind, metadata)}", value)
        if "read" in metadata:
            try:
                value = metadata["read"](value)
            except ValueError as error:
                return self._refuse(path, f"expected {error}", value)
        return self.value(kind, value, path, metadata)

    def value(self, kind: Any, value: Any, path: Path, metadata: Mapping[str, Any]) -> Any:
        section, members = _section_in(kind), _members(kind)
        if section is not None:
            return self.section(section, {} if value is None or value is True else value, path)
        if value is None and types.NoneType in members:
            return None
        for member in members:
            origin, arguments = typing.get_origin(member), typing.get_args(member)
            if origin is collections.abc.Mapping and isinstance(value, dict | None):
                items = (value or {}).items()
                return {key: self.value(arguments[1], item, (*path, key), {}) for key, item in items}
            if origin is tuple and isinstance(value, list):
                return self._list(arguments, value, path, f"expected {describe(kind, metadata)}", metadata)
            if _is_leaf(member, value, metadata):
                return float(value) if member is float else value
        return self._refuse(path, f"expected {describe(kind, metadata)}{_hint(members, value)}", value)

    def _list(
        self, of: tuple[Any, ...], items: list[Any], path: Path, expected: str, metadata: Mapping[str, Any]
    ) -> Any:
        if of[-1] is Ellipsis:
            of = (of[0],) * len(items)
            fewest = metadata.get("min_items", 0)
            if len(items) < fewest:
                return self._refuse(path, f"{expected}, at least {fewest}", items)
            for index, item in enumerate(items):
                if item in items[:index]:
                    self._refuse((*path, index), "given twice", item)
        if len(items) != len(of):
            return self._refuse(path, expected, items)
        return tuple(self.value(of[i], item, (*path, i), {}) for i, item in enumerate(items))

    def _nearest_key(self, key: str, path: Path, known: Mapping[str, Any]) -> str:
        import difflib  # for an error's text only

        near = difflib.get_close_matches(key.lower(), known, n=1)
        if near:
            return f"nearest known key: {dotted((*path, near[0]))}"
        everywhere = [other.path for other in keys(self.root)]
        same = [other for other in everywhere if other.rpartition(".")[2] == key.lower()]
        if same:
            return f"nearest known key: {_any_of(same)}"
        return f"known keys here: {', '.join(known)}"

    def _refuse(self, path: Path, message: str, value: Any = NOTHING) -> None:
        self.problems.append(Problem(path, message, value))


_hints = cache(typing.get_type_hints)  # of sections: they are looked at several times, and evaluate text


def _fields(section: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(section) if "help" in field.metadata}


def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _section_in(kind: Any) -> type | None:
    """The section that a type is or, in a union, may be."""
    return next((m for m in _members(kind) if isinstance(m, type) and dataclasses.is_dataclass(m)), None)


def _is_leaf(kind: Any, value: Any, metadata: Mapping[str, Any]) -> bool:
    """Whether a value without parts is of a type; bool is no int here, and 8.0 is not 8."""
    if typing.get_origin(kind) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(kind))
    if kind is object:
        return True
    if kind is str:  # an empty name is a slip, and no path holds NUL
        return isinstance(value, str) and bool(value) and "\0" not in value
    if kind is bool or isinstance(value, bool) or not isinstance(value, int | float):
        return kind is bool and isinstance(value, bool)
    fits = kind is float or (kind is int and isinstance(value, int))
    low, above = metadata.get("minimum", -math.inf), metadata.get("above", -math.inf)
    high = metadata.get("maximum", sys.float_info.max)
    return bool(fits and abs(value) <= sys.float_info.max and low <= value <= high and value > above)  # no nan, no inf


def _hint(members: tuple[Any, ...], value: Any) -> str:
    """What the user probably meant."""
    if str in members and isinstance(value, int | float):
        return "; to be taken as text, put it in quotes"
    choices = [c for m in members if typing.get_origin(m) is Literal for c in typing.get_args(m)]
    import difflib  # for an error's text only

    near = difflib.get_close_matches(str(value).lower(), map(str, choices), n=1)
    return f"; nearest: {near[0]}" if near else ""


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, int) and abs(value) > LARGEST:  # infinity is refused wherever a number or a text is expected
        return math.inf
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _any_of(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    text = text if text.isprintable() else json.dumps(value, default=repr)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

"""YAML text as plain values, with the line of each: aliases followed, keys as written, nothing of YAML left in them.

libyaml reads it, where PyYAML was built with it: in a thirtieth of the time, which is 10 ms of config.yml. What it
refuses is read again in Python, which has other words for what is wrong, and they are those that users see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

# Aliases of aliases can stand for more values than memory holds; a configuration has some fifty.
MAX_VALUES = 10_000

LARGEST = 2**63 - 1  # of whole numbers: nothing that is counted, timed or stored here comes near it

NOTHING: Any = object()
"""The value of a problem that has none."""
_TAG = "tag:yaml.org,2002:"


class Problem(NamedTuple):
    """What is wrong with the value at a path of keys (and list positions, from 0)."""

    path: Path
    message: str
    value: Any = NOTHING
    line: int | None = None


def line_of(problem: Problem, lines: Mapping[Path, int]) -> int:
    """Line, from 1, of a problem: its own, or that of the innermost key or item with a line."""
    path = problem.path
    while path and path not in lines:
        path = path[:-1]
    return problem.line or lines.get(path, 1)


def compose(text: str) -> Any:
    """Return the root node, None for an empty document; raises what `yaml.compose` raises."""
    fast = getattr(yaml, "CSafeLoader", None)
    if fast is not None and "\t" not in text:  # libyaml takes tabs in places where YAML, and Python's reader, do not
        try:
            return yaml.compose(text, Loader=fast)
        except yaml.YAMLError:
            pass
    return yaml.compose(text, Loader=yaml.SafeLoader)


class Reading:
    """From composed YAML nodes to plain values and their lines."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self.problems: list[Problem] = []
        self._constructor = yaml.SafeLoader("")

    def value(self, node: Any, path: Path, above: tuple[Any, ...]) -> Any:
        """Plain value of a node; `above` holds the nodes that it lies in."""
        if len(self.lines) > MAX_VALUES:
            return self._refuse(path, f"more than {MAX_VALUES:,} values in a configuration")
        if any(node is outer for outer in above):
            return self._refuse(path, "an alias of what it lies in")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, (*above, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self._sequence(node, path, (*above, node))
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: Path, above: tuple[Any, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(path, "a key must be text", line=line))
                continue
            # As written: YAML 1.1 would take a key such as `on` for true.
            inner = (*path, key_node.value)
            if key_node.value in data:
                self.problems.append(Problem(inner, f"given twice, first on line {self.lines[inner]}", line=line))
                continue
            self.lines[inner] = line
            data[key_node.value] = self.value(value_node, inner, above)
        return data

    def _sequence(self, node: Any, path: Path, above: tuple[Any, ...]) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.lines[(*path, index)] = item.start_mark.line + 1
            items.append(self.value(item, (*path, index), above))
        return items

    def _scalar(self, node: Any, path: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp", "merge", "value"):  # 2024-01-31 is a folder here, not a date
            return node.value
        if kind not in ("null", "bool", "int", "float") or not isinstance(node, yaml.ScalarNode):
            return self._refuse(path, f"the tag {node.tag!a} has no meaning here")
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, LookupError):  # PyYAML's answers to `!!int x`, `!!bool x`; Python's to thousands of digits
            return self._refuse(path, f"not a value of type {kind}", node.value)
        if isinstance(value, int) and abs(value) > LARGEST:
            return self._refuse(path, "a number too large", node.value)
        return value

    def _refuse(self, path: Path, message: str, value: Any = NOTHING) -> None:
        self.problems.append(Problem(path, message, value))

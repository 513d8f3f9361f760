"""One key of a YAML text changed, with everything else as it was written, comments too.

Each edit is checked: the text is read again, and must say what was meant. Where it does not, the whole is written anew,
without comments.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import yaml

from crawler.config import checking
from crawler.config.yaml_nodes import compose
from crawler.errors import ConfigError

ABSENT = object()
"""As a value: the key shall not be there."""


def values_of(text: str) -> dict[str, str]:
    """Path of a key -> its value as one line of YAML, for everything that the text says.

    Raises
    ------
    ConfigError
        It is no YAML, or no mapping.
    """
    return dict(_flat(checking.parse(text, "config.yml").data, ""))


def flow(value: Any) -> str:
    """A value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1 << 20).strip()
    return text.removesuffix("...").strip()


def with_value(text: str, path: str, written: str | None) -> str:
    """The text with a key set to a value, or without it.

    Parameters
    ----------
    path
        Names with dots between them.
    written
        YAML of the value; None: the key goes, and takes its default.

    Raises
    ------
    ConfigError
        Text or value are no YAML.
    """
    names = path.split(".")
    data = _data(text)
    value: Any = ABSENT if written is None else checking.parse(f"value: {written.strip()}\n", path).data["value"]
    wanted = _changed(data, names, value)
    if wanted == data:
        return text
    edited = _edited(text, names, value)
    if edited is not None and _says(edited, wanted):
        return edited
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _data(text: str) -> dict[str, Any]:
    """What a text says; a text of nothing but comments says nothing."""
    try:
        return checking.parse(text, "config.yml").data
    except ConfigError:
        with contextlib.suppress(yaml.YAMLError):
            if compose(text) is None:
                return {}
        raise


def _flat(data: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        path = f"{prefix}{name}"
        yield path, flow(value)
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")


def _changed(data: dict[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    """The data with a key set; sections that are missing or empty on the way are made."""
    changed = copy.deepcopy(data)
    place = changed
    for name in names[:-1]:
        if not isinstance(place.get(name), dict):
            if value is ABSENT:
                return changed
            place[name] = {}
        place = place[name]
    if value is ABSENT:
        place.pop(names[-1], None)
    else:
        place[names[-1]] = value
    return changed


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        found = checking.parse(text, "config.yml").data
    except ConfigError:
        return False
    return bool(_full(found) == _full(wanted))


def _full(data: Any) -> Any:
    """An empty section is written in several ways."""
    if isinstance(data, dict):
        return {name: _full(value) for name, value in data.items()} or None
    return data


def _edited(text: str, names: list[str], value: Any) -> str | None:
    """The text with a small change, or None where that is not tried."""
    try:
        node = compose(text)
    except yaml.YAMLError:
        return None
    if node is None:
        return None if value is ABSENT else f"{text.rstrip()}\n{_block(names, value)}".lstrip()
    for depth, name in enumerate(names):
        if not isinstance(node, yaml.MappingNode):
            if value is ABSENT:
                return None
            start, end = node.start_mark.index, node.end_mark.index
            return f"{text[:start].rstrip(' ')} {flow(_nested(names[depth:], value))}{text[end:]}"
        found = next((pair for pair in node.value if pair[0].value == name), None)
        if found is None:
            return None if value is ABSENT else _inserted(text, node, names[depth:], value)
        if depth == len(names) - 1:
            return _removed(text, found) if value is ABSENT else _replaced(text, found[1], value)
        node = found[1]
    return None


def _replaced(text: str, node: yaml.Node, value: Any) -> str | None:
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        return None
    start, end = node.start_mark.index, node.end_mark.index
    return f"{text[:start].rstrip(' ')} {flow(value)}{text[end:]}"


def _inserted(text: str, node: yaml.MappingNode, names: list[str], value: Any) -> str | None:
    if node.flow_style:
        at = node.start_mark.index + 1
        comma = ", " if node.value else ""
        return f"{text[:at]}{flow(_nested(names, value))[1:-1]}{comma}{text[at:]}"
    column = node.start_mark.column
    if column == 0:
        return f"{text.rstrip()}\n{_block(names, value)}"
    at = text.rfind("\n", 0, node.value[0][0].start_mark.index) + 1
    return f"{text[:at]}{' ' * column}{names[0]}: {flow(_nested(names[1:], value))}\n{text[at:]}"


def _removed(text: str, pair: tuple[yaml.Node, yaml.Node]) -> str | None:
    key, value = pair
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    if text[start : key.start_mark.index].strip():
        return None  # inside braces
    last = max(value.end_mark.index - 1, key.end_mark.index)
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        last = len(text[: value.end_mark.index].rstrip()) - 1
    end = text.find("\n", last)
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _nested(names: list[str], value: Any) -> Any:
    for name in reversed(names):
        value = {name: value}
    return value


def _block(names: list[str], value: Any) -> str:
    if len(names) == 1:
        return f"{names[0]}: {flow(value)}\n" if value is not None else f"{names[0]}:\n"
    return f"{names[0]}:\n  {names[1]}: {flow(_nested(names[2:], value))}\n"

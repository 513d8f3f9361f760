"""The form of a configuration: every key of the schema, by section, with its help, its kind and its choices.

Made from the same dataclasses that check the YAML, so that a new key is in the form by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from crawler.config.schema import config_schema
from crawler.web.yaml_edit import flow


class Field(NamedTuple):
    """One key. `choices` are values as YAML; without any, the value is written as YAML. `default` is YAML, too."""

    path: str
    help: str
    default: str | None
    choices: tuple[str, ...]


class Section(NamedTuple):
    """A section, which can be switched on and off; the keys that stand at the top have the section ``""``."""

    name: str
    help: str
    fields: tuple[Field, ...]


@cache
def sections() -> tuple[Section, ...]:
    """All of them, in order of declaration."""
    top: list[Field] = []
    found: list[Section] = []
    for name, schema in config_schema()["properties"].items():
        if "properties" in schema:
            found.append(Section(name, schema["description"], tuple(_fields(schema, f"{name}."))))
        else:
            top.append(_field(name, schema))
    return (Section("", "", tuple(top)), *found)


def _fields(schema: dict[str, Any], prefix: str) -> Iterator[Field]:
    for name, inner in schema["properties"].items():
        if "properties" in inner:
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield _field(f"{prefix}{name}", inner)


def _field(path: str, schema: dict[str, Any]) -> Field:
    default = flow(schema["default"]) if "default" in schema else None
    kinds = schema.get("anyOf", [schema])
    plain = [one for one in kinds if "pattern" not in one]
    closed = all("enum" in one or one.get("type") in ("boolean", "null") for one in plain)
    choices: list[str] = []
    if closed:
        for one in plain:
            values = one.get("enum") or ([True, False] if one.get("type") == "boolean" else [None])
            choices += [flow(value) for value in values]
    return Field(path, str(schema["description"]), default, tuple(choices))

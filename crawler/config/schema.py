"""The configuration as a JSON Schema (draft 2020-12), made from the same dataclasses that check it, for editors.

It says what each key alone may be. Rules that join several keys, whether Pillow writes an extension, and whether
folders overlap stay with `loader.py`: what the schema accepts can still be refused there, but nothing that
`loader.py` accepts is refused here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from crawler.config.formats import FORMATS, read_endings, read_formats
from crawler.config.loader import Config
from crawler.config.pacs import read_rate, read_window
from crawler.config.patterns import read_pattern
from crawler.config.sections import (
    ORDERS,
    read_extension,
    read_image_extension,
    read_order,
    read_texts,
    read_video_extension,
)
from crawler.config.sizes import read_size

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string", "minLength": 1},
    object: {},
    types.NoneType: {"type": "null"},
}
_BOUNDS = {"minimum": "minimum", "maximum": "maximum", "above": "exclusiveMinimum"}


def config_schema(section: type = Config) -> Schema:
    """The schema of a whole configuration.

    Returns
    -------
    dict
        Of JSON values. A section may be null, since YAML has nothing else for one without keys, or true; one with a
        required key may not. Descriptions are the help lines of the keys.
    """
    schema = {"$schema": DIALECT, "title": "Configuration of dme", **_section(section)}
    return _with_pacs(schema) if section is Config else schema


def _with_pacs(schema: Schema) -> Schema:
    """The input is required where no PACS is."""
    dicom = schema["properties"]["dicom"]
    del schema["required"]
    required = {"type": "object", "required": dicom.pop("required")}
    dicom |= {"type": ["object", "null", "boolean"], "not": {"const": False}}
    return schema | {
        "if": {"required": ["pacs"]},
        "else": {"required": ["dicom"], "properties": {"dicom": required}},
    }


def _section(section: type) -> Schema:
    hints = typing.get_type_hints(section)
    properties: Schema = {}
    required: list[str] = []
    for field in dataclasses.fields(section):
        if "help" not in field.metadata:
            continue  # not a key of the document, as in checking.py
        kind = hints[field.name]
        described = {"description": str(field.metadata["help"])}
        must = field.default is field.default_factory is dataclasses.MISSING
        inner = next((member for member in _members(kind) if dataclasses.is_dataclass(member)), None)
        if isinstance(inner, type):
            schema = _section(inner)
            if "required" not in schema:
                schema |= {"type": ["object", "null", "boolean"], "not": {"const": False}}
            properties[field.name] = described | schema
        else:
            default = {} if must else {"default": _default(field)}
            properties[field.name] = described | _key(kind, field.metadata) | default
        if must:
            required.append(field.name)
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _default(field: dataclasses.Field[Any]) -> Any:
    """A default as JSON has it."""
    factory = field.default_factory
    value = field.default if factory is dataclasses.MISSING else factory()
    return list(value) if isinstance(value, tuple) else value


def _key(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """The schema of a key's value as it is written, which its `read` function may still change."""
    read = metadata.get("read")
    return _value(kind, metadata) if read is None else _AS_WRITTEN[read](kind, metadata)


def _value(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    members = _members(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):  # of a mapping: its keys are the user's
        return _section(kind) | {"type": ["object", "null"]}
    if len(members) > 1:
        return {"anyOf": [_value(member, metadata) for member in members]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments[-1] is Ellipsis:
        fewest = {"minItems": metadata["min_items"]} if "min_items" in metadata else {}
        return {"type": "array", "items": _value(arguments[0], {}), "uniqueItems": True} | fewest
    if origin is tuple:
        items = [_value(argument, {}) for argument in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": ["object", "null"], "additionalProperties": _value(arguments[1], {})}
    bounded = kind in (int, float)
    return _SCALARS[kind] | {name: metadata[rule] for rule, name in _BOUNDS.items() if bounded and rule in metadata}


def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


# -- values that are read before they are checked: the schema must take them as they are written -------------------


def _size(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """Bytes, or a number with a unit in any case: "4GB", "1.5 GiB"."""
    unit = r"([KkMmGgTt][Ii]?)?[Bb]"
    text = {"type": "string", "pattern": rf"^\s*[0-9]{{1,15}}(\.[0-9]{{1,9}})?\s*({unit})?\s*$"}
    return {"anyOf": [_value(kind, metadata), text]}


def _extension(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """One of the extensions, in any case and with or without its dot; editors propose the plain ones."""
    plain = _value(kind, metadata)
    names = [name for name in plain.get("enum", ()) if isinstance(name, str)]
    loose = "|".join(_any_case(name.removeprefix(".")) for name in names)
    return {"anyOf": [plain, {"type": "string", "pattern": rf"^\.?({loose})$"}]} if names else plain


def _video_extension(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """One of the formats as `_extension` takes it, or a list of them."""
    one, many = (member for member in _members(kind))
    single = _extension(one, metadata)
    return {"anyOf": [single, _value(many, metadata) | {"items": single}]}


def _any_case(text: str) -> str:
    """A pattern for a text in any case: JSON Schema's patterns have no flags."""
    return "".join(f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in text)


def _image_extension(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """Any text: which extensions there are depends on the Pillow of the machine."""
    return _value(kind, metadata) | {"examples": [".png", ".jpg", ".tif", ".webp"]}


def _texts(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """A mapping whose numbers may be written without quotes."""
    item = {"anyOf": [_SCALARS[str], {"type": ["number", "boolean"]}]}
    return _value(kind, metadata) | {"additionalProperties": item}


def _order(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """An axis, which editors propose, or a keyword."""
    element = r"^[A-Z][A-Za-z0-9]*$|^\([0-9A-Fa-f]{3}[13579BDFbdf],xx[0-9A-Fa-f]{2}\) \S"
    return {"anyOf": [{"enum": list(ORDERS)}, {"type": "string", "pattern": element}]}


def _pattern(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """A relative path with an element in it; that its keywords are known is not asked here."""
    text = {"type": "string", "pattern": r"^[^/\\].*\{[A-Z]\w+(:[^{}]+)?\}.*$|^\{[A-Z]\w+(:[^{}]+)?\}.*$"}
    return {"anyOf": [text, {"type": "null"}], "examples": ["{PatientID}/{SeriesNumber:03d}_{SeriesDescription}"]}


def _window(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """Two times of day; time zones are those that the machine knows."""
    return {
        "anyOf": [{"type": "string", "pattern": r"^\s*\d{1,2}:\d\d\s*-\s*\d{1,2}:\d\d(\s+\S+)?\s*$"}, {"type": "null"}]
    }


def _formats(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """Formats that editors propose, or the name that an installed package has for one of its own."""
    own = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]+$"}
    return _value(kind, metadata) | {"items": {"anyOf": [{"enum": list(FORMATS)}, own]}}


def _endings(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """One ending or several."""
    return {"anyOf": [_SCALARS[str], _value(kind, metadata)]}


def _rate(kind: Any, metadata: Mapping[str, Any]) -> Schema:
    """Files a second, or bytes with a unit."""
    size = {"type": "string", "pattern": r"^\s*\d{1,9}(\.\d{1,6})?\s*[KkMmGg]?[Bb](/s)?\s*$"}
    return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, size, {"type": "null"}]}


_AS_WRITTEN: dict[Callable[[object], object], Callable[[Any, Mapping[str, Any]], Schema]] = {
    read_size: _size,
    read_extension: _extension,
    read_video_extension: _video_extension,
    read_image_extension: _image_extension,
    read_texts: _texts,
    read_order: _order,
    read_pattern: _pattern,
    read_window: _window,
    read_rate: _rate,
    read_formats: _formats,
    read_endings: _endings,
}

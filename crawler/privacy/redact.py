"""The copy of a configuration without what it names: the input, paths, identifiers in conditions, the key."""

from __future__ import annotations

import re
from typing import Any

import yaml

from crawler.config.loader import Config

HIDDEN = "(private)"
_OF_PRIVACY = ("private", "key", "custodian", "patients", "site")
_A_PATH = re.compile(r"[/\\~]")


def redacted(config: Config) -> str:
    """The text of the copy: the configuration's own, or under privacy what of it names nothing."""
    if config.privacy is None:
        return config.text
    document = yaml.safe_load(config.text) or {}
    return yaml.safe_dump(_mapping(document, ()), sort_keys=False, allow_unicode=True)


def _mapping(document: Any, path: tuple[str, ...]) -> Any:
    if isinstance(document, dict):
        return {name: _mapping(value, (*path, str(name))) for name, value in document.items()}
    if path[:1] == ("dicom",) and path[1:2] == ("dir",):
        return HIDDEN
    if (
        path[:1] == ("pacs",)
        or path[:2] in (("select", "where"), ("select", "list"))
        or (path[:1] == ("privacy",) and path[1:2] and path[1] in _OF_PRIVACY)
    ):
        return HIDDEN
    if isinstance(document, list):
        return [_mapping(value, path) for value in document]
    return HIDDEN if isinstance(document, str) and _A_PATH.search(document) else document

"""Which server a `dme pacs` command speaks to: a configuration, an address, or flags, and the conditions of a query."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from crawler.config.loader import Config, load_config
from crawler.config.pacs import missing_server
from crawler.errors import ConfigError
from crawler.pacs.address import is_address, parse_address
from crawler.pacs.query import text_of, wrong_key, wrong_value

_FLAGS = ("host", "port", "called_aet", "calling_aet", "calling_port", "url", "retrieve")


@dataclass(frozen=True, slots=True)
class Source:
    """What the words and flags of a command say; `config` always has a section `pacs`."""

    config: Config
    keys: dict[str, str]
    rest: tuple[str, ...]


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a server, in place of a configuration or over it."""
    parser.add_argument("--host", metavar="HOST", help="name or address of the server (else PACS_IP)")
    parser.add_argument("--port", type=int, metavar="N", help="its DICOM port (else PACS_PORT)")
    parser.add_argument("--called-aet", metavar="TITLE", help="its AE title (else CALLED_AET)")
    parser.add_argument("--calling-aet", metavar="TITLE", help="our AE title (else CALLING_AET, else DME)")
    parser.add_argument("--calling-port", type=int, metavar="N", help="port of our receiver (else CALLING_PORT)")
    parser.add_argument("--url", metavar="URL", help="root of DICOMweb (else PACS_URL)")
    parser.add_argument("--ca", metavar="FILE", help="encrypt; certificates of the authorities to trust, PEM")


def source_of(options: argparse.Namespace, *, needs_server: bool = True) -> Source:
    """Read the words: a configuration (.yml) or an address comes first, KEY=VALUE are conditions, the rest is the rest.

    Raises
    ------
    ConfigError
        The configuration or a condition is wrong, or there is no server.
    """
    words: list[str] = list(options.words)
    config = _config(words, options)
    section = config.pacs
    assert section is not None, "made or checked above"
    if needs_server and (missing := list(missing_server(section))):
        raise ConfigError(
            "no server: give a configuration, dicom://host:port/AET, or --host and --port; " + _told(missing)
        )
    keys = {**section.keys, **_conditions(words)}
    return Source(config, keys, tuple(word for word in words if not _is_condition(word)))


def _config(words: list[str], options: argparse.Namespace) -> Config:
    """Take the configuration or address off the words, and put the flags over it."""
    flags = {name: value for name in _FLAGS if (value := getattr(options, name, None)) is not None}
    extra = {name: value for name, value in (("list", getattr(options, "list", None)),) if value}
    extra |= {"dir": options.output} if getattr(options, "output", None) else {}
    tls = {"tls": {"ca": options.ca}} if options.ca else {}
    if words and words[0].lower().endswith((".yml", ".yaml")):
        config = load_config(words.pop(0), retrieves=False)
        if config.pacs is None:
            raise ConfigError(f"{config.source}: has no section pacs")
        # checked as a document, as what it says is: wrong values are named alike
        checked = _made({**flags, **extra, **tls}).pacs
        given = {name: getattr(checked, name) for name in (*flags, *extra, *tls)}
        return replace(config, pacs=replace(config.pacs, **given))
    if words and is_address(words[0]):
        return _made({**flags, **extra, **tls}, words.pop(0))
    return _made({**flags, **extra, **tls})


def _made(section: dict[str, Any], address: str | None = None) -> Config:
    document: dict[str, Any] = {"pacs": section}
    if address is not None:
        try:
            parse_address(address)
        except ValueError as error:
            raise ConfigError(f"{address}: expected {error}") from None
        document["dicom"] = {"dir": address}
    return Config.from_mapping(document, retrieves=False)


def _is_condition(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isalnum() and not os.path.exists(word)


def _conditions(words: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE of each condition, checked as a query of the configuration is."""
    keys: dict[str, str] = {}
    for word in filter(_is_condition, words):
        name, _, value = word.partition("=")
        text = text_of(name, value)
        if wrong := wrong_key(name) or wrong_value(name, text):
            raise ConfigError(f"{name}: {wrong}")
        keys[name] = text
    return keys


def _told(problems: Sequence[Any]) -> str:
    return "; ".join(f"{'.'.join(map(str, problem.path))} is {problem.message}" for problem in problems)

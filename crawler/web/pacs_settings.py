"""The PACS that the search page asks: its address, kept in the server's own folder.

Secrets are not kept here and never shown: name and password or token come from the environment of the server, or from
a file ``.env``, as for a run (`config/pacs.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from crawler.config.loader import Config, parse_config
from crawler.engine.retrieving import server_of
from crawler.errors import ConfigError
from crawler.pacs.model import Server
from crawler.web.access import private_folder
from crawler.web.jobs import write_whole
from crawler.web.yaml_edit import flow

NAMES = ("host", "port", "called_aet", "calling_aet", "calling_port", "url")
_NUMBERS = ("port", "calling_port")


def read(workspace: str) -> dict[str, Any]:
    """What is kept; empty before the first time."""
    try:
        with open(os.path.join(private_folder(workspace), "pacs.json"), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return {name: found[name] for name in NAMES if name in found} if isinstance(found, dict) else {}


def write(workspace: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Keep what a form says.

    Raises
    ------
    ConfigError
        It names no server.
    """
    given: dict[str, Any] = {name: text for name in NAMES if (text := form.get(name, "").strip())}
    for name in _NUMBERS:
        if given.get(name, "").isascii() and given.get(name, "").isdigit():
            given[name] = int(given[name][:9])
    configuration(workspace, given)
    write_whole(os.path.join(private_folder(workspace), "pacs.json"), json.dumps(given))
    return given


def configuration(workspace: str, section: Mapping[str, Any]) -> Config:
    """A configuration with this server, checked as a run's is.

    Raises
    ------
    ConfigError
        It is wrong, or names no server.
    """
    if not section:
        raise ConfigError("pacs: no server is set yet")
    config = parse_config(f"pacs: {flow(dict(section))}\n", "pacs", workspace)
    if config.pacs is None or not (config.pacs.url or (config.pacs.host and config.pacs.port)):
        raise ConfigError("pacs: a server needs host and port, or a URL of DICOMweb")
    return config


def server(workspace: str) -> Server:
    """The server, with its secrets out of the environment.

    Raises
    ------
    ConfigError
        None is set, or it is wrong.
    """
    return server_of(configuration(workspace, read(workspace)))

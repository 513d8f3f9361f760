"""The DICOM Media Exporter: is a document its configuration, and what cannot be made of rows like its own.

That program had no defaults: its configurations hold every key, and no other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import yaml

from crawler.config.yaml_nodes import Problem

_KEYS = frozenset(
    (
        "num_workers",
        "dicom.dir",
        "dicom.recursive",
        "media.dir",
        "media.overwrite",
        "metadata.file",
        "metadata.append",
        "config.file",
        "video.extension",
        "video.save_method_kwargs.encoding_format",
        "image.extension",
    )
)
_FREE = ("video.save_method_kwargs.encoding_args", "image.save_method_kwargs.pil_writer_params")
"""Mappings that took whatever the encoders know."""


def is_exporter_config(text: str) -> bool:
    """Whether a YAML text holds exactly the keys that every configuration of that program had to hold."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return False
    if not isinstance(document, Mapping):
        return False
    found = set(_paths(document, ""))
    return {path for path in found if not path.startswith(_FREE)} == _KEYS


def _paths(mapping: Mapping[Any, Any], above: str) -> Iterator[str]:
    for key, value in mapping.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{path}.")
        else:
            yield path


def needing_rows(config: Any) -> Iterator[Problem]:
    """What a `Config` asks for that is made of rows of ours, and cannot be of those that `metadata.compat` writes."""
    if config.metadata is None or config.metadata.compat is None:
        return
    wanted = {
        "metadata.mr_clean": config.metadata.mr_clean,
        "metadata.templates": config.metadata.templates,
        "metadata.columns": config.metadata.columns == "flat",
        "output.layout": config.output.layout == "bids",
        "volume.name": config.volume and config.volume.name,
        "media.name": config.media and config.media.name,
    }
    if config.privacy is not None:
        text = "not with privacy: these rows hold the headers as they are"
        yield Problem(("metadata", "compat"), text, config.metadata.compat)
    for name, is_on in wanted.items():
        if is_on:
            text = "needs rows with all elements and types: leave metadata.compat out"
            yield Problem(tuple(name.split(".")), text, attrgetter(name)(config))

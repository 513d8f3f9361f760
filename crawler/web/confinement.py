"""A configuration that came from a browser: whether it is right, and stays in the folders that are open.

`crawler/config/` says whether it is right; this module adds that every path it names, read or written, lies inside.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.config.loader import SHIPPED_TEMPLATES, Config, parse_config
from crawler.config.rated import ratings_path
from crawler.errors import ConfigError
from crawler.stores.address import is_remote
from crawler.web.jobs import CONFIG
from crawler.web.places import Places

OUTSIDE = "lies outside the workspace and the folders that the server was started with (--root)"


def checked(text: str, folder: str, places: Places) -> Config:
    """The configuration of a job, if it may run.

    Parameters
    ----------
    folder
        Of the job, where relative paths start.

    Raises
    ------
    ConfigError
        It is wrong, or leads out: one line a problem.
    """
    config = parse_config(text, CONFIG, folder, retrieves=True)
    outside = [
        f"{CONFIG}: {name}: {OUTSIDE}"
        for name, path in named_paths(config)
        if is_remote(path) or not places.allows(path)
    ]
    if outside:
        raise ConfigError("\n".join(outside))
    return config


def problems(text: str, folder: str, places: Places) -> list[str]:
    """What is wrong with a configuration, one line each."""
    try:
        checked(text, folder, places)
    except ConfigError as error:
        return str(error).split("\n")
    return []


def named_paths(config: Config) -> Iterator[tuple[str, str]]:
    """(key, absolute path) of every file or folder that a configuration names, read or written."""
    yield "output.dir", config.output_address or config.output_dir
    yield "output.staging", config.output_dir
    for root in config.roots:
        yield "dicom.dir", root
    yield from config.outputs().items()
    section = config.pacs
    if section is not None:
        yield "pacs.dir", config.pacs_dir or ""
        if config.cohort_path is not None:
            yield "pacs.list", config.cohort_path
        if section.tls is not None:
            for name in ("ca", "cert", "key"):
                written = getattr(section.tls, name)
                if written is not None:
                    yield f"pacs.tls.{name}", config.named(written)
    if (ratings := ratings_path(config)) is not None:
        yield "select.list", ratings
    if config.privacy is not None:
        tags = config.privacy.private_tags
        keys = {
            "private": config.privacy.private,
            "key.file": config.privacy.key.file,
            "custodian": config.privacy.custodian,
            "private_tags": None if tags in ("remove", "safe") else tags,
            "patients": config.privacy.patients,
            "pixels.rules": config.privacy.pixels.rules,
        }
        for name, written in keys.items():
            if written is not None:
                yield f"privacy.{name}", config.named(written)
    if config.templates_dir is not None and config.metadata and config.metadata.templates != SHIPPED_TEMPLATES:
        yield "metadata.templates", config.templates_dir

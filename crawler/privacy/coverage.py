"""What the policy does not cover yet, refused before any work: it must never look whole where it is not.

One line a problem, which names the key. It reads the configuration alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from crawler.config.formats import FORMATS
from crawler.config.loader import Config
from crawler.config.privacy import PrivacySection, resolved
from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.errors import ConfigError
from crawler.paths import within
from crawler.privacy.rules import Act, rule_of
from crawler.stores.address import is_remote

_NUMERIC = frozenset({"IS", "DS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV", "TM"})
_UNCHANGED = frozenset({Act.KEEP, Act.AGE, Act.ITEMS})


def require_covered(config: Config) -> None:
    """Refuse a configuration with `privacy` that asks for what the policy does not cover.

    Raises
    ------
    ConfigError
        One line a problem.
    """
    if config.privacy is None:
        return
    problems = list(_problems(config, resolved(config.privacy)))
    if problems:
        raise ConfigError("\n".join(problems))


def refuse(config: Config, command: str) -> None:
    """Refuse a command that does not know the policy. Raises ConfigError."""
    if config.privacy is not None:
        raise ConfigError(f"privacy does not cover `{command}` yet: its messages and files would hold the originals")


def _problems(config: Config, section: PrivacySection) -> Iterator[str]:
    yield from _places(config, section)
    if config.output_address is not None:
        yield "privacy does not cover an address in output.dir yet: write to a folder, and copy it when it is audited"
    if any(map(is_remote, config.roots)):
        yield "privacy does not cover an address in dicom.dir yet: use a folder"
    if config.dicom.readers:
        yield "privacy does not cover dicom.readers yet: leave it out"
    if config.volume is not None and (others := set(config.volume.formats).difference(FORMATS)):
        yield f"privacy does not cover volume.formats: {', '.join(sorted(others))}, which other packages write"
    if config.output.layout == "bids":
        yield "privacy does not cover output.layout: bids yet: leave it out"
    if config.image is not None and config.image.overlays:
        yield "image.overlays: overlays may hold text, and privacy removes them: leave it out"
    yield from _selection(config, section)
    order = config.volume.element if config.volume else ""
    if order and (not isinstance(order, str) or dictionary_vr(tag_for(order) or 0) not in _NUMERIC):
        yield "privacy does not cover volume.order by an element that is no number yet"


def _places(config: Config, section: PrivacySection) -> Iterator[str]:
    if not section.private:
        yield "privacy.private: expected a folder for what identifies, outside of output.dir"
        return
    private = os.path.realpath(config.private_dir or "")
    outputs = {"output.dir": config.output_dir, **config.outputs()}
    if config.output.pack is not None:
        outputs["output.pack.dir"] = config.path(config.output.pack.dir)
    for name, place in outputs.items():
        other = os.path.realpath(place)
        if within(private, other):
            yield f"privacy.private lies below {name}: who gets the outputs would get what identifies; move it"
            return
    for name, place in outputs.items():
        if config.pacs_dir and os.path.realpath(config.pacs_dir).startswith(os.path.join(os.path.realpath(place), "")):
            yield f"pacs.dir lies below {name}: who gets the outputs would get the originals; move it"
            return
    for root in config.roots:
        if private == os.path.realpath(root):
            yield "privacy.private is an input; choose another folder"


def _selection(config: Config, section: PrivacySection) -> Iterator[str]:
    select = config.select
    if select is None:
        return
    for keyword in select.where:
        tag = tag_for(keyword)
        if tag is None or rule_of(tag, "", section).act not in _UNCHANGED:
            yield f"privacy does not cover select.where.{keyword} yet: the condition would see the changed value"
    if select.exclude_words and section.text not in ("known", "keep"):
        yield f"privacy does not cover select.exclude_words with text: {section.text} yet"

"""The rules of the MR table, `dicom_tags/mr_clean.json`: read, checked, and compiled once.

What they hold is `settings.py`'s; a file of seeds/000 is laid over ours by `earlier_config.py`.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crawler.config.checking import Document, check, from_mapping, parse
from crawler.config.packaged import packaged
from crawler.config.yaml_nodes import Problem
from crawler.errors import ConfigError
from crawler.mr.earlier_config import is_earlier, laid_over
from crawler.mr.settings import NameRule, Settings
from crawler.mr.words import Matcher

log = logging.getLogger("dme")

RULES_FILE = packaged("dicom_tags") / "mr_clean.json"


class RuleBook:
    """Settings with their words compiled; what texts fire is remembered as long as the book is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.purpose = Matcher(settings.purpose)
        self.weighting = Matcher(settings.weighting)
        self.family = Matcher(settings.family)
        self.fat = Matcher(settings.fat)
        self.contrast = Matcher(settings.contrast)
        self.motion = Matcher(settings.motion)
        self.orientation = Matcher(settings.orientation)
        self.dimension = Matcher(settings.dimension)
        self.vendor = Matcher(settings.vendor)
        self.model = Matcher(settings.model)
        self.purpose_codes = _by_code(settings.purpose)
        self.weighting_codes = _by_code(settings.weighting)
        self.component_codes = _by_code(settings.component)
        self.motion_codes = _by_code(settings.motion)
        self.model_drop = frozenset(word.lower() for word in settings.model_drop)
        self.sequence_b = re.compile(settings.physics.sequence_b)
        self.gradient_sequence = re.compile(settings.physics.gradient_sequence)
        self.spin_sequence = re.compile(settings.physics.spin_sequence)


def load_rules(path: str | Path | Mapping[str, Any] | None = None) -> RuleBook:
    """Read and check the rules.

    Parameters
    ----------
    path
        A file in place of `RULES_FILE`, or what it would hold. One of seeds/000 (`mr_clean_config.json`) changes our
        rules where its user changed it; what has no effect is told in the log "dme".

    Raises
    ------
    ConfigError
        The file cannot be read, or its keys, values or names are not understood: one line each, with the nearest
        known name.
    """
    if isinstance(path, Mapping):
        return _book(from_mapping(path, "cfg"))
    source = Path(path) if path is not None else RULES_FILE
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"rules {source}: cannot be read: {reason}") from None
    return rules_of_text(text, source.name)


def rules_of_text(text: str, name: str) -> RuleBook:
    """Check the text of a file of rules, as `load_rules` does; `name` stands in messages.

    Raises
    ------
    ConfigError
        As there.
    """
    return _book(parse(text, name))  # JSON is YAML, and this reader knows the lines


def _book(document: Document) -> RuleBook:
    """The rules of a document, checked."""
    if is_earlier(document.data):
        ours = check(Settings, parse(RULES_FILE.read_text(encoding="utf-8"), RULES_FILE.name))
        settings, told = laid_over(ours, document.data, document.name)
        for line in told:
            log.warning("%s", line)
    else:
        settings = check(Settings, document)
    problems = [*_name_problems(settings), *_bound_problems(settings)]
    if problems:
        raise document.error(problems)
    return RuleBook(settings)


def _by_code(rules: tuple[NameRule, ...]) -> dict[str, NameRule]:
    return {code.upper(): rule for rule in reversed(rules) for code in rule.image_type}


def _name_problems(settings: Settings) -> Iterator[Problem]:
    """Names that must be known elsewhere in the file."""
    groups = [group.name for group in settings.field_strength]
    for name in settings.thresholds:
        if name not in (*groups, "default"):
            yield Problem(("thresholds", name), f"no such field group; {_nearest(name, [*groups, 'default'])}")
    if "default" not in settings.thresholds:
        yield Problem(("thresholds",), "`default` is required")
    known = {part for rule in settings.purpose for part in rule.gives.split("_")}
    known |= {rule.gives for rule in settings.weighting} | {"DERIVED"}
    for index, name in enumerate(settings.dynamic.excluded):
        if name not in known:
            yield Problem(
                ("dynamic", "excluded", index), f"no class has this part; {_nearest(name, sorted(known))}", name
            )
    for column in ("fat", "contrast", "motion"):
        for index, rule in enumerate(getattr(settings, column)):
            if rule.gives not in ("yes", "no"):
                yield Problem((column, index, "gives"), "expected yes or no", rule.gives)


def _bound_problems(settings: Settings) -> Iterator[Problem]:
    bounds = [group.below for group in settings.field_strength]
    if bounds != sorted(set(bounds)):
        yield Problem(("field_strength",), "`below` must ascend", bounds)
    for name in ("sequence_b", "gradient_sequence", "spin_sequence"):
        try:
            groups = re.compile(getattr(settings.physics, name)).groups
        except re.error as error:
            yield Problem(("physics", name), f"not a regular expression: {error}", getattr(settings.physics, name))
            continue
        if name == "sequence_b" and groups != 1:
            yield Problem(("physics", name), "expected one group, around the b-value")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.upper(), [item.upper() for item in known], n=1)
    named = [item for item in known if near and item.upper() == near[0]]
    return f"nearest known name: {named[0]}" if named else f"known: {', '.join(known)}"

"""The rules of the MR table as data: `dicom_tags/mr_clean.json`, checked when it is loaded, compiled once.

A rule gives a value when one of its words is found. Needs are physics: a rule whose needs the header refutes does not
fire; a header that is silent refutes nothing. Thresholds are in ms, tesla, degrees and s/mm^2.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from crawler.config.checking import check, parse
from crawler.config.packaged import packaged
from crawler.config.yaml_nodes import Problem
from crawler.errors import ConfigError
from crawler.mr.words import Matcher

RULES_FILE = packaged("dicom_tags") / "mr_clean.json"

# (0018,0020) *Scanning Sequence*, enumerated values of PS3.3 C.8.3.1.
Scanning = Literal["SE", "IR", "GR", "EP", "RM"]


def key(help_line: str, default: Any = MISSING, **metadata: Any) -> Any:
    """Declare a key of the rules; without a default it must be given."""
    return dataclasses.field(default=default, metadata={"help": help_line} | metadata)


def _read_patterns(written: object) -> object:
    """Refuse what is no regular expression; the type is checked afterwards."""
    for pattern in written if isinstance(written, list) else ():
        try:
            re.compile(str(pattern))
        except re.error as error:
            raise ValueError(f"regular expressions; {str(pattern)!r}: {error}") from None
    return written


@dataclass(frozen=True, slots=True)
class Needs:
    """Physics without which a name is not believed."""

    scanning: tuple[Scanning, ...] = key("one of these must be in ScanningSequence", ())
    without: tuple[Scanning, ...] = key("none of these may be in it", ())


@dataclass(frozen=True, slots=True)
class NameRule:
    """A value, and the words that give it."""

    name: str = key("how the rule is called in the column of rules")
    gives: str = key("value of the output column")
    words: tuple[str, ...] = key("whole words; a blank is any separator", ())
    patterns: tuple[str, ...] = key("regular expressions on lower-case text", (), read=_read_patterns)
    unless: tuple[str, ...] = key("words that silence the rule", ())
    image_type: tuple[str, ...] = key("values of ImageType or AcquisitionContrast that give it outright", ())
    needs: Needs = key("physics that the header may not refute", Needs())
    with_b: bool = key("whether a diffusion weighting agrees with it", False)
    weak: bool = key("a word with other meanings: no contradiction when its needs are refuted", False)


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Field strengths under one name."""

    below: float = key("upper bound, tesla", above=0)
    name: str = key("value of standardFieldStrength")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times that tell weightings apart at one field strength, ms.

    Those of the file are the thresholds of seeds/000, so that its users find their classes again.
    """

    t1_tr_max: float = key("T1 below this TR", above=0)
    t1_te_max: float = key("and below this TE", above=0)
    t2_tr_min: float = key("PD above this TR", above=0)
    t2_te_min: float = key("T2 above this TE", above=0)
    pd_te_max: float = key("PD below this TE", above=0)
    flair_ti_min: float = key("FLAIR from this TI", above=0)
    stir_ti_max: float = key("STIR up to this TI", above=0)


@dataclass(frozen=True, slots=True)
class Physics:
    """Bounds that do not depend on the field.

    Where the file's values come from: `b_min`, `stir_ti_min`, `single_shot_train` and `oblique_below` are those of
    seeds/000. `t2star_te_min` (15 ms) lies between the echo of spoiled T1 sequences, under 10 ms, and the 20 ms and
    more of T2* protocols. `gre_tr_max` (50 ms): a spin echo needs several times that to recover. `ernst_t1` (1000 ms)
    lies between white and grey matter at 3 T (832 and 1331 ms, Wansapura et al. 1999). The expressions are Siemens'
    names: epfid, epse, ep_b1000#12.
    """

    b_min: float = key("diffusion weighted above this b-value, s/mm^2", above=0)
    stir_ti_min: float = key("STIR from this TI, ms", above=0)
    single_shot_train: int = key("a 2D spin echo train longer than this is one shot", minimum=1)
    t2star_te_min: float = key("a gradient echo is T2* weighted from this TE, ms", above=0)
    gre_tr_max: float = key("without ScanningSequence, a TR below this is a gradient echo, ms", above=0)
    ernst_t1: float = key("T1 of the tissue whose Ernst angle parts T1 from PD weighting, ms", above=0)
    oblique_below: float = key("oblique when the largest squared cosine of the normal is below this", above=0)
    sequence_b: str = key("regular expression on SequenceName with the b-value as its group")
    gradient_sequence: str = key("regular expression: SequenceName of gradient-echo EPI")
    spin_sequence: str = key("regular expression: SequenceName of spin-echo EPI")


@dataclass(frozen=True, slots=True)
class FatCodes:
    """Codes that decide on fat suppression before any word does."""

    suppressed: tuple[str, ...] = key("values of ImageType of an image without fat")
    unsuppressed: tuple[str, ...] = key("values of ImageType of the other Dixon images")
    options: tuple[str, ...] = key("values of ScanOptions")


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What may be a phase of a dynamic series."""

    excluded: tuple[str, ...] = key("parts of a class (between underscores) that are never phases")
    no_agent: tuple[str, ...] = key("texts of ContrastBolusAgent that mean none")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `mr_clean.json`."""

    field_strength: tuple[FieldGroup, ...] = key("groups, ascending", min_items=1)
    thresholds: Mapping[str, Thresholds] = key("by name of field group, and `default`")
    physics: Physics = key("bounds that do not depend on the field")
    fat_codes: FatCodes = key("codes that decide on fat suppression")
    dynamic: Dynamic = key("phases of dynamic series")
    purpose: tuple[NameRule, ...] = key("sequenceClass by purpose")
    weighting: tuple[NameRule, ...] = key("weighting, where physics leaves it open")
    family: tuple[NameRule, ...] = key("family of sequences, where physics leaves it open")
    component: tuple[NameRule, ...] = key("suffix of sequenceClass, by ImageType")
    fat: tuple[NameRule, ...] = key("isFatSuppressed: yes or no")
    contrast: tuple[NameRule, ...] = key("isContrastEnhanced: yes or no")
    motion: tuple[NameRule, ...] = key("hasMotionCorrection: yes or no")
    orientation: tuple[NameRule, ...] = key("standardOrientation, without a geometry")
    dimension: tuple[NameRule, ...] = key("standardDimension, without MRAcquisitionType")
    vendor: tuple[NameRule, ...] = key("standardManufacturer, by Manufacturer")
    model: tuple[NameRule, ...] = key("standardManufacturer, by ManufacturerModelName")
    model_drop: tuple[str, ...] = key("words that cleanedModelName goes without")


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


def load_rules(path: str | Path | None = None) -> RuleBook:
    """Read and check the rules.

    Parameters
    ----------
    path
        A file in place of `RULES_FILE`.

    Raises
    ------
    ConfigError
        The file cannot be read, or its keys, values or names are not understood: one line each, with the nearest
        known name.
    """
    source = Path(path) if path is not None else RULES_FILE
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"rules {source}: cannot be read: {reason}") from None
    document = parse(text, source.name)  # JSON is YAML, and this reader knows the lines
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

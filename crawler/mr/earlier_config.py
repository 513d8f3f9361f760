"""The rules file of seeds/000, `mr_clean_config.json`, laid over ours.

Its words were substrings, ours are whole words with exceptions, and rules have more of them. So what counts is what its
user changed: a word that was added is added to our rule, one that was taken out is taken out, a number replaces ours.
The file as it came changes nothing. What has no counterpart here, and what is unknown, is told; nothing is read here.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crawler.errors import ConfigError
from crawler.mr.settings import NameRule, Settings

_A = "classification.ruleA."
# Path in the file -> our list, our rule in it, the words that the file came with.
WORDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "orientation.fallback_keywords.AX": ("orientation", "axial", ("ax", "tra", "trans")),
    "orientation.fallback_keywords.SAG": ("orientation", "sagittal", ("sag", "sg")),
    "orientation.fallback_keywords.COR": ("orientation", "coronal", ("cor", "cr")),
    "orientation.fallback_keywords.OBL": ("orientation", "oblique", ("obl", "oblique")),
    "fat_suppression.protocol_keywords": (
        "fat", "fat suppression", ("fs", "fatsat", "spair", "stir", "fat sep", "dixon"),
    ),
    f"{_A}LOCALIZER.protocol_keywords": ("purpose", "localizer", ("localizer", "survey", "scout")),
    f"{_A}T1_MAP.protocol_keywords": ("purpose", "t1 map", ("t1_map", "t1map")),
    f"{_A}T2_MAP.protocol_keywords": ("purpose", "t2 map", ("t2_map", "t2map")),
    f"{_A}ADC.protocol_keywords": ("purpose", "adc", ("adc",)),
    f"{_A}FA_MAP.protocol_keywords": ("purpose", "fractional anisotropy", ("fa_map",)),
    f"{_A}SUBTRACTION.protocol_keywords": ("purpose", "subtraction", ("sub", "subtract")),
    f"{_A}MRA.protocol_keywords": ("purpose", "angiography", ("mra", "mrv", "tof")),
    f"{_A}SWI.protocol_keywords": ("purpose", "susceptibility", ("swi", "swan")),
    f"{_A}PWI.protocol_keywords": ("purpose", "perfusion", ("pwi", "perf", "dsc")),
    f"{_A}MRS.protocol_keywords": ("purpose", "spectroscopy", ("mrs", "svs", "csi", "spectro")),
    f"{_A}BREATH MOVEMENT.series_description_keywords": ("purpose", "respiration", ("resp",)),
    f"{_A}MIP.series_description_keywords": ("purpose", "projection by name", ("mip",)),
    "classification.fmri.protocol_keywords": ("purpose", "bold", ("fmri", "bold")),
    "classification.sequence_family.single_shot_protocol_keywords": ("family", "single shot", ("haste", "ssfse")),
    "classification.fallback.tse_tokens": ("family", "echo train", ("tse", "fse")),
    "classification.motion_correction.protocol_keywords": ("motion", "radial or rotating", ("blade", "propeller")),
}  # fmt: skip
# The same, of regular expressions: words between bars.
EXPRESSIONS: dict[str, tuple[str, str, str]] = {
    "atomic_features.contrast_protocol_regex": ("contrast", "with", r"\+c|post|gd|enh|contrast|\u589e\u5f3a|dyn"),
    "dynamic.contrast_protocol_regex": ("contrast", "with", r"\+c|post|gd|enh|contrast|\u589e\u5f3a|dyn"),
    "atomic_features.motion_correction_protocol_regex": ("motion", "radial or rotating", "propeller|blade|radial|star"),
}
# Path -> our rule of components, the tokens that the file came with; a token is a value of Image Type.
TOKENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "subtype_suffix.water_tokens": ("water", ("WATER", " W ", "water")),
    "subtype_suffix.fat_tokens": ("fat", ("FAT", " F ", "fat")),
    "subtype_suffix.inphase_tokens": ("in phase", ("INPHASE", " IP ", "in_phase", "inphase")),
    "subtype_suffix.outphase_tokens": ("out of phase", ("OUTPHASE", " OP ", "out_phase", "outphase")),
}
NUMBERS = {
    "orientation.oblique_dominance_ratio": "oblique_below",
    "fat_suppression.stir_ti_min": "stir_ti_min",
    "classification.dwi_b_value_min": "b_min",
    "classification.sequence_family.single_shot_etl_min": "single_shot_train",
}
_EXCLUDED = "dynamic.exclude_sequence_classes"
_EXCLUDED_AS_IT_CAME = (
    "DWI", "DTI", "ADC", "FA", "MRS", "PWI", "ASL", "LOCALIZER", "DERIVED", "SUBTRACTION", "MAP", "fMRI_BOLD", "SWI",
    "T2",
)  # fmt: skip
_WATER = "fat_suppression.dixon_water_tokens"
_THRESHOLDS = "thresholds.field_strength."
# What our rules do in another way: it is told when it was changed.
FIXED: dict[str, Any] = {
    "fat_suppression.ir_token": "IR",
    "fat_suppression.stir_ti_max": 250,
    "fat_suppression.scan_options_fs_token": "FS",
    "subtype_suffix.t2_star_echo_marker": "t2_star_echo",
    "subtype_suffix.t2_star_echo_split_token": "echo",
    f"{_A}LOCALIZER.refinedImageType": "LOCALIZER",
    "classification.fmri.scan_seq_token": "ep",
    "classification.fmri.class": "fMRI_BOLD",
    "classification.sequence_family.gre_token": "gr",
    "classification.sequence_family.se_token": "se",
    "classification.sequence_family.steady_state_seq_variant_token": "ss",
    "classification.sequence_family.spoiled_seq_variant_token": "sp",
    "classification.fallback.tse_dark_fluid_to_flair": "tse_dark_fluid",
    "classification.fallback.se_token": "se",
    "classification.fallback.mpr_iso_tokens": ["mpr", "iso"],
    "classification.fallback.requires_dimension_for_flash3d": "3D",
    "classification.motion_correction.suffix": "_MC",
    "dynamic.numeric_cols": ["RepetitionTime", "EchoTime", "FlipAngle", "SliceThickness", "SeriesTime"],
    "dynamic.spatial_cols": ["ImagePositionPatient", "ImageOrientationPatient"],
    "dynamic.list_round_decimals": 2,
    "dynamic.numeric_round_decimals": 1,
    "dynamic.fingerprint_cols": [
        "ImagePositionPatient_str", "ImageOrientationPatient_str", "sequenceClass", "SliceThickness", "RepetitionTime",
        "EchoTime", "FlipAngle",
    ],
    "dynamic.contrast_agent_exclude_regex": "no",
    "dynamic.exclude_sequence_regex": "DWI|T2|LOCALIZER",
    "propagate.t1_contains": "T1",
    "propagate.propagated_phase": "POST_PROPAGATED",
}  # fmt: skip
_OF_EARLIER = ("fat_suppression", "atomic_features", "subtype_suffix", "classification", "propagate")
_CLASS = re.compile(re.escape(_A) + r"([^.]+)\.(?:protocol_keywords|series_description_keywords)")


def is_earlier(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is of that kind, whole or in part."""
    thresholds = data.get("thresholds")
    return (
        any(name in data for name in _OF_EARLIER)
        or (isinstance(thresholds, Mapping) and "field_strength" in thresholds)
        or isinstance(data.get("orientation"), Mapping)
        or (isinstance(data.get("dynamic"), Mapping) and "excluded" not in data["dynamic"])
    )


def laid_over(base: Settings, data: Mapping[str, Any], name: str) -> tuple[Settings, list[str]]:
    """Our rules with what a file of that kind changes.

    Parameters
    ----------
    name
        Of the file, for messages.

    Returns
    -------
    tuple
        The rules, and a line for each entry that has no effect.

    Raises
    ------
    ConfigError
        A value is of another type than in the file as it came: one line each.
    """
    changed = base
    told: list[str] = []
    problems: list[str] = []
    for path, value in _leaves(data, ""):
        try:
            made = _changed(changed, path, value)
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {path}: {error}")
            continue
        if made is not None:
            changed = made
        elif path not in FIXED:
            near = difflib.get_close_matches(path, [*WORDS, *EXPRESSIONS, *TOKENS, *NUMBERS, *FIXED], n=1)
            told.append(f"{name}: {path} is unknown and has no effect{f'; nearest: {near[0]}' if near else ''}")
        elif value != FIXED[path]:
            told.append(f"{name}: {path} has no counterpart here, and no effect")
    if problems:
        raise ConfigError("\n".join(problems))
    return changed, told


def _changed(settings: Settings, path: str, value: Any) -> Settings | None:
    """The settings with one entry of the file applied; None where there is no place for it."""
    if path in WORDS:
        column, rule, came = WORDS[path]
        return _with_words(settings, column, rule, came, _texts(value))
    if path in EXPRESSIONS:
        column, rule, expression = EXPRESSIONS[path]
        words = _alternatives(_text(value))
        if words is None:
            return _with_pattern(settings, column, rule, _text(value))
        return _with_words(settings, column, rule, _alternatives(expression) or (), words)
    if path in TOKENS:
        return _with_tokens(settings, *TOKENS[path], _texts(value))
    if path in NUMBERS:
        number = _number(value)
        values: dict[str, Any] = {NUMBERS[path]: number}
        physics = dataclasses.replace(settings.physics, **values)
        return dataclasses.replace(settings, physics=physics)
    if path.startswith(_THRESHOLDS):
        return _with_threshold(settings, path.removeprefix(_THRESHOLDS), value)
    if path == _EXCLUDED:
        ours = {"fMRI_BOLD": "fMRI"}  # ours excludes by parts of a class
        kept = _edited(settings.dynamic.excluded, _EXCLUDED_AS_IT_CAME, _texts(value), ours)
        return dataclasses.replace(settings, dynamic=dataclasses.replace(settings.dynamic, excluded=kept))
    if path == _WATER:
        kept = _edited(settings.fat_codes.suppressed, ("W", "WATER"), _texts(value))
        return dataclasses.replace(settings, fat_codes=dataclasses.replace(settings.fat_codes, suppressed=kept))
    if match := _CLASS.fullmatch(path):
        return _with_class(settings, match[1], _texts(value))
    return None


def _with_words(settings: Settings, column: str, rule: str, came: Sequence[str], now: Sequence[str]) -> Settings:
    """A list of rules of which one has the words that were added, and none has those that were taken out."""
    added, gone = _difference(came, now)
    rules = []
    for one in getattr(settings, column):
        lost = gone & {word.lower() for word in one.words}
        words = tuple(word for word in one.words if word.lower() not in lost)
        patterns = () if lost else one.patterns  # they stand for the words beside them
        if one.name == rule:
            words += tuple(word for word in added if word not in words)
        rules.append(dataclasses.replace(one, words=words, patterns=patterns))
    return _replaced(settings, column, tuple(rules))


def _with_pattern(settings: Settings, column: str, rule: str, expression: str) -> Settings:
    """A rule that an expression fires, too."""
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    rules = tuple(
        dataclasses.replace(one, patterns=(*one.patterns, expression)) if one.name == rule else one
        for one in getattr(settings, column)
    )
    return _replaced(settings, column, rules)


def _replaced(settings: Settings, column: str, rules: Any) -> Settings:
    values: dict[str, Any] = {column: rules}
    return dataclasses.replace(settings, **values)


def _with_class(settings: Settings, name: str, words: Sequence[str]) -> Settings:
    """A class that the file did not come with goes before all others."""
    mine = NameRule(f"{name} of the configuration", name, tuple(_plain(word) for word in words))
    others = tuple(one for one in settings.purpose if one.name != mine.name)
    return dataclasses.replace(settings, purpose=(mine, *others))


def _with_tokens(settings: Settings, rule: str, came: Sequence[str], now: Sequence[str]) -> Settings:
    rules = tuple(
        dataclasses.replace(one, image_type=_edited(one.image_type, came, now)) if one.name == rule else one
        for one in settings.component
    )
    return dataclasses.replace(settings, component=rules)


def _with_threshold(settings: Settings, place: str, value: Any) -> Settings | None:
    group, _, bound = place.rpartition(".")
    known = settings.thresholds.get(group)
    if known is None or bound not in {one.name for one in dataclasses.fields(known)}:
        return None
    thresholds = {**settings.thresholds, group: dataclasses.replace(known, **{bound: _number(value)})}
    return dataclasses.replace(settings, thresholds=thresholds)


def _edited(
    ours: Sequence[str], came: Sequence[str], now: Sequence[str], names: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Codes with those that were added, without those that were taken out."""
    calls = names or {}
    before = {calls.get(code.strip(), code.strip()).upper(): None for code in came}
    after = {calls.get(code.strip(), code.strip()).upper(): calls.get(code.strip(), code.strip()) for code in now}
    kept = [code for code in ours if code.upper() not in before or code.upper() in after]
    have = {code.upper() for code in ours}
    return (*kept, *(text for key, text in after.items() if key not in before and key not in have))


def _difference(came: Iterable[str], now: Iterable[str]) -> tuple[list[str], set[str]]:
    """(words that were added, words that were taken out), as rules have them."""
    before, after = [_plain(word) for word in came], [_plain(word) for word in now]
    return [word for word in dict.fromkeys(after) if word not in before], set(before).difference(after)


def _plain(word: str) -> str:
    """A word of the file as one of our rules: a blank stands for every separator."""
    return " ".join(word.lower().replace("_", " ").split())


def _alternatives(expression: str) -> tuple[str, ...] | None:
    """The words between the bars of a regular expression; None where it is more than words and bars."""
    words = []
    for part in expression.split("|"):
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), part)
        if not plain or re.search(r"[()\[\]{}*?^$.+]|\\\w", re.sub(r"\\\W", "", plain)):
            return None
        words.append(re.sub(r"\\(\W)", r"\1", plain))
    return tuple(words)


def _leaves(data: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item.strip() for item in value):
        raise TypeError("expected a list of texts")
    return list(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise TypeError("expected a number above 0")
    return value

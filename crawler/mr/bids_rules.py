"""Which file of a BIDS dataset an MR series is, by its class: rules of `dicom_tags/bids.json`, and what they give.

It names a series; subjects, sessions and numbers of runs, which depend on other series, are the dataset's
(`tables/bids_dataset.py`). Names are those of the Brain Imaging Data Structure 1.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from crawler.config.checking import check, parse
from crawler.config.packaged import packaged
from crawler.config.yaml_nodes import Problem
from crawler.disk import is_absent
from crawler.errors import ConfigError
from crawler.mr.settings import key

FILE = "bids.json"
_DATATYPES = ("anat", "func", "dwi", "fmap", "perf")
_COMPONENTS = re.compile(r"(_(WATER|FAT|INPHASE|OUTPHASE|MC|ECHO[0-9]+))+$")


@dataclass(frozen=True, slots=True)
class Rule:
    """What series of some classes become."""

    classes: tuple[str, ...] = key("values of sequenceClass, with * for any text", min_items=1)
    datatype: str | None = key("folder: anat, func, dwi, fmap, perf", None)
    suffix: str | None = key("suffix: T1w, bold, dwi ...", None)
    acq: str | None = key("entity acq, before the orientation", None)
    axes: tuple[str, ...] = key("axes that the array may have before its slices", ())
    needs_axis: bool = key("whether it must have one of them", False)
    files: tuple[str, ...] = key("endings of files that must lie beside it", ())
    fields: tuple[str, ...] = key("fields that its sidecar must have", ())
    task: bool = key("whether the name has a task", False)
    leave_out: str | None = key("why such series are not in the dataset", None)


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them; the first that a series meets in all decides."""

    rules: tuple[Rule, ...] = key("rules, in order", min_items=1)


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of one array of a series: cleaned columns and elements, axes before the slices, files, sidecar."""

    cells: dict[str, Any]
    axes: Sequence[str]
    geometry: bool
    endings: Sequence[str]
    sidecar: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Name:
    """Datatype, entities behind sub and ses in BIDS's order, suffix; or why there is none."""

    datatype: str = ""
    entities: tuple[tuple[str, str], ...] = ()
    suffix: str = ""
    reason: str = ""

    @property
    def task(self) -> str | None:
        """The label of its task."""
        return dict(self.entities).get("task")


def load_bids_rules(folder: str | None) -> Rules:
    """Read the rules of a folder of templates, or those that come with dme.

    Raises
    ------
    ConfigError
        They cannot be read or used: a line a problem.
    """
    own = Path(folder, FILE) if folder else None
    source = own if own is not None and not is_absent(str(own)) else packaged("dicom_tags") / FILE
    try:
        text = source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    return bids_rules_of_text(text, source.name)


def bids_rules_of_text(text: str, name: str) -> Rules:
    """Check the text of a file of such rules; `name` stands in messages.

    Raises
    ------
    ConfigError
        They cannot be used: a line a problem.
    """
    document = parse(text, name)  # JSON is YAML, and this reader knows the lines
    rules = check(Rules, document)
    problems = list(_problems(rules))
    if problems:
        raise document.error(problems)
    return rules


def _problems(rules: Rules) -> Iterator[Problem]:
    for number, rule in enumerate(rules.rules):
        path: tuple[str | int, ...] = ("rules", number)
        if rule.leave_out is None and not (rule.datatype and rule.suffix):
            yield Problem(path, "expected a datatype and a suffix, or leave_out")
        if rule.datatype and rule.datatype not in _DATATYPES:
            yield Problem((*path, "datatype"), f"expected any of {', '.join(_DATATYPES)}", rule.datatype)
        for name, label in (("suffix", rule.suffix), ("acq", rule.acq)):
            if label and not re.fullmatch("[A-Za-z0-9]+", label):
                yield Problem((*path, name), "expected letters and digits", label)


def name_of(series: Series, rules: Rules) -> Name:
    """Name an array of an MR series, or say why it has none."""
    kind = _COMPONENTS.sub("", str(series.cells.get("sequenceClass") or "UNKNOWN"))
    fitting = [one for one in rules.rules if any(fnmatchcase(kind, word) for word in one.classes)]
    lacks = [_lacks(series, one) for one in fitting]
    if not fitting:
        return Name(reason=f"no rule for the class {kind}")
    if all(lacks):
        return Name(reason=f"{kind}: {lacks[0]}")
    rule = fitting[lacks.index("")]
    entities: list[tuple[str, str]] = []
    if rule.task:
        entities.append(("task", _task(str(series.cells.get("protocolName_lower") or ""))))
    orientation = label(str(series.cells.get("standardOrientation") or "")).lower()
    acq = (rule.acq or "") + (orientation if orientation != "unknown" else "") + _component(series)
    if acq:
        entities.append(("acq", acq))
    if series.cells.get("isContrastEnhanced") is True and rule.datatype == "anat":
        entities.append(("ce", "contrast"))
    entities.append(("run", ""))
    echo = series.sidecar.get("EchoNumber")
    if isinstance(echo, int) and series.cells.get("several_echoes"):
        entities.append(("echo", str(echo)))
    kinds = series.cells.get("ImageType") or []
    if {"P", "PHASE"} & {str(one).upper() for one in kinds[2:]}:
        entities.append(("part", "phase"))
    return Name(rule.datatype or "", tuple(entities), rule.suffix or "")


def label(text: str) -> str:
    """A text as a label: letters and digits alone."""
    return re.sub("[^A-Za-z0-9]", "", text)


def _lacks(series: Series, rule: Rule) -> str:
    if rule.leave_out:
        return rule.leave_out
    if not series.geometry:
        return "no geometry"
    foreign = [axis for axis in series.axes if axis not in rule.axes]
    if foreign:
        apart = foreign[0] in ("te", "echo", "ti", "fa", "phase")
        way = f"set volume.split: [{foreign[0]}]" if apart else "BIDS has none"
        return f"an array with the axis {foreign[0]}; {way}"
    if rule.needs_axis and not series.axes:
        return f"a single volume, without an axis {rule.axes[0]}"
    for ending in rule.files:
        if ending not in series.endings:
            return f"{ending} is missing: the headers do not say all of it"
    for name in rule.fields:
        if series.sidecar.get(name) is None:
            return f"its header has no {name}"
    return ""


def _component(series: Series) -> str:
    """Part of a Dixon series, which BIDS has no entity for."""
    found = re.search("_(WATER|FAT|INPHASE|OUTPHASE)", str(series.cells.get("sequenceClass")))
    return found[1].lower() if found else ""


def _task(protocol: str) -> str:
    """Label of a task: rest, or what the protocol's name is without the words of every such series."""
    if re.search("rest|rs[-_ ]?fmri", protocol):
        return "rest"
    return label(re.sub("bold|fmri|ep2d|epi|task|moco|[0-9.]+ ?mm", "", protocol)) or "unknown"

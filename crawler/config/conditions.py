"""What cannot be of the sections `select` and `quality`, beyond what each value alone may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crawler.config.sections import ConditionSection, QualitySection
from crawler.config.yaml_nodes import Problem
from crawler.dicom.dictionary import unknown_keyword


def wrong_quality(section: QualitySection) -> Iterator[Problem]:
    """What is wrong with the thresholds of quality."""
    if section.share > 1:
        yield Problem(("quality", "share"), "expected at most 1", section.share)
    for modality in section.thresholds:
        if not re.fullmatch(r"[A-Z0-9_]{1,16}", modality):  # a code string (PS3.5 6.2), as modalities are written
            yield Problem(("quality", "thresholds", modality), "expected a modality in capitals, such as CT")


def wrong_condition(keyword: str, condition: ConditionSection) -> str:
    """What is wrong with a condition on an element; empty when it is good."""
    if unknown := unknown_keyword(keyword):
        return unknown
    if condition == ConditionSection():
        return "expected any of equals, one_of, range, regex"
    if condition.range is not None:
        low, high = condition.range
        if low is None and high is None:
            return "range: expected one bound at least"
        if low is not None and high is not None and (isinstance(low, str) != isinstance(high, str) or low > high):  # type: ignore[operator]
            return "range: expected two numbers or two texts, the lower one first"
    try:
        re.compile(condition.regex or "")
    except re.error as error:
        return f"regex: {error}"
    return ""


def wrong_selection(where: Mapping[str, ConditionSection]) -> Iterator[Problem]:
    """What is wrong with conditions on elements, by keyword."""
    for keyword, condition in where.items():
        if wrong := wrong_condition(keyword, condition):
            yield Problem(("select", "where", keyword), wrong)

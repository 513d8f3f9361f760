"""Which instances of a scan are exported, by their headers alone: the section `select` of the configuration.

It opens no file and reads no pixel. What is left out keeps its row; its outcome is skipped ("filtered"), and the stage
names the key that left it out. Words of descriptions count for nothing unless they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from crawler.config.sections import ConditionSection, SelectSection
from crawler.dicom.attributes import Attributes
from crawler.dicom.dictionary import KeyStyle
from crawler.model import Instance, Outcome

# Images that are made out of others or out of no acquisition, whatever Image Type says (PS3.4 B.5, PS3.3 A.8, A.51,
# A.75): secondary captures, segmentations, parametric maps.
DERIVED_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("7", "7.1", "7.2", "7.3", "7.4", "30", "66.4", "66.5", "66.7")
)
REASON = "filtered"
DESCRIPTIONS = ("SeriesDescription", "ProtocolName")
"""Where `select.exclude_words` looks."""


class Candidate(NamedTuple):
    """An instance without its record, and the way to its record, which is read when a condition needs it."""

    instance: Instance
    record: Callable[[], dict[str, Any]]


def excluded(
    select: SelectSection, scan: Sequence[Candidate], keys: KeyStyle, takes: bool = True
) -> dict[int, Outcome]:
    """Which instances of a scan the section leaves out.

    Parameters
    ----------
    keys
        Style of the records' keys.
    takes
        Whether the list of the section takes the scan (`config/rated.py`).

    Returns
    -------
    dict
        Position in the scan -> skipped ("filtered"), with the key that left it out as the stage. A DICOMDIR is never
        in it, and objects without image are not held against `min_files`.
    """
    if not takes:
        return {number: _outcome("select.list") for number, one in enumerate(scan) if not one.instance.is_index}
    tests = list(_tests(select, keys))
    found: dict[int, Outcome] = {}
    frames = 0
    images: list[int] = []
    for number, candidate in enumerate(scan):
        if candidate.instance.is_index:
            continue
        stage = next((name for name, passes in tests if not passes(candidate)), None)
        if stage is not None:
            found[number] = _outcome(stage)
        elif candidate.instance.pixels is not None:
            images.append(number)
            frames += max(1, candidate.instance.pixels.frames)
    if frames < select.min_files:
        detail = f"{frames} of the {select.min_files} that a scan needs"
        found |= {number: _outcome("select.min_files", detail) for number in images}
    return found


def is_derived(instance: Instance, record: Attributes) -> bool:
    """Whether an image is a derived one.

    (0008,0008) *Image Type* begins with DERIVED (PS3.3 C.7.6.1.1.2), or the SOP class is of `DERIVED_CLASSES`. An
    object without image is not.
    """
    if instance.pixels is None:
        return False
    if instance.sop_class in DERIVED_CLASSES:
        return True
    kind = record.value("ImageType")
    first = kind[0] if isinstance(kind, list) and kind else kind
    return isinstance(first, str) and first.strip().upper() == "DERIVED"


def matches(condition: ConditionSection, value: Any) -> bool:
    """Whether an element's JSON value meets a condition: one of its values does; no value never does."""
    values = value if isinstance(value, list) else [value]
    return any(_matches(condition, item) for item in values if isinstance(item, str | int | float))


def _tests(select: SelectSection, keys: KeyStyle) -> Iterator[tuple[str, Callable[[Candidate], bool]]]:
    """(key, test) in the order of their cost."""
    if select.modality is not None:
        wanted = {code.upper() for code in select.modality}
        yield "select.modality", lambda one: one.instance.modality.upper() in wanted
    if not select.derived:
        yield "select.derived", lambda one: not is_derived(one.instance, Attributes(one.record(), keys))
    if select.exclude_words:
        yield "select.exclude_words", _without_words(select.exclude_words, keys)
    for keyword, condition in select.where.items():
        yield f"select.where.{keyword}", _on_element(keyword, condition, keys)


def _without_words(words: Sequence[str], keys: KeyStyle) -> Callable[[Candidate], bool]:
    """Whether none of the words stands in a description: between letters and digits there is no word."""
    pattern = words_pattern(words)

    def passes(one: Candidate) -> bool:
        record = Attributes(one.record(), keys)
        return not any(pattern.search(record.text(name)) for name in DESCRIPTIONS)

    return passes


def words_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """What finds one of the words of `select.exclude_words` in a text, in any case, as a whole word."""
    spelt = "|".join(r"[\s_-]+".join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<![^\W_])(?:{spelt})(?![^\W_])", re.IGNORECASE)


def _on_element(keyword: str, condition: ConditionSection, keys: KeyStyle) -> Callable[[Candidate], bool]:
    return lambda one: matches(condition, Attributes(one.record(), keys).value(keyword))


def _matches(condition: ConditionSection, value: str | int | float) -> bool:
    if condition.equals is not None and not _same(value, condition.equals):
        return False
    if condition.one_of is not None and not any(_same(value, wanted) for wanted in condition.one_of):
        return False
    if condition.range is not None and not _between(value, *condition.range):
        return False
    return condition.regex is None or re.search(condition.regex, str(value)) is not None


def _same(value: str | int | float, wanted: str | int | float) -> bool:
    """Numbers by value, also where a header holds one as text (a date); texts letter by letter."""
    return str(value) == wanted if isinstance(wanted, str) else _number(value) == wanted


def _between(value: str | int | float, low: str | float | None, high: str | float | None) -> bool:
    """Bounds included. Texts compare as texts: those of dates and times (DA, TM, PS3.5 6.2) then follow each other."""
    if isinstance(low, str) or isinstance(high, str):
        text = str(value)
        return (low is None or text >= str(low)) and (high is None or text <= str(high))
    number = _number(value)
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def _number(value: str | int | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _outcome(stage: str, detail: str = "") -> Outcome:
    return Outcome("skipped", stage, REASON, detail)

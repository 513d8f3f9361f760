"""Words of protocol names: where they begin and end, and which rules they fire.

Protocol names are no prose: "t2_tse_fs_tra", "T1W3D", "AX T1 +C". A word ends where letters end, so underscores, digits
and signs are boundaries: "fs" is in "t2_fs" and "t2fs", not in "fse". A blank inside a word of the rules stands for
any run of separators, or none: "dark fluid" is in "dark-fluid" and "darkfluid". Nothing here knows what a word means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

# Joins the texts of one row; no word reaches from one text into the next.
BREAK = "\n"
_GAP = r"[^a-z0-9\n]*"


class Rule(Protocol):
    """What a rule must have so that words can fire it."""

    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def patterns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def unless(self) -> tuple[str, ...]: ...  # noqa: D102


R = TypeVar("R", bound=Rule)


def word_pattern(word: str) -> str:
    """Regular expression that finds a word in lower-case text.

    A boundary is asked for only beside an ASCII letter or digit: "+c" may follow anything, and Chinese is written
    without blanks.
    """
    text = word.lower()
    body = _GAP.join(re.escape(part) for part in text.split())
    return _boundary(text[0], "(?<!{})") + body + _boundary(text[-1], "(?!{})")


def _boundary(letter: str, form: str) -> str:
    if not letter.isascii() or not letter.isalnum():
        return ""
    return form.format("[0-9]" if letter.isdigit() else "[a-z]")


class Matcher(Generic[R]):
    """A list of rules, compiled once; the first to match comes first.

    Texts repeat (a study of 500 files has ten protocol names), so what a text fires is remembered.
    """

    def __init__(self, rules: Iterable[R]) -> None:
        self._rules = [
            (
                rule,
                _compiled([*map(word_pattern, rule.words), *rule.patterns]),
                _compiled(map(word_pattern, rule.unless)),
            )
            for rule in rules
        ]
        self._seen: dict[str, tuple[R, ...]] = {}

    def all(self, text: str) -> Sequence[R]:
        """Every rule with a match in `text` (lower case), in the order of the list."""
        found = self._seen.get(text)
        if found is None:
            found = tuple(rule for rule, wanted, unless in self._rules if _in(wanted, text) and not _in(unless, text))
            self._seen[text] = found
        return found

    def first(self, text: str) -> R | None:
        """The first rule with a match in `text`, or None."""
        found = self.all(text)
        return found[0] if found else None


def _compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(joined) if joined else None


def _in(pattern: re.Pattern[str] | None, text: str) -> bool:
    return pattern is not None and pattern.search(text) is not None

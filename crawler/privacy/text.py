"""Free text without what identifies: words that the file itself knows of persons and places, and what looks like such.

First the words of the identifying elements of the same file (`Known`) are searched, compared without accents, case and
separators. Then patterns: dates, long numbers, mails, addresses of the web, phones, titles with the name behind them,
paths. There is no model of language in it: a name that no identifying element holds, and that no title announces, is
not found. Who cannot accept that sets `text: vocabulary` or `drop`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from crawler.privacy.standard import vocabulary

MARK = "[removed]"
_LEAST = 3  # letters of a word that is searched
_PART = 5  # letters that two words must share to count as one when either is cut off
_LEAST_DIGITS = 4
_WORD = re.compile(r"[^\W_]+")
_MONTHS = "jan|feb|mar|m[aä]r|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_TITLES = (
    "dr|mr|mrs|ms|prof|pt|patient|name|dob|mrn|pid|acc|accession|ref|referred by|tech|operator|physician|herr|frau"
)
_PATTERNS = re.compile(
    r"[\w.+-]+@[\w.-]+"  # mail
    r"|\b(?:https?|ftp|file)://\S+|\bwww\.\S+"
    r"|\b[A-Za-z]:\\\S*|\\\\\S+|(?<!\w)~?/(?:[\w.-]+/)+\S*"  # paths
    rf"|\b\d{{1,2}}\.?[\s-]*(?:{_MONTHS})[a-z]*\.?[\s,-]*\d{{2,4}}\b"
    rf"|\b(?:{_MONTHS})[a-z]*\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{2,4}}\b"
    r"|\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b"  # dates
    r"|\b\d{1,2}:\d{2}(?::\d{2})?\b"  # times
    r"|\+?\(?\d[\d\s()/.-]{6,}\d"  # phones, identifiers with separators
    rf"|\b(?:{_TITLES})\b\.?\s*[:=#]*\s*[^\s,;]+(?:[\s,^]+[A-ZÀ-Þ][^\s,;]*)?"
    r"|[\w-]*\^[\w^-]*"  # components of a PN
    r"|\b[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*",  # four digits in a word: an identifier, a year
    re.IGNORECASE,
)
_REMEMBERED = 20_000  # words and texts of a run: what is done to them without regard to whose they are
_SHORT = re.compile(r"[^\W\d_]{0,3}\d{0,3}[^\W\d_]{0,3}|\d{1,3}[a-z%]{0,4}")


@lru_cache(_REMEMBERED)
def folded(text: str) -> str:
    """Text without case and accents; German umlauts as they are without them."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss").replace("ø", "o").replace("ł", "l"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@lru_cache(_REMEMBERED)
def squeezed(text: str) -> str:
    """Letters and digits alone, folded."""
    return "".join(filter(str.isalnum, folded(text)))


@dataclass(frozen=True)
class Known:
    """What a file knows of persons and places, to be searched in its text.

    Attributes
    ----------
    words
        Folded words.
    wholes
        Whole values, letters and digits alone, which are found across separators.
    """

    words: frozenset[str] = frozenset()
    wholes: tuple[str, ...] = ()
    memo: dict[str, str | None] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, values: Iterable[str]) -> Known:
        """From values of identifying elements."""
        words: set[str] = set()
        wholes: set[str] = set()
        for value in values:
            for group in value.split("="):
                whole = squeezed(group)
                if len(whole) >= _PART:
                    wholes.add(whole)
                for word in _WORD.findall(folded(group).replace("ae", "a").replace("oe", "o").replace("ue", "u")):
                    words |= {word} if _counts(word) else set()
                for word in _WORD.findall(folded(group)):
                    words |= {word} if _counts(word) else set()
        return cls(frozenset(words), tuple(sorted(wholes)))

    def has(self, word: str) -> bool:
        """Whether a word is one of these, or one cut off."""
        word = folded(word)
        if word in self.words:
            return True
        if len(word) < _PART:
            return False
        return any(one.startswith(word) or one in word for one in self._long)

    @cached_property
    def _long(self) -> tuple[str, ...]:
        """Words that are found when they are cut off."""
        return tuple(one for one in self.words if len(one) >= _PART)

    def is_in(self, text: str) -> bool:
        """Whether any of these stands in a text, spaces and separators or not."""
        if not self.words and not self.wholes:
            return False
        if any(self.has(word) for word in _WORD.findall(text)):
            return True
        plain = squeezed(text)
        return any(whole in plain for whole in self.wholes)

    def clean(self, text: str) -> str | None:
        """The text with a mark in place of what identifies; None where nothing of it is left."""
        found = self.memo.get(text, "")
        if found == "":
            found = self.memo[text] = self._clean(text)
        return found

    def _clean(self, text: str) -> str | None:
        kept = _without_patterns(text)
        if self.words:
            kept = _WORD.sub(lambda word: MARK if word[0] != "removed" and self.has(word[0]) else word[0], kept)
        rest = kept.replace(MARK, "")
        plain = squeezed(rest)
        if not plain or any(whole in plain for whole in self.wholes):
            return None
        return kept


@lru_cache(_REMEMBERED)
def _without_patterns(text: str) -> str:
    return _PATTERNS.sub(MARK, text)


@lru_cache(_REMEMBERED)
def is_vocabulary(text: str) -> bool:
    """Whether a text holds words of the standard, short numbers and words of three letters, and nothing else."""
    words = vocabulary()
    return all(word.lower() in words or _SHORT.fullmatch(word) for word in _WORD.findall(text))


def is_free_of_numbers(text: str) -> bool:
    """Whether a code string (PS3.5 6.2, CS) holds no four digits, which a defined term does not."""
    return sum(letter.isdigit() for letter in text) < _LEAST_DIGITS


def _counts(word: str) -> bool:
    """Whether a word is worth the search: three letters, four digits, or two signs of a script without letters."""
    if word.isdigit():
        return len(word) >= _LEAST_DIGITS
    return len(word) >= (_LEAST if word.isascii() else 2)

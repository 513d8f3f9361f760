"""From a request to the series and instances that it means, by finds at study, series and image level.

It sends queries and retrieves nothing. What a server does not tell (counts, instances) stays None, and is not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from crawler.errors import RequestError
from crawler.pacs.model import Finder, Level, Match, Note
from crawler.pacs.query import of_level
from crawler.pacs.wanted import Listed

Accept = Callable[[Match], bool]
# What is asked of each level beside the keys of the request (PS3.4 C.6.2.1, C.3.4): enough to count and to retrieve.
RETURNED: dict[str, tuple[str, ...]] = {
    "study": ("StudyInstanceUID", "StudyDate", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"),
    "series": ("SeriesInstanceUID", "Modality", "SeriesNumber", "NumberOfSeriesRelatedInstances"),
    "image": ("SOPInstanceUID", "SOPClassUID", "AvailableTransferSyntaxUID"),
}


@dataclass(frozen=True, slots=True)
class Study:
    """A study that a request means, and the series of it that are wanted."""

    uid: str
    keys: Mapping[str, str]
    series: tuple[Listed, ...]
    whole: bool
    """Whether all of its series are wanted, and all their instances."""
    some: bool = False
    """Whether of each series some instances are wanted only."""


class Planner:
    """Asks a server what requests mean.

    Parameters
    ----------
    accept
        Whether a series is wanted, by what the server says of it at series level.
    note
        Told, in sentences without identifiers, what may be incomplete.
    """

    def __init__(self, finder: Finder, accept: Accept, note: Note) -> None:
        self._finder, self._accept, self._note = finder, accept, note

    def studies(self, keys: Mapping[str, str]) -> Iterator[str]:
        """Study Instance UIDs that a request matches, once each.

        Raises
        ------
        RequestError
            The server failed the query.
        """
        wanted = of_level(keys, ("study",))
        level: Level = "study"
        if not any(wanted.values()):
            # Only keys of lower levels: asked there, which servers that know relational queries answer.
            level, wanted = ("series" if any(of_level(keys, ("series",)).values()) else "image"), dict(keys)
        seen: set[str] = set()
        asked = {keyword: "" for keyword in RETURNED["study"][:1] if level != "study"}
        returned = dict.fromkeys(RETURNED[level], "")
        for match in self._finder.find(level, {**returned, **asked, **wanted}, self._note):
            uid = _text(match, "StudyInstanceUID")
            if uid and uid not in seen:
                seen.add(uid)
                yield uid

    def study(self, uid: str, keys: Mapping[str, str], known: Mapping[str, int] | None = None) -> Study:
        """The series of a study that a request means, each with its instances where the server lists them.

        Parameters
        ----------
        known
            Series -> number of its instances: one of which the server says the same number is left out.

        Raises
        ------
        RequestError
            The server failed the query for the series.
        """
        at_series, at_image = of_level(keys, ("series",)), of_level(keys, ("image",))
        asked = {**dict.fromkeys(RETURNED["series"], ""), **at_series, "StudyInstanceUID": uid}
        found: list[Listed] = []
        whole = not (any(at_series.values()) or any(at_image.values()))
        for match in self._finder.find("series", asked, self._note):
            series = _text(match, "SeriesInstanceUID")
            if not _names_one(series):
                self._note("a series without a usable UID in the server's answer was left out")
                continue
            if known is not None and series in known and known[series] == _count(match):
                continue
            if self._accept(match):
                found.append(self._series(uid, series, match, at_image))
            else:
                whole = False
        found = [one for one in found if one.instances or not at_image]
        return Study(uid, keys, tuple(found), whole, any(at_image.values()))

    def _series(self, study: str, uid: str, match: Match, at_image: Mapping[str, str]) -> Listed:
        modality = _text(match, "Modality")
        expected = _count(match)
        above = {"StudyInstanceUID": study, "SeriesInstanceUID": uid}
        asked = {**dict.fromkeys(RETURNED["image"], ""), **at_image, **above}
        try:
            matches = list(self._finder.find("image", asked, self._note))
        except RequestError as error:
            if at_image:  # without the list it is not known which ones are meant
                raise
            self._note(f"instances of a series are not listed ({error.reason}): only their number is checked")
            return Listed(study, uid, modality, expected, None)
        instances = {
            _text(one, "SOPInstanceUID"): (_text(one, "SOPClassUID"), _text(one, "AvailableTransferSyntaxUID"))
            for one in matches
            if _names_one(_text(one, "SOPInstanceUID"))
        }
        if at_image:
            return Listed(study, uid, modality, None, instances)
        if not instances and expected != 0:
            return Listed(study, uid, modality, expected, None)
        if expected is not None and expected > len(instances):
            self._note(
                f"a series is said to have {expected:,} instances, and {len(instances):,} were listed:"
                " those beyond are taken as they come"
            )
        return Listed(study, uid, modality, expected, instances)


def _names_one(uid: str) -> bool:
    """Whether an instance can be asked for by this UID. Broken ones exist, and servers keep and send them."""
    return bool(uid) and uid.isprintable() and not set(uid) & set("*?\\")


def _count(match: Match) -> int | None:
    """(0020,1209) *Number of Series Related Instances*; None where the server does not say."""
    told = _text(match, "NumberOfSeriesRelatedInstances")
    return int(told) if told.isascii() and told.isdigit() else None


def _text(match: Match, keyword: str) -> str:
    """The first value of an attribute; empty when it has none."""
    value = match.get(keyword, "")
    if isinstance(value, list):
        value = value[0] if value else ""
    return value.strip("\0 ")

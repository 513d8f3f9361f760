"""Asking a server what it holds, so that nothing is cut off or left out in silence (PS3.4 C.4.1, PS3.18 10.6).

Walks from studies to series to instances, since few servers answer across levels; splits queries whose answer may have
been cut off; compares the answers with the query again. How one query is sent is up to `cfind.py` and `qido.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Protocol

from crawler.errors import PacsError, RequestError
from crawler.pacs.matches import fits
from crawler.pacs.model import Level, Match, Note
from crawler.pacs.pieces import halves, suspicious
from crawler.pacs.query import is_universal, level_of, wrong_key

# Asked for at each level beside the query's own keys; the first tells matches apart.
_RETURNED: dict[str, tuple[str, ...]] = {
    "study": ("StudyInstanceUID", "StudyDate", "StudyTime", "PatientID"),
    "series": ("SeriesInstanceUID", "Modality"),
    "image": ("SOPInstanceUID", "SOPClassUID"),
}
_COUNTS = {"series": "NumberOfStudyRelatedSeries", "image": "NumberOfSeriesRelatedInstances"}
_MODALITIES = "ModalitiesInStudy"
_ABOVE = ("StudyInstanceUID", "SeriesInstanceUID")
_PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
# Times that a query is split in two: dates of 120 years to a day are 16, a day to a second 17, some identifiers.
_DEPTH = 48


class CutOff(RequestError):
    """The server says itself that there is more (0xA700, 0xFE00); the matches so far were yielded."""


class Asker(Protocol):
    """Sends one query and yields its answers, none of them twice in one page."""

    def ask(self, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        """Yield the answers.

        Raises
        ------
        CutOff, RequestError, PacsError
            See `Finder`.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class _Notes:
    """Tells each sentence once a find."""

    def __init__(self, note: Note | None) -> None:
        self._note = note
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        if self._note is not None and text not in self._told:
            self._told.add(text)
            self._note(text)


class SearchFinder:
    """A `Finder` over one way to send queries; it remembers the limits that it has met. Safe among threads."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._limits: set[int] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close connections; idempotent."""
        self._asker.close()

    def find(self, level: Level, keys: Mapping[str, str], note: Note | None = None) -> Iterator[Match]:
        """Ask; see `Finder`."""
        for keyword in keys:
            if wrong := wrong_key(keyword):
                raise PacsError(f"{keyword}: {wrong}")
        return self._find(level, {key: value.strip() for key, value in keys.items()}, _Notes(note))

    def _find(self, level: Level, keys: dict[str, str], notes: _Notes) -> Iterator[Match]:
        if level == "patient":
            yield from self._patients(keys, notes)
        elif level == "study":
            deeper = {key for key, value in keys.items() if level_of(key) != "study" and not is_universal(value)}
            owners = self._owners(keys)
            if owners is not None:
                keys = {**keys, "StudyInstanceUID": "\\".join(dict.fromkeys(study for study, _ in owners))}
            for study in self._studies(keys, notes):
                if not deeper or self._holds(study, keys, deeper, notes):
                    yield study
        elif level == "series":
            for study in self._parents("study", keys, notes):
                yield from self._below("series", study, keys, notes)
        else:
            for series in self._parents("series", keys, notes):
                yield from self._below("image", series, keys, notes)

    def _patients(self, keys: dict[str, str], notes: _Notes) -> Iterator[Match]:
        """Patients through their studies: some servers know no Patient Root model, and DICOMweb has no patients."""
        seen: set[tuple[str, ...]] = set()
        for study in self._find("study", {**dict.fromkeys(_PATIENT, ""), **keys}, notes):
            patient = {key: value for key, value in study.items() if key in keys or key in _PATIENT}
            mark = tuple(str(study.get(key, "")) for key in _PATIENT[:2])
            if mark not in seen:
                seen.add(mark)
                yield patient

    def _parents(self, level: Level, keys: dict[str, str], notes: _Notes) -> Iterator[Match]:
        """What to ask below: the one that the query names, or all that match its keys of that level and above."""
        study, series = keys.get("StudyInstanceUID", ""), keys.get("SeriesInstanceUID", "")
        owners = self._owners(keys)
        if owners is not None:
            for one, other in dict.fromkeys(owners if level == "series" else [(one, "") for one, _ in owners]):
                yield {"StudyInstanceUID": one, "SeriesInstanceUID": other}
        elif level == "study":
            if _is_one(study) and all(
                is_universal(keys[key]) for key in keys if key != "StudyInstanceUID" and level_of(key) == "study"
            ):
                yield {"StudyInstanceUID": study}
                return
            above = {key: value for key, value in keys.items() if level_of(key) == "study"}
            yield from self._studies({_COUNTS["series"]: "", **above}, notes)
        elif _is_one(study) and _is_one(series):
            yield {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        else:
            above = {key: value for key, value in keys.items() if level_of(key) != "image"}
            yield from self._find("series", {_COUNTS["image"]: "", **above}, notes)

    def _owners(self, keys: Mapping[str, str]) -> list[tuple[str, str]] | None:
        """Study and series of what a query names by UIDs alone, by asking for these as such.

        Servers that know no relational queries (PS3.4 C.4.1.2.2.1) answer otherwise: None, and studies are walked.
        """
        if any(not is_universal(value) for key, value in keys.items() if level_of(key) == "study"):
            return None
        level: Level = "series" if is_universal(keys.get("SOPInstanceUID", "")) else "image"
        unique = _RETURNED[level][0]
        wanted = [uid.strip() for uid in keys.get(unique, "").split("\\")]
        if not all(map(_is_one, wanted)):
            return None
        asked = {**dict.fromkeys(_ABOVE, ""), unique: "\\".join(wanted)}
        found: dict[str, tuple[str, str]] = {}
        try:
            for match in self._asker.ask(level, asked):
                study, series = (_text(match, key) for key in _ABOVE)
                if study and series:
                    found[_text(match, unique)] = study, series
        except RequestError:
            return None
        return [found[uid] for uid in wanted] if found.keys() == set(wanted) else None

    def _holds(self, study: Match, keys: dict[str, str], deeper: set[str], notes: _Notes) -> bool:
        """Whether a study has a series or an instance that fits the keys below the level of studies."""
        level: Level = "image" if any(level_of(key) == "image" for key in deeper) else "series"
        below = {key: keys[key] for key in deeper}
        return any(
            True for _ in self._find(level, {**below, "StudyInstanceUID": _text(study, "StudyInstanceUID")}, notes)
        )

    # -- one level --------------------------------------------------------------------------------------------------

    def _studies(self, keys: dict[str, str], notes: _Notes) -> Iterator[Match]:
        """All studies that match, each once."""
        asked = {key: value for key, value in keys.items() if level_of(key) == "study"}
        seen: set[str] = set()
        modalities = asked.get(_MODALITIES, "")
        for study in self._pieces({**dict.fromkeys(_RETURNED["study"], ""), **asked}, seen, set(), notes, 0):
            # An optional key (PS3.4 table C.6-5): a server that does not return it has not matched it either.
            if (
                is_universal(modalities)
                or study.get(_MODALITIES)
                or self._holds(study, {"Modality": modalities}, {"Modality"}, notes)
            ):
                yield study

    def _pieces(
        self, keys: dict[str, str], seen: set[str], ignored: set[str], notes: _Notes, depth: int
    ) -> Iterator[Match]:
        """Studies of a query, and of its pieces when its answer may have been cut off."""
        count, cut = 0, None
        try:
            for match in self._asker.ask("study", keys):
                count += 1
                uid = _text(match, "StudyInstanceUID")
                if not uid:
                    notes("an answer without a StudyInstanceUID was left out")
                elif self._fits(match, keys, ignored, notes) and uid not in seen:
                    seen.add(uid)
                    yield match
        except CutOff as error:
            cut = error
        if cut is None and not suspicious(count) and count not in self._limits:
            return
        keyword, pieces = halves(keys, frozenset(ignored), date.today()) if depth < _DEPTH else ("", [])
        if not pieces:
            if cut is not None and not count:
                raise RequestError(cut.reason, cut.outcome, cut.status)
            notes(f"a query was answered with {count} studies, perhaps not all, and cannot be split further")
            return
        why = "the server says that there are more" if cut is not None else "a count at which servers cut off"
        notes(f"a query was answered with {count} studies, {why}: asked again in pieces by {keyword}")
        if keyword == "PatientID":
            notes("patients whose identifier begins with another sign than a letter, a digit or -_. may be missing")
        elif not keys.get(keyword, "").strip("* "):
            notes(f"studies without a {keyword} are in no piece and may be missing")
        before = len(seen)
        for piece in pieces:
            yield from self._pieces(piece, seen, ignored, notes, depth + 1)
        if len(seen) > before:
            with self._lock:
                self._limits.add(count)

    def _below(self, level: Level, parent: Match, keys: dict[str, str], notes: _Notes) -> Iterator[Match]:
        """Series of a study, or instances of a series; what the parent's answer says is passed on."""
        above = _ABOVE[:1] if level == "series" else _ABOVE
        uids = {key: _text(parent, key) for key in above}
        if not all(uids.values()):
            return
        own = {key: value for key, value in keys.items() if level_of(key) == level and key not in above}
        asked = {**dict.fromkeys(_RETURNED[level], ""), **own, **uids}
        unique = _RETURNED[level][0]
        passed = {key: value for key, value in parent.items() if key in keys or key in uids}
        seen: set[str] = set()
        count = 0
        try:
            for match in self._asker.ask(level, asked):
                count += 1
                uid = _text(match, unique)
                if uid and uid not in seen and self._fits(match, own, set(), notes):
                    seen.add(uid)
                    yield {**passed, **match, **uids}
        except CutOff as error:
            if not count:
                raise RequestError(error.reason, error.outcome, error.status) from error
            notes(f"the server cut off what it lists of a {'study' if level == 'series' else 'series'}: {error.reason}")
            return
        if (suspicious(count) or count in self._limits) and all(is_universal(value) for value in own.values()):
            self._confirm(level, parent, count, notes)

    def _confirm(self, level: Level, parent: Match, count: int, notes: _Notes) -> None:
        """Compare a round count with the one that the server keeps, if it keeps one."""
        keyword = _COUNTS[level]
        told = _text(parent, keyword)
        if not told:
            above: Level = "study" if level == "series" else "series"
            uids: dict[str, str] = {key: _text(parent, key) for key in _ABOVE if key in parent}
            if level == "series":
                uids.pop("SeriesInstanceUID", None)
            told = next((_text(match, keyword) for match in self._asker.ask(above, {**uids, keyword: ""})), "")
        things = "series of a study" if level == "series" else "instances of a series"
        if told.isdigit() and int(told) > count:
            with self._lock:
                self._limits.add(count)
            notes(f"the server lists {count} {things} and counts {told}: the list was cut off")
        elif not told:
            notes(f"the server lists {count} {things}, a count at which servers cut off, and keeps no count to compare")

    def _fits(self, match: Match, keys: Mapping[str, str], ignored: set[str], notes: _Notes) -> bool:
        """Whether an answer is one to the query, and not to a part of it."""
        good = True
        for keyword, asked in keys.items():
            if is_universal(asked) or (keyword == _MODALITIES and not match.get(keyword)):
                continue
            found = match.get(keyword)
            if found is None:
                notes(f"the server does not return {keyword}, so whether it was matched is not known")
            elif not fits(keyword, asked, found):
                good = False
                ignored.add(keyword)
                notes(f"the server leaves the key {keyword} out of account; what does not match was dropped")
        return good


def _text(match: Match, keyword: str) -> str:
    """An attribute as one text; "" when there is none."""
    found = match.get(keyword, "")
    return found if isinstance(found, str) else found[0] if found else ""


def _is_one(uid: str) -> bool:
    return bool(uid) and not is_universal(uid) and "\\" not in uid and "*" not in uid

"""The audit of a finished output: its every byte searched for what the originals say of persons, and a report of it.

The public report has counts, rules and digests and no value; the private one says which text stands where. That nothing
was found is no proof that nothing is there: what was searched, and what was not, is in both.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from crawler.config.privacy import PrivacySection
from crawler.dicom.dictionary_tables import public
from crawler.privacy.containers import Unopened, contents
from crawler.privacy.harvest import Harvest
from crawler.privacy.methods import CODES, earned
from crawler.privacy.rules import rule_of
from crawler.privacy.search import Needles
from crawler.privacy.standard import edition

NAME = "privacy_audit.json"
MADE_BY = "dme privacy audit"
QUASI = ("PatientAge", "PatientSex", "Modality", "BodyPartExamined", "ManufacturerModelName")
"""What may tell a subject from others together, of the rows."""


@dataclass
class Search:
    """What a search came to.

    Attributes
    ----------
    hits
        Text -> (file, kind of container), as often as it was found.
    """

    files: int = 0
    bytes: int = 0
    containers: Counter[str] = field(default_factory=Counter)
    unopened: list[tuple[str, str]] = field(default_factory=list)
    hits: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def search(folders: list[Path], needles: Needles, advance: Callable[[], object] = lambda: None) -> Search:
    """Search every file below some folders, their names, and what they pack."""
    found = Search()

    def look(place: str, kind: str, data: bytes) -> None:
        found.bytes += len(data)
        found.containers[kind] += 1
        for number in needles.found_in(data):
            found.hits.setdefault(needles.texts[number], []).append((place, kind))

    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            look(name, "name", name.encode("utf-8", "replace"))
            if path.is_symlink():
                look(name, "link", os.fsencode(os.readlink(path)))
            if not path.is_file() or path.is_symlink() or name == NAME:
                continue
            advance()
            found.files += 1
            try:
                for kind, data in contents(path):
                    if kind == "file":
                        found.digests[name] = hashlib.sha256(data).hexdigest()
                    look(name, kind, data)
            except (Unopened, OSError) as error:
                found.unopened.append((name, type(error).__name__))
    return found


def public_report(
    section: PrivacySection, key: str, harvested: Harvest, found: Search, rows: Path | None
) -> dict[str, Any]:
    """What everybody may read: counts below `k` are told as "<k", and no text of the originals."""
    table = list(_rows(rows)) if rows is not None and rows.exists() else []
    rules = Counter(f"{rule.source}: {rule.act.value}" for tag in public() if (rule := rule_of(tag, "", section)))
    kinds = Counter(harvested.texts.values())
    return {
        "made_by": MADE_BY,
        "standard": f"PS3.15 {edition()}",
        "profile": section.profile,
        "options": [*(section.retain or ()), f"dates: {section.dates}", f"text: {section.text}"],
        "method_codes": [CODES[name][0] for name in earned(section)],
        "key": key,
        "rules": dict(sorted(rules.items())),
        "actions_of_the_user": dict(sorted(section.actions.items())),
        "files_read": harvested.files,
        "texts_searched": {kind: told(count, section.k) for kind, count in sorted(kinds.items())},
        "texts_too_short_or_common": told(len(harvested.short), section.k),
        "not_searched": ["dates", "text in pixels", "names that stand in free text alone"],
        "bytes_searched": found.bytes,
        "places_searched": dict(sorted(found.containers.items())),
        "files_not_opened": len(found.unopened),
        "texts_found": len(found.hits),
        "held_back": {why: told(count, section.k) for why, count in _held(table).items()},
        "anonymity": anonymity(table, section.k),
        "sha256": dict(sorted(found.digests.items())),
    }


def private_report(harvested: Harvest, found: Search) -> dict[str, Any]:
    """Which text of the originals stands where."""
    return {
        "made_by": MADE_BY,
        "found": {text: {"from": harvested.texts[text], "in": places[:20]} for text, places in found.hits.items()},
        "not_opened": found.unopened,
        "too_short_or_common": sorted(harvested.short),
    }


def told(count: int, k: int) -> int | str:
    """A count as a public report tells it."""
    return count if count == 0 or count >= k else f"<{k}"


def anonymity(rows: list[dict[str, Any]], k: int) -> dict[str, Any]:
    """How many subjects share their visible traits with others (k-anonymity): of subjects, not of files."""
    subjects: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        subject = row.get("PatientID")
        if isinstance(subject, str):
            subjects.setdefault(subject, set()).add(tuple(_trait(row.get(name), name) for name in QUASI))
    groups = Counter(frozenset(traits) for traits in subjects.values())
    below = sum(count for count in groups.values() if count < k)
    return {
        "traits": list(QUASI),
        "subjects": told(len(subjects), k),
        "smallest_group": told(min(groups.values(), default=0), k),
        "subjects_in_groups_below_k": told(below, k),
        "k": k,
    }


def _trait(value: Any, name: str) -> str:
    if name == "PatientAge" and isinstance(value, str) and value.endswith("Y") and value[:3].isdigit():
        return f"{int(value[:3]) // 10}0s"
    return str(value)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)


def _held(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(str(row.get("stage")) for row in rows if row.get("reason") == "held by privacy")

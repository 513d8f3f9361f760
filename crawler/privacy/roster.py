"""The roster: which identifiers are of one subject, and what the custodian knows of it beside.

A CSV file with the columns subject and PatientID; the texts of all other columns are searched in the free text of the
subject's files. It opens this file and nothing else.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field

from crawler.errors import ConfigError
from crawler.paths import readable

_SUBJECT, _NUMBER = "subject", "PatientID"


@dataclass(frozen=True)
class Roster:
    """What a roster says.

    Attributes
    ----------
    subjects
        Identifier of a patient -> the subject that it belongs to.
    texts
        Subject -> its identifiers, and the texts of the other columns.
    """

    subjects: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def texts_of(self, identity: tuple[str, ...]) -> tuple[str, ...]:
        """What is known of an identity (`Policy.identity`); nothing of one that is no subject."""
        return self.texts.get(identity[1], ()) if identity[0] == "subject" else ()


NOBODY = Roster()


def read_roster(path: str) -> Roster:
    """Read a roster.

    Raises
    ------
    ConfigError
        It cannot be read, or a line lacks its subject or its PatientID.
    """
    name = f"privacy.patients: {readable(path)}"
    subjects: dict[str, str] = {}
    texts: dict[str, dict[str, None]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                subject, number = row[_SUBJECT].strip(), row[_NUMBER].strip()
                if subjects.setdefault(number, subject) != subject:
                    raise ConfigError(f"{name}: one PatientID is of two subjects")
                others = [text.strip() for column, text in row.items() if column not in (_SUBJECT, None) and text]
                texts.setdefault(subject, {}).update(dict.fromkeys(filter(None, others)))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "expected CSV with the columns subject and PatientID"
        raise ConfigError(f"{name} cannot be read: {why}") from None
    if not subjects or "" in subjects or "" in texts:
        raise ConfigError(f"{name}: a line lacks its subject or its PatientID")
    return Roster(subjects, {subject: tuple(found) for subject, found in texts.items()})

"""The section `privacy` of the configuration: what de-identification keeps, and where what identifies goes.

Types, defaults and help of its keys, and which values a profile stands for. What a rule does to an element is decided
in `crawler/privacy/`; this module looks at no element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from crawler.config.sections import key as setting

Retain = Literal["patient", "device", "institution", "uids", "full_dates"]
Dates = Literal["weeks", "days", "remove", "keep"]
Text = Literal["drop", "vocabulary", "known", "keep"]
Action = Literal["keep", "remove", "empty", "replace", "clean"]


@dataclass(frozen=True, slots=True)
class KeySection:
    """Where the secret key is: in a file or in an environment variable, never in the configuration."""

    file: str | None = setting(None, "file that holds the key, as `dme privacy key FILE` makes it", shapes=False)
    env: str | None = setting(None, "environment variable that holds the key, 64 hexadecimal digits", shapes=False)


@dataclass(frozen=True, slots=True)
class PixelsSection:
    """Text that is burned into the pixels."""

    regions: bool = setting(
        True, "whether ultrasound is masked outside of its Sequence of Ultrasound Regions", shapes=False
    )
    detect: Literal["none", "strokes", "ocr"] = setting(
        "strokes",
        "strokes: mask what looks like writing in images at risk; ocr: what a network finds, too; none: hold them",
        shapes=False,
    )
    action: Literal["mask", "hold"] = setting(
        "mask", "mask: black out what is found; hold: keep the image back", shapes=False
    )
    rules: str | None = setting(
        None, "file of rules by device: rectangles to be masked or kept, hold, clean", shapes=False
    )


@dataclass(frozen=True, slots=True)
class PrivacySection:
    """De-identification of every output; a section that is present is on."""

    profile: Literal["basic", "research", "public"] = setting(
        "research",
        "what the keys retain, dates, text and private_tags are where they are null: basic keeps least, research most",
        shapes=False,
    )
    private: str | None = setting(
        None,
        "required: folder for what identifies (ledger, true paths, full log, linking table), outside of output.dir",
        shapes=False,
    )
    key: KeySection = setting(
        KeySection, "the secret key of pseudonyms, UIDs and shifts; else one for this run", shapes=False
    )
    site: str | None = setting(None, "issuer of patient identifiers, where a file names none", shapes=False)
    custodian: str | None = setting(
        None, "public key of the only one who shall open the linking table, a file", shapes=False
    )
    patients: str | None = setting(None, "CSV file of identifiers of one person: subject,PatientID", shapes=False)
    retain: tuple[Retain, ...] | None = setting(None, "what is kept beyond the basic profile of PS3.15", shapes=False)
    dates: Dates | None = setting(
        None, "weeks or days: shifted by so much for each patient; remove; keep", shapes=False
    )
    age: int = setting(89, "greatest age that is told, years", minimum=1, shapes=False)
    text: Text | None = setting(
        None,
        "free text; known: without names, identifiers and dates that the file knows, and what looks so",
        shapes=False,
    )
    structured: Literal["drop", "clean"] = setting("drop", "content of structured reports", shapes=False)
    private_tags: str | None = setting(
        None,
        "remove; safe: elements of makers that PS3.15 E.3.10-1 lists as safe; or a CSV file of others",
        shapes=False,
    )
    paths: Literal["keyed", "keep"] = setting("keyed", "names of files and folders in outputs", shapes=False)
    pixels: PixelsSection = setting(PixelsSection, "text that is burned into the pixels", shapes=False)
    faces: Literal["flag", "hold"] = setting("flag", "volumes that may show a face", shapes=False)
    documents: Literal["hold"] = setting("hold", "encapsulated documents", shapes=False)
    audio: Literal["hold"] = setting("hold", "sound, and encoded videos, which may have a sound track", shapes=False)
    actions: Mapping[str, Action] = setting(
        dict, "what becomes of single elements, by keyword, over all other rules", shapes=False
    )
    k: int = setting(
        5, "smallest group of subjects, and smallest count, that a public report tells", minimum=1, shapes=False
    )


PROFILES: dict[str, dict[str, object]] = {
    "basic": {"retain": (), "dates": "remove", "text": "drop", "private_tags": "remove"},
    "research": {"retain": ("patient",), "dates": "weeks", "text": "known", "private_tags": "safe"},
    "public": {"retain": ("patient",), "dates": "weeks", "text": "vocabulary", "private_tags": "remove"},
}
"""What the keys come to that are null."""


def resolved(section: PrivacySection) -> PrivacySection:
    """The section with what its profile stands for in place of null."""
    usual = PROFILES[section.profile]
    return replace(section, **{name: value for name, value in usual.items() if getattr(section, name) is None})  # type: ignore[arg-type]

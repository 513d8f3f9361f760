"""The policy: an instance as it was read becomes one that names nobody. It stands between reading and grouping.

So every later stage sees new UIDs, shifted dates and cleaned text, and no other: rows, tables, attributes, sidecars and
names are made of them. Geometry, diffusion and how pixels are coded were taken from the original before, and are the
same. Pure: it opens no file, and equal originals and keys give equal results, in every worker and every later run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from operator import is_not
from typing import Any, NamedTuple

from crawler.config.privacy import PrivacySection
from crawler.dicom.attributes import Attributes
from crawler.dicom.dictionary import KeyStyle, is_private, is_private_creator, key_for, key_of, tag_for
from crawler.dicom.dictionary_tables import public, registered_uids, repeating
from crawler.dicom.record import Record
from crawler.model import Instance
from crawler.privacy.answers import Answer
from crawler.privacy.content import REPLACED_VALUES, Fate, fate_of, text_rule, value_rule
from crawler.privacy.dates import age_at, capped_age
from crawler.privacy.devices import Devices
from crawler.privacy.hold import decide, shows_face
from crawler.privacy.identity import identifying_values, is_same_person, of_path, texts_of
from crawler.privacy.keys import Key
from crawler.privacy.messages import public_note, public_outcome
from crawler.privacy.methods import temporal
from crawler.privacy.private_tags import PrivateTags
from crawler.privacy.roster import NOBODY, Roster
from crawler.privacy.rules import Act, Rule, own_rules, rule_of
from crawler.privacy.text import Known
from crawler.privacy.traits import PublicTraits, public_pixels
from crawler.privacy.values import CHARACTER_SET, DROPPED, Patient, cleaned

# Schemes whose codes stay: PS3.16 8.2. Their forms, so that nothing else passes as a code.
_CODES = {
    "DCM": re.compile(r"\d{6}"),
    "SCT": re.compile(r"\d{6,18}"),
    "SRT": re.compile(r"[A-Z]-[0-9A-F]{4,6}"),
    "SNM3": re.compile(r"[A-Z]-[0-9A-F]{4,6}"),
    "LN": re.compile(r"\d{1,5}-\d"),
    "UCUM": re.compile(r"[A-Za-z0-9%/.*{}\[\]()^'-]{1,12}"),
    "FMA": re.compile(r"\d{4,6}"),
    "RADLEX": re.compile(r"RID\d{1,6}"),
}
_PRIVATE_KEY = re.compile(r"\(([0-9A-F]{4}),xx([0-9A-F]{2})\) (.*)", re.DOTALL)
_TAG_KEY = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")
_REPEATED = re.compile(r"#\d+\Z")
_CREATOR_KEY = re.compile(r"\([0-9A-F]{3}[13579BDF],00[1-9A-F][0-9A-F]\)")
_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
REMOVED_SAYS = {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "dme"}


class _Last(NamedTuple):
    """The last record, and what became of it; `place` is of where it was."""

    patient: Patient
    place: tuple[Any, ...]
    keys: list[str]
    values: list[Any]
    record: Record
    cleaned: Record


@dataclass
class Policy:
    """What is the same for all files of a run.

    Parameters
    ----------
    section
        With the values of its profile.
    key
        The secret.
    keys
        Style of the records' keys.
    roster
        Which identifiers are of one subject, and what else is known of it.
    listed
        Elements of makers that stay, by a file of the user's; None for those of the standard.
    devices
        What becomes of pictures of a device, by a file of the user's; None without.
    answers
        What a person said of items that are held back.

    Attributes
    ----------
    said
        Texts that identify in the last instance.
    """

    section: PrivacySection
    key: Key
    keys: KeyStyle = "keyword"
    roster: Roster = NOBODY
    listed: PrivateTags | None = None
    devices: Devices | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    _rules: dict[str, Rule] = field(default_factory=dict, repr=False)
    _last: _Last | None = field(default=None, repr=False)
    _known: dict[tuple[str, Any, tuple[str, str, str], frozenset[str]], Patient] = field(
        default_factory=dict, repr=False
    )

    def __post_init__(self) -> None:
        self._traits = PublicTraits(self.key)
        self.said: frozenset[str] = frozenset()

    def __call__(self, instance: Instance, also: frozenset[str] = frozenset()) -> Instance:
        """The instance without what identifies; its file keeps its true place, and gets a public name.

        Parameters
        ----------
        also
            Texts that identify in other instances of its scan.
        """
        record = instance.record
        last, changed = self._last, self._changed(record)
        place = _study(instance), _folder(instance), also
        if last is not None and changed is not None and last.place == place and is_same_person(changed, self.keys):
            patient = last.patient
        else:
            patient = self.patient_of(instance, also)
        self.said = patient.texts
        found = self._like_the_last(record, patient, place, changed)
        self._say(found, record)
        uid = self.uid
        fields = Attributes(record, self.keys)
        decision = decide(instance, fields, self.section, self.devices)
        notes = [*map(public_note, instance.header_notes), *_faces(instance, fields), decision.note]
        return instance._replace(
            held=decision.held,
            mask=decision.mask,
            record=found,
            transfer_syntax=self._registered(instance.transfer_syntax),
            sop_class=self._registered(instance.sop_class),
            sop_uid=uid(instance.sop_uid),
            study_uid=uid(instance.study_uid),
            series_uid=uid(instance.series_uid),
            frame_of_reference=uid(instance.frame_of_reference),
            modality=self.text_of(found, "Modality"),
            window_function=instance.window_function if instance.window_function in _FUNCTIONS else "LINEAR",
            pixels=public_pixels(instance.pixels),
            planes=self._traits.planes(instance.planes),
            header_fault=public_outcome(instance.header_fault) if instance.header_fault else None,
            header_notes=tuple(filter(None, dict.fromkeys(notes))),
        )

    def rule(self, key: str) -> Rule:
        """The rule of a record's key; an unknown one is of an element that is removed."""
        found = self._rules.get(key)
        if found is None:
            found = self._rules[key] = self._find_rule(_REPEATED.sub("", key))
        return found

    def path(self, native: str) -> str:
        """The name that outputs have for a relative path of the input."""
        return native if self.section.paths == "keep" else self.key.path(native)

    # -- records ---------------------------------------------------------------------------------------------------

    def _changed(self, record: Record) -> Record | None:
        """What is not as in the last record; None where it has other elements."""
        last = self._last
        if last is None or last.keys != list(record):
            return None
        others = compress(last.keys, map(is_not, record.values(), last.values))
        return {key: record[key] for key in others if record[key] != last.record[key]}

    def _like_the_last(
        self, record: Record, patient: Patient, place: tuple[Any, ...], changed: Record | None
    ) -> Record:
        """As `_record`. The files of a series differ in few elements: what is as in the last one is not done again."""
        last = self._last
        found: Record | None = None
        if last is not None and changed is not None and last.patient is patient:
            new = self._record(changed, patient)
            if new.keys() == changed.keys() & last.cleaned.keys():
                found = {**last.cleaned, **new}
        if found is None:
            found = self._record(record, patient)
        self._last = _Last(patient, place, list(record), list(record.values()), record, found)
        return found.copy()

    def _record(self, record: Record, patient: Patient) -> Record:
        found: Record = {}
        rules = self._rules
        for key, value in record.items():
            rule = rules.get(key) or self.rule(key)
            act = rule.act
            if act is Act.KEEP and rule.vr in _FAST and _is_number(value):
                found[key] = value
                continue
            if act is Act.REMOVE:
                continue
            if act is Act.ITEMS:
                if isinstance(value, list):
                    items = [self._item(item, patient) for item in value if isinstance(item, dict)]
                    found[key] = [item for item in items if item]
                elif value is None:
                    found[key] = None
                continue
            new: Any
            if rule is CODE_VALUE:
                new = self.code(value, record)
            elif rule.source == "private" and _CREATOR_KEY.fullmatch(key):
                new = value if isinstance(value, str) and self._is_safe_creator(key, value) else DROPPED
            else:
                new = cleaned(value, rule, patient)
            if new is not DROPPED:
                found[key] = new
        return found

    def _item(self, item: Record, patient: Patient) -> Record:
        """An item; empty where nothing of it stays."""
        fate = self.fate(lambda keyword: item.get(key_for(keyword, self.keys)))
        if fate is None:
            return self._record(item, patient)
        if fate is Fate.DROP:
            return {}
        found = self._record(item, patient)
        text = key_for("TextValue", self.keys)
        for keyword in ("TextValue", *REPLACED_VALUES) if fate is Fate.REPLACE else ("TextValue",):
            key = key_for(keyword, self.keys)
            if item.get(key) is not None:
                rule = text_rule(fate) if key == text else value_rule(self.rule(key).vr)
                new = cleaned(item[key], rule, patient)
                if new is DROPPED:
                    return {}  # a text of which nothing is left
                found[key] = new
        return found

    def fate(self, value: Callable[[str], Any]) -> Fate | None:
        """What becomes of an item, of whose elements `value` tells; None for one that is no content item."""
        name, kind = value("ConceptNameCodeSequence"), value("ValueType")
        if self.section.structured != "clean" or (name is None and kind is None):
            return None
        concept = name[0] if name else {}
        words = [concept.get(key_for(keyword, self.keys)) for keyword in ("CodingSchemeDesignator", "CodeValue")]
        scheme, code, kind = (word if isinstance(word, str) else "" for word in (*words, kind))
        return fate_of(scheme, code, kind, self.section)

    def _find_rule(self, key: str) -> Rule:
        tag, creator = self._tag_of(key)
        if tag is None:
            return Rule(Act.REMOVE, "UN", "vr")
        own = own_rules(tuple(sorted(self.section.actions.items()))).get(tag)
        if tag == 0x00080100 and own is None:
            return CODE_VALUE
        if tag == 0x00080005:
            return Rule(Act.KEEP, CHARACTER_SET, "vr")
        if is_private(tag) and is_private_creator(tag):
            return Rule(Act.KEEP if self.section.private_tags != "remove" else Act.REMOVE, "LO", "private")
        rule = rule_of(tag, creator, self.section, self.listed)
        return rule if own is None else Rule(own, rule.vr, "actions")

    def _tag_of(self, key: str) -> tuple[int | None, str]:
        """Tag and private creator that a key of a record stands for."""
        if match := _PRIVATE_KEY.fullmatch(key):
            return int(match[1] + "10" + match[2], 16), match[3]
        if match := _TAG_KEY.fullmatch(key):
            return int(match[1] + match[2], 16), ""
        if self.keys == "keyword" and (tag := tag_for(key)) is not None:
            return tag, ""
        name, _, group = key.rpartition("_")
        if name and re.fullmatch("[0-9A-F]{4}", group):  # a repeating group above the first
            return self._repeated(name, group), ""
        return _names(self.keys).get(key), ""

    def _repeated(self, name: str, group: str) -> int | None:
        first = _names(self.keys).get(name)
        return None if first is None else int(group, 16) << 16 | first & 0xFFFF

    def _is_safe_creator(self, key: str, creator: str) -> bool:
        return rule_of(int(key[1:5] + key[6:10], 16), creator, self.section, self.listed).act is Act.KEEP

    def code(self, value: Any, record: Record) -> Any:
        """A code of a scheme that everybody shares stays, in the form that the scheme has."""
        scheme = record.get(key_for("CodingSchemeDesignator", self.keys))
        form = _CODES.get(scheme) if isinstance(scheme, str) else None
        return value if form is not None and isinstance(value, str) and form.fullmatch(value) else DROPPED

    def _say(self, found: Record, record: Record) -> None:
        """Add what the standard wants said of a de-identified object (PS3.15 E.1.1), and an age that is not there."""
        for keyword, value in REMOVED_SAYS.items():
            found[key_for(keyword, self.keys)] = value
        found[key_for("LongitudinalTemporalInformationModified", self.keys)] = temporal(self.section)
        age = key_for("PatientAge", self.keys)
        if self.rule(age).act is Act.AGE and not found.get(age):
            told = age_at(*(self.text_of(record, keyword) for keyword in ("PatientBirthDate", "StudyDate")))
            capped = capped_age(told, self.section.age) if told else None
            if capped:
                found[age] = capped

    # -- who -------------------------------------------------------------------------------------------------------

    def identity(self, instance: Instance) -> tuple[str, ...]:
        """What a pseudonym is made of: the roster's subject, or issuer and identifier, or the study where none is."""
        record = instance.record
        number = self.text_of(record, "PatientID").strip()
        if number:
            issuer = self.text_of(record, "IssuerOfPatientID").strip() or self.section.site or ""
            known = self.roster.subjects.get(number)
            return ("subject", known) if known is not None else ("patient", issuer, number)
        return "study", _study(instance)

    def patient_of(self, instance: Instance, also: frozenset[str] = frozenset()) -> Patient:
        """What the values of an instance, as it was read, are changed by; `also`: texts of others of its scan."""
        record = instance.record
        values: Any = identifying_values(record, self.keys)
        folder, study = _folder(instance), _study(instance)
        place = study, values, folder, also
        try:
            found = self._known.get(place)
        except TypeError:  # of several values, which are a list
            place = study, repr(values), folder, also
            found = self._known.get(place)
        if found is None:
            identity = self.identity(instance)
            texts = frozenset(
                (*texts_of(values), *of_path(os.sep.join(folder)), *self.roster.texts_of(identity), *also)
            )
            section = self.section
            found = self._known[place] = Patient(
                self.key,
                self.key.subject(*identity),
                self.key.days(*identity, weeks=section.dates != "days"),
                Known.of(texts),
                section.age,
                section.text or "drop",
                "uids" in (section.retain or ()),
                texts,
            )
            while len(self._known) > 256:
                del self._known[next(iter(self._known))]
        return found

    # -- what was taken from the original before -------------------------------------------------------------------

    def uid(self, uid: str) -> str:
        """The UID that stands for another; empty for none."""
        return uid if not uid or "uids" in (self.section.retain or ()) else self.key.uid(uid)

    def _registered(self, uid: str) -> str:
        return uid if uid in registered_uids() or uid == _GE_SYNTAX else self.uid(uid)

    def text_of(self, record: Record, keyword: str) -> str:
        """A text of a record; empty for none."""
        value = record.get(key_for(keyword, self.keys))
        return value if isinstance(value, str) else ""


CODE_VALUE = Rule(Act.KEEP, "SH", "vr")
_FAST = frozenset({"DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV", "US or SS"})
_PLAIN = frozenset({int, float})
_GE_SYNTAX = "1.2.840.113619.5.2"


def _study(instance: Instance) -> str:
    """What tells the files of one study from others."""
    return instance.study_uid or instance.series_uid or instance.sop_uid or instance.file.key


def _folder(instance: Instance) -> tuple[str, str, str]:
    """Folders of a file: those above its root, below it, and in an archive."""
    file = instance.file
    return file.prefix, file.path[: file.path.rfind(os.sep) + 1], (file.member or "").rpartition("/")[0]


def _is_number(value: Any) -> bool:
    """Whether a value is a number, or numbers."""
    kind = type(value)
    return kind in _PLAIN or (kind is list and bool(value) and _PLAIN.issuperset(map(type, value)))


def _faces(instance: Instance, fields: Attributes) -> Iterator[str]:
    if instance.pixels is not None and shows_face(instance, fields):
        yield "privacy: may show a face"


@cache
def _names(style: KeyStyle) -> dict[str, int]:
    """Tags by key, of a style, the first of each repeating group included."""
    tags = [*public(), *(int(mask.replace("x", "0"), 16) for mask in repeating())]
    return {key_of(tag, "", style): tag for tag in tags}

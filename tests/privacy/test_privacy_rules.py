"""Every element has a rule, and the table of the standard is what two extractions of others say."""

from __future__ import annotations

import itertools

import pytest

from crawler.config.privacy import PROFILES, PrivacySection, resolved
from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.dicom.dictionary_tables import public, registered_uids
from crawler.privacy.keys import Key
from crawler.privacy.private_tags import standard_tags
from crawler.privacy.rules import Act, rule_of
from crawler.privacy.standard import edition, row_of, rows, safe_count, vocabulary

RESEARCH = resolved(PrivacySection(private="x"))
BASIC = resolved(PrivacySection(private="x", profile="basic"))
FREE_TEXT = {"LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR"}


def act(keyword: str, section: PrivacySection = RESEARCH) -> Act:
    tag = tag_for(keyword)
    assert tag is not None
    return rule_of(tag, "", section).act


def test_the_table_is_whole() -> None:
    assert edition() == "2026d"
    assert len(rows()) == 657
    assert safe_count() == (479, 20)
    assert all(row.vr for row in rows().values())
    assert {row.basic for row in rows().values()} == {"X", "Z", "D", "U", "X/D", "X/Z", "X/Z/D", "Z/D", "X/Z/U*"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_element_of_the_dictionary_has_a_rule(profile: str) -> None:
    section = resolved(PrivacySection(private="x", profile=profile))  # type: ignore[arg-type]
    for tag, (vr, *_) in public().items():
        rule = rule_of(tag, "", section)
        if vr in FREE_TEXT and row_of(tag) is None:
            assert rule.act in (Act.TEXT, Act.WORDS, Act.REMOVE), hex(tag)
        if vr in ("DA", "DT"):
            assert rule.act in (Act.SHIFT, Act.REMOVE, Act.EMPTY, Act.REPLACE), hex(tag)
        if vr == "UI":
            assert rule.act in (Act.UID, Act.REMOVE, Act.EMPTY), hex(tag)
        if vr == "PN":
            assert rule.act in (Act.REMOVE, Act.EMPTY, Act.REPLACE, Act.SUBJECT), hex(tag)


def test_what_the_table_removes_no_profile_keeps_without_an_option() -> None:
    section = resolved(PrivacySection(private="x", profile="basic"))
    for digits, row in rows().items():
        if digits.isalnum() and "x" not in digits and digits != "PRIVATE" and row.basic == "X":
            assert rule_of(int(digits, 16), "", section).act in (Act.REMOVE, Act.EMPTY), digits


def test_dates_of_devices_do_not_tell_the_shift() -> None:
    both = resolved(PrivacySection(private="x", retain=("patient", "device")))
    kept = resolved(PrivacySection(private="x", retain=("device",), dates="keep"))
    shared = [
        int(tag, 16)
        for tag, row in rows().items()
        if "device" in row.options and "modified_dates" in row.options and tag.isalnum()
    ]
    assert len(shared) == 11
    assert {rule_of(tag, "", both).act for tag in shared} == {Act.REMOVE}
    assert {rule_of(tag, "", kept).act for tag in shared} == {Act.KEEP}
    assert act("ContextGroupVersion", both) is Act.REMOVE


def test_options_turn_rules() -> None:
    assert act("StudyDescription") is Act.TEXT
    assert act("StudyDescription", BASIC) is Act.REMOVE
    assert act("StudyDate") is Act.SHIFT
    assert act("StudyDate", BASIC) is Act.EMPTY
    assert act("PatientSex") is Act.KEEP
    assert act("PatientSex", BASIC) is Act.EMPTY
    assert act("PatientAge") is Act.AGE
    assert act("PatientBirthDate") is Act.EMPTY
    assert act("StationName") is Act.REPLACE
    assert act("StationName", resolved(PrivacySection(private="x", retain=("device",)))) is Act.TEXT
    assert act("ContentSequence") is Act.EMPTY
    assert act("ReferencedImageSequence") is Act.ITEMS
    assert act("SliceThickness") is Act.KEEP
    assert act("SecondaryReviewerName") is Act.REMOVE  # a person whom the table does not list


def test_private_elements_go_by_creator_and_not_by_block() -> None:
    for block in (0x10, 0x44):
        tag = 0x00190000 | block << 8 | 0x0C
        assert standard_tags().has(tag, "SIEMENS MR HEADER")
        assert rule_of(tag, "SIEMENS MR HEADER", RESEARCH).act is Act.KEEP
        assert rule_of(tag, "SIEMENS CSA HEADER", RESEARCH).act is Act.REMOVE
        assert rule_of(tag, "SIEMENS MR HEADER", BASIC).act is Act.REMOVE


def test_overlays_and_curves_go() -> None:
    for group in range(0x6000, 0x6020, 2):
        for element in (0x3000, 0x4000, 0x1500, 0x0022):
            assert rule_of(group << 16 | element, "", RESEARCH).act in (Act.REMOVE, Act.WORDS)
        assert rule_of((group - 0x1000) << 16 | 0x3000, "", RESEARCH).act is Act.REMOVE


def test_actions_of_two_extractions_agree() -> None:
    """`dicom-anonymizer` (BSD) has the actions of 2026c, from a program of its own; not installed by `make test`."""
    fields = pytest.importorskip(
        "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c", reason="pip install dicom-anonymizer"
    )
    names = {"D": "D", "Z": "Z", "X": "X", "U": "U", "Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D", "X_Z_D": "X/Z/D"}
    compared = 0
    for name, action in names.items():
        for tag in getattr(fields, f"{name}_TAGS"):
            if len(tag) == 2:
                row = rows().get(f"{tag[0]:04X}{tag[1]:04X}")
                assert row is not None
                assert row.basic == action
                compared += 1
    assert compared > 600


def test_uids_are_keyed_and_those_of_the_standard_stay() -> None:
    one, other = Key(b"1" * 32), Key(b"2" * 32)
    uids = [f"1.2.826.0.{number}.20240131" for number in range(500)]
    made = {one.uid(uid) for uid in uids}
    assert len(made) == 500
    assert made.isdisjoint(other.uid(uid) for uid in uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 44 and uid[5] != "0" for uid in made)
    assert all(one.uid(uid) == uid for uid in itertools.islice(registered_uids(), 50))


def test_shifts_are_whole_weeks_within_a_year_and_ten() -> None:
    key = Key(b"1" * 32)
    days = {key.days("patient", "", str(number)) for number in range(3000)}
    assert all(day % 7 == 0 and 52 * 7 <= day <= 520 * 7 for day in days)
    assert len(days) > 400


def test_the_vocabulary_names_nobody() -> None:
    assert vocabulary().isdisjoint({"smith", "muller", "meier", "ludmilla", "john", "mary"})
    assert {"abdomen", "axial", "siemens", "sagittal"} <= vocabulary()
    assert dictionary_vr(0x00100010) == "PN"

"""What a de-identified object says of how it was made: the codes of PS3.16 CID 7050 that the rules have earned."""

from __future__ import annotations

from crawler.config.privacy import PrivacySection

# De-identification method codes of PS3.16 CID 7050, by option, with their meanings.
CODES = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "structured": ("113104", "Clean Structured Content Option"),
    "descriptors": ("113105", "Clean Descriptors Option"),
    "full_dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "uids": ("113110", "Retain UIDs Option"),
    "private": ("113111", "Retain Safe Private Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
}


def earned(section: PrivacySection) -> list[str]:
    """Options that the rules carry out, by their names in `CODES`.

    Clean Pixel Data and Clean Recognizable Visual Features are not claimed: detection is no proof.
    """
    found = ["basic", *(name for name in section.retain or () if name in CODES)]
    found += ["modified_dates"] if section.dates in ("weeks", "days") else []
    found += ["full_dates"] if section.dates == "keep" else []
    found += ["descriptors"] if section.text in ("known", "vocabulary") else []
    found += ["private"] if section.private_tags != "remove" else []
    found += ["structured"] if section.structured == "clean" else []
    if "full_dates" in found:
        found = [name for name in found if name != "modified_dates"]
    return list(dict.fromkeys(found))


def temporal(section: PrivacySection) -> str:
    """(0028,0303) *Longitudinal Temporal Information Modified* (PS3.3 C.12.1.1.7)."""
    if section.dates == "keep" or "full_dates" in (section.retain or ()):
        return "UNMODIFIED"
    return "REMOVED" if section.dates == "remove" else "MODIFIED"

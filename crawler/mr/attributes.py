"""The columns that one row tells by itself: orientation, fat, contrast, motion, dimension, field, maker, image type.

Each function returns the value and the rule that fired, physics and codes before words. What physics says against words
goes into `Attribute.against`. The class of the sequence has a module of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from crawler.geometry import normal
from crawler.mr.cells import texts
from crawler.mr.facts import Facts
from crawler.mr.physics import field_group
from crawler.mr.rules import RuleBook
from crawler.mr.sequence import UNKNOWN, Classified
from crawler.mr.settings import NameRule

NONE = "none"
_AXES = ("SAG", "COR", "AX")  # the normal's dominant axis: x is right-left, y is front-back, z is head-foot
_YES = "yes"
# A series has one orientation in all its rows: far fewer than this are met in a row.
_ORIENTATIONS = 4096


class Attribute(NamedTuple):
    """A value of an output column, the rule that gave it, and what speaks against it."""

    value: str | bool
    rule: str
    against: str = ""


def orientation(facts: Facts, book: RuleBook) -> Attribute:
    """AX, SAG, COR, OBL or UNKNOWN, from (0020,0037) *Image Orientation (Patient)*, else from words.

    Oblique is an image whose normal is no axis of the patient: its largest squared cosine is below
    `oblique_below` (0.9 is 18.4 degrees).
    """
    named = book.orientation.first(facts.plan)
    main = _main_axis(facts.orientation)
    if main is None:
        return Attribute(named.gives, f"name:{named.name}") if named else Attribute(UNKNOWN, NONE)
    axis, square = main
    if square < book.settings.physics.oblique_below:
        return Attribute("OBL", "geometry:oblique")
    told = {rule.gives for rule in book.orientation.all(facts.plan)}
    clash = bool(told) and not told & {axis, "OBL"}
    return Attribute(axis, "geometry:normal", f"geometry:normal against name:{named.name}" if clash and named else "")


@lru_cache(_ORIENTATIONS)
def _main_axis(orientation: tuple[float, ...] | None) -> tuple[str, float] | None:
    """The axis nearest to the normal, and the square of its cosine; None for an invalid orientation."""
    direction = normal(orientation)
    if direction is None:
        return None
    squares = direction**2
    return _AXES[int(squares.argmax())], float(squares.max())


def dimension(facts: Facts, book: RuleBook) -> Attribute:
    """2D or 3D (or what else is written there) from (0018,0023) *MR Acquisition Type*, else from words."""
    named = book.dimension.first(facts.names)
    if facts.dimension:
        clash = named is not None and named.gives != facts.dimension
        against = f"field:MRAcquisitionType against name:{named.name}" if clash and named else ""
        return Attribute(facts.dimension, "field:MRAcquisitionType", against)
    return Attribute(named.gives, f"name:{named.name}") if named else Attribute(UNKNOWN, NONE)


def fat_suppression(facts: Facts, book: RuleBook, sequence: Classified) -> Attribute:
    """Whether the signal of fat is suppressed.

    STIR nulls fat by its TI; a water image of a Dixon pair has none, and its partners have; ScanOptions "FS" and
    (0018,9025) *Spectrally Selected Suppression* (PS3.3 C.8.13.4) say so outright. Then words.
    """
    codes = book.settings.fat_codes
    named = book.fat.first(facts.plan)
    value: bool | None = None
    rule = ""
    if sequence.value == "T2_STIR" and "physics:TI" in sequence.rule:
        value, rule = True, "physics:TI up to stir_ti_max"
    elif not set(codes.suppressed).isdisjoint(facts.image_type[2:]):
        value, rule = True, "code:water image"
    elif not set(codes.unsuppressed).isdisjoint(facts.image_type[2:]):
        value, rule = False, "code:other Dixon image"
    elif not facts.options.isdisjoint(codes.options):
        value, rule = True, "code:ScanOptions"
    elif facts.suppression:
        value, rule = "FAT" in facts.suppression, "field:SpectrallySelectedSuppression"
    if value is None:
        return Attribute(named.gives == _YES, f"name:{named.name}") if named else Attribute(False, NONE)
    clash = named is not None and named.name != "dixon" and (named.gives == _YES) != value
    return Attribute(value, rule, f"{rule} against name:{named.name}" if clash and named else "")


def contrast(facts: Facts, book: RuleBook, sequence: Classified) -> Attribute:
    """Whether a contrast agent was given.

    An agent that is named in the header counts before any word; an empty element (type 2 in PS3.3 C.7.6.4: present,
    value unknown) does not. The word "dynamic" counts for T1 weighting and perfusion only: cine, BOLD and T2 are also
    called dynamic.
    """
    hits = [rule for rule in book.contrast.all(facts.plan) if rule.name != "dynamic" or _may_be_dynamic(sequence.value)]
    named = hits[0] if hits else None
    agent = facts.agent.strip().lower()
    if facts.agent_items or (agent and agent not in book.settings.dynamic.no_agent):
        clash = named is not None and named.gives != _YES
        rule = "field:ContrastBolusAgent"
        return Attribute(True, rule, f"{rule} against name:{named.name}" if clash and named else "")
    return Attribute(named.gives == _YES, f"name:{named.name}") if named else Attribute(False, NONE)


def _may_be_dynamic(sequence: str) -> bool:
    return sequence.startswith(("T1_", "PWI", "MRA")) and not sequence.startswith("T1_MAP")


def motion(facts: Facts, book: RuleBook) -> Attribute:
    """Whether motion was corrected, or the trajectory makes the image robust against it."""
    coded = next((book.motion_codes[code] for code in facts.image_type if code in book.motion_codes), None)
    if coded is not None:
        return Attribute(coded.gives == _YES, f"code:{coded.name}")
    named = book.motion.first(facts.names)
    return Attribute(named.gives == _YES, f"name:{named.name}") if named else Attribute(False, NONE)


def image_type(facts: Facts, sequence: Classified) -> Attribute:
    """LOCALIZER, DERIVED, ORIGINAL or OTHER, from values 1 and 2 of *Image Type* (PS3.3 C.7.6.1.1.2)."""
    values = facts.image_type
    if "LOCALIZER" in values[2:]:
        return Attribute("LOCALIZER", "code:LOCALIZER")
    if values[:1] == ("DERIVED",) or values[1:2] == ("SECONDARY",):
        return Attribute("DERIVED", "code:DERIVED or SECONDARY")
    if sequence.value == "LOCALIZER":
        return Attribute("LOCALIZER", sequence.rule)
    return Attribute("ORIGINAL", "code:ORIGINAL") if values[:1] == ("ORIGINAL",) else Attribute("OTHER", NONE)


def field_strength(facts: Facts, book: RuleBook) -> Attribute:
    """Group of (0018,0087) *Magnetic Field Strength*."""
    group = field_group(facts, book)
    return Attribute(group, "field:MagneticFieldStrength") if group else Attribute(UNKNOWN, NONE)


def manufacturer(facts: Facts, book: RuleBook) -> Attribute:
    """Maker, by (0008,0070) *Manufacturer*; where that names none, by the model."""
    named: NameRule | None = book.vendor.first(facts.manufacturer)
    if named is not None:
        return Attribute(named.gives, f"field:Manufacturer, name:{named.name}")
    named = book.model.first(facts.model.lower())
    if named is not None:
        return Attribute(named.gives, f"field:ManufacturerModelName, name:{named.name}")
    unsaid = not facts.manufacturer or texts(facts.manufacturer) == (UNKNOWN,)
    return Attribute(UNKNOWN, NONE) if unsaid else Attribute("Other", "field:Manufacturer")


def model_name(facts: Facts, book: RuleBook) -> Attribute:
    """Model without the maker's brands, underscores and double blanks, so that one machine has one name."""
    words = facts.model.replace("_", " ").split()
    kept = [word for word in words if word.lower() not in book.model_drop]
    value = " ".join(kept or words)
    return Attribute(value, "field:ManufacturerModelName") if value else Attribute(UNKNOWN, NONE)

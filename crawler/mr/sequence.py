"""`sequenceClass` of a series: purpose, weighting and family, and where names and physics disagree.

In order: codes of ImageType that name a purpose (the scanner set them); the b-value; words that name a purpose, where
physics does not refute them; weighting and family by physics; by names, where physics leaves them open.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from crawler.mr.facts import Facts
from crawler.mr.physics import Finding, Judgement, b_value, judge
from crawler.mr.rules import RuleBook
from crawler.mr.settings import NameRule

UNKNOWN = "UNKNOWN"
# What a name may call a weighting of physics without contradicting it: STIR and FLAIR suppress one tissue of an image
# whose weighting has a name of its own, and T2* is commonly written T2.
_AGREES = {
    "FLAIR": {"FLAIR", "T2"},
    "STIR": {"STIR", "T2", "T1", "PD"},
    "T2STAR": {"T2STAR", "T2"},
}
_PREPARED = ("FLAIR", "STIR")  # told from others by TI alone
_CLASS_OF_PREPARED = {"FLAIR": "T2_FLAIR", "STIR": "T2_STIR"}


class Classified(NamedTuple):
    """A class, the rules that gave it, and what speaks against it."""

    value: str
    rule: str
    against: tuple[str, ...] = ()


def classify(facts: Facts, book: RuleBook) -> Classified:
    """Class of a series, without suffixes.

    Returns
    -------
    Classified
        ``UNKNOWN`` with the rule ``none`` when neither physics nor names say anything.
    """
    judged = judge(facts, book)
    hits = book.purpose.all(facts.names)
    coded = _coded(facts, book)
    if coded is not None:
        if coded.gives == "DWI" and any(rule.gives == "DTI" for rule in hits):
            return Classified("DTI", f"code:{coded.name} + name:diffusion tensor")
        return Classified(coded.gives, f"code:{coded.name}")
    against: list[str] = []
    b = b_value(facts, book)
    if b is not None and b > book.settings.physics.b_min:
        against += [_clash("physics:b-value", rule) for rule in hits if not (rule.with_b or rule.weak)]
        return _diffusion(facts, hits, against)
    for rule in hits:
        if _refuted(rule, judged.scanning):
            against += [] if rule.weak else [_clash("physics:scanning sequence", rule)]
        else:
            return Classified(rule.gives, f"name:{rule.name}", tuple(against))
    return _weighted(facts, judged, book, against)


def suffixes(facts: Facts, book: RuleBook) -> tuple[str, str]:
    """Suffix of the class and of its rule for a component of a Dixon series."""
    found = next((book.component_codes[code] for code in facts.image_type if code in book.component_codes), None)
    return (f"_{found.gives}", f" + code:{found.name}") if found else ("", "")


def _coded(facts: Facts, book: RuleBook) -> NameRule | None:
    """First rule, in the order of the list, with a code of the header; codes of purpose stand from value 3 on.

    `ImageType` of a map lists the general code before its own ("DIFFUSION", "ADC"); the list has the map first.
    """
    codes = {*facts.image_type[2:], facts.declared}
    found = [book.purpose_codes[code] for code in codes if code in book.purpose_codes]
    return min(found, key=book.settings.purpose.index, default=None)


def _diffusion(facts: Facts, hits: Collection[NameRule], against: list[str]) -> Classified:
    named = [rule for rule in hits if rule.with_b]
    if facts.image_type[:1] != ("ORIGINAL",):  # a map is computed; what was acquired at a b-value is none
        for rule in named:
            if rule.gives not in ("DWI", "DTI"):
                return Classified(rule.gives, f"physics:b-value + name:{rule.name}", tuple(against))
    if any(rule.gives == "DTI" for rule in named):
        return Classified("DTI", "physics:b-value + name:diffusion tensor", tuple(against))
    return Classified("DWI", "physics:b-value", tuple(against))


def _refuted(rule: NameRule, scanning: frozenset[str]) -> bool:
    """Whether physics speaks against a rule; a silent header refutes nothing."""
    needs = rule.needs
    if not scanning:
        return False
    return bool((needs.scanning and scanning.isdisjoint(needs.scanning)) or not scanning.isdisjoint(needs.without))


def _weighted(facts: Facts, judged: Judgement, book: RuleBook, against: list[str]) -> Classified:
    hits = book.weighting.all(facts.names)
    weighting, clash = _weighting(facts, judged, hits, book)
    family = _family(facts, judged, book)
    against = against + clash
    rules = " + ".join(told[1] for told in (weighting, family) if told is not None)
    if weighting is None and family is None:
        return Classified(UNKNOWN, "none", tuple(against))
    if weighting is None:
        return Classified(family[0] if family else UNKNOWN, rules, tuple(against))
    value = _CLASS_OF_PREPARED.get(weighting[0]) or f"{weighting[0]}_{family[0] if family else 'NAME_BASED'}"
    return Classified(value, rules, tuple(against))


def _weighting(
    facts: Facts, judged: Judgement, hits: Collection[NameRule], book: RuleBook
) -> tuple[Finding, list[str]]:
    """Weighting by physics, refined or replaced by names where physics leaves room; and contradictions."""
    physical = judged.weighting
    named = next(iter(hits), None)
    spin_echo = "GR" not in judged.scanning
    if named is not None and named.gives in _PREPARED and facts.ti is None and spin_echo:
        told = f"name:{named.name}"
        return (named.gives, f"{physical[1]} + {told}" if physical else told), []
    if physical is not None:
        agreed = _AGREES.get(physical[0], {physical[0]})
        clash = bool(hits) and not any(rule.gives in agreed for rule in hits)
        return physical, [_clash(physical[1], rule) for rule in hits] if clash else []
    declared = book.weighting_codes.get(facts.declared)
    if declared is not None:
        return (declared.gives, f"code:{declared.name}"), []
    if named is None:
        return None, []
    if named.gives in _PREPARED and (facts.ti is not None or not spin_echo):
        return None, [_clash("physics:inversion time" if spin_echo else "physics:gradient echo", named)]
    return (named.gives, f"name:{named.name}"), []


def _family(facts: Facts, judged: Judgement, book: RuleBook) -> Finding:
    """Family by physics; by names where it is open, or where they say that a spin echo train was one shot."""
    hits = book.family.all(facts.names)
    spin_echo = "SE" in judged.scanning
    if judged.family is not None:
        shot = next((rule for rule in hits if rule.gives == "SE_SingleShot"), None)
        if shot is not None and judged.family[0] in ("TSE", "SE"):
            return shot.gives, f"{judged.family[1]} + name:{shot.name}"
        return judged.family
    for rule in hits:
        if not spin_echo or rule.gives in ("TSE", "SE", "SE_SingleShot"):
            return rule.gives, f"name:{rule.name}"
    return ("SE", "physics:spin echo, length of its train unknown") if spin_echo else None


def _clash(physics: str, rule: NameRule) -> str:
    return f"sequenceClass: {physics} against name:{rule.name}"

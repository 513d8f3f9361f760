"""What the physics of a sequence says about it: family, weighting, diffusion. Names are not looked at.

A rule speaks only when every value that it needs is there; `None` is "cannot be told", and leaves room for names.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from crawler.mr.facts import Facts
from crawler.mr.rules import RuleBook
from crawler.mr.settings import Thresholds

Finding = tuple[str, str] | None  # a value and the rule that gave it


class Judgement(NamedTuple):
    """Codes of (0018,0020) *Scanning Sequence*, as given or inferred; family and weighting with their rules."""

    scanning: frozenset[str]
    family: Finding
    weighting: Finding


def field_group(facts: Facts, book: RuleBook) -> str | None:
    """Name of the group of field strengths; None without a field strength."""
    if facts.field is None:
        return None
    return next((group.name for group in book.settings.field_strength if facts.field < group.below), None)


def b_value(facts: Facts, book: RuleBook) -> float | None:
    """Diffusion b-value, s/mm^2: the element's, else the one in Siemens' name of the sequence ("ep_b1000#12")."""
    found = book.sequence_b.match(facts.sequence) if facts.b is None else None
    return float(found[1]) if found else facts.b


def judge(facts: Facts, book: RuleBook) -> Judgement:
    """Family and weighting of a sequence, from its physics."""
    scanning = scanning_of(facts, book)
    thresholds = book.settings.thresholds
    limits = thresholds.get(field_group(facts, book) or "default", thresholds["default"])
    family = family_of(facts, scanning, book)
    return Judgement(scanning, family, _weighting(facts, scanning, limits, book))


def scanning_of(facts: Facts, book: RuleBook) -> frozenset[str]:
    """Codes of the scanning sequence, with what the header leaves out and physics implies."""
    codes = facts.scanning
    if not codes and facts.tr is not None and facts.tr < book.settings.physics.gre_tr_max:
        return frozenset({"GR"})  # no spin echo recovers in so short a time
    if "EP" in codes and not codes & {"SE", "GR"}:
        if book.gradient_sequence.match(facts.sequence):
            return codes | {"GR"}
        if book.spin_sequence.match(facts.sequence):
            return codes | {"SE"}
    return codes


def family_of(facts: Facts, scanning: frozenset[str], book: RuleBook) -> Finding:
    """Family of a sequence, such as GRE_SPOILED or TSE.

    Echo planar comes first, then gradient echo: its echo train is not that of a spin echo. Spoiling comes before the
    steady state, since a spoiled sequence may call itself both ("SS" and "SP", as GE's SPGR does).
    """
    if "EP" in scanning:
        kind = next((kind for code, kind in (("GR", "_GRE"), ("SE", "_SE")) if code in scanning), "")
        return "EPI" + kind, "physics:echo planar"
    if "GR" in scanning:
        if "SP" in facts.variant:
            return "GRE_SPOILED", "physics:spoiled gradient echo"
        if "SS" in facts.variant:
            return "GRE_STEADY_STATE", "physics:steady state gradient echo"
        return "GRE", "physics:gradient echo"
    if "SE" in scanning:
        if facts.train is None:
            return None  # an echo train cannot be told from one echo
        if facts.train > book.settings.physics.single_shot_train and facts.dimension != "3D":
            return "SE_SingleShot", "physics:echo train above single_shot_train"
        return ("TSE", "physics:echo train") if facts.train > 1 else ("SE", "physics:spin echo")
    return None


def _weighting(facts: Facts, scanning: frozenset[str], limits: Thresholds, book: RuleBook) -> Finding:
    physics = book.settings.physics
    if "GR" in scanning:
        return _gradient_weighting(facts, scanning, book)
    if "SE" not in scanning and "IR" not in scanning:
        return None
    if facts.ti is not None and facts.te is not None:
        if facts.ti >= limits.flair_ti_min:
            return "FLAIR", "physics:TI from flair_ti_min"
        if physics.stir_ti_min <= facts.ti <= limits.stir_ti_max:
            return "STIR", "physics:TI up to stir_ti_max"
        if facts.te < limits.t1_te_max:
            return "T1", "physics:inversion, TE below t1_te_max"
    if facts.te is not None and facts.te > limits.t2_te_min:
        return "T2", "physics:TE above t2_te_min"
    if facts.te is None or facts.tr is None:
        return None
    if facts.tr < limits.t1_tr_max and facts.te < limits.t1_te_max:
        return "T1", "physics:TR below t1_tr_max, TE below t1_te_max"
    if facts.tr > limits.t2_tr_min and facts.te < limits.pd_te_max:
        return "PD", "physics:TR above t2_tr_min, TE below pd_te_max"
    return None


def _gradient_weighting(facts: Facts, scanning: frozenset[str], book: RuleBook) -> Finding:
    """Weighting of a gradient echo.

    What is dephased is not refocused, so a long TE weights by T2*. Otherwise the flip angle decides: above the Ernst
    angle, ``acos(exp(-TR / T1))``, the signal is weighted by T1; below half of it, by proton density. A
    balanced steady state is weighted by T2/T1, and not judged.
    """
    physics = book.settings.physics
    if facts.te is None:
        return None
    if facts.te >= physics.t2star_te_min:
        return "T2STAR", "physics:gradient echo, TE from t2star_te_min"
    if "EP" in scanning:
        return None
    if "IR" in scanning or facts.ti is not None:
        return "T1", "physics:inversion, gradient echo"
    if ("SS" in facts.variant and "SP" not in facts.variant) or facts.tr is None or facts.flip is None:
        return None
    ernst = math.degrees(math.acos(math.exp(-facts.tr / physics.ernst_t1)))
    if facts.flip >= ernst:
        return "T1", "physics:flip angle from Ernst angle"
    return ("PD", "physics:flip angle below half the Ernst angle") if facts.flip < ernst / 2 else None

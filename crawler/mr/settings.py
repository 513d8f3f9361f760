"""What `dicom_tags/mr_clean.json` holds, key by key: the rules of the MR table as data, which `rules.py` reads.

A rule gives a value when one of its words is found. Needs are physics: a rule whose needs the header refutes does not
fire; a header that is silent refutes nothing. Thresholds are in ms, tesla, degrees and s/mm^2.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Literal

# (0018,0020) *Scanning Sequence*, enumerated values of PS3.3 C.8.3.1.
Scanning = Literal["SE", "IR", "GR", "EP", "RM"]


def key(help_line: str, default: Any = MISSING, **metadata: Any) -> Any:
    """Declare a key of the rules; without a default it must be given."""
    return dataclasses.field(default=default, metadata={"help": help_line} | metadata)


def _read_patterns(written: object) -> object:
    """Refuse what is no regular expression; the type is checked afterwards."""
    for pattern in written if isinstance(written, list) else ():
        try:
            re.compile(str(pattern))
        except re.error as error:
            raise ValueError(f"regular expressions; {str(pattern)!r}: {error}") from None
    return written


@dataclass(frozen=True, slots=True)
class Needs:
    """Physics without which a name is not believed."""

    scanning: tuple[Scanning, ...] = key("one of these must be in ScanningSequence", ())
    without: tuple[Scanning, ...] = key("none of these may be in it", ())


@dataclass(frozen=True, slots=True)
class NameRule:
    """A value, and the words that give it."""

    name: str = key("how the rule is called in the column of rules")
    gives: str = key("value of the output column")
    words: tuple[str, ...] = key("whole words; a blank is any separator", ())
    patterns: tuple[str, ...] = key("regular expressions on lower-case text", (), read=_read_patterns)
    unless: tuple[str, ...] = key("words that silence the rule", ())
    image_type: tuple[str, ...] = key("values of ImageType or AcquisitionContrast that give it outright", ())
    needs: Needs = key("physics that the header may not refute", Needs())
    with_b: bool = key("whether a diffusion weighting agrees with it", False)
    weak: bool = key("a word with other meanings: no contradiction when its needs are refuted", False)


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Field strengths under one name."""

    below: float = key("upper bound, tesla", above=0)
    name: str = key("value of standardFieldStrength")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times that tell weightings apart at one field strength, ms.

    Those of the file are the thresholds of seeds/000, so that its users find their classes again.
    """

    t1_tr_max: float = key("T1 below this TR", above=0)
    t1_te_max: float = key("and below this TE", above=0)
    t2_tr_min: float = key("PD above this TR", above=0)
    t2_te_min: float = key("T2 above this TE", above=0)
    pd_te_max: float = key("PD below this TE", above=0)
    flair_ti_min: float = key("FLAIR from this TI", above=0)
    stir_ti_max: float = key("STIR up to this TI", above=0)


@dataclass(frozen=True, slots=True)
class Physics:
    """Bounds that do not depend on the field.

    Where the file's values come from: `b_min`, `stir_ti_min`, `single_shot_train` and `oblique_below` are those of
    seeds/000. `t2star_te_min` (15 ms) lies between the echo of spoiled T1 sequences, under 10 ms, and the 20 ms and
    more of T2* protocols. `gre_tr_max` (50 ms): a spin echo needs several times that to recover. `ernst_t1` (1000 ms)
    lies between white and grey matter at 3 T (832 and 1331 ms, Wansapura et al. 1999). The expressions are Siemens'
    names: epfid, epse, ep_b1000#12.
    """

    b_min: float = key("diffusion weighted above this b-value, s/mm^2", above=0)
    stir_ti_min: float = key("STIR from this TI, ms", above=0)
    single_shot_train: int = key("a 2D spin echo train longer than this is one shot", minimum=1)
    t2star_te_min: float = key("a gradient echo is T2* weighted from this TE, ms", above=0)
    gre_tr_max: float = key("without ScanningSequence, a TR below this is a gradient echo, ms", above=0)
    ernst_t1: float = key("T1 of the tissue whose Ernst angle parts T1 from PD weighting, ms", above=0)
    oblique_below: float = key("oblique when the largest squared cosine of the normal is below this", above=0)
    sequence_b: str = key("regular expression on SequenceName with the b-value as its group")
    gradient_sequence: str = key("regular expression: SequenceName of gradient-echo EPI")
    spin_sequence: str = key("regular expression: SequenceName of spin-echo EPI")


@dataclass(frozen=True, slots=True)
class FatCodes:
    """Codes that decide on fat suppression before any word does."""

    suppressed: tuple[str, ...] = key("values of ImageType of an image without fat")
    unsuppressed: tuple[str, ...] = key("values of ImageType of the other Dixon images")
    options: tuple[str, ...] = key("values of ScanOptions")


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What may be a phase of a dynamic series."""

    excluded: tuple[str, ...] = key("parts of a class (between underscores) that are never phases")
    no_agent: tuple[str, ...] = key("texts of ContrastBolusAgent that mean none")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `mr_clean.json`."""

    field_strength: tuple[FieldGroup, ...] = key("groups, ascending", min_items=1)
    thresholds: Mapping[str, Thresholds] = key("by name of field group, and `default`")
    physics: Physics = key("bounds that do not depend on the field")
    fat_codes: FatCodes = key("codes that decide on fat suppression")
    dynamic: Dynamic = key("phases of dynamic series")
    purpose: tuple[NameRule, ...] = key("sequenceClass by purpose")
    weighting: tuple[NameRule, ...] = key("weighting, where physics leaves it open")
    family: tuple[NameRule, ...] = key("family of sequences, where physics leaves it open")
    component: tuple[NameRule, ...] = key("suffix of sequenceClass, by ImageType")
    fat: tuple[NameRule, ...] = key("isFatSuppressed: yes or no")
    contrast: tuple[NameRule, ...] = key("isContrastEnhanced: yes or no")
    motion: tuple[NameRule, ...] = key("hasMotionCorrection: yes or no")
    orientation: tuple[NameRule, ...] = key("standardOrientation, without a geometry")
    dimension: tuple[NameRule, ...] = key("standardDimension, without MRAcquisitionType")
    vendor: tuple[NameRule, ...] = key("standardManufacturer, by Manufacturer")
    model: tuple[NameRule, ...] = key("standardManufacturer, by ManufacturerModelName")
    model_drop: tuple[str, ...] = key("words that cleanedModelName goes without")

"""What the voxels of an image are, where one series may mix it: phase beside magnitude, an ADC map beside its source.

The answer splits a series whatever the positions, so a word that is not in the tables means nothing: flavours (T1,
AXIAL), filters (ND, NORM, DIS2D) and what vendors write for themselves never split. Geometry, and traits such as echo
time or b-value, are read elsewhere (`functional.py`, `traits.py`).
"""

from __future__ import annotations

import re
from typing import Any

from crawler.dicom.attributes import Attributes, Private

LOCALIZER = "LOCALIZER"  # (0008,0008) value 3 of a CT, PS3.3 C.8.2.1.1.1
_COMPLEX = ("PHASE", "REAL", "IMAGINARY")  # (0008,9208), PS3.3 C.8.13.3.1.1; MAGNITUDE is the common case

# Words of (0008,0008) Image Type and (0008,9007) Frame Type behind the second, with what they mean. The standard's are
# defined terms of PS3.3 C.8.16.1.3 and C.8.16.1.4 and what modalities add to them; the others are vendors' spellings.
_DERIVED = {
    "LOCALIZER": LOCALIZER,
    "MAX_IP": "MAX_IP", "MIP": "MAX_IP", "MIN_IP": "MIN_IP", "MINIP": "MIN_IP", "MNIP": "MIN_IP",
    "PROJECTION IMAGE": "PROJECTION",
    "SUBTRACTION": "SUBTRACTION", "SUB": "SUBTRACTION",
    "ADDITION": "ADDITION", "DIVISION": "DIVISION", "MULTIPLICATION": "MULTIPLICATION",
    "MAXIMUM": "MAXIMUM", "MINIMUM": "MINIMUM", "MEAN": "MEAN", "STD_DEVIATION": "STD_DEVIATION",
    "T_TEST": "T_TEST", "Z_SCORE": "Z_SCORE",
    "RCBF": "RCBF", "RELCBF": "RCBF", "CBF": "CBF", "RCBV": "RCBV", "RELCBV": "RCBV", "CBV": "CBV",
    "MTT": "MTT", "RELMTT": "MTT", "TTP": "TTP", "TMAX": "TMAX",
}  # fmt: skip
_DERIVED_MR = {
    "ADC": "ADC", "EADC": "EADC", "EXP": "EADC",
    "TRACE": "TRACE", "TRACEW": "TRACE", "DIFFUSION_ISO": "TRACE",
    "FA": "FA", "DIFFUSION_ANISO": "FA", "COLFA": "COLFA", "TENSOR": "TENSOR", "TENSOR_B0": "TENSOR_B0",
    "FIELD_MAP": "FIELD_MAP", "TEMPERATURE": "TEMPERATURE",
    "WATER": "WATER", "W": "WATER", "FAT": "FAT", "F": "FAT",
    "WATER_FRACTION": "WATER_FRACTION", "FAT_FRACTION": "FAT_FRACTION", "FF": "FAT_FRACTION",
    "IN_PHASE": "IN_PHASE", "INPHASE": "IN_PHASE", "IP": "IN_PHASE",
    "OUT_OF_PHASE": "OUT_OF_PHASE", "OPP_PHASE": "OUT_OF_PHASE", "OUTPHASE": "OUT_OF_PHASE", "OP": "OUT_OF_PHASE",
}  # fmt: skip
# "T1 MAP", "R2_STAR_MAP": a map of a quantity, whatever it is called.
_MAP = re.compile(r"[A-Z0-9_* ]+[ _]MAP")
# Siemens writes M, P, R and I, Philips also M_FFE, P_SE, R_IR and so on: the letter, then the technique.
_LETTER = re.compile(r"([MPRI])(_[A-Z0-9]+)?")
_LETTERS = {"M": "", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
_WORDS = {"PHASE": "PHASE", "PHASE MAP": "PHASE", "PHASE_MAP": "PHASE", "REAL": "REAL", "IMAGINARY": "IMAGINARY"}

# GE's own complex component, which its Image Type does not tell: 0 is magnitude.
_GE_COMPONENT: Private = (0x0043102F, "GEMS_PARM_01")
_GE_NUMBERS = {1: "PHASE", 2: "REAL", 3: "IMAGINARY"}


def component_of(fields: Attributes, modality: str, kind: str = "ImageType") -> str:
    """Return what the voxels of an image, or of a frame, are.

    Parameters
    ----------
    fields
        The data set, or the item of a frame type macro.
    modality
        (0008,0060) *Modality*: letters and diffusion maps mean what they do in MR only; R is a side of the body in DX.
    kind
        The element that tells: "ImageType", or "FrameType" (0008,9007) in a functional group.

    Returns
    -------
    str
        The derived quantity or projection, else LOCALIZER, PHASE, REAL or IMAGINARY; empty for magnitude and for all
        ordinary images.
    """
    words = _words(fields.value(kind))
    if found := _derived(words, modality):
        return found
    if modality != "MR":
        return ""
    told = fields.text("ComplexImageComponent")
    if told in _COMPLEX:
        return told
    return _complex(words) or _GE_NUMBERS.get(fields.integer(_GE_COMPONENT) or 0, "")


def _words(value: Any) -> list[str]:
    """Values of an image type from the third on: the first two say how it was made and examined, for all objects."""
    if not isinstance(value, list):
        return []
    return [word.strip().upper() for word in value[2:] if isinstance(word, str)]


def _derived(words: list[str], modality: str) -> str:
    for word in words:
        found = _DERIVED.get(word) or (_DERIVED_MR.get(word, "") if modality == "MR" else "")
        if found:
            return found
        if word not in _WORDS and _MAP.fullmatch(word):
            return word.replace(" ", "_")
    return ""


def _complex(words: list[str]) -> str:
    """The component that the first word with a meaning names."""
    for word in words:
        if word in _WORDS:
            return _WORDS[word]
        if letter := _LETTER.fullmatch(word):
            return _LETTERS[letter[1]]
    return ""

"""Header text in messages: terms that the standard defines are named, anything else is not.

A header's text may hold a name in any element, also where a defined term belongs. What it holds stays in its row of
the metadata; reasons, logs and tables of failures do not repeat it.
"""

from __future__ import annotations

UNKNOWN = "an unknown value"

# PS3.3 C.7.6.3.1.2, with the retired ones.
PHOTOMETRIC_INTERPRETATIONS = frozenset(
    (
        "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422",
        "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB",
    )
)  # fmt: skip

# PS3.3 C.7.3.1.1.1, with the retired ones.
MODALITIES = frozenset(
    (
        "ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "DX",
        "ECG", "EEG", "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO",
        "LEN", "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT",
        "PA", "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN",
        "RTRAD", "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP",
        "TG", "US", "VA", "XA", "XAPROTOCOL", "XC", "AS", "CD", "CF", "CP", "CS", "DD", "DF", "DM", "DS", "EC", "FA",
        "FS", "LP", "MA", "MS", "OPR", "ST", "TS", "VF",
    )
)  # fmt: skip


def modality_term(value: str) -> str:
    """A value of (0008,0060) *Modality*, or several joined by "|", as messages and the report name it."""
    return "|".join(dict.fromkeys(one if one in MODALITIES else UNKNOWN for one in value.split("|"))) if value else ""


def photometric_term(value: str) -> str:
    """A value of (0028,0004) *Photometric Interpretation* as messages name it."""
    return value if value in PHOTOMETRIC_INTERPRETATIONS else UNKNOWN

"""What is held back, and how likely a picture has writing in it: by the header alone, before any pixel is read.

The row of a file that is held back stays; it has no other output, and its outcome says so. Risk classes follow the
header, since (0028,0301) *Burned In Annotation* is missing in most files, and a NO proves nothing.
"""

from __future__ import annotations

from typing import Any

from crawler.config.privacy import PrivacySection
from crawler.dicom.attributes import Attributes
from crawler.model import Instance, Mask
from crawler.pixels.video import is_video

REASON = "held by privacy"
WRITING = "may have writing in its pixels"

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DOCUMENTS, _WAVEFORMS = f"{_STORAGE}104.", f"{_STORAGE}9."
# Pictures of screens, of people, of film, and what draws its own banner: PS3.3 C.7.3.1.1.1.
_AT_RISK = frozenset(
    [
        "US",
        "IVUS",
        "BDUS",
        "ES",
        "OP",
        "OPT",
        "OPV",
        "OCT",
        "GM",
        "XC",
        "SM",
        "OT",
        "DOC",
        "SC",
        "HC",
        "DF",
        "DG",
        "ECG",
    ]
)
_PROJECTIONS = frozenset({"XA", "RF", "CR", "DX", "MG", "IO", "PX", "RG", "BI", "RTIMAGE"})
_CAPTURES = f"{_STORAGE}7"  # secondary capture, and its multi-frame classes
_MADE = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN CAPTURE", "DOSE_INFO", "DOSE REPORT"})
_HEADS = frozenset(
    {"HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "ORBIT", "MAXILLA", "MANDIBLE", "SINUS", "IAC", "TMJ"}
)
_THIN = 3.0  # mm: slices in which a face can be seen when they are put together
_LOCATION = ("RegionLocationMinY0", "RegionLocationMaxY1", "RegionLocationMinX0", "RegionLocationMaxX1")
_MOST = 0.98  # share of the picture: regions that cover more leave no banner to be masked


def decide(instance: Instance, fields: Attributes, section: PrivacySection) -> tuple[str, Mask | None]:
    """What is to be done with a file's pixels.

    Parameters
    ----------
    fields
        Of the original header.

    Returns
    -------
    held
        Why the file is held back; empty when it is not.
    mask
        What the header itself says is to be masked, or that writing is to be looked for.
    """
    if instance.sop_class.startswith(_DOCUMENTS):
        return "encapsulated document", None
    if instance.sop_class.startswith(_WAVEFORMS):
        return "waveform", None  # its labels and annotations are free text, its sound is speech
    if instance.pixels is None:
        return "", None
    if is_video(instance):
        return "encoded video", None
    if shows_face(instance, fields) and section.faces == "hold":
        return "may show a face", None
    mask = _regions(instance, fields) if section.pixels.regions else None
    if mask is not None or not at_risk(instance, fields):
        return "", mask
    if section.pixels.action == "hold" or section.pixels.detect == "none":
        return WRITING, None
    return "", Mask(search=True, told=fields.text("BurnedInAnnotation") == "YES")


def at_risk(instance: Instance, fields: Attributes) -> bool:
    """Whether a picture may have writing in it."""
    burned = fields.text("BurnedInAnnotation")
    if burned == "YES" or instance.modality in _AT_RISK or instance.sop_class.startswith(_CAPTURES):
        return True
    if instance.modality in _PROJECTIONS:
        return burned != "NO"
    values = fields.value("ImageType")
    kinds = values if isinstance(values, list) else [values]
    if any(kind in _MADE for kind in kinds) or "dose" in fields.text("SeriesDescription").lower():
        return True
    colour = instance.pixels is not None and instance.pixels.samples > 1
    return colour or (bool(kinds) and kinds[0] == "DERIVED" and "SECONDARY" in kinds)


def shows_face(instance: Instance, fields: Attributes) -> bool:
    """Whether slices are of a head, and thin enough for a face to be made of them."""
    if fields.text("RecognizableVisualFeatures") == "YES":
        return True
    if instance.modality not in ("CT", "MR", "PT"):
        return False
    thickness = instance.planes[0].thickness
    return fields.text("BodyPartExamined").replace(" ", "") in _HEADS and (thickness is None or thickness < _THIN)


def _regions(instance: Instance, fields: Attributes) -> Mask | None:
    """Ultrasound to its regions (PS3.3 C.8.5.5); None without, and where they leave nothing to be masked."""
    assert instance.pixels is not None
    rows, columns = instance.pixels.rows, instance.pixels.columns
    boxes: list[tuple[int, int, int, int]] = []
    for region in fields.items("SequenceOfUltrasoundRegions"):
        values: list[Any] = [region.integer(name) for name in _LOCATION]
        if any(value is None for value in values):
            return None
        top, bottom, left, right = values
        if not (0 <= top <= bottom < rows and 0 <= left <= right < columns):
            return None  # of another size than the picture: a region that is not of it
        boxes.append((top, bottom + 1, left, right + 1))
    covered = sum((bottom - top) * (right - left) for top, bottom, left, right in boxes)
    return Mask(keep=tuple(boxes)) if boxes and covered < _MOST * rows * columns else None

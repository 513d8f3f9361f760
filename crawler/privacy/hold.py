"""What is held back, and how likely a picture has writing in it: by the header alone, before any pixel is read.

The row of a file that is held back stays; it has no other output, and its outcome says so. Risk classes follow the
header, since (0028,0301) *Burned In Annotation* is missing in most files, and a NO proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from crawler.config.privacy import PrivacySection
from crawler.dicom.attributes import Attributes
from crawler.model import Instance, Mask
from crawler.pixels.masking import hidden
from crawler.pixels.video import is_video
from crawler.privacy.devices import Device, Devices
from crawler.privacy.strokes import Box

REASON = "held by privacy"
WRITING = "may have writing in its pixels"

_STORAGE = "1.2.840.10008.5.1.4.1.1."
DOCUMENTS, WAVEFORMS = f"{_STORAGE}104.", f"{_STORAGE}9."
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


class Decision(NamedTuple):
    """What is to be done with a file's pixels.

    Attributes
    ----------
    held
        Why the file is held back; empty when it is not.
    mask
        What the header itself, or a rule for its device, says is to be masked, or that writing is to be looked for.
    note
        What is told of it in `header_notes`; empty for nothing.
    """

    held: str = ""
    mask: Mask | None = None
    note: str = ""


def decide(instance: Instance, fields: Attributes, section: PrivacySection, devices: Devices | None = None) -> Decision:
    """What is to be done with a file's pixels: regions of ultrasound, then a rule for its device, then what is found.

    Parameters
    ----------
    fields
        Of the original header.
    devices
        Rules of the user's.
    """
    if instance.sop_class.startswith(DOCUMENTS):
        return Decision("encapsulated document")
    if instance.sop_class.startswith(WAVEFORMS):
        return Decision("waveform")  # its labels and annotations are free text, its sound is speech
    if instance.pixels is None:
        return Decision()
    if is_video(instance):
        return Decision("encoded video")
    if shows_face(instance, fields) and section.faces == "hold":
        return Decision("may show a face")
    mask = _regions(instance, fields) if section.pixels.regions else None
    rule = devices.of(fields) if devices is not None else None
    if rule is not None:
        return _by_rule(rule, instance, mask, _says_yes(fields))
    if mask is not None or not at_risk(instance, fields):
        return Decision(mask=mask)
    if section.pixels.action == "hold" or section.pixels.detect == "none":
        return Decision(WRITING)
    return Decision(mask=Mask(search=True, told=_says_yes(fields)))


def _by_rule(rule: Device, instance: Instance, regions: Mask | None, told: bool) -> Decision:
    """What a rule for a device says, beside what is outside of the regions of ultrasound."""
    assert instance.pixels is not None
    rows, columns = instance.pixels.rows, instance.pixels.columns
    name = f"device rule {rule.number}"
    if rule.hold:
        return Decision(f"{name} of privacy.pixels.rules")
    blank, keep = (rule.boxes(spans, rows, columns) for spans in (rule.mask, rule.keep))
    if blank is None or keep is None:
        return Decision(f"{WRITING}: {name} has rectangles beyond it")
    if regions is not None:
        keep = tuple(_common(keep, regions.keep)) if keep else regions.keep
        if not keep:
            blank = ((0, rows, 0, columns),)
    elif not blank and not keep:
        return Decision(note=f"privacy: {name}: clean")
    mask = Mask(keep, blank, search=rule.search, told=rule.search and told)
    return Decision(mask=mask, note=f"privacy: {name}: {hidden(rows, columns, mask).mean():.0%} of the picture masked")


def _common(first: tuple[Box, ...], second: tuple[Box, ...]) -> Iterator[Box]:
    """What rectangles have in common."""
    for one in first:
        for other in second:
            top, left = max(one[0], other[0]), max(one[2], other[2])
            bottom, right = min(one[1], other[1]), min(one[3], other[3])
            if top < bottom and left < right:
                yield top, bottom, left, right


def _says_yes(fields: Attributes) -> bool:
    return fields.text("BurnedInAnnotation") == "YES"


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

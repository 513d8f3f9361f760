"""The acquisition as a JSON sidecar in the terms of BIDS, so that tools which expect one find what they need.

Field names and units are those of the Brain Imaging Data Structure 1.10 ("Magnetic Resonance Imaging", "Positron
Emission Tomography"), and of dcm2niix where BIDS has none. Identifiers stay out: names, dates, UIDs, serial numbers,
institutions, and free text that people type in (series and protocol descriptions).
"""

from __future__ import annotations

from typing import Any

from crawler.model import TRAITS
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import is_number, leading_axes, placed_instances
from crawler.sinks.timing import slice_times

# BIDS name -> DICOM keyword, factor to the unit of BIDS (None: taken as it is).
FIELDS: dict[str, tuple[str, float | None]] = {
    "Modality": ("Modality", None),
    "Manufacturer": ("Manufacturer", None),
    "ManufacturersModelName": ("ManufacturerModelName", None),
    "SoftwareVersions": ("SoftwareVersions", None),
    "BodyPart": ("BodyPartExamined", None),
    "PatientPosition": ("PatientPosition", None),
    "ImageType": ("ImageType", None),
    "SliceThickness": ("SliceThickness", 1.0),
    "SpacingBetweenSlices": ("SpacingBetweenSlices", 1.0),
    "MagneticFieldStrength": ("MagneticFieldStrength", 1.0),
    "ImagingFrequency": ("ImagingFrequency", 1.0),
    "MRAcquisitionType": ("MRAcquisitionType", None),
    "ScanningSequence": ("ScanningSequence", None),
    "SequenceVariant": ("SequenceVariant", None),
    "ScanOptions": ("ScanOptions", None),
    "EchoTime": ("EchoTime", 1e-3),  # ms -> s, as all times
    "RepetitionTime": ("RepetitionTime", 1e-3),
    "InversionTime": ("InversionTime", 1e-3),
    "FlipAngle": ("FlipAngle", 1.0),
    "EchoTrainLength": ("EchoTrainLength", 1.0),
    "NumberOfAverages": ("NumberOfAverages", 1.0),
    "PercentPhaseFOV": ("PercentPhaseFieldOfView", 1.0),
    "PercentSampling": ("PercentSampling", 1.0),
    "PixelBandwidth": ("PixelBandwidth", 1.0),
    "InPlanePhaseEncodingDirectionDICOM": ("InPlanePhaseEncodingDirection", None),
    "KVP": ("KVP", 1.0),
    "XRayExposure": ("Exposure", 1.0),
    "ConvolutionKernel": ("ConvolutionKernel", None),
    "Units": ("Units", None),
    "DecayCorrection": ("DecayCorrection", None),
}
# Elements, by keyword, that volumes note where all of their files agree.
NOTED = tuple(dict.fromkeys(keyword for keyword, _ in FIELDS.values()))

BY_VOLUME = ("EchoTime", "FlipAngle")
"""Fields that BIDS also takes as a list, one value a volume of a 4-D image ("Magnetic Resonance Imaging", glossary)."""


def sidecar(subject: LayoutSubject) -> dict[str, Any]:
    """Fields whose value all frames of a layout share, or where BIDS has a list for it, those of the volumes.

    What differs otherwise, or is not known, is left out. So is *PhaseEncodingDirection*: its sign stands in no public
    element.

    Parameters
    ----------
    subject
        Its planes tell the traits, its instances the modality, and its ``attributes``, by keyword, the rest.

    Returns
    -------
    dict
        Times in s, lengths in mm, angles in degrees, *Magnetic Field Strength* in T, *Imaging Frequency* in MHz.
    """
    found: dict[str, Any] = {}
    for name, (keyword, factor) in FIELDS.items():
        value = _common_value(subject, keyword)
        if value is None and name in BY_VOLUME:
            value = _volume_values(subject, keyword)
        if value is None or value in ("", []):
            continue
        if factor is None:
            found[name] = value
        elif isinstance(value, list) and name in BY_VOLUME and all(map(is_number, value)):
            found[name] = [_scaled(number, factor) for number in value]
        elif is_number(value):
            found[name] = _scaled(value, factor)
    if (times := slice_times(subject)) is not None:
        found["SliceTiming"] = times
    return found


def _scaled(number: float, factor: float) -> float:
    # Twelve digits: 3 ms are 0.003 s, and not 0.0030000000000000001.
    return number if factor == 1.0 else float(f"{number * factor:.12g}")


def _volume_values(subject: LayoutSubject, keyword: str) -> list[Any] | None:
    """One value of an element for each volume along the only axis beside the slices; None without such a list."""
    layout, axes = subject.layout, leading_axes(subject)
    others = [number for number, axis in enumerate(axes) if axis != "slice"]
    if len(others) != 1:
        return None
    values: list[set[Any]] = [set() for _ in range(layout.shape[others[0]])]
    for place in layout.placement:
        plane = subject.scan.instances[place.instance].plane(place.frame)
        values[place.index[others[0]]].add(plane.trait(keyword))
    return [one.pop() for one in values] if all(len(one) == 1 for one in values) else None


def _common_value(subject: LayoutSubject, keyword: str) -> Any:
    """The one value of an element in all frames of a layout, else None."""
    layout, instances = subject.layout, subject.scan.instances
    if keyword == "Modality":
        values: list[Any] = [one.modality for one in placed_instances(subject)]
    elif keyword in TRAITS:  # the frame's own, which an enhanced object keeps in its functional groups
        trait = TRAITS.index(keyword)
        values = [instances[place.instance].plane(place.frame).traits[trait] for place in layout.placement]
    else:
        values = [subject.attributes.get(keyword)]
    first = values[0] if values and all(value == values[0] for value in values) else None
    return list(first) if isinstance(first, tuple) else first

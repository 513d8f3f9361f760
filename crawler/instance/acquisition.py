"""How frames were acquired, under the keywords of classic objects, whether the object is classic or enhanced.

An enhanced object keeps these values in functional groups, shared or one a frame (PS3.3 C.7.6.16.2, C.8.13.5 and
C.8.15.3), some of them under other names. Reads public elements; those of vendors are for `vendor_acquisition.py`.
Nothing is judged, and units stay those of DICOM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawler.dicom.attributes import Attributes, Name

ENHANCED = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

_TIMING, _MODIFIER = "MRTimingAndRelatedParametersSequence", "MRModifierSequence"
_IMAGING, _GEOMETRY = "MRImagingModifierSequence", "MRFOVGeometrySequence"
_MACROS: dict[str, tuple[tuple[str, str], ...]] = {
    "PixelMeasuresSequence": (
        ("SliceThickness", "SliceThickness"),
        ("SpacingBetweenSlices", "SpacingBetweenSlices"),
    ),
    _TIMING: (
        ("RepetitionTime", "RepetitionTime"),
        ("FlipAngle", "FlipAngle"),
        ("EchoTrainLength", "EchoTrainLength"),
    ),
    "MREchoSequence": (("EffectiveEchoTime", "EchoTime"),),
    _MODIFIER: (
        ("InversionTimes", "InversionTime"),
        ("ParallelReductionFactorInPlane", "ParallelReductionFactorInPlane"),
        ("ParallelReductionFactorOutOfPlane", "ParallelReductionFactorOutOfPlane"),
        ("ParallelAcquisitionTechnique", "ParallelAcquisitionTechnique"),
        ("PartialFourier", "PartialFourier"),
        ("PartialFourierDirection", "PartialFourierDirection"),
        ("Spoiling", "Spoiling"),
    ),
    _IMAGING: (
        ("PixelBandwidth", "PixelBandwidth"),
        ("TransmitterFrequency", "ImagingFrequency"),
        ("MagnetizationTransfer", "MagnetizationTransfer"),
    ),
    _GEOMETRY: (
        ("PercentSampling", "PercentSampling"),
        ("PercentPhaseFieldOfView", "PercentPhaseFieldOfView"),
        ("InPlanePhaseEncodingDirection", "InPlanePhaseEncodingDirection"),
        ("MRAcquisitionPhaseEncodingStepsInPlane", "NumberOfPhaseEncodingSteps"),
        ("MRAcquisitionFrequencyEncodingSteps", "MRAcquisitionFrequencyEncodingSteps"),
    ),
    "MRAveragesSequence": (("NumberOfAverages", "NumberOfAverages"),),
    "MRReceiveCoilSequence": (("ReceiveCoilName", "ReceiveCoilName"),),
    "MRTransmitCoilSequence": (("TransmitCoilName", "TransmitCoilName"),),
    "FrameContentSequence": (("FrameAcquisitionDuration", "ActualFrameDuration"),),
    "PixelValueTransformationSequence": (("RescaleSlope", "RescaleSlope"), ("RescaleType", "RescaleType")),
    "CTXRayDetailsSequence": (("KVP", "KVP"),),
    "CTExposureSequence": (
        ("ExposureTimeInms", "ExposureTime"),
        ("XRayTubeCurrentInmA", "XRayTubeCurrent"),
        ("ExposureInmAs", "Exposure"),
    ),
    "CTReconstructionSequence": (("ConvolutionKernel", "ConvolutionKernel"),),
}
"""Macro of a functional group -> its elements, each with the keyword of the same value in classic objects."""

KEYWORDS = tuple(dict.fromkeys(classic for macro in _MACROS.values() for _, classic in macro))
"""What functional groups may tell."""

# Elements of the MR Pulse Sequence Module -> codes of (0018,0020) *Scanning Sequence*, PS3.3 C.8.3.1 and C.8.13.4.
_SCANNING: dict[str, dict[str, tuple[str, ...]]] = {
    "EchoPulseSequence": {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")},
    "InversionRecovery": {"YES": ("IR",)},
    "EchoPlanarPulseSequence": {"YES": ("EP",)},
}
_AXES = {"COLUMN": "COL"}
"""Values of *In-plane Phase Encoding Direction* in enhanced objects (C.8.13.5.3) -> in classic ones (C.8.3.1)."""


class Acquisition:
    """The acquisition of each frame of an object.

    Parameters
    ----------
    dataset
        The whole record.
    names
        What to tell of the data set itself: elements by the names under which they are told.
    """

    def __init__(self, dataset: Attributes, names: Mapping[str, Name]) -> None:
        self._groups = dataset.items(ENHANCED[1])
        shared = dataset.item(ENHANCED[0])
        self.is_enhanced = shared is not None or bool(self._groups)
        self._common = {told: dataset.value(name) for told, name in names.items() if dataset.has_value(name)}
        if self.is_enhanced:
            self._common |= _renamed(dataset, self._common)
        if shared is not None:
            self._common |= _of_group(shared)

    def group(self, number: int) -> Attributes | None:
        """The functional group of a frame (from 0); None when it has none."""
        return self._groups[number] if number < len(self._groups) else None

    def frame(self, number: int) -> dict[str, Any]:
        """Values of a frame (from 0), by the keywords of classic objects; what is not told is left out."""
        group = self.group(number)
        return self._common | _of_group(group) if group is not None else self._common


def _of_group(group: Attributes) -> dict[str, Any]:
    """What one functional group says."""
    found: dict[str, Any] = {}
    for macro, elements in _MACROS.items():
        item = group.item(macro)
        if item is None:
            continue
        for element, keyword in elements:
            value = item.value(element)
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if value not in (None, [], ""):
                found[keyword] = _AXES.get(value, value) if isinstance(value, str) else value
    return found


def _renamed(dataset: Attributes, known: dict[str, Any]) -> dict[str, Any]:
    """What enhanced objects keep in the data set under other names."""
    found: dict[str, Any] = {}
    if (direction := known.get("InPlanePhaseEncodingDirection")) in _AXES:
        found["InPlanePhaseEncodingDirection"] = _AXES[str(direction)]
    if "SequenceName" not in known and (name := dataset.text("PulseSequenceName")):
        found["SequenceName"] = name
    if "ScanningSequence" not in known:
        codes = [code for element, values in _SCANNING.items() for code in values.get(dataset.text(element), ())]
        if codes:
            found["ScanningSequence"] = codes if len(codes) > 1 else codes[0]
    return found

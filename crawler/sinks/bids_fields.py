"""The fields of a BIDS sidecar that are elements of a header as they are, but for their unit: a table.

Names and units are those of the Brain Imaging Data Structure 1.11 ("Magnetic Resonance Imaging data", "Positron
Emission Tomography"), and of dcm2niix where BIDS has none. Identifiers stay out: names, dates, UIDs, serial numbers,
institutions, comments.
"""

from __future__ import annotations

from typing import NamedTuple

from crawler.dicom.attributes import Name, Private


class Field(NamedTuple):
    """How a field is made of an element.

    Attributes
    ----------
    keyword
        DICOM keyword, or name of a value of `LayoutSubject.attributes`.
    factor
        To the unit of BIDS; None for what is taken as it is.
    positive
        BIDS asks for more than 0: vendors store 0 where there is no such time.
    """

    keyword: str
    factor: float | None = None
    positive: bool = False


_MS = 1e-3  # to s, as all times of BIDS

FIELDS: dict[str, Field] = {
    "Modality": Field("Modality"),
    "Manufacturer": Field("Manufacturer"),
    "ManufacturersModelName": Field("ManufacturerModelName"),
    "SoftwareVersions": Field("SoftwareVersions"),
    "BodyPart": Field("BodyPartExamined"),
    "PatientPosition": Field("PatientPosition"),
    "SeriesDescription": Field("SeriesDescription"),
    "ProtocolName": Field("ProtocolName"),
    "ImageType": Field("ImageType"),
    "SliceThickness": Field("SliceThickness", 1.0, positive=True),
    "SpacingBetweenSlices": Field("SpacingBetweenSlices", 1.0, positive=True),
    "MagneticFieldStrength": Field("MagneticFieldStrength", 1.0, positive=True),
    "ImagingFrequency": Field("ImagingFrequency", 1.0, positive=True),
    "MRAcquisitionType": Field("MRAcquisitionType"),
    "ScanningSequence": Field("ScanningSequence"),
    "SequenceVariant": Field("SequenceVariant"),
    "SequenceName": Field("SequenceName"),
    "ScanOptions": Field("ScanOptions"),
    "EchoNumber": Field("EchoNumbers", 1.0, positive=True),
    "EchoTime": Field("EchoTime", _MS, positive=True),
    "RepetitionTime": Field("RepetitionTime", _MS, positive=True),
    "InversionTime": Field("InversionTime", _MS, positive=True),
    "FlipAngle": Field("FlipAngle", 1.0, positive=True),
    "EchoTrainLength": Field("EchoTrainLength", 1.0, positive=True),
    "NumberOfAverages": Field("NumberOfAverages", 1.0, positive=True),
    "PercentPhaseFOV": Field("PercentPhaseFieldOfView", 1.0, positive=True),
    "PercentSampling": Field("PercentSampling", 1.0, positive=True),
    "PhaseEncodingSteps": Field("NumberOfPhaseEncodingSteps", 1.0, positive=True),
    "FrequencyEncodingSteps": Field("MRAcquisitionFrequencyEncodingSteps", 1.0, positive=True),
    "PixelBandwidth": Field("PixelBandwidth", 1.0, positive=True),
    "InPlanePhaseEncodingDirectionDICOM": Field("InPlanePhaseEncodingDirection"),
    "ParallelReductionFactorInPlane": Field("ParallelReductionFactorInPlane", 1.0, positive=True),
    "ParallelReductionFactorOutOfPlane": Field("ParallelReductionFactorOutOfPlane", 1.0, positive=True),
    "ParallelAcquisitionTechnique": Field("ParallelAcquisitionTechnique"),
    "PartialFourierDirection": Field("PartialFourierDirection"),
    "ReceiveCoilName": Field("ReceiveCoilName"),
    "TransmitCoilName": Field("TransmitCoilName"),
    "SAR": Field("SAR", 1.0, positive=True),
    "KVP": Field("KVP", 1.0, positive=True),
    "ExposureTime": Field("ExposureTime", _MS, positive=True),
    "XRayTubeCurrent": Field("XRayTubeCurrent", 1.0, positive=True),
    "XRayExposure": Field("Exposure", 1.0, positive=True),
    "ConvolutionKernel": Field("ConvolutionKernel"),
}

BY_VOLUME = ("EchoTime", "FlipAngle")
"""Fields that BIDS also takes as a list, one value a volume of a 4-D image ("Magnetic Resonance Imaging", glossary)."""

PET = (
    "Units",
    "SeriesType",
    "DecayCorrection",
    "CorrectedImage",
    "AttenuationCorrectionMethod",
    "ScatterCorrectionMethod",
    "RandomsCorrectionMethod",
    "ReconstructionMethod",
    "SUVType",
    "DoseCalibrationFactor",
    "DecayFactor",
    "ScatterFractionFactor",
    "ActualFrameDuration",
    "FrameReferenceTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "SeriesTime",
    "PatientWeight",
    "PatientSize",
)
"""Elements that `bids_pet.py` makes fields of."""

_PUBLIC = (
    *(entry.keyword for entry in FIELDS.values()),
    *PET,
    "MagnetizationTransfer",
    "PartialFourier",
    "Spoiling",
    "RescaleSlope",
    "RescaleType",
    "AcquisitionMatrix",
)
_PRIVATE: dict[str, Private] = {
    "PhilipsScaleSlope": (0x2005000E, "Philips MR Imaging DD 001"),
    "PhilipsScaleIntercept": (0x2005000D, "Philips MR Imaging DD 001"),
    "RTIATimer": (0x0021005E, "GEMS_RELA_01"),
}
NOTED: dict[str, Name] = {keyword: keyword for keyword in _PUBLIC} | _PRIVATE
"""Elements that volumes note: in their attributes where all frames agree, else by frame. Private ones have a name of
ours."""

NOT_ATTRIBUTES = ("AcquisitionDate", "AcquisitionTime", "RTIATimer")
"""Noted for what is computed of them, and in no attribute: moments of a single file, or of a day."""

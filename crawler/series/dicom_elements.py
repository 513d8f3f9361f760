"""The data set of a written image: what it takes from its template, what it must not take, and what its class requires.

A template describes another image: elements about that one's pixels, tables, overlays and place are dropped, and made
anew from the array. Sequences are copied as sequences.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crawler.dicom.dictionary import dictionary_vr, tag_for
from crawler.series.element_values import plain_value
from crawler.series.headers import FrameHeader
from crawler.series.quantize import ds_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CT, MR, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CR = "1.2.840.10008.5.1.4.1.1.1"
CLASSES = (CT, MR, PET, _CR, SECONDARY_CAPTURE)
"""Single-frame classes that an image keeps; of all others it becomes one of these."""
CLASSIC = {  # PS3.4 B.5: multi-frame classes and the single-frame class of the same modality
    "1.2.840.10008.5.1.4.1.1.2.1": CT,
    "1.2.840.10008.5.1.4.1.1.2.2": CT,
    "1.2.840.10008.5.1.4.1.1.4.1": MR,
    "1.2.840.10008.5.1.4.1.1.4.4": MR,
    "1.2.840.10008.5.1.4.1.1.130": PET,
    "1.2.840.10008.5.1.4.1.1.128.1": PET,
}
MODALITIES = {CT: "CT", MR: "MR", PET: "PT", _CR: "CR"}

_DROPPED = frozenset((
    "ModalityLUTSequence", "VOILUTSequence", "WindowCenterWidthExplanation", "VOILUTFunction", "WindowCenter",
    "WindowWidth", "RescaleSlope", "RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "SmallestImagePixelValue", "LargestImagePixelValue",
    "SmallestPixelValueInSeries", "LargestPixelValueInSeries", "PixelValueTransformationSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "AlphaPaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "AlphaPaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "PaletteColorLookupTableUID", "IconImageSequence", "PixelAspectRatio", "NumberOfFrames", "FrameIncrementPointer",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence",
    "DimensionIndexSequence", "DimensionOrganizationType", "ConcatenationUID", "ConcatenationFrameOffsetNumber",
    "InConcatenationNumber", "InConcatenationTotalNumber", "SOPInstanceUIDOfConcatenationSource",
    "SourceImageSequence", "DerivationDescription", "DerivationCodeSequence", "DigitalSignaturesSequence",
    "MACParametersSequence", "PlanarConfiguration", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation", "PixelSpacing",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "FrameOfReferenceUID",
    "PixelDataProviderURL", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "LUTExplanation",
    "PresentationLUTShape", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber",
    "UltrasoundColorDataPresent", "SequenceOfUltrasoundRegions", "FrameTime", "FrameTimeVector", "CineRate",
    "RecommendedDisplayFrameRate",
    "DoseGridScaling", "GridFrameOffsetVector", "DoseUnits", "DoseType",
    "StartTrim", "StopTrim", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
))  # fmt: skip
_OF_ANY = ("ProcedureCodeSequence", "ReferencedStudySequence", "RequestAttributesSequence", "ReferencedPatientSequence")
_BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ"})
# Type 2 elements of modules that all these classes have (PS3.3 A.2, A.3, A.4, A.8, A.21): present, if need be empty.
_PRESENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber",
)  # fmt: skip
# (0018,0015) *Body Part Examined* that are paired (PS3.16 annex L).
_PAIRED = frozenset((
    "ADRENAL", "ANKLE", "ARM", "AXILLA", "BREAST", "CALF", "CALCANEUS", "CLAVICLE", "EAR", "ELBOW", "EXTREMITY", "EYE",
    "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HIP", "HUMERUS", "KIDNEY", "KNEE", "LEG", "LUNG", "OVARY", "PATELLA",
    "RADIUS", "RADIUSULNA", "RIB", "SCAPULA", "SHOULDER", "TESTIS", "THIGH", "THUMB", "TIBIA", "TIBIAFIBULA", "TOE",
    "ULNA", "UPRLIMB", "LOWLIMB", "WRIST", "ZYGOMA", "SIJOINT", "TMJ",
))  # fmt: skip
# By class: type 1 elements with what stands for an unknown value, and type 2 elements.
_OF_CLASS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    CT: ({}, ("KVP", "AcquisitionNumber", "PositionReferenceIndicator", "Manufacturer", "PatientPosition")),
    MR: (
        {"ScanningSequence": "RM", "SequenceVariant": "NONE"},  # research mode: nothing else is known
        ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength",
         "PositionReferenceIndicator", "Manufacturer", "PatientPosition"),
    ),
    PET: ({}, ("PositionReferenceIndicator", "Manufacturer")),
    _CR: ({}, ("Laterality", "PatientOrientation", "ViewPosition", "Manufacturer", "BodyPartExamined")),
    SECONDARY_CAPTURE: ({"ConversionType": "WSD"}, ("PatientOrientation",)),
}  # fmt: skip
# What an enhanced object says in its functional groups, as the elements of its classic class (PS3.3 C.8.13, C.8.3).
_OF_GROUPS = {
    "EffectiveEchoTime": "EchoTime",
    "RepetitionTime": "RepetitionTime",
    "FlipAngle": "FlipAngle",
    "EchoTrainLength": "EchoTrainLength",
    "SliceThickness": "SliceThickness",
    "KVP": "KVP",
    "ConvolutionKernel": "ConvolutionKernel",
    "PixelBandwidth": "PixelBandwidth",
}


def class_of(told: str | None, colour: bool) -> str:
    """The class of written images, for that of their template."""
    if colour or told is None:
        return SECONDARY_CAPTURE
    classic = CLASSIC.get(told, told)
    return classic if classic in CLASSES else SECONDARY_CAPTURE


class Base:
    """What all images of a series have from their template.

    Parameters
    ----------
    template
        Header of one image; None for none.
    keep_private
        Whether private elements stay.
    sop_class
        Of the images. Sequences of a template of another modality are about what these are not.
    """

    def __init__(self, template: Dataset | None, keep_private: bool = False, sop_class: str = "") -> None:
        from pydicom.dataset import Dataset  # slow to load

        held = Dataset() if template is None else copy.deepcopy(template)
        held.decode()  # texts are written in Unicode, whatever they were read in
        held.SpecificCharacterSet = "ISO_IR 192"
        groups = _functional_values(held)
        dropped = {tag_for(keyword) for keyword in _DROPPED}
        for tag in list(held.keys()):
            repeating = tag.group & 0xFF01 in (0x5000, 0x6000)  # curves and overlays
            private = tag.is_private and not keep_private
            if int(tag) in dropped or tag.group in (0x0002, 0x7FE0) or repeating or private or tag.group == 0xFFFA:
                del held[tag]
        for keyword, value in groups.items():
            if keyword not in held:
                set_element(held, keyword, value)
        told = None if template is None else str(template.get("SOPClassUID", ""))
        if told is not None and CLASSIC.get(told, told) not in CLASSES:
            for element in list(held):
                if element.VR == "SQ" and element.keyword not in _OF_ANY:
                    del held[element.tag]
        self.dataset = held
        self._values = {
            element.keyword: plain_value(element.value)
            for element in held
            if element.keyword and element.VR not in _BINARY
        }

    def image(self, header: FrameHeader | None) -> Dataset:
        """A data set to begin an image from: the template's, with what the image's own header has in its place."""
        made = copy.deepcopy(self.dataset)
        if header is None:
            return made
        for keyword, value in header.record.items():
            if (
                keyword in _DROPPED
                or keyword == "SpecificCharacterSet"
                or not _is_simple(keyword, value)
                or _equal(self._values.get(keyword), value)
            ):
                continue
            set_element(made, keyword, value)
        for keyword in self._values:
            if header.record and keyword not in header.record and keyword != "SpecificCharacterSet":
                del made[keyword]
        return made


def set_element(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an element from a plain value: numbers become decimal strings of 16 characters, empty stays empty."""
    vr = dictionary_vr(tag_for(keyword) or 0)
    if value is None:
        value = ""
    if isinstance(value, (list, tuple)):  # an empty one among several
        value = ["" if one is None else one for one in value]
    if vr == "DS":
        many = value if isinstance(value, list) else [value]
        texts = [ds_text(float(one)) if _is_number(one) else one for one in many]
        value = texts if isinstance(value, list) else texts[0]
    elif vr == "IS" and _is_number(value):
        value = round(value)
    elif vr in ("FD", "FL", "US", "SS", "UL", "SL") and value == "":
        value = None
    setattr(dataset, keyword, value)


def complete(dataset: Dataset, sop_class: str) -> None:
    """Add what a class requires and the template lacks, empty where that is allowed."""
    required, present = _OF_CLASS[sop_class]
    for keyword, value in required.items():
        if not dataset.get(keyword):
            set_element(dataset, keyword, value)
    for keyword in (*_PRESENT, *present):
        if keyword not in dataset:
            set_element(dataset, keyword, None)
    part = str(dataset.get("BodyPartExamined") or "")
    if "Laterality" not in dataset and not dataset.get("ImageLaterality") and (not part or part in _PAIRED):
        set_element(dataset, "Laterality", None)  # type 2C: of paired parts, and of what may be one
    if sop_class == MR and "IR" not in str(dataset.get("ScanningSequence", "")):
        dataset.pop("InversionTime", None)  # type 2C: of inversion recovery alone (PS3.3 C.8.3.1)
    direction = dataset.get("VelocityEncodingDirection")
    if direction is not None and not any(direction):  # some vendors write it for images without such encoding
        del dataset["VelocityEncodingDirection"]
    dataset.Modality = MODALITIES.get(sop_class) or dataset.get("Modality") or "OT"


def image_type(told: Sequence[str] | None, sop_class: str) -> list[str]:
    """(0008,0008) of derived values: the third value and those behind it stay."""
    second = "PRIMARY" if sop_class == PET else "SECONDARY"  # PS3.3 C.8.9.4.1.1 allows PET no other
    # A mosaic is cut into its slices when it is read; readers would cut these again.
    kept = [str(value) for value in (told or [])[2:] if value not in ("MOSAIC", None)]
    if not kept and sop_class in (CT, MR):
        kept = ["AXIAL" if sop_class == CT else "OTHER"]
    return ["DERIVED", second, *kept]


def source_items(headers: Iterable[FrameHeader | None]) -> list[Dataset]:
    """Items of (0008,2112) *Source Image Sequence*: the frames that values were made of (PS3.3 C.7.6.1.1.4)."""
    from pydicom.dataset import Dataset

    sources = dict.fromkeys(source for header in headers if header is not None for source in header.sources)
    items = []
    for source in sources:
        if not source.sop_class or not source.sop_uid:
            continue
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class, source.sop_uid
        if source.frame is not None:
            item.ReferencedFrameNumber = source.frame + 1
        purpose = Dataset()
        purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"  # CID 7202
        purpose.CodeMeaning = "Source image for image processing operation"
        item.PurposeOfReferenceCodeSequence = [purpose]
        items.append(item)
    return items


def changes_of(meta: Mapping[str, Any], header: FrameHeader | None) -> dict[str, Any]:
    """Elements that were set, those of the series before those of the image."""
    own = {} if header is None else dict(header.changes)
    return {**own, **meta}


def _functional_values(dataset: Dataset) -> dict[str, Any]:
    """Elements of functional groups that a classic image has at its top level."""
    found: dict[str, Any] = {}
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (dataset.get(name) or [])[:1]:
            for macro in group:
                for item in (macro.value or [])[:1] if macro.VR == "SQ" else []:
                    for keyword, classic in _OF_GROUPS.items():
                        if keyword in item:
                            value = plain_value(item[keyword].value)
                            found.setdefault(classic, value[0] if isinstance(value, list) and value else value)
    return found


def _is_simple(keyword: str, value: Any) -> bool:
    tag = tag_for(keyword)
    if tag is None or tag >> 16 in (0x0002, 0x7FE0) or dictionary_vr(tag) in _BINARY or isinstance(value, dict):
        return False
    return not (isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _equal(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)

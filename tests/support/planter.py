"""A DICOM file with a marker in every place that may hold text: what a run under `privacy` must not repeat.

A marker is unique and looks like an identifier: letters and six digits. Values are of the form that their VR has, where
it has one. The file is an image that decodes, so that every output is made of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from support.factories import ct_series, quick_dataset, save

FREE = ("LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR", "CS")
LIMITS = {"SH": 16, "CS": 16, "AE": 16}
# What the image needs to be read as it is.
KEPT = frozenset(
    ["SpecificCharacterSet", "SOPClassUID", "Modality", "PhotometricInterpretation", "TransferSyntaxUID", "ImageType"]
)
# Elements of every kind of VR that are given a text instead.
BROKEN = (
    *(
        "SliceThickness",
        "SeriesNumber",
        "StudyDate",
        "StudyTime",
        "PatientAge",
        "AcquisitionDateTime",
        "KVP",
        "Modality",
    ),
    *("EchoTrainLength", "SpecificCharacterSet", "StudyInstanceUID", "ImageType", "FrameOfReferenceUID", "StackID"),
    *("AcquisitionNumber", "EchoTime", "ConvolutionKernel", "SOPClassUID", "PresentationLUTShape", "PixelSpacing"),
    "PhotometricInterpretation",
)


@dataclass
class Planter:
    """Makes markers and keeps where each was put."""

    markers: dict[str, str] = field(default_factory=dict)

    def text(self, where: str, begin: str = "MKR") -> str:
        """A new marker."""
        marker = f"{begin}{700000 + len(self.markers)}"
        self.markers[marker] = where
        return marker

    def uid(self, where: str) -> str:
        """A UID that holds a date and a number."""
        marker = f"1.3.6.1.4.1.99999.20240229.{700000 + len(self.markers)}"
        self.markers[marker] = where
        return marker

    def value(self, vr: str, where: str) -> str | None:
        """A value of a VR that holds a marker; None for VRs that hold no text."""
        if vr in FREE:
            return self.text(where)
        return self.uid(where) if vr == "UI" else None

    def fill(self, dataset: Dataset, where: str) -> None:
        """Plant in every element of the dictionary that holds text."""
        for number, (vr, _, _, retired, keyword) in sorted(DicomDictionary.items()):
            if not keyword or keyword in KEPT or number >> 16 in (0x0000, 0x0002, 0x0004) or keyword in dataset:
                continue
            if keyword.endswith("Retired") or (retired and vr == "UI"):
                continue
            value = self.value(vr, f"{where}{keyword}")
            if value is not None:
                dataset[Tag(number)] = DataElement(Tag(number), vr, value)

    def identify(self, dataset: Dataset) -> None:
        """Plant what names the patient: searched in free text, too."""
        dataset.PatientName = "Quastenflosser^Ludmilla"
        dataset.PatientID = self.text("PatientID")
        dataset.PatientBirthDate = "19310417"
        dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20240229"
        for marker in ("Quastenflosser", "QUASTENFLOSSER", "Ludmilla", "19310417", "20240229", "17.04.1931"):
            self.markers[marker] = "patient"
        dataset.StudyDescription = "Brain of QUASTENFLOSSER, LUDMILLA born 17.04.1931"
        dataset.SeriesDescription = "axial QuastenflosserLudmilla"
        dataset.ProtocolName = "Head " + dataset.PatientID

    def private(self, dataset: Dataset) -> None:
        """Plant in private elements: of a creator that is safe, of an unknown one, nested, as UN."""
        safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        safe.add_new(0x08, "LO", self.text("private: not listed"))
        unknown = dataset.private_block(0x0021, self.text("private: creator"), create=True)
        unknown.add_new(0x01, "LO", self.text("private: LO"))
        unknown.add_new(0x02, "UN", self.text("private: UN").encode())
        unknown.add_new(0x03, "OB", self.text("private: OB").encode())
        item = Dataset()
        item.PatientName = self.text("private: nested PN")
        nested = item.private_block(0x0021, self.text("private: nested creator"), create=True)
        nested.add_new(0x01, "ST", self.text("private: nested ST"))
        unknown.add_new(0x04, "SQ", Sequence([item]))
        listed = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
        inside = Dataset()
        inside.PatientID = self.text("private: in a listed sequence")
        inside.SeriesDescription = self.text("private: text in a listed sequence")
        listed.add_new(0x5F, "SQ", Sequence([inside]))
        listed.add_new(0x07, "CS", self.text("private: listed text"))

    def overlays(self, dataset: Dataset) -> None:
        """Plant in overlays and curves."""
        dataset.add_new(0x60000010, "US", 16)
        dataset.add_new(0x60000011, "US", 12)
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 1)
        dataset.add_new(0x60000102, "US", 0)
        dataset.add_new(0x60003000, "OW", self.text("overlay data").encode().ljust(24, b"\0"))
        dataset.add_new(0x60001500, "LO", self.text("overlay label"))
        dataset.add_new(0x60004000, "LT", self.text("overlay comments"))
        dataset.add_new(0x60020022, "LO", self.text("overlay description"))
        dataset.add_new(0x50003000, "OW", self.text("curve data").encode().ljust(24, b"\0"))

    def rest(self, dataset: Dataset) -> None:
        """Plant in an icon, a profile, padding, and sequences at three depths."""
        icon = Dataset()
        icon.Rows, icon.Columns, icon.BitsAllocated, icon.SamplesPerPixel = 2, 6, 8, 1
        icon.PhotometricInterpretation = "MONOCHROME2"
        icon.add_new(0x7FE00010, "OB", self.text("icon").encode().ljust(12, b"\0"))
        dataset.IconImageSequence = [icon]
        dataset.add_new(0x00282000, "OB", self.text("ICC profile").encode().ljust(128, b"\0"))
        dataset.add_new(0xFFFCFFFC, "OB", self.text("padding").encode().ljust(64, b"\0"))
        deepest = Dataset()
        self.fill(deepest, "depth 3: ")
        deeper = Dataset()
        deeper.DerivationCodeSequence = [deepest]
        self.fill(deeper, "depth 2: ")
        item = Dataset()
        item.CTDIPhantomTypeCodeSequence = [deeper]
        self.fill(item, "depth 1: ")
        dataset.DerivationImageSequence = [item]


def plant(folder: Path, slices: int = 3) -> dict[str, str]:
    """Write a planted series below a folder, and return where each marker was put."""
    planter = Planter()
    place = folder / planter.text("folder") / planter.text("sub folder")
    values = Dataset()
    planter.identify(values)
    planter.private(values)
    planter.overlays(values)
    planter.rest(values)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(values, keyword, planter.uid(keyword))
    for path in ct_series(place, slices):
        image = dcmread(path)
        path.unlink()
        for keyword in (*KEPT, "SOPInstanceUID"):
            values.pop(keyword, None)
        image.update(values)
        planter.fill(image, "")
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = planter.uid("SOPInstanceUID")
        image.file_meta.SourceApplicationEntityTitle = planter.text("meta AE")
        image.file_meta.ImplementationVersionName = planter.text("meta version")
        image.file_meta.PrivateInformationCreatorUID = planter.uid("meta creator")
        image.file_meta.PrivateInformation = planter.text("meta private").encode()
        image.preamble = planter.text("preamble").encode().ljust(128, b"\0")
        with disable_value_validation():
            dcmwrite(place / f"{planter.text('file')}.dcm", image, enforce_file_format=True)
    return planter.markers


def plant_others(folder: Path) -> dict[str, str]:
    """Write objects that are no image, and values that break their VR; return where each marker was put."""
    planter = Planter(_Numbered())
    storage = "1.2.840.10008.5.1.4.1.1."
    item = Dataset()
    item.ValueType, item.TextValue, item.PersonName = "TEXT", planter.text("SR text"), planter.text("SR person")
    item.RelationshipType = "CONTAINS"
    report = quick_dataset(SOPClassUID=f"{storage}88.11", Modality="SR", PatientName=planter.text("SR patient"))
    report.ContentSequence = [item]
    save(report, folder / f"{planter.text('SR file')}.dcm")

    document = quick_dataset(SOPClassUID=f"{storage}104.1", Modality="DOC", DocumentTitle=planter.text("title"))
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = b"%PDF-1.4 " + planter.text("PDF").encode() + b" "
    save(document, folder / "pdf" / f"{planter.text('PDF file')}.dcm")

    source = Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = "5.6.3-9-1", "SCPECG", planter.text("lead")
    channel = Dataset()
    channel.ChannelLabel, channel.ChannelSourceSequence = planter.text("channel"), [source]
    channel.WaveformBitsStored = 16
    group = Dataset()
    group.MultiplexGroupLabel, group.ChannelDefinitionSequence = planter.text("group"), [channel]
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples, group.SamplingFrequency = 1, 4, 500
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformOriginality = "ORIGINAL"
    group.add_new(0x54001010, "OW", planter.text("samples").encode()[:8])
    waveform = quick_dataset(SOPClassUID=f"{storage}9.1.1", Modality="ECG")
    waveform.WaveformSequence = [group]
    save(waveform, folder / "ecg" / f"{planter.text('waveform file')}.dcm")

    values = np.full((16, 12), 7, np.int16)
    for keyword in BROKEN:
        broken = quick_dataset(values, Modality="CT")
        with disable_value_validation():
            broken[keyword] = DataElement(tag_for_keyword(keyword), "LO", planter.text(f"in place of {keyword}"))
        with warnings.catch_warnings(action="ignore"):  # that the character set is none
            save(broken, folder / "broken" / f"{planter.text('broken file')}.dcm")
    return dict(planter.markers)


class _Numbered(dict[str, str]):
    """Counts on from where `plant` ends."""

    def __len__(self) -> int:
        return 50_000 + super().__len__()

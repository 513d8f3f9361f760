"""One DICOM file written anew under the policy: cleaned elements, new meta information, pixels and nothing beside.

Nothing of the original file is copied as bytes: the preamble is zero, and frames are decoded, masked and written in
Explicit VR Little Endian, so that comments of codestreams, unused bits, and bytes behind the last frame are gone. What
the policy holds back is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.files import open_file
from crawler.dicom.uids import ExplicitVRLittleEndian
from crawler.errors import FileError, HeaderError, OutputError
from crawler.instance.header import read_instance
from crawler.model import File, Instance
from crawler.pacs.pdu import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from crawler.pixels.frames import frames
from crawler.pixels.video import is_video
from crawler.privacy.answers import answered
from crawler.privacy.dataset import UNREADABLE, cleaned_dataset
from crawler.privacy.held import item_of
from crawler.privacy.hold import DOCUMENTS, WAVEFORMS
from crawler.privacy.methods import CODES, earned, temporal
from crawler.privacy.pixels import searched
from crawler.privacy.policy import Policy
from crawler.privacy.standard import edition

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

# Types of documents by the end of their class, PS3.3 A.45.
_KINDS = {"1": "application/pdf", "2": "text/xml", "3": "model/stl", "4": "model/obj", "5": "model/mtl"}
_FLOATS = {"FloatPixelData": (0x7FE00008, "OF"), "DoubleFloatPixelData": (0x7FE00009, "OD")}


def said_by_series(files: Iterable[File], policy: Policy) -> dict[str, frozenset[str]]:
    """Series Instance UID -> the texts that identify in any of its files, where these do not say the same."""
    found: dict[str, set[frozenset[str]]] = {}
    for file in files:
        try:
            original = read_instance(file, policy.keys)
        except FileError:
            continue  # `clean_file` says why
        found.setdefault(original.series_uid, set()).add(policy.patient_of(original).texts)
    return {series: frozenset().union(*texts) for series, texts in found.items() if len(texts) > 1}


class HeldBack(Exception):
    """The policy lets nothing of a file out; its text says why.

    Attributes
    ----------
    instance
        What is held back until it is answered; None where no answer lets it out.
    """

    def __init__(self, why: str, instance: Instance | None = None) -> None:
        super().__init__(why)
        self.instance = instance


def clean_file(file: File, policy: Policy, limit: int, known: Mapping[str, frozenset[str]]) -> FileDataset:
    """The DICOM file that may leave the house in place of another.

    Parameters
    ----------
    limit
        Bytes that one decoded frame may take.
    known
        As `said_by_series` found it.

    Raises
    ------
    HeldBack
        It stays.
    FileError
        It cannot be read, decoded, or made.
    """
    from pydicom import dcmread
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    original = read_instance(file, policy.keys)
    if original.is_index:
        raise HeldBack("a DICOMDIR names all others")
    if original.header_fault is not None:
        raise HeaderError("damaged header", "it ends too early")
    also = known.get(original.series_uid, frozenset())
    instance = policy(original, also)
    if not instance.held and instance.mask is not None and instance.mask.search:
        instance = searched(instance, policy.section, limit)
    if instance.held:
        instance = _answered(instance, policy)
    with quiet_pydicom():
        try:
            with open_file(file) as stream:
                read = dcmread(stream, stop_before_pixels=True, force=True)
                made = cleaned_dataset(read, policy, policy.patient_of(original, also))
        except UNREADABLE as error:  # its message may quote a value
            raise HeaderError("damaged header", type(error).__name__) from None
        _say(made, instance, policy)
        if not (made.get("SOPClassUID") and made.get("SOPInstanceUID")):
            raise HeaderError("missing SOP Class UID or SOP Instance UID")
        if instance.pixels is not None and instance.pixels.keyword:
            _put_pixels(made, instance, limit)
        elif original.sop_class.startswith(DOCUMENTS):
            _put_document(made, read)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = made.SOPClassUID
        meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
        meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
        meta.ImplementationVersionName = IMPLEMENTATION_NAME
        return FileDataset("", made, preamble=b"\0" * 128, file_meta=meta)


def _answered(instance: Instance, policy: Policy) -> Instance:
    """A held instance as its answer in review lets it out. Raises HeldBack where none does."""
    if is_video(instance) or instance.sop_class.startswith(WAVEFORMS):
        raise HeldBack(instance.held)  # written anew they would be another object
    try:
        answer = policy.answers.get(item_of(policy.key, instance.file))
    except OSError as error:
        raise HeaderError("unreadable file", error.strerror or "") from None
    if answer is None:
        raise HeldBack(instance.held, instance)
    instance = answered(instance, answer)
    if instance.held:
        raise HeldBack(instance.held)
    return instance


def _put_document(made: Dataset, read: Dataset) -> None:
    """The document of a file that was released, and its type by its class."""
    for keyword in ("EncapsulatedDocument", "EncapsulatedDocumentLength"):
        if keyword in read:
            made[keyword] = read[keyword]
    made.MIMETypeOfEncapsulatedDocument = _KINDS.get(
        str(made.SOPClassUID).rpartition(".")[2], "application/octet-stream"
    )


def save(dataset: FileDataset, path: str) -> None:
    """Write a file.

    Raises
    ------
    OutputError
        The disk takes it not, or an element cannot be encoded.
    """
    try:
        with quiet_pydicom():
            dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise OutputError(f"a DICOM file cannot be written: {error.strerror}") from None
    except UNREADABLE as error:
        raise HeaderError("an element cannot be written", type(error).__name__) from None


def _say(made: Dataset, instance: Instance, policy: Policy) -> None:
    """What the standard wants said of a de-identified object (PS3.15 E.1.1), and an age in place of a birth date."""
    from pydicom.dataset import Dataset

    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = f"dme, PS3.15 {edition()}"
    made.LongitudinalTemporalInformationModified = temporal(policy.section)
    items = []
    for name in earned(policy.section):
        item = Dataset()
        item.CodeValue, item.CodeMeaning = CODES[name]
        item.CodingSchemeDesignator = "DCM"
        items.append(item)
    made.DeidentificationMethodCodeSequence = items
    age = policy.text_of(instance.record, "PatientAge")
    if age:
        made.PatientAge = age


def _put_pixels(made: Dataset, instance: Instance, limit: int) -> None:
    """Frames as they are stored, uncompressed: PS3.5 8.1 and 8.2."""
    pixels = instance.pixels
    assert pixels is not None, "the caller looked"
    data = bytearray()
    bits: list[np.ndarray] = []
    photometric = pixels.photometric
    for frame in frames(instance, limit=limit):
        values, photometric = frame.values, frame.photometric
        if pixels.bits_allocated == 1:
            bits.append(values.ravel() != 0)
            continue
        data += np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    made.Rows, made.Columns, made.SamplesPerPixel = pixels.rows, pixels.columns, pixels.samples
    made.PhotometricInterpretation = photometric
    if bits:
        data += np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    if len(data) % 2:
        data += b"\0"
    if pixels.keyword in _FLOATS:
        tag, vr = _FLOATS[pixels.keyword]
        made.add_new(tag, vr, bytes(data))
        return
    allocated = 1 if bits else 8 * values.dtype.itemsize
    made.BitsAllocated = allocated
    made.BitsStored = min(pixels.bits_stored or allocated, allocated)
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    if pixels.samples > 1:
        made.PlanarConfiguration = 0
    made.add_new(0x7FE00010, "OB" if allocated <= 8 else "OW", bytes(data))

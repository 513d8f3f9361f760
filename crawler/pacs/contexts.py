"""Which presentation contexts a C-GET proposes: one for each SOP class and transfer syntax, 128 at most.

A context of its own for each syntax makes the server send an instance in the syntax that it holds it in; a context of
several syntaxes would make it convert to the one that it chose. For the same reason all syntaxes of a class stand in
one association. What a class may be stored in is a rough guess by kind; a proposal too many costs 60 bytes. No sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crawler.dicom import uids

STORAGE = "1.2.840.10008.5.1.4.1.1."
VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND, STUDY_MOVE, STUDY_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
LIMIT = 128  # odd numbers of one byte, PS3.8 9.3.2.2

PLAIN = (uids.ImplicitVRLittleEndian, uids.ExplicitVRLittleEndian)
_UNCOMPRESSED = (
    uids.ExplicitVRLittleEndian,
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
_COMPRESSED = (
    uids.JPEGBaseline8Bit,
    uids.JPEGExtended12Bit,
    uids.JPEGLosslessSV1,
    uids.JPEGLossless,
    uids.JPEGLSLossless,
    uids.JPEGLSNearLossless,
    uids.JPEG2000Lossless,
    uids.JPEG2000,
    uids.RLELossless,
    "1.2.840.10008.1.2.4.92",  # JPEG 2000 part 2, lossless and lossy
    "1.2.840.10008.1.2.4.93",
    uids.HTJ2KLossless,
    uids.HTJ2KLosslessRPCL,
    uids.HTJ2K,
    uids.JPEGXLLossless,
    uids.JPEGXLJPEGRecompression,
    uids.JPEGXL,
    uids.DeflatedImageFrameCompression,
    uids.EncapsulatedUncompressedExplicitVRLittleEndian,
    uids.JPEGSpectralSelectionNonHierarchical68,
    uids.JPEGFullProgressionNonHierarchical1012,
)
_VIDEO = (
    uids.MPEG2MPML,
    uids.MPEG2MPHL,
    uids.MPEG4HP41,
    uids.MPEG4HP41BD,
    uids.MPEG4HP422D,
    uids.MPEG4HP423D,
    uids.MPEG4HP42STEREO,
    uids.MPEG2MPMLF,
    uids.MPEG2MPHLF,
    uids.MPEG4HP41F,
    uids.MPEG4HP41BDF,
    uids.MPEG4HP422DF,
    uids.MPEG4HP423DF,
    uids.MPEG4HP42STEREOF,
    uids.HEVCMP51,
    uids.HEVCM10P51,
)
# Classes without pixels, by how their UIDs go on after `STORAGE`: waveforms, presentation states, raw data,
# registrations, reports, documents, radiotherapy objects. Segmentations (66.4) and doses (481.2) have pixels.
_WITHOUT_PIXELS = (
    *("9.", "11.", "66.1", "66.2", "66.3", "66.5", "66.6", "67", "68.", "77.1.5.3", "78.", "79.", "80.", "88.", "104."),
    *("131", "200.", "201.", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9", "481.10", "481.11"),
)
# Multi-frame ultrasound and secondary capture, angiography, and visible light with its video classes.
_WITH_VIDEO = ("3.1", "6.1", "7.4", "12.1", "12.2", "77.1.")

# Modality (PS3.3 C.7.3.1.1.1) -> SOP classes after `STORAGE`, likeliest first; CT to OT also the order without a hint.
_BY_MODALITY = {
    "CT": ("2", "2.1", "2.2", "7"),
    "MR": ("4", "4.1", "4.2", "4.3", "4.4", "7"),
    "CR": ("1", "1.1"),
    "DX": ("1.1", "1.1.1", "1"),
    "US": ("6.1", "3.1", "6.2", "6", "3"),
    "PT": ("128", "128.1", "130"),
    "OT": ("7", "7.1", "7.2", "7.3", "7.4"),
    "SR": ("88.33", "88.22", "88.11", "88.34", "88.67", "88.71"),
    "SEG": ("66.4", "66.5"),
    "RTSTRUCT": ("481.3",),
    "RTDOSE": ("481.2",),
    "RTPLAN": ("481.5", "481.8"),
    "RTIMAGE": ("481.1",),
    "NM": ("20",),
    "XA": ("12.1", "12.1.1", "13.1.1", "12.3"),
    "RF": ("12.2", "12.2.1"),
    "MG": ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"),
    "IO": ("1.3", "1.3.1"),
    "PX": ("1.1", "1.3"),
    "SC": ("7", "7.1", "7.2", "7.3", "7.4"),
    "PR": ("11.1", "11.2", "11.3", "11.4"),
    "KO": ("88.59",),
    "REG": ("66.1", "66.3"),
    "RWV": ("67",),
    "DOC": ("104.1", "104.2"),
    "ECG": ("9.1.1", "9.1.2", "9.1.3"),
    "ES": ("77.1.1", "77.1.1.1"),
    "GM": ("77.1.2", "77.1.2.1"),
    "SM": ("77.1.6", "77.1.3"),
    "XC": ("77.1.4", "77.1.4.1"),
    "OP": ("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6"),
    "OPT": ("77.1.5.4", "77.1.5.8"),
    "IVUS": ("6.1", "3.1"),
}
# The pairs of (SOP class, transfer syntax) of one association.
Plan = list[tuple[str, str]]


def syntaxes_of(sop_class: str) -> tuple[str, ...]:
    """Return the transfer syntaxes that instances of a class may be stored in; all for a class of a maker's own."""
    if not sop_class.startswith(STORAGE):
        return _UNCOMPRESSED + (() if sop_class.startswith("1.2.840.10008.") else _COMPRESSED + _VIDEO)
    rest = sop_class[len(STORAGE) :]
    if rest.startswith(_WITHOUT_PIXELS):
        return _UNCOMPRESSED
    return _UNCOMPRESSED + _COMPRESSED + (_VIDEO if rest.startswith(_WITH_VIDEO) else ())


def classes_for(modalities: Iterable[str]) -> Iterator[str]:
    """Yield SOP classes, those of the modalities first, then the common ones, then all that pynetdicom knows."""
    seen: set[str] = set()
    for modality in (*modalities, *_BY_MODALITY):
        for rest in _BY_MODALITY.get(modality, ()):
            if (uid := STORAGE + rest) not in seen:
                seen.add(uid)
                yield uid
    from pynetdicom import AllStoragePresentationContexts  # 0.3 s, and hardly ever reached

    yield from (str(c.abstract_syntax) for c in AllStoragePresentationContexts if c.abstract_syntax not in seen)


def plans(
    sop_classes: Sequence[str], modalities: Iterable[str], extra_syntaxes: Sequence[str], room: int
) -> Iterator[Plan]:
    """Yield what each association proposes, in turn, until enough has arrived.

    Parameters
    ----------
    sop_classes
        All that are needed; empty when that is not known.
    extra_syntaxes
        Tried for each class beside its own.
    room
        Contexts that an association has left.
    """
    plan: Plan = []
    for sop_class in dict.fromkeys(sop_classes) if sop_classes else classes_for(modalities):
        syntaxes = list(dict.fromkeys([*extra_syntaxes, *syntaxes_of(sop_class)]))[:room]
        if len(plan) + len(syntaxes) > room:
            yield plan
            plan = []
        plan += [(sop_class, syntax) for syntax in syntaxes]
    if plan:
        yield plan


def is_storage(sop_class: str) -> bool:
    """Whether a receiver takes instances of a class: all storage classes, and those of makers.

    Outside the main branch the standard keeps hanging protocols, palettes, implant templates and inventories.
    """
    if sop_class.startswith(STORAGE) or not sop_class.startswith("1.2.840.10008."):
        return True
    rest = sop_class.removeprefix("1.2.840.10008.5.1.4.")
    return rest in {"38.1", "39.1", "43.1", "44.1", "45.1", "34.7", "34.10"}

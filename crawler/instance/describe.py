"""What a record's elements mean: the fields of `Instance` that grouping, geometry, pixels and display need.

Reads the finished record, whatever the style of its keys, so that nothing is converted twice. A value of the wrong
type or number counts as absent. Opens no file; geometry and display are worked out elsewhere. The planes of
multi-frame objects come from `functional.py`, those of mosaics from `mosaic.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from crawler.dicom.attributes import Attributes
from crawler.dicom.csa import NO_CSA, Csa
from crawler.dicom.dictionary import KeyStyle
from crawler.dicom.elements import PIXEL_TAGS, Element
from crawler.dicom.fast.memo import Memo, MemoAttributes
from crawler.dicom.record import Record
from crawler.instance.frame_rate import frame_rate
from crawler.instance.functional import planes_of, slope_notes, voi_fields
from crawler.instance.mosaic import is_montage, mosaic_of, tile_planes
from crawler.instance.vendor import with_diffusion
from crawler.model import File, Instance, Mosaic, Pixels, Plane

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR, PS3.10 8.6

# SOP classes (PS3.4 B.5) whose IOD has no Image Pixel module (PS3.3 Table A.1-1), as prefixes with a final point or
# as whole UIDs. Some hold Rows and Columns all the same: those of MR Spectroscopy count spectra.
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_WITHOUT_IMAGE = tuple(
    _STORAGE + suffix
    for suffix in (
        "88.",  # structured reports, key object selection
        "11.",  # presentation states
        "9.",  # waveforms, presentation state of waveforms
        "104.",  # encapsulated documents
        "78.", "79.", "80.",  # ophthalmic measurements
        "90.", "91.",  # content assessment, microscopy bulk annotations
        "200.", "201.",  # CT protocols, XA protocols
        "131", "66", "66.1", "66.2", "66.3", "66.5", "66.6", "67",  # network, raw data, registration, surfaces
        "4.2",  # MR Spectroscopy
        "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9", "481.10", "481.11",  # RT but image and dose
        "481.12", "481.13", "481.14", "481.15", "481.16", "481.17", "481.18",
    )
)  # fmt: skip
_LUTS = (
    "RedPaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "ModalityLUTSequence",
    "VOILUTSequence",
)
# VR of pixel elements in implicit VR (PS3.5 A.1) and where the file's own says nothing.
_PIXEL_VRS = {"PixelData": "OW", "FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}


class Source(NamedTuple):
    """A record and where it came from; `memo` knows what headers like it mean."""

    file: File
    record: Record
    keys: KeyStyle = "keyword"
    transfer_syntax: str = ""
    csa: Csa = NO_CSA
    memo: Memo | None = None


def describe(source: Source, pixel: Element | None = None, big_endian: bool = False, cut: bool = False) -> Instance:
    """Return the instance of a record.

    Parameters
    ----------
    pixel
        The pixel element, when the header ends in one.
    big_endian
        Byte order of the data set.
    cut
        The header breaks off: what of an image is not there may have been in the rest.
    """
    fields = Attributes(source.record, source.keys)
    if source.memo is not None:
        fields = MemoAttributes(source.record, source.keys, source.memo)
    series = fields.memoized(_of_series)
    sop_class = series["sop_class"]
    pixels = None
    if pixel is not None or _is_image(fields, sop_class, cut):
        pixels = _pixels(fields, pixel, big_endian)
    voi = voi_fields(fields)
    mosaic, planes = _planes(fields, pixels, source.csa)
    return Instance(
        file=source.file,
        record=source.record,
        transfer_syntax=source.transfer_syntax,
        sop_uid=fields.text("SOPInstanceUID") or fields.text("MediaStorageSOPInstanceUID"),
        instance_number=fields.integer("InstanceNumber"),
        windows=_windows(voi),
        window_function=voi.text("VOILUTFunction") or "LINEAR",
        pixels=pixels,
        planes=planes,
        mosaic=mosaic,
        is_index=sop_class == MEDIA_STORAGE_DIRECTORY,
        header_notes=fields.memoized(slope_notes),
        **series,
    )


def _of_series(fields: Attributes) -> dict[str, Any]:
    """Attributes of the instance that mostly are the same in a series, in one answer."""
    return {
        "sop_class": fields.text("SOPClassUID") or fields.text("MediaStorageSOPClassUID"),
        "study_uid": fields.text("StudyInstanceUID"),
        "series_uid": fields.text("SeriesInstanceUID"),
        "frame_of_reference": fields.text("FrameOfReferenceUID"),
        "modality": fields.text("Modality"),
        "series_number": fields.integer("SeriesNumber"),
        "inverse": _inverse(fields),
        "frame_rate": frame_rate(fields),
    }


def _planes(fields: Attributes, pixels: Pixels | None, csa: Csa) -> tuple[Mosaic | None, tuple[Plane, ...]]:
    """How the image is cut into slices, if it is a mosaic, and the planes of its frames or of its tiles."""
    planes = with_diffusion(planes_of(fields, pixels.frames if pixels else 1), fields, csa)
    mosaic = mosaic_of(fields, csa, pixels)
    if mosaic is not None:
        return mosaic, tile_planes(mosaic, planes[0], fields, csa)
    if len(planes) == 1 and is_montage(planes[0]):
        return None, (planes[0]._replace(position=None),)  # that of a mosaic is the place of none of its slices
    return None, planes


def _is_image(fields: Attributes, sop_class: str, cut: bool) -> bool:
    """Whether an object without a pixel element ought to have one."""
    if sop_class == MEDIA_STORAGE_DIRECTORY:
        return False
    for suffix in _WITHOUT_IMAGE:
        if sop_class == suffix or (suffix.endswith(".") and sop_class.startswith(suffix)):
            return False
    return cut or ("Rows" in fields and "Columns" in fields) or "BitsAllocated" in fields


def _pixels(fields: Attributes, pixel: Element | None, big_endian: bool) -> Pixels:
    """Image Pixel module, PS3.3 C.7.6.3."""
    stored, has_luts = fields.memoized(_format)
    keyword = PIXEL_TAGS[pixel.tag] if pixel else ""
    vr = pixel.vr if pixel else ""
    return Pixels(
        *stored,
        keyword,
        vr if vr in {"OB", "OW", "OF", "OD"} else _PIXEL_VRS.get(keyword, ""),
        pixel.offset if pixel else 0,
        pixel.length if pixel else None,
        big_endian,
        has_luts,
    )


def _format(fields: Attributes) -> tuple[tuple[int, int, int, int, str, int, int, int, bool, int], bool]:
    """The first ten fields of `Pixels`, in their order, and the last."""
    stored = (
        _count(fields, "Rows"),
        _count(fields, "Columns"),
        max(fields.integer("NumberOfFrames") or 1, 1),
        _count(fields, "SamplesPerPixel") or 1,
        fields.text("PhotometricInterpretation"),
        _count(fields, "BitsAllocated"),
        _count(fields, "BitsStored"),
        _count(fields, "HighBit"),
        fields.integer("PixelRepresentation") == 1,
        _count(fields, "PlanarConfiguration"),
    )
    return stored, any(fields.has_value(keyword) for keyword in _LUTS)


def _count(fields: Attributes, keyword: str) -> int:
    return max(fields.integer(keyword) or 0, 0)


def _windows(voi: Attributes) -> tuple[tuple[float, float], ...]:
    """Pairs of (0028,1050) *Window Center* and (0028,1051) *Window Width*, PS3.3 C.11.2.1.2.

    A width of zero or less is not allowed for any function, and is left out.
    """
    centers, widths = voi.each("WindowCenter"), voi.each("WindowWidth")
    return tuple(
        (center, width)
        for center, width in zip(centers, widths, strict=False)
        if center is not None and width is not None and width > 0
    )


def _inverse(fields: Attributes) -> bool:
    """Whether the smallest value is displayed white.

    (0028,0004) MONOCHROME1 says so, and (2050,0020) *Presentation LUT Shape* INVERSE says so. An image that has both
    says it twice, for where the first is used the second shall be too (PS3.3 C.8.11.3.1.2): it is inverted once.
    """
    monochrome1 = fields.text("PhotometricInterpretation") == "MONOCHROME1"
    return monochrome1 or fields.text("PresentationLUTShape") == "INVERSE"

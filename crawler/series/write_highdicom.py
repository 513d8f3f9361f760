"""Segmentations, parametric maps and enhanced images, one multi-frame object each, by highdicom (an extra).

Positions, patient and study come from the array; each object is read back by highdicom and compared before it counts
as written.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.dicom.unique import new_uid
from crawler.errors import OutputError
from crawler.series.description import Description
from crawler.series.dicom_elements import CT, MR, PET, set_element
from crawler.series.errors import LossRefused, NoGeometry, WriteNotImplemented
from crawler.series.interop import package
from crawler.series.report import WriteOptions, WriteReport
from crawler.series.write_dicom import DicomWriter

KINDS = ("seg", "parametric", "enhanced")
_MAKER = {"manufacturer": "dme", "manufacturer_model_name": "series", "device_serial_number": "0"}
_LEGACY = {
    MR: "LegacyConvertedEnhancedMRImage",
    CT: "LegacyConvertedEnhancedCTImage",
    PET: "LegacyConvertedEnhancedPETImage",
}


def write_special(folder: str, values: Any, description: Description, options: WriteOptions) -> WriteReport:
    """Write one object into a folder.

    Parameters
    ----------
    options
        `kind` is "seg", "parametric" or "enhanced"; ``SegmentLabels`` (label -> name) and ``SegmentationType``
        ("BINARY" or "LABELMAP") and ``OmitEmptyFrames`` may be among the further ones.

    Raises
    ------
    WriteNotImplemented
        The kind cannot hold the array.
    StopError
        highdicom is not installed.
    """
    package("highdicom")
    if options.kind not in KINDS:
        raise WriteNotImplemented(f"unknown kind {options.kind!r}: image, {', '.join(KINDS)}")
    if description.grid is None or not description.is_placed:
        raise NoGeometry(f"kind {options.kind!r} needs a place in the patient")
    further = tuple((name, value) for name, value in options.further if name not in _OWN)
    own = dict(options.further)
    plain = values if options.kind == "enhanced" else np.zeros(values.shape, np.uint8)
    writer = DicomWriter(plain, description, replace(options, further=further, dtype=None))
    if writer.stack.steps:
        raise WriteNotImplemented(f"kind {options.kind!r} holds slices, rows and columns: take one step, as a[0]")
    sources = _sources(writer, with_pixels=options.kind == "enhanced")
    path = os.path.join(folder, "Image_00000.dcm")
    made, check = {"seg": _segmentation, "parametric": _parametric, "enhanced": _enhanced}[options.kind](
        values, writer, sources, own
    )
    if options.series_description is not None:
        made.SeriesDescription = options.series_description
    if options.kind == "parametric" and "Laterality" in sources[0] and "Laterality" not in made:
        made.Laterality = sources[0].Laterality
    made.save_as(path)
    if not check(path):
        raise OutputError("a written object reads back with other values: nothing was put in place")
    return WriteReport(folder, (os.path.basename(path),), writer.stored.rounding if options.kind == "enhanced" else 0.0)


_OWN = ("SegmentLabels", "SegmentationType", "OmitEmptyFrames", "Quantity")


def _sources(writer: DicomWriter, with_pixels: bool) -> list[Any]:
    """A data set for each slice, with the UIDs of the images that it came from."""
    sources = []
    for index in np.ndindex(writer.stack.frames.shape):
        dataset = writer.dataset(index, index[-1] + 1)
        header: Any = writer.stack.frames[index]
        if header is not None and header.sources and header.sources[0].sop_uid:
            set_element(dataset, "SOPInstanceUID", header.sources[0].sop_uid)
            told = header.record.get("SeriesInstanceUID")
            if told:
                set_element(dataset, "SeriesInstanceUID", told)
        if not with_pixels:
            del dataset.PixelData
        sources.append(dataset)
    return sources


def _common(writer: DicomWriter) -> dict[str, Any]:
    number = writer.options.series_number
    told = writer.element("SeriesNumber")
    return {
        "series_instance_uid": new_uid(),
        "series_number": int(number if number is not None else told or 1),
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        "software_versions": "dme",
        **_MAKER,
    }


def _volume(array: Any, writer: DicomWriter) -> Any:
    highdicom = package("highdicom")
    return highdicom.Volume(
        np.ascontiguousarray(array),
        writer.grid.matrix,
        coordinate_system="PATIENT",
        frame_of_reference_uid=writer.reference,
    )


def _stacked(values: Any, writer: DicomWriter) -> Any:
    """The array as slices, rows, columns."""
    from crawler.series.planes import plane_stack

    return plane_stack(values, writer.description).values


def _segmentation(values: Any, writer: DicomWriter, sources: list[Any], own: dict[str, Any]) -> Any:
    highdicom = package("highdicom")
    codes = package("pydicom.sr.codedict").codes
    array = _stacked(values, writer)
    if array.dtype.kind not in "biu":
        raise WriteNotImplemented("a segmentation holds whole numbers: 0 for nothing, others for segments")
    labels = [int(label) for label in np.unique(array) if label]
    if not labels or labels[0] < 0 or labels[-1] > 65535:
        raise WriteNotImplemented("a segmentation needs segments from 1 to 65535")
    numbered = np.zeros(array.shape, np.uint8 if len(labels) < 256 else np.uint16)
    for number, label in enumerate(labels, start=1):
        numbered[array == label] = number
    names = own.get("SegmentLabels", {})
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=str(names.get(label, f"Segment {label}")),
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]
    made = highdicom.seg.Segmentation(
        sources,
        _volume(numbered, writer),
        own.get("SegmentationType", "BINARY"),
        descriptions,
        omit_empty_frames=bool(own.get("OmitEmptyFrames", False)),
        content_label="SEGMENTATION",
        **_common(writer),
    )

    def check(path: str) -> bool:
        read = highdicom.seg.segread(path).get_volume(combine_segments=True)
        aligned = read.match_geometry(_volume(numbered, writer))
        return bool(np.array_equal(aligned.array, numbered))

    return made, check


def _parametric(values: Any, writer: DicomWriter, sources: list[Any], own: dict[str, Any]) -> Any:
    highdicom = package("highdicom")
    codes = package("pydicom.sr.codedict").codes
    array = _stacked(values, writer).astype(np.float64 if values.dtype == np.float64 else np.float32)
    wrong = ~np.isfinite(array)
    if wrong.any():
        if writer.options.nan is None:
            raise LossRefused(f"{int(wrong.sum()):,} values are not finite: say what stands for them (nan=0)")
        array = np.where(wrong, writer.options.nan, array)
    low, high = float(array.min()), float(array.max())
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="1",
        lut_explanation=str(own.get("Quantity", "values"))[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    made = highdicom.pm.ParametricMap(
        sources,
        _volume(array, writer),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation((low + high) / 2, max(high - low, 1.0))],
        content_label="MAP",
        **_common(writer),
    )

    def check(path: str) -> bool:
        read = highdicom.pm.parametricmapread if hasattr(highdicom.pm, "parametricmapread") else highdicom.imread
        volume = read(path).get_volume(dtype=array.dtype, apply_real_world_transform=False)
        return bool(np.array_equal(volume.match_geometry(_volume(array, writer)).array, array))

    return made, check


def _enhanced(values: Any, writer: DicomWriter, sources: list[Any], own: dict[str, Any]) -> Any:
    highdicom = package("highdicom")
    name = _LEGACY.get(writer.sop_class)
    if name is None:
        raise WriteNotImplemented("enhanced objects are written of CT, MR and PET")
    common = _common(writer)
    uids = {key: common[key] for key in ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number")}
    made = getattr(highdicom.legacy, name)(sources, **uids)

    def check(path: str) -> bool:
        read = highdicom.imread(path).get_volume(apply_modality_transform=False, dtype=writer.stored.values.dtype)
        stored = _volume(writer.stored.values, writer)
        return bool(np.array_equal(read.match_geometry(stored).array, writer.stored.values))

    return made, check

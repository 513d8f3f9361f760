"""A small tree of synthetic DICOM files to try the program on: one folder a modality, 1-2 MB in all.

Every picture is drawn (`phantom.py`, `planar.py`), every UID is a hash of its role and every date is fixed, so that a
rerun with the same libraries writes the same bytes. Transfer syntaxes differ on purpose: implicit, explicit, RLE, JPEG
and JPEG 2000. `damage.py` adds files that must fail. No real patient is in here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid as uids

from crawler.sample import phantom, planar
from crawler.sample.damage import write_broken
from crawler.sample.drawing import Array
from crawler.sample.specimen import (
    compress_rle,
    decimal,
    encapsulated,
    encode,
    instance,
    sample_uid,
    save,
    stored_values,
)

NOTES = """These files are synthetic: drawn by `python dme.py sample`, no patient was involved.
This text is not DICOM, and a run lists it as skipped.
"""

# What the DX series of modules asks of every digital radiograph (PS3.3 C.8.11).
RADIOGRAPH: dict[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", ""],
    "PresentationIntentType": "FOR PRESENTATION",
    "PixelIntensityRelationship": "LOG",
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00",
    "RescaleSlope": 1,
    "RescaleIntercept": 0,
    "RescaleType": "US",
}

HEAD_SPACING = 6.0
SPINE_SPACING = 4.5
SPINE_PIXEL = 1.9
SPINE_TURN = np.radians(6.0)
ECHO_TIMES = (12.0, 96.0)
FRAME_TIME = 0x00181063


def write_sample(folder: Path, broken: bool = False) -> list[Path]:
    """Write the sample tree.

    Parameters
    ----------
    folder
        Made when absent. Files of the same names are replaced, others stay.
    broken
        Add a folder ``broken`` with the damaged files of `damage.BROKEN`.

    Returns
    -------
    list of Path
        What was written, ``notes.txt`` last.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    volume = phantom.head(spacing=HEAD_SPACING)
    paths = [
        *_ct_head(folder / "ct_head", volume),
        *_mr_spine(folder / "mr_spine"),
        _us_heart(folder / "us_heart" / "four_chambers.dcm"),
        _xa_coronary(folder / "xa_coronary" / "run1.dcm"),
        _dx_chest(folder / "dx_chest" / "chest_pa"),
        _mg_breast(folder / "mg_breast" / "left_mlo.dcm"),
        _flow_map(folder / "sc_brain" / "flow_palette.dcm", volume[15]),
        _key_image(folder / "sc_brain" / "key_image.dcm", volume[15]),
    ]
    if broken:
        paths += write_broken(folder / "broken")
    notes = folder / "notes.txt"
    notes.write_bytes(NOTES.encode())
    return [*paths, notes]


def write_single(folder: Path) -> list[Path]:
    """Write three files alone, as the sample of the earlier converter has them: SAMPLE_CT, SAMPLE_MR, SAMPLE_CINE.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="dme-") as scratch:
        made = {
            "SAMPLE_CT.dcm": _ct_head(Path(scratch, "ct"), phantom.head(spacing=HEAD_SPACING))[13],
            "SAMPLE_MR.dcm": _mr_spine(Path(scratch, "mr"))[10],
            "SAMPLE_CINE.dcm": _xa_coronary(Path(scratch, "xa", "run1.dcm")),
        }
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(path, folder / name)) for name, path in made.items()]


def _ct_head(folder: Path, volume: Array) -> list[Path]:
    """Axial head in 12 of 16 bits, RLE; the names' order is not the spatial one."""
    stored = np.clip(np.rint(volume) + 1024, 0, 4095).astype(np.uint16)
    pixel = phantom.HEAD_FIELD / stored.shape[2]
    corner = (pixel - phantom.HEAD_FIELD) / 2
    paths = []
    for k, plane in enumerate(stored):
        dataset = instance(
            "ct_head",
            k + 1,
            uids.CTImageStorage,
            plane,
            12,
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            SeriesDescription="Head 6 mm",
            BodyPartExamined="HEAD",
            **_plane("ct_head", [corner, corner, (k - 8.5) * HEAD_SPACING], [1, 0, 0, 0, 1, 0], pixel),
            SliceThickness=HEAD_SPACING,
            KVP=120,
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
            WindowCenter=[40, 300],
            WindowWidth=[80, 2000],
            WindowCenterWidthExplanation=["BRAIN", "BONE"],
        )
        # 7 has no common divisor with 24: every name once, neighbours far apart.
        paths.append(save(compress_rle(dataset), folder / f"IM{7 * k % len(stored) + 1:04d}.dcm"))
    return paths


def _mr_spine(folder: Path) -> list[Path]:
    """Two echoes in one series, sagittal and a little oblique, implicit VR, names without extension."""
    signal = phantom.spine(ECHO_TIMES, spacing=SPINE_SPACING)
    echoes, slices, rows, columns = signal.shape
    row = np.array([-np.sin(SPINE_TURN), np.cos(SPINE_TURN), 0.0])
    column = np.array([0.0, 0.0, -1.0])
    left = -np.cross(row, column)
    paths = []
    for k in range(slices):
        middle = (k - (slices - 1) / 2) * SPINE_SPACING * left
        corner = middle - SPINE_PIXEL * ((columns - 1) / 2 * row + (rows - 1) / 2 * column)
        for echo in range(echoes):
            dataset = instance(
                "mr_spine",
                k * echoes + echo + 1,
                uids.MRImageStorage,
                stored_values(signal[echo, k] / 1.6, 4095),
                12,
                ImageType=["ORIGINAL", "PRIMARY", "M", "SE"],
                SeriesDescription="Dual echo sagittal",
                BodyPartExamined="LSPINE",
                ScanningSequence="SE",
                SequenceVariant="SK",
                ScanOptions="",
                MRAcquisitionType="2D",
                RepetitionTime=2500,
                EchoTime=ECHO_TIMES[echo],
                EchoNumbers=echo + 1,
                EchoTrainLength=2,
                MagneticFieldStrength="1.5",
                **_plane("mr_spine", corner, [*row, *column], SPINE_PIXEL),
                SliceThickness=4,
                SpacingBetweenSlices=SPINE_SPACING,
                WindowCenter=(1300, 900)[echo],
                WindowWidth=(2600, 1800)[echo],
            )
            dataset.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian
            paths.append(save(dataset, folder / f"IM{k * echoes + echo + 1:04d}"))
    return paths


def _plane(series: str, position: Sequence[float], orientation: Sequence[float], pixel: float) -> dict[str, Any]:
    """Elements of a plane in the patient (PS3.3 C.7.6.2), mm; pixels are square."""
    return {
        "PatientPosition": "HFS",
        "FrameOfReferenceUID": sample_uid(series, "frame of reference"),
        "PositionReferenceIndicator": "",
        "AcquisitionNumber": 1,
        "ImagePositionPatient": decimal(position),
        "ImageOrientationPatient": decimal(orientation),
        "PixelSpacing": decimal([pixel, pixel]),
    }


def _us_heart(path: Path) -> Path:
    """Colour cine, JPEG baseline in YBR_FULL_422, an odd number of rows."""
    cine = stored_values(planar.ultrasound(), 255)
    streams = [encode(frame, "JPEG", quality=75, subsampling="4:2:2") for frame in cine]
    dataset = instance(
        "us_heart",
        1,
        uids.UltrasoundMultiFrameImageStorage,
        cine,
        8,
        ImageType=["ORIGINAL", "PRIMARY", "", "0011"],
        SeriesDescription="Apical four chambers, colour Doppler",
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        FrameTime=50,
        FrameIncrementPointer=FRAME_TIME,
        RecommendedDisplayFrameRate=20,
        LossyImageCompression="01",
        LossyImageCompressionRatio=f"{cine.nbytes / sum(map(len, streams)):.3g}",
        LossyImageCompressionMethod="ISO_10918_1",
    )
    return save(encapsulated(dataset, streams, uids.JPEGBaseline8Bit), path)


def _xa_coronary(path: Path) -> Path:
    """Grey cine of 8 bits, JPEG 2000 lossless."""
    cine = stored_values(planar.angiogram(), 255)
    streams = [encode(frame, "JPEG2000", irreversible=False, no_jp2=True) for frame in cine]
    dataset = instance(
        "xa_coronary",
        1,
        uids.XRayAngiographicImageStorage,
        cine,
        8,
        ImageType=["ORIGINAL", "PRIMARY", "SINGLE PLANE"],
        SeriesDescription="Left coronary artery",
        PixelIntensityRelationship="LIN",
        FrameTime=100,
        FrameIncrementPointer=FRAME_TIME,
        CineRate=10,
        ImagerPixelSpacing=decimal([0.625, 0.625]),
        WindowCenter=128,
        WindowWidth=256,
    )
    return save(encapsulated(dataset, streams, uids.JPEG2000Lossless), path)


def _dx_chest(path: Path) -> Path:
    """MONOCHROME1, 12 of 16 bits: high values are dark. No extension."""
    dataset = instance(
        "dx_chest",
        1,
        uids.DigitalXRayImageStorageForPresentation,
        stored_values(1 - planar.chest(), 4095),
        12,
        SeriesDescription="Chest PA",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        PixelIntensityRelationshipSign=-1,
        ImagerPixelSpacing=decimal([1.1875, 1.1875]),
        **RADIOGRAPH,
        WindowCenter=2100,
        WindowWidth=4000,
    )
    return save(compress_rle(dataset), path)


def _mg_breast(path: Path) -> Path:
    """12 of 16 bits, background exactly 0, RLE."""
    dataset = instance(
        "mg_breast",
        1,
        uids.DigitalMammographyXRayImageStorageForPresentation,
        stored_values(planar.breast(), 4095),
        12,
        SeriesDescription="L MLO",
        BodyPartExamined="BREAST",
        ImageLaterality="L",
        ViewPosition="MLO",
        PatientOrientation=["A", "FR"],
        PresentationLUTShape="IDENTITY",
        PixelIntensityRelationshipSign=1,
        BreastImplantPresent="NO",
        ImagerPixelSpacing=decimal([0.625, 0.625]),
        **RADIOGRAPH,
        WindowCenter=1700,
        WindowWidth=3200,
    )
    return save(compress_rle(dataset), path)


def _flow_map(path: Path, plane: Array) -> Path:
    """Palette colour: 8-bit indices into three tables of 16-bit entries (PS3.3 C.7.9.1)."""
    dataset = instance(
        "ot_flow",
        1,
        uids.SecondaryCaptureImageStorage,
        stored_values(phantom.perfusion(plane), 255),
        8,
        ImageType=["DERIVED", "SECONDARY"],
        SeriesDescription="Blood flow",
        ConversionType="WSD",
        PhotometricInterpretation="PALETTE COLOR",
    )
    for colour, levels in zip(("Red", "Green", "Blue"), phantom.flow_palette().T, strict=True):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", stored_values(levels, 65535).astype("<u2").tobytes())
    return save(dataset, path)


def _key_image(path: Path, plane: Array) -> Path:
    """RGB secondary capture, RLE."""
    dataset = instance(
        "ot_key",
        1,
        uids.SecondaryCaptureImageStorage,
        stored_values(phantom.key_image(plane), 255),
        8,
        ImageType=["DERIVED", "SECONDARY"],
        SeriesDescription="Key image",
        SeriesNumber=2,
        ConversionType="WSD",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
    )
    return save(compress_rle(dataset), path)

"""What voxels stand for, from header to file: mappings to quantities, palettes, segments, omissions; by whole runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy.io import loadmat
from support.factories import make_uid, quick_dataset, save
from support.runs import export, rows
from support.volumes import matrix, subject

from crawler.sinks.provenance import meaning

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
FORMATS = ["hdf5", "nii", "npz", "mhd", "mat"]


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def sequence(**values: Any) -> Sequence:
    return Sequence([item(**values)])


def mapping(slope: float = 1e-6, intercept: float = 0.0, last: int = 4095, **values: Any) -> Dataset:
    unit = values.pop("unit", "mm2/s")
    codes = sequence(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    return item(
        RealWorldValueFirstValueMapped=0,
        RealWorldValueLastValueMapped=last,
        RealWorldValueSlope=slope,
        RealWorldValueIntercept=intercept,
        LUTLabel="ADC",
        MeasurementUnitsCodeSequence=codes,
        **values,
    )


def parametric_map(path: Path, mappings: list[list[Dataset]], shared: list[Dataset] | None = None) -> np.ndarray:
    """A map of as many slices as there are lists of mappings; returns its stored values."""
    pixels = np.stack([np.arange(12, dtype=np.uint16).reshape(3, 4) * 10 + 100 * k for k in range(len(mappings))])
    common = item(
        PixelMeasuresSequence=sequence(PixelSpacing=[0.8, 0.6], SliceThickness=2.0),
        PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelValueTransformationSequence=sequence(RescaleSlope=1, RescaleIntercept=0, RescaleType="US"),
    )
    if shared:
        common.RealWorldValueMappingSequence = Sequence(shared)
    groups = []
    for number, own in enumerate(mappings):
        group = item(PlanePositionSequence=sequence(ImagePositionPatient=[0, 0, 2.0 * number]))
        if own:
            group.RealWorldValueMappingSequence = Sequence(own)
        groups.append(group)
    made = quick_dataset(
        pixels,
        SOPClassUID=PARAMETRIC_MAP,
        Modality="MR",
        NumberOfFrames=len(groups),
        SharedFunctionalGroupsSequence=Sequence([common]),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
    )
    save(made, path)
    return pixels


def series_row(out: Path) -> dict[str, str]:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    return row


def only(out: Path, pattern: str) -> Path:
    (path,) = (out / "volumes").rglob(pattern)
    return path


def sidecars(out: Path) -> list[dict[str, Any]]:
    paths = sorted(path for path in (out / "volumes").rglob("*.json") if ".provenance" not in path.name)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def test_a_mapping_is_stated_in_every_format_and_in_the_table_of_series(tmp_path: Path) -> None:
    pixels = parametric_map(tmp_path / "in/a.dcm", [[], [], []], [mapping()])
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": FORMATS})
    with h5py.File(only(out, "*.h5")) as file:
        np.testing.assert_array_equal(file["image"], pixels)
        told = dict(file["image"].attrs)
    assert (told["RealWorldValueSlope"], told["RealWorldValueIntercept"], told["RealWorldValueUnit"]) == (
        1e-6,
        0,
        "mm2/s",
    )
    assert (told["RealWorldValueFirstValueMapped"], told["RealWorldValueLastValueMapped"]) == (0, 4095)
    provenance = json.loads(only(out, "*.mhd.provenance.json").read_text(encoding="utf-8"))
    for found in (*sidecars(out), provenance):
        assert (found["RealWorldValueSlope"], found["RealWorldValueUnit"]) == (1e-6, "mm2/s")
    with np.load(only(out, "*.npz")) as archive:
        assert (archive["RealWorldValueSlope"], archive["RealWorldValueUnit"]) == (1e-6, "mm2/s")
        assert archive["values"] == "modality"
    meaning = loadmat(only(out, "*.mat"), simplify_cells=True)["meaning"]
    assert (meaning["RealWorldValueSlope"], meaning["RealWorldValueUnit"]) == (1e-6, "mm2/s")
    row = series_row(out)
    assert (row["real_world_values"], row["volume_notes"]) == ("ADC: stored * 1e-06 + 0 mm2/s", "")


def test_quantities_on_request(tmp_path: Path) -> None:
    pixels = parametric_map(tmp_path / "in/a.dcm", [[], []], [mapping(2e-6, -1e-4, last=205)])
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5", "nii"], "values": "real_world"})
    expected = np.where(pixels <= 205, pixels * 2e-6 - 1e-4, np.nan)
    assert np.isnan(expected).any()
    with h5py.File(only(out, "*.h5")) as file:
        assert file["image"].dtype == np.float32
        np.testing.assert_allclose(file["image"], expected, rtol=1e-6, atol=1e-12)
        assert file["image"].attrs["values"] == "real_world"
    voxels = np.asanyarray(nibabel.load(only(out, "*.nii")).dataobj)
    np.testing.assert_allclose(voxels.T, expected, rtol=1e-6, atol=1e-12)


def test_slopes_of_each_frame_are_applied_to_it_and_stand_beside_it(tmp_path: Path) -> None:
    pixels = parametric_map(tmp_path / "in/a.dcm", [[mapping(1.0)], [mapping(3.0, 5.0)]])
    for values, expected in (("real_world", [pixels[0], pixels[1] * 3.0 + 5.0]), ("modality", pixels)):
        out = tmp_path / values
        export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5"], "values": values})
        with h5py.File(only(out, "*.h5")) as file:
            np.testing.assert_array_equal(file["image"], expected)
            assert "RealWorldValueSlope" not in file["image"].attrs
            assert file["image"].attrs["RealWorldValueUnit"] == "mm2/s"
            np.testing.assert_array_equal(file["provenance"]["RealWorldValueSlope"], [1.0, 3.0])
            np.testing.assert_array_equal(file["provenance"]["RealWorldValueIntercept"], [0.0, 5.0])
        assert series_row(out)["real_world_values"] == "ADC: stored * slope + intercept of each frame mm2/s"


@pytest.mark.parametrize(
    "mappings",
    [
        [[mapping(), mapping(2.0, unit="1")]] * 2,  # which of two quantities only the user can say
        [[mapping()], [mapping(unit="1")]],  # two units in one array would be neither
        [[mapping()], []],
    ],
)
def test_where_no_single_mapping_counts_the_modality_values_stay_and_it_is_said(
    tmp_path: Path, mappings: list[list[Dataset]]
) -> None:
    pixels = parametric_map(tmp_path / "in/a.dcm", mappings)
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5"], "values": "real_world"})
    with h5py.File(only(out, "*.h5")) as file:
        np.testing.assert_array_equal(file["image"], pixels)
        assert file["image"].attrs["values"] == "modality"
    assert "no single Real World Value Mapping" in series_row(out)["volume_notes"]


def test_a_slope_of_zero_is_no_transformation(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    save(quick_dataset(pixels, RescaleSlope="0", RescaleIntercept="-1024"), tmp_path / "in/a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    with h5py.File(only(tmp_path / "out", "*.h5")) as file:
        np.testing.assert_array_equal(np.squeeze(file["image"]), pixels)
    assert "Rescale Slope of 0" in series_row(tmp_path / "out")["volume_notes"]


def palette_image(path: Path, **keywords: Any) -> tuple[np.ndarray, np.ndarray]:
    """Indices 0 to 11 and their colours, of 8 bits."""
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colours = np.stack([np.arange(12) * 20, 255 - np.arange(12) * 20, np.full(12, 7)], axis=1).astype(np.uint8)
    tables: dict[str, Any] = {}
    for number, name in enumerate(("Red", "Green", "Blue")):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [12, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (colours[:, number].astype("<u2") * 257).tobytes()
    described = {"SOPClassUID": ULTRASOUND, "Modality": "US", "PhotometricInterpretation": "PALETTE COLOR"}
    made = quick_dataset(pixels, **described | tables | keywords)
    save(made, path)
    return pixels, colours


def test_a_palette_makes_colours_in_every_format(tmp_path: Path) -> None:
    pixels, colours = palette_image(tmp_path / "in/a.dcm")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": FORMATS})
    expected = colours[pixels]
    with h5py.File(only(out, "*.h5")) as file:
        np.testing.assert_array_equal(np.squeeze(file["image"]), expected)
        assert file["image"].attrs["PhotometricInterpretation"] == "RGB"
        assert list(file["image"].attrs["axes"])[-1] == "sample"
    voxels = np.squeeze(np.asanyarray(nibabel.load(only(out, "*.nii")).dataobj))
    found = np.stack([voxels[name] for name in "RGB"], axis=-1).swapaxes(0, 1)
    np.testing.assert_array_equal(found[::-1], expected)
    with np.load(only(out, "*.npz")) as archive:
        np.testing.assert_array_equal(np.squeeze(archive["data"]), expected)


def test_stored_indices_have_their_table_beside_them(tmp_path: Path) -> None:
    pixels, colours = palette_image(tmp_path / "in/a.dcm")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5", "nii", "npz"], "values": "stored"})
    with h5py.File(only(out, "*.h5")) as file:
        np.testing.assert_array_equal(np.squeeze(file["image"]), pixels)
        np.testing.assert_array_equal(file["image"].attrs["PaletteColors"], colours)
        assert file["image"].attrs["PaletteFirstValue"] == 0
    assert [one["PaletteColors"] for one in sidecars(out)] == [colours.tolist()]


def test_a_palette_that_is_missing_fails_its_file_by_name(tmp_path: Path) -> None:
    palette_image(tmp_path / "in/a.dcm", RedPaletteColorLookupTableDescriptor=None)
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    row = rows(tmp_path / "out")["a.dcm"]
    assert (row["outcome"], row["stage"], row["reason"]) == ("failed", "pixels", "missing palette")


def test_a_format_that_cannot_hold_a_volume_is_left_out_and_said(tmp_path: Path) -> None:
    pixels = np.arange(36, dtype=np.uint16).reshape(3, 4, 3) * 1000
    save(quick_dataset(pixels, Modality="OT"), tmp_path / "in/a.dcm")
    export(tmp_path / "in", tmp_path / "two", metadata={}, volume={"formats": ["nifti", "hdf5"]})
    assert rows(tmp_path / "two")["a.dcm"]["outcome"] == "exported"
    assert series_row(tmp_path / "two")["volume_notes"].startswith(".nii.gz omitted: NIfTI has no 3 samples of uint16")
    assert not list((tmp_path / "two/volumes").rglob("*.nii*"))
    export(tmp_path / "in", tmp_path / "one", metadata={}, volume={"formats": ["nifti"]})
    row = rows(tmp_path / "one")["a.dcm"]
    assert (row["outcome"], row["stage"], row["reason"]) == ("failed", "write", "no type for these voxels")


def segmentation(path: Path) -> None:
    groups, pixels = [], []
    for segment in (1, 2):
        for number in range(3):
            groups.append(
                item(
                    FrameContentSequence=sequence(DimensionIndexValues=[segment, number + 1]),
                    PlanePositionSequence=sequence(ImagePositionPatient=[0, 0, 2.0 * number]),
                    SegmentIdentificationSequence=sequence(ReferencedSegmentNumber=segment),
                )
            )
            pixels.append(np.full((3, 4), segment * 10 + number, np.uint8))
    shared = item(
        PixelMeasuresSequence=sequence(PixelSpacing=[0.8, 0.6], SliceThickness=2.0),
        PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    described = [
        item(
            SegmentNumber=number,
            SegmentLabel=label,
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=sequence(
                CodeValue="123037004", CodingSchemeDesignator="SCT", CodeMeaning="Anatomical Structure"
            ),
            SegmentedPropertyTypeCodeSequence=sequence(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning=label),
            RecommendedDisplayCIELabValue=colour,
        )
        # White and black of CIELab, as DICOM stores it.
        for number, label, code, colour in (
            (1, "Liver", "10200004", [65535, 32896, 32896]),
            (2, "Spleen", "78961009", [0, 32896, 32896]),
        )
    ]
    dimensions = [item(DimensionIndexPointer=tag) for tag in (0x0062000B, 0x00200032)]
    made = quick_dataset(
        np.stack(pixels),
        SOPClassUID=SEGMENTATION,
        Modality="SEG",
        SegmentationType="FRACTIONAL",
        NumberOfFrames=6,
        DimensionIndexSequence=Sequence(dimensions),
        SegmentSequence=Sequence(described),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
    )
    save(made, path)


def test_segments_are_named_coded_and_coloured(tmp_path: Path) -> None:
    segmentation(tmp_path / "in/a.dcm")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"formats": ["hdf5", "nii"]})
    found = {}
    for path in (out / "volumes").rglob("*.h5"):
        with h5py.File(path) as file:
            told = file["image"].attrs
            first = int(np.asarray(file["image"]).ravel()[0])
            found[first // 10] = (
                told["SegmentNumber"],
                told["SegmentLabel"],
                told["SegmentedPropertyTypeCode"],
                told["SegmentedPropertyCategoryMeaning"],
                list(told["SegmentColor"]),
            )
    assert found == {
        1: (1, "Liver", "10200004", "Anatomical Structure", [255, 255, 255]),
        2: (2, "Spleen", "78961009", "Anatomical Structure", [0, 0, 0]),
    }
    labels = {one["SegmentLabel"] for one in sidecars(out)}
    assert labels == {"Liver", "Spleen"}


def test_a_label_map_keeps_its_numbers_with_all_of_its_segments(tmp_path: Path) -> None:
    described = [item(SegmentNumber=number, SegmentLabel=f"part {number}") for number in (1, 2)]
    pixels, colours = palette_image(
        tmp_path / "in/a.dcm", SOPClassUID=LABEL_MAP, Modality="SEG", SegmentSequence=Sequence(described)
    )
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    with h5py.File(only(tmp_path / "out", "*.h5")) as file:
        np.testing.assert_array_equal(np.squeeze(file["image"]), pixels)
        assert list(file["image"].attrs["SegmentLabel"]) == ["part 1", "part 2"]
        np.testing.assert_array_equal(file["image"].attrs["PaletteColors"], colours)


def test_an_echo_a_file_on_request(tmp_path: Path) -> None:
    for echo, time in enumerate((5.0, 12.0)):
        for number in range(3):
            made = quick_dataset(
                np.full((3, 4), 100 * echo + number, np.uint16),
                SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
                SOPInstanceUID=make_uid("echo", echo, number),
                Modality="MR",
                EchoTime=time,
                EchoNumbers=echo + 1,
                InstanceNumber=echo * 3 + number + 1,
                ImagePositionPatient=[0, 0, 3 * number],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[1, 1],
            )
            save(made, tmp_path / "in" / f"{echo}{number}.dcm")
    export(tmp_path / "in", tmp_path / "joined", metadata={}, volume={"formats": ["nii"]})
    (joined,) = sidecars(tmp_path / "joined")
    assert joined["EchoTime"] == [0.005, 0.012]
    export(tmp_path / "in", tmp_path / "split", metadata={}, volume={"formats": ["nii"], "split": ["te"]})
    found = {}
    for path in sorted((tmp_path / "split/volumes").rglob("*.nii")):
        image: Any = nibabel.load(path)
        assert image.shape == (4, 3, 3)
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found[sidecar["EchoTime"]] = (np.asanyarray(image.dataobj)[0, 0].tolist(), sidecar["EchoNumber"])
    assert found == {0.005: ([0, 1, 2], 1), 0.012: ([100, 101, 102], 2)}


def test_the_meaning_is_that_of_the_values_alone() -> None:
    told = {"RealWorldValueSlope": 2.0, "RealWorldValueUnits": "", "SliceThickness": 3.0, "SegmentLabel": "liver"}
    assert meaning(subject(matrix("axial"), **told)) == {"RealWorldValueSlope": 2.0, "SegmentLabel": "liver"}

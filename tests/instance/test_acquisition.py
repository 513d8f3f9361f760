"""How frames were acquired: functional groups under classic keywords, vendors' elements, mappings."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support.factories import quick_dataset, save
from support.siemens import csa2, instance_at, protocol

from crawler.dicom.attributes import Attributes
from crawler.instance.acquisition import Acquisition
from crawler.instance.private_values import private_values
from crawler.instance.radiopharmaceutical import radiopharmaceutical
from crawler.instance.real_world import Mapping, mapping_of, mappings_of, real_world_fields
from crawler.instance.vendor_acquisition import INTERLEAVED, POSITIVE, Image, philips_scale, vendor_acquisition

NAMES = {"SequenceName": "SequenceName", "ScanningSequence": "ScanningSequence", "EchoTime": "EchoTime"}


def acquisition(record: dict[str, Any]) -> Acquisition:
    return Acquisition(Attributes(record, "keyword"), NAMES)


def test_groups_under_the_keywords_of_classic_objects() -> None:
    shared = {
        "MRTimingAndRelatedParametersSequence": [{"RepetitionTime": 2000.0, "FlipAngle": 80.0, "EchoTrainLength": 56}],
        "MRImagingModifierSequence": [{"TransmitterFrequency": 123.2, "MagnetizationTransfer": "NONE"}],
        "MRModifierSequence": [{"InversionTimes": [900.0], "ParallelReductionFactorInPlane": 2.0}],
        "MRFOVGeometrySequence": [
            {"InPlanePhaseEncodingDirection": "COLUMN", "MRAcquisitionPhaseEncodingStepsInPlane": 64}
        ],
        "MREchoSequence": [{"EffectiveEchoTime": 30.0}],
        "CTExposureSequence": [{"ExposureTimeInms": 326.0}],
    }
    groups = [{"MREchoSequence": [{"EffectiveEchoTime": 12.5}]}, {"MREchoSequence": []}]
    found = acquisition(
        {
            "EchoTime": 1.0,
            "PulseSequenceName": "*epfid2d1_64",
            "EchoPulseSequence": "GRADIENT",
            "EchoPlanarPulseSequence": "YES",
            "InversionRecovery": "NO",
            "SharedFunctionalGroupsSequence": [shared],
            "PerFrameFunctionalGroupsSequence": groups,
        }
    )
    assert found.is_enhanced
    assert found.frame(1) == {
        "RepetitionTime": 2000.0,
        "FlipAngle": 80.0,
        "EchoTrainLength": 56,
        "ImagingFrequency": 123.2,
        "MagnetizationTransfer": "NONE",
        "InversionTime": 900.0,
        "ParallelReductionFactorInPlane": 2.0,
        "InPlanePhaseEncodingDirection": "COL",
        "NumberOfPhaseEncodingSteps": 64,
        "EchoTime": 30.0,
        "ExposureTime": 326.0,
        "SequenceName": "*epfid2d1_64",
        "ScanningSequence": ["GR", "EP"],
    }
    assert found.frame(0)["EchoTime"] == 12.5  # the frame's own counts before the shared one
    assert found.frame(7) == found.frame(1)  # no item of its own


def test_a_classic_object_tells_its_own_elements_alone() -> None:
    found = acquisition({"EchoTime": 5.0, "EchoPlanarPulseSequence": "YES", "RepetitionTime": 9.0})
    assert not found.is_enhanced
    assert found.frame(0) == {"EchoTime": 5.0}


def private(dataset: Dataset, group: int, creator: str, *elements: tuple[int, str, Any]) -> None:
    block = dataset.private_block(group, creator, create=True)
    for element in elements:
        block.add_new(*element)


def told(path: Path, dataset: Dataset, image: Image | None = None) -> dict[str, Any]:
    save(dataset, path)
    instance = instance_at(path)
    return vendor_acquisition(Attributes(instance.record, "keyword"), None, instance, image or Image(64, 64, {}))


def siemens(header: dict[str, list[str]], *lines: str, creator: str | None = "SIEMENS CSA HEADER") -> Dataset:
    made = quick_dataset(Modality="MR", Manufacturer="SIEMENS")
    block = made.private_block(0x0029, creator or "X", create=True)
    block.add_new(0x10, "OB", csa2(header))
    block.add_new(0x20, "OB", protocol(*lines))
    if creator is None:
        del made[0x0029, 0x0010]
    return made


@pytest.mark.parametrize("creator", ["SIEMENS CSA HEADER", None])  # some anonymisers take the creator away
def test_siemens_headers(tmp_path: Path, creator: str | None) -> None:
    made = siemens(
        {"PhaseEncodingDirectionPositive": ["0"], "BandwidthPerPixelPhaseEncode": ["25.0"], "RealDwellTime": ["3000"]},
        "sPat.lAccelFactPE\t = \t2",
        "sPat.lAccelFact3D = 1",
        "sSliceAcceleration.lMultiBandFactor = 4",
        "sKSpace.ucPhasePartialFourier = 0x4",
        'sCoilSelectMeas.aRxCoilSelectData[0].asList[0].sCoilElementID.tCoilID = ""Head_32""',
        creator=creator,
    )
    found = told(tmp_path / "a.dcm", made, Image(50, 50, {}))
    assert found.pop("EffectiveEchoSpacing") == pytest.approx(1 / (25 * 50))
    assert found.pop("TotalReadoutTime") == pytest.approx(49 / (25 * 50))
    assert found == {
        POSITIVE: False,
        "BandwidthPerPixelPhaseEncode": 25.0,
        "DwellTime": pytest.approx(3e-6),
        "ParallelReductionFactorInPlane": 2,
        "ParallelReductionFactorOutOfPlane": 1,
        "MultibandAccelerationFactor": 4,
        "PartialFourier": 0.75,
        "ReceiveCoilName": "Head_32",
    }


def test_siemens_without_acceleration_says_nothing_of_bands(tmp_path: Path) -> None:
    found = told(
        tmp_path / "a.dcm", siemens({}, "sSliceAcceleration.lMultiBandFactor = 1", "sKSpace.ucPhasePartialFourier = 16")
    )
    assert found == {}


@pytest.mark.parametrize(
    ("code", "part"), [("0x1", 0.5), ("0x2", 0.625), ("0x4", 0.75), ("0x8", 0.875), ("0x10", None)]
)
def test_partial_fourier_of_siemens(tmp_path: Path, code: str, part: float | None) -> None:
    found = told(tmp_path / "a.dcm", siemens({}, f"sKSpace.ucPhasePartialFourier = {code}"))
    assert found.get("PartialFourier") == part


@pytest.mark.parametrize(("text", "factor"), [("p2", 2), ("p3s4", 3), ("s4", None)])
def test_parallel_factor_of_siemens_without_its_headers(tmp_path: Path, text: str, factor: int | None) -> None:
    made = quick_dataset(Modality="MR", Manufacturer="SIEMENS")
    private(made, 0x0051, "SIEMENS MR HEADER", (0x11, "LO", text))
    assert told(tmp_path / "a.dcm", made).get("ParallelReductionFactorInPlane") == factor


def test_echo_spacing_needs_lines(tmp_path: Path) -> None:
    """One line has no spacing to the next: of an image without a direction of the phase encoding there is none."""
    assert "EffectiveEchoSpacing" in told(tmp_path / "a.dcm", ge(), Image(64, 64, {}))
    for lines, acquired in ((0, 64), (1, 64), (64, 1)):
        assert "EffectiveEchoSpacing" not in told(tmp_path / "a.dcm", ge(), Image(lines, acquired, {}))


def test_philips_without_its_shift(tmp_path: Path) -> None:
    made = quick_dataset(Modality="MR", Manufacturer="Philips Medical Systems")
    private(made, 0x2001, "Philips Imaging DD 001", (0x13, "SL", 43))
    assert told(tmp_path / "a.dcm", made, Image(80, 80, {"ImagingFrequency": 127.76})) == {}


def test_another_creator_is_another_meaning(tmp_path: Path) -> None:
    made = siemens({"PhaseEncodingDirectionPositive": ["1"]}, creator="SOMEBODY ELSE")
    assert told(tmp_path / "a.dcm", made) == {}


def test_siemens_xa_in_its_groups(tmp_path: Path) -> None:
    creator = "SIEMENS MR SDI 02"
    record = {
        f"(0021,xxFE) {creator}": [
            {
                f"(0021,xx1C) {creator}": 1,
                f"(0021,xx53) {creator}": 24.414,
                f"(0021,xx42) {creator}": 3400,
                f"(0021,xx4F) {creator}": "HE1-4",
            }
        ]
    }
    save(quick_dataset(Modality="MR", Manufacturer="Siemens"), tmp_path / "a.dcm")
    instance = instance_at(tmp_path / "a.dcm")
    codes = {"(0021,xx5B) SIEMENS MR SDS 01": "SK", "(0021,xx5C) SIEMENS MR SDS 01": ["PFP", "FS"]}
    shared = {"SharedFunctionalGroupsSequence": [{"(0021,xxFE) SIEMENS MR SDS 01": [codes]}]}
    dataset = Attributes({"Manufacturer": "Siemens Healthineers"} | shared, "keyword")
    found = vendor_acquisition(dataset, Attributes(record, "keyword"), instance, Image(64, 64, {}))
    assert (found[POSITIVE], found["ReceiveCoilActiveElements"]) == (True, "HE1-4")
    assert (found["SequenceVariant"], found["ScanOptions"]) == ("SK", ["PFP", "FS"])
    assert found["EffectiveEchoSpacing"] == pytest.approx(0.000640002, rel=1e-5)  # dcm2niix of the same values
    assert found["TotalReadoutTime"] == pytest.approx(0.0403201, rel=1e-5)


def ge(order: str = "1", **keywords: Any) -> Dataset:
    made = quick_dataset(
        Modality="MR",
        Manufacturer="GE MEDICAL SYSTEMS",
        **{"ScanOptions": ["SAT_GEMS", "EPI_GEMS", "PFF"], "RectilinearPhaseEncodeReordering": "REVERSE_LINEAR"}
        | keywords,
    )
    block = gzip.compress(f'POSITION "Supine"\nSLICEORDER "{order}"\n'.encode(), mtime=0)
    private(made, 0x0025, "GEMS_SERS_01", (0x1B, "OB", struct.pack("<I", len(block)) + block))
    private(made, 0x0019, "GEMS_ACQU_01", (0x9C, "LO", "epiRT"))
    private(
        made, 0x0043, "GEMS_PARM_01",
        (0x2C, "SS", 636), (0x83, "DS", ["0.666667", "1"]), (0xB6, "LO", ["0", "0", "0"]),
    )  # fmt: skip
    return made


def test_the_example_of_ge_of_dcm2niix(tmp_path: Path) -> None:
    found = told(tmp_path / "a.dcm", ge(), Image(128, 128, {}))
    assert found["TotalReadoutTime"] == pytest.approx(0.055332)  # ((ceil(128 / 4 / 1.5) * 4) - 1) * 636 us
    assert found["EffectiveEchoSpacing"] == pytest.approx(0.055332 / 127)
    assert found["ParallelReductionFactorInPlane"] == pytest.approx(1.5)
    assert (found[POSITIVE], found[INTERLEAVED]) == (False, True)
    assert "MultibandAccelerationFactor" not in found


def test_ge_without_partial_fourier_rounds_to_two_lines(tmp_path: Path) -> None:
    made = ge(ScanOptions=["EPI_GEMS"], RectilinearPhaseEncodeReordering="LINEAR", order="0")
    found = told(tmp_path / "a.dcm", made, Image(128, 129, {}))
    assert found["TotalReadoutTime"] == pytest.approx((86 - 1) * 636e-6)
    assert (found[POSITIVE], found[INTERLEAVED]) == (True, False)


def test_the_order_of_slices_is_not_told_of_bands_and_other_sequences(tmp_path: Path) -> None:
    made = ge()
    made[0x0043, 0x10B6].value = ["2", "4", "19"]
    found = told(tmp_path / "a.dcm", made)
    assert (found["MultibandAccelerationFactor"], INTERLEAVED in found) == (2, False)
    made = ge()
    made[0x0019, 0x109C].value = "epi2"
    assert INTERLEAVED not in told(tmp_path / "b.dcm", made)
    made = ge()
    made[0x0025, 0x101B].value = b"\4\0\0\0junk"
    assert INTERLEAVED not in told(tmp_path / "c.dcm", made)


def test_siemens_coil_and_acceleration_beside_the_csa_header(tmp_path: Path) -> None:
    made = quick_dataset(Modality="MR", Manufacturer="SIEMENS")
    private(made, 0x0051, "SIEMENS MR HEADER", (0x0F, "LO", "HEA;HEP"), (0x11, "LO", "p2"))
    found = told(tmp_path / "a.dcm", made)
    assert (found["ReceiveCoilActiveElements"], found["ParallelReductionFactorInPlane"]) == ("HEA;HEP", 2)


def test_philips_tells_no_polarity_and_estimates_of_epi(tmp_path: Path) -> None:
    made = quick_dataset(Modality="MR", Manufacturer="Philips Medical Systems")
    private(made, 0x2001, "Philips Imaging DD 001", (0x13, "SL", 43), (0x22, "FL", 12.0))
    found = told(tmp_path / "a.dcm", made, Image(80, 80, {"ImagingFrequency": 127.76}))
    spacing = 12.0 / (127.76 * 3.4 * 44)
    assert found["EstimatedTotalReadoutTime"] == pytest.approx(spacing * 43, rel=1e-9)
    assert found["EstimatedEffectiveEchoSpacing"] == pytest.approx(spacing * 43 / 79, rel=1e-9)
    assert found["WaterFatShift"] == 12.0
    assert POSITIVE not in found
    one_line = told(tmp_path / "one.dcm", made, Image(1, 80, {"ImagingFrequency": 127.76}))
    assert "EstimatedEffectiveEchoSpacing" not in one_line
    made[0x2001, 0x1013].value = 1
    assert set(told(tmp_path / "b.dcm", made, Image(80, 80, {"ImagingFrequency": 127.76}))) == {"WaterFatShift"}


def test_philips_scale_of_a_frame() -> None:
    item = {"(2005,xx0E) Philips MR Imaging DD 001": 4.095, "(2005,xx0D) Philips MR Imaging DD 001": 0.0}
    group = Attributes({"(2005,xx0F) Philips MR Imaging DD 005": [item]}, "keyword")
    assert philips_scale(Attributes({}, "keyword"), group) == (4.095, 0.0)
    assert philips_scale(Attributes(item, "keyword"), None) == (4.095, 0.0)
    assert philips_scale(Attributes({}, "keyword"), Attributes({}, "keyword")) == (None, None)


def test_private_values_of_a_cut_file(tmp_path: Path) -> None:
    path = save(siemens({"B_value": ["5"]}, "a = 1"), tmp_path / "a.dcm")
    instance = instance_at(path)
    names = [(0x00290010, "SIEMENS CSA HEADER"), (0x00290020, "SIEMENS CSA HEADER"), (0x00290030, "SIEMENS CSA HEADER")]
    assert [tag for tag, _ in private_values(instance, names)] == [0x00290010, 0x00290020]
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"MrPhoenixProtocol")])
    assert set(private_values(instance, names)) <= {names[0]}
    path.unlink()
    assert private_values(instance, names) == {}


def code(value: str) -> list[dict[str, str]]:
    return [{"CodeValue": value, "CodingSchemeDesignator": "UCUM", "CodeMeaning": f"meaning of {value}"}]


def test_mappings_of_the_frame_come_before_shared_ones() -> None:
    linear = {"RealWorldValueSlope": 2.0, "RealWorldValueIntercept": 1.0, "MeasurementUnitsCodeSequence": code("ms")}
    table = {"RealWorldValueLUTData": [5.0, 7.0], "RealWorldValueFirstValueMapped": 10, "LUTLabel": "T1"}
    empty = {"RealWorldValueSlope": 0.0, "LUTLabel": "nothing"}
    dataset = Attributes({"SharedFunctionalGroupsSequence": [{"RealWorldValueMappingSequence": [linear]}]}, "keyword")
    group = Attributes({"RealWorldValueMappingSequence": [table]}, "keyword")
    (shared,) = mappings_of(dataset, Attributes({}, "keyword"))
    assert (shared.slope, shared.intercept, shared.unit, shared.unit_meaning) == (2.0, 1.0, "ms", "meaning of ms")
    (own,) = mappings_of(dataset, group)
    assert (own.table, own.label, own.slope) == ((5.0, 7.0), "T1", None)
    assert mappings_of(Attributes({"RealWorldValueMappingSequence": [empty]}, "keyword"), None) == ()
    assert mapping_of((shared, own)) is None
    assert mapping_of((own,)) is own
    assert real_world_fields((shared, own))["RealWorldValueSlope"] == [2.0, None]


def test_a_mapping_applies_to_its_range_alone() -> None:
    stored = np.array([9, 10, 11, 12], np.uint16)
    np.testing.assert_array_equal(Mapping(10, 11, 3.0, -1.0)(stored), [np.nan, 29.0, 32.0, np.nan])
    np.testing.assert_array_equal(Mapping(10, 11, None, None, (5.0, 7.0))(stored), [np.nan, 5.0, 7.0, np.nan])
    np.testing.assert_array_equal(Mapping(None, None, 0.5, 0.0)(stored), stored * 0.5)


def test_the_radiopharmaceutical_under_plain_names() -> None:
    item = {
        "RadionuclideTotalDose": 3.2e8,
        "RadionuclideHalfLife": 6586.2,
        "RadiopharmaceuticalStartTime": "091500",
        "Radiopharmaceutical": "FDG",
        "RadionuclideCodeSequence": [{"CodeMeaning": "^18^Fluorine"}],
    }
    dataset = Attributes({"RadiopharmaceuticalInformationSequence": [item]}, "keyword")
    assert radiopharmaceutical(dataset) == {
        "RadionuclideTotalDose": 3.2e8,
        "RadionuclideHalfLife": 6586.2,
        "Radionuclide": "^18^Fluorine",
        "Radiopharmaceutical": "FDG",
        "RadiopharmaceuticalStartTime": 9 * 3600 + 15 * 60,
    }
    assert radiopharmaceutical(Attributes({"RadiopharmaceuticalInformationSequence": [item, item]}, "keyword")) == {}

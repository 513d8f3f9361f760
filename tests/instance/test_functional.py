"""Planes of enhanced and ordinary objects: traits, stacks, dimensions and spacing, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawler import find, read_instance
from crawler.dicom.attributes import Attributes
from crawler.instance.functional import planes_of
from crawler.instance.traits import seconds
from crawler.model import Instance, Plane

STACK, IN_STACK, POSITION = "(0020,9056)", "(0020,9057)", "(0020,0032)"
TIME, SEGMENT = "(0020,9128)", "(0062,000B)"


def planes(frames: int = 1, **record: Any) -> tuple[Plane, ...]:
    return planes_of(Attributes(record, "keyword"), frames)


def enhanced(*groups: dict[str, Any], shared: dict[str, Any] | None = None, **record: Any) -> tuple[Plane, ...]:
    sequences = {
        "SharedFunctionalGroupsSequence": [shared or {}],
        "PerFrameFunctionalGroupsSequence": list(groups),
    }
    return planes(len(groups), **sequences, **record)


def dimensions(*pointers: str) -> dict[str, Any]:
    return {"DimensionIndexSequence": [{"DimensionIndexPointer": pointer} for pointer in pointers]}


def content(**elements: Any) -> dict[str, Any]:
    return {"FrameContentSequence": [elements]}


def read(path: Path) -> Instance:
    (file,) = find(path)
    return read_instance(file)


# Traits in the data set


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("EchoTime", 4.5, 4.5),
        ("EchoTime", "4.5ms", None),
        ("EchoTime", [1.0, 2.0], None),
        ("EchoNumbers", 2, 2),
        ("FrameReferenceTime", 1500.0, 1500.0),
        ("NominalPercentageOfCardiacPhase", 75.0, 75.0),
        ("TemporalPositionIdentifier", "first", None),
        ("DiffusionGradientOrientation", [0.0, 0.6, 0.8], (0.0, 0.6, 0.8)),
        ("DiffusionGradientOrientation", [0.0, 1.0], None),
        ("ImageType", ["ORIGINAL", "PRIMARY", None, "A"], ("ORIGINAL", "PRIMARY", "", "A")),
        ("ImageType", "ORIGINAL", ("ORIGINAL",)),
        ("DimensionIndexValues", [1, 2], None),  # means nothing outside of functional groups
        ("AcquisitionTime", "112936.5", 41376.5),
    ],
)
def test_trait(keyword: str, value: Any, expected: Any) -> None:
    (plane,) = planes(**{keyword: value})
    assert plane.trait(keyword) == expected


def test_time_of_acquisition_may_stand_with_its_date() -> None:
    (plane,) = planes(AcquisitionDateTime="20200102010203.25+0100")
    assert plane.trait("AcquisitionTime") == 3723.25


@pytest.mark.parametrize(
    ("phase", "phases", "expected"),
    [(1, 20, 0), (6, 20, 25), (2, 2, 50), (1, 1, None), (0, 2, None), (21, 20, None), (6, None, None), ("6", 20, None)],
)
def test_phase_of_a_classic_philips_cine(phase: Any, phases: Any, expected: float | None) -> None:
    names = ("(2001,xx08) Philips Imaging DD 001", "(2001,xx17) Philips Imaging DD 001")
    record = {"Manufacturer": "Philips Medical Systems", names[0]: phase, names[1]: phases}
    (plane,) = planes(**record)
    assert plane.trait("NominalPercentageOfCardiacPhase") == expected
    (plane,) = planes(**record, NominalPercentageOfCardiacPhase=7.0)
    assert plane.trait("NominalPercentageOfCardiacPhase") == 7.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("000000", 0.0),
        ("235960", 86400.0),
        ("07", 25200.0),
        ("0730", 27000.0),
        ("07:30:15.5", 27015.5),
        ("073015.123456", 27015.123456),
        ("2430", None),
        ("0760", None),
        ("7", None),
        ("", None),
        ("noon", None),
        ("073015-080000", None),
    ],
)
def test_seconds_of_a_time(text: str, expected: float | None) -> None:
    found = seconds(text)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("text", ["20200102", "073015", "2020010207301", "20200102073015+01"])
def test_no_time_in_a_date(text: str) -> None:
    assert seconds(text, dated=True) is None


# Traits in functional groups


@pytest.mark.parametrize(
    ("group", "trait", "expected"),
    [
        ({"MREchoSequence": [{"EffectiveEchoTime": 5.0}]}, "EchoTime", 5.0),
        ({"MREchoSequence": [{"EffectiveEchoTime": "NaN"}]}, "EchoTime", 1.0),  # what the data set says stays
        ({"MREchoSequence": []}, "EchoTime", 1.0),
        ({"TemporalPositionSequence": [{"TemporalPositionTimeOffset": 1.5}]}, "FrameReferenceTime", 1500.0),
        (
            {"CardiacSynchronizationSequence": [{"NominalPercentageOfCardiacPhase": 40.0}]},
            "NominalPercentageOfCardiacPhase",
            40.0,
        ),
        (
            {"RespiratorySynchronizationSequence": [{"NominalPercentageOfRespiratoryPhase": 30.0}]},
            "NominalPercentageOfCardiacPhase",
            30.0,
        ),
        (
            {
                "RespiratorySynchronizationSequence": [{"NominalPercentageOfRespiratoryPhase": 30.0}],
                "CardiacSynchronizationSequence": [{"NominalPercentageOfCardiacPhase": 40.0}],
            },
            "NominalPercentageOfCardiacPhase",
            40.0,
        ),
        (
            {
                "MRDiffusionSequence": [
                    {"DiffusionGradientDirectionSequence": [{"DiffusionGradientOrientation": [1.0, 0.0, 0.0]}]}
                ]
            },
            "DiffusionGradientOrientation",
            (1.0, 0.0, 0.0),
        ),
        ({"MRDiffusionSequence": [{"DiffusionBValue": 0.0}]}, "DiffusionGradientOrientation", None),
        (content(FrameAcquisitionDateTime="20181022083634.295"), "AcquisitionTime", 30994.295),
        ({"CTImageFrameTypeSequence": [{"FrameType": ["DERIVED", "PRIMARY"]}]}, "ImageType", ("DERIVED", "PRIMARY")),
    ],
)
def test_trait_of_a_frame(group: dict[str, Any], trait: str, expected: Any) -> None:
    (plane,) = enhanced(group, EchoTime=1.0)
    assert plane.trait(trait) == (pytest.approx(expected) if isinstance(expected, float) else expected)


# Dimensions and stacks


def test_dimensions_of_stack_and_position_are_left_out() -> None:
    groups = [content(StackID="2", DimensionIndexValues=[1, k, 7, k, k]) for k in (1, 2)]
    found = enhanced(*groups, **dimensions(STACK, IN_STACK, TIME, POSITION, "(0018,9082)"))
    assert [plane.trait("DimensionIndexValues") for plane in found] == [(7, 1), (7, 2)]
    assert [plane.stack for plane in found] == ["2", "2"]


@pytest.mark.parametrize(
    ("pointers", "values"),
    [
        ((), [1, 2]),  # no one says what they mean
        ((STACK, IN_STACK), [1, 2]),
        ((STACK, TIME), [1, 2, 3]),
        ((STACK, TIME), [1, "2"]),
        ((STACK, TIME), None),
    ],
)
def test_no_dimension_is_left(pointers: tuple[str, ...], values: Any) -> None:
    (plane,) = enhanced(content(DimensionIndexValues=values), **dimensions(*pointers))
    assert plane.trait("DimensionIndexValues") is None


def test_segment_is_a_dimension_where_none_says_so() -> None:
    segment = {"SegmentIdentificationSequence": [{"ReferencedSegmentNumber": 4}]}
    (plane,) = enhanced(segment | content(DimensionIndexValues=[9]), **dimensions(POSITION))
    assert plane.trait("DimensionIndexValues") == (4,)
    (plane,) = enhanced(segment | content(DimensionIndexValues=[1, 9]), **dimensions(SEGMENT, POSITION))
    assert plane.trait("DimensionIndexValues") == (1,)


# Components, geometry


def test_components_of_frames() -> None:
    kinds = [
        {
            "MRImageFrameTypeSequence": [
                {"FrameType": ["ORIGINAL", "PRIMARY", "T1", word], "ComplexImageComponent": told}
            ]
        }
        for word, told in (("NONE", "MAGNITUDE"), ("NONE", "PHASE"), ("ADC", "MAGNITUDE"))
    ]
    found = enhanced(*kinds, {}, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "T1", "MIXED"])
    assert [plane.component for plane in found] == ["", "PHASE", "ADC", ""]


def test_single_frame_may_have_its_position_in_the_shared_group() -> None:
    shared = {"PlanePositionSequence": [{"ImagePositionPatient": [1.0, 2.0, 3.0]}]}
    assert planes(1, SharedFunctionalGroupsSequence=[shared])[0].position == (1.0, 2.0, 3.0)
    assert enhanced({}, shared=shared)[0].position == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "groups",
    [
        {"PlanePositionVolumeSequence": [{"ImagePositionVolume": [1.0, 2.0, 3.0]}]},
        {"PlaneOrientationVolumeSequence": [{"ImageOrientationVolume": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}]},
    ],
)
def test_geometry_of_a_volume_is_not_of_the_patient(groups: dict[str, Any]) -> None:
    """Enhanced US Volume, PS3.3 C.7.6.16.2.21 and C.7.6.16.2.22."""
    (plane,) = enhanced(groups)
    assert plane.of_volume
    assert (plane.position, plane.orientation) in [((1, 2, 3), None), (None, (1, 0, 0, 0, 1, 0))]
    assert not enhanced({"PlanePositionSequence": [{"ImagePositionPatient": [1.0, 2.0, 3.0]}]})[0].of_volume


def test_spacing_at_the_detector_serves_only_without_a_position() -> None:
    spacing = {"ImagerPixelSpacing": [0.2, 0.1]}
    assert planes(**spacing)[0].spacing == (0.2, 0.1)
    assert planes(**spacing, PixelSpacing=[0.3, 0.3])[0].spacing == (0.3, 0.3)
    assert planes(**spacing, ImagePositionPatient=[1.0, 2.0, 3.0])[0].spacing is None


# Real files


def test_enhanced_philips(shared_data: Path) -> None:
    instance = read(shared_data / "in/dcm_qa_enh/Philips/IM_0027_fMAP.dcm")
    assert len(instance.planes) == 64
    assert {plane.stack for plane in instance.planes} == {"1"}
    told = {(plane.component, plane.trait("DimensionIndexValues")) for plane in instance.planes}
    assert len(told) == 2, "the two private dimensions say the same as the frame type"
    assert {component for component, _ in told} == {"", "FIELD_MAP"}


def test_enhanced_siemens(shared_data: Path) -> None:
    instance = read(shared_data / "in/dcm_qa_enh/Siemens/XA10/6_2.dcm")
    first = instance.plane(0)
    assert first.stack == "1"
    assert len({plane.trait("DimensionIndexValues") for plane in instance.planes}) == 1
    assert 30_000 < first.trait("AcquisitionTime") < 32_000
    assert {plane.component for plane in instance.planes} == {""}


def test_segments_are_told_apart(shared_data: Path) -> None:
    instance = read(shared_data / "in/highdicom/seg_image_ct_binary_overlap.dcm")
    places = [(plane.position, plane.trait("DimensionIndexValues")) for plane in instance.planes]
    assert len(places) == len(set(places)) == 8
    assert len({position for position, _ in places}) < 8

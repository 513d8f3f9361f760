"""The BIDS sidecar: zeros that are left out, axes of phase encoding, states, PET, slice timing of a single volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.volumes import matrix, subject

from crawler.instance.vendor_acquisition import INTERLEAVED, POSITIVE
from crawler.model import TRAITS
from crawler.sinks.base import LayoutSubject
from crawler.sinks.bids import sidecar
from crawler.sinks.bids_fields import FIELDS, NOTED
from crawler.sinks.bids_pet import radionuclide
from crawler.sinks.timing import slice_times

FOUR = ("time", "slice", "row", "column")


def with_vendor(made: LayoutSubject, **vendor: Any) -> LayoutSubject:
    return replace(made, vendor=lambda: vendor)


def of_modality(made: LayoutSubject, modality: str) -> LayoutSubject:
    instances = tuple(instance._replace(modality=modality) for instance in made.scan.instances)
    return replace(
        made, scan=made.scan._replace(instances=instances), attributes={**made.attributes, "Modality": modality}
    )


@pytest.mark.parametrize("name", [name for name, entry in FIELDS.items() if entry.positive])
def test_zero_is_left_out_where_more_is_asked_for(name: str) -> None:
    keyword = FIELDS[name].keyword
    for value, expected in ((0, False), (0.0, False), (-1.0, False), (4.0, True)):
        if keyword in TRAITS:
            made = subject(matrix(), traits=({keyword: value},))
        else:
            made = subject(matrix(), **{keyword: value})
        assert (name in sidecar(made)) == expected


def test_a_list_with_a_zero_is_left_out() -> None:
    traits = tuple({"EchoTime": time} for time in (0.0, 5.0) for _ in range(3))
    shape, axes = (2, 3, 5, 7), ("te", "slice", "row", "column")
    assert "EchoTime" not in sidecar(subject(matrix(), shape, axes, traits=traits[::-1]))
    traits = tuple({"EchoTime": time} for time in (2.5, 5.0) for _ in range(3))
    assert sidecar(subject(matrix(), shape, axes, traits=traits[::-1]))["EchoTime"] == [0.0025, 0.005]


@pytest.mark.parametrize(
    ("direction", "positive", "expected"),
    [
        ("COL", True, ("PhaseEncodingDirection", "j")),
        ("COL", False, ("PhaseEncodingDirection", "j-")),
        ("ROW", True, ("PhaseEncodingDirection", "i")),
        ("ROW", False, ("PhaseEncodingDirection", "i-")),
        ("COL", None, ("PhaseEncodingAxis", "j")),
        ("ROW", None, ("PhaseEncodingAxis", "i")),
        ("OTHER", True, None),
    ],
)
def test_phase_encoding_in_the_axes_of_the_image(
    direction: str, positive: bool | None, expected: tuple[str, str] | None
) -> None:
    vendor = {} if positive is None else {POSITIVE: positive}
    found = sidecar(with_vendor(subject(matrix(), InPlanePhaseEncodingDirection=direction), **vendor))
    told = [(name, value) for name, value in found.items() if name in ("PhaseEncodingDirection", "PhaseEncodingAxis")]
    assert told == ([expected] if expected else [])
    lines = {"COL": 5, "ROW": 7}.get(direction)
    assert found.get("ReconMatrixPE") == lines


def test_an_image_without_geometry_has_no_direction_and_says_how_its_rows_run() -> None:
    found = sidecar(with_vendor(subject(InPlanePhaseEncodingDirection="COL"), **{POSITIVE: True}))
    assert "PhaseEncodingDirection" not in found
    assert found["ImageRowsReversed"] is True
    assert "ImageRowsReversed" not in sidecar(subject(matrix()))


def test_public_elements_come_before_vendors() -> None:
    made = subject(matrix(), ParallelReductionFactorInPlane=2.0, AcquisitionMatrix=[64, 0, 0, 48])
    made = replace(made, attributes={**made.attributes, "InPlanePhaseEncodingDirection": "ROW"})
    vendor = {"ParallelReductionFactorInPlane": 3, "TotalReadoutTime": 0.0403200001234, "ReceiveCoilName": ""}
    found = sidecar(with_vendor(made, **vendor))
    assert found["ParallelReductionFactorInPlane"] == 2.0
    assert found["TotalReadoutTime"] == 0.0403200001
    assert found["AcquisitionMatrixPE"] == 48
    assert "ReceiveCoilName" not in found


@pytest.mark.parametrize(
    ("acquired", "lines"),
    [
        ([0, 64, 48, 0], 48),
        ([64, 0, 0, 48], 48),
        ([0, 0, 1, 0], 1),
        ([64, 64, 0, 0], None),
        ([64, 0, 48], None),
        (64, None),
    ],
)
def test_lines_of_the_acquisition_matrix(acquired: Any, lines: int | None) -> None:
    found = sidecar(subject(matrix(), AcquisitionMatrix=acquired, InPlanePhaseEncodingDirection="COL"))
    assert found.get("AcquisitionMatrixPE") == lines


@pytest.mark.parametrize(
    ("manufacturer", "code", "expected"),
    [
        ("SIEMENS", "ND", False),
        ("Siemens Healthineers", "DIS3D", True),
        ("SIEMENS", "NORM", None),
        ("GE MEDICAL SYSTEMS", "ND", None),
        ("GE MEDICAL SYSTEMS", "DIS2D", None),
    ],
)
def test_correction_of_the_gradients_by_codes_of_siemens(manufacturer: str, code: str, expected: bool | None) -> None:
    made = subject(matrix(), Manufacturer=manufacturer, ImageType=["ORIGINAL", "PRIMARY", "M", code])
    assert sidecar(made).get("NonlinearGradientCorrection") is expected
    assert "NonlinearGradientCorrection" not in sidecar(subject(matrix(), Manufacturer=manufacturer, ImageType=code))


def test_states_of_the_sequence() -> None:
    told = {"MagnetizationTransfer": "ON_RESONANCE", "Spoiling": "RF_AND_GRADIENT", "Manufacturer": "SIEMENS"}
    found = sidecar(subject(matrix(), **told, ImageType=["ORIGINAL", "PRIMARY", "M", "DIS2D"]))
    assert {
        name: found[name] for name in ("MTState", "SpoilingState", "SpoilingType", "NonlinearGradientCorrection")
    } == {
        "MTState": True,
        "SpoilingState": True,
        "SpoilingType": "COMBINED",
        "NonlinearGradientCorrection": True,
    }
    found = sidecar(subject(matrix(), MagnetizationTransfer="NONE", Spoiling="NONE", SequenceVariant=["SK", "SP"]))
    assert (found["MTState"], found["SpoilingState"]) == (False, False)
    assert sidecar(subject(matrix(), SequenceVariant=["SK", "SP"]))["SpoilingState"] is True
    assert "SpoilingState" not in sidecar(subject(matrix(), SequenceVariant="SK"))


def test_identifiers_are_not_among_what_is_noted() -> None:
    patient = [keyword for keyword in NOTED if keyword.startswith("Patient")]
    assert patient == ["PatientPosition", "PatientWeight", "PatientSize"]
    assert not [keyword for keyword in NOTED if keyword.endswith(("UID", "ID", "Name")) and "Coil" not in keyword
                and keyword not in ("SequenceName", "ProtocolName", "ManufacturerModelName")]  # fmt: skip


def pet(times: tuple[Any, ...], **attributes: Any) -> LayoutSubject:
    """A dynamic series of as many volumes as there are times, of three slices each."""
    told = {
        "Units": "BQML",
        "DecayCorrection": "START",
        "SeriesTime": "101500",
        "Radionuclide": "^18^Fluorine",
        "RadionuclideTotalDose": 3.2e8,
        "RadiopharmaceuticalStartTime": 9 * 3600 + 15 * 60,
    }
    made = of_modality(subject(matrix(), (len(times), 3, 5, 7), FOUR, **told | attributes), "PT")
    by_frame = {"AcquisitionTime": tuple(time for time in times for _ in range(3))}
    return replace(made, by_frame=by_frame)


def test_a_dynamic_pet_series() -> None:
    made = pet(("101500", "101600.5", "101800"))
    made = replace(
        made,
        by_frame={
            **made.by_frame,
            "ActualFrameDuration": tuple(t for t in (60_000, 120_000, 300_000) for _ in range(3)),
        },
    )
    found = sidecar(made)
    assert found["FrameTimesStart"] == [0.0, 60.5, 180.0]
    assert found["FrameDuration"] == [60.0, 120.0, 300.0]
    assert (found["TimeZero"], found["ScanStart"], found["InjectionStart"]) == ("10:15:00", 0.0, -3600.0)
    assert (found["ImageDecayCorrected"], found["ImageDecayCorrectionTime"]) == (True, 0.0)
    assert (found["Units"], found["TracerRadionuclide"]) == ("Bq/mL", "F18")
    assert (found["InjectedRadioactivity"], found["InjectedRadioactivityUnits"]) == (3.2e8, "Bq")


@pytest.mark.parametrize(
    ("meaning", "expected"),
    [
        ("^11^Carbon", "C11"),
        ("18 Fluorine", "F18"),
        ("^68^Gallium", "Ga68"),
        ("^1^Unknownium", "^1^Unknownium"),
        ("F-18", "F-18"),
    ],
)
def test_radionuclides_as_bids_writes_them(meaning: str, expected: str) -> None:
    assert radionuclide(meaning) == expected


def test_times_of_frames_of_an_enhanced_object() -> None:
    traits = tuple({"AcquisitionTime": 36_900.0 + 60 * volume} for volume in (1, 0) for _ in range(3))
    found = sidecar(of_modality(subject(matrix(), (2, 3, 5, 7), FOUR, traits=traits), "PT"))
    assert (found["FrameTimesStart"], found["TimeZero"]) == ([0.0, 60.0], "10:15:00")


def test_pet_across_midnight_and_other_corrections() -> None:
    told = {"RadiopharmaceuticalStartTime": 23 * 3600.0, "SeriesTime": "235900", "DecayCorrection": "ADMIN"}
    found = sidecar(pet(("235900", "000100"), **told))
    assert found["FrameTimesStart"] == [0.0, 120.0]
    assert found["InjectionStart"] == found["ImageDecayCorrectionTime"] == -3540.0
    found = sidecar(pet(("000100", "000200"), **told | {"DecayCorrection": "NONE", "SeriesTime": "000000"}))
    assert found["InjectionStart"] == -3660.0
    assert (found["ImageDecayCorrected"], "ImageDecayCorrectionTime" in found) == (False, False)
    found = sidecar(pet(("101500", "101600"), SeriesTime="101200"))
    assert found["ImageDecayCorrectionTime"] == -180.0


def test_times_round_the_clock() -> None:
    found = sidecar(pet(("090000", "203000"), RadiopharmaceuticalStartTime=21 * 3600.0 + 1, SeriesTime="090010"))
    assert found["FrameTimesStart"] == [0.0, 41_400.0]
    assert found["InjectionStart"] == -43_199.0  # the evening before
    assert found["ImageDecayCorrectionTime"] == 0.0  # never after the start


def test_frames_without_a_duration_and_with_too_many_axes() -> None:
    made = of_modality(subject(matrix(), ActualFrameDuration=0), "PT")
    assert "FrameDuration" not in sidecar(made)
    assert sidecar(of_modality(subject(matrix(), ActualFrameDuration=1), "PT"))["FrameDuration"] == [0.001]
    axes = ("b", "time", "slice", "row", "column")
    made = of_modality(subject(matrix(), (2, 2, 3, 5, 7), axes, ActualFrameDuration=5, AcquisitionTime="101500"), "PT")
    assert not {"FrameDuration", "FrameTimesStart"} & sidecar(made).keys()


def test_pet_without_times_of_its_volumes() -> None:
    found = sidecar(pet(("101500", None)))
    assert "FrameTimesStart" not in found
    made = of_modality(subject(matrix(), ActualFrameDuration=90_000), "PT")
    found = sidecar(made)
    assert (found["FrameTimesStart"], found["FrameDuration"]) == ([0.0], [90.0])
    assert "Units" not in sidecar(of_modality(subject(matrix()), "CT"))


EPI = {"ScanningSequence": ["EP", "GR"], "MRAcquisitionType": "2D", "RepetitionTime": 2000.0}


def volume(times: tuple[float, ...], **attributes: Any) -> LayoutSubject:
    """One volume; files are in the opposite order of slices."""
    traits = tuple({"AcquisitionTime": time} for time in times[::-1])
    return subject(matrix(), (len(times), 5, 7), traits=traits, **attributes)


def test_slices_of_a_single_volume_of_echo_planar_imaging() -> None:
    assert slice_times(volume((100.0, 101.0, 100.5), **EPI)) == [0.0, 1.0, 0.5]
    assert slice_times(volume((100.0, 102.5, 100.5), **EPI)) is None  # beyond the repetition time
    assert slice_times(volume((100.0, 100.0, 100.0), **EPI)) is None  # that of the series
    assert slice_times(volume((100.0, 101.0, 100.5), **EPI | {"MRAcquisitionType": "3D"})) is None
    assert slice_times(volume((100.0, 101.0, 100.5), **EPI | {"ScanningSequence": "SE"})) is None


def series(count: int, slices: int, numbers: Any = None, **attributes: Any) -> LayoutSubject:
    """Volumes whose files are numbered in the order of the array, or as `numbers` says."""
    made = subject(matrix(), (count, slices, 5, 7), FOUR, RepetitionTime=3000.0, **attributes)
    order = {place.instance: number for number, place in enumerate(made.layout.placement, start=1)}
    instances = tuple(
        one._replace(instance_number=(numbers or (lambda number: number))(order[number]))
        for number, one in enumerate(made.scan.instances)
    )
    return replace(made, scan=made.scan._replace(instances=instances))


def test_the_order_of_ge_s_protocol() -> None:
    made = series(2, 5)
    step = 0.6
    assert slice_times(made, {INTERLEAVED: False}) == pytest.approx([0, step, 2 * step, 3 * step, 4 * step])
    assert slice_times(made, {INTERLEAVED: True}) == pytest.approx([0, 3 * step, step, 4 * step, 2 * step])
    down = series(2, 5, lambda number: 100 - number)
    assert slice_times(down, {INTERLEAVED: True}) == pytest.approx([2 * step, 4 * step, step, 3 * step, 0])
    assert slice_times(made) is None
    mixed = series(2, 5, lambda number: (number * 7) % 11)
    assert slice_times(mixed, {INTERLEAVED: True}) is None
    assert slice_times(series(2, 5, lambda number: None), {INTERLEAVED: True}) is None


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_ge_s_timer_in_either_unit_but_for_its_first_volume(scale: float) -> None:
    pattern = np.array([0.0, 2.0, 1.0])
    times = np.array([[0.0, 0.0, 0.0], 3.0 + pattern, 6.0 + pattern, 9.0 + pattern]) * scale
    made = replace(series(4, 3), by_frame={"RTIATimer": tuple(times.ravel().tolist())})
    assert slice_times(made) == pattern.tolist()
    times[2, 1] += 0.4 * scale
    assert slice_times(replace(made, by_frame={"RTIATimer": tuple(times.ravel().tolist())})) is None


def clocked(times: Any, repetition: float, keyword: str = "AcquisitionTime") -> LayoutSubject:
    """A series of (volumes, slices) with these times; files are in the opposite order of the array."""
    values = np.asarray(times, dtype=float)
    traits = tuple({keyword: float(time)} for time in values.ravel()[::-1])
    return subject(matrix(), (*values.shape, 5, 7), FOUR, traits=traits, RepetitionTime=repetition)


def test_two_slices_and_two_volumes_are_enough() -> None:
    assert slice_times(clocked([[10.0, 11.0], [12.0, 13.0]], 2000.0)) == [0.0, 1.0]
    assert slice_times(clocked([[10.0, 11.0], [12.5, 13.5]], 2000.0)) is None  # another repetition
    assert slice_times(clocked([[10.0, 11.0], [12.0, 13.4]], 2000.0)) is None  # another pattern
    assert slice_times(clocked([[10.0], [12.0]], 2000.0)) is None
    assert slice_times(clocked([[10.0, 12.0], [12.0, 14.0]], 2000.0)) is None  # the last at the start of the next
    assert slice_times(clocked([[0.0, 0.4, 0.8], [3.0, 4.0, 3.5], [5.0, 6.0, 5.5]], 2000.0)) is None  # the first counts


def test_a_fast_series_is_held_to_a_tenth_of_its_step() -> None:
    assert slice_times(clocked([[0.0, 0.010], [0.020, 0.0315]], 20.0)) == [0.0, 0.01]
    assert slice_times(clocked([[0.0, 0.010], [0.020, 0.033]], 20.0)) is None
    assert slice_times(clocked([[0.0, 0.010], [0.020, 0.030]], 0.0)) is None


def test_a_volume_with_empty_places_has_no_times() -> None:
    made = clocked([[10.0, 11.0, 11.5], [12.0, 13.0, 13.5]], 2000.0)
    layout = made.layout._replace(placement=made.layout.placement[:-1])
    assert slice_times(replace(made, layout=layout)) is None


def test_the_order_of_ge_s_protocol_in_a_single_volume_and_with_numbers_that_repeat() -> None:
    made = subject(matrix(), (4, 5, 7), RepetitionTime=2000.0)
    order = {place.instance: number for number, place in enumerate(made.layout.placement, start=1)}
    instances = tuple(one._replace(instance_number=order[number]) for number, one in enumerate(made.scan.instances))
    made = replace(made, scan=made.scan._replace(instances=instances))
    assert slice_times(made, {INTERLEAVED: True}) == [0.0, 1.0, 0.5, 1.5]
    assert slice_times(series(2, 4, lambda number: number // 2), {INTERLEAVED: False}) is None


def test_ge_s_timer_of_two_volumes_counts_both() -> None:
    times = (0.0, 2.0, 1.0, 3.0, 5.0, 4.0)
    assert slice_times(replace(series(2, 3), by_frame={"RTIATimer": times})) == [0.0, 2.0, 1.0]
    assert slice_times(replace(series(2, 3), by_frame={"RTIATimer": (0.0, 0.0, 0.0, *times[3:])})) is None


def test_ge_s_timer_of_three_volumes_leaves_out_the_first() -> None:
    times = (0.0, 0.0, 0.0, 3.0, 5.0, 4.0, 6.0, 8.0, 7.0)
    assert slice_times(replace(series(3, 3), by_frame={"RTIATimer": times})) == [0.0, 2.0, 1.0]


def test_times_in_an_even_order_have_six_decimals() -> None:
    made = series(2, 7, lambda number: number + 1)
    step = made.attributes["RepetitionTime"] * 1e-3 / 7
    found = slice_times(made, {INTERLEAVED: False})
    assert found == [round(number * step, 6) for number in range(7)]
    assert len(str(found[1]).partition(".")[2]) == 6
    assert slice_times(clocked([[0.0, 0.1234567], [2.0, 2.1234567]], 2000.0)) == [0.0, 0.123457]


def test_the_orientation_is_one_that_all_frames_share() -> None:
    made = subject(matrix())
    cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def orientation(*of: tuple[float, ...] | None) -> Any:
        instances = tuple(
            instance._replace(planes=(instance.planes[0]._replace(orientation=of[number % len(of)]),))
            for number, instance in enumerate(made.scan.instances)
        )
        told = sidecar(replace(made, scan=made.scan._replace(instances=instances)))
        return told.get("ImageOrientationPatientDICOM")

    assert orientation(cosines) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert orientation(cosines, (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)) is None
    assert orientation(None) is None

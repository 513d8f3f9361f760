"""Classic multi-frame objects: NM reconstructions, dose grids and cines, from their vectors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from support.factories import quick_dataset, save

from crawler import find, group_scans, layouts, read_instance
from crawler.dicom.attributes import Attributes
from crawler.instance.functional import planes_of
from crawler.instance.multiframe import TIMED_FRAMES
from crawler.model import Instance, Layout, Plane

AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
PRONE = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]
HEADFIRST_DOWN = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0]  # normal towards the feet
CORONAL = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]


def planes(frames: int, **record: Any) -> tuple[Plane, ...]:
    return planes_of(Attributes(record, "keyword"), frames)


def positions(found: tuple[Plane, ...]) -> list[tuple[float, ...] | None]:
    return [plane.position for plane in found]


def detector(position: Any = (1.0, 2.0, 3.0), orientation: Any = AXIAL) -> dict[str, Any]:
    return {"ImagePositionPatient": list(position), "ImageOrientationPatient": list(orientation)}


def recon(**elements: Any) -> dict[str, Any]:
    return {
        "Modality": "NM",
        "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        "DetectorInformationSequence": [detector()],
        "SpacingBetweenSlices": 4.0,
        "PixelSpacing": [5.0, 5.0],
        **elements,
    }


def read(path: Path) -> Instance:
    (file,) = find(path)
    return read_instance(file)


def only_layout(instance: Instance) -> Layout:
    (scan,) = group_scans([instance], "")
    (layout,) = layouts(scan)
    return layout


# NM


@pytest.mark.parametrize(("spacing", "z"), [(4.0, [3.0, 7.0, 11.0]), (-4.0, [3.0, -1.0, -5.0])])
def test_slices_are_stacked_along_the_normal_or_against_it(spacing: float, z: list[float]) -> None:
    found = planes(3, **recon(SliceVector=[1, 2, 3], SpacingBetweenSlices=spacing))
    assert positions(found) == [(1.0, 2.0, value) for value in z]
    assert {plane.orientation for plane in found} == {tuple(AXIAL)}
    assert {plane.spacing for plane in found} == {(5.0, 5.0)}


def test_slices_without_a_step_lie_nowhere_but_one_slice_needs_none() -> None:
    assert positions(planes(2, **recon(SliceVector=[1, 2], SpacingBetweenSlices=0))) == [None]
    two_windows = recon(SliceVector=[1, 1], EnergyWindowVector=[1, 2], SpacingBetweenSlices=0)
    assert positions(planes(2, **two_windows)) == [(1.0, 2.0, 3.0)] * 2


def test_offsets_of_a_single_frame_are_not_asked() -> None:
    record = {
        "ImagePositionPatient": [1.0, 2.0, 3.0],
        "ImageOrientationPatient": AXIAL,
        "GridFrameOffsetVector": [0, 3],
    }
    assert positions(planes(1, **record)) == [(1.0, 2.0, 3.0)]


def test_frames_of_less_than_a_millisecond() -> None:
    found = planes(3, FrameTime=0.5, FrameIncrementPointer="(0018,1063)")
    assert [plane.trait("FrameReferenceTime") for plane in found] == [0.0, 0.5, 1.0]


def test_slice_vector_gives_the_order_and_not_the_frames() -> None:
    found = planes(3, **recon(SliceVector=[3, 1, 2], DetectorInformationSequence=[detector(orientation=CORONAL)]))
    assert positions(found) == [(1.0, 10.0, 3.0), (1.0, 2.0, 3.0), (1.0, 6.0, 3.0)]


def test_gated_slices_have_their_share_of_the_beat() -> None:
    found = planes(4, **recon(SliceVector=[1, 2, 1, 2], TimeSlotVector=[1, 1, 2, 2], NumberOfTimeSlots=2))
    assert [plane.trait("NominalPercentageOfCardiacPhase") for plane in found] == [0, 0, 50, 50]
    assert [position and position[2] for position in positions(found)] == [3.0, 7.0, 3.0, 7.0]


def test_other_vectors_tell_frames_apart() -> None:
    found = planes(2, **recon(SliceVector=[1, 1], EnergyWindowVector=[1, 2], DetectorVector=[1, 1]))
    assert [plane.trait("DimensionIndexValues") for plane in found] == [(1, 1), (2, 1)]


def test_phases_and_time_slices_count_time() -> None:
    found = planes(3, **recon(SliceVector=[1, 1, 1], PhaseVector=[1, 1, 2], TimeSliceVector=[1, 2, 1]))
    assert [plane.trait("TemporalPositionIdentifier") for plane in found] == [1, 2, 3]


@pytest.mark.parametrize(
    "elements",
    [
        {"SliceVector": [1, 2]},
        {"SliceVector": [1, 2, 0]},
        {"SliceVector": [1, 2, "3"]},
        {"SliceVector": "1"},
        {"SliceVector": [1, 2, 3], "SpacingBetweenSlices": None},
        {"SliceVector": [1, 2, 3], "SpacingBetweenSlices": 0.0},
        {"SliceVector": [1, 2, 3], "SpacingBetweenSlices": 1e308},
        {"SliceVector": [1, 2, 3], "TimeSlotVector": [1, 2]},
        {"SliceVector": [1, 2, 3], "DetectorInformationSequence": None},
        {"SliceVector": [1, 2, 3], "DetectorInformationSequence": [detector(), detector((9.0, 9.0, 9.0))]},
        {"SliceVector": [1, 2, 3], "DetectorInformationSequence": [detector(orientation=[0.0] * 6)]},
    ],
)
def test_what_does_not_fit_gives_no_position(elements: dict[str, Any]) -> None:
    assert set(positions(planes(3, **recon(**elements)))) == {None}


def test_position_in_the_data_set_is_the_second_best() -> None:
    found = planes(2, **recon(SliceVector=[1, 2], DetectorInformationSequence=None, **detector((0.0, 0.0, 1.0))))
    assert positions(found) == [(0.0, 0.0, 1.0), (0.0, 0.0, 5.0)]


def test_single_slice_files_lie_where_their_detector_says() -> None:
    assert positions(planes(1, **recon())) == [(1.0, 2.0, 3.0)]
    planar = recon(ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"])
    assert positions(planes(1, **planar)) == [None]


def test_hostile_number_of_frames_costs_nothing() -> None:
    assert len(planes(2**31, **recon(SliceVector=[1, 2, 3]))) == 1
    assert len(planes(2**31, FrameTime=40.0)) == 1
    assert len(planes(2**31, GridFrameOffsetVector=[0.0, 1.0], **detector())) == 1


def test_nm_file_becomes_a_volume(tmp_path: Path) -> None:
    item = Dataset()
    item.ImagePositionPatient, item.ImageOrientationPatient = [-10, -20, 30], AXIAL
    dataset = quick_dataset(
        np.zeros((3, 4, 5), np.uint16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.20",
        Modality="NM",
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        FrameIncrementPointer=0x00540080,
        SliceVector=[1, 2, 3],
        DetectorInformationSequence=[item],
        SpacingBetweenSlices="-2.5",
        PixelSpacing=[4, 3],
    )
    layout = only_layout(read(save(dataset, tmp_path / "nm.dcm")))
    assert layout.shape == (3, 4, 5)
    assert layout.verdict.regular_volume
    assert [place.frame for place in layout.placement] == [2, 1, 0]
    assert layout.affine == ((0, 0, 3, -10), (0, 4, 0, -20), (2.5, 0, 0, 25), (0, 0, 0, 1))


# RT Dose


@pytest.mark.parametrize(
    ("orientation", "offsets", "z"),
    [
        (AXIAL, [0.0, 2.0, 5.0], [30.0, 32.0, 35.0]),
        (AXIAL, [0.0, -2.0, -4.0], [30.0, 28.0, 26.0]),
        (AXIAL, [30.0, 32.0, 34.0], [30.0, 32.0, 34.0]),  # patient z
        (PRONE, [30.0, 32.0, 34.0], [30.0, 32.0, 34.0]),
        (HEADFIRST_DOWN, [0.0, 2.0, 4.0], [30.0, 28.0, 26.0]),
        (HEADFIRST_DOWN, [30.0, 28.0, 26.0], [30.0, 28.0, 26.0]),
    ],
)
def test_offsets_are_relative_or_patient_z(orientation: list[float], offsets: list[float], z: list[float]) -> None:
    found = planes(3, GridFrameOffsetVector=offsets, **detector((1.0, 2.0, 30.0), orientation))
    assert positions(found) == [(1.0, 2.0, value) for value in z]


@pytest.mark.parametrize(
    ("offsets", "orientation"),
    [
        ([0.0, 1.0], AXIAL),
        ([0.0, 1.0, "2"], AXIAL),
        ([5.0, 6.0, 7.0], AXIAL),  # neither zero nor the position
        ([30.0, 31.0, 32.0], CORONAL),
        ([0.0, 1.0, 2.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
    ],
)
def test_offsets_that_mean_nothing_known(offsets: list[Any], orientation: list[float]) -> None:
    assert positions(planes(3, GridFrameOffsetVector=offsets, **detector((1.0, 2.0, 30.0), orientation))) == [None]


@given(step=st.floats(0.1, 10), absolute=st.booleans(), z=st.floats(-500, 500), down=st.booleans())
def test_relative_and_absolute_offsets_say_the_same(step: float, absolute: bool, z: float, down: bool) -> None:
    orientation, sign = (HEADFIRST_DOWN, -1) if down else (AXIAL, 1)
    offsets = [z + sign * step * k if absolute else step * k for k in range(4)]
    found = positions(planes(4, GridFrameOffsetVector=offsets, **detector((1.0, 2.0, z), orientation)))
    wanted = [(1.0, 2.0, z + sign * step * k) for k in range(4)]
    # z = 0 begins with zero, which the standard lets be relative
    assert (absolute and z == 0) or np.allclose(np.array(found, dtype=float), wanted, atol=1e-9)


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"])
def test_dose_lies_where_simpleitk_puts_it(name: str) -> None:
    reader = pytest.importorskip("SimpleITK", reason="pip install SimpleITK")
    path = Path(str(get_testdata_file(name)))
    image = reader.ReadImage(str(get_testdata_file("rtdose.dcm")))  # it does not read big endian doses
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = direction[:, ::-1], image.GetOrigin()
    layout = only_layout(read(path))
    assert layout.shape == image.GetSize()[::-1]
    # mm; the standard's DS has some 12 digits, the bound of the project is 1e-3
    np.testing.assert_allclose(np.array(layout.affine), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_1frame.dcm"])
def test_scaling_of_the_dose_is_the_slope(name: str) -> None:
    instance = read(Path(str(get_testdata_file(name))))
    assert {(plane.slope, plane.intercept) for plane in instance.planes} == {(1e-6, 0.0)}


# Cines


@pytest.mark.parametrize(
    ("elements", "times"),
    [
        ({"FrameTime": 40.0}, [0, 40, 80]),
        ({"FrameTimeVector": [0.0, 30.0, 50.0]}, [0, 30, 80]),
        ({"FrameTimeVector": [0.0, 0.5, 0.0]}, [0, 0.5, 0.5]),
        ({"FrameTime": 40.0, "FrameTimeVector": [0.0, 30.0, 50.0]}, [0, 30, 80]),
        (
            {"FrameTime": 40.0, "FrameTimeVector": [0.0, 30.0, 50.0], "FrameIncrementPointer": "(0018,1063)"},
            [0, 40, 80],
        ),
    ],
)
def test_frames_of_a_cine_have_times_and_no_positions(elements: dict[str, Any], times: list[float]) -> None:
    found = planes(3, **elements)
    assert [plane.trait("FrameReferenceTime") for plane in found] == times
    assert set(positions(found)) == {None}


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"FrameTime": 0.0},
        {"FrameTime": "fast"},
        {"FrameTimeVector": [0.0, 30.0]},
        {"FrameTimeVector": [0.0, -30.0, 30.0]},
        {"FrameTime": 40.0, "FrameIncrementPointer": "(0018,2003)"},
        {"FrameTime": 40.0, "ImagePositionPatient": [1.0, 2.0, 3.0]},
    ],
)
def test_frames_without_times_share_a_plane(elements: dict[str, Any]) -> None:
    (plane,) = planes(3, **elements)
    assert plane.trait("FrameReferenceTime") is None


def test_very_long_cine_has_one_plane() -> None:
    assert len(planes(TIMED_FRAMES, FrameTime=1.0)) == TIMED_FRAMES
    assert len(planes(TIMED_FRAMES + 1, FrameTime=1.0)) == 1


def test_cine_is_laid_out_by_frame() -> None:
    instance = read(Path(str(get_testdata_file("examples_ybr_color.dcm"))))
    layout = only_layout(instance)
    assert (layout.axes[0], layout.shape[0], layout.affine) == ("frame", 30, None)
    assert len(instance.planes) == 30

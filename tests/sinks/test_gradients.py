"""Gradients in FSL's frame: turned back with the image's own matrix they are the patient's again, whatever its axes."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import MRImageStorage
from support.factories import quick_dataset, save
from support.volumes import ORIENTATIONS, matrix, subject, with_coordinates, write

from crawler.geometry import lps_to_ras
from crawler.model import Coordinates
from crawler.sinks.gradients import bval, bvec, to_fsl
from crawler.sinks.nifti import NiftiSink

ROOT = Path(os.environ.get("DME_DATA", "/work/shared/data"))
AXES = ("b", "slice", "row", "column")
DIRECTIONS = (None, (1.0, 0.0, 0.0), (0.0, 0.6, 0.8), (0.48, -0.64, 0.6))
WEIGHTS = Coordinates("b", (0.0, 1000.0, 1000.0, 2000.0), "DiffusionBValue", "s/mm2", DIRECTIONS)


def in_patient(affine, vectors):
    """What a reader of FSL files does: (n, 3) in the frame of an image with a RAS matrix -> LPS."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    mirrored = vectors * ((-1, 1, 1) if np.linalg.det(axes) > 0 else (1, 1, 1))
    return (mirrored @ axes.T) * (-1, -1, 1)


def diffusion(place, shape=(4, 3, 5, 7), axes=AXES, weights=WEIGHTS):
    return with_coordinates(subject(place, shape, axes), weights)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_files_beside_the_image(tmp_path, orientation):
    paths = write(NiftiSink(), tmp_path, diffusion(matrix(orientation)))
    assert [Path(path).name for path in paths] == [
        "out.nii.gz",
        "out.json",
        "out.bval",
        "out.bvec",
        "out.provenance.json",
    ]
    image = nibabel.load(paths[0])
    np.testing.assert_array_equal(np.loadtxt(paths[2]), WEIGHTS.values)
    vectors = np.loadtxt(paths[3])
    assert vectors.shape == (3, image.shape[3])
    expected = [direction or (0, 0, 0) for direction in DIRECTIONS]
    np.testing.assert_allclose(in_patient(image.affine, vectors.T), expected, atol=1e-6)


def test_the_texts_for_an_axial_image():
    made = diffusion(matrix("axial")).layout
    assert bval(made) == "0 1000 1000 2000\n"
    assert bvec(made) == "0 -1 0 -0.48\n0 0 0.6 -0.64\n0 0 0.8 0.6\n"


signs = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)
angles = st.tuples(*[st.floats(-0.7, 0.7)] * 3)
numbers = st.floats(-1.0, 1.0, allow_subnormal=False)


@given(st.permutations(range(3)), signs, angles, st.tuples(numbers, numbers, numbers))
def test_every_orientation_and_handedness(order, flips, turns, direction):
    made = rotation(turns) @ (np.diag(flips)[:, list(order)] * (2.5, 0.75, 0.5))
    affine = np.eye(4)
    affine[:3, :3] = made
    (vector,) = to_fsl(affine, (direction,))
    image = lps_to_ras(affine)[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(in_patient(image, vector[None])[0], direction, atol=1e-12)


def rotation(turns):
    """About z, y, x."""
    made = np.eye(3)
    for angle, (first, second) in zip(turns, [(0, 1), (0, 2), (1, 2)], strict=True):
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        made = made @ turn
    return made


def test_all_48_axis_aligned_images_differ_by_signs_and_order_only():
    found = set()
    for order, flips in product(permutations(range(3)), product((-1.0, 1.0), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = np.diag(flips)[:, list(order)]
        found.add(tuple(to_fsl(affine, ((0.1, 0.2, 0.3),))[0].round(9)))
    assert len(found) == 24  # an image and its mirror image along the columns share a text
    assert {tuple(sorted(map(abs, vector))) for vector in found} == {(0.1, 0.2, 0.3)}


def test_a_tilted_gantry_does_not_tilt_the_gradients():
    upright, tilted = (bvec(diffusion(matrix("axial", shear)).layout) for shear in (0.0, 0.5))
    assert upright == tilted


def test_a_second_further_axis_repeats_the_texts_in_the_order_of_the_file():
    layout = diffusion(matrix(), (2, 4, 3, 5, 7), ("te", *AXES)).layout
    assert bval(layout) == "0 1000 1000 2000 0 1000 1000 2000\n"
    layout = diffusion(matrix(), (4, 2, 3, 5, 7), ("b", "time", "slice", "row", "column")).layout
    assert bval(layout) == "0 0 1000 1000 1000 1000 2000 2000\n"


@pytest.mark.parametrize(
    ("weights", "texts"),
    [
        (Coordinates("b", (0.0, 500.0)), (True, False)),  # a trace has no direction
        (Coordinates("b", (0.0, 500.0), directions=(None, None)), (True, False)),
        (Coordinates("b", (0.0, None), directions=(None, (1.0, 0.0, 0.0))), (False, False)),
        (Coordinates("te", (3.0, 5.0)), (False, False)),
    ],
)
def test_what_is_not_known_has_no_file(weights, texts):
    axes = (weights.axis, "slice", "row", "column")
    layout = diffusion(matrix(), (2, 3, 5, 7), axes, weights).layout
    assert (bval(layout) is not None, bvec(layout) is not None) == texts


def test_without_affine_there_are_no_directions():
    layout = diffusion(None).layout
    assert bval(layout) == "0 1000 1000 2000\n"
    assert bvec(layout) is None


def test_the_reference_of_a_canon_scan_comes_back():
    """Directions of real data, in the image of dcm2niix (rows from bottom to top), are ours in DICOM's."""
    base = ROOT / "ref" / "dcm_qa_enh" / "Canon_DTI_PA-ortho_9000"
    if not base.with_suffix(".bvec").exists():
        pytest.skip("the reference data are not here")
    theirs = np.loadtxt(base.with_suffix(".bvec")).T
    cosines = np.array(json.loads(base.with_suffix(".json").read_text())["ImageOrientationPatientDICOM"], float)
    along, down = cosines[:3], cosines[3:]
    flipped = np.eye(4)
    flipped[:3, :3] = np.column_stack([along, -down, np.cross(along, down)])
    patient = in_patient(lps_to_ras(flipped), theirs)
    ours = np.eye(4)
    ours[:3, :3] = np.column_stack([np.cross(along, down), down, along])
    vectors = to_fsl(ours, tuple(map(tuple, patient)))
    np.testing.assert_allclose(vectors, theirs * (-1, -1, 1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors[1:], axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_dcm2niix_puts_gradients_at_the_same_place_in_the_patient(tmp_path, orientation):
    """The oracle: what dcm2niix makes of (0018,9089), read back with its own image's matrix."""
    tool = pytest.importorskip("dcm2niix", reason="pip install dcm2niix").bin
    place = matrix(orientation)
    cosines = ORIENTATIONS[orientation]
    for step, direction in enumerate(DIRECTIONS[1:], start=1):
        for number in range(3):
            elements = {
                "SOPClassUID": MRImageStorage,
                "Modality": "MR",
                "Manufacturer": "CANON_MEC",
                "ImageType": ["ORIGINAL", "PRIMARY", "M"],
                "InstanceNumber": step * 3 + number,
                "AcquisitionNumber": step,
                "AcquisitionTime": f"1000{step:02d}",
                "ImagePositionPatient": [f"{value:.6f}" for value in place[:3] @ (number, 0, 0, 1)],
                "ImageOrientationPatient": [f"{value:.9f}" for value in cosines],
                "PixelSpacing": [0.75, 0.5],
                "SliceThickness": 2.5,
                "EchoTime": 80,
                "RepetitionTime": 5000,
                "DiffusionBValue": WEIGHTS.values[step],
                "DiffusionGradientOrientation": list(direction),
            }
            pixels = np.full((8, 9), 100 * step + number, np.uint16)
            save(quick_dataset(pixels, **elements), tmp_path / "in" / f"{step}-{number}.dcm")
    (tmp_path / "out").mkdir()
    command = [tool, "-b", "n", "-z", "n", "-f", "out", "-o", str(tmp_path / "out"), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (path,) = (tmp_path / "out").glob("*.nii")
    theirs = in_patient(nibabel.load(path).affine, np.loadtxt(path.with_suffix(".bvec")).T)
    image = lps_to_ras(place)[:, [2, 1, 0, 3]]
    ours = in_patient(image, to_fsl(place, DIRECTIONS[1:]))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_cosines_that_are_not_orthogonal_leave_columns_as_they_are():
    """The row direction gives way: a gradient along a row of pixels has no part along the columns of the frame."""
    place = matrix("oblique")
    place[:3, 1] += 0.02 * place[:3, 2]
    column = place[:3, 2] / np.linalg.norm(place[:3, 2])
    normal = np.cross(column, place[:3, 1] / np.linalg.norm(place[:3, 1]))
    along, across = to_fsl(place, (tuple(column), tuple(normal / np.linalg.norm(normal))))
    np.testing.assert_allclose(np.abs(along), (1.0, 0.0, 0.0), atol=1e-9)
    np.testing.assert_allclose(np.abs(across), (0.0, 0.0, 1.0), atol=1e-9)

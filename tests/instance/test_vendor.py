"""b-values and directions of gradients as every vendor writes them, in patient LPS."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage
from support.factories import quick_dataset, save
from support.siemens import NICOM, instance_at, instance_of, mosaic_dataset

from crawler.dicom.attributes import Attributes
from crawler.dicom.csa import NO_CSA
from crawler.instance.vendor import DIRECTED, diffusion_of
from crawler.model import Instance

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
VECTOR = (0.48, -0.64, 0.6)
DIRECTION = pytest.approx(VECTOR, abs=1e-6)


def image(orientation: tuple[float, ...] = AXIAL, **keywords: Any) -> Dataset:
    return quick_dataset(
        SOPClassUID=MRImageStorage,
        Modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M"],
        ImageOrientationPatient=list(orientation),
        ImagePositionPatient=[0, 0, 0],
        **keywords,
    )


def private(dataset: Dataset, group: int, creator: str, elements: dict[int, tuple[str, Any]]) -> Dataset:
    block = dataset.private_block(group, creator, create=True)
    for number, (vr, value) in elements.items():
        block.add_new(number, vr, value)
    return dataset


def siemens(dataset: Dataset, b: int, vector: tuple[float, ...] | None = None, **more: Any) -> Dataset:
    elements = {0x0C: ("IS", b)} | ({0x0E: ("FD", list(vector))} if vector else {})
    return private(dataset, 0x19, "SIEMENS MR HEADER", elements | more.get("also", {}))


def ge(dataset: Dataset, b: int, vector: tuple[float, ...]) -> Dataset:
    private(dataset, 0x43, "GEMS_PARM_01", {0x39: ("IS", [b, 8, 0, 0])})
    components = zip((0xBB, 0xBC, 0xBD), vector, strict=True)
    return private(dataset, 0x19, "GEMS_ACQU_01", {number: ("DS", f"{part:.6f}") for number, part in components})


def philips(dataset: Dataset, b: float, vector: tuple[float, ...]) -> Dataset:
    private(dataset, 0x2001, "Philips Imaging DD 001", {0x03: ("FL", b)})
    components = zip((0xB0, 0xB1, 0xB2), vector, strict=True)
    return private(dataset, 0x2005, "Philips MR Imaging DD 001", {number: ("FL", part) for number, part in components})


def united(dataset: Dataset, b: float, vector: tuple[float, ...]) -> Dataset:
    return private(dataset, 0x65, "Image Private Header", {0x09: ("FD", b), 0x37: ("FD", list(vector))})


def canon(dataset: Dataset, b: float, vector: tuple[float, ...]) -> Dataset:
    dataset.ImageComments = "b={:.0f}({:.3f},{:.3f},{:.3f})".format(b, *vector)
    return dataset


def told(instance: Instance) -> tuple[Any, Any]:
    (plane,) = instance.planes
    return plane.trait("DiffusionBValue"), plane.trait("DiffusionGradientOrientation")


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., tuple[Any, Any]]:
    return lambda dataset, **options: told(instance_of(dataset, tmp_path / "a.dcm", **options))


def test_public_elements(of: Callable[..., Any]) -> None:
    twice = [2 * part for part in VECTOR]
    assert of(image(DiffusionBValue=700.0, DiffusionGradientOrientation=twice)) == (700, DIRECTION)
    assert of(image(DiffusionBValue=0.0, DiffusionGradientOrientation=list(VECTOR))) == (0, None)
    assert of(image(DiffusionBValue=700.0, DiffusionGradientOrientation=[0.0, 0.0, 0.0])) == (700, None)
    told = of(image(DiffusionBValue=7.0, DiffusionGradientOrientation=twice, DiffusionDirectionality="ISOTROPIC"))
    assert told == (7, None)
    assert of(image(DiffusionDirectionality="NONE")) == (0, None)
    assert of(image()) == (None, None)


@pytest.mark.parametrize(
    ("kind", "expected"), [("BMATRIX", (1000, (0, 1, 0))), ("", (1000, (0, 1, 0))), ("ISOTROPIC", (None, None))]
)
def test_a_b_matrix_tells_both(of: Callable[..., Any], kind: str, expected: Any) -> None:
    matrix = Dataset()
    for part in ("XX", "XY", "XZ", "YY", "YZ", "ZZ"):
        setattr(matrix, f"DiffusionBValue{part}", 1000.0 if part == "YY" else 0.0)
    assert of(image(DiffusionDirectionality=kind, DiffusionBMatrixSequence=[matrix])) == expected


def test_the_b_value_of_a_b_matrix_is_its_trace(of: Callable[..., Any]) -> None:
    matrix = Dataset()
    b, direction = 700.0, np.array([0.6, 0.0, 0.8])
    for row, first in enumerate("XYZ"):
        for column, second in list(enumerate("XYZ"))[row:]:
            setattr(matrix, f"DiffusionBValue{first}{second}", float(b * direction[row] * direction[column]))
    value, found = of(image(DiffusionDirectionality="BMATRIX", DiffusionBMatrixSequence=[matrix]))
    assert value == pytest.approx(700)
    assert np.abs(found) == pytest.approx([0.6, 0.0, 0.8], abs=1e-6)


def test_public_elements_come_first(of: Callable[..., Any]) -> None:
    assert of(siemens(image(DiffusionBValue=700.0), 900, VECTOR)) == (700, DIRECTION)
    other = image(DiffusionBValue=700.0, DiffusionGradientOrientation=[0.0, 1.0, 0.0])
    assert of(siemens(other, 900, VECTOR)) == (700, (0, 1, 0))


def test_other_modalities_have_no_gradients(of: Callable[..., Any]) -> None:
    assert of(siemens(image(), 900, VECTOR)) == (900, DIRECTION)
    dataset = siemens(image(), 900, VECTOR)
    dataset.Modality = "CT"
    assert of(dataset) == (None, None)


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
@pytest.mark.parametrize("maker", [siemens, philips, united])
def test_makers_who_say_it_in_axes_that_need_no_more(of: Callable[..., Any], maker: Any, keys: str) -> None:
    """The image of UIH is axial, with the patient's axes."""
    assert of(maker(image(), 1000, VECTOR), keys=keys) == (1000, DIRECTION)
    assert of(maker(image(), 0, (0.0, 0.0, 0.0)), keys=keys) == (0, None)


def test_elements_of_another_creator_mean_something_else(of: Callable[..., Any]) -> None:
    assert of(private(image(), 0x19, "SOMEBODY ELSE", {0x0C: ("IS", 5)})) == (None, None)
    second = private(image(), 0x19, "SOMEBODY ELSE", {0x0C: ("IS", 5)})
    for keys in ("keyword", "tag"):
        assert of(siemens(second, 900, VECTOR), keys=keys) == (900, DIRECTION)


def test_siemens_matrix(of: Callable[..., Any]) -> None:
    """A direction without sign where there is only a b-matrix; none for the average of three directions."""
    matrix = 900 * np.outer(VECTOR, VECTOR) + np.diag([5.0, 3.0, 4.0])
    six = [float(matrix[place]) for place in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]
    b, direction = of(siemens(image(), 900, also={0x27: ("FD", six)}))
    assert (b, abs(np.dot(direction, VECTOR))) == (900, pytest.approx(1.0, abs=1e-4))
    assert of(siemens(image(), 900, also={0x27: ("FD", [300.0, 0.0, 0.0, 300.0, 0.0, 300.0])})) == (900, None)
    assert of(siemens(image(), 900, also={0x27: ("FD", [300.0, 0.0, 0.0, 300.0 * DIRECTED / 1.01, 0.0, 0.0])}))[1]
    assert of(siemens(image(), 900, also={0x27: ("FD", [0.0] * 6)})) == (900, None)


def test_siemens_csa_header(tmp_path: Path) -> None:
    entries = {"B_value": ["850"], "DiffusionGradientDirection": [f"{part}" for part in VECTOR]}
    kind = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "MOSAIC"]
    planes = instance_of(mosaic_dataset(entries=entries, ImageType=kind), tmp_path / "a.dcm").planes
    assert [plane.trait("DiffusionBValue") for plane in planes] == [850] * 5
    assert [plane.trait("DiffusionGradientOrientation") for plane in planes] == [DIRECTION] * 5
    entries = {"B_value": ["850"], "B_matrix": ["0", "0", "0", "850", "0", "0"]}
    plane = instance_of(mosaic_dataset(entries=entries, ImageType=kind), tmp_path / "b.dcm").planes[0]
    assert np.abs(plane.trait("DiffusionGradientOrientation")).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "b"), [("*ep_b1000#12", 1000), ("ep_b50t", 50), ("*ep_b0", 0), ("*epfid2d1_64", None), ("*tse2d1_9", None)]
)
def test_siemens_sequence_names(of: Callable[..., Any], name: str, b: int | None) -> None:
    """All that a stripped header leaves; only where the image says that it is weighted."""
    dataset = image(SequenceName=name)
    assert of(dataset) == (None, None)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    assert of(dataset) == (b, None)


@pytest.mark.parametrize(
    ("name", "b", "direction"),
    [("siemens_dwi_0.dcm.gz", 0, None), ("siemens_dwi_1000.dcm.gz", 1000, (0.99997449, 0.00505012, -0.00505012))],
)
def test_real_siemens_images(tmp_path: Path, name: str, b: int, direction: Any) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(gzip.decompress((NICOM / name).read_bytes()))
    for plane in instance_at(path).planes:
        assert plane.trait("DiffusionBValue") == b
        assert plane.trait("DiffusionGradientOrientation") == (direction and pytest.approx(direction, abs=1e-6))


@pytest.mark.parametrize(("stored", "b"), [(750, 750), (1_000_000_750, 750), (0, 0), (1_000_000_000, 0)])
def test_ge_values(of: Callable[..., Any], stored: int, b: int) -> None:
    assert of(ge(image(InPlanePhaseEncodingDirection="COL"), stored, VECTOR))[0] == b


def test_ge_scales_weights_by_the_length_of_directions(of: Callable[..., Any]) -> None:
    half = tuple(part / 2**0.5 for part in VECTOR)
    b, direction = of(ge(image(InPlanePhaseEncodingDirection="COL"), 2000, half))
    assert b == 1000
    assert np.linalg.norm(direction) == pytest.approx(1.0)


def test_ge_without_phase_encoding_has_no_direction(of: Callable[..., Any]) -> None:
    assert of(ge(image(), 1000, VECTOR)) == (1000, None)
    assert of(ge(image(InPlanePhaseEncodingDirection="OTHER"), 1000, VECTOR)) == (1000, None)
    assert of(ge(image(InPlanePhaseEncodingDirection="ROW"), 1000, (0.0, 0.0, 0.0))) == (1000, None)


def test_philips_averages_have_no_direction(of: Callable[..., Any]) -> None:
    assert of(philips(image(), 1000.0, (0.0, 0.0, 0.0))) == (1000, None)


def test_united_imaging_has_the_true_direction_in_its_own_element(of: Callable[..., Any]) -> None:
    dataset = image(OBLIQUE, DiffusionBValue=1000.0, DiffusionGradientOrientation=[1.0, 0.0, 0.0])
    b, direction = of(united(dataset, 1000.0, (0.0, 1.0, 0.0)))
    assert (b, direction) == (1000, pytest.approx(OBLIQUE[3:]))


@pytest.mark.parametrize(
    ("orientation", "phase", "direction"),
    [
        (AXIAL, "COL", (0.64, -0.48, 0.6)),
        (SAGITTAL, "COL", (-0.6, 0.64, 0.48)),
        (CORONAL, "COL", None),
        (AXIAL, "ROW", None),
    ],
)
def test_canon_writes_a_comment(of: Callable[..., Any], orientation: Any, phase: str, direction: Any) -> None:
    dataset = image(orientation, InPlanePhaseEncodingDirection=phase, Manufacturer="CANON_MEC")
    assert of(canon(dataset, 1500, VECTOR)) == (1500, direction and pytest.approx(direction))
    dataset.Manufacturer = "Somebody"
    assert of(dataset) == (None, None)


@given(st.text("b=0123456789.(),eE+- ", max_size=60))
def test_any_comment(text: str) -> None:
    record = {"Manufacturer": "CANON", "ImageComments": f"b=1000{text}", "InPlanePhaseEncodingDirection": "COL"}
    found = diffusion_of(Attributes(record, "keyword"), AXIAL, NO_CSA)
    assert found.direction is None or np.linalg.norm(found.direction) == pytest.approx(1.0)


def enhanced(groups: list[Dataset]) -> Dataset:
    dataset = quick_dataset(np.zeros((len(groups), 4, 5), np.uint16), SOPClassUID=EnhancedMRImageStorage, Modality="MR")
    dataset.PerFrameFunctionalGroupsSequence = groups
    return dataset


def macro(**keywords: Any) -> Dataset:
    group, item = Dataset(), Dataset()
    vector = keywords.pop("DiffusionGradientOrientation", None)
    for keyword, value in keywords.items():
        setattr(item, keyword, value)
    if vector is not None:
        inner = Dataset()
        inner.DiffusionGradientOrientation = list(vector)
        item.DiffusionGradientDirectionSequence = [inner]
    group.MRDiffusionSequence = [item]
    return group


@pytest.mark.parametrize("keys", ["keyword", "tag"])
def test_frames_of_enhanced_objects(tmp_path: Path, keys: Any) -> None:
    old, inner = philips(Dataset(), 900.0, VECTOR), philips(Dataset(), 800.0, VECTOR)
    nested = private(Dataset(), 0x2005, "Philips MR Imaging DD 005", {0x0F: ("SQ", [inner])})
    directional = {"DiffusionDirectionality": "DIRECTIONAL", "DiffusionBValue": 1000.0}
    groups = [
        macro(DiffusionDirectionality="NONE"),
        macro(**directional, DiffusionGradientOrientation=VECTOR),
        macro(DiffusionDirectionality="ISOTROPIC", DiffusionBValue=1000.0),
        old,
        nested,
        Dataset(),
    ]
    planes = instance_of(enhanced(groups), tmp_path / "a.dcm", keys=keys).planes
    assert [plane.trait("DiffusionBValue") for plane in planes] == [0, 1000, 1000, 900, 800, None]
    directions = [plane.trait("DiffusionGradientOrientation") for plane in planes]
    assert directions == [None, DIRECTION, None, DIRECTION, DIRECTION, None]


VENDORS = {
    "SIEMENS": siemens,
    "GE MEDICAL SYSTEMS": ge,
    "Philips Medical Systems": philips,
    "UIH": united,
}


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE], ids=["axial", "sag", "cor", "oblique"])
@pytest.mark.parametrize("phase", ["COL", "ROW"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_dcm2niix_points_the_same_way(tmp_path: Path, vendor: str, phase: str, orientation: Any) -> None:
    """Up to the sign, which means nothing to a diffusion tensor; its vectors are turned back by its own matrix."""
    tool = pytest.importorskip("dcm2niix", reason="pip install dcm2niix").bin
    cosines = np.array(orientation)
    normal = np.cross(cosines[:3], cosines[3:])
    vectors = [(0.0, 0.0, 0.0), VECTOR, (0.6, 0.0, 0.8), (0.0, 0.8, -0.6), (0.8, 0.48, 0.36)]
    ours = []
    for volume, vector in enumerate(vectors):
        for number in range(2):
            dataset = image(
                Manufacturer=vendor,
                InPlanePhaseEncodingDirection=phase,
                PatientPosition="HFS",
                PixelSpacing=[2, 2],
                SliceThickness=2,
                InstanceNumber=2 * volume + number + 1,
                AcquisitionNumber=volume + 1,
                SequenceName="*ep_b1000",
                RepetitionTime=4000,
            )
            dataset.ImageOrientationPatient = [f"{cosine:.8f}" for cosine in cosines]
            dataset.ImagePositionPatient = [f"{part:.6f}" for part in 2 * number * normal]
            VENDORS[vendor](dataset, 1000 if volume else 0, vector)
            path = save(dataset, tmp_path / "in" / f"{volume}{number}.dcm")
        ours.append(told(instance_at(path)))
    command = [tool, "-b", "n", "-z", "n", "-f", "x", "-o", str(tmp_path), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True)
    assert [b for b, _ in ours] == np.loadtxt(tmp_path / "x.bval").tolist()
    axes = nibabel.load(tmp_path / "x.nii").affine[:3, :3] / 2
    theirs = np.loadtxt(tmp_path / "x.bvec").T * ((-1, 1, 1) if np.linalg.det(axes) > 0 else (1, 1, 1))
    theirs = theirs @ axes.T * (-1, -1, 1)
    assert ours[0][1] is None
    for (_, direction), vector in zip(ours[1:], theirs[1:], strict=True):
        assert abs(np.dot(direction, vector)) == pytest.approx(1.0, abs=1e-4)


def test_a_plane_that_frames_share_takes_nothing_from_one_of_them(tmp_path: Path) -> None:
    """With fewer items than frames no item can be given to a frame."""
    dataset = enhanced([macro(DiffusionDirectionality="NONE"), Dataset()])
    dataset.NumberOfFrames = 3
    assert told(instance_of(dataset, tmp_path / "a.dcm")) == (None, None)

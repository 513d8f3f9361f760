"""Mosaics: where the tiles lie, in which order, and what becomes of one whose header is gone."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from support.runs import export
from support.siemens import (
    AXIAL,
    CORNER,
    NICOM,
    SPACING,
    STEP,
    TILE,
    csareader,
    dicomwrappers,
    instance_at,
    instance_of,
    montage,
    mosaic_dataset,
    protocol,
)

from crawler.instance.mosaic import tiles_of
from crawler.layout.layouts import layouts
from crawler.layout.verdict import MONTAGE, UNDIRECTED, scan_verdict
from crawler.model import Frame, Instance, Layout, Mosaic, Scan

DATA = Path(os.environ.get("DME_DATA", "/work/shared/data"))
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def layouts_of(*instances: Instance) -> list[Layout]:
    return layouts(Scan("s1-0", "1.2", instances))


def volume_of(instance: Instance) -> Layout:
    (layout,) = layouts_of(instance)
    return layout


def centre_of_montage(instance: Instance) -> np.ndarray:
    """Where (0020,0032) and the size of the whole image put its middle: there the slices are centred."""
    plane, pixels = instance.planes[0], instance.pixels
    assert plane.orientation is not None
    assert pixels is not None
    along, down = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    middle = (pixels.columns - 1) / 2 * SPACING[1] * along + (pixels.rows - 1) / 2 * SPACING[0] * down
    return np.array(CORNER) + middle


@pytest.mark.parametrize("tiles", [1, 2, 4, 5, 9, 10])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE])
@pytest.mark.parametrize("sign", [1, -1])
def test_tiles_in_the_patient(tmp_path: Path, tiles: int, orientation: tuple[float, ...], sign: int) -> None:
    """The first tile's centre is the montage's; the next ones follow along SliceNormalVector, whatever its sign."""
    normal = sign * np.cross(orientation[:3], orientation[3:])
    instance = instance_of(mosaic_dataset(tiles, normal.tolist(), orientation), tmp_path / "a.dcm")
    across = int(np.ceil(np.sqrt(tiles)))
    assert instance.mosaic == Mosaic(tiles, across, *TILE)
    assert len(instance.planes) == tiles
    layout = volume_of(instance)
    assert layout.shape == (tiles, *TILE)
    assert layout.verdict.regular_volume == (tiles > 1)
    middle = [(TILE[0] - 1) / 2, (TILE[1] - 1) / 2, 1]
    for place in layout.placement:
        centre = np.array(layout.affine) @ [place.index[0], *middle]
        expected = centre_of_montage(instance) + place.frame * STEP * normal
        np.testing.assert_allclose(centre[:3], expected, atol=1e-5)
    order = [place.frame for place in layout.placement]
    assert order == (list(range(tiles)) if sign > 0 else list(range(tiles))[::-1])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL])
def test_direction_from_the_protocol(tmp_path: Path, reverse: bool, orientation: tuple[float, ...]) -> None:
    """Where the image header has no normal the protocol has; H>>F and its like turn it round."""
    normal = np.abs(np.cross(orientation[:3], orientation[3:]))
    axis = ("Sag", "Cor", "Tra")[int(np.argmax(normal))]
    lines = [f"sSliceArray.asSlice[0].sNormal.d{axis} = 1", "sSliceArray.lSize = 5"]
    lines += [f"sSliceArray.ucImageNumb{axis} = 0x1"] if reverse else []
    dataset = mosaic_dataset(
        5, None, orientation, {"NumberOfImagesInMosaic": ["5"]}, protocol(*lines), SpacingBetweenSlices=STEP
    )
    planes = instance_of(dataset, tmp_path / "a.dcm").planes
    step = np.subtract(planes[1].position or (), planes[0].position or ())
    np.testing.assert_allclose(step, (-STEP if reverse else STEP) * normal, atol=1e-9)


def test_step_from_the_protocol(tmp_path: Path) -> None:
    ends = ["sSliceArray.asSlice[0].sPosition.dTra = -7.5", "sSliceArray.asSlice[4].sPosition.dTra = 2.5"]
    series = protocol("sSliceArray.lSize = 5", "sSliceArray.asSlice[0].sNormal.dTra = 1.0", *ends)
    dataset = mosaic_dataset(5, None, AXIAL, {"NumberOfImagesInMosaic": ["5"]}, series, SpacingBetweenSlices=None)
    assert volume_of(instance_of(dataset, tmp_path / "a.dcm")).verdict.spacing == 2.5
    dataset = mosaic_dataset(5, SpacingBetweenSlices=None)  # with a slice thickness, which says nothing of gaps
    assert_undirected(instance_of(dataset, tmp_path / "b.dcm"))


def assert_undirected(instance: Instance, tiles: int = 5) -> None:
    """The tiles are told apart, but have no place."""
    assert instance.mosaic is not None
    layout = volume_of(instance)
    assert (layout.shape, layout.axes, layout.affine) == ((tiles, *TILE), ("frame", "row", "column"), None)
    assert layout.verdict.reason == UNDIRECTED


def private(dataset: Dataset, group: int, creator: str, **elements: tuple[str, Any]) -> Dataset:
    block = dataset.private_block(group, creator, create=True)
    for name, (vr, value) in elements.items():
        block.add_new(int(name[1:], 16), vr, value)
    return dataset


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_number_without_csa_header(tmp_path: Path, keys: Any) -> None:
    dataset = private(mosaic_dataset(5, None), 0x19, "SIEMENS MR HEADER", x0A=("US", 5))
    assert_undirected(instance_of(dataset, tmp_path / "a.dcm", keys=keys))
    dataset = private(mosaic_dataset(5, None), 0x19, "SIEMENS MR HEADER", x29=("FD", [0.0, 10.0, 20.0, 30.0, 40.0]))
    assert_undirected(instance_of(dataset, tmp_path / "b.dcm", keys=keys))


def test_a_normal_that_is_none_of_the_orientation(tmp_path: Path) -> None:
    assert_undirected(instance_of(mosaic_dataset(5, (0.0, 1.0, 0.0)), tmp_path / "a.dcm"))
    assert_undirected(instance_of(mosaic_dataset(5, (0.0, 0.0, 0.0)), tmp_path / "b.dcm"))
    near = mosaic_dataset(5, (0.0, 0.01, -0.99995))
    planes = instance_of(near, tmp_path / "c.dcm").planes
    assert np.subtract(planes[1].position or (), planes[0].position or ()).tolist() == [0, 0, -STEP]


@pytest.mark.parametrize("count", [None, "0", "-5", "17", "1e9", "word", "4.5"])
def test_a_stripped_or_senseless_header_leaves_the_montage(tmp_path: Path, count: str | None) -> None:
    """17 tiles would be 5 across, which do not fit 3 x 3 tiles of 6 x 4."""
    dataset = mosaic_dataset(5, None, entries={"NumberOfImagesInMosaic": [count]} if count else None)
    instance = instance_of(dataset, tmp_path / "a.dcm")
    assert instance.mosaic is None
    assert [plane.position for plane in instance.planes] == [None]
    layout = volume_of(instance)
    assert (layout.shape, layout.affine) == ((1, 3 * TILE[0], 3 * TILE[1]), None)
    assert layout.verdict.reason == MONTAGE


def test_an_object_that_was_taken_apart_is_no_montage(tmp_path: Path) -> None:
    """Siemens XA30 leaves the word in the type of enhanced objects (rordenlab/dcm2niix issue 553)."""
    instance = instance_of(mosaic_dataset(5, NumberOfFrames=2), tmp_path / "a.dcm")
    assert instance.mosaic is None
    assert all(layout.verdict.reason != MONTAGE for layout in layouts_of(instance))


def grid_dataset(tiles: int, positions: int) -> Dataset:
    """A grid of UIH: no empty rows of tiles, and an item for each slice, from head to foot."""
    across = int(np.ceil(np.sqrt(tiles)))
    pixels = montage(tiles)[: -(-tiles // across) * TILE[0]]
    dataset = mosaic_dataset(tiles, None, ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"], Manufacturer="UIH")
    dataset.Rows, dataset.PixelData = pixels.shape[0], pixels.tobytes()
    items = []
    for number in range(positions):
        item = Dataset()
        item.ImagePositionPatient, item.AcquisitionTime = [1.0, 2.0, 50.0 - 4 * number], f"1000{number:02d}.5"
        items.append(item)
    return private(dataset, 0x65, "Image Private Header", x50=("DS", str(tiles)), x51=("SQ", items))


def test_the_grid_of_united_imaging(tmp_path: Path) -> None:
    instance = instance_of(grid_dataset(5, 5), tmp_path / "a.dcm")
    assert instance.mosaic == Mosaic(5, 3, *TILE)
    assert [plane.position for plane in instance.planes] == [(1.0, 2.0, 50.0 - 4 * number) for number in range(5)]
    assert [plane.trait("AcquisitionTime") for plane in instance.planes] == [36000.5 + number for number in range(5)]
    layout = volume_of(instance)
    assert (layout.shape, layout.verdict.spacing) == ((5, *TILE), 4.0)
    np.testing.assert_allclose(np.array(layout.affine)[:3, 3], [1, 2, 34])
    assert_undirected(instance_of(grid_dataset(5, 4), tmp_path / "b.dcm"))


def test_times_of_the_tiles(tmp_path: Path) -> None:
    times = {"MosaicRefAcqTimes": ["0.0", "1000.0", "500.0", "1500.0", "750.0"]}
    instance = instance_of(mosaic_dataset(entries=times, AcquisitionTime="010000.25"), tmp_path / "a.dcm")
    found = [plane.trait("AcquisitionTime") for plane in instance.planes]
    assert found == [3600.25, 3601.25, 3600.75, 3601.75, 3601.0]
    fewer = mosaic_dataset(entries={"MosaicRefAcqTimes": ["0.0", "1.0"]}, AcquisitionTime="010000.25")
    found = [plane.trait("AcquisitionTime") for plane in instance_of(fewer, tmp_path / "b.dcm").planes]
    assert found == [3600.25] * 5


@pytest.mark.parametrize("samples", [1, 3])
def test_tiles_are_cut_from_the_frame(samples: int) -> None:
    whole = montage(5)
    values = whole if samples == 1 else np.stack([whole, whole + 1, whole + 2], axis=-1)
    frame = Frame(0, values, "MONOCHROME2", slope=2.0)
    bare = Instance(file=None, record={})  # type: ignore[arg-type]
    assert list(tiles_of(bare, frame)) == [frame]
    tiles = list(tiles_of(bare._replace(mosaic=Mosaic(5, 3, *TILE)), frame))
    assert [tile.number for tile in tiles] == [0, 1, 2, 3, 4]
    for tile in tiles:
        assert (tile.values.shape[:2], tile.slope) == (TILE, 2.0)
        first = np.atleast_1d(tile.values[0, 0]).tolist()
        last = np.atleast_1d(tile.values[-1, -1]).tolist()
        assert first == [tile.number + sample for sample in range(samples)]
        assert last == [100 + tile.number + sample for sample in range(samples)]


def test_the_engine_writes_volumes_of_tiles_and_a_picture_of_the_montage(tmp_path: Path) -> None:
    """Two mosaics in time, numbered from head to foot."""
    for number in range(2):
        dataset = mosaic_dataset(5, (0, 0, -1), InstanceNumber=number + 1, AcquisitionNumber=number + 1)
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.PixelData = (montage(5) + np.uint16(1000 * number)).astype("<u2").tobytes()
        dataset.save_as(tmp_path / f"{number}.dcm")
    out = tmp_path / "out"
    summary = export(tmp_path, out, image={}, volume={"formats": ["nifti", "hdf5"]})
    assert summary.failed == {}
    (path,) = out.glob("volumes/*.nii.gz")
    image = nibabel.load(path)
    assert image.shape == (TILE[1], TILE[0], 5, 2)
    data = np.asanyarray(image.dataobj)
    for time in range(2):
        for tile in range(5):
            assert (data[..., 4 - tile, time] == 1000 * time + 100 + tile).sum() == TILE[0] * TILE[1] - 1
    assert np.isclose(image.affine[2, 3], CORNER[2] - 4 * STEP)
    assert len(list(out.glob("media/*.png"))) == 2


@pytest.mark.parametrize("name", ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"])
def test_a_real_mosaic_as_nibabel_places_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(gzip.decompress((NICOM / name).read_bytes()))
    instance, dataset = instance_at(path), pydicom.dcmread(path)
    assert instance.mosaic == Mosaic(48, 7, 128, 128)
    theirs = dicomwrappers.MosaicWrapper(
        dataset, csareader.get_csa_header(dataset)
    ).affine  # (column, row, slice) -> LPS
    layout = volume_of(instance)
    ours = np.array(layout.affine)[:, [2, 1, 0, 3]]
    # nibabel's first two columns are row, column; both name the same voxels.
    np.testing.assert_allclose(ours[:, [1, 0, 2, 3]], theirs, atol=1e-4)
    assert layout.shape == (48, 128, 128)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE])
@pytest.mark.parametrize("sign", [1, -1])
def test_dcm2niix_finds_every_tile_at_the_same_place(tmp_path: Path, orientation: tuple[float, ...], sign: int) -> None:
    tool = pytest.importorskip("dcm2niix", reason="pip install dcm2niix").bin
    normal = sign * np.cross(orientation[:3], orientation[3:])
    numbers = {"ProtocolSliceNumber": ["0" if normal[np.argmax(np.abs(normal))] > 0 else "4"]}
    dataset = mosaic_dataset(5, normal.tolist(), orientation, numbers, RepetitionTime=2000, SeriesDescription="epi")
    instance = instance_of(dataset, tmp_path / "in" / "a.dcm")
    command = [tool, "-b", "n", "-z", "n", "-f", "x", "-o", str(tmp_path), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True)
    theirs = nibabel.load(tmp_path / "x.nii")
    data = np.asanyarray(theirs.dataobj)
    layout = volume_of(instance)
    for place in layout.placement:
        (voxel,) = np.argwhere(data == place.frame)  # the tile's first pixel
        ours = np.array(layout.affine) @ [place.index[0], 0, 0, 1]
        np.testing.assert_allclose(theirs.affine @ [*voxel, 1], ours * (-1, -1, 1, 1), atol=1e-3)


@pytest.mark.skipif(not (DATA / "in" / "dcm_qa_nih").exists(), reason="no shared data")
@pytest.mark.parametrize(("folder", "reference"), [("3", "AP_3"), ("4", "PA_4"), ("5", "RL_5"), ("6", "LR_6")])
def test_real_mosaics_as_dcm2niix_places_them(folder: str, reference: str) -> None:
    paths = sorted((DATA / "in" / "dcm_qa_nih" / "20180918Si" / f"mr_000{folder}").glob("*.dcm"))
    instances = [instance_at(path) for path in paths]
    (layout,) = layouts_of(*instances)
    theirs = nibabel.load(DATA / "ref" / "dcm_qa_nih" / f"EPI_PE={reference}.nii")
    assert layout.axes == ("time", "slice", "row", "column")
    assert layout.shape == theirs.shape[::-1]
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.array(layout.affine)[:, [2, 1, 0, 3]]
    flip = np.eye(4)
    flip[1, 1], flip[1, 3] = -1, theirs.shape[1] - 1  # dcm2niix writes rows from the bottom
    np.testing.assert_allclose(to_ras @ flip, theirs.affine, atol=1e-3)
    row = scan_verdict([layout], Scan("s", "1", tuple(instances)))
    assert (row["rows"], row["columns"], row["n_planes"], row["regular_volume"]) == (72, 72, 10, True)

"""The sample tree that users see first, and the files that the other tests are built from."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID
from support import factories

from crawler.cli.main import main
from crawler.errors import FileError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.pixels.frames import frames
from crawler.sample import planar, write_sample
from crawler.sample.damage import BROKEN

COMMITTED = Path(__file__).parents[2] / "dicom_data"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    written = write_sample(folder, broken=True)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(set(written)) == len(written)
    return folder


def good(tree: Path) -> list[Path]:
    """Every sample that is meant to decode."""
    files = (path for path in tree.rglob("*") if path.is_file())
    return sorted(path for path in files if path.name != "notes.txt" and path.parent.name != "broken")


def contents(tree: Path) -> dict[str, bytes]:
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_second_write_equals_the_first(tree: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, broken=True)
    assert contents(tmp_path) == contents(tree)


def test_committed_tree_is_this_sample_without_broken(tree: Path) -> None:
    names = {name for name in contents(tree) if not name.startswith("broken/")}
    assert set(contents(COMMITTED)) == names


def test_committed_headers_are_those_written_now(tree: Path) -> None:
    # Only headers: streams and the last bit of drawn pixels may differ between versions of libraries.
    for path in good(tree):
        ours, committed = (
            pydicom.dcmread(p, stop_before_pixels=True) for p in (path, COMMITTED / path.relative_to(tree))
        )
        for dataset in (ours, committed):
            dataset.pop("LossyImageCompressionRatio", None)  # depends on the stream's length
        assert committed == ours, path.name
        assert committed.file_meta == ours.file_meta, path.name


def test_size_without_broken_is_1_to_2_megabytes(tree: Path) -> None:
    size = sum(len(data) for name, data in contents(tree).items() if not name.startswith("broken/"))
    assert 1_000_000 < size < 2_000_000


def test_every_sample_is_read_and_decodes(tree: Path) -> None:
    uids = []
    for path in good(tree):
        dataset = pydicom.dcmread(path)
        shape = [dataset.Rows, dataset.Columns]
        if "NumberOfFrames" in dataset:
            shape.insert(0, dataset.NumberOfFrames)
        if dataset.SamplesPerPixel == 3:
            shape.append(3)
        pixels = dataset.pixel_array
        assert list(pixels.shape) == shape, path.name
        assert pixels.max() < 2**dataset.BitsStored
        assert pixels.std() > 10, f"{path.name} shows nothing"
        assert (dataset.PatientName, dataset.PatientID) == ("Phantom^Sample", "SAMPLE")
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            assert dataset[keyword].value.is_valid
            assert dataset[keyword].value.startswith("2.25.")
        assert UID(dataset.SOPClassUID).type == "SOP Class"
        uids.append(dataset.SOPInstanceUID)
    assert len(set(uids)) == len(uids) == 50


def test_samples_differ_in_what_an_exporter_must_handle(tree: Path) -> None:
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in good(tree)]
    assert {d.Modality for d in datasets} == {"CT", "MR", "US", "XA", "DX", "MG", "OT"}
    assert {d.PhotometricInterpretation for d in datasets} == {
        "MONOCHROME1",
        "MONOCHROME2",
        "PALETTE COLOR",
        "RGB",
        "YBR_FULL_422",
    }
    assert {d.file_meta.TransferSyntaxUID.name for d in datasets} == {
        "Explicit VR Little Endian",
        "Implicit VR Little Endian",
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG Baseline (Process 1)",
        "RLE Lossless",
    }
    ultrasound = next(d for d in datasets if d.Modality == "US")
    assert ultrasound.Rows % 2 == 1
    assert {path.suffix for path in good(tree)} == {"", ".dcm"}


def test_ct_is_a_head_in_hounsfield_units_and_names_are_out_of_order(tree: Path) -> None:
    datasets = [pydicom.dcmread(path) for path in sorted((tree / "ct_head").iterdir())]
    heights = [float(d.ImagePositionPatient[2]) for d in datasets]
    assert heights != sorted(heights)
    np.testing.assert_allclose(np.diff(sorted(heights)), 6.0)
    middle = min(datasets, key=lambda d: abs(d.ImagePositionPatient[2] - 39))
    values = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
    assert values[0, 0] == -1000
    assert values.max() > 900
    assert 20 < np.median(values[50:150, 70:120]) < 40  # brain


def test_mr_holds_two_echoes_of_each_plane_in_one_series(tree: Path) -> None:
    datasets = [pydicom.dcmread(path) for path in sorted((tree / "mr_spine").iterdir())]
    assert len({d.SeriesInstanceUID for d in datasets}) == 1
    assert Counter(float(d.EchoTime) for d in datasets) == {12.0: 10, 96.0: 10}
    assert set(Counter(tuple(d.ImagePositionPatient) for d in datasets).values()) == {2}
    cosines = np.array(datasets[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    depths = sorted({round(float(normal @ np.array(d.ImagePositionPatient, dtype=float)), 4) for d in datasets})
    np.testing.assert_allclose(np.diff(depths), 4.5, atol=1e-3)  # 1e-4 from rounding above
    first, second = (np.mean([d.pixel_array for d in datasets if d.EchoTime == time]) for time in (12, 96))
    assert second < 0.7 * first


def test_cines_move_and_jpeg_2000_is_lossless(tree: Path) -> None:
    for name in ("us_heart/four_chambers.dcm", "xa_coronary/run1.dcm"):
        cine = pydicom.dcmread(tree / name).pixel_array.astype(float)
        change = np.abs(np.diff(cine, axis=0)).mean(axis=tuple(range(1, cine.ndim)))
        assert change.min() > 0
        assert change.mean() > 0.5  # grey levels
    drawn = np.rint(planar.angiogram() * 255)
    np.testing.assert_array_equal(cine, drawn)


def test_chest_is_dark_where_values_are_high(tree: Path) -> None:
    stored = pydicom.dcmread(tree / "dx_chest" / "chest_pa").pixel_array
    assert stored[5, 5] > 4000  # air beside the neck
    assert stored[200, 152] < 1000  # spine


def test_broken_files_are_those_of_the_table(tree: Path) -> None:
    assert {path.name for path in (tree / "broken").iterdir()} == set(BROKEN)
    assert Counter(BROKEN.values()) == {"header": 2, "pixels": 5}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_fails_at_its_stage(tree: Path, name: str) -> None:
    size = (tree / "broken" / name).stat().st_size
    file = File(str(tree), f"broken/{name}", size, 0)
    reached = "header"
    with pytest.raises(FileError) as caught:  # noqa: PT012 - where it fails is what is asked
        instance = read_instance(file)
        reached = "pixels"
        list(frames(instance))
    assert reached == caught.value.stage == BROKEN[name]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_has_no_pixels_for_pydicom_either(tree: Path, name: str) -> None:
    with pytest.warns() if name == "noise_after_prefix.dcm" else nullcontext():
        dataset = pydicom.dcmread(tree / "broken" / name)
    with pytest.raises((AttributeError, ValueError, RuntimeError, NotImplementedError)):
        _ = dataset.pixel_array
    assert ("Rows" in dataset) == (BROKEN[name] == "pixels" and name != "no_rows.dcm")


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
def test_ct_series_lies_where_it_says(tmp_path: Path, orientation: str) -> None:
    paths = factories.ct_series(tmp_path, 6, orientation, shuffle=True, spacing=3.0, gap=4, tilt=20.0)
    datasets = [pydicom.dcmread(path) for path in paths]
    assert [int(d.pixel_array[0, 0]) for d in datasets] == list(range(6))
    assert paths != sorted(paths)
    cosines = np.array(datasets[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    depths = [float(normal @ np.array(d.ImagePositionPatient, dtype=float)) for d in datasets]
    step = 3.0 * np.cos(np.radians(20.0))
    np.testing.assert_allclose(np.diff(depths), [step, step, step, 2 * step, step], atol=1e-5)


def test_quick_dataset_takes_away_and_keeps_bad_values(tmp_path: Path) -> None:
    dataset = factories.quick_dataset(Rows=None, InstanceNumber="abc", TransferSyntaxUID="1.2.840.10008.1.2")
    path = factories.save(dataset, tmp_path / "deep" / "file")
    read = pydicom.dcmread(path)
    assert "Rows" not in read
    assert read.get_item("InstanceNumber").value == b"abc "
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    with pytest.raises(ValueError, match="not a DICOM keyword"):
        factories.quick_dataset(Colums=3)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8"])
def test_multiframe_counts_its_frames(tmp_path: Path, dtype: str) -> None:
    path = factories.multiframe(tmp_path / "many", 131, 5, 7, np.dtype(dtype))
    pixels = pydicom.dcmread(path).pixel_array
    assert pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(pixels[:, 0, 0], np.arange(131) % 128)
    np.testing.assert_array_equal(pixels[130, 0], np.arange(2, 9))


def test_multiframe_refuses_what_a_length_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32-bit length"):
        factories.multiframe(tmp_path / "many", 2**16, 256, 256, np.uint8)


def test_tiny_files_are_valid_and_apart(tmp_path: Path) -> None:
    places = [(0, 0), (33_333, 0), (33_333, 33_333), (999_999, 999_999)]
    datasets = [pydicom.dcmread(factories.tiny(tmp_path / f"{i}-{s}", i, s)) for i, s in places]
    assert (
        len({d.SOPInstanceUID for d in datasets})
        == len({d.file_meta.MediaStorageSOPInstanceUID for d in datasets})
        == 4
    )
    assert len({d.SeriesInstanceUID for d in datasets}) == 3
    for dataset, (i, _) in zip(datasets, places, strict=True):
        assert dataset.InstanceNumber == i
        assert dataset.ImagePositionPatient[2] == i
        assert (dataset.pixel_array == i % 65536).all()


def test_three_single_files(tmp_path: Path) -> None:
    assert main(["sample", str(tmp_path / "in"), "--single", "-q"]) == 0
    read = {path.name: pydicom.dcmread(path) for path in (tmp_path / "in").iterdir()}
    assert read.keys() == {"SAMPLE_CT.dcm", "SAMPLE_MR.dcm", "SAMPLE_CINE.dcm"}
    assert [read[f"SAMPLE_{name}.dcm"].Modality for name in ("CT", "MR", "CINE")] == ["CT", "MR", "XA"]
    assert read["SAMPLE_CINE.dcm"].NumberOfFrames > 1

"""What the sinks wrote comes back the same from every format: voxels, and where each lies in the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import ct_series, multiframe, quick_dataset, save
from support.runs import export

import crawler
from crawler.sinks.reading import read_volume
from crawler.sources.volume import Volume

FORMATS = ["hdf5", "nifti", "npz", "metaimage", "mhd", "mat"]


def volumes(out: Path) -> dict[str, Volume]:
    """By extension; all are of one layout."""
    endings = (".h5", ".nii.gz", ".nii", ".npz", ".mha", ".mhd", ".mat")
    found = [path for path in (out / "volumes").rglob("*") if path.name.endswith(endings)]
    return {path.name.partition(".")[2]: read_volume(str(path)) for path in found}


def voxels(volume: Volume) -> dict[tuple[float, ...], float]:
    """Value by place in the patient, mm: the same however axes are exchanged and flipped."""
    assert volume.affine is not None
    indices = np.indices(volume.array.shape).reshape(3, -1)
    places = (volume.affine @ np.vstack([indices, np.ones(indices.shape[1])]))[:3].T.round(3) + 0.0
    return dict(zip(map(tuple, places.tolist()), volume.array.ravel().tolist(), strict=True))


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
@pytest.mark.parametrize("plain", [False, True])
def test_every_format_says_the_same(tmp_path: Path, orientation: str, plain: bool) -> None:
    ct_series(tmp_path / "in", 4, orientation=orientation)
    formats = [name if name != "nifti" or not plain else "nii" for name in FORMATS]
    export(tmp_path / "in", tmp_path / "out", volume={"formats": formats})
    found = volumes(tmp_path / "out")
    assert len(found) == len(FORMATS)
    expected = voxels(found["h5"])
    assert found["h5"].array.shape == (4, 16, 12)
    for name, volume in found.items():
        assert voxels(volume) == expected, name
        if name != "npz":
            assert volume.axes == ("slice", "row", "column")
            np.testing.assert_array_equal(volume.array, found["h5"].array)
    assert found["h5"].metadata["Modality"] == "CT"
    assert found["nii" if plain else "nii.gz"].metadata["Modality"] == "CT"


def test_without_geometry_rows_come_from_the_top(tmp_path: Path) -> None:
    picture = np.arange(48, dtype=np.uint16).reshape(8, 6)
    save(quick_dataset(picture, Modality="OT", ImagePositionPatient=None, ImageOrientationPatient=None,
                       PixelSpacing=None), tmp_path / "in" / "a.dcm")  # fmt: skip
    export(tmp_path / "in", tmp_path / "out", volume={"formats": FORMATS})
    for name, volume in volumes(tmp_path / "out").items():
        assert volume.affine is None, name
        np.testing.assert_array_equal(volume.array.squeeze(), picture, err_msg=name)


def test_colour_and_frames(tmp_path: Path) -> None:
    multiframe(tmp_path / "in" / "a.dcm", 3, 8, 6, np.uint8, samples=3)
    export(tmp_path / "in", tmp_path / "out", volume={"formats": ["hdf5", "nifti", "npz", "metaimage", "mat"]})
    found = volumes(tmp_path / "out")
    assert found["h5"].axes[-1] == "sample"
    for name, volume in found.items():
        np.testing.assert_array_equal(volume.array.squeeze(), found["h5"].array.squeeze(), err_msg=name)
        assert len(volume.axes) == volume.array.ndim, name


@pytest.mark.parametrize("name", ["a.h5", "a.nii.gz", "a.nii", "a.npz", "a.mha", "a.mhd", "a.mat", "a.txt"])
@pytest.mark.parametrize("content", [None, b"", b"no volume", b"ElementDataFile = LOCAL\n"])
def test_what_is_no_volume_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(crawler.SourceError, match=r"a\..*(does not exist|cannot be read|expected a volume)"):
        read_volume(str(tmp_path / name))


def test_folders_of_dicom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ct_series(tmp_path / "in" / "a", 3, uid="1.2.3")
    one = crawler.load_volume(tmp_path / "in")
    assert (one.array.shape, one.metadata["SeriesInstanceUID"]) == ((3, 16, 12), "1.2.3")
    ct_series(tmp_path / "in" / "b", 2, uid="1.2.4")
    with pytest.raises(crawler.SourceError, match="more than one volume"):
        crawler.load_volume(tmp_path / "in")
    found: dict[str, Any] = {v.metadata["SeriesInstanceUID"]: v.array.shape for v in crawler.iter_series(tmp_path)}
    assert found == {"1.2.3": (3, 16, 12), "1.2.4": (2, 16, 12)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(crawler.SourceError, match="no volume"):
        crawler.load_volume(tmp_path / "empty")
    with pytest.raises(crawler.SourceError, match="does not exist"):
        crawler.load_volume(tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in"]

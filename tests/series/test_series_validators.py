"""What is written, before David Clunie's validator and a real PACS: no error, and the same voxels back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage
from support.factories import ct_series
from support.mr import mr_series
from support.pacs_servers import orthanc

from crawler import Series
from crawler.series.axis import Axis

pytestmark = pytest.mark.system

TYPE_1 = {
    "Manufacturer": "dme",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyDate": "20200101",
    "StudyTime": "100000",
    "StudyID": "1",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "SeriesDate": "20200101",
    "SeriesTime": "100000",
    "AcquisitionDate": "20200101",
}


def faults(folder: Path) -> list[str]:
    """Errors of dciodvfy in each file, and of dcentvfy over all."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (apt-get install dicom3tools)")
    paths = sorted(folder.rglob("*.dcm"))
    assert paths
    commands = [["dciodvfy", str(path)] for path in paths] + [["dcentvfy", *map(str, paths)]]
    found: dict[str, None] = {}
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            if line.startswith("Error"):
                found[line] = None
    return list(found)


def pet(folder: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        dataset.Modality = "PT"
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.5, 0
        dataset.Units, dataset.CountsSource, dataset.SeriesType = "BQML", "EMISSION", ["STATIC", "IMAGE"]
        dataset.NumberOfSlices, dataset.CorrectedImage, dataset.DecayCorrection = 3, ["DECY", "ATTN"], "START"
        dataset.CollimatorType, dataset.FrameReferenceTime = "NONE", 0
        dataset.ActualFrameDuration, dataset.ImageIndex = 1000, dataset.InstanceNumber
        dataset.AcquisitionTime = "100000"
        dataset.DecayFactor = 1.0
        nuclide, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
        nuclide.RadionuclideCodeSequence = [code]
        dataset.RadiopharmaceuticalInformationSequence = [nuclide]
        dataset.PatientOrientationCodeSequence, dataset.PatientGantryRelationshipCodeSequence = [], []
        for keyword in ("EchoTime", "ScanningSequence", "SequenceVariant"):
            delattr(dataset, keyword)

    mr_series(folder, times=1, slices=3, change=change, **TYPE_1)


def mr(folder: Path) -> None:
    mr_series(folder, times=2, slices=3, **TYPE_1)


def ct(folder: Path) -> None:
    ct_series(folder, n=4, orientation="oblique", **TYPE_1)


def nd(series: Any) -> Any:
    values = np.arange(2 * 3 * series[0].size, dtype=np.uint16).reshape(2, 3, *series[0].shape)
    made = Series(values, ["te", "b"], template=series, geometry=series[0])
    made.axes = [Axis("te", [10.0, 20.0], "ms"), Axis("b", [0, 400, 800], "s/mm2"), *made.axes[2:]]
    return made


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Any], Any]]] = {
    "MR": (mr, lambda a: a),
    "CT": (ct, lambda a: a),
    "PET": (pet, lambda a: a),
    "crop": (mr, lambda a: a[0, :, 2:, 1:]),
    "flip": (ct, lambda a: a[::-1, :, ::-1]),
    "step": (ct, lambda a: a[:, ::2, ::2]),
    "float map": (mr, lambda a: np.mean(a, axis=0) * 0.37),
    "float CT": (ct, lambda a: a * 0.37),
    "float PET": (pet, lambda a: a * 0.37 - 5),
    "N-D": (mr, nd),
    "uneven": (ct, lambda a: a[[0, 1, 3], ::-1, 2:]),
    "anonymous": (mr, lambda a: a.anonymize()),
    "anonymous, dates moved": (mr, lambda a: a.anonymize(dates="shift")),
    "RGB": (mr, lambda a: a[0].to_rgb()),
    "array": (mr, lambda a: Series(np.arange(60, dtype=np.uint16).reshape(3, 4, 5))),
    "mask": (mr, lambda a: a[0] > 100),
    "enhanced MR": (lambda folder: None, lambda a: a),
}


@pytest.mark.parametrize("name", [name for name in CASES if name != "enhanced MR"])
def test_dciodvfy_finds_no_error(tmp_path: Path, name: str) -> None:
    source, change = CASES[name]
    source(tmp_path / "in")
    change(Series(tmp_path / "in")).write(tmp_path / "out")
    assert faults(tmp_path / "out") == []


@pytest.mark.parametrize("source", [mr, ct, pet])
def test_copies_that_keep_their_uids_are_as_good_as_their_files(tmp_path: Path, source: Callable[[Path], None]) -> None:
    source(tmp_path / "in")
    before = faults(tmp_path / "in")
    Series(tmp_path / "in").write(tmp_path / "out", keep_uid=True)
    assert set(faults(tmp_path / "out")) <= set(before)


def test_enhanced_objects_become_classic_ones(tmp_path: Path, shared_data: Path) -> None:
    for number, series in enumerate(Series.read_all(shared_data / "in" / "dcm_qa_enh")[:4]):
        folder = tmp_path / str(number)
        series[..., :2, :, :].write(folder)
        assert faults(folder) == []
        assert Series(folder).affine == pytest.approx(series.affine)


def test_orthanc_takes_it_and_gives_it_back(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=2, slices=3, **TYPE_1)
    a = Series(tmp_path / "in", "time")
    b = a * 2
    b.seriesNumber, b.seriesDescription = 1004, "Processed data"
    with orthanc(tmp_path / "pacs") as server:
        address = f"dicom://{server.host}:{server.port}/{server.called_aet}"
        report = b.write(f" {address}")
        assert len(report.files) == 6
        c = Series(f"{address}/{a.studyInstanceUID}", "time")
    assert np.array_equal(c, b)
    assert c.affine == pytest.approx(a.affine)
    assert (c.seriesNumber, c.seriesDescription) == (1004, "Processed data")

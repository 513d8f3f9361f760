"""DICOM written back: nothing of the planted file, pixels and references as before, and what it says of itself."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless
from support.factories import ct_series, make_uid, quick_dataset, save
from support.planter import plant, plant_others
from support.runs import config, rows

from crawler.cli.main import main
from crawler.disk import fingerprint
from crawler.engine.run import run
from crawler.privacy import dicom_files
from crawler.privacy.keys import make_key
from crawler.privacy.search import Needles

STORAGE = "1.2.840.10008.5.1.4.1.1."


def job(folder: Path, source: Path, **privacy: Any) -> str:
    """A configuration, and its key."""
    if not (folder / "key").exists():
        make_key(str(folder / "key"))
    section = {"private": str(folder / "private"), "key": {"file": str(folder / "key")}, **privacy}
    document = {"dicom": {"dir": str(source)}, "output": {"dir": str(folder / "out")}, "metadata": {}}
    path = folder / "job.yml"
    path.write_text(json.dumps({**document, "num_workers": 0, "privacy": section}))
    return str(path)


def written(folder: Path) -> dict[str, FileDataset]:
    """By SOP Instance UID."""
    found = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
    return {str(one.SOPInstanceUID): one for one in found}


@pytest.mark.parametrize("profile", ["basic", "research", "public"])
def test_nothing_that_was_planted_is_written_back(
    profile: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    markers = {**plant(tmp_path / "in", 1), **plant_others(tmp_path / "in" / "others")}
    main(
        [
            "privacy",
            "dicom",
            job(tmp_path, tmp_path / "in", profile=profile, structured="clean"),
            str(tmp_path / "dicom"),
        ]
    )
    said = "".join(capfd.readouterr())
    needles = Needles(markers)
    found = {needles.texts[number]: "said" for number in needles.found_in(said.encode())}
    for path in (tmp_path / "dicom").rglob("*"):
        data = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        found.update({needles.texts[number]: path.name for number in needles.found_in(data)})
    assert found == {}
    images = [one for one in written(tmp_path / "dicom").values() if "PixelData" in one]
    assert len(images) > 10
    assert images[0].pixel_array.any()
    assert "encapsulated document" in said
    for one in images:
        assert one.preamble == b"\0" * 128
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID


def test_it_says_how_it_was_made(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 2, PatientAge="093Y", StudyDate="20200110", BurnedInAnnotation="NO")
    assert main(["privacy", "dicom", job(tmp_path, tmp_path / "in"), str(tmp_path / "dicom")]) == 0
    for one in written(tmp_path / "dicom").values():
        assert one.PatientIdentityRemoved == "YES"
        assert one.DeidentificationMethod.startswith("dme, PS3.15 ")
        codes = [item.CodeValue for item in one.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113108", "113107", "113105", "113111"]
        assert one.LongitudinalTemporalInformationModified == "MODIFIED"
        assert one.PatientAge == "090Y"
        assert one.PatientName == one.PatientID


def test_pixels_are_those_of_the_original_and_rows_name_the_same(tmp_path: Path) -> None:
    """Compressed or not, signed or not, with bits of an overlay above those stored."""
    generator = np.random.default_rng(0)
    values = generator.integers(-900, 900, (16, 12)).astype(np.int16)
    originals = {}
    for number, syntax in enumerate((None, RLELossless)):
        one = quick_dataset(values, Modality="CT", PatientID=f"A{number}")
        path = save(one, tmp_path / "in" / f"{number}.dcm")
        if syntax:
            one = dcmread(path)
            one.compress(syntax)
            one.save_as(path)
    twelve = quick_dataset((values.view(np.uint16) | 0xF000), Modality="CT", PatientID="A2")
    twelve.BitsStored, twelve.HighBit, twelve.PixelRepresentation = 12, 11, 0
    save(twelve, tmp_path / "in" / "2.dcm")
    for path in (tmp_path / "in").iterdir():
        original = dcmread(path)
        originals[path.name] = original.pixel_array & 0x0FFF if path.name == "2.dcm" else original.pixel_array
    given = job(tmp_path, tmp_path / "in")
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    found = written(tmp_path / "dicom")
    assert sorted(one.pixel_array.tobytes() for one in found.values()) == sorted(
        value.astype(value.dtype.newbyteorder("<")).tobytes() for value in originals.values()
    )
    assert all(one.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1" for one in found.values())
    assert main([given, "-q"]) == 0
    told = rows(tmp_path / "out").values()
    assert {row["SOPInstanceUID"] for row in told} == found.keys()
    assert {row["dicom_file"] for row in told} == {
        path.relative_to(tmp_path / "dicom").as_posix() for path in (tmp_path / "dicom").rglob("*.dcm")
    }


def test_what_one_file_of_a_series_says_is_searched_in_all(tmp_path: Path) -> None:
    _, second = ct_series(tmp_path / "in", 2, SeriesDescription="for Vogelsang axial")
    dataset = dcmread(second)
    dataset.ReferringPhysicianName = "Vogelsang^Ada"
    dataset.save_as(second)
    assert main(["privacy", "dicom", job(tmp_path, tmp_path / "in"), str(tmp_path / "dicom")]) == 0
    assert {one.SeriesDescription for one in written(tmp_path / "dicom").values()} == {"for [removed] axial"}


def test_references_resolve(tmp_path: Path) -> None:
    """Of a presentation state, a segmentation, a structure set and a report, at the depths where they have them."""
    first, second = ct_series(tmp_path / "in" / "ct", 2, StudyInstanceUID=make_uid("study"))
    image = dcmread(first)

    def reference() -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        return item

    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference()]
    state = quick_dataset(Modality="PR", SOPClassUID=f"{STORAGE}11.1")
    state.ReferencedSeriesSequence = [series]
    segmentation = quick_dataset(Modality="SEG", SOPClassUID=f"{STORAGE}66.4")
    derivation = Dataset()
    derivation.SourceImageSequence = [reference()]
    frame = Dataset()
    frame.DerivationImageSequence = [derivation]
    segmentation.PerFrameFunctionalGroupsSequence = [frame]
    structures = quick_dataset(Modality="RTSTRUCT", SOPClassUID=f"{STORAGE}481.3")
    contour = Dataset()
    contour.ContourImageSequence, contour.ContourGeometricType = [reference()], "POINT"
    contour.NumberOfContourPoints, contour.ContourData = 1, ["1.25", "-2.5", "3"]
    region = Dataset()
    region.ContourSequence, region.ReferencedROINumber = [contour], 1
    structures.ROIContourSequence = [region]
    report = quick_dataset(Modality="SR", SOPClassUID=f"{STORAGE}88.11")
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = image.StudyInstanceUID, [series]
    report.CurrentRequestedProcedureEvidenceSequence = [study]
    for number, one in enumerate((state, segmentation, structures, report)):
        save(one, tmp_path / "in" / f"{number}.dcm")
    assert main(["privacy", "dicom", job(tmp_path, tmp_path / "in"), str(tmp_path / "dicom")]) == 0
    found = written(tmp_path / "dicom")
    by_modality = {str(one.Modality): one for one in found.values()}
    named = [
        by_modality["PR"].ReferencedSeriesSequence[0].ReferencedImageSequence[0],
        by_modality["SEG"].PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0],
        by_modality["RTSTRUCT"].ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0],
        by_modality["SR"].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        .ReferencedImageSequence[0],
    ]  # fmt: skip
    targets = {str(item.ReferencedSOPInstanceUID) for item in named}
    assert len(targets) == 1
    target = found[targets.pop()]
    assert target.Modality == "CT"
    assert np.array_equal(target.pixel_array, image.pixel_array)
    assert by_modality["PR"].ReferencedSeriesSequence[0].SeriesInstanceUID == target.SeriesInstanceUID
    assert by_modality["SR"].CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID == target.StudyInstanceUID
    assert by_modality["RTSTRUCT"].ROIContourSequence[0].ContourSequence[0].ContourData == [1.25, -2.5, 3]
    assert second.exists()


def test_a_file_that_is_gone_is_taken_back_and_folders_of_others_stay(tmp_path: Path) -> None:
    first, _ = ct_series(tmp_path / "in", 2)
    given = job(tmp_path, tmp_path / "in")
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "dicom").rglob("*.dcm")}
    first.unlink()
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "dicom").rglob("*.dcm")}
    assert len(before) == 2
    assert after.items() < before.items()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    assert main(["privacy", "dicom", given, str(tmp_path / "mine")]) == 1
    assert main(["privacy", "dicom", given, str(tmp_path / "in" / "x")]) == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.txt"]
    given = job(tmp_path, tmp_path / "in", text="drop")
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 1


def test_decay_and_intervals_are_as_before(tmp_path: Path) -> None:
    """PET: from injection to series, at whatever date; studies of a patient as far apart as they were."""
    for number, day in enumerate(("20200110", "20200302")):
        one = quick_dataset(Modality="PT", PatientID="A", StudyDate=day, SeriesDate=day, SeriesTime="101500")
        one.AcquisitionDate, one.AcquisitionTime, one.StudyInstanceUID = day, "101500", make_uid(number)
        item = Dataset()
        item.RadiopharmaceuticalStartDateTime = f"{day}091500.000000"
        item.RadiopharmaceuticalStartTime, item.RadionuclideHalfLife = "091500", 6586.2
        item.RadionuclideTotalDose, one.DecayCorrection = 3.5e8, "START"
        one.RadiopharmaceuticalInformationSequence = [item]
        save(one, tmp_path / "in" / f"{number}.dcm")
    given = job(tmp_path, tmp_path / "in")
    main(["privacy", "dicom", given, str(tmp_path / "dicom")])
    run(config(tmp_path / "in", tmp_path / "rows", metadata={}, privacy=json.loads(Path(given).read_text())["privacy"]))
    days = []
    for one in written(tmp_path / "dicom").values():
        item = one.RadiopharmaceuticalInformationSequence[0]
        assert str(item.RadiopharmaceuticalStartDateTime)[:8] == one.SeriesDate == one.AcquisitionDate
        assert (item.RadiopharmaceuticalStartTime, one.SeriesTime) == ("091500", "101500")
        assert (float(item.RadionuclideHalfLife), float(item.RadionuclideTotalDose)) == (6586.2, 3.5e8)
        days.append(np.datetime64(re.sub(r"(\d{4})(\d\d)(\d\d)", r"\1-\2-\3", str(one.StudyDate))))
    assert abs(days[0] - days[1]) == np.timedelta64(52, "D")
    assert {row["StudyDate"] for row in rows(tmp_path / "rows").values()} == {str(day).replace("-", "") for day in days}


def table_of(folder: Path) -> list[dict[str, str]]:
    """What the private table of the command says."""
    (path,) = (folder / "private").glob("privacy_dicom-*.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_was_changed_is_neither_deleted_nor_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ct_series(tmp_path / "in", 2)
    given = job(tmp_path, tmp_path / "in")
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    for row in table_of(tmp_path):
        path = tmp_path / "dicom" / row["written"]
        assert (int(row["size"]), row["checksum"]) == fingerprint(str(path))
    places = {Path(row["file"]).name: tmp_path / "dicom" / row["written"] for row in table_of(tmp_path)}
    of_first, of_second = places[first.name], places[second.name]
    data = of_first.read_bytes()
    of_first.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # as long as it was
    edited = of_first.read_bytes()
    first.unlink()
    capsys.readouterr()
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 3
    assert "1  failed: written earlier and not now, and changed meanwhile: it stays" in capsys.readouterr().out
    assert of_first.read_bytes() == edited
    whole = of_second.read_bytes()
    of_second.write_bytes(whole + b"mine")
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 3
    assert "1  failed: its name is taken" in capsys.readouterr().out
    assert of_second.read_bytes() == whole + b"mine"
    of_second.write_bytes(whole)
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    assert not (tmp_path / "dicom" / ".dme-tmp").exists()


def test_a_run_that_was_killed_knows_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two files the second ends the command; both originals change, and are written again in place of the first."""
    paths = ct_series(tmp_path / "in", 2)
    given = job(tmp_path, tmp_path / "in")
    saved: list[str] = []

    def dies(dataset: FileDataset, path: str) -> None:
        if saved:
            raise KeyboardInterrupt
        saved.append(path)
        dicom_files.save(dataset, path)

    with monkeypatch.context() as patch:
        patch.setattr("crawler.cli.privacy_dicom.save", dies)
        assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 130
    assert len(written(tmp_path / "dicom")) == 1
    for path in paths:
        dataset = dcmread(path)
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
        dataset.save_as(path)
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    assert {one.Rows for one in written(tmp_path / "dicom").values()} == {dcmread(paths[0]).Rows}
    for path in paths:
        path.unlink()
    ct_series(tmp_path / "in" / "other", 1)
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    assert len(written(tmp_path / "dicom")) == 1

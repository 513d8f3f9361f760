"""`run_crawler.py`: the earlier crawler's flags, files, names and rules, with its defects mended."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from support.factories import ct_series, multiframe, quick_dataset, save, slice_pixels
from support.pages import page

from crawler.cli.main import run_crawler as main
from crawler.cli.run_crawler import build_parser
from crawler.compat.folders import parse_folders
from crawler.errors import PixelError

ROOT = Path(__file__).parents[2]
MODES = ("--write_pixeldata", "True", "--eval_3d_scans", "True")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def crawl(*folders: str, flags: tuple[str, ...] = MODES, n_procs: int = 0, code: int = 0) -> None:
    assert main(["--dicom_folders", str(list(folders)), "--n_procs", str(n_procs), "-q", *flags]) == code


def table(path: str) -> dict[str, dict[str, str]]:
    """Rows of a CSV file by Scan ID; fails on a repeated one."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {row["Scan ID"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def shapes(path: str = "pixel_data.h5") -> dict[str, tuple[int, ...]]:
    with h5py.File(path) as file:
        return {name: dataset.shape for name, dataset in file.items()}


def state(path: str) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_ino, info.st_mtime_ns


def truncate(path: Path) -> None:
    """Take away half of the pixel data (the default image has 384 bytes of them)."""
    path.write_bytes(path.read_bytes()[:-200])


# -- the examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_examples_run_as_printed(here: Path, number: int) -> None:
    first = ct_series(here / "storage" / "dicom_folder1", n=3, uid="1.2.1")
    ct_series(here / "storage" / "dicom_folder2", n=2, uid="1.2.2")
    commands = re.findall(r"^ +python (run_crawler\.py .*)", build_parser().format_help(), re.MULTILINE)
    assert len(commands) == 3
    script, *arguments = shlex.split(commands[number - 1])
    done = subprocess.run([sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = table(f"metadata_example{number}.csv")
    assert not Path(f"unreadable_files_example{number}.csv").exists()
    if number == 3:
        expected = {"storage_dicom_folder1_1.2.1": (1, 16, 12, 3), "storage_dicom_folder2_1.2.2": (1, 16, 12, 2)}
        assert shapes("pixel_data_example3.h5") == expected
        assert {name: row["No. DICOMs in scan"] for name, row in rows.items()} == dict(zip(expected, "32", strict=True))
        assert rows.keys() == expected.keys()
        return
    assert len(rows) == 5
    uids = [
        row["SOP Instance UID (0008, 0018)"]
        for row in rows.values()
        if row["Series Instance UID (0020, 000e)"] == "1.2.1"
    ]
    assert [f"storage_dicom_folder1_{uid}" for uid in uids] == list(rows)[: len(first)]
    assert Path(f"pixel_data_example{number}.h5").exists() == (number == 2)
    if number == 2:
        assert shapes("pixel_data_example2.h5") == dict.fromkeys(sorted(rows), (1, 16, 12))


def test_the_reference_shows_the_flags_and_no_others() -> None:
    text = page("reference/run-crawler.md")
    flags = {
        flag for action in build_parser()._actions for flag in action.option_strings if "_" in flag or "reb" in flag
    }
    assert set(re.findall(r"`(--[a-z_0-9]+)", text)) == flags


# -- pixels -----------------------------------------------------------------------------------------------------------


def test_slices_come_last_in_geometric_order_with_stored_values(here: Path) -> None:
    ct_series(here / "a", n=5, shuffle=True, uid="1.2")
    crawl("a")
    with h5py.File("pixel_data.h5") as file:
        volume = file["a_1.2"]
        assert volume.dtype == np.uint16
        expected = np.stack([slice_pixels(i) for i in range(5)], axis=-1)
        assert np.array_equal(volume[0], expected)
        assert volume.attrs["intercept"].tolist() == [-1024] * 5
        assert np.allclose(volume.attrs["affine"][:3, 3], (-10, -20, -30))


def test_frames_and_colours(here: Path) -> None:
    multiframe(here / "a" / "grey.dcm", 4, 6, 5, SeriesInstanceUID="1.1", SOPInstanceUID="2.1")
    colour = np.arange(3 * 6 * 5 * 3, dtype=np.uint8).reshape(3, 6, 5, 3)
    save(quick_dataset(colour, SeriesInstanceUID="1.2", SOPInstanceUID="2.2"), here / "a" / "colour.dcm")
    save(quick_dataset(colour[0], SeriesInstanceUID="1.3", SOPInstanceUID="2.3"), here / "a" / "one.dcm")
    save(quick_dataset(slice_pixels(7), SeriesInstanceUID="1.4", SOPInstanceUID="2.4"), here / "a" / "still.dcm")
    crawl("a")
    volumes = {"a_1.1": (1, 6, 5, 4), "a_1.2": (1, 6, 5, 3, 3), "a_1.3": (1, 6, 5, 1, 3), "a_1.4": (1, 16, 12, 1)}
    assert shapes() == volumes
    with h5py.File("pixel_data.h5") as file:
        assert np.array_equal(file["a_1.2"][0], colour.transpose(1, 2, 0, 3))
        assert file["a_1.1"][0, 0, 0].tolist() == [0, 1, 2, 3]
    crawl("a", flags=("--write_pixeldata", "yes", "--output_id", "2d"))
    files = {"a_2.1": (1, 6, 5, 4), "a_2.2": (1, 6, 5, 3, 3), "a_2.3": (1, 6, 5, 3), "a_2.4": (1, 16, 12)}
    assert shapes("pixel_data_2d.h5") == files
    with h5py.File("pixel_data_2d.h5") as file:
        assert np.array_equal(file["a_2.2"][0], colour.transpose(1, 2, 0, 3))
        assert np.array_equal(file["a_2.4"][0], slice_pixels(7))


def test_2d_mode_takes_each_file_out_of_the_volume_of_its_series(here: Path) -> None:
    for place, path in enumerate(ct_series(here / "a", n=4, shuffle=True, uid="1.2")):
        path.rename(path.with_name(f"slice{place}.dcm"))
    crawl("a", flags=("--write_pixeldata", "1"))
    with h5py.File("pixel_data.h5") as file:
        for name, row in table("metadata.csv").items():
            place = float(row["Image Position (Patient) (0020, 0032)"].strip("[]").split(",")[2])
            assert file[name][0, 0, 0] == round((place + 30) / 2)


def test_a_series_of_two_sizes_is_one_row_and_two_datasets(here: Path) -> None:
    ct_series(here / "a", n=3, uid="1.2")
    for path in ct_series(here / "b", n=2, uid="1.2", size=(8, 6), spacing=1.0):
        path.rename(here / "a" / f"small{path.name}")
    crawl("a")
    assert shapes() == {"a_1.2": (1, 16, 12, 3), "a_1.2_2": (1, 8, 6, 2)}
    assert {name: row["No. DICOMs in scan"] for name, row in table("metadata.csv").items()} == {"a_1.2": "5"}


def test_the_datasets_of_a_series_of_two_sizes_are_named(here: Path) -> None:
    ct_series(here / "a", n=3, uid="1.2")
    for path in ct_series(here / "b", n=2, uid="1.2", size=(8, 6), spacing=1.0):
        path.rename(here / "a" / f"small{path.name}")
    ct_series(here / "c", n=2, uid="1.3")
    crawl("a", "c")
    rows = table("metadata.csv")
    assert {name: row["Datasets in pixel_data"] for name, row in rows.items()} == {
        "a_1.2": "a_1.2 a_1.2_2",
        "c_1.3": "",
    }


def test_a_time_series_is_one_dataset_with_a_time_a_slice(here: Path) -> None:
    for step in range(3):
        for path in ct_series(here / "b", n=4, uid="1.2", Modality="MR", AcquisitionTime=f"10000{step}.5"):
            dataset = dcmread(path)
            dataset.SOPInstanceUID = f"1.9.{step}.{dataset.InstanceNumber}"
            dataset.TemporalPositionIdentifier = step + 1
            dataset.InstanceNumber = 4 * step + int(dataset.InstanceNumber)
            save(dataset, here / "a" / f"{step}{path.name}")
    crawl("a")
    assert shapes() == {"a_1.2": (1, 16, 12, 12)}
    with h5py.File("pixel_data.h5") as file:
        assert file["a_1.2"][0, 0, 0].tolist() == [0, 1, 2, 3] * 3
        times = file["a_1.2"].attrs["time_of_slice"]
    assert np.diff(times).tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]


def test_two_orientations_of_one_size_are_one_dataset(here: Path) -> None:
    ct_series(here / "a", n=3, uid="1.2", size=(12, 12))
    for path in ct_series(here / "b", n=2, orientation="sagittal", uid="1.2", size=(12, 12)):
        path.rename(here / "a" / f"sagittal{path.name}")
    crawl("a")
    assert shapes() == {"a_1.2": (1, 12, 12, 5)}
    with h5py.File("pixel_data.h5") as file:
        dataset = file["a_1.2"]
        assert sorted(np.unique(dataset.attrs["volume"], return_counts=True)[1].tolist()) == [2, 3]
        assert "affine" not in dataset.attrs, "they do not agree in it"
        assert len(dataset.attrs["slope"]) == 5


def test_without_positions_and_numbers_names_are_the_order(here: Path) -> None:
    for number in (10, 9, 100, 1):
        values = slice_pixels(number)
        place = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "InstanceNumber": None}
        save(quick_dataset(values, SeriesInstanceUID="1.2", **place), here / "a" / f"im{number}.dcm")
    crawl("a")
    assert shapes() == {"a_1.2": (1, 16, 12, 4)}
    with h5py.File("pixel_data.h5") as file:
        assert file["a_1.2"][0, 0, 0].tolist() == [1, 9, 10, 100]


def test_uneven_distances_stay_one_volume(here: Path) -> None:
    ct_series(here / "a", n=5, gap=2, uid="1.2")
    crawl("a")
    assert shapes() == {"a_1.2": (1, 16, 12, 5)}
    with h5py.File("pixel_data.h5") as file:
        assert "affine" not in file["a_1.2"].attrs
        assert not file["a_1.2"].attrs["verdict_uniform_spacing"]


def test_without_pixel_data_none_are_read(here: Path) -> None:
    paths = ct_series(here / "a", n=2, uid="1.2")
    truncate(paths[0])
    crawl("a", flags=())
    assert len(table("metadata.csv")) == 2
    assert sorted(os.listdir()) == [".crawler", "a", "metadata.csv"]


# -- the table --------------------------------------------------------------------------------------------------------


def test_columns(here: Path) -> None:
    inner = [Dataset(), Dataset()]
    inner[0].CodeValue, inner[1].CodeValue = "one", "two"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = inner[:1]
    dataset = quick_dataset(
        SeriesInstanceUID="1.2",
        ImageType=["ORIGINAL", "PRIMARY"],
        ProcedureCodeSequence=inner,
        ReferencedImageSequence=[outer],
        AccessionNumber="",
    )
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "700")
    dataset.add_new(Tag(0x0019, 0x1101), "LO", "nobody's")
    save(dataset, here / "a" / "x.dcm")
    crawl("a", flags=("--eval_3d_scans", "t"))
    row = table("metadata.csv")["a_1.2"]
    names = list(row)
    assert names[:3] == ["Scan ID", "No. DICOMs in scan", "Image Type (0008, 0008)"]
    tags = [name[-10:-1] for name in names[2:] if "_" not in name]
    assert tags == sorted(tags)
    assert row["Image Type (0008, 0008)"] == "['ORIGINAL', 'PRIMARY']"
    assert row["Accession Number (0008, 0050)"] == ""
    assert row["Procedure Code Sequence_Code Value (0008, 0100)"] == "DUPLICATE TAGS IN DICOM:one/two"
    nested = "Referenced Image Sequence_Purpose of Reference Code Sequence_Code Value (0008, 0100)"
    assert row[nested] == "one"
    assert row["[B_value] (0019, 100c)"] == "700"
    assert row["Private Creator (0019, 0010)"] == "SIEMENS MR HEADER"
    assert row["Private tag data (0019, 1101)"] == "nobody's"
    assert not [name for name in names if "Pixel Data" in name or "(0002," in name]


def test_a_repeated_element_stands_in_one_cell(here: Path) -> None:
    path = save(quick_dataset(SeriesInstanceUID="1.2", StudyID="1", InstanceNumber=None), here / "a" / "x.dcm")
    data = path.read_bytes()
    element = b"\x20\x00\x10\x00SH\x02\x001 "
    path.write_bytes(data.replace(element, element + element.replace(b"1 ", b"2 ")))
    crawl("a", flags=())
    [row] = table("metadata.csv").values()
    assert row["Study ID (0020, 0010)"] == "DUPLICATE TAGS IN DICOM:1/2"


def test_new_elements_append_columns_on_the_right(here: Path) -> None:
    save(quick_dataset(SeriesInstanceUID="1.1"), here / "a" / "x.dcm")
    crawl("a")
    with open("metadata.csv", encoding="utf-8") as file:
        before = file.readline().strip()
    save(quick_dataset(SeriesInstanceUID="1.2", AccessionNumber="7"), here / "b" / "x.dcm")
    crawl("b")
    with open("metadata.csv", encoding="utf-8") as file:
        assert file.readline().strip() == before + ',"Accession Number (0008, 0050)"'
    assert table("metadata.csv")["a_1.1"]["Accession Number (0008, 0050)"] == ""


# -- Scan IDs ---------------------------------------------------------------------------------------------------------


def test_every_spelling_of_a_folder_is_the_same_scan(here: Path) -> None:
    ct_series(here / "s" / "a", n=2, uid="1.2")
    crawl("s/a", "./s/a/", "s/../s/a")
    crawl(str(here / "s" / "a"))
    (here / "link").symlink_to(here / "s" / "a")
    crawl("link")
    assert shapes().keys() == table("metadata.csv").keys() == {"s_a_1.2"}


def test_folders_whose_names_look_alike_do_not_collide(here: Path) -> None:
    for name in ("a/b_c", "a_b/c"):
        ct_series(here / name, n=2, uid="1.2")
    crawl("a/b_c", "a_b/c")
    assert shapes().keys() == table("metadata.csv").keys() == {"a_b_c_1.2", "a_b_c-2_1.2"}


def test_a_file_without_a_uid_is_a_scan_of_its_own(here: Path) -> None:
    for number in (1, 2):
        for path in ct_series(here / "s", n=3, uid=f"1.{number}"):
            path.rename(here / "s" / f"{number}{path.name}x")
    save(quick_dataset(slice_pixels(0), SeriesInstanceUID=None, SOPInstanceUID=None), here / "s" / "stray.dcm")
    crawl("s")
    assert shapes() == {"s_1.1": (1, 16, 12, 3), "s_1.2": (1, 16, 12, 3), "s_nouid_stray": (1, 16, 12, 1)}
    crawl("s", flags=("--output_id", "2d"))
    assert "s_nouid_stray" in table("metadata_2d.csv")


def test_a_repeated_instance_uid_loses_no_file(here: Path) -> None:
    for number in range(2):
        place = {"ImagePositionPatient": [0, 0, number]}  # at one place the second would be a duplicate
        save(quick_dataset(slice_pixels(number), SOPInstanceUID="1.9", **place), here / "a" / f"{number}.dcm")
    (here / "a" / "copy.dcm").write_bytes((here / "a" / "0.dcm").read_bytes())
    crawl("a", flags=("--write_pixeldata", "y"))
    assert shapes().keys() == table("metadata.csv").keys() == {"a_1.9", "a_1.9_2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("['a','b']", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ('["it\'s", "b,c"]', ("it's", "b,c")),
        ("a, b", ("a", "b")),
        ("'a,b',c", ("a,b", "c")),
        ("[a,b]", ("a", "b")),
        (r"['C:\new','D:\x']", (r"C:\new", r"D:\x")),
        (r'["C:\\new"]', (r"C:\new",)),
        ("one", ("one",)),
        ("['a',]", ("a",)),
    ],
)
def test_lists_of_folders(text: str, expected: tuple[str, ...]) -> None:
    assert parse_folders(text) == expected


@pytest.mark.parametrize("text", ["", "[]", "[1]", "['a'", "['a' 'b',,]", "[' ']"])
def test_what_is_no_list_of_folders(text: str) -> None:
    with pytest.raises(ValueError, match="expected a list"):
        parse_folders(text)


def test_a_folder_with_a_comma(here: Path) -> None:
    ct_series(here / "x,y", n=2, uid="1.2")
    crawl("x,y")
    assert main(["--dicom_folders", "x,y", "--n_procs", "0", "-q", *MODES]) == 0
    assert shapes().keys() == {"x,y_1.2"}


# -- the append rule --------------------------------------------------------------------------------------------------


def test_new_scans_are_added_and_stored_ones_left_alone(here: Path) -> None:
    ct_series(here / "a", n=3, uid="1.1")
    crawl("a")
    volume = next((here / ".crawler" / "volumes").rglob("*.h5"))
    before = state(str(volume)), state("metadata.csv"), state("pixel_data.h5")
    crawl("a")
    assert before == (state(str(volume)), state("metadata.csv"), state("pixel_data.h5"))
    ct_series(here / "b", n=2, uid="1.2")
    crawl("b")
    assert state(str(volume)) == before[0]
    assert shapes() == {"a_1.1": (1, 16, 12, 3), "b_1.2": (1, 16, 12, 2)}
    assert list(table("metadata.csv")) == ["a_1.1", "b_1.2"]


def test_changed_and_removed_scans_are_brought_up_to_date(here: Path) -> None:
    for number in (1, 2):
        for path in ct_series(here / "a", n=3, uid=f"1.{number}"):
            path.rename(here / "a" / f"{number}-{path.name}x")
    crawl("a")
    (here / "a" / "1-0002.dcmx").unlink()
    for path in (here / "a").glob("2-*"):
        path.unlink()
    crawl("a")
    assert shapes() == {"a_1.1": (1, 16, 12, 2)}
    assert table("metadata.csv")["a_1.1"]["No. DICOMs in scan"] == "2"


def test_a_folder_that_was_emptied(here: Path) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    ct_series(here / "b", n=2, uid="1.2")
    crawl("a", "b")
    for path in (here / "a").iterdir():
        path.unlink()
    crawl("a", code=3)
    assert shapes().keys() == table("metadata.csv").keys() == {"b_1.2"}
    assert table("unreadable_files.csv")["a"]["Reason for failure"] == "Number of dicoms in folder = 0"


def test_a_folder_that_is_gone_keeps_its_scans(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    ct_series(here / "b", n=2, uid="1.2")
    crawl("a", "b")
    (here / "a").rename(here / "elsewhere")
    capsys.readouterr()
    assert main(["--dicom_folders", "a,b", "--n_procs", "0", *MODES]) == 0
    assert "a is no folder and is left out" in capsys.readouterr().err
    assert shapes().keys() == {"a_1.1", "b_1.2"}


def test_pixel_data_can_be_added_later_and_not_dropped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    ct_series(here / "b", n=2, uid="1.2")
    crawl("a", "b", flags=("--eval_3d_scans", "True"))
    crawl("b")
    assert shapes().keys() == table("metadata.csv").keys() == {"a_1.1", "b_1.2"}
    crawl("b", flags=("--eval_3d_scans", "True"), code=1)
    assert "--write_pixeldata True" in capsys.readouterr().err
    crawl("b", flags=("--write_pixeldata", "True"), code=1)
    assert "--eval_3d_scans True" in capsys.readouterr().err
    crawl("b", flags=("--rebuild",))
    assert table("metadata.csv").keys() == {
        f"b_{row['SOP Instance UID (0008, 0018)']}" for row in table("metadata.csv").values()
    }


def test_failed_scans_are_listed_left_out_and_tried_again(here: Path) -> None:
    good = ct_series(here / "a", n=3, uid="1.1")
    bad = ct_series(here / "b", n=3, uid="1.2")
    whole = bad[1].read_bytes()
    truncate(bad[1])
    crawl("a", "b", code=3)
    assert shapes().keys() == table("metadata.csv").keys() == {"a_1.1"}
    failed = table("unreadable_files.csv")["b_1.2"]
    assert list(failed) == ["Reason for failure", "Scan ID", "No. DICOMs in scan"]
    assert failed["Reason for failure"].startswith("Failure in get_pixel_data: truncated pixel data (1 of 3 files")
    assert failed["No. DICOMs in scan"] == "3"
    crawl("a", "b", code=3)
    bad[1].write_bytes(whole)
    crawl("a", "b")
    assert shapes().keys() == table("metadata.csv").keys() == {"a_1.1", "b_1.2"}
    assert not Path("unreadable_files.csv").exists()
    assert len(good) == 3


def test_retry_failed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_decoder(*_: Any) -> NoReturn:
        raise PixelError("no decoder")

    ct_series(here / "a", n=1, uid="1.1")
    with monkeypatch.context() as patch:
        patch.setattr("crawler.export.scan.frames", without_decoder)
        crawl("a", code=3)
    crawl("a", code=3)
    assert table("unreadable_files.csv").keys() == {"a_1.1"}
    crawl("a", flags=(*MODES, "--retry_failed", "True"))
    assert shapes().keys() == table("metadata.csv").keys() == {"a_1.1"}


def test_other_failures(here: Path) -> None:
    (here / "empty").mkdir()
    path = save(quick_dataset(Modality="SR", **{name: None for name in PIXEL_KEYWORDS}), here / "a" / "report.dcm")
    assert path.exists()
    (here / "a" / "cut.dcm").write_bytes(path.read_bytes()[:140])
    (here / "a" / "notes.txt").write_text("nothing")
    crawl("a", "empty", code=3)
    reasons = {name: row["Reason for failure"] for name, row in table("unreadable_files.csv").items()}
    uid = [name for name in reasons if name not in ("a_nouid_cut", "empty")]
    assert len(uid) == 1
    assert reasons[uid[0]] == "Failure in get_pixel_data: no pixel data"
    assert reasons["a_nouid_cut"].startswith("Failure in dataset_tags_and_values: ")
    assert reasons["empty"] == "Number of dicoms in folder = 0"
    assert not table("metadata.csv")
    crawl("a", flags=("--output_id", "meta"), code=3)
    assert len(table("metadata_meta.csv")) == 1


PIXEL_KEYWORDS = ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
                  "PhotometricInterpretation", "PixelRepresentation")  # fmt: skip


# -- what is refused --------------------------------------------------------------------------------------------------


def test_files_of_others_are_not_touched(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    (here / "metadata.csv").write_text("theirs")
    crawl("a", code=1)
    assert "was not made here" in capsys.readouterr().err
    assert (here / "metadata.csv").read_text() == "theirs"
    crawl("a", flags=("--output_id", "mine"))
    crawl("a", flags=("--rebuild", "True"))
    assert len(table("metadata.csv")) == 2


def test_the_storage_folder_is_made_and_may_hold_the_files_themselves(here: Path) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    crawl("a", flags=(*MODES, "--storage_folder", "new/deep"))
    assert sorted(os.listdir("new/deep")) == [".crawler", "metadata.csv", "pixel_data.h5"]
    crawl("a", flags=(*MODES, "--storage_folder", "a"))
    before = state("a/metadata.csv")
    crawl("a", flags=(*MODES, "--storage_folder", "a"))
    assert state("a/metadata.csv") == before


def test_nested_folders_count_their_own_files_only(here: Path) -> None:
    ct_series(here / "a", n=2, uid="1.1")
    ct_series(here / "a" / "b", n=3, uid="1.2")
    crawl("a")
    assert shapes().keys() == {"a_1.1"}
    crawl("a", "a/b")
    assert shapes().keys() == {"a_1.1", "a_b_1.2"}


def test_an_archive_counts_as_a_subfolder_of_its_own(here: Path) -> None:
    ct_series(here / "s", n=3, uid="1.2")
    with zipfile.ZipFile(here / "s" / "more.zip", "w") as archive:
        for path in ct_series(here / "t", n=2, uid="1.2"):
            archive.write(path, path.name)
    ct_series(here / "u", n=2, uid="1.3")
    crawl("s")
    crawl("u")
    assert shapes() == {"s_1.2": (1, 16, 12, 3), "s_more.zip_1.2": (1, 16, 12, 2), "u_1.3": (1, 16, 12, 2)}


def test_no_folder_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    crawl("nowhere", code=1)
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_a_name_whose_folder_moved_is_not_guessed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct_series(here / "one" / "a", n=2, uid="1.1")
    (here / "a").symlink_to(here / "one" / "a")
    crawl("a")
    (here / "a").unlink()
    (here / "one").rename(here / "two")
    (here / "a").symlink_to(here / "two" / "a")
    crawl("a", code=1)
    assert "which is gone" in capsys.readouterr().err
    assert shapes().keys() == {"a_1.1"}


@pytest.mark.parametrize(
    "arguments",
    [["--eval_3d", "True"], ["--write_pixeldata", "maybe"], ["--n_procs", "-1"], ["extra"], ["--output_id", "a/b"]],
)
def test_what_is_not_understood_is_refused(here: Path, arguments: list[str]) -> None:
    (here / "a").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["--dicom_folders", "['a']", *arguments])
    assert ended.value.code == 2
    assert os.listdir() == ["a"]


@pytest.mark.parametrize("text", ["yes", "TRUE", "t", "Y", "1", "no", "False", "f", "n", "0"])
def test_switches(text: str) -> None:
    options = build_parser().parse_args(["--dicom_folders", "a", "--par_over_folder", text, "--eval_3d_scans", text])
    assert options.eval_3d_scans is (text.lower() in ("yes", "true", "t", "y", "1"))
    assert options.write_pixeldata is False

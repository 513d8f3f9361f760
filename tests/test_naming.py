"""`crawler/naming.py`: no two outputs of a folder have one name, and the names depend on the listing alone."""

from __future__ import annotations

import re
import shutil
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from support import runs
from support.factories import ct_series, make_uid, multiframe, quick_dataset, save

from crawler.naming import are_plain, colliding, media_stems, plain_stem

MEDIA = {"metadata": {"text": True}, "image": {}, "video": {"extension": "frames"}}


@pytest.mark.parametrize(
    ("names", "reserved", "expected"),
    [
        (["A.dcm"], [], {"A.dcm": "A"}),
        (["IM1", "IM1.dcm", "IM1.ima"], [], {"IM1": "IM1", "IM1.dcm": "IM1.dcm", "IM1.ima": "IM1.ima"}),
        (["a.dcm", "a.DCM"], [], {"a.DCM": "a.DCM", "a.dcm": "a.dcm_2"}),
        (["a", "A"], [], {"A": "A", "a": "a_2"}),
        (["a", "A", "a_2"], [], {"A": "A", "a": "a_3", "a_2": "a_2"}),
        (["x.dcm"], ["x.png"], {"x.dcm": "x.dcm"}),
        (["x"], ["x.png", "x_2.PNG"], {"x": "x_3"}),
        (["x.dcm"], ["x.frames"], {"x.dcm": "x.dcm"}),
        (["x.dcm"], ["x"], {"x.dcm": "x"}),
        (["1.2.dcm"], ["1.2.512"], {"1.2.dcm": "1.2"}),
        (["e.dcm", "e-group2.dcm"], [], {"e.dcm": "e", "e-group2.dcm": "e-group2.dcm"}),
        (["e.dcm"], ["e-group2.csv"], {"e.dcm": "e.dcm"}),
        (["s1-0123abcd.dcm"], [], {"s1-0123abcd.dcm": "s1-0123abcd.dcm"}),
        (["s1-0123abcd", "S-0123ABCD-2"], [], {"S-0123ABCD-2": "S-0123ABCD-2_2", "s1-0123abcd": "s1-0123abcd_2"}),
        (["e\u0301.dcm", "\u00e9.dcm"], [], {"e\u0301.dcm": "e\u0301.dcm", "\u00e9.dcm": "\u00e9.dcm_2"}),
    ],
)
def test_names(names: list[str], reserved: list[str], expected: dict[str, str]) -> None:
    assert media_stems(names, reserved) == expected
    assert media_stems(reversed(names), reversed(reserved)) == expected


PARTS = st.lists(
    st.sampled_from(["a", "A", ".dcm", ".DCM", ".png", ".frames", "-group2", "_2", "s1-0123abcd", ".", "\u00e9"]),
    min_size=1,
    max_size=4,
).map("".join)


def outputs_of(stem: str) -> set[str]:
    """Names that the file of a stem may write, as a file system without case sees them."""
    found = {f"{stem}{group}{ending}" for group in ("", "-group2") for ending in (".png", ".txt", ".mp4", ".csv")}
    return {unicodedata.normalize("NFC", name).casefold() for name in (*found, f"{stem}.frames")}


@given(st.sets(PARTS, max_size=8), st.sets(PARTS, max_size=4))
def test_no_two_outputs_have_one_name(files: set[str], folders: set[str]) -> None:
    files = files - folders - {".", ".."}
    stems = media_stems(files, folders)
    assert set(stems) == files
    taken = {unicodedata.normalize("NFC", folder).casefold() for folder in folders}
    for stem in stems.values():
        mine = outputs_of(stem)
        assert not mine & taken
        assert not re.fullmatch(r"s1-0123abcd(-2)?", stem.casefold())
        taken |= mine
    assert media_stems(files, colliding(files, folders)) == stems or any("_" in stem for stem in stems.values())


# -- whole runs: the faults --------------------------------------------------------------------------------------------


def media_of(out: Path) -> dict[str, list[str]]:
    """Media by file; fails when two files claim one, or one is not there."""
    found = {name: row["media_files"] for name, row in runs.rows(out).items()}
    everything = [name for names in found.values() for name in names]
    assert len(everything) == len(set(everything))
    assert all((out / "media" / name).exists() for name in everything)
    return found


def still(path: Path, value: int) -> Path:
    return save(quick_dataset(np.full((8, 8), value, np.uint16), SeriesInstanceUID=make_uid(str(path))), path)


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_frames_and_folders_of_one_name(tmp_path: Path, group: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    multiframe(source / "a.dcm", 2, 8, 8)
    still(source / "a.frames" / "0001.dcm", 5)
    still(source / "x.dcm", 7)
    still(source / "x.png" / "y.dcm", 9)
    summary = runs.export(source, out, dicom={"group": group}, **MEDIA)
    assert not summary.failed
    found = media_of(out)
    assert found["a.frames/0001.dcm"] == ["a.frames/0001.png"]
    assert found["a.dcm"] == ["a.dcm.frames/0001.png", "a.dcm.frames/0002.png"]
    assert found["x.dcm"] == ["x.dcm.png"]
    assert found["x.png/y.dcm"] == ["x.png/y.png"]


def test_a_folder_that_comes_later_moves_a_name(tmp_path: Path) -> None:
    source, out, fresh = tmp_path / "in", tmp_path / "out", tmp_path / "fresh"
    still(source / "x.dcm", 7)
    runs.export(source, out, **MEDIA)
    assert media_of(out)["x.dcm"] == ["x.png"]
    still(source / "x.png" / "y.dcm", 9)
    still(source / "other" / "y.dcm", 9)
    assert set(runs.export(source, out, **MEDIA).failed) <= {"write: a file lies where a folder is needed"}
    assert not runs.export(source, out, retry_failed=True, **MEDIA).failed
    runs.export(source, fresh, **MEDIA)
    assert runs.content(out) == runs.content(fresh)
    assert media_of(out)["x.dcm"] == ["x.dcm.png"]


def test_groups_of_a_waveform(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    ecg = get_testdata_file("waveform_ecg.dcm")
    shutil.copy(ecg, source / "a.dcm")
    still(source / "a-group2.dcm", 5)
    assert not runs.export(source, out, **MEDIA).failed
    found = media_of(out)
    assert "a-group2.png" in found["a.dcm"]
    assert found["a-group2.dcm"] == ["a-group2.dcm.png"]


def test_a_cine_with_the_name_of_a_series(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    ct_series(source, 3)
    runs.export(source, out, metadata={}, video={"extension": ".gif", "series": True})
    (stack,) = (out / "media").glob("s*.gif")
    multiframe(source / f"{stack.stem}.dcm", 2, 8, 8)
    assert not runs.export(source, out, metadata={}, video={"extension": ".gif", "series": True}).failed
    found = {name: tuple(files) for name, files in ((n, r["media_files"]) for n, r in runs.rows(out).items())}
    assert found[f"{stack.stem}.dcm"] == (f"{stack.stem}.dcm.gif",)
    assert set(found.values()) == {(f"{stack.stem}.dcm.gif",), (stack.name,)}


def test_folders_inside_archives(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    one = still(tmp_path / "one.dcm", 3).read_bytes()
    two = still(tmp_path / "two.dcm", 4).read_bytes()
    with zipfile.ZipFile(source / "z.zip", "w") as archive:
        archive.writestr("x.dcm", one)
        archive.writestr("x.png/deep/y.dcm", two)
    assert not runs.export(source, out, **MEDIA).failed
    assert media_of(out)["z.zip/x.dcm"] == ["z.zip/x.dcm.png"]


def test_the_run_s_own_files_in_the_media_folder(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    shutil.copy(get_testdata_file("waveform_ecg.dcm"), source / "series.dcm")
    assert not runs.export(source, out, metadata={}, media={"dir": "."}).failed
    (row,) = runs.rows(out).values()
    assert "series.dcm.csv" in row["media_files"]
    assert (out / "series.csv").read_text().startswith("scan_id,")


@given(
    st.lists(st.text("aA.dcmDCM_2s-0group", min_size=1, max_size=9), unique=True),
    st.lists(st.text("a.dcmx", max_size=5)),
)
def test_names_that_are_found_plain_are_what_the_long_way_gives(names: list[str], reserved: list[str]) -> None:
    stems = media_stems(names, reserved)
    if are_plain(names, reserved):
        assert stems == {name: plain_stem(name) for name in names}


def test_common_names_are_plain() -> None:
    assert are_plain([f"IM{number}.dcm" for number in range(3000)], ["other.png"])
    assert are_plain(["a", "b.dcm", "c.ima", "d\udc80.dcm"], [])
    assert not are_plain(["a", "a.dcm"], [])
    assert not are_plain(["a.dcm"], ["a.png"])
    assert not are_plain(["A.dcm", "a.DCM"], [])

"""The section `select`: what it leaves out, why, and that no pixel of it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import ct_series, make_uid, multiframe, quick_dataset, save
from support.runs import accounts_hold, config, content, export, rows

from crawler.config.sections import ConditionSection
from crawler.config.select import DERIVED_CLASSES, matches
from crawler.errors import ConfigError
from crawler.export import media
from crawler.export import scan as exporting
from crawler.ledger.database import Ledger

SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
MODES = [{"group": "folder"}, {"group": "tree"}]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A CT of 6 slices, one of 2, an MR of 3, a derived CT, a secondary capture, a report."""
    folder = tmp_path / "in"
    ct_series(folder / "ct6", n=6, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], StudyDate="20200301")
    ct_series(folder / "ct2", n=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], StudyDate="20240301")
    ct_series(folder / "mr3", n=3, Modality="MR", SeriesDescription="T1 3D MPRAGE REF", RepetitionTime=500)
    ct_series(folder / "mpr3", n=3, ImageType=["DERIVED", "SECONDARY"])
    save(quick_dataset(SOPClassUID=SECONDARY, SeriesInstanceUID=make_uid("shot")), folder / "shot" / "a.dcm")
    pixels: dict[str, Any] = {word: None for word in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored")}
    report = quick_dataset(Modality="SR", SeriesInstanceUID=make_uid("report"), **pixels)
    save(report, folder / "report" / "a.dcm")
    return folder


def chosen(tree: Path, tmp_path: Path, select: dict[str, Any], **options: Any) -> tuple[set[str], dict[str, str]]:
    """Folders that were exported, and those left out with their stage; the accounts hold, and all rows are there."""
    out = tmp_path / "out"
    summary = export(tree, out, select=select, metadata=options.pop("metadata", {}), image={}, volume={}, **options)
    accounts_hold(summary, 16)
    found = rows(out)
    assert len(found) == 16
    left = {name: row for name, row in found.items() if row["outcome"] == "skipped"}
    assert sum(summary.skipped.values()) == summary.skipped.get("filtered", 0) == len(left)
    for row in left.values():
        assert row["reason"] == "filtered"
        assert row["media_files"] == row["volume_files"] == []
    kept = {name.split("/")[0] for name in found.keys() - left.keys()}
    stages = {name.split("/")[0]: row["stage"] for name, row in left.items()}
    assert not kept & stages.keys()
    media_folders = {path.relative_to(out / "media").parts[0] for path in (out / "media").rglob("*.png")}
    assert media_folders == kept - {"report"}
    return kept, stages


@pytest.mark.parametrize(
    ("select", "left"),
    [
        ({}, {}),
        (
            {"modality": ["ct"]},
            {"mr3": "select.modality", "report": "select.modality"},
        ),
        ({"min_files": 3}, {"ct2": "select.min_files", "shot": "select.min_files"}),
        ({"derived": False}, {"mpr3": "select.derived", "shot": "select.derived"}),
        (
            {"derived": False, "min_files": 3, "modality": ["CT", "SR"]},
            {
                "ct2": "select.min_files",
                "mr3": "select.modality",
                "mpr3": "select.derived",
                "shot": "select.derived",
            },
        ),
        (
            {"where": {"StudyDate": {"range": ["20190101", "20201231"]}}},
            dict.fromkeys(("ct2", "mr3", "mpr3", "shot", "report"), "select.where.StudyDate"),
        ),
        (
            {"where": {"RepetitionTime": {"equals": 500}, "SeriesDescription": {"regex": r"(?i)\bt1\b"}}},
            dict.fromkeys(("ct6", "ct2", "mpr3", "shot", "report"), "select.where.RepetitionTime"),
        ),
    ],
)
def test_what_is_left_out(tree: Path, tmp_path: Path, select: dict[str, Any], left: dict[str, str]) -> None:
    kept, stages = chosen(tree, tmp_path, select)
    assert stages == left
    assert kept == {"ct6", "ct2", "mr3", "mpr3", "shot", "report"} - left.keys()


@pytest.mark.parametrize("dicom", MODES, ids=lambda mode: mode["group"])
@pytest.mark.parametrize("keys", ["name", "tag"])
def test_styles_of_keys_and_grouping_do_not_matter(
    tree: Path, tmp_path: Path, dicom: dict[str, str], keys: str
) -> None:
    select = {"derived": False, "where": {"Modality": {"one_of": ["CT", "MR"]}}}
    _, stages = chosen(tree, tmp_path, select, dicom=dicom, metadata={"keys": keys})
    assert stages == {"mpr3": "select.derived", "shot": "select.derived", "report": "select.where.Modality"}


def test_workers_choose_alike(tree: Path, tmp_path: Path) -> None:
    sections = {"select": {"min_files": 3, "derived": False}, "metadata": {}, "image": {}, "volume": {}}
    for number in (0, 2):
        export(tree, tmp_path / str(number), workers=number, **sections)
    assert content(tmp_path / "0") == content(tmp_path / "2")


def test_it_works_without_rows(tree: Path, tmp_path: Path) -> None:
    summary = export(tree, tmp_path / "out", select={"derived": False}, image={})
    assert summary.skipped == {"filtered": 4}


def test_frames_count_as_files(tmp_path: Path) -> None:
    multiframe(tmp_path / "in" / "cine.dcm", 12, 8, 8)
    sections = {"metadata": {}, "volume": {}}
    assert export(tmp_path / "in", tmp_path / "a", select={"min_files": 12}, **sections).exported == 1
    assert export(tmp_path / "in", tmp_path / "b", select={"min_files": 13}, **sections).skipped == {"filtered": 1}


def test_the_ledger_knows_how_many_were_missing(tree: Path, tmp_path: Path) -> None:
    chosen(tree, tmp_path, {"min_files": 3})
    ledger = Ledger(str(tmp_path / "out" / "metadata.jsonl.ledger"))
    details = {row[0] for row in ledger.execute("SELECT detail FROM files WHERE outcome = 'skipped'")}
    ledger.close()
    assert details == {"2 of the 3 that a scan needs", "1 of the 3 that a scan needs"}


def test_no_pixel_of_it_is_read(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: set[str] = set()

    def watched(instance: Any, *arguments: Any, **options: Any) -> Any:
        decoded.add(instance.file.key.split("/")[0])
        return real(instance, *arguments, **options)

    real = exporting.frames
    for module in (exporting, media):
        monkeypatch.setattr(module, "frames", watched)
    kept, _ = chosen(tree, tmp_path, {"modality": ["MR"]})
    assert decoded == kept == {"mr3"}


def test_a_file_of_a_volume_that_is_left_out_is_a_gap(tmp_path: Path) -> None:
    for path in ct_series(tmp_path / "in", n=5)[2:3]:
        save(quick_dataset_like(path), path)
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={}, select={"derived": False})
    assert (summary.exported, summary.skipped) == (4, {"filtered": 1})


def quick_dataset_like(path: Path) -> Any:
    """The same file, as a derived image."""
    from pydicom import dcmread

    dataset = dcmread(path)
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    return dataset


def test_a_new_section_and_a_changed_one_are_refused_unless_rebuilt(tree: Path, tmp_path: Path) -> None:
    sections = {"metadata": {}, "image": {}}
    assert export(tree, tmp_path / "out", **sections).skipped == {}
    with pytest.raises(ConfigError, match=r"select\.derived was off .* use --rebuild select"):
        export(tree, tmp_path / "out", **sections, select={"derived": False})
    summary = export(tree, tmp_path / "out", rebuild="select", **sections, select={"derived": False})
    assert summary.skipped == {"filtered": 4}
    assert not (tmp_path / "out" / "media" / "mpr3").exists()
    for changed in ({"derived": True}, {"derived": False, "where": {"Rows": {"equals": 16}}}):
        with pytest.raises(ConfigError, match=r"select\.\w+ was .* use --rebuild"):
            export(tree, tmp_path / "out", **sections, select=changed)
    assert export(tree, tmp_path / "out", **sections, select={"modality": ["MR"]}, rebuild=True).exported == 3


# -- conditions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ({"equals": 512}, 512, True),
        ({"equals": 512}, 512.0, True),
        ({"equals": 512}, "512", True),
        ({"equals": 512}, "wide", False),
        ({"equals": "CT"}, "CT", True),
        ({"equals": "CT"}, "ct", False),
        ({"equals": "DERIVED"}, ["ORIGINAL", "PRIMARY"], False),
        ({"equals": "PRIMARY"}, ["ORIGINAL", "PRIMARY"], True),
        ({"equals": "PRIMARY"}, None, False),
        ({"equals": "PRIMARY"}, [None], False),
        ({"equals": 0}, [], False),
        ({"one_of": ("HEAD", "BRAIN", 3)}, "BRAIN", True),
        ({"one_of": ("HEAD", "BRAIN", 3)}, 3.0, True),
        ({"one_of": ("HEAD", "BRAIN", 3)}, "LEG", False),
        ({"range": (None, 3)}, 3, True),
        ({"range": (None, 3)}, 3.01, False),
        ({"range": (1, None)}, 1, True),
        ({"range": (1, None)}, "thin", False),
        ({"range": ("20200101", None)}, "20191231", False),
        ({"range": ("20200101", None)}, "20200101", True),
        ({"regex": "^t1"}, "t1_mprage", True),
        ({"regex": "^t1"}, "at1", False),
        ({"regex": "1"}, [5, 21], True),
        ({"range": (0, 10), "regex": "5"}, 5, True),
        ({"range": (0, 10), "regex": "5"}, 6, False),
        ({"equals": "x"}, {"vr": "OB", "length": 4}, False),
        ({"equals": "x"}, [{"CodeValue": "x"}], False),
    ],
)
def test_condition(condition: dict[str, Any], value: Any, expected: bool) -> None:
    assert matches(ConditionSection(**condition), value) is expected


def test_all_conditions_hold_for_one_value() -> None:
    condition = ConditionSection(range=(0, 10), regex="^2")
    assert not matches(condition, [5, 20])


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ({"where": {"SliceThicknes": {"equals": 1}}}, "no DICOM keyword; nearest: SliceThickness"),
        ({"where": {"Rows": {}}}, "expected any of equals, one_of, range, regex"),
        ({"where": {"Rows": None}}, "expected any of equals, one_of, range, regex"),
        ({"where": {"Rows": 5}}, "expected a section with equals, one_of, range, regex"),
        ({"where": {"Rows": {"equal": 5}}}, "unknown key; nearest known key: select.where.Rows.equals"),
        ({"where": {"Rows": {"range": [5, 1]}}}, "range: expected two numbers or two texts"),
        ({"where": {"Rows": {"range": ["a", 1]}}}, "range: expected two numbers or two texts"),
        ({"where": {"Rows": {"range": [None, None]}}}, "range: expected one bound at least"),
        ({"where": {"Rows": {"regex": "("}}}, "regex: "),
        ({"modality": []}, "at least 1"),
        ({"min_files": 0}, "at least 1"),
    ],
)
def test_refusal(tmp_path: Path, select: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, tmp_path / "out", select=select)
    assert told in str(refused.value)
    assert "select" in str(refused.value)


def test_derived_classes_are_of_images() -> None:
    from pydicom.uid import UID

    known = [UID(uid) for uid in DERIVED_CLASSES if UID(uid).name != uid]
    assert len(known) >= len(DERIVED_CLASSES) - 1  # label maps are younger than some dictionaries
    words = ("Secondary Capture", "Segmentation", "Parametric Map")
    assert all(any(word in uid.name for word in words) for uid in known)
    assert not np.any([uid.name.startswith(("CT", "MR")) for uid in known])


def test_words_leave_series_out_as_whole_words(tmp_path: Path) -> None:
    for name, words in {"a": "Thorax MPR cor", "b": "MPRAGE sag", "c": "t1_scout_tra", "d": "KEY  images"}.items():
        ct_series(tmp_path / "in" / name, n=1, uid=f"1.2.{ord(name)}", SeriesDescription=words)
    ct_series(tmp_path / "in" / "e", n=1, uid="1.3", ProtocolName="mpr")
    words = ["MPR", "scout", "key images"]
    export(tmp_path / "in", tmp_path / "out", metadata={}, select={"exclude_words": words})
    left = {row["dicom_file"][0]: (row["outcome"], row["stage"]) for row in rows(tmp_path / "out").values()}
    out = ("skipped", "select.exclude_words")
    assert left == {"a": out, "b": ("exported", None), "c": out, "d": out, "e": out}

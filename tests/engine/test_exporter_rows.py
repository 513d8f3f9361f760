"""What the DICOM Media Exporter's users keep: its rows, its names of elements, several configurations in one folder."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml
from support.factories import ct_series, make_uid, quick_dataset, save
from support.runs import export, rows

from crawler.config.loader import load_config
from crawler.dicom.private_names import PRIVATE, named, restored
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.tables.reading import read_series
from crawler.verify.output import verify

COMPAT = {"compat": "seed003"}
KNOWN = {"dicom_file", "media_file", "media_type"}


def texts(path: Path) -> dict[str, str]:
    """What that program wrote of a header: its few lines, on the pydicom of today."""
    dataset = pydicom.dcmread(path, force=True)
    return {one.name: str(one.value) for one in dataset if one.VR not in ("SQ", "OB", "OW")}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A still, a cine, a header without pixels and a still whose pixels are cut off."""
    folder = tmp_path / "in"
    still = quick_dataset(np.zeros((8, 8), np.uint16), PatientName="Ärzte^Zoë", SpecificCharacterSet="ISO_IR 192")
    private = still.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    private.add_new(0x0C, "IS", "1000")
    private.add_new(0x77, "LO", "not in the dictionary")
    save(still, folder / "still.dcm")
    save(quick_dataset(np.zeros((3, 8, 8), np.uint8), NumberOfFrames=3), folder / "sub" / "cine.dcm")
    plain = quick_dataset(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    del plain.PixelData
    plain.ContentSequence = [quick_dataset(PatientID="inside")]
    save(plain, folder / "report.dcm")
    cut = folder / "cut.dcm"
    save(quick_dataset(np.zeros((64, 64), np.uint16)), cut)
    cut.write_bytes(cut.read_bytes()[:-4000])
    return folder


def test_rows_are_those_of_that_program(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = export(tree, out, metadata=COMPAT, image={}, video={})
    found = rows(out)
    assert found == {
        "still.dcm": {
            **texts(tree / "still.dcm"), "dicom_file": "still.dcm", "media_file": "still.png", "media_type": "image",
        },
        "sub/cine.dcm": {
            **texts(tree / "sub" / "cine.dcm"),
            "dicom_file": "sub/cine.dcm", "media_file": "sub/cine.mp4", "media_type": "video",
        },
    }  # fmt: skip
    assert {"[B_value]", "Private Creator", "Private tag data"} <= found["still.dcm"].keys()
    lines = (out / "metadata.jsonl").read_bytes()
    assert lines == b"".join(
        json.dumps(row, sort_keys=True).encode() + b"\n" for row in (found["still.dcm"], found["sub/cine.dcm"])
    )
    assert lines.isascii()
    assert (summary.found, summary.exported, sum(summary.failed.values())) == (4, 3, 1)


def test_a_table_of_such_rows_has_their_columns(tree: Path, tmp_path: Path) -> None:
    export(tree, tmp_path / "out", metadata=COMPAT, image={}, video={})
    with open(tmp_path / "out" / "metadata.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert {name for row in found for name in row} == {
        *texts(tree / "still.dcm"),
        *texts(tree / "sub" / "cine.dcm"),
    } | KNOWN
    assert found[0]["Patient's Name"] == "Ärzte^Zoë"


def test_such_rows_are_kept_when_more_is_made(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(tree, out, metadata=COMPAT, image={}, video={})
    before = rows(out)
    export(tree, out, metadata=COMPAT, image={}, video={}, volume={}, preview={})
    assert rows(out) == before
    assert export(tree, out, metadata=COMPAT, image={}, video={}, volume={}, preview={}).handled <= 1  # the cut one
    config = {"dicom": {"dir": str(tree)}, "output": {"dir": str(out)}, "num_workers": 0, "metadata": COMPAT}
    done = verify(load_config({**config, "image": {}, "video": {}, "volume": {}, "preview": {}}))
    assert not done.findings


def test_rows_of_real_files(dicom_files: list[Path], tmp_path: Path) -> None:
    folder = next(path for path in dicom_files if path.name == "CT_small.dcm").parent
    export(folder, tmp_path / "out", metadata={**COMPAT, "tables": []})
    found = rows(tmp_path / "out")
    assert len(found) > 100
    compared = 0
    for name, row in found.items():
        try:
            expected: dict[str, Any] = texts(folder / name)
        except Exception:
            continue
        assert {key: value for key, value in row.items() if key not in KNOWN} == expected, name
        compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("metadata.mr_clean", {"metadata": {**COMPAT, "mr_clean": True}}),
        ("metadata.columns", {"metadata": {**COMPAT, "columns": "flat"}}),
        ("metadata.templates", {"metadata": {**COMPAT, "templates": "dicom_tags"}}),
        ("volume.name", {"metadata": COMPAT, "volume": {"name": "{PatientID}"}}),
        ("metadata.compat", {"metadata": COMPAT, "privacy": {"private": "elsewhere"}}),
        ("media.name", {"metadata": COMPAT, "image": {}, "media": {"name": "{PatientID}"}}),
    ],
)
def test_what_needs_our_rows_is_refused_beside_it(key: str, sections: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{key}.*: (needs rows with all elements|not with privacy)"):
        load_config({"dicom": {"dir": "in"}, **sections})


def test_names_of_private_elements(tree: Path, tmp_path: Path) -> None:
    by_name = {"keys": "name", "columns": "flat"}
    export(tree, tmp_path / "name", metadata=by_name)
    export(tree, tmp_path / "keyword", metadata={"columns": "flat"})
    row = rows(tmp_path / "name")["still.dcm"]
    dataset = pydicom.dcmread(tree / "still.dcm", stop_before_pixels=True)
    assert {one.name for one in dataset} <= row.keys()
    assert row["[B_value]"] == 1000
    assert row[PRIVATE]["[B_value]"] == "(0019,xx0C) SIEMENS MR HEADER"
    flat = (tmp_path / "name" / "metadata.csv").read_text(encoding="utf-8")
    assert flat == (tmp_path / "keyword" / "metadata.csv").read_text(encoding="utf-8")


def test_shared_names_are_told_apart_and_led_back() -> None:
    record = {
        "Patient ID": "1",
        "(0019,0010)": "SIEMENS MR HEADER",
        "(0019,xx0C) SIEMENS MR HEADER": 1000,
        "(0021,0010)": "NOBODY",
        "(0021,xx01) NOBODY": 1,
        "(0021,xx02) NOBODY": [2, 3],
        "Some Sequence": [{"(0021,0010)": "NOBODY", "(0021,xx01) NOBODY": 4}],
    }
    row = named(record)
    assert row["Private Creator#2"] == "NOBODY"
    assert (row["Private tag data"], row["Private tag data#2"]) == (1, [2, 3])
    assert row["Some Sequence"] == [{"Private Creator#2": "NOBODY", "Private tag data": 4}]
    assert restored(row) == record
    assert named({"Patient ID": "1"}) == {"Patient ID": "1"}


def exporter_config(folder: Path, name: str) -> Path:
    """A configuration as that program's manual prints it."""
    path = folder / f"{name}.yml"
    document = {
        "num_workers": 0,
        "dicom": {"dir": "in", "recursive": True},
        "media": {"dir": f"media_{name}", "overwrite": False},
        "metadata": {"file": f"meta/{name}.jsonl", "append": False},
        "config": {"file": f"meta/{name}_config.yml"},
        "video": {
            "extension": ".mp4",
            "save_method_kwargs": {
                "encoding_format": "h264",
                "encoding_args": {"pix_fmt": "yuv420p", "options": {"crf": "17"}},
            },
        },
        "image": {"extension": ".png", "save_method_kwargs": {"pil_writer_params": {}}},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_two_configurations_in_one_folder_leave_each_other_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(load_config(exporter_config(tmp_path, "one")))
    first = {path: path.read_bytes() for path in (tmp_path / "meta").iterdir()}
    (tree / "sub" / "cine.dcm").unlink()
    run(load_config(exporter_config(tmp_path, "two")))
    assert {path: path.read_bytes() for path in first} == first
    names = {path.name for path in (tmp_path / "meta").iterdir()}
    own = ["jsonl", "jsonl.ledger", "csv", "series.csv", "summary.json", "unreadable_files.csv", "report.html"]
    own.append("missing_files.csv")
    assert names == {f"{name}.{end}" for name in ("one", "two") for end in own} | {"one_config.yml", "two_config.yml"}
    assert {path.name for path in tmp_path.iterdir()} == {"in", "meta", "media_one", "media_two", "one.yml", "two.yml"}
    assert len(read_series(tmp_path / "meta" / "one.jsonl")) == len(read_series(tmp_path / "meta" / "one.series.csv"))
    report = (tmp_path / "meta" / "one.report.html").read_text(encoding="utf-8")
    assert 'href="one.csv"' in report
    assert '"../media_one"' in report


def test_one_line_says_how_rows_differ(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = exporter_config(tmp_path, "one")
    with caplog.at_level(logging.WARNING, "dme"):
        run(load_config(path))
    assert [text for text in caplog.messages if "metadata.compat: seed003" in text and "\n" not in text]
    caplog.clear()
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["config"] = {"file": "other_config.yml"}
    document["metadata"] = {"file": "other.jsonl", "append": True, "keys": "name"}
    with caplog.at_level(logging.WARNING, "dme"):
        run(load_config(document))
    assert not [text for text in caplog.messages if "compat" in text]


def test_volumes_of_several_slices_keep_such_rows(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", n=4)
    save(quick_dataset(np.zeros((8, 8), np.uint8), SeriesInstanceUID=make_uid("other")), tmp_path / "in" / "other.dcm")
    export(tmp_path / "in", tmp_path / "out", workers=1, metadata=COMPAT, image={}, volume={})
    assert len(rows(tmp_path / "out")) == 5

"""A configuration that changes between runs: what is added is made, and nothing else; the result is a fresh run's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.cines import cine
from support.config_changes import counted
from support.encapsulated import document
from support.factories import ct_series, quick_dataset, save
from support.runs import content, export, rows

from crawler.config.checking import keys
from crawler.config.loader import Config
from crawler.errors import ConfigError

SLICES, FRAMES = 4, 3
IMAGES = SLICES + 1  # and a file without neighbours; a copy of a slice is in no volume, and has a picture
BASE: dict[str, Any] = {"metadata": {}, "media": {}, "image": {}, "video": {}, "volume": {}}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("changed") / "in"
    paths = ct_series(folder / "ct", n=SLICES, WindowCenter=40, WindowWidth=400)
    shutil.copy(paths[1], folder / "ct" / "copy.dcm")
    cine(folder / "us" / "cine.dcm", FRAMES)
    document(folder / "doc" / "letter.dcm", b"%PDF-1.4\n%%EOF\n")
    single = quick_dataset(SOPInstanceUID="1.2.3.9", SeriesInstanceUID="1.2.3.8", WindowCenter=40, WindowWidth=400)
    save(single, folder / "single" / "a.dcm")
    return folder


def with_keys(base: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """The sections, with some replaced; None takes one out."""
    return {name: value for name, value in {**base, **sections}.items() if value is not None}


def merged(made: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name in fresh}


# What is added -> frames that are decoded for it. Headers of a scan that lacks a part are read; its pixels are not,
# where the part does not show them.
ADDED: dict[str, tuple[dict[str, Any], int]] = {
    "volume.formats": ({"volume": {"formats": ["hdf5", "npz"]}}, IMAGES + FRAMES),
    "volume.formats nifti": ({"volume": {"formats": ["nifti", "hdf5"]}}, IMAGES + FRAMES),
    "video.extension": ({"video": {"extension": [".mp4", ".gif"]}}, FRAMES),
    "video.extension frames": ({"video": {"extension": ["frames", ".mp4"]}}, FRAMES),
    "video.series": ({"video": {"series": True}}, SLICES),
    "preview": ({"preview": {}}, IMAGES + FRAMES),
    "quality": ({"quality": {}}, IMAGES + 1 + FRAMES),
    "metadata.text": ({"metadata": {"text": True}}, 0),
    "volume.statistics": ({"volume": {"statistics": True}}, IMAGES + FRAMES),
}


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("group", ["folder", "tree"])
def test_what_is_added_is_made_and_nothing_else(tree, tmp_path, name, group):
    change, decoded = ADDED[name]
    dicom = {"dicom": {"group": group}}
    sections = with_keys(BASE, **change)
    export(tree, tmp_path / "out", **BASE, **dicom)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix in (".png", ".mp4", ".h5")}
    with counted() as counts:
        export(tree, tmp_path / "out", **sections, **dicom)
    assert counts["decoded"] <= decoded
    assert {path: path.stat().st_mtime_ns for path in times if path.name != "pixel_data.h5"} == {
        path: time for path, time in times.items() if path.name != "pixel_data.h5"
    }
    export(tree, tmp_path / "fresh", **sections, **dicom)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert (tmp_path / "out" / "metadata.jsonl").read_bytes() == (tmp_path / "fresh" / "metadata.jsonl").read_bytes()
    with counted() as counts:
        assert export(tree, tmp_path / "out", **sections, **dicom).handled == 0
    assert not counts


@pytest.mark.parametrize("name", ["image", "video", "media", "volume"])
def test_a_section_that_was_missing_is_made(tree, tmp_path, name):
    less = with_keys(BASE, **({name: None} if name != "media" else {"media": None, "image": None, "video": None}))
    export(tree, tmp_path / "out", **less)
    with counted() as counts:
        export(tree, tmp_path / "out", **BASE)
    assert counts["decoded"] <= {"image": IMAGES + 1, "video": FRAMES}.get(name, IMAGES + 1 + FRAMES)
    export(tree, tmp_path / "fresh", **BASE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


@pytest.mark.parametrize("name", ["image", "video", "volume", "preview", "quality"])
def test_a_section_that_is_removed_is_made_no_longer_and_what_is_there_stays(tree, tmp_path, name):
    whole = {**BASE, "preview": {}, "quality": {}}
    export(tree, tmp_path / "out", **whole)
    before = content(tmp_path / "out")
    with counted() as counts:
        assert export(tree, tmp_path / "out", **with_keys(whole, **{name: None})).handled == 0
    assert not counts
    ours = {path: value for path, value in before.items() if "." in path and path not in ("report.html", "series.csv")}
    assert ours == merged(content(tmp_path / "out"), ours)
    assert export(tree, tmp_path / "out", **whole).handled == 0  # asked for again: it is there
    assert content(tmp_path / "out") == before


def test_what_was_off_meanwhile_is_made_for_what_came_meanwhile(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", **BASE)
    ct_series(tmp_path / "in" / "more", n=2, uid="1.2.3.77")
    export(tmp_path / "in", tmp_path / "out", **with_keys(BASE, volume=None))
    with counted() as counts:
        export(tmp_path / "in", tmp_path / "out", **BASE)
    assert counts["decoded"] == 2
    export(tmp_path / "in", tmp_path / "fresh", **BASE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


# Key -> the section that holds it with another value, and the sections to make anew, which the refusal names.
CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "metadata.keys": ({"metadata": {"keys": "tag"}}, "metadata"),
    "metadata.compat": ({"metadata": {"compat": "seed003"}}, "metadata"),
    "media.dir": ({"media": {"dir": "elsewhere"}}, "image,media,video"),
    "image.extension": ({"image": {"extension": ".tif"}}, "image"),
    "image.bits": ({"image": {"bits": 8}}, "image"),
    "image.window": ({"image": {"window": [40, 80]}}, "image,preview,video"),
    "image.overlays": ({"image": {"overlays": True}}, "image,preview,video"),
    "image.crop": ({"image": {"crop": "us_region"}}, "image,preview,video"),
    "video.fps": ({"video": {"fps": 7}}, "video"),
    "video.default_fps": ({"video": {"default_fps": 7}}, "video"),
    "volume.dir": ({"volume": {"dir": "elsewhere"}}, "volume"),
    "volume.compression": ({"volume": {"compression": "none"}}, "volume"),
    "volume.values": ({"volume": {"values": "stored"}}, "preview,volume"),
    "volume.irregular": ({"volume": {"irregular": "keep"}}, "preview,volume"),
    "volume.tolerance": ({"volume": {"tolerance": 0.2}}, "preview,volume"),
    "volume.order": ({"volume": {"order": "none"}}, "preview,volume"),
    "volume.split": ({"volume": {"split": ["te"]}}, "preview,volume"),
    "preview.dir": ({"preview": {"dir": "elsewhere"}}, "preview"),
    "preview.size": ({"preview": {"size": 64}}, "preview"),
    "quality.share": ({"quality": {"share": 0.5}}, "quality"),
    "quality.thresholds": ({"quality": {"thresholds": {"CT": {"contrast": 8}}}}, "quality"),
    "select.derived": ({"select": {"derived": False}}, "select"),
    "select.exclude_words": ({"select": {"exclude_words": ["scout"]}}, "select"),
    "dicom.recursive": ({"dicom": {"recursive": False, "max_lost": 1}}, "dicom"),
}


@pytest.mark.parametrize("key", CHANGED)
def test_a_changed_key_is_refused_by_name_and_its_section_made_anew(tree, tmp_path, key):
    change, sections = CHANGED[key]
    before = {**BASE, "preview": {}, "quality": {}}
    now = with_keys(before, **change)
    export(tree, tmp_path / "out", **before)
    with pytest.raises(ConfigError, match=rf"{key} was .* --rebuild {sections}[ ,]"), counted() as counts:
        export(tree, tmp_path / "out", **now)
    assert not counts
    export(tree, tmp_path / "out", rebuild=sections.split(","), **now)
    if key.endswith(".dir"):  # what lies in a folder that is ours no longer stays, as with --rebuild
        shutil.rmtree(tmp_path / "out" / {"media": "media", "volume": "volumes", "preview": "previews"}[key[:-4]])
    export(tree, tmp_path / "fresh", **now)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_section_made_anew_decodes_what_it_needs(tree, tmp_path):
    export(tree, tmp_path / "out", **BASE)
    with counted() as counts:
        export(tree, tmp_path / "out", rebuild="video", **with_keys(BASE, video={"fps": 7}))
    assert counts["decoded"] == FRAMES


def test_every_key_that_shapes_outputs_is_tried():
    tried = {*CHANGED, *(name.split()[0] for name in ADDED)}
    alike = ("video.save_method_kwargs.", "image.save_method_kwargs.", "select.", "pacs.", "media.")  # of one kind
    others = {"dicom.dir", "dicom.group", "metadata.file"}  # below; another file is another output
    for key in keys(Config):
        if key.metadata.get("shapes", True) and not key.path.startswith(alike):
            assert key.path in tried | others, key.path


@pytest.mark.parametrize("roots", [("a",), ("a", "b")])
def test_a_new_root_is_made_alone(tmp_path, roots):
    for number, name in enumerate("abc"):
        ct_series(tmp_path / name / "ct", n=2, uid=f"1.2.3.{number}")
    before = [tmp_path / name for name in roots]
    export(before if len(before) > 1 else before[0], tmp_path / "out", **BASE)
    known = rows(tmp_path / "out")
    with counted() as counts:
        export([*before, tmp_path / "c"], tmp_path / "out", **BASE)
    assert counts["opened"] == 2
    found = rows(tmp_path / "out")
    assert {name: found[name] for name in known} == known, "what is there keeps its names"
    assert {*found} - {*known} == {"c/ct/0000.dcm", "c/ct/0001.dcm"}
    if len(roots) > 1:
        export([*before, tmp_path / "c"], tmp_path / "fresh", **BASE)
        assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert export([*before, tmp_path / "c"], tmp_path / "out", **BASE).handled == 0


def test_a_root_that_is_removed_is_refused_and_goes_on_demand(tmp_path):
    for number, name in enumerate("abc"):
        ct_series(tmp_path / name / "ct", n=2, uid=f"1.2.3.{number}")
    roots = [tmp_path / name for name in "abc"]
    export(roots, tmp_path / "out", **BASE)
    with pytest.raises(ConfigError, match=r"dicom\.dir: .*/c was an input .* --rebuild dicom"):
        export(roots[:2], tmp_path / "out", **BASE)
    with counted() as counts:
        export(roots[:2], tmp_path / "out", rebuild="dicom", **BASE)
    assert not counts
    export(roots[:2], tmp_path / "fresh", **BASE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_folder_named_like_a_later_root_is_told_apart(tmp_path):
    ct_series(tmp_path / "a" / "c", n=2, uid="1.2.3.1")
    ct_series(tmp_path / "c", n=2, uid="1.2.3.2")
    export(tmp_path / "a", tmp_path / "out", **BASE)
    export([tmp_path / "a", tmp_path / "c"], tmp_path / "out", **BASE)
    assert sorted(rows(tmp_path / "out")) == ["c-2/0000.dcm", "c-2/0001.dcm", "c/0000.dcm", "c/0001.dcm"]


def test_files_that_failed_are_made_as_a_whole(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    bad = tmp_path / "in" / "ct" / "0002.dcm"
    bad.write_bytes(bad.read_bytes()[:-20])
    less = with_keys(BASE, image=None, video=None)
    export(tmp_path / "in", tmp_path / "out", **less)
    export(tmp_path / "in", tmp_path / "out", **BASE)
    export(tmp_path / "in", tmp_path / "fresh", **BASE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_file_that_fails_by_what_is_added_has_its_scan_made_anew(tmp_path):
    ct_series(tmp_path / "in", n=4)
    bad = tmp_path / "in" / "0002.dcm"
    bad.write_bytes(bad.read_bytes()[:-20])
    export(tmp_path / "in", tmp_path / "out", metadata={})
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    export(tmp_path / "in", tmp_path / "fresh", metadata={}, volume={})
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_kill_in_between_is_taken_up(tree, tmp_path, monkeypatch):
    """The run that adds a format stops after its first scan; the next one goes on."""
    from crawler.engine.recorder import Recorder

    export(tree, tmp_path / "out", **BASE)
    record, seen = Recorder.scan, []

    def stop(self: Recorder, *values: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(1)
        record(self, *values)
        self.store.commit()

    more = with_keys(BASE, volume={"formats": ["hdf5", "npz"]})
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "scan", stop)
        with pytest.raises(KeyboardInterrupt):
            export(tree, tmp_path / "out", **more)
    export(tree, tmp_path / "out", **more)
    export(tree, tmp_path / "fresh", **more)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_what_rebuild_does_not_know_is_refused(tree, tmp_path):
    with pytest.raises(ConfigError, match="rebuild: volumes is no section"):
        export(tree, tmp_path / "out", rebuild="volumes", **BASE)

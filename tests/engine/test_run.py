"""The engine's promises, each on a real run: accounting, parity, resume, updates, names, bad input."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.factories import ct_series, multiframe, quick_dataset, save, tiny
from support.runs import ALL, accounts_hold, config, content, export, failures, rows
from support.samples import copy_sample

from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError, OutputError, SourceError


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    copy_sample(folder, broken=True)
    return folder


def files_in(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_the_sample_with_damaged_files_is_accounted_for(sample, tmp_path):
    summary = export(sample, tmp_path)
    accounts_hold(summary, files_in(sample))
    assert summary.exit_code == 3
    damaged = {f"broken/{path.name}" for path in (sample / "broken").iterdir()}
    assert set(failures(tmp_path)) == damaged
    assert summary.skipped == {"not DICOM": 1}
    found = rows(tmp_path)
    for name, row in found.items():
        assert (row["outcome"] == "failed") == (name in damaged)
        if row["outcome"] == "exported" and row["media_file"]:
            assert (tmp_path / "media" / row["media_file"]).is_file()
        for volume in row["volume_files"]:
            assert (tmp_path / "volumes" / volume).is_file()


def test_the_sample_alone_is_all_well(tmp_path):
    copy_sample(tmp_path / "in")
    assert export(tmp_path / "in", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_outputs_do_not_depend_on_the_number_of_workers(sample, tmp_path, workers):
    export(sample, tmp_path / "none")
    export(sample, tmp_path / "some", workers)
    assert content(tmp_path / "some") == content(tmp_path / "none")


def test_outputs_do_not_depend_on_how_workers_start(sample, tmp_path, monkeypatch):
    """Windows and macOS start them by spawn."""
    export(sample, tmp_path / "forked", 2)
    monkeypatch.setattr("crawler.engine.pool.start_method", lambda: "spawn")
    export(sample, tmp_path / "spawned", 2)
    assert content(tmp_path / "spawned") == content(tmp_path / "forked")


def test_slices_land_where_their_positions_say(tmp_path):
    ct_series(tmp_path / "in", n=7, orientation="oblique", shuffle=True)
    export(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out" / "volumes").rglob("*.h5")
    with h5py.File(path) as file:
        image, provenance = file["image"], file["provenance"][...]
        assert image.shape[0] == 7
        affine = image.attrs["affine"]
        for place, one in enumerate(provenance):
            assert np.allclose((affine @ [place, 0, 0, 1])[:3], one["position"], atol=1e-3)
    with h5py.File(tmp_path / "out" / "pixel_data.h5") as index:
        (scan_id,) = {row["scan_id"] for row in rows(tmp_path / "out").values()}
        assert index[scan_id]["1"].shape == image_shape(path)


def image_shape(path: Path) -> tuple[int, ...]:
    with h5py.File(path) as file:
        return file["image"].shape


def test_a_second_run_opens_no_file_and_changes_nothing(sample, tmp_path, monkeypatch):
    export(sample, tmp_path)
    before = content(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.suffix in (".png", ".mp4", ".h5")}

    import crawler.dicom.files

    def refuse(*_):
        raise AssertionError("a DICOM file was opened")

    monkeypatch.setattr(crawler.dicom.files, "open_file", refuse)
    for module in [module for name, module in sys.modules.items() if name.startswith("crawler.")]:
        if hasattr(module, "open_file"):
            monkeypatch.setattr(module, "open_file", refuse)
    summary = export(sample, tmp_path)
    assert summary.handled == 0
    assert content(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_one_changed_slice_exports_its_scan_alone(tmp_path, monkeypatch, change, size):
    if size == "large":
        monkeypatch.setattr("crawler.engine.plan.FOLDER_FILES", 4)
        monkeypatch.setattr("crawler.engine.crawl.FOLDER_FILES", 4)
        monkeypatch.setattr("crawler.engine.plan.INDEX_FILES", 3)
    tree = tmp_path / "in"
    touched = ct_series(tree, n=6, uid="1.2.3.1")
    others = ct_series(tmp_path / "other", n=5, uid="1.2.3.2", orientation="sagittal")
    for path in others:
        shutil.move(path, tree / f"other-{path.name}")
    spare = tmp_path / "spare"
    spare.mkdir()
    if change == "add":
        shutil.move(touched[3], spare / touched[3].name)
    export(tree, tmp_path / "out")
    volumes = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "volumes").iterdir()}
    if change == "add":
        shutil.move(spare / touched[3].name, touched[3])
    elif change == "remove":
        touched[2].unlink()
    else:
        data = touched[2].read_bytes()
        touched[2].write_bytes(data[:-2] + b"\x07\x00")
    summary = export(tree, tmp_path / "out")
    export(tree, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert summary.exit_code == 0
    other = {row["volume_file"] for name, row in rows(tmp_path / "out").items() if name.startswith("other-")}
    for name in other:
        assert (tmp_path / "out" / "volumes" / name).stat().st_mtime_ns == volumes[name], "another scan was made again"


def test_a_large_folder_gives_what_a_small_one_gives(sample, tmp_path, monkeypatch):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(path for path in sample.rglob("*") if path.is_file())):
        shutil.copy(path, flat / f"{number:03}{path.suffix}")
    export(flat, tmp_path / "small")
    monkeypatch.setattr("crawler.engine.plan.FOLDER_FILES", 4)
    monkeypatch.setattr("crawler.engine.crawl.FOLDER_FILES", 4)
    monkeypatch.setattr("crawler.engine.plan.INDEX_FILES", 7)
    monkeypatch.setattr("crawler.engine.plan.BUNDLE_FILES", 5)
    monkeypatch.setattr("crawler.export.result.INLINE", 1000)
    export(flat, tmp_path / "large")
    assert content(tmp_path / "large") == content(tmp_path / "small")


def test_a_folder_that_vanishes_takes_its_outputs_along(tmp_path):
    ct_series(tmp_path / "in" / "a", n=3, uid="1.2.3.1")
    ct_series(tmp_path / "in" / "b", n=3, uid="1.2.3.2")
    export(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in" / "a")
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 3)
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert not (tmp_path / "out" / "media" / "a").exists()


def test_a_frame_that_fails_leaves_no_hole(tmp_path):
    paths = ct_series(tmp_path / "in", n=6)
    data = paths[5].read_bytes()
    paths[5].write_bytes(data[:-50])
    summary = export(tmp_path / "in", tmp_path / "out")
    assert summary.failed == {"pixels: truncated pixel data": 1}
    assert rows(tmp_path / "out")[paths[5].name]["outcome"] == "failed"
    shapes = [image_shape(path) for path in (tmp_path / "out" / "volumes").rglob("*.h5")]
    assert sum(shape[0] for shape in shapes) == 5


def test_files_with_one_stem_get_an_output_each(tmp_path):
    tree = tmp_path / "in"
    for number, name in enumerate(("IM1", "IM1.dcm", "IM1.ima", "IM2.dcm")):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{number}"), tree / name)
    export(tree, tmp_path / "out")
    media = {name: row["media_file"] for name, row in rows(tmp_path / "out").items()}
    assert media == {"IM1": "IM1.png", "IM1.dcm": "IM1.dcm.png", "IM1.ima": "IM1.ima.png", "IM2.dcm": "IM2.png"}


def test_two_roots_with_one_name_do_not_collide(tmp_path):
    for number, parent in enumerate(("one", "two")):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{number}"), tmp_path / parent / "data" / "a.dcm")
    summary = export([tmp_path / "one" / "data", tmp_path / "two" / "data"], tmp_path / "out")
    accounts_hold(summary, 2)
    assert set(rows(tmp_path / "out")) == {"data/a.dcm", "data-2/a.dcm"}


def test_a_tag_value_never_becomes_a_path(tmp_path):
    evil = "../../evil"
    save(
        quick_dataset(SeriesDescription=evil, PatientID=evil, SeriesInstanceUID="1.2/../../3", StudyID=evil),
        tmp_path / "in" / "a.dcm",
    )
    export(tmp_path / "in", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert not [path for path in (tmp_path / "out").rglob("*") if "evil" in path.name]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the file system wants names in Unicode")
def test_names_in_any_bytes(tmp_path):
    tree = os.fsencode(tmp_path / "in")
    os.makedirs(tree)
    names = [b"caf\xe9", b"caf\\xe9", "café".encode(), b"new\nline", b'quo"te']
    for number, name in enumerate(names):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "plain.dcm")
        shutil.move(os.fsencode(tmp_path / "plain.dcm"), os.path.join(tree, name))
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, len(names))
    assert summary.exit_code == 0
    assert len(rows(tmp_path / "out")) == len(names)
    media = {os.fsencode(name) for name in os.listdir(tmp_path / "out" / "media")}
    assert media == {name + b".png" for name in names}


def test_links_loops_and_what_is_no_file(tmp_path):
    tree = tmp_path / "in"
    save(quick_dataset(), tree / "a.dcm")
    if sys.platform == "win32":
        pytest.skip("needs symbolic links")
    (tree / "loop").symlink_to(tree)
    (tree / "gone").symlink_to(tree / "nowhere")
    os.mkfifo(tree / "pipe")
    summary = export(tree, tmp_path / "out")
    accounts_hold(summary, 3)
    assert summary.skipped == {"not a regular file": 1}
    assert failures(tmp_path / "out")["gone"]["stage"] == "find"


def test_outputs_inside_the_input_are_not_crawled(tmp_path):
    save(quick_dataset(), tmp_path / "a.dcm")
    for _ in range(2):
        summary = run(config(tmp_path, tmp_path / "out"))
        accounts_hold(summary, 1)
    (tmp_path / "out" / "media" / "b.dcm").write_bytes((tmp_path / "a.dcm").read_bytes())
    accounts_hold(run(config(tmp_path, tmp_path / "out")), 1)


def test_outputs_in_the_current_folder_hide_no_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(quick_dataset(), tmp_path / "a.dcm")
    for _ in range(2):
        settings = config(tmp_path, tmp_path).from_mapping({"num_workers": 0, "dicom": {"dir": "."}, **ALL})
        accounts_hold(run(settings), 1)


def test_byte_identical_copies_enter_a_volume_once(tmp_path):
    paths = ct_series(tmp_path / "in", n=4)
    shutil.copy(paths[1], tmp_path / "in" / "zcopy.dcm")
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 5)
    assert summary.skipped == {"duplicate": 1}
    assert rows(tmp_path / "out")["zcopy.dcm"]["media_file"] == "zcopy.png"
    (volume,) = (tmp_path / "out" / "volumes").rglob("*.h5")
    assert image_shape(volume)[0] == 4


def test_a_file_that_is_not_ours_is_not_written_over(tmp_path):
    ct_series(tmp_path / "in", n=2)
    (tmp_path / "out" / "media").mkdir(parents=True)
    name = sorted(os.listdir(tmp_path / "in"))[0].removesuffix(".dcm") + ".png"
    theirs = tmp_path / "out" / "media" / name
    theirs.write_text("theirs")
    for _ in range(2):
        summary = export(tmp_path / "in", tmp_path / "out")
        assert summary.skipped == {"exists": 1}
        assert theirs.read_text() == "theirs"
    assert [row["media_file"] for row in rows(tmp_path / "out").values() if row["reason"] == "exists"] == [name]


def test_a_new_section_is_made_for_what_is_there(sample, tmp_path):
    export(sample, tmp_path / "out", metadata={})
    export(sample, tmp_path / "out")
    export(sample, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_changed_key_is_refused_by_name_unless_rebuilt(sample, tmp_path):
    export(sample, tmp_path / "out")
    other = {**ALL, "image": {"bits": 8}}
    with pytest.raises(ConfigError, match=r"image\.bits was 16 .* --rebuild"):
        export(sample, tmp_path / "out", **other)
    export(sample, tmp_path / "out", rebuild=True, **other)
    export(sample, tmp_path / "fresh", **other)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_failed_files_are_tried_again_on_demand(tmp_path):
    save(quick_dataset(), tmp_path / "in" / "good.dcm")
    path = save(quick_dataset(SOPInstanceUID="1.2.3.9"), tmp_path / "in" / "bad.dcm")
    whole = path.read_bytes()
    info = path.stat()
    path.write_bytes(whole[:-40])
    assert export(tmp_path / "in", tmp_path / "out").exit_code == 3
    assert export(tmp_path / "in", tmp_path / "out").handled == 0
    assert export(tmp_path / "in", tmp_path / "out", retry_failed=True).handled > 0
    path.write_bytes(whole)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 10**9))
    assert export(tmp_path / "in", tmp_path / "out").exit_code == 0


def test_files_that_failed_for_one_reason_are_tried_again_alone(tmp_path):
    save(quick_dataset(SeriesInstanceUID="1.2.1"), tmp_path / "in" / "good" / "a.dcm")
    cut = save(quick_dataset(SeriesInstanceUID="1.2.2"), tmp_path / "in" / "cut" / "a.dcm")
    torn = save(quick_dataset(SeriesInstanceUID="1.2.3"), tmp_path / "in" / "torn" / "a.dcm")
    cut.write_bytes(cut.read_bytes()[:-10])
    torn.write_bytes(torn.read_bytes()[:200])
    first = export(tmp_path / "in", tmp_path / "out")
    assert len(first.failed) == 2
    reason = "pixels: truncated pixel data"
    other = next(one for one in first.failed if one != reason)
    for reasons in (reason, [reason], [other]):
        again = export(tmp_path / "in", tmp_path / "out", retry_failed=reasons)
        assert (again.handled, again.failed) == (1, first.failed)
    assert export(tmp_path / "in", tmp_path / "out", retry_failed=[reason, other]).handled == 2
    assert export(tmp_path / "in", tmp_path / "out", retry_failed=[]).handled == 0
    with pytest.raises(ConfigError, match=r"no file failed for the reason 'truncated'; .*pixels: tru"):
        export(tmp_path / "in", tmp_path / "out", retry_failed="truncated")


class TestBadInput:
    """Each ends in one line with the way out, or in a stated recovery."""

    def test_missing_folder(self, tmp_path):
        with pytest.raises(SourceError, match=r"does not exist; correct the path"):
            export(tmp_path / "nowhere", tmp_path / "out")

    def test_empty_folder(self, tmp_path):
        (tmp_path / "in").mkdir()
        summary = export(tmp_path / "in", tmp_path / "out")
        accounts_hold(summary, 0)
        assert summary.exit_code == 0

    def test_output_that_cannot_be_written(self, tmp_path):
        save(quick_dataset(), tmp_path / "in" / "a.dcm")
        (tmp_path / "out").write_text("a file lies here")
        with pytest.raises(OutputError, match="cannot be"):
            export(tmp_path / "in", tmp_path / "out")

    def test_a_jsonl_that_is_not_ours(self, tmp_path):
        save(quick_dataset(), tmp_path / "in" / "a.dcm")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "metadata.jsonl").write_text('{"theirs": 1}\n')
        with pytest.raises(LedgerError, match="no ledger of ours names it"):
            export(tmp_path / "in", tmp_path / "out")
        assert (tmp_path / "out" / "metadata.jsonl").read_text() == '{"theirs": 1}\n'

    def test_append_false_with_a_finished_file(self, tmp_path):
        save(quick_dataset(), tmp_path / "in" / "a.dcm")
        once = {"metadata": {"append": False}}
        export(tmp_path / "in", tmp_path / "out", **once)
        with pytest.raises(LedgerError, match="append is false"):
            export(tmp_path / "in", tmp_path / "out", **once)

    @pytest.mark.parametrize("keep", [0, 0.4])
    def test_a_jsonl_that_lost_rows_gets_them_again(self, sample, tmp_path, keep):
        export(sample, tmp_path)
        before = content(tmp_path)
        path = tmp_path / "metadata.jsonl"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        export(sample, tmp_path)
        assert content(tmp_path) == before

    def test_a_jsonl_that_vanished_is_made_again(self, sample, tmp_path):
        export(sample, tmp_path)
        before = content(tmp_path)
        (tmp_path / "metadata.jsonl").unlink()
        export(sample, tmp_path)
        assert content(tmp_path) == before

    def test_rows_that_no_commit_recorded_are_cut(self, sample, tmp_path):
        export(sample, tmp_path)
        before = content(tmp_path)
        with open(tmp_path / "metadata.jsonl", "a") as file:
            file.write('{"half": ')
        export(sample, tmp_path)
        assert content(tmp_path) == before

    @pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
    def test_a_damaged_ledger(self, sample, tmp_path, damage):
        export(sample, tmp_path)
        before = content(tmp_path)
        ledger = tmp_path / "metadata.jsonl.ledger"
        ledger.write_bytes(damage)
        with pytest.raises(LedgerError, match=r"--rebuild|no ledger of ours|does not name"):
            export(sample, tmp_path)
        export(sample, tmp_path, rebuild=True, **{**ALL, "media": {"overwrite": True}})
        after = content(tmp_path)
        assert {name: after[name] for name in before} == before
        assert any("set-aside" in path.name for path in tmp_path.iterdir())

    def test_a_second_run_at_the_same_time(self, sample, tmp_path):
        from crawler.ledger.database import Ledger

        export(sample, tmp_path)
        other = Ledger(str(tmp_path / "metadata.jsonl.ledger"))
        try:
            with pytest.raises(LedgerError, match="in use"):
                export(sample, tmp_path)
        finally:
            other.close()


def test_a_marker_in_patient_elements_stays_in_the_metadata(tmp_path, capsys, caplog):
    """Names, identifiers and birth dates: not in log lines, error texts, failure logs, or names that we invent."""
    marker, birth, words = "MARKERXYZ", "19470823", "DESCRIBED"
    planted = {
        "PatientName": f"{marker}^One", "PatientID": marker,  "OtherPatientIDs": marker, "PatientBirthDate": birth,
        "AccessionNumber": marker, "SeriesDescription": words, "StudyDescription": marker, "InstitutionName": marker,
        "ReferringPhysicianName": marker, "PatientComments": marker,
    }  # fmt: skip
    tree = tmp_path / "in"
    paths = ct_series(tree / "ct", n=3)
    import pydicom

    for path in paths:
        dataset = pydicom.dcmread(path)
        for keyword, value in planted.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    for number, path in enumerate(paths[:2]):
        data = path.read_bytes()
        (tree / f"cut{number}.dcm").write_bytes(data[: -200 * (number + 1)])
        at = data.index(marker.encode())
        (tree / f"half{number}.dcm").write_bytes(data[: at + 4])
    (tree / "noise.dcm").write_bytes(bytes(128) + b"DICM" + marker.encode() * 20)
    multiframe(tree / "cine.dcm", 3, 8, 8)
    summary = export(tree, tmp_path / "out", 2)
    assert summary.failed
    for path in (tmp_path / "out").rglob("*"):
        assert marker not in path.name
        assert words not in path.name
        # Rows and the list of series are the metadata; the ledger keeps it, too, and volumes their description.
        if path.is_file() and not path.name.startswith(("metadata.", "series.")) and path.suffix != ".h5":
            data = path.read_bytes()
            assert marker.encode() not in data, path.name
            assert birth.encode() not in data, path.name
            assert words.encode() not in data or path.name == "report.html", "the report names series as people do"
    heard = capsys.readouterr()
    said = heard.out + heard.err + caplog.text + json.dumps(summary.to_json())
    assert marker not in said
    assert words not in said
    assert birth not in said


def test_tiny_files_by_the_thousand(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(1200):
        tiny(tmp_path / "in" / f"{number:05}", number, series=number // 10)
    summary = export(tmp_path / "in", tmp_path / "out", 2, metadata={"tables": []})
    accounts_hold(summary, 1200)
    assert summary.exit_code == 0
    assert len(rows(tmp_path / "out")) == 1200


def test_a_mosaic_gets_no_affine_that_is_not_true(tmp_path):
    path = ct_series(tmp_path / "in", n=1, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])[0]
    export(tmp_path / "in", tmp_path / "out")
    (volume,) = (tmp_path / "out" / "volumes").rglob("*.h5")
    with h5py.File(volume) as file:
        assert "affine" not in file["image"].attrs, path.name


@pytest.mark.parametrize(("values", "expected"), [("modality", (-976, "<i")), ("stored", (48, "<u"))])
def test_volumes_hold_the_values_that_are_asked_for(tmp_path, values, expected):
    pixels = np.full((4, 4), 48, np.uint16)
    save(quick_dataset(pixels, RescaleSlope=1, RescaleIntercept=-1024), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", volume={"values": values})
    (path,) = (tmp_path / "out" / "volumes").rglob("*.h5")
    with h5py.File(path) as file:
        assert file["image"][...].ravel().tolist() == [expected[0]] * 16
        assert file["image"].dtype.str.startswith(expected[1])
        assert file["image"].attrs["values"] == values


def test_a_format_that_cannot_hold_a_volume_costs_the_others_nothing(tmp_path):
    pytest.importorskip("nibabel", reason="pip install nibabel")
    colour = np.zeros((4, 4, 3), np.uint16)
    save(quick_dataset(colour), tmp_path / "in" / "deep.dcm")
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"formats": ["nifti", "hdf5"]})
    assert not summary.failed  # NIfTI has no type for colour of 16 bits: left out, and said
    assert ".nii.gz omitted" in (tmp_path / "out" / "series.csv").read_text("utf-8")
    (row,) = rows(tmp_path / "out").values()
    assert row["volume_file"].endswith(".h5")
    assert image_shape(tmp_path / "out" / "volumes" / row["volume_file"]) == (1, 4, 4, 3)


def test_volumes_note_what_their_files_agree_on(tmp_path):
    pytest.importorskip("nibabel", reason="pip install nibabel")
    ct_series(tmp_path / "in", n=3, KVP=120, Manufacturer="ACME", PatientName="Doe^Jane")
    export(tmp_path / "in", tmp_path / "out", volume={"formats": ["nifti", "hdf5"]})
    (sidecar,) = (path for path in (tmp_path / "out" / "volumes").glob("*.json") if "provenance" not in path.name)
    fields = json.loads(sidecar.read_text())
    assert (fields["KVP"], fields["Manufacturer"]) == (120, "ACME")
    assert "Doe" not in sidecar.read_text()
    (volume,) = (tmp_path / "out" / "volumes").glob("*.h5")
    with h5py.File(volume) as file:
        assert file["image"].attrs["KVP"] == 120

"""`--dry-run`: what it tells is what a run then does, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.factories import ct_series, make_uid, quick_dataset, save, tiny
from support.runs import ALL, config, export
from support.samples import copy_sample

from crawler.cli.main import main
from crawler.cli.terminal import preflight_table, time_text
from crawler.config.sizes import size_text
from crawler.dryrun import survey as survey_module
from crawler.dryrun import trial as trial_module
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.header_sample import Prediction
from crawler.dryrun.preflight import Preflight, preflight
from crawler.dryrun.survey import EvenSample, survey
from crawler.engine.pool import start_method
from crawler.errors import OutputError
from crawler.instance.header import read_instance
from crawler.model import File, Outcome
from crawler.sources.directory import Folder, Root, roots_of

ROOT = Path(__file__).parents[2]
HEVC, JPIP = "1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.94"  # video, and pixels that lie elsewhere


def state(folder: Path) -> dict[str, Any]:
    """Every path below a folder; bytes and time of files."""
    paths = sorted(folder.rglob("*"))
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) if p.is_file() else "folder" for p in paths}


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this test alone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def pack(folder: Path, archive: Path) -> None:
    """Put a folder into a .zip or .tar.gz, by its own name."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for path in sorted(folder.iterdir()):
                target.write(path, f"{folder.name}/{path.name}")
    else:
        with tarfile.open(archive, "w:gz") as target:
            target.add(folder, folder.name)


def look(source: Path, out: Path, **sections: Any) -> Preflight:
    """A dry run in this process."""
    return preflight(config(source, out, **(sections or ALL)))


def test_sample_tree_as_the_command_tells_it(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_sample(tmp_path / "dicom_data", broken=True)
    (tmp_path / "c.yml").write_text((ROOT / "config.yml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = state(tmp_path)
    assert main(["c.yml", "--dry-run", "-q"]) == 0
    heard = capsys.readouterr()
    assert heard.err == ""
    for text in ("all headers", "modalities", "CT", "RLE Lossless", "trial run", "estimate", "python dme.py c.yml"):
        assert text in heard.out
    assert state(tmp_path) == before
    assert not list(scratch.iterdir())


def test_it_predicts_what_the_run_gives(tmp_path: Path) -> None:
    copy_sample(tmp_path / "in", broken=True)
    found = look(tmp_path / "in", tmp_path / "out")
    summary = export(tmp_path / "in", tmp_path / "out")
    assert found.survey.complete
    assert (found.survey.files, found.survey.size) == (summary.found, summary.bytes)
    assert found.headers.not_dicom == summary.skipped["not DICOM"]
    assert found.headers.scans == summary.scans
    in_header = {reason: count for reason, count in summary.failed.items() if reason.startswith("header")}
    assert {f"header: {reason}": count for reason, count in found.headers.failed.items()} == in_header
    assert found.trial is not None
    assert (found.trial.files, found.trial.failed) == (summary.found, summary.failed)
    seen = found.headers
    assert seen.files == seen.dicom + seen.not_dicom + seen.indexes + seen.failed.total()


def test_trees_that_cannot_be_run_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "c.yml"
    settings.write_text(f"dicom: {{dir: {tmp_path}/nowhere}}\nmetadata:\n")
    assert main([str(settings), "--dry-run"]) == 1
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "does not exist" in heard.err


def test_an_empty_tree(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    found = look(tmp_path / "in", tmp_path / "out")
    assert (found.trial, found.seconds, found.written) == (None, None, None)
    assert "Nothing was found" in preflight_table(found, "c.yml")


def test_outputs_inside_the_input_are_no_input(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "ct", 3)
    export(tmp_path / "in", tmp_path / "in" / "out")
    assert look(tmp_path / "in", tmp_path / "in" / "out").survey.files == 3


@pytest.mark.parametrize(("syntax", "words"), [(HEVC, "video transfer syntax"), (JPIP, "missing decoder")])
def test_missing_decoders_are_named(tmp_path: Path, syntax: str, words: str) -> None:
    dataset = quick_dataset(TransferSyntaxUID=syntax)
    dataset["PixelData"].VR = "OB"
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    dataset["PixelData"].is_undefined_length = True
    save(dataset, tmp_path / "in" / "a")
    save(quick_dataset(), tmp_path / "in" / "b")
    found = look(tmp_path / "in", tmp_path / "out")
    assert found.headers.undecodable.keys() == {syntax}
    assert found.headers.undecodable[syntax].startswith(words)
    assert f"CANNOT BE DECODED: {words}" in preflight_table(found, "c.yml")


@pytest.mark.parametrize(("irregular", "arrays", "refused"), [("split", 2, 0), ("refuse", 1, 1), ("keep", 1, 0)])
def test_splits_and_refusals(tmp_path: Path, irregular: str, arrays: int, refused: int) -> None:
    ct_series(tmp_path / "in" / "ct", 8, gap=4)
    found = look(tmp_path / "in", tmp_path / "out", metadata={}, volume={"irregular": irregular})
    told = found.headers.predictions
    if irregular == "keep":
        assert told == []
        return
    [one] = told
    assert isinstance(one, Prediction)
    assert (one.arrays, one.refused) == (arrays, refused)
    assert one.reason
    assert one.scan_id in preflight_table(found, "c.yml")


def test_series_in_several_folders(tmp_path: Path) -> None:
    for name in ("b", "a"):
        ct_series(tmp_path / "in" / name, 2, uid=make_uid("one"))
    ct_series(tmp_path / "in" / "c", 2)
    found = look(tmp_path / "in", tmp_path / "out")
    assert found.headers.scattered == [["a", "b"]]
    assert "1 lie in several folders" in preflight_table(found, "c.yml")


@pytest.mark.parametrize("name", ["cd.zip", "cd.tar.gz"])
def test_archives_are_looked_into(tmp_path: Path, scratch: Path, name: str) -> None:
    """Equal files, loose and packed, give equal tables but for the archive's own line."""
    ct_series(tmp_path / "loose" / "ct", 6, gap=3)
    (tmp_path / "in").mkdir()
    pack(tmp_path / "loose" / "ct", tmp_path / "in" / name)
    loose, packed = (look(tmp_path / folder, tmp_path / "out") for folder in ("loose", "in"))
    assert (packed.survey.files, packed.survey.archives.count, packed.survey.archives.members) == (1, 1, 6)
    assert packed.survey.complete
    assert packed.survey.expected_files == loose.survey.expected_files == 6
    assert packed.survey.expected_size == loose.survey.expected_size
    assert packed.headers.modalities == loose.headers.modalities
    [one], [other] = packed.headers.predictions, loose.headers.predictions
    assert one.scan_id.startswith(f"{name}/ct/")
    assert one.arrays == other.arrays == 2
    assert packed.trial is not None
    assert (packed.trial.files, packed.trial.failed) == (6, {})
    assert "1 opened" not in preflight_table(packed, "c.yml")
    assert "all opened: 6 files" in preflight_table(packed, "c.yml")
    assert not list(scratch.iterdir())


def test_archives_beyond_the_first_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "OPENED", 1)
    ct_series(tmp_path / "ct", 4)
    (tmp_path / "in").mkdir()
    for name in ("a.zip", "b.zip", "c.zip"):
        pack(tmp_path / "ct", tmp_path / "in" / name)
    found = look(tmp_path / "in", tmp_path / "out")
    assert (found.survey.archives.opened, found.survey.complete) == (1, False)
    assert found.survey.expected_files == pytest.approx(12)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "ct", 2)
    (tmp_path / "in" / "cut.zip").write_bytes(b"PK\3\4")
    found = look(tmp_path / "in", tmp_path / "out")
    [(reason, count)] = found.survey.archives.refused.items()
    assert count == 1
    assert reason in preflight_table(found, "c.yml")


def test_in_a_tree_no_series_is_scattered(tmp_path: Path) -> None:
    for number, path in enumerate(ct_series(tmp_path / "ct", 4)):
        (tmp_path / "in" / f"{number}").mkdir(parents=True)
        path.rename(tmp_path / "in" / f"{number}" / "instance")
    found = look(tmp_path / "in", tmp_path / "out", dicom={"group": "tree"}, **ALL)
    assert (found.headers.dicom, found.headers.scattered, found.headers.folders) == (4, [], 0)
    assert found.trial is not None
    assert (found.trial.files, found.trial.failed) == (4, {})
    assert look(tmp_path / "in", tmp_path / "out").headers.scattered == [["0", "1", "2", "3"]]


def test_large_trees_are_sampled_and_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "SAMPLE", 32)
    monkeypatch.setattr(trial_module, "FILES", 16)
    for number in range(100):
        folder = tmp_path / "in" / f"{number // 10:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        tiny(folder / f"{number % 10}", number % 10, number // 10)
    first, second = (look(tmp_path / "in", tmp_path / "out") for _ in range(2))
    assert first.survey.sample == second.survey.sample
    assert 16 <= len(first.survey.sample) <= 32
    assert {os.path.dirname(file.path) for file in first.survey.sample} == {f"{number:02d}" for number in range(10)}
    assert first.trial is not None
    assert first.trial.files <= 16
    assert first.written is not None
    assert first.written[1] == pytest.approx(first.trial.written * 100 / first.trial.files)
    assert "headers of a sample" in preflight_table(first, "c.yml")


def test_a_trial_takes_no_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "BYTES", 1000)
    save(quick_dataset(), tmp_path / "in" / "small")
    (tmp_path / "in" / "large").write_bytes(b"x" * 1001)
    found = look(tmp_path / "in", tmp_path / "out")
    assert found.trial is not None
    assert found.trial.files == 1
    (tmp_path / "in" / "small").unlink()
    found = look(tmp_path / "in", tmp_path / "out")
    assert found.trial is None
    assert "no estimates" in preflight_table(found, "c.yml")


def test_a_disk_too_small_is_said(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 3)
    found = look(tmp_path / "in", tmp_path / "out")
    full = Preflight(found.survey, found.headers, found.trial, found.workers, free=1)
    assert "too small" in preflight_table(full, "c.yml")
    assert "too small" not in preflight_table(found, "c.yml")


def test_folders_in_spread_order_are_each_there_once(tmp_path: Path) -> None:
    for number in range(11):
        save(quick_dataset(), tmp_path / "in" / f"{number:02d}" / "a")
    seen = survey(config(tmp_path / "in", tmp_path / "out"), roots_of([str(tmp_path / "in")]), str(tmp_path))
    order = [os.path.dirname(file.path) for [file] in seen.some_folders()]
    assert sorted(order) == [f"{number:02d}" for number in range(11)]
    assert order[:3] == ["00", "08", "04"]


@given(st.integers(0, 300), st.sampled_from([2, 8, 64]))
def test_a_spread_is_even_and_bounded(count: int, limit: int) -> None:
    spread: EvenSample[int] = EvenSample(limit)
    for number in range(count):
        spread.add(number)
    steps = {after - before for before, after in zip(spread.items, spread.items[1:], strict=False)}
    assert len(steps) <= 1
    assert min(count, limit // 2) <= len(spread.items) <= limit
    if count <= limit:
        assert spread.items == list(range(count))
    elif steps:
        assert spread.items[-1] >= count - 1 - steps.pop()


def test_numbers_as_a_person_reads_them() -> None:
    assert [size_text(size) for size in (0, 999, 1000, 2.5e12)] == ["0 B", "999 B", "1.0 kB", "2.5 TB"]
    assert [time_text(seconds) for seconds in (0.1, 100, 600, 7200, 864_000)] == [
        "1 s",
        "100 s",
        "10 min",
        "2 h",
        "10 days",
    ]


@pytest.mark.skipif(sys.platform != "linux" or start_method() != "fork", reason="plants the fault in forked workers")
@pytest.mark.parametrize("deed", ["crash", "hang"])
def test_a_poison_file_is_one_failure_of_the_sample(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    """The headers are read by workers that may die, as in a run."""
    paths = ct_series(tmp_path / "in", 6)

    def with_culprit(file: File, *arguments: object, **options: object) -> object:
        if file.name == paths[2].name:
            if deed == "hang":
                sys._getframe(1).f_back.f_locals["heartbeat"]._slots[2] -= 3600  # type: ignore[union-attr]
                time.sleep(3600)
            os.kill(os.getpid(), signal.SIGSEGV)
        return read_instance(file, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("crawler.dryrun.contained.read_instance", with_culprit)
    monkeypatch.setattr("crawler.export.tasks.read_instance", with_culprit)
    settings = config(tmp_path / "in", tmp_path / "out", 2, metadata={}, limits={"seconds": 600})
    found = preflight(settings) if deed == "crash" else None
    if found is not None:
        assert found.headers.failed == {"worker died": 1}
        assert found.headers.dicom == 5
        assert found.trial is not None
        assert found.trial.failed == {"header: worker died": 1}
        return
    with ContainedReader(settings, 10**6) as reader:
        answers = reader.headers([Folder(Root(str(tmp_path / "in")), "", ((p.name, 1, 1),)).files()[0] for p in paths])
    assert [answer.reason for answer in answers if isinstance(answer, Outcome)] == ["time limit"]


def test_a_damaged_member_and_archive_are_failures_of_the_sample(tmp_path: Path, scratch: Path) -> None:
    """They are copied for the trial, or listed: neither ends the dry run."""
    (path,) = ct_series(tmp_path / "one", 1)
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "good.dcm")
        archive.write(path, "damaged.dcm")
    data = bytearray((tmp_path / "in" / "a.zip").read_bytes())
    place = data.rindex(b"damaged.dcm", 0, data.index(b"PK\x01\x02")) + 100
    data[place : place + 200] = bytes(200)
    (tmp_path / "in" / "a.zip").write_bytes(data)
    (tmp_path / "in" / "b.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    found = look(tmp_path / "in", tmp_path / "out")
    assert sum(found.headers.failed.values()) + found.headers.dicom == found.headers.files == 2
    assert sum(found.survey.archives.refused.values()) == 1
    assert found.trial is not None
    assert list(scratch.iterdir()) == []


def test_a_folder_for_temporary_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ct_series(tmp_path / "in", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"folder for temporary files.*TMPDIR"):
        look(tmp_path / "in", tmp_path / "out")

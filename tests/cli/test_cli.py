"""The command as a user runs it: exit codes, one-line errors, the closing table."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.factories import quick_dataset, save
from support.samples import copy_sample

from crawler.cli.main import main

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> str:
    path = folder / "c.yml"
    path.write_text(text)
    return str(path)


def test_sample_then_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "dicom_data"]) == 0
    text = (ROOT / "config.yml").read_text(encoding="utf-8")
    assert main([write(tmp_path, text), "--workers", "0"]) == 0
    out = capsys.readouterr().out
    assert "found" in out
    assert "not DICOM" in out
    for name in (
        "metadata.jsonl",
        "metadata.csv",
        "series.csv",
        "unreadable_files.csv",
        "summary.json",
        "pixel_data.h5",
    ):
        assert (tmp_path / "output" / name).is_file()
    assert (tmp_path / "output" / "config.yml").read_text(encoding="utf-8") == text


def test_damaged_files_exit_3_and_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "in", "--broken", "-q"]) == 0
    settings = write(
        tmp_path, "num_workers: 0\noutput: {dir: out}\ndicom: {dir: in}\nmetadata:\nimage:\nvideo:\nvolume:\n"
    )
    assert main([settings]) == 3
    out = capsys.readouterr().out
    assert "out/unreadable_files.csv" in out
    damaged = len(list((tmp_path / "in" / "broken").iterdir()))
    assert len((tmp_path / "out" / "unreadable_files.csv").read_text().splitlines()) == damaged + 1
    assert main([settings, "-q"]) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dicom: [", "c.yml:"),
        ("dicom: {dir: nowhere}\nmetadata:\n", "nowhere does not exist"),
        ("dicom: {dir: .}\nmetadta:\n", "nearest known key: metadata"),
        ("just text", "c.yml"),
    ],
)
def test_what_cannot_run_exits_1_with_one_line(tmp_path, monkeypatch, capsys, text, expected):
    monkeypatch.chdir(tmp_path)
    assert main([write(tmp_path, text)]) == 1
    heard = capsys.readouterr()
    assert heard.out == ""
    assert expected in heard.err
    assert "Traceback" not in heard.err
    assert len(heard.err.strip().splitlines()) == 1


def test_a_missing_configuration(tmp_path, capsys):
    assert main([str(tmp_path / "none.yml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["--help"], ["sample", "--help"], ["--version"]])
def test_help_and_version(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    assert "dme" in capsys.readouterr().out


def test_dme_py_as_a_script_without_a_terminal(tmp_path):
    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    settings = write(tmp_path, "num_workers: 2\noutput: {dir: out}\ndicom: {dir: in}\nmetadata:\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "dme.py"), settings], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "1/1 files" in done.stderr
    assert "\r" not in done.stderr
    assert "exported           1" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_on_a_terminal(tmp_path):
    import pty

    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    settings = write(tmp_path, "num_workers: 1\noutput: {dir: out}\ndicom: {dir: in}\nmetadata:\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "dme.py"), settings], cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL
    )
    os.close(theirs)
    heard = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        heard += block
    os.close(ours)
    assert process.wait(60) == 0
    assert b"1/1" in heard
    assert b"0 failed" in heard


def test_python_users_get_the_same(tmp_path):
    import crawler

    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    settings = write(
        tmp_path, f"num_workers: 0\noutput: {{dir: {tmp_path}/out}}\ndicom: {{dir: {tmp_path}/in}}\nmetadata:\n"
    )
    summary = crawler.run(crawler.load_config(settings))
    assert (summary.found, summary.exported, summary.exit_code) == (1, 1, 0)


def test_the_configuration_of_the_media_exporter_runs_unchanged(tmp_path, monkeypatch):
    """Keys, nesting and values as that tool's manual prints them."""
    monkeypatch.chdir(tmp_path)
    main(["sample", "in", "-q"])
    settings = write(
        tmp_path,
        """\
num_workers: 4
dicom:
  dir: in
  recursive: true
media:
  dir: out/media
  overwrite: false
metadata:
  file: out/metadata.jsonl
  append: false
config:
  file: out/config.yml
video:
  extension: ".mp4"
  save_method_kwargs:
    encoding_format: "h264"
    encoding_args:
      pix_fmt: "yuv420p"
      options:
        crf: "17"
image:
  extension: ".png"
  save_method_kwargs:
    pil_writer_params: {}
""",
    )
    assert main([settings, "-q"]) == 0
    rows = (tmp_path / "out" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == sum(path.is_file() for path in (tmp_path / "in").rglob("*")) - 1
    assert len(list((tmp_path / "out" / "media").rglob("*.mp4"))) == 2
    assert (tmp_path / "out" / "config.yml").read_text() == (tmp_path / "c.yml").read_text()
    assert main([settings, "-q"]) == 1  # append is false, and the file is finished


def test_the_log_holds_each_failure_and_what_the_screen_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    copy_sample(tmp_path / "in", broken=True)
    (tmp_path / "c.yml").write_text("num_workers: 0\noutput: {dir: out}\ndicom: {dir: in}\nmetadata:\n")
    assert main(["c.yml"]) == 3
    screen = capsys.readouterr().out
    log = (tmp_path / "out" / "run.log").read_text("utf-8")
    with open(tmp_path / "out" / "unreadable_files.csv", newline="", encoding="utf-8") as file:
        failed = list(csv.DictReader(file))
    assert failed
    assert all(f"failed: {row['file']}: {row['stage']}: {row['reason']}" in log for row in failed)
    assert all(line in log for line in screen.splitlines())
    assert "failed: broken" not in screen
    capsys.readouterr()
    main(["c.yml", "-v"])
    assert "failed: broken/" in capsys.readouterr().err

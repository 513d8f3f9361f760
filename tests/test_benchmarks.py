"""`python -m benchmarks` on a tiny tree, its laws, and the copy of its table in docs/. Nothing here depends on time."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is no installed package

from benchmarks import mutation_trial, report, template  # noqa: E402
from benchmarks.bars import Bar, judge  # noqa: E402
from benchmarks.jobs import plan, run  # noqa: E402
from benchmarks.measure import Runs  # noqa: E402
from benchmarks.peers import Contender  # noqa: E402
from benchmarks.trees import BenchmarkError, Tree, ct_tree, huge_tree, mr_tree, require_space, us_tree  # noqa: E402

posix = pytest.mark.skipif(not hasattr(os, "wait4"), reason="the benchmarks need wait4")


@posix
def test_benchmarks_run(tmp_path: Path) -> None:
    flags = ["--folder", str(tmp_path), "--files", "20", "--repeats", "1", "--ours"]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    table = report.shown(made.stdout)
    assert re.search(r"CT headers to JSONL: 20 files \| pydicom, 1 process \| \*\*[\d.]+x\*\*", table)
    assert "CT to gzip HDF5 + all headers: 20 files | dme, 1 worker" in table
    assert re.search(r"largest process \d+ MB of 400", table)
    for piece in ("header to record, MR with CSA", "HDF5, gzip + shuffle", ".npz", "PNG, 16 bit", "PNG, RGB"):
        assert f"| {piece} |" in made.stdout
    assert not (tmp_path / "out").exists()


@posix
def test_scale_runs(tmp_path: Path) -> None:
    flags = ["--scale", "--folder", str(tmp_path), "--files", "10", "--repeats", "1"]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.findall(r"^\| (\d+) \| (\d) \|", made.stdout, re.MULTILINE) == [
        (files, workers) for files in ("2", "10", "40") for workers in "12"
    ]


def test_the_table_of_markers_counts_what_is_planted_and_what_dme_leaves() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.privacy_peers"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = {cells[1]: cells[2:8] for line in made.stdout.splitlines()[2:] if (cells := re.split(r" *\| *", line))}
    assert int(rows["planted"][0].replace(",", "")) > 6000
    for profile in ("basic", "research", "public"):
        assert rows[f"dme, {profile}"][:5] == ["0"] * 5
        assert int(rows[f"dme, {profile}"][5]) > 100


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    flags = ["--folder", str(tmp_path), "--only", "headers"]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 1
    assert "headers: not one of headers-ct" in made.stderr


@pytest.mark.parametrize("tree", [ct_tree(3, 2, 64), mr_tree(3), us_tree(3)], ids=lambda tree: tree.name)
def test_files_are_distinct_and_read(tree: Tree, tmp_path: Path) -> None:
    folder = tree.build(tmp_path)
    files = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
    assert len({one.SOPInstanceUID for one in files}) == len(files) == 3
    assert all(one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID for one in files)
    assert len({one.SeriesInstanceUID for one in files}) == len(list(folder.iterdir()))
    assert sum(path.stat().st_size for path in folder.rglob("*.dcm")) == tree.size()
    if tree.name != "us":
        assert len({one.PixelData for one in files[:2]}) == 2
        assert files[1].ImagePositionPatient[2] == template.STEP
        assert files[1].InstanceNumber == 2
        assert sorted(files[0].PixelData) == sorted(files[1].PixelData)
    assert tree.build(tmp_path) == folder


def test_multiframe_file_is_what_it_says(tmp_path: Path) -> None:
    tree = huge_tree(3)
    (path,) = tree.build(tmp_path).iterdir()
    read = dcmread(path)
    assert read.pixel_array.shape == (3, 512, 512)
    assert path.stat().st_size == tree.size()
    with pytest.raises(ValueError, match="4 GiB"):
        list(tree.template().multiframe(8192))


def test_space_is_asked_for_before_work(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="are free"):
        require_space([ct_tree(900_000_000)], tmp_path)


@posix
def test_an_idle_contender_is_no_winner(tmp_path: Path) -> None:
    job = plan(0.001)[0]
    idle = Contender("idle", lambda tree, out: [sys.executable, "-c", ""], "*.jsonl", about="1")
    broken = Contender("broken", lambda tree, out: [sys.executable, "-c", "1/0"], "*.jsonl", about="1")
    for one, said in ((idle, "made 0 files"), (broken, "ZeroDivisionError")):
        with pytest.raises(BenchmarkError, match=said):
            run(replace(job, contenders=(one,), bars=()), tmp_path, 1, lambda text: None)


@posix
def test_both_sides_write_the_same_pictures(tmp_path: Path) -> None:
    """A window left 100 grey levels on our side and 4,742 on the other: a ratio of 12 that was none."""
    job = next(job for job in plan(0.0005) if job.name == "png-ct")
    tree, levels = job.tree.build(tmp_path), []
    for number, one in enumerate(job.contenders):
        out = tmp_path / f"out{number}"
        out.mkdir()
        subprocess.run(one.command(tree, out), cwd=ROOT, check=True)
        pictures = sorted(out.rglob("*.png"))
        assert len(pictures) == job.tree.files
        with Image.open(pictures[0]) as picture:
            levels.append(len(np.unique(np.asarray(picture))))
    stored = dcmread(sorted(tree.rglob("*.dcm"))[0]).pixel_array
    assert levels == [len(np.unique(stored))] * 2


def test_bars_are_judged_by_medians() -> None:
    runs = {"dme": Runs([1.0, 2.0, 9.0], 1, 100), "peer": Runs([4.0, 4.0, 4.5], 1, 99)}
    speed = judge(Bar("peer", 2), runs)
    assert speed is not None
    assert (speed.ratio, speed.low, speed.high, speed.met) == (2.0, 0.5, 4.0, True)
    assert judge(Bar("peer", 2.1), runs).met is False
    assert judge(Bar("peer", 1, "size"), runs).met is False
    assert judge(Bar("peer", 1, "walk"), {"dme": Runs([3.5]), "peer": Runs([1.0])}).met is True
    assert judge(Bar("peer", 1, "walk"), {"dme": Runs([3.6]), "peer": Runs([1.0])}).met is False
    assert judge(Bar("nobody", 2), runs) is None


def test_speed_page_shows_the_last_results() -> None:
    last = report.shown((ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8"))
    assert report.shown((ROOT / "docs" / "speed.md").read_text("utf-8")) == last
    assert re.match(r"\d{4}-\d\d-\d\d, ", last)


def test_changes_that_make_no_difference_are_changes_of_the_code_as_it_is() -> None:
    for path, heads in mutation_trial.equivalents().items():
        assert path in mutation_trial.TESTS
        made = {change.head for change in mutation_trial.changes(ast.parse((ROOT / path).read_text(encoding="utf-8")))}
        assert set(heads) <= made
        assert all(heads.values())


def test_a_change_is_undone_before_the_next() -> None:
    tree = ast.parse("if a < 1 or b == 2:\n    c = d + 3\n")
    before = ast.unparse(tree)
    assert [change.head for change in mutation_trial.changes(tree)] == [
        *("if a < 1 and b == 2:", "if a <= 1 or b == 2:", "if a < 2 or b == 2:", "if a < 1 or b != 2:"),
        *("if a < 1 or b == 3:", "c = d - 3", "c = d + 4"),
    ]
    assert ast.unparse(tree) == before

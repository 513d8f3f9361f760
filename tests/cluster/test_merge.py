"""Merged shards equal one run; what is missing is named; nothing of a run without shards is written over."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import config, content, export, rows
from support.shards import mixed_tree, run_all, without_shards

from crawler.cluster import merge as merging
from crawler.cluster.making import make_plan
from crawler.cluster.merge import merge
from crawler.cluster.plan import planned_units, read_plan
from crawler.cluster.run_shard import run_shard
from crawler.cluster.shards import Shard, ledger_path_of
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError, OutputError, StopError
from crawler.ledger.status import read_status

SECTIONS = {
    "metadata": {"tables": ["csv"]},
    "image": {},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5", "nifti"]},
    "preview": {},
}

FEW = {"metadata": {"tables": []}, "volume": {}}


def exact(out: Path) -> dict[str, bytes]:
    """Files whose very bytes must be equal, however many shards made them."""
    named = (
        "metadata.jsonl",
        "metadata.csv",
        "series.csv",
        "unreadable_files.csv",
        "pixel_data.h5",
    )  # report.html holds times
    found = {name: (out / name).read_bytes() for name in named}
    for folder in ("media", "volumes", "previews"):
        found |= {str(path.relative_to(out)): path.read_bytes() for path in (out / folder).rglob("*") if path.is_file()}
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return mixed_tree(tmp_path_factory.mktemp("shards") / "in")


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    export(tree, out, **SECTIONS)
    return out


@pytest.fixture
def small(tmp_path) -> Path:
    for number in range(6):
        ct_series(tmp_path / "in" / f"f{number}", n=2 + number, uid=f"1.2.3.{number}")
    return tmp_path / "in"


@pytest.mark.parametrize("planned", [True, False])
def test_merged_shards_equal_one_run(tree, whole, tmp_path, planned):
    out = tmp_path / "out"
    settings = config(tree, out, **SECTIONS)
    if planned:
        make_plan(settings, 3, estimate=False)
    parts = run_all(settings, 3)
    assert sum(part.exported > 0 for part in parts) >= 2
    merged = merge(settings)
    assert merged.summary is not None
    assert (merged.owed, merged.gone, merged.changed) == ((), 0, 0)
    assert merged.summary.exit_code == 3, "there are damaged files"
    assert without_shards(out) == content(whole)
    assert exact(out) == exact(whole)
    assert sum(part.found for part in parts) == merged.summary.found == len(rows(whole)) + not_read(whole)


def not_read(out: Path) -> int:
    """Files of an output that have no row."""
    summary = read_status(config(out, out)).summary
    assert summary is not None
    return summary.found - len(rows(out))


def test_a_run_without_shards_has_nothing_to_do_after_a_merge_and_goes_on(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_all(settings, 2)
    merge(settings)
    before = exact_rows(tmp_path / "out")
    again = run(settings)
    assert (again.handled, again.found) == (0, sum(2 + number for number in range(6)))
    assert exact_rows(tmp_path / "out") == before
    ct_series(small / "new", n=3, uid="1.2.9")
    assert run(settings).handled == 3
    with pytest.raises(StopError, match="a run without shards made or changed this output"):
        run_shard(settings, 1, 2)
    with pytest.raises(StopError, match="a run without shards made or changed this output"):
        merge(settings)


def exact_rows(out: Path) -> bytes:
    return (out / "metadata.jsonl").read_bytes()


def test_shards_go_on_after_a_merge(small, tmp_path):
    out, settings = tmp_path / "out", config(small, tmp_path / "out", dicom={"max_lost": 1}, metadata={}, volume={})
    run_all(settings, 2)
    merge(settings)
    ct_series(small / "new", n=3, uid="1.2.9")
    shutil.rmtree(small / "f1")
    assert sum(part.handled for part in run_all(settings, 2)) == 3
    merged = merge(settings)
    assert merged.summary is not None
    export(small, tmp_path / "one", metadata={}, volume={})
    assert without_shards(out) == content(tmp_path / "one")
    assert exact_rows(out) == exact_rows(tmp_path / "one")


def shuffled(small: Path) -> None:
    """Files of a series in several folders, as in the storage of a PACS, and one that is no DICOM."""
    for number, path in enumerate(sorted(small.rglob("*.dcm"))):
        target = small / "store" / f"{number % 4}"
        target.mkdir(parents=True, exist_ok=True)
        path.rename(target / f"{number}")
    (small / "store" / "0" / "notes.txt").write_text("no DICOM")
    for folder in small.glob("f*"):
        folder.rmdir()


def test_series_of_a_tree_are_divided(small, tmp_path):
    shuffled(small)
    sections = {"dicom": {"group": "tree"}, "metadata": {"tables": ["csv"]}, "image": {}, "volume": {}}
    out, settings = tmp_path / "out", config(small, tmp_path / "out", **{**sections})
    with pytest.raises(StopError, match="needs a plan"):
        run_shard(settings, 1, 3)
    make_plan(settings, 3, estimate=False)
    parts = run_all(settings, 3)
    assert all(part.scans for part in parts)
    assert merge(settings).summary is not None
    export(small, tmp_path / "one", **{**sections})
    assert without_shards(out) == content(tmp_path / "one")
    assert exact_rows(out) == exact_rows(tmp_path / "one")
    assert run(config(small, out, **{**sections})).handled == 0

    ct_series(small / "new", n=2, uid="1.2.3.0")  # more of a series that a shard has
    owed = merge(settings).owed
    assert owed == (), "what no plan names is no shard's, and a run without shards would find it"
    make_plan(settings, 3, estimate=False)
    assert merge(settings).summary is None
    run_all(settings, 3)
    assert merge(settings).summary is not None
    export(small, tmp_path / "two", **{**sections})
    assert without_shards(out) == content(tmp_path / "two")


def test_a_folder_of_a_tree_that_changed_after_the_plan_is_refused(small, tmp_path):
    shuffled(small)
    settings = config(small, tmp_path / "out", dicom={"group": "tree"}, **FEW)
    make_plan(settings, 2, estimate=False)
    shutil.copy(small / "store" / "1" / "1", small / "store" / "1" / "late")
    run_all(settings, 2)
    assert {one.reason.partition(" (")[0] for one in merge(settings).owed} == {
        "a folder of it changed after the plan, or is not done"
    }


def test_merging_again_changes_nothing(small, tmp_path):
    out, settings = tmp_path / "out", config(small, tmp_path / "out", **FEW)
    run_all(settings, 3)
    merge(settings)
    before, stamps = content(out), {path: path.stat().st_mtime_ns for path in out.glob("*.csv")}
    merge(settings)
    assert content(out) == before
    assert stamps == {path: path.stat().st_mtime_ns for path in out.glob("*.csv")}


def test_a_shard_that_never_ran_is_named(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    make_plan(settings, 3, estimate=False)
    run_shard(settings, 1, 3)
    run_shard(settings, 3, 3)
    merged = merge(settings)
    assert merged.summary is None
    assert [(str(one.shard), one.reason) for one in merged.owed] == [("2/3", "it never ran")]
    assert merged.owed[0].files == sum(unit.files for unit in planned_units(settings, 2))
    assert not (tmp_path / "out" / "metadata.jsonl").exists()
    run_shard(settings, 2, 3)
    assert merge(settings).summary is not None


def test_folders_that_came_after_a_shard_ran_are_owed(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_all(settings, 2)
    ct_series(small / "late", n=4, uid="1.2.9")
    merged = merge(settings)
    assert merged.summary is None
    assert [(one.files, one.folders) for one in merged.owed] == [(4, 1)]
    run_shard(settings, merged.owed[0].shard.number, 2)
    assert merge(settings).summary is not None


def test_planned_files_that_are_gone_are_told(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    make_plan(settings, 2, estimate=False)
    shutil.rmtree(small / "f0")
    os.unlink(next((small / "f3").iterdir()))
    run_all(settings, 2)
    merged = merge(settings)
    assert merged.summary is not None
    assert (merged.changed, merged.gone) == (1, 3)
    make_plan(settings, 2, estimate=False)
    assert merge(settings).gone == 0


def test_a_second_task_of_a_shard_leaves(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_shard(settings, 1, 2)
    with sqlite3.connect(ledger_path_of(settings, Shard(1, 2)), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match=r"shard 1/2 is being done by another task .* this one leaves"):
            run_shard(settings, 1, 2)
        run_shard(settings, 2, 2)
        assert [(one.shard.number, one.reason) for one in merge(settings).owed] == [(1, "it is running")]
        other.execute("ROLLBACK")
    other.close()
    assert merge(settings).summary is not None


def test_a_merge_that_is_killed_is_as_if_it_had_not_begun(small, tmp_path, monkeypatch):
    settings = config(small, tmp_path / "out", **FEW)
    run_all(settings, 2)

    class Killed(BaseException):
        pass

    real, seen = merging.import_shard, []

    def dies(store, *more):
        if seen:
            store.rows.flush()
            raise Killed
        seen.append(real(store, *more))

    monkeypatch.setattr(merging, "import_shard", dies)
    with pytest.raises(Killed):
        merge(settings)
    monkeypatch.undo()
    merge(settings)
    export(small, tmp_path / "one", **FEW)
    assert without_shards(tmp_path / "out") == content(tmp_path / "one")


def test_other_numbers_of_shards_are_refused(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_shard(settings, 1, 2)
    with pytest.raises(StopError, match="made in 2 shards, not in 3"):
        run_shard(settings, 1, 3)
    with pytest.raises(OutputError, match="shards have begun without a plan"):
        make_plan(settings, 2, estimate=False)
    with pytest.raises(OutputError, match="made in 2 shards"):
        make_plan(settings, 3, estimate=False)
    with pytest.raises(StopError, match="shards count from 1/2 to 2/2"):
        run_shard(settings, 0, 2)


def test_a_run_without_shards_does_not_begin_among_shards(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_shard(settings, 1, 2)
    with pytest.raises(LedgerError, match="is made in shards"):
        run(settings)
    run_shard(settings, 2, 2)
    merge(settings)
    assert run(settings).handled == 0


def test_a_shard_of_another_configuration_is_refused(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    run_all(settings, 2)
    with pytest.raises(ConfigError, match=r"volume\.values was 'modality' when shard 1/2 ran"):
        merge(config(small, tmp_path / "out", metadata={"tables": []}, volume={"values": "stored"}))


def test_a_plan_made_again_leaves_folders_where_they_are(small, tmp_path):
    settings = config(small, tmp_path / "out", **FEW)
    make_plan(settings, 3, estimate=False)
    before = {unit.key: unit.shard for unit in planned_units(settings)}
    run_shard(settings, 1, 3)
    ct_series(small / "a_large_one", n=40, uid="1.2.9")
    make_plan(settings, 3, estimate=False)
    after = {unit.key: unit.shard for unit in planned_units(settings)}
    assert {key: after[key] for key in before} == before
    assert after.keys() - before.keys() == {"a_large_one"}
    run_all(settings, 3)
    assert merge(settings).summary is not None
    plan = read_plan(settings)
    assert plan is not None
    assert sum(plan.files) == sum(path.is_file() for path in small.rglob("*"))

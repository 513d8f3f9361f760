"""What the engine makes of a lost task: the culprit fails, the rest runs again, what dies alone is given up.

The pool is this process, with losses as the test has them.
"""

from __future__ import annotations

import zipfile

import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import ALL, accounts_hold, content, export, failures, rows

from crawler.engine.plan import size_of
from crawler.engine.pool import Inline, Lost
from crawler.export.tasks import ArchiveTask, IndexTask, ScanTask
from crawler.model import Outcome


@pytest.fixture
def losing(monkeypatch):
    """Tasks that are lost: `losing(rule)`, whose rule gives an item, or "nobody", or None for a task that is done."""
    seen: list[object] = []

    def lose(rule):
        class Losing(Inline):
            def events(self):
                ticket, task = self._queue[0]
                seen.append(task)
                item = rule(task)
                if item is None:
                    return super().events()
                self._queue.popleft()
                return [Lost(ticket, None if item == "nobody" else item, "pixels", "worker died", "by SIGSEGV")]

        monkeypatch.setattr("crawler.engine.crawl.Inline", Losing)
        return seen

    return lose


def small_parts(monkeypatch):
    monkeypatch.setattr("crawler.engine.plan.FOLDER_FILES", 4)
    monkeypatch.setattr("crawler.engine.crawl.FOLDER_FILES", 4)
    monkeypatch.setattr("crawler.engine.plan.INDEX_FILES", 3)
    monkeypatch.setattr("crawler.engine.plan.BUNDLE_FILES", 1000)
    monkeypatch.setattr("crawler.engine.crawl.DEPTH", 1)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Four small folders that go out as one task."""
    monkeypatch.setattr("crawler.engine.plan.Planner.bundles", one_bundle(monkeypatch))
    for number in range(4):
        ct_series(tmp_path / "in" / f"f{number}", n=2, uid=f"1.2.3.{number}")
    return tmp_path


def one_bundle(monkeypatch):
    from crawler.engine.plan import Planner

    bundles = Planner.bundles

    def whole(self):
        self._bundle = 1000
        return bundles(self)

    return whole


def test_a_culprit_fails_and_its_task_runs_again_at_once(folders, losing):
    seen = losing(lambda task: None if task.culprits else item_of(task, "f2/0001.dcm"))
    summary = export(folders / "in", folders / "out")
    accounts_hold(summary, 8)
    assert {name: row["reason"] for name, row in failures(folders / "out").items()} == {"f2/0001.dcm": "worker died"}
    assert [size_of(task) for task in seen] == [4, 4]
    culprit = item_of(seen[1], "f2/0001.dcm")
    assert seen[1].culprits == {culprit: Outcome("failed", "pixels", "worker died", "by SIGSEGV")}
    assert len(rows(folders / "out")) == 8


def test_two_culprits_of_one_task_are_both_kept(folders, losing):
    keys = ("f0/0001.dcm", "f3/0000.dcm")
    losing(lambda task: next((item for key in keys if (item := item_of(task, key)) not in task.culprits), None))
    summary = export(folders / "in", folders / "out")
    accounts_hold(summary, 8)
    assert set(failures(folders / "out")) == {"f0/0001.dcm", "f3/0000.dcm"}


def test_a_loss_that_names_nobody_splits_the_task(folders, losing):
    seen = losing(lambda task: "nobody" if size_of(task) > 1 else None)
    summary = export(folders / "in", folders / "out")
    assert summary.exit_code == 0
    assert [size_of(task) for task in seen] == [4, 1, 1, 1, 1]
    export(folders / "in", folders / "fresh")
    losing(lambda task: None)
    assert content(folders / "out") == content(folders / "fresh")


def test_a_split_keeps_what_is_known_of_each_part(folders, losing):
    """The culprit was named, then the task died again and named nobody: the part that holds it knows it still."""

    def rule(task):
        if size_of(task) == 1:
            return None
        return "nobody" if task.culprits else item_of(task, "f2/0001.dcm")

    seen = losing(rule)
    summary = export(folders / "in", folders / "out")
    accounts_hold(summary, 8)
    assert set(failures(folders / "out")) == {"f2/0001.dcm"}
    assert sorted(len(task.culprits) for task in seen) == [0, 0, 0, 0, 1, 1]
    (part,) = (task for task in seen if size_of(task) == 1 and task.culprits)
    assert list(part.culprits) == [item_of(part, "f2/0001.dcm")] == [1]


def test_one_folder_that_dies_twice_is_given_up_and_once_is_not(folders, losing):
    tries = {"f1": 1, "f3": 2}

    def rule(task):
        if size_of(task) > 1:
            return "nobody"
        key = task.jobs[0].key
        tries[key] = tries.get(key, 0) - 1
        return "nobody" if tries[key] >= 0 else None

    seen = losing(rule)
    summary = export(folders / "in", folders / "out")
    accounts_hold(summary, 8)
    assert set(failures(folders / "out")) == {"f3/0000.dcm", "f3/0001.dcm"}
    assert {row["stage"] for row in failures(folders / "out").values()} == {"pixels"}
    assert len(seen) == 1 + 4 + 2
    losing(lambda task: None)
    assert export(folders / "in", folders / "out", retry_failed=True).exit_code == 0
    export(folders / "in", folders / "fresh")
    assert content(folders / "out") == content(folders / "fresh")


def test_a_culprit_that_kills_again_though_it_is_marked_is_given_up_with_its_folder(folders, losing):
    losing(lambda task: item_of(task, "f1/0000.dcm"))
    summary = export(folders / "in", folders / "out")
    accounts_hold(summary, 8)
    assert set(failures(folders / "out")) == {"f1/0000.dcm", "f1/0001.dcm"}


def item_of(task, key):
    keys = [file.key for job in task.jobs for file in job.files]
    return keys.index(key) if key in keys else None


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A folder of seven files in two series and one more, in index tasks of three, and scans of a task each."""
    small_parts(monkeypatch)
    for number in range(2):
        for path in ct_series(tmp_path / "more", n=3, uid=f"1.2.3.{number}"):
            (tmp_path / "in").mkdir(exist_ok=True)
            path.rename(tmp_path / "in" / f"s{number}-{path.name}")
    (tmp_path / "more").rmdir()
    (tmp_path / "in" / "z.txt").write_text("no DICOM")
    return tmp_path


def test_an_index_of_a_large_folder_that_dies_twice_costs_its_files(large, losing):
    losing(lambda task: "nobody" if isinstance(task, IndexTask) and task.files[0].name == "s1-0000.dcm" else None)
    summary = export(large / "in", large / "out")
    accounts_hold(summary, 7)
    assert set(failures(large / "out")) == {f"s1-000{n}.dcm" for n in (0, 1, 2)}
    assert len(rows(large / "out")) == 3
    losing(lambda task: None)
    assert export(large / "in", large / "out", retry_failed=True).exit_code == 0
    export(large / "in", large / "fresh")
    assert content(large / "out") == content(large / "fresh")


def test_scans_of_a_large_folder_that_are_lost_are_split_and_given_up_one_by_one(large, losing):
    """Both go out as one task."""
    seen = losing(
        lambda task: (
            "nobody"
            if isinstance(task, ScanTask) and (size_of(task) > 1 or task.jobs[0].files[0].name.startswith("s1"))
            else None
        )
    )
    summary = export(large / "in", large / "out")
    accounts_hold(summary, 7)
    assert set(failures(large / "out")) == {f"s1-000{n}.dcm" for n in (0, 1, 2)}
    assert [size_of(task) for task in seen if isinstance(task, ScanTask)] == [2, 1, 1, 1]
    assert summary.exported == 3
    losing(lambda task: None)
    assert export(large / "in", large / "out", retry_failed=True).exit_code == 0
    export(large / "in", large / "fresh")
    assert content(large / "out") == content(large / "fresh")


@pytest.mark.parametrize("times", [1, 2])
def test_an_archive_that_is_lost_while_it_is_listed(tmp_path, losing, times):
    (tmp_path / "in").mkdir()
    (path,) = ct_series(tmp_path / "files", n=1)
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.write(path, "deep/one.dcm")
    left = [times]

    def rule(task):
        if isinstance(task, ArchiveTask) and left[0]:
            left[0] -= 1
            return "nobody"
        return None

    losing(rule)
    summary = export(tmp_path / "in", tmp_path / "out")
    if times == 1:
        assert (summary.exit_code, summary.exported) == (0, 1)
        return
    accounts_hold(summary, 1)
    assert failures(tmp_path / "out")["a.zip"]["reason"] == "worker died"
    assert export(tmp_path / "in", tmp_path / "out", retry_failed=True).exported == 1


def test_an_archive_that_kills_by_name_is_not_opened_again(tmp_path, losing):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(b"PK")
    save(quick_dataset(SOPInstanceUID="1.2.9"), tmp_path / "in" / "one.dcm")
    seen = losing(lambda task: 0 if isinstance(task, ArchiveTask) and not task.culprits else None)
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 2)
    assert failures(tmp_path / "out")["a.zip"]["detail"] == "by SIGSEGV"
    assert sum(isinstance(task, ArchiveTask) for task in seen) == 2


@pytest.mark.parametrize("kind", [IndexTask, ScanTask])
def test_a_tree_loses_no_file(tmp_path, losing, kind):
    for number in range(3):
        ct_series(tmp_path / "in" / f"f{number}", n=2, uid=f"1.2.3.{number}")
    sections = {"dicom": {"group": "tree"}, **ALL}

    def rule(task):
        if not isinstance(task, kind):
            return None
        return "nobody" if kind is IndexTask or task.jobs[0].scan_id == worst[0] or size_of(task) > 1 else None

    export(tmp_path / "in", tmp_path / "fresh", **sections)
    worst = [rows(tmp_path / "fresh")["f1/0000.dcm"]["scan_id"]]
    losing(rule)
    summary = export(tmp_path / "in", tmp_path / "out", **sections)
    accounts_hold(summary, 6)
    lost = {"f1/0000.dcm", "f1/0001.dcm"} if kind is ScanTask else set(rows(tmp_path / "fresh"))
    assert set(failures(tmp_path / "out")) == lost
    losing(lambda task: None)
    assert export(tmp_path / "in", tmp_path / "out", retry_failed=True, **sections).exit_code == 0
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_what_is_lost_is_told_once_by_the_users_own_path(folders, losing, caplog):
    losing(lambda task: None if task.culprits else item_of(task, "f2/0001.dcm"))
    export(folders / "in", folders / "out")
    told = [record.getMessage() for record in caplog.records if "run again" in record.getMessage()]
    assert told == ["f2/0001.dcm: worker died, by SIGSEGV; its neighbours run again"]

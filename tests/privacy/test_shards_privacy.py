"""Shards under the policy: together they come to what one run makes, and what names folders is private."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.factories import ct_series, make_uid
from support.planter import plant, plant_others
from support.runs import ROOT, config, content, rows

from crawler.cluster.making import make_plan
from crawler.cluster.merge import merge
from crawler.cluster.run_shard import run_shard
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError
from crawler.privacy.containers import contents
from crawler.privacy.keys import make_key
from crawler.privacy.search import Needles

OUTPUTS: dict[str, Any] = {"metadata": {"tables": ["csv"]}, "image": {}, "volume": {"formats": ["hdf5", "nifti"]}}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients in folders of their names; a scan of the last lies in two of them."""
    source = tmp_path_factory.mktemp("cohort") / "in"
    for number, name in enumerate(("Alder", "Birch", "Cedar", "Dogwood")):
        ct_series(
            source / name / "CT",
            3,
            uid=make_uid("series", name),
            StudyInstanceUID=make_uid(name),
            PatientName=f"{name}^Anna",
            PatientID=f"ID{number}4711",
            StudyDate="20200110",
            StudyDescription=f"Control of {name}",
        )
    (source / "Alder" / "more").mkdir()
    path = source / "Dogwood" / "CT" / "0001.dcm"
    path.rename(source / "Alder" / "more" / path.name)
    return source


def section(folder: Path, out: str, key: str = "key") -> dict[str, Any]:
    if not (folder / key).exists():
        make_key(str(folder / key))
    return {"private": str(folder / f"private-{out}"), "key": {"file": str(folder / key)}}


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_two_shards_come_to_what_one_run_makes(cohort: Path, tmp_path: Path, group: str) -> None:
    dicom = {"group": group}
    run(config(cohort, tmp_path / "one", **OUTPUTS, dicom=dicom, privacy=section(tmp_path, "one")))
    parts = config(cohort, tmp_path / "parts", **OUTPUTS, dicom=dicom, privacy=section(tmp_path, "parts"))
    if group == "tree":
        make_plan(parts, 2)
    summaries = [run_shard(parts, number, 2) for number in (2, 1)]
    assert sum(summary.found for summary in summaries) == 12
    assert merge(parts).summary is not None
    assert rows(tmp_path / "parts") == rows(tmp_path / "one")
    assert content(tmp_path / "parts") == content(tmp_path / "one")
    assert not list((tmp_path / "parts").glob("dme-shards"))  # the plan has the true names of folders
    assert (tmp_path / "private-parts" / "dme-shards" / "1-of-2").is_dir()


def test_shards_need_one_key(cohort: Path, tmp_path: Path) -> None:
    without = {"private": str(tmp_path / "private")}
    with pytest.raises(ConfigError, match=r"privacy\.key: shards need one key"):
        run_shard(config(cohort, tmp_path / "out", **OUTPUTS, privacy=without), 1, 2)
    run_shard(config(cohort, tmp_path / "out", **OUTPUTS, privacy=section(tmp_path, "out")), 1, 2)
    with pytest.raises(LedgerError, match="another key or other rules"):
        run_shard(config(cohort, tmp_path / "out", **OUTPUTS, privacy=section(tmp_path, "out", "other")), 2, 2)


def test_a_shard_of_other_rules_is_not_merged(cohort: Path, tmp_path: Path) -> None:
    given = config(cohort, tmp_path / "out", **OUTPUTS, privacy=section(tmp_path, "out"))
    for number in (1, 2):
        run_shard(given, number, 2)
    other = config(cohort, tmp_path / "out", **OUTPUTS, privacy={**section(tmp_path, "out"), "text": "drop"})
    with pytest.raises(LedgerError, match="shard 1/2 was made with another key or other rules"):
        merge(other)
    assert merge(given).summary is not None


def test_nothing_that_was_planted_is_in_what_shards_make(tmp_path: Path) -> None:
    """The commands as a user gives them: what they write outside of the private folder, and what they say."""
    source = tmp_path / "MKR699010"
    markers = {**plant(source, 1), **plant_others(source / "others"), "MKR699010": "path"}
    document = {
        "num_workers": 0,
        "dicom": {"dir": str(source), "group": "tree"},
        "output": {"dir": str(tmp_path / "output")},
        "config": {},
        "metadata": {"tables": ["csv"]},
        "image": {},
        "volume": {},
        "privacy": {**section(tmp_path, "it"), "structured": "clean"},
    }
    job = tmp_path / "job.yml"
    job.write_text(yaml.safe_dump(document))
    said = b""
    for words in (["plan", job, "--shards", "2"], [job, "--shard", "1/2", "-v"], [job, "--shard", "2/2", "-v"],
                  ["merge", job, "-v"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(ROOT / "dme.py"), *map(str, words)], capture_output=True, check=False, timeout=300
        )
        assert done.returncode in (0, 3), done.stderr[-2000:]
        said += done.stdout + done.stderr
    needles = Needles(markers)
    assert {needles.texts[number] for number in needles.found_in(said)} == set()
    found: dict[str, str] = {}
    for path in (tmp_path / "output").rglob("*"):
        places = [str(path.relative_to(tmp_path)).encode()]
        places += [data for _, data in contents(path)] if path.is_file() else []
        found.update({needles.texts[number]: path.name for data in places for number in needles.found_in(data)})
    assert found == {}
    assert len((tmp_path / "output" / "metadata.jsonl").read_text().splitlines()) > 20

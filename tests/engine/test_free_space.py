"""`output.min_free`: the run ends in order, says why, and goes on later."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import content

from crawler.engine import free_space
from crawler.engine.run import run
from crawler.errors import OutputError

Usage = namedtuple("Usage", "total used free")


def test_a_run_ends_before_the_disk_is_full_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        ct_series(tmp_path / "in" / str(number), n=2, uid=f"1.2.{number}")
    config = {
        "num_workers": 0,
        "output": {"dir": str(tmp_path / "out"), "min_free": "1GB"},
        "dicom": {"dir": str(tmp_path / "in")},
        "metadata": {},
        "volume": {},
    }
    looks = iter([10**12, 10**12])
    monkeypatch.setattr(free_space, "EVERY", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, next(looks, 10**6)))
    with pytest.raises(OutputError, match="what is done is kept"):
        run(config)
    done = list((tmp_path / "out" / "volumes").rglob("*.h5"))
    assert len(done) < 6
    assert not (tmp_path / "out" / ".dme-tmp").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, 10**12))
    assert run(config).exported == 12
    whole = {**config, "output": {"dir": str(tmp_path / "whole"), "min_free": "1GB"}}
    run(whole)
    assert {k: v for k, v in content(tmp_path / "out").items() if k.endswith((".h5", ".jsonl"))} == {
        k: v for k, v in content(tmp_path / "whole").items() if k.endswith((".h5", ".jsonl"))
    }


def test_without_a_bound_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ct_series(tmp_path / "in", n=2)
    monkeypatch.setattr(free_space, "_free", lambda folder: pytest.fail("asked"))
    run({"num_workers": 0, "output": {"dir": str(tmp_path / "out")}, "dicom": {"dir": str(tmp_path / "in")}})

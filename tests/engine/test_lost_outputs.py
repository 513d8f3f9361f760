"""Outputs that somebody deleted are noticed, told by `status`, and made again: they alone."""

from __future__ import annotations

import os
import shutil

import pytest
from support.cines import cine
from support.factories import ct_series
from support.runs import ALL, config, content, export

from crawler.ledger.status import read_status

EVERYTHING = {**ALL, "metadata": {"text": True}, "preview": {}, "volume": {"formats": ["hdf5", "nifti"]}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An input and its finished output."""
    folder = tmp_path_factory.mktemp("lost")
    ct_series(folder / "in" / "ct", n=3, WindowCenter=40, WindowWidth=400)
    ct_series(folder / "in" / "mr", n=2, uid="1.2.3.4", WindowCenter=40, WindowWidth=400)
    cine(folder / "in" / "us" / "cine.dcm", 3)
    export(folder / "in", folder / "out", **EVERYTHING)
    return folder


@pytest.mark.parametrize(
    "pattern", ["media/ct/*1.png", "**/*.mp4", "volumes/ct/*.h5", "volumes/ct/*.json", "previews/mr/*.png", "**/*.txt"]
)
def test_what_is_gone_is_made_again(made, tmp_path, pattern):
    shutil.copytree(made / "out", tmp_path / "out")
    gone = list((tmp_path / "out").glob(pattern))
    assert gone
    for path in gone:
        path.unlink()
    asked = config(made / "in", tmp_path / "out", **EVERYTHING)
    assert read_status(asked).lost == len(gone)
    export(made / "in", tmp_path / "out", **EVERYTHING)
    assert content(tmp_path / "out") == content(made / "out")
    assert read_status(asked).lost == 0
    assert export(made / "in", tmp_path / "out", **EVERYTHING).handled == 0


def test_neighbours_are_left_alone(made, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "volumes" / "ct")
    kept = [path for path in (tmp_path / "out").rglob("*.*") if path.suffix in (".png", ".mp4") or "mr" in path.parts]
    for path in kept:
        os.utime(path, ns=(1, 1))
    assert export(made / "in", tmp_path / "out", **EVERYTHING).handled == 3
    assert all(path.stat().st_mtime_ns == 1 for path in kept)
    assert content(tmp_path / "out") == content(made / "out")


def test_a_file_that_was_changed_stays(made, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out")
    changed = next((tmp_path / "out" / "media" / "ct").glob("*.png"))
    changed.write_bytes(b"mine now")
    assert export(made / "in", tmp_path / "out", **EVERYTHING).handled == 0
    assert changed.read_bytes() == b"mine now"


def test_what_is_switched_off_is_not_missed(made, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "previews")
    without = {name: section for name, section in EVERYTHING.items() if name != "preview"}
    assert export(made / "in", tmp_path / "out", **without).handled == 0
    assert not (tmp_path / "out" / "previews").exists()

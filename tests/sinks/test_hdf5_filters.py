"""HDF5 by any compression: equal voxels, a filter that the file names, refusal where the plug-in is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.factories import ct_series
from support.runs import config

from crawler.engine.run import run
from crawler.errors import SourceError, StopError
from crawler.sinks import base
from crawler.sinks.reading import read_volume

FILTERS = {"gzip": [2, 1], "lz4": [2, 32004], "zstd": [2, 32015], "none": []}  # of the HDF Group's registry


def volume(tree: Path, out: Path, compression: str, workers: int = 0) -> Path:
    run(config(tree, out, workers, volume={"compression": compression}))
    (path,) = (out / "volumes").rglob("*.h5")
    return path


@pytest.mark.parametrize("compression", FILTERS)
def test_equal_voxels_by_the_filter_that_was_asked_for(tmp_path, compression):
    ct_series(tmp_path / "in", n=4)
    pytest.importorskip("hdf5plugin", reason="pip install hdf5plugin")
    path = volume(tmp_path / "in", tmp_path / "out", compression)
    with h5py.File(path, "r") as file:
        plist = file["image"].id.get_create_plist()
        assert [plist.get_filter(number)[0] for number in range(plist.get_nfilters())] == FILTERS[compression]
    plain = read_volume(str(volume(tmp_path / "in", tmp_path / "plain", "gzip")))
    loaded = read_volume(str(path))
    assert np.array_equal(loaded.array, plain.array)
    assert loaded.array.dtype == plain.array.dtype
    assert np.array_equal(loaded.affine, plain.affine)
    assert loaded.metadata.keys() == plain.metadata.keys()
    again = volume(tmp_path / "in", tmp_path / "again", compression, 1)
    assert again.read_bytes() == path.read_bytes(), "equal volumes, equal bytes"


def test_a_missing_plug_in_stops_the_run_before_its_work(tmp_path, monkeypatch):
    ct_series(tmp_path / "in", n=2)
    installed = base._installed
    monkeypatch.setattr(base, "_installed", lambda package: package != "hdf5plugin" and installed(package))
    with pytest.raises(StopError, match="needs hdf5plugin"):
        run(config(tmp_path / "in", tmp_path / "out", volume={"compression": "lz4"}))


def test_reading_without_the_plug_in_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("hdf5plugin", reason="pip install hdf5plugin")
    ct_series(tmp_path / "in", n=2)
    path = volume(tmp_path / "in", tmp_path / "out", "zstd")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(SourceError, match="cannot be read as a volume of ours"):
        read_volume(str(path))

"""Formats of other packages (entry points dme.readers, dme.writers), in series and in runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import ct_series, tiny
from support.mr import mr_series
from support.other_package import install
from support.runs import accounts_hold, config, failures, rows

from crawler import Series, Volume, load_volume, run
from crawler.errors import ConfigError, OutputError, StopError
from crawler.series.errors import NotImageError, WriteNotImplemented
from crawler.verify.output import verify


@pytest.fixture(autouse=True)
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(install(tmp_path / "site"))
    yield
    import sys

    sys.modules.pop("raw4", None)


def export(
    source: Path, out: Path, readers: list[str] | str = (), formats: list[str] | None = None, **more: Any
) -> Any:
    document: dict[str, Any] = {"metadata": {"tables": []}, "volume": {"formats": formats or ["hdf5"]}, **more}
    return run(config(source, out, dicom={"dir": str(source), "readers": readers}, **document))


def test_series_are_written_and_read(tmp_path: Path) -> None:
    mr_series(tmp_path / "in", times=3, slices=4)
    a = Series(tmp_path / "in")
    a.write(tmp_path / "out", formats=["raw4"])
    (file,) = (tmp_path / "out").iterdir()
    assert file.suffix == ".raw4"
    b = Series(tmp_path / "out")
    assert b.input_format == "raw4"
    assert b.axes.names == a.axes.names
    assert np.array_equal(a, b)
    assert np.allclose(a.affine, b.affine)
    assert np.allclose(a.timeline, b.timeline)
    assert Series(file, input_format="raw4").shape == a.shape
    with pytest.raises(NotImageError):
        Series(file, input_format="nifti")
    assert load_volume(file).axes == a.axes.names


def test_faults_of_other_packages_are_named_without_their_words(tmp_path: Path) -> None:
    (tmp_path / "a.broken").write_text("DOE")
    (tmp_path / "a.wrong").write_text("DOE")
    for name, words in (("a.broken", "raised ValueError"), ("a.wrong", "neither a Volume nor data sets")):
        with pytest.raises(NotImageError, match=words) as raised:
            Series(tmp_path / name)
        assert "DOE" not in str(raised.value)
    with pytest.raises(OutputError, match="raised RuntimeError") as failed:
        Series(np.zeros((2, 3, 4))).write(tmp_path / "out", formats=["grumpy"])
    assert "DOE" not in str(failed.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(StopError, match="cannot be loaded: ModuleNotFoundError"):
        Series(np.zeros((2, 3, 4))).write(tmp_path / "out", formats=["absent"])
    with pytest.raises(WriteNotImplemented):
        Series(np.zeros((2, 3, 4))).write(tmp_path / "out", formats=["never"])


def test_readers_may_give_images(tmp_path: Path) -> None:
    (tmp_path / "a.cards").write_text("two of them")
    a = Series(tmp_path / "a.cards")
    assert a.shape == (2, 3, 4)
    assert a[:, 0, 0].tolist() == [5, 6]
    assert a.spacing[0] == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_runs_write_them(tmp_path: Path, workers: int) -> None:
    ct_series(tmp_path / "in", 3)
    summary = export(tmp_path / "in", tmp_path / "out", formats=["raw4", "hdf5"], num_workers=workers)
    assert summary.exit_code == 0
    found = sorted((tmp_path / "out" / "volumes").rglob("*.raw4"))
    assert len(found) == 1
    one, other = load_volume(found[0]), load_volume(found[0].with_suffix(".h5"))
    assert np.array_equal(one.array, other.array)
    assert np.allclose(one.affine, other.affine)
    assert all(len(row["volume_files"]) == 2 for row in rows(tmp_path / "out").values())
    told = config(tmp_path / "in", tmp_path / "out", metadata={"tables": []}, volume={"formats": ["raw4", "hdf5"]})
    assert verify(told).findings == []


def test_a_writer_that_raises_fails_the_files_of_its_volume(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 3)
    assert export(tmp_path / "in", tmp_path / "out", formats=["grumpy"]).exit_code == 3
    told = failures(tmp_path / "out")
    assert {one["stage"] for one in told.values()} == {"write"}
    assert {one["reason"] for one in told.values()} == {"not writable by its format"}


def volume_file(path: Path, array: np.ndarray, axes: list[str], **metadata: Any) -> Path:
    affine = [[0.0, 0.0, 0.5, -10.0], [0.0, 0.5, 0.0, -20.0], [3.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 1.0]]
    told = {"shape": array.shape, "dtype": array.dtype.str, "axes": axes, "affine": affine, "metadata": metadata}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**told, "values": array.ravel().tolist()}))
    return path


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_runs_read_them(tmp_path: Path, dtype: str, workers: int) -> None:
    """Each volume is a container of images, and every output of a run is made of these."""
    if workers and dtype != "float32":
        pytest.skip("one type is enough to see it in a worker")
    array = (np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) * 2).astype(dtype)
    echoes = {"axis_te": [5.0, 30.0], "axis_te_unit": "ms", "Modality": "MR", "SeriesDescription": "TWO ECHOES"}
    volume_file(tmp_path / "in" / "deep" / "a.raw4", array, ["te", "slice", "row", "column"], **echoes)
    tiny(tmp_path / "in" / "b.dcm", 0)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    summary = export(tmp_path / "in", tmp_path / "out", ".RAW4", num_workers=workers)
    accounts_hold(summary, 3 + 6)
    assert summary.exit_code == 0
    assert summary.skipped == {"not DICOM": 1, "container": 1}
    found = rows(tmp_path / "out")
    assert {name for name in found if "raw4" in name} == {f"deep/a.raw4/{number:05d}.dcm" for number in range(6)}
    row = found["deep/a.raw4/00000.dcm"]
    assert (row["Modality"], row["SeriesDescription"], row["EchoTime"]) == ("MR", "TWO ECHOES", 5)
    (path,) = (tmp_path / "out" / "volumes" / "deep" / "a.raw4").glob("*.h5")
    volume = load_volume(path)
    assert volume.axes == ("te", "slice", "row", "column")
    assert volume.array.dtype == dtype
    assert np.array_equal(volume.array, array)
    assert np.allclose(volume.affine, json.loads((tmp_path / "in" / "deep" / "a.raw4").read_text())["affine"])
    assert volume.metadata["axis_te"].tolist() == [5, 30]
    before = sorted(rows(tmp_path / "out").values(), key=lambda one: one["dicom_file"])
    export(tmp_path / "in", tmp_path / "out", ".raw4", num_workers=workers)
    assert sorted(rows(tmp_path / "out").values(), key=lambda one: one["dicom_file"]) == before


def test_a_file_in_a_remote_folder_is_copied_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawler.archives.quota import Quota
    from crawler.model import File
    from crawler.sources import reader_source

    path = volume_file(tmp_path / "in" / "a.raw4", np.zeros((2, 3, 4)), ["slice", "row", "column"])
    file = File(str(path.parent), path.name, path.stat().st_size, path.stat().st_mtime_ns)
    spool = tmp_path / "spool"
    monkeypatch.setattr(reader_source, "is_remote", lambda root: True)
    read: list[str] = []
    call = reader_source.call_reader
    monkeypatch.setattr(reader_source, "call_reader", lambda reader, path: read.append(path) or call(reader, path))
    found = reader_source.expand_file(file, str(spool), (".raw4",), Quota())
    assert len(found.members) == 2
    assert read[0].startswith(str(spool))
    assert read[0].endswith("/a.raw4")
    assert not Path(read[0]).exists()
    assert all(Path(member.spooled).is_file() for member in found.members)
    few = reader_source.expand_file(file, str(spool), (".raw4",), Quota(spooled=10))
    assert (few.outcome.outcome, few.outcome.reason) == ("failed", "archive too large")


def test_files_that_their_reader_refuses_fail(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.broken").write_text("DOE")
    volume_file(tmp_path / "in" / "long.raw4", np.array([[[2**40]]]), ["slice", "row", "column"])
    volume_file(tmp_path / "in" / "flat.raw4", np.zeros((2, 2, 2)), ["time", "row", "row"])
    summary = export(tmp_path / "in", tmp_path / "out", [".broken", "raw4"])
    accounts_hold(summary, 3)
    told = failures(tmp_path / "out")
    assert {name: one["reason"] for name, one in told.items()} == {
        "a.broken": "not readable by its format",
        "long.raw4": "unusable volume",
        "flat.raw4": "unusable volume",
    }
    assert "DOE" not in json.dumps(told)


def test_without_the_key_such_files_are_no_dicom(tmp_path: Path) -> None:
    volume_file(tmp_path / "in" / "a.raw4", np.zeros((2, 3, 4)), ["slice", "row", "column"])
    assert export(tmp_path / "in", tmp_path / "out").skipped == {"not DICOM": 1}


def test_formats_that_are_not_installed_stop_the_run(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 1)
    with pytest.raises(StopError, match=r"no installed package reads \.never"):
        export(tmp_path / "in", tmp_path / "out", ["never"])
    with pytest.raises(ConfigError, match="of installed packages absent, grumpy, raw4; nearest: raw4"):
        export(tmp_path / "in", tmp_path / "out", formats=["raw5"])
    with pytest.raises(StopError, match="cannot be loaded"):
        export(tmp_path / "in", tmp_path / "out", formats=["absent"])


def test_names_of_axes_are_checked() -> None:
    from crawler.errors import FileError
    from crawler.sources.reader_source import images_of

    for axes in (("row", "column"), ("slice", "row", "depth"), ("row", "row", "column")):
        with pytest.raises(FileError):
            list(images_of(Volume(np.zeros((2, 3, 4)), axes), "a"))
    assert [one.InstanceNumber for one in images_of(Volume(np.zeros((2, 3, 4))), "a")] == [1, 2]

"""`output.dir` as an address: the remote folder holds what a local one would, and another machine goes on from it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from support.factories import ct_series
from support.runs import config, content, export
from support.shards import mixed_tree

from crawler.cluster.run_shard import run_shard
from crawler.config.loader import Config
from crawler.engine import remote_output
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError, OutputError
from crawler.stores.remote import RemoteStore

SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}, "preview": {}}


@pytest.fixture
def tree(tmp_path) -> Path:
    return mixed_tree(tmp_path / "tree")


def settings(tree: Path, tmp_path: Path, machine: str = "here", workers: int = 0, **sections: object) -> Config:
    """The same job on a machine of that name, whose outputs go to one remote folder."""
    return Config.from_mapping(
        {
            "num_workers": workers,
            "output": {"dir": f"file://{tmp_path}/far", "staging": f"{tmp_path}/{machine}"},
            "dicom": {"dir": str(tree)},
            **(sections or SECTIONS),
        }
    )


def uploaded(tmp_path: Path) -> dict[str, object]:
    """What lies in the remote folder, without the note of its state."""
    found = content(tmp_path / "far")
    return {name: what for name, what in found.items() if not name.startswith(".dme-state")}


def same(one: dict[str, object], other: dict[str, object]) -> None:
    """Equal but for the copy of the configuration, which holds other places."""
    assert one == other


@pytest.mark.parametrize("workers", [0, 2])
def test_the_remote_folder_holds_what_a_local_one_would(tmp_path, tree, workers):
    export(tree, tmp_path / "disk", **SECTIONS)
    summary = run(settings(tree, tmp_path, workers=workers))
    assert summary.exit_code == 3
    same(uploaded(tmp_path), content(tmp_path / "disk"))
    assert (tmp_path / "far" / "metadata.jsonl.ledger").exists()


def test_a_second_run_uploads_the_state_alone_and_a_change_what_changed(tmp_path, tree, monkeypatch):
    run(settings(tree, tmp_path))
    sent: list[str] = []
    upload = RemoteStore.upload

    def noted(self: RemoteStore, path: str, address: str) -> None:
        sent.append(address.partition("/far/")[2])
        upload(self, path, address)

    monkeypatch.setattr(RemoteStore, "upload", noted)
    run(settings(tree, tmp_path))
    assert sorted(sent) == [".dme-state/current.json", "metadata.jsonl", "metadata.jsonl.ledger"]
    shutil.rmtree(tree / "ct" / "01")
    sent.clear()
    run(settings(tree, tmp_path))
    assert not [name for name in sent if name.startswith(("volumes/ct", "media/ct"))]
    assert not list((tmp_path / "far").glob("volumes/ct/01/*"))
    export(tree, tmp_path / "disk", **SECTIONS)
    same(uploaded(tmp_path), content(tmp_path / "disk"))


def test_a_lost_machine_is_replaced_by_another(tmp_path, tree, monkeypatch):
    """The first is lost in the middle of its uploads, after a copy of its state went up."""
    monkeypatch.setattr(remote_output, "EVERY", 0.0)
    monkeypatch.setattr(remote_output, "SELDOM", 0)
    monkeypatch.setattr("crawler.engine.crawl.COMMIT_SECONDS", 0.0)
    put_state, states = remote_output.RemoteOutput._put_state, []

    class LostError(BaseException):
        """The machine is gone."""

    def lost(self, store, final=False):
        put_state(self, store, final)
        states.append(len(self._uploads.all()))
        if states[-1] > 3:
            raise LostError

    monkeypatch.setattr(remote_output.RemoteOutput, "_put_state", lost)
    with pytest.raises(LostError):
        run(settings(tree, tmp_path, "first"))
    monkeypatch.setattr(remote_output.RemoteOutput, "_put_state", put_state)
    shutil.rmtree(tmp_path / "first")
    handled = run(settings(tree, tmp_path, "second")).handled
    export(tree, tmp_path / "disk", **SECTIONS)
    assert 0 < handled < 39
    same(uploaded(tmp_path), content(tmp_path / "disk"))
    assert run(settings(tree, tmp_path, "third")).handled == 0


def test_two_machines_do_not_write_over_each_other(tmp_path, tree):
    run(settings(tree, tmp_path, "first", metadata={}))
    for number in range(5):  # the first machine's copy is forgotten by then
        (tree / f"more{number}").write_text("x")
        run(settings(tree, tmp_path, "second", metadata={}))
    with pytest.raises(LedgerError, match="was written by another machine since"):
        run(settings(tree, tmp_path, "first", metadata={}))


def test_what_is_not_ours_is_left_alone(tmp_path, tree):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "thesis.txt").write_text("mine")
    with pytest.raises(LedgerError, match="is not empty, and holds no output of dme"):
        run(settings(tree, tmp_path))
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["thesis.txt"]


def test_an_upload_that_fails_ends_the_run_and_the_next_one_goes_on(tmp_path, tree, monkeypatch):
    def refuse(self: RemoteStore, path: str, address: str) -> None:
        raise OSError(5, "the remote store failed (ClientError)")

    upload = RemoteStore.upload
    monkeypatch.setattr(RemoteStore, "upload", refuse)
    with pytest.raises(OutputError, match=r"the remote store failed.*run again to go on"):
        run(settings(tree, tmp_path))
    monkeypatch.setattr(RemoteStore, "upload", upload)
    assert run(settings(tree, tmp_path)).handled == 0
    export(tree, tmp_path / "disk", **SECTIONS)
    same(uploaded(tmp_path), content(tmp_path / "disk"))


def test_an_output_beside_its_input_is_not_read(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory", skip_instance_cache=True)
    for path in ct_series(tmp_path / "flat", n=3):
        system.pipe(f"/data/in/{path.name}", path.read_bytes())
    try:
        job = Config.from_mapping(
            {
                "num_workers": 0,
                "output": {"dir": "memory://data/out", "staging": str(tmp_path / "here")},
                "dicom": {"dir": "memory://data"},
                "metadata": {},
                "volume": {},
            }
        )
        assert run(job).found == 3
        assert system.exists("/data/out/metadata.jsonl")
        assert run(job).found == 3
    finally:
        system.store.clear()
        system.pseudo_dirs[:] = [""]


def test_what_cannot_be_is_refused(tmp_path, tree):
    for output, sections, text in (
        ({"dir": "out", "staging": "here"}, {}, "belongs to an address"),
        ({"dir": "s3://somebody:secret@bucket"}, {}, "without password"),
        ({"dir": "s3://bucket/out"}, {"volume": {"dir": str(tmp_path / "elsewhere")}}, "all outputs go there"),
    ):
        with pytest.raises(ConfigError, match=text):
            Config.from_mapping({"output": output, "dicom": {"dir": str(tree)}, "metadata": {}, **sections})
    with pytest.raises(ConfigError, match="shards need a folder"):
        run_shard(settings(tree, tmp_path), 1, 2)
    local = config(tree, tmp_path / "out")
    assert replace(local, output=replace(local.output, dir="s3://bucket/x")).output_dir.startswith(local.directory)

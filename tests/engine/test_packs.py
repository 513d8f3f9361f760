"""`output.pack`: read back by other readers, whole after kills, renewed after changes, merged from shards, verified."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.factories import ct_series, multiframe
from support.runs import config, content, export, rows
from support.shards import run_all

from crawler.cluster.merge import merge
from crawler.config.loader import Config
from crawler.disk import fingerprint
from crawler.engine import packer
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.ledger.own_files import OwnFiles
from crawler.sinks.packs import member_name, members_of, read_packed
from crawler.sinks.reading import read_volume
from crawler.verify.output import verify

pytestmark = pytest.mark.usefixtures("no_thread_of_zarr")


SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}}
FORMATS = ["tar", "hdf5", "zarr"]


def packed(tree: Path, out: Path, form: str = "tar", size: object = 4000, workers: int = 0) -> Config:
    if form == "zarr":
        pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
    output = {"dir": str(out), "pack": {"format": form, "size": size}}
    return Config.from_mapping({"num_workers": workers, "output": output, "dicom": {"dir": str(tree)}, **SECTIONS})


def small_tree(folder: Path) -> Path:
    """Three folders of CT, one of them in the dotted names of UIDs, and a cine."""
    for number in range(2):
        ct_series(folder / "ct" / f"{number:02}", n=3 + number, uid=f"1.2.3.{number}")
    for number, path in enumerate(ct_series(folder / "1.2.3", n=2, uid="1.2.4")):
        path.rename(path.with_name(f"1.2.4.{number}"))
    multiframe(folder / "cine" / "one.dcm", 3, 32, 32)
    return folder


def index(out: Path) -> dict[str, tuple[str, str]]:
    """(pack, member) of every file, by kind and name."""
    with open(out / "packs" / "index.csv", newline="", encoding="utf-8") as file:
        return {f"{row['kind']}:{row['file']}": (row["pack"], row["member"]) for row in csv.DictReader(file)}


def same_files(out: Path, single: Path) -> None:
    """Every file of an output without packs is in a pack, with its content, and not by itself."""
    found = index(out)
    folders = {"volume": "volumes", "sidecar": "volumes", "image": "media", "video": "media"}
    wanted = {path for folder in ("volumes", "media") for path in (single / folder).rglob("*") if path.is_file()}
    assert len(found) == len(wanted)
    assert not [path for folder in ("volumes", "media") for path in (out / folder).rglob("*") if path.is_file()]
    for name, (pack, member) in found.items():
        kind, file = name.split(":", 1)
        path = single / folders[kind] / file
        wanted.remove(path)
        have = read_packed(str(out / "packs" / pack), member)
        if isinstance(have, bytes):
            assert have == path.read_bytes()
            continue
        other = read_volume(str(path))
        assert np.array_equal(have.array, other.array)
        assert have.axes == other.axes
        assert np.array_equal(have.affine, other.affine)
    assert not wanted


@pytest.mark.parametrize("form", FORMATS)
def test_packs_hold_what_would_lie_by_itself(tmp_path, form):
    tree = small_tree(tmp_path / "tree")
    export(tree, tmp_path / "single", **SECTIONS)
    job = packed(tree, tmp_path / "out", form)
    run(job)
    same_files(tmp_path / "out", tmp_path / "single")
    assert rows(tmp_path / "out") == rows(tmp_path / "single")
    packs = {pack for pack, _ in index(tmp_path / "out").values()}
    assert len(packs) > 3
    before = content(tmp_path / "out")
    assert run(job).handled == 0
    assert content(tmp_path / "out") == before
    assert verify(job, 4).findings == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_change_leaves_nothing_obsolete_in_packs(tmp_path, form):
    tree = small_tree(tmp_path / "tree")
    job = packed(tree, tmp_path / "out", form)
    run(job)
    shutil.rmtree(tree / "ct" / "01")
    ct_series(tree / "ct" / "00", n=5, uid="1.2.3.0")
    run(job)
    export(tree, tmp_path / "single", **SECTIONS)
    same_files(tmp_path / "out", tmp_path / "single")
    named = {pack for pack, _ in index(tmp_path / "out").values()} | {"index.csv"}
    assert {path.name for path in (tmp_path / "out" / "packs").iterdir()} == named
    assert verify(job, 0).findings == []


def members_of_all(out: Path) -> list[str]:
    """Every member of every pack, as often as it is there."""
    return sorted(member for pack in (out / "packs").glob("*.tar") for member in members_of(str(pack)))


def test_an_earlier_state_of_a_product_stays_in_no_pack(tmp_path, monkeypatch):
    """Packed with a commit of the run that made it again, before its end: the older pack must go, too."""
    monkeypatch.setattr(packer, "EVERY", 0.0)
    tree = small_tree(tmp_path / "tree")
    job = packed(tree, tmp_path / "out", size="4kB")
    run(job)
    ct_series(tree / "ct" / "00", n=5, uid="1.2.3.0")
    run(job)
    assert members_of_all(tmp_path / "out") == sorted(member for _, member in index(tmp_path / "out").values())
    export(tree, tmp_path / "single", **SECTIONS)
    same_files(tmp_path / "out", tmp_path / "single")


def test_a_product_that_comes_out_as_before_is_packed_anew(tmp_path):
    """A rebuild must not leave it beside the pack, and not trust the old pack either."""
    tree = small_tree(tmp_path / "tree")
    job = packed(tree, tmp_path / "out")
    run(job)
    export(tree, tmp_path / "single", **SECTIONS)
    damaged = sorted((tmp_path / "out" / "packs").glob("*.tar"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1500] + bytes(1500))
    run(job, rebuild=["volume", "image"])
    same_files(tmp_path / "out", tmp_path / "single")
    damaged.unlink()  # it was changed, so it was left where it was, and told
    assert members_of_all(tmp_path / "out") == sorted(member for _, member in index(tmp_path / "out").values())
    run(job, rebuild=True)
    same_files(tmp_path / "out", tmp_path / "single")
    assert members_of_all(tmp_path / "out") == sorted(member for _, member in index(tmp_path / "out").values())
    assert verify(job, 0).findings == []


def test_an_older_pack_that_could_not_be_deleted_goes_with_the_next_run(tmp_path, monkeypatch):
    """Killed, or refused by the disk, after its successor was recorded."""
    tree = small_tree(tmp_path / "tree")
    job = packed(tree, tmp_path / "out")
    run(job)
    shutil.rmtree(tree / "ct" / "01")
    with monkeypatch.context() as patch:
        patch.setattr(OwnFiles, "drop", lambda *_: False)
        run(job)
    assert {path.name for path in (tmp_path / "out" / "packs").glob("*.tar")} > {
        pack for pack, _ in index(tmp_path / "out").values()
    }
    run(job)
    assert {path.name for path in (tmp_path / "out" / "packs").glob("*.tar")} == {
        pack for pack, _ in index(tmp_path / "out").values()
    }


def test_a_product_that_cannot_be_deleted_once_it_is_packed_goes_later(tmp_path, monkeypatch):
    tree = small_tree(tmp_path / "tree")
    job = packed(tree, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(packer, "delete_product", lambda *_: False)
        run(job)
    packs = {path.name: path.stat().st_ino for path in (tmp_path / "out" / "packs").glob("*.tar")}
    assert [*(tmp_path / "out" / "volumes").rglob("*.h5")]
    run(job)
    assert not [*(tmp_path / "out" / "volumes").rglob("*.h5")]
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out" / "packs").glob("*.tar")} == packs


def test_a_tar_is_read_by_the_tar_and_its_parts_stay_together(tmp_path):
    job = packed(small_tree(tmp_path / "tree"), tmp_path / "out", size="1MB")
    run(job)
    (pack,) = (tmp_path / "out" / "packs").glob("*.tar")
    with tarfile.open(pack) as archive:
        names = archive.getnames()
    samples = [name.rpartition("/")[0] + "/" + name.rpartition("/")[2].partition(".")[0] for name in names]
    assert len({*samples}) == sum(one != other for one, other in zip(samples, [None, *samples], strict=False))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_webdataset_reads_it(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="python -m pip install -r requirements-packs.txt")
    run(packed(small_tree(tmp_path / "tree"), tmp_path / "out", size="1MB"))
    (pack,) = (tmp_path / "out" / "packs").glob("*.tar")
    found = list(webdataset.WebDataset(str(pack), shardshuffle=False))
    volumes = [sample for sample in found if sample["__key__"].startswith("volumes/")]
    assert volumes
    for sample in volumes:
        assert {"h5", "nii.gz"} <= {*sample}
        with h5py.File(io.BytesIO(sample["h5"])) as file:
            assert file["image"].ndim >= 3
    assert sum(len([key for key in sample if not key.startswith("__")]) for sample in found) == len(
        index(tmp_path / "out")
    )


def test_h5py_reads_a_pack(tmp_path):
    run(packed(small_tree(tmp_path / "tree"), tmp_path / "out", "hdf5", size="1GB"))
    (pack,) = (tmp_path / "out" / "packs").glob("*.h5")
    members = [member for _, member in index(tmp_path / "out").values() if member.endswith(".h5")]
    with h5py.File(pack) as file:
        for member in members:
            assert file[member]["image"].chunks[:-2] == (1,) * (file[member]["image"].ndim - 2)
            assert "affine" in file[member]["image"].attrs or file[member]["image"].ndim < 4
            assert len(file[member]["provenance"])


def test_zarr_reads_a_pack(tmp_path):
    zarr = pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
    run(packed(small_tree(tmp_path / "tree"), tmp_path / "out", "zarr", size="1GB"))
    (pack,) = (tmp_path / "out" / "packs").glob("*.zarr.zip")
    with zarr.storage.ZipStore(pack, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert group.metadata.zarr_format == 3
        for _, member in index(tmp_path / "out").values():
            if member.endswith(".h5"):
                assert group[member].shards is not None
                assert group[member].attrs["axes"][-2:] == ["row", "column"]


@pytest.mark.parametrize(("form", "at"), [*(("tar", at) for at in range(10)), ("hdf5", 6), ("zarr", 6)])
def test_a_run_killed_while_packing_loses_nothing(tmp_path, monkeypatch, form, at):
    """Killed at every step of writing packs: a step is a call that changes the disk or the ledger."""
    ct_series(tmp_path / "tree" / "a", n=3, uid="1.2.1")
    ct_series(tmp_path / "tree" / "b", n=2, uid="1.2.2")
    export(tmp_path / "tree", tmp_path / "single", **SECTIONS)

    class KilledError(BaseException):
        """Nothing more happens."""

    steps = [at]

    def counting(call):
        def step(*of, **named):
            if steps[0] == 0:
                raise KilledError
            steps[0] -= 1
            return call(*of, **named)

        return step

    job = packed(tmp_path / "tree", tmp_path / "out", form, 1)
    with monkeypatch.context() as patch:
        patch.setattr(packer.os, "replace", counting(os.replace))
        patch.setattr(packer, "delete_product", counting(packer.delete_product))
        patch.setattr(packer.Packed, "add", counting(packer.Packed.add))
        patch.setattr(packer.Packer, "_clean", counting(packer.Packer._clean))
        patch.setattr(packer, "is_as_recorded", counting(packer.is_as_recorded))
        with pytest.raises(KilledError):
            run(job)
    for pack in (tmp_path / "out" / "packs").glob("*[!g]"):
        if not pack.name.endswith(".building"):
            assert members_of(str(pack)), "a pack that is there is whole"
    run(job)
    same_files(tmp_path / "out", tmp_path / "single")
    assert not list((tmp_path / "out" / "packs").glob("*.building"))
    assert verify(job, 0).findings == []


def test_shards_have_packs_of_their_own_and_merge_indexes_them(tmp_path):
    tree = small_tree(tmp_path / "tree")
    export(tree, tmp_path / "single", **SECTIONS)
    job = packed(tree, tmp_path / "out")
    run_all(job, 3)
    assert merge(job).summary is not None
    same_files(tmp_path / "out", tmp_path / "single")
    assert len({pack[:4] for pack, _ in index(tmp_path / "out").values()}) > 1
    assert verify(job, 2).findings == []
    assert merge(job).summary is not None
    same_files(tmp_path / "out", tmp_path / "single")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", ["flipped", "missing", "short"])
def test_verify_finds_damage(tmp_path, form, damage):
    ct_series(tmp_path / "tree", n=3)
    job = packed(tmp_path / "tree", tmp_path / "out", form, "1MB")
    run(job)
    (pack,) = {pack for pack, _ in index(tmp_path / "out").values()}
    path = tmp_path / "out" / "packs" / pack
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    found = {os.path.basename(name) for name, _ in verify(job, 0).findings}
    assert pack in found


def test_a_lost_pack_is_made_again(tmp_path):
    job = packed(small_tree(tmp_path / "tree"), tmp_path / "out")
    run(job)
    before = {
        name: fingerprint(str(tmp_path / "out" / "packs" / pack)) for name, (pack, _) in index(tmp_path / "out").items()
    }
    pack = next(iter(index(tmp_path / "out").values()))[0]
    (tmp_path / "out" / "packs" / pack).unlink()
    run(job)
    assert {*index(tmp_path / "out")} == {*before}
    assert verify(job, 0).findings == []


def test_names_are_those_of_webdataset():
    taken: set[str] = set()
    names = [member_name("media", path, taken) for path in ("a.b/1.2.840.png", "a.b/1_2.840.png", "a.b/x.nii.gz", "y")]
    assert names == ["media/a.b/1_2_840.png", "media/a.b/1_2_840_2.png", "media/a.b/x.nii.gz", "media/y"]


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"output\.pack: does not go with output\.layout: bids, whose files lie by"):
        Config.from_mapping(
            {
                "output": {"layout": "bids", "pack": {}},
                "dicom": {"dir": str(tmp_path)},
                "metadata": {},
                "volume": {"formats": ["nifti"]},
            }
        )
    assert config(tmp_path, tmp_path / "out").output.pack is None


NAMES = {
    "metadata": {},
    "image": {"bits": 8},
    "media": {"name": "{PatientID}/{InstanceNumber:03d}"},
    "volume": {"formats": ["hdf5", "nifti"], "name": "{PatientID}/{Modality}.{SeriesNumber:03d}"},
}


@pytest.mark.parametrize("form", ["tar", "hdf5"])
def test_names_of_patterns_are_those_inside_packs(tmp_path, form):
    """Four series of one patient and number: those that want one name get numbers, and keep their parts together."""
    tree = small_tree(tmp_path / "tree")
    export(tree, tmp_path / "single", **SECTIONS)
    output = {"dir": str(tmp_path / "out"), "pack": {"format": form, "size": "1MB"}}
    job = Config.from_mapping({"num_workers": 0, "output": output, "dicom": {"dir": str(tree)}, **NAMES})
    run(job)
    same_files(tmp_path / "out", tmp_path / "single")
    found = index(tmp_path / "out")
    assert {found[name][1] for name in found if name.startswith("volume:") and name.endswith(".h5")} == {
        "volumes/QUICK/CT_001.h5",
        "volumes/QUICK/CT_001_2.h5",
        "volumes/QUICK/CT_001_3.h5",
        "volumes/QUICK/OT_001.h5",
    }
    for name, (_, member) in found.items():  # the files of one volume are one sample
        if name.startswith("volume:") and name.endswith(".nii.gz"):
            assert found[name.replace(".nii.gz", ".h5")][1] == member.replace(".nii.gz", ".h5")
    assert "media/QUICK/001.png" in {member for _, member in found.values()}
    assert not (tmp_path / "out" / "named").exists()
    assert not (tmp_path / "out" / "names.csv").exists()
    before = content(tmp_path / "out")
    assert run(job).handled == 0
    assert content(tmp_path / "out") == before
    assert verify(job, 4).findings == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_pattern_names_members_anew(tmp_path, form):
    if form == "zarr":
        pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
    tree = small_tree(tmp_path / "tree")
    output = {"dir": str(tmp_path / "out"), "pack": {"format": form, "size": 4000}}
    sections = {"metadata": {}, "volume": {"formats": ["hdf5"], "name": "{Modality}"}}
    job = {"num_workers": 0, "output": output, "dicom": {"dir": str(tree)}, **sections}
    run(job)
    job["volume"] = {"formats": ["hdf5"], "name": "new/{Modality}"}
    assert run(job).handled == 0
    found = index(tmp_path / "out")
    assert [member for _, member in found.values() if not member.startswith("volumes/new/")] == []
    named = {pack for pack, _ in found.values()} | {"index.csv"}
    assert {path.name for path in (tmp_path / "out" / "packs").iterdir()} == named
    assert verify(Config.from_mapping(job), 4).findings == []
    before = content(tmp_path / "out")
    run(job)
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("form", FORMATS)
def test_packs_go_to_an_address_and_another_machine_goes_on(tmp_path, form):
    """Whole packs are uploaded; a machine without them packs anew what changed, and uploads nothing else."""
    tree = small_tree(tmp_path / "tree")

    def job(machine: str) -> Config:
        if form == "zarr":
            pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
        output = {"dir": f"file://{tmp_path}/far", "staging": str(tmp_path / machine)}
        output["pack"] = {"format": form, "size": 4000}
        return Config.from_mapping({"num_workers": 0, "output": output, "dicom": {"dir": str(tree)}, **SECTIONS})

    export(tree, tmp_path / "single", **SECTIONS)
    run(job("first"))
    same_files(tmp_path / "far", tmp_path / "single")
    shutil.rmtree(tmp_path / "first")
    packs = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "far" / "packs").iterdir()}
    assert run(job("second")).handled == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "far" / "packs").iterdir()} == packs
    shutil.rmtree(tree / "ct" / "01")
    ct_series(tree / "ct" / "00", n=5, uid="1.2.3.0")
    shutil.rmtree(tmp_path / "single")
    export(tree, tmp_path / "single", **SECTIONS)
    run(job("third"))
    same_files(tmp_path / "far", tmp_path / "single")
    named = {pack for pack, _ in index(tmp_path / "far").values()} | {"index.csv"}
    assert {path.name for path in (tmp_path / "far" / "packs").iterdir()} == named

"""Remote folders as input: the same outputs as from a disk, few bytes for headers, hostile names, missing packages."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest
from support.factories import ct_series, quick_dataset
from support.runs import config, content, export, failures, rows
from support.shards import mixed_tree

from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.errors import ConfigError, SourceError
from crawler.instance.header import read_instance
from crawler.sources.directory import Root, listing, roots_of, walk
from crawler.stores import remote
from crawler.stores.access import open_path
from crawler.stores.header_sizes import HeaderSizes

SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}}
ADDRESS = "memory://bucket/tree"


class Meter:
    """Requests for bytes of files, and how many came."""

    def __init__(self) -> None:
        self.requests, self.bytes = 0, 0


@pytest.fixture
def meter(monkeypatch) -> Meter:
    counted, fetch = Meter(), remote.RemoteStore.fetch

    def count(self: remote.RemoteStore, *of: object) -> bytes:
        data = fetch(self, *of)
        counted.requests += 1
        counted.bytes += len(data)
        return data

    monkeypatch.setattr(remote.RemoteStore, "fetch", count)
    return counted


@pytest.fixture
def memory():
    """The file system in memory, empty."""
    system = fsspec.filesystem("memory", skip_instance_cache=True)
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def archives(folder: Path) -> None:
    """A plain and a compressed tar, and a gzip file, beside what is there."""
    slices = ct_series(folder / "more", n=3, uid="1.2.6")
    for name, mode in (("plain.tar", "w"), ("packed.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as archive:
            for path in slices:
                archive.add(path, f"inside/{path.name}")
    (folder / "one.dcm.gz").write_bytes(gzip.compress(slices[0].read_bytes()))


def test_a_remote_tree_gives_what_the_same_tree_on_a_disk_gives(tmp_path, memory, meter):
    tree = mixed_tree(tmp_path / "tree")
    archives(tree)
    export(tree, tmp_path / "disk", **SECTIONS)
    memory.put(str(tree), "/bucket/tree", recursive=True)
    for number, address in enumerate((ADDRESS, f"file://{tree}", f"{ADDRESS}/")):
        out = tmp_path / f"{number}"
        summary = run(config(address, out, **SECTIONS))
        assert content(out) == content(tmp_path / "disk")
        assert summary.exit_code == 3
        meter.requests = 0
        assert run(config(address, out, **SECTIONS)).handled == 0
        assert meter.requests == 0


def test_workers_that_are_forked_or_spawned_read_for_themselves(tmp_path, monkeypatch):
    ct_series(tmp_path / "tree", n=4)
    export(tmp_path / "tree", tmp_path / "disk", **SECTIONS)
    address = f"file://{tmp_path / 'tree'}"
    run(config(address, tmp_path / "fork", 2, **SECTIONS))
    monkeypatch.setattr("crawler.engine.pool.start_method", lambda: "spawn")  # as after a request of an s3:// address
    run(config(address, tmp_path / "spawn", 1, **SECTIONS))
    assert content(tmp_path / "fork") == content(tmp_path / "spawn") == content(tmp_path / "disk")


def test_a_tree_is_grouped_and_a_change_is_seen(tmp_path, memory):
    for number, path in enumerate(ct_series(tmp_path / "flat", n=4, uid="1.2.3")):
        memory.pipe(f"/bucket/tree/{number % 2}/{path.name}", path.read_bytes())
    settings = config(ADDRESS, tmp_path / "out", dicom={"group": "tree"}, metadata={}, volume={})
    assert run(settings).volumes == 1
    assert run(settings).handled == 0
    late = ct_series(tmp_path / "late", n=5, uid="1.2.3")[4]
    memory.pipe("/bucket/tree/1/late.dcm", late.read_bytes())
    assert run(settings).handled == 5
    memory.rm_file("/bucket/tree/1/late.dcm")
    run(settings)
    assert len(rows(tmp_path / "out")) == 4


@pytest.mark.parametrize("size", [(16, 12), (256, 256)])
def test_headers_cost_their_own_bytes_and_a_request(tmp_path, memory, meter, size):
    headers = 0
    for patient in range(3):
        for path in ct_series(
            tmp_path / f"{patient}", n=12, size=size, uid=f"1.2.3.{patient}", PatientID="x" * patient
        ):
            memory.pipe(f"/bucket/tree/{patient}/{path.name}", path.read_bytes())
            (root,) = roots_of([str(path)])
            pixels = read_instance(listing(root, "").files()[0]).pixels
            assert pixels is not None
            headers += pixels.offset
    run(config(ADDRESS, tmp_path / "out", metadata={}))
    assert meter.bytes <= 1.2 * headers
    assert meter.requests <= 1.2 * 36


def test_a_header_longer_than_a_block_is_read_in_growing_ones(tmp_path, memory, meter):
    """Private values of 40 kB in front of the pixels, in small elements and in sequences of no given length."""
    dataset = quick_dataset()
    block = dataset.private_block(0x0019, "MAKER", create=True)
    for number in range(0xF0):
        block.add_new(number, "LO", f"{number:060}")
    dataset.ReferencedStudySequence = [quick_dataset(None) for _ in range(30)]
    dataset["ReferencedStudySequence"].is_undefined_length = True
    (tmp_path / "tree").mkdir()
    for number in range(10):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.save_as(tmp_path / "tree" / f"{number}.dcm", enforce_file_format=True)
        memory.pipe(f"/bucket/tree/{number}.dcm", (tmp_path / "tree" / f"{number}.dcm").read_bytes())
    run(config(ADDRESS, tmp_path / "far", metadata={}))
    export(tmp_path / "tree", tmp_path / "disk", metadata={})
    assert rows(tmp_path / "far") == rows(tmp_path / "disk")
    (root,) = roots_of([str(tmp_path / "tree" / "0.dcm")])
    length = listing(root, "").files()[0].size  # no pixels follow
    assert length > 20_000
    assert meter.bytes <= 1.2 * 10 * length


@pytest.mark.parametrize("offset", [0, 5000, 70_000])
def test_a_stream_reads_as_a_file_does(memory, offset):
    data = bytes(range(256)) * 400
    memory.pipe("/bucket/file", data)
    far, near = open_path("memory://bucket/file"), io.BytesIO(data)
    for stream in (far, near):
        stream.seek(offset)
    for size in (1, 10, 3000, 0, 40_000, 100, -1, 5):
        assert far.read(size) == near.read(size)
        assert far.tell() == near.tell()
    for stream in (far, near):
        stream.seek(-7, io.SEEK_END)
    buffer = bytearray(20)
    assert far.readinto(buffer) == 7  # type: ignore[attr-defined]
    assert buffer[:7] == data[-7:]
    with pytest.raises(ValueError, match="negative"):
        far.seek(-1)


def test_a_file_that_changed_since_it_was_listed_fails_alone(tmp_path, memory):
    paths = ct_series(tmp_path / "flat", n=3)
    for path in paths:
        memory.pipe(f"/bucket/tree/{path.name}", path.read_bytes())
    (root,) = roots_of([ADDRESS])
    one = listing(root, "").files()[0]
    memory.pipe("/bucket/tree/" + paths[0].name, b"short")
    from crawler.errors import HeaderError

    with pytest.raises(HeaderError, match="not as it was listed"):
        read_instance(one)


def test_names_that_lead_elsewhere_are_faults(tmp_path, monkeypatch):
    listed = [
        remote.Entry("..", True, 0, 0),
        remote.Entry("a", True, 0, 0),
        remote.Entry("a", False, 9, 1),
        remote.Entry(".", False, 9, 1),
        remote.Entry("unknown", False, -1, 0),
        remote.Entry("good.dcm", False, 9, 7),
    ]
    monkeypatch.setattr(remote.RemoteStore, "entries", lambda self, address: iter(listed))
    (folder,) = walk(Root(ADDRESS))
    assert folder.entries == (("a", 9, 1), ("good.dcm", 9, 7))
    assert {name: outcome.reason for name, outcome in folder.faults} == {
        "%2E%2E": "unsafe name",
        ".": "unsafe name",
        "a/": "unsafe name",
        "unknown": "cannot be read",
    }


def test_the_mark_of_a_file_is_its_etag_or_its_time():
    entry = remote._entry({"name": "b/x", "type": "file", "size": 3, "ETag": '"1"', "LastModified": "2026"})
    again = remote._entry({"name": "b/x", "type": "file", "size": 3, "ETag": '"1"', "LastModified": "2027"})
    other = remote._entry({"name": "b/x", "type": "file", "size": 3, "ETag": '"2"', "LastModified": "2026"})
    assert entry == again != other
    assert remote._entry({"name": "b/x", "type": "file", "size": 3, "mtime": 1.5}).mark == 1_500_000_000
    assert remote._entry({"name": "b/x", "type": "file", "size": 3}).mark == 0


def test_what_is_fetched_next_follows_the_last_headers():
    sizes = HeaderSizes()
    assert sizes.first() == 2048
    for length in (5000, 5100, 5050):
        sizes.add(length)
    assert sizes.first() == 5100 + 64
    sizes.add(2000)
    assert sizes.first() == 2000 + 64


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SourceError, match=r"s3:// needs fsspec s3fs: install with `python -m pip install fsspec s3fs`"):
        run(config("s3://bucket/tree", tmp_path / "out", metadata={}))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("sftp://somebody:secret@host/tree", "without password"),
        ("https://host/tree?token=secret", "without password"),
        ("nfs://host/tree", "begins with one of"),
    ],
)
def test_addresses_that_hold_secrets_or_are_of_no_known_kind_are_refused(address, text):
    with pytest.raises(ConfigError, match=text) as refused:
        Config.from_mapping({"dicom": {"dir": address}, "metadata": {}})
    assert "secret" not in str(refused.value)


def test_an_address_that_is_not_there_stops_the_run(tmp_path, memory):
    with pytest.raises(SourceError, match="does not exist; correct the address"):
        run(config("memory://bucket/nowhere", tmp_path / "out", metadata={}))


def test_a_folder_that_cannot_be_listed_keeps_what_is_known(tmp_path, memory, monkeypatch):
    for path in ct_series(tmp_path / "flat", n=3):
        memory.pipe(f"/bucket/tree/in/{path.name}", path.read_bytes())
    assert run(config(ADDRESS, tmp_path / "out", metadata={})).exported == 3
    entries = remote.RemoteStore.entries

    def refuse(self, address):
        if address.endswith("/in"):
            raise OSError(5, "the remote store failed (ClientError)")
        return entries(self, address)

    monkeypatch.setattr(remote.RemoteStore, "entries", refuse)
    run(config(ADDRESS, tmp_path / "out", metadata={}))
    assert len(rows(tmp_path / "out")) == 3
    assert failures(tmp_path / "out")["in"]["reason"] == "folder cannot be read"


def test_zip_members_are_fetched_by_themselves(tmp_path, memory, meter):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in ct_series(tmp_path / "flat", n=30, size=(256, 256)):
            archive.write(path, path.name)
    memory.pipe("/bucket/tree/a.zip", packed.getvalue())
    run(config(ADDRESS, tmp_path / "out", metadata={}))
    assert len(rows(tmp_path / "out")) == 30
    assert meter.bytes < 0.5 * len(packed.getvalue())

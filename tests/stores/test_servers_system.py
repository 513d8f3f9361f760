"""Folders on real servers of gs://, az://, sftp:// and http:// as input, and where it is meant to be, as output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.headers import large_headers
from support.runs import ROOT, content, export
from support.shards import mixed_tree
from support.storage_servers import INSTALL, StorageServer, is_installed, storage_server

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}}
ALL = "metadata:\nimage: {bits: 8}\nvolume: {formats: [hdf5, nifti]}\n"


@pytest.fixture(scope="module", params=["gs", "az", "sftp", "http"])
def server(request, tmp_path_factory) -> Iterator[StorageServer]:
    if not is_installed(request.param):
        pytest.skip(f"needs a server of {request.param}://: {INSTALL[request.param]}")
    with storage_server(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


def settings(folder: Path, source: object, sections: str, output: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.yml"
    staging = f", staging: '{folder}/out'" if output else ""
    outputs = f"output: {{dir: '{output or folder / 'out'}'{staging}}}"
    path.write_text(f"num_workers: 2\n{outputs}\ndicom: {{dir: '{source}'}}\n{sections}")
    return path


def dme(path: Path) -> int:
    done = subprocess.run([sys.executable, str(ROOT / "dme.py"), str(path), "-q"], cwd=ROOT, check=False)
    return done.returncode


def test_the_main_job_equals_that_from_a_disk_and_a_second_run_reads_nothing(tmp_path, server):
    tree = mixed_tree(tmp_path / "tree")
    export(tree, tmp_path / "disk", **SECTIONS)
    server.put_tree(tree, "main/tree")
    config = settings(tmp_path / "far", f"{server.root}/main/tree", ALL)
    server.sent.clear()
    assert dme(config) == 3  # of a damaged file, as from the disk
    assert content(tmp_path / "far" / "out") == content(tmp_path / "disk")
    assert server.sent
    server.sent.clear()
    assert dme(config) == 3
    assert not server.sent


def test_headers_alone_cost_at_most_a_fifth_more_than_their_bytes(tmp_path, server):
    headers = large_headers(tmp_path / "tree")
    server.put_tree(tmp_path / "tree", "headers")
    server.sent.clear()
    assert dme(settings(tmp_path / "far", f"{server.root}/headers", "metadata:\n")) == 0
    sent = sum(server.sent.values())
    print(f"{server.root}: headers {headers:,} bytes, sent {sent:,}")
    assert headers <= sent <= 1.2 * headers


def test_outputs_go_to_the_server_and_another_machine_goes_on(tmp_path, server):
    if server.root.startswith("http"):
        pytest.skip("a plain HTTP server takes nothing")
    tree = mixed_tree(tmp_path / "tree")
    export(tree, tmp_path / "disk", **SECTIONS)
    assert dme(settings(tmp_path / "first", tree, ALL, f"{server.root}/results/one")) == 3
    fetched = tmp_path / "fetched"
    code = (
        "import sys, fsspec; fs, at = fsspec.core.url_to_fs(sys.argv[1])\n"
        "import pathlib\n"
        "for name in fs.find(at):\n"
        "    to = pathlib.Path(sys.argv[2], name[len(at):].lstrip('/')); to.parent.mkdir(parents=True, exist_ok=True)\n"
        "    fs.get_file(name, str(to))\n"
    )
    subprocess.run([sys.executable, "-c", code, f"{server.root}/results/one", str(fetched)], check=True)
    there = {name: what for name, what in content(fetched).items() if not name.startswith(".dme-state")}
    assert there == content(tmp_path / "disk")
    server.sent.clear()
    assert dme(settings(tmp_path / "second", tree, ALL, f"{server.root}/results/one")) == 3
    assert not [name for name in server.sent if name.endswith((".h5", ".png", ".nii.gz"))]

"""`verify` finds what was changed, shortened or removed, in every format, and what its source does not give."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from support.factories import ct_series, multiframe
from support.runs import config

from crawler.cli.main import main
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError
from crawler.verify.files import CHANGED, MISSING
from crawler.verify.output import verify

SECTIONS = {
    "metadata": {"tables": ["csv", "parquet", "xlsx"], "text": True},
    "image": {},
    "video": {"extension": [".mp4", ".gif"]},
    "volume": {"formats": ["hdf5", "nifti", "npz", "metaimage", "mhd", "mat"]},
    "preview": {},
}
# One file of every format: its name ends so.
ENDINGS = (
    *("metadata.jsonl", "metadata.csv", "metadata.parquet", ".xlsx", "series.csv", "report.html", "pixel_data.h5"),
    *("1.png", ".mp4", ".gif", "1.txt", "s1-*.h5", ".nii.gz", ".json", ".npz", ".mha", ".mhd", ".mat"),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "in"
    ct_series(folder / "ct", n=5)
    multiframe(folder / "cine" / "one.dcm", 4, 32, 32)
    return folder


@pytest.fixture(scope="module")
def output(tree) -> Path:
    out = tree.parent / "out"
    run(config(tree, out, **SECTIONS))
    return out


@pytest.fixture
def copy(output, tmp_path) -> Path:
    return shutil.copytree(output, tmp_path / "out")


def one_of(out: Path, ending: str) -> Path:
    found = sorted(path for path in out.rglob("*") if path.match(f"*{ending}") or path.match(ending))
    found = [path for path in found if path.name not in ("summary.json",)]
    assert found, f"the run wrote no {ending}"
    return found[0]


def test_a_whole_output_is_well(tree, output):
    found = verify(config(tree, output, **SECTIONS))
    assert found.findings == []
    files = [path for path in output.rglob("*") if path.is_file() and path.suffix not in (".ledger", ".log")]
    assert found.files == len(files)
    assert found.compared >= 5 + 6
    assert found.gone == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_changed_a_shortened_and_a_missing_file_are_found(tree, copy, ending):
    settings, path = config(tree, copy, **SECTIONS), one_of(copy, ending)
    data = path.read_bytes()
    middle = len(data) // 2
    damages = {
        CHANGED: data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        f"it has {len(data) - 1:,} bytes, and {len(data):,} were written": data[:-1],
        MISSING: None,
    }
    for problem, content in damages.items():
        if content is None:
            os.unlink(path)
        else:
            path.write_bytes(content)
        assert verify(settings, sample=0).findings == [(str(path), problem)]


def test_voxels_that_the_source_does_not_give_are_found(tree, copy):
    """As a writer would leave them that was wrong from the beginning: the record agrees with the file."""
    import sqlite3

    from crawler.disk import fingerprint

    path = one_of(copy, "s1-*.h5")
    with h5py.File(path, "r+") as file:
        file["image"][2, 3, 4] = file["image"][2, 3, 4] + np.int16(1)
    size, checksum = fingerprint(str(path))
    ledger = sqlite3.connect(copy / "metadata.jsonl.ledger")
    ledger.execute(
        "UPDATE products SET size = ?, checksum = ? WHERE path = ?",
        (size, checksum, os.fsencode(path.relative_to(copy / "volumes"))),
    )
    ledger.commit()
    ledger.close()
    assert verify(config(tree, copy, **SECTIONS), sample=0).findings == []
    assert verify(config(tree, copy, **SECTIONS)).findings == [(str(path), "it differs from what its source gives")]


def test_source_that_is_gone_is_told_and_is_no_fault(tree, copy, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    settings = config(tmp_path / "in", tmp_path / "own", volume={})
    run(settings)
    shutil.rmtree(tmp_path / "in" / "ct")
    found = verify(settings)
    assert (found.findings, found.gone) == ([], 1)
    assert found.compared == 1


def test_rows_have_their_checksum_after_any_course_of_runs(tmp_path):
    settings = config(tmp_path / "in", tmp_path / "out", metadata={"tables": []}, dicom={"max_lost": 1})
    for number in (3, 1, 2):
        ct_series(tmp_path / "in" / f"f{number}", n=2, uid=f"1.2.{number}")
        run(settings)
        assert verify(settings).findings == []
    shutil.rmtree(tmp_path / "in" / "f1")
    run(settings)
    run(settings)
    assert verify(settings).findings == []
    data = (tmp_path / "out" / "metadata.jsonl").read_bytes()
    (tmp_path / "out" / "metadata.jsonl").write_bytes(data.replace(b'"CT"', b'"MR"', 1))
    assert [problem for _, problem in verify(settings).findings] == [CHANGED]


def test_command_and_exit_codes(tree, copy, tmp_path, capsys):
    settings = tmp_path / "config.yml"
    document = {"output": {"dir": str(copy)}, "dicom": {"dir": str(tree)}, **SECTIONS}
    settings.write_text(yaml.safe_dump(document))
    command = ["verify", str(settings), "--sample", "0"]
    assert main(command) == 0
    assert "wrong                0" in capsys.readouterr().out
    path = one_of(copy, "s1-*.h5")
    path.unlink()
    assert main(command) == 3
    assert f"{path}: it is missing" in capsys.readouterr().out
    (copy / "metadata.jsonl.ledger").unlink()
    assert main(command) == 1


def test_another_configuration_is_refused(tree, output):
    with pytest.raises(ConfigError, match=r"volume\.values was 'modality'"):
        verify(config(tree, output, **{**SECTIONS, "volume": {**SECTIONS["volume"], "values": "stored"}}))


def test_an_output_that_is_not_finished_is_refused(tree, tmp_path):
    with pytest.raises(LedgerError, match="nothing was exported here yet"):
        verify(config(tree, tmp_path / "none", **SECTIONS))


def test_an_output_with_names_is_compared_with_its_source(tmp_path):
    # The trial run of the sample has no rows, which names are made of: it ended with an internal error.
    ct_series(tmp_path / "in", n=3)
    sections = {"metadata": {}, "volume": {"name": "{Modality}"}, "image": {"bits": 8}, "media": {"name": "{Modality}"}}
    job = config(tmp_path / "in", tmp_path / "out", **sections)
    run(job)
    found = verify(job)
    assert found.findings == []
    assert found.compared == 4

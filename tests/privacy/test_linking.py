"""The linking table leads back from every token, and to nobody without the key; messages in public name nothing."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.factories import ct_series
from support.runs import config, rows

from crawler.cli.common import Public, public_error
from crawler.cli.main import main
from crawler.errors import OutputError, SourceError
from crawler.privacy.keys import make_key, read_key


def job_of(tmp_path: Path, **keys: Any) -> Path:
    make_key(str(tmp_path / "key"))
    document: dict[str, Any] = {
        "num_workers": 0,
        "dicom": {"dir": str(tmp_path / "in")},
        "output": {"dir": str(tmp_path / "out")},
        "metadata": {},
        "privacy": {"private": str(tmp_path / "private"), "key": {"file": str(tmp_path / "key")}, **keys},
    }
    path = tmp_path / "job.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_every_file_patient_and_uid_is_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography", reason="pip install cryptography")
    ct_series(tmp_path / "in" / "Quasten", 3, PatientName="Quastenflosser^Ludmilla", PatientID="MRN4711081")
    job = job_of(tmp_path)
    assert main([str(job), "-q"]) == 0
    assert main([str(job), "-q", "--rebuild"]) == 0  # linked twice, told once
    capsys.readouterr()
    assert main(["privacy", "link", str(job)]) == 0
    links = {link["public_file"]: link for link in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    found = rows(tmp_path / "out")
    assert links.keys() == found.keys()
    for name, row in found.items():
        assert links[name]["subject"] == row["PatientID"]
        assert links[name]["PatientID"] == "MRN4711081"
        assert links[name]["file"].startswith("Quasten")
        assert links[name]["public_sop_uid"] == row["SOPInstanceUID"]
    sealed = b"".join(path.read_bytes() for path in (tmp_path / "private" / "linking").iterdir())
    assert sealed
    assert b"Quasten" not in sealed
    assert b"4711081" not in sealed


def test_another_key_opens_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography", reason="pip install cryptography")
    ct_series(tmp_path / "in", 2, PatientID="MRN4711081")
    job = job_of(tmp_path)
    assert main([str(job), "-q"]) == 0
    (tmp_path / "key").unlink()
    make_key(str(tmp_path / "key"))
    capsys.readouterr()
    assert main(["privacy", "link", str(job)]) == 1
    told = capsys.readouterr()
    assert "MRN4711081" not in told.out + told.err
    assert "another key" in told.err


def test_a_log_in_public_has_numbers_and_no_texts() -> None:
    shape = Public("%(message)s")

    def shown(message: str, *args: object) -> str:
        return shape.format(logging.LogRecord("dme", logging.INFO, "", 0, message, args, None))

    assert shown("%s: %s, %d files", "in/Quasten/a.dcm", "crashed", 3) == "(private): (private), 3 files"
    assert "Quasten" not in shown("in/Quasten/a.dcm: it hangs")
    assert shown("nothing to do") == "nothing to do"


@pytest.mark.parametrize(
    "error",
    [
        SourceError("dicom.dir: /data/Quasten does not exist"),
        OutputError("C:\\Quasten\\out cannot be written: 'Quasten'"),
    ],
)
def test_what_stops_a_run_names_no_place(error: Any) -> None:
    told = public_error(error)
    assert "Quasten" not in told
    assert "privacy.private" in told


def test_a_run_that_stops_tells_the_private_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct_series(tmp_path / "in" / "Quasten", 3)
    job = job_of(tmp_path)
    assert main([str(job), "-q"]) == 0
    for path in (tmp_path / "in" / "Quasten").iterdir():
        path.unlink()
    assert main([str(job)]) == 1
    told = capsys.readouterr()
    assert str(tmp_path) not in told.err.replace(str(tmp_path / "out"), "")
    assert "files are gone" in (tmp_path / "private" / "run.log").read_text()
    assert str(tmp_path / "in") not in (tmp_path / "out" / "run.log").read_text()


def test_a_key_is_written_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert main(["privacy", "key", str(path)]) == 0
    assert path.stat().st_mode & 0o077 == 0
    assert main(["privacy", "key", str(path)]) == 1
    given = config(tmp_path, tmp_path / "out", metadata={}, privacy={"private": "x", "key": {"file": str(path)}})
    assert given.privacy is not None
    one, two = (read_key(given.privacy, given) for _ in range(2))
    assert one == two
    assert not one.once
    assert one.secret.hex() not in repr(one)


def test_a_custodian_alone_opens_what_is_sealed_to_him(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the key of the run nor another pair; the halves cannot be taken for one another."""
    pytest.importorskip("cryptography", reason="pip install cryptography")
    ct_series(tmp_path / "in", 2, PatientID="MRN4711081")
    for name in ("his", "other"):
        assert main(["privacy", "custodian", str(tmp_path / name)]) == 0
    job = job_of(tmp_path, custodian=str(tmp_path / "his.pub"))
    assert main([str(job), "-q"]) == 0
    assert (tmp_path / "his").stat().st_mode & 0o077 == 0
    capsys.readouterr()
    for wrong in ([], ["--custodian", str(tmp_path / "other")], ["--custodian", str(tmp_path / "his.pub")]):
        assert main(["privacy", "link", str(job), *wrong]) == 1
        told = capsys.readouterr()
        assert "MRN4711081" not in told.out + told.err
    assert main(["privacy", "link", str(job), "--custodian", str(tmp_path / "his")]) == 0
    links = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [link["PatientID"] for link in links] == ["MRN4711081"] * 2
    job.write_text(job.read_text().replace("his.pub", "his"))
    assert main([str(job), "-q"]) == 1  # a private key where the public one is wanted
    assert main(["privacy", "custodian", str(tmp_path / "his")]) == 1  # it is there

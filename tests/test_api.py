"""What `import crawler` offers, and that the examples of it in docs/ are true."""

from __future__ import annotations

import doctest
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.factories import quick_dataset, save
from support.pages import blocks, page

import crawler
from crawler.errors import SourceError

ROOT = Path(__file__).parents[1]
NAMES = sorted(set(crawler.__all__) - {"__version__"})


@pytest.mark.parametrize("name", NAMES)
def test_names_are_documented_functions(name: str) -> None:
    function = getattr(crawler, name)
    assert callable(function)
    assert function.__doc__
    assert name in dir(crawler)


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        crawler.nothing  # noqa: B018 - the look-up is the test


def test_importing_the_package_is_cheap() -> None:
    code = "import crawler, sys; print('numpy' in sys.modules or 'pydicom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def from_python() -> str:
    """The session on the page about Python."""
    return "\n".join(blocks(page("reference/python.md"), "pycon"))


def test_reference_shows_every_function() -> None:
    shown = from_python()
    functions = [name for name in NAMES if name.islower()]  # the others are exceptions: `crawler/errors.py`
    assert [name for name in functions if not re.search(rf"\b{name}\(", shown)] == []


def test_reference_session_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "dicom_data", tmp_path / "dicom_data")
    shutil.copy(ROOT / "config.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    session = doctest.DocTestParser().get_doctest(from_python(), {}, "From Python", "reference/python.md", 0)
    heard: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(session, out=heard.append)
    assert result.attempted > 10
    assert result.failed == 0, "".join(heard)


def test_find_yields_what_a_run_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/2", "a/1", "a/b/3", "c/4"):
        save(quick_dataset(), tmp_path / name)
    assert [file.key for file in crawler.find(tmp_path)] == ["a/1", "a/2", "a/b/3", "c/4"]
    assert [file.key for file in crawler.find(str(tmp_path / "a"), recursive=False)] == ["1", "2"]
    assert [file.key for file in crawler.find(tmp_path / "c", tmp_path / "a")] == ["c/4", "a/1", "a/2", "a/b/3"]
    [single] = crawler.find(tmp_path / "a" / "1")
    assert (single.key, single.native) == ("1", os.path.realpath(tmp_path / "a" / "1"))
    monkeypatch.chdir(tmp_path / "c")
    assert [file.key for file in crawler.find()] == ["4"]


def test_find_looks_into_archives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("ct/a", "ct/b"):
        save(quick_dataset(), tmp_path / name)
    (tmp_path / "in").mkdir()
    with (
        zipfile.ZipFile(tmp_path / "in" / "x.zip", "w") as archive,
        tarfile.open(tmp_path / "in" / "y.tgz", "w:gz") as tar,
    ):
        for name in ("a", "b"):
            archive.write(tmp_path / "ct" / name, f"ct/{name}")
            tar.add(tmp_path / "ct" / name, f"ct/{name}")
    (tmp_path / "in" / "z.zip").write_bytes(b"PK")
    with caplog.at_level(logging.WARNING, "dme"):
        read = {file.key: crawler.read_instance(file).modality for file in crawler.find(tmp_path / "in")}
    assert read == dict.fromkeys(["x.zip/ct/a", "x.zip/ct/b", "y.tgz/ct/a", "y.tgz/ct/b"], "CT")
    assert "z.zip: " in caplog.text


def test_find_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        list(crawler.find(tmp_path / "nowhere"))

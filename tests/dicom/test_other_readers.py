"""Header faults that this project, dcmtk and pydicom name, side by side, over every file that comes with the packages.

dcmtk's `dcmdump` reads pixel data too, pydicom's `dcmread` stops in front of them, as this project does. A file of
which the three say different things is listed here by its name, with the reason.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from crawler.errors import FileError, NotDicom
from crawler.instance.header import read_instance
from crawler.model import File

DCMDUMP = shutil.which("dcmdump")
pytestmark = [pytest.mark.system, pytest.mark.skipif(DCMDUMP is None, reason="dcmtk is not installed")]

Verdict = str
"""One of "read", "noted" (read, with a remark), "fault" and "not DICOM"."""

# Files that end inside their pixel data: dcmtk reads those, and of the header nothing is lost.
CUT_PIXELS = {"MR_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}
# Implicit VR, declared as explicit: dcmtk takes the first length for a VR and is lost, pydicom warns.
DECLARED_WRONGLY = {"SC_rgb_jpeg.dcm"}
# The last item goes beyond its sequence, and beyond the file: neither dcmtk nor pydicom says so.
ITEM_TOO_LONG = {"DICOMDIR-nooffset"}
# Ends inside a sequence: pydicom gives what is there without a word.
CUT_HEADERS = {"rtplan_truncated.dcm"}
# DICOM without the prefix: pydicom reads them when forced.
WITHOUT_PREFIX = {"ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "rtstruct.dcm", "OT-PAL-8-face.dcm"}


def this_project(path: Path) -> Verdict:
    try:
        instance = read_instance(File(str(path.parent), path.name, path.stat().st_size, 0))
    except NotDicom:
        return "not DICOM"
    except FileError:
        return "fault"
    if instance.header_fault is not None:
        return "fault"
    return "noted" if instance.header_notes else "read"


def dcmtk(path: Path) -> Verdict:
    assert DCMDUMP is not None
    done = subprocess.run([DCMDUMP, "-M", str(path)], capture_output=True, timeout=60)
    remarks = {line[:2] for line in done.stderr.splitlines()}
    if done.returncode or remarks & {b"E:", b"F:"}:
        return "fault"
    return "noted" if b"W:" in remarks else "read"


def pydicom_itself(path: Path) -> Verdict:
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            for _ in pydicom.dcmread(path, stop_before_pixels=True).iterall():
                pass
        except InvalidDicomError:
            return "not DICOM"
        except Exception:  # whatever it is, it is its verdict
            return "fault"
    return "noted" if remarks else "read"


def verdicts_of(paths: list[Path]) -> dict[Path, tuple[Verdict, Verdict, Verdict]]:
    """File -> what this project, dcmtk and pydicom say of it."""
    readers: tuple[Callable[[Path], Verdict], ...] = (this_project, dcmtk, pydicom_itself)
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        found = {path: (readers[0](path), readers[1](path), readers[2](path)) for path in paths}
    finally:
        logger.setLevel(level)
    return found


@pytest.fixture(scope="module")
def table(dicom_files: list[Path]) -> dict[Path, tuple[Verdict, Verdict, Verdict]]:
    found = verdicts_of(dicom_files)
    print("\nthis project | dcmtk | pydicom: files")  # with -s, or in the report of a failure
    for verdicts, count in Counter(found.values()).most_common():
        print(f"{' | '.join(verdicts)}: {count}")
    return found


def names(table: dict[Path, tuple[Verdict, Verdict, Verdict]], *wanted: set[Verdict]) -> set[str]:
    """Files of which each reader says one of its verdicts."""
    return {
        path.name for path, said in table.items() if all(one in some for one, some in zip(said, wanted, strict=True))
    }


READ, ANY = {"read", "noted"}, {"read", "noted", "fault", "not DICOM"}


def test_what_dcmtk_and_pydicom_read_is_read(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    assert names(table, {"fault", "not DICOM"}, READ, READ) == set()


def test_what_one_of_them_reads_is_read(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    assert names(table, {"fault", "not DICOM"}, READ, ANY) == set()
    assert names(table, {"fault", "not DICOM"}, ANY, READ) == CUT_HEADERS


def test_what_one_of_them_refuses_is_refused_or_understood(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    assert names(table, READ, {"fault"}, ANY) == CUT_PIXELS | DECLARED_WRONGLY
    assert names(table, READ, ANY, {"fault"}) == set()
    assert names(table, READ, ANY, {"not DICOM"}) == WITHOUT_PREFIX


def test_what_is_noted(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    assert names(table, {"noted"}, ANY, ANY) == ITEM_TOO_LONG | DECLARED_WRONGLY


def test_files_of_another_kind_are_no_dicom_for_anyone(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    assert names(table, {"not DICOM"}, ANY, ANY) == names(table, ANY, {"fault"}, {"not DICOM"})


def test_the_page_of_the_documentation_is_current(table: dict[Path, tuple[Verdict, Verdict, Verdict]]) -> None:
    """Written by tests/support/other_readers.py, with the versions that it states."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "other-readers.md").read_text("utf-8")
    told = re.search(r"([0-9]+) files, dcmtk (\S+), pydicom (\S+)\.", page)
    assert told is not None
    assert DCMDUMP is not None
    dcmtk_version = subprocess.run([DCMDUMP, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if (len(table), dcmtk_version, pydicom.__version__) != (int(told[1]), told[2], told[3]):
        pytest.skip("the page was made with other versions")
    for verdicts, count in Counter(table.values()).items():
        assert re.search(rf"^\| {' . '.join(verdicts)} \| {count}\b", page, re.MULTILINE), verdicts

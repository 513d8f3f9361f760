"""Writes docs/reference/other-readers.md: what this project, dcm2niix, dcmtk and pydicom say of the same files.

``python tests/support/other_readers.py`` prints tables of comparisons that tests hold, `sinks/test_bids_oracle.py`
and `dicom/test_other_readers.py`. It needs dcm2niix and dcmtk, and takes half a minute. Real series are taken from the
folder that the tests call `shared_data`; without it the table of sidecars is that of files which packages bring.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "other-readers.md"


def sidecars() -> list[str]:
    """The table of keys, over all series that are compared."""
    from conftest import SHARED_DATA
    from sinks.test_bids_oracle import FOLDERS, PYDICOM, table, unexplained

    from support.sidecars import pairs

    folders = [SHARED_DATA / "in" / name for name in FOLDERS] if SHARED_DATA.is_dir() else []
    folders += [PYDICOM / name for name in ("98892001", "98892003")]
    with tempfile.TemporaryDirectory() as work:
        found = [pair for place, source in enumerate(folders) for pair in pairs(source, Path(work) / str(place))]
    lines = unexplained(found)
    assert not lines, lines
    return [f"{len(found)} images of {len(folders)} folders, dcm2niix {version('dcm2niix')}.", "", *table(found)]


def headers() -> list[str]:
    """The table of verdicts, over all files that pydicom and pydicom-data bring."""
    from conftest import package_files
    from dicom.test_other_readers import DCMDUMP, verdicts_of

    assert DCMDUMP is not None
    told = subprocess.run([DCMDUMP, "--version"], capture_output=True, text=True, check=True).stdout
    of_each = verdicts_of(package_files())
    counts = Counter(of_each.values())
    lines = [f"{len(of_each)} files, dcmtk {told.split()[2]}, pydicom {version('pydicom')}.", ""]
    lines += ["| this project | dcmtk | pydicom | files |", "| --- | --- | --- | --- |"]
    for verdicts, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        names = sorted(path.name for path, said in of_each.items() if said == verdicts)
        what = str(count) if count > 8 or len(set(verdicts)) == 1 else f"{count}: {', '.join(names)}"
        lines.append(f"| {' | '.join(verdicts)} | {what} |")
    return lines


def main() -> None:
    """Write the page."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    text = [
        "# Beside other readers",
        "",
        "Made by `python tests/support/other_readers.py`; the tests of the same comparisons fail where anything",
        "differs that is not explained.",
        "",
        "## Sidecars beside dcm2niix",
        "",
        "Numbers of images in which a key is there with equal values, with values that differ, here only, or in",
        "dcm2niix's sidecar only, and why.",
        "",
        *sidecars(),
        "",
        "## Headers beside dcmtk and pydicom",
        "",
        "What each says of the header of a file: it is read, read with a remark (noted), at fault, or not DICOM.",
        "dcmtk reads pixel data too; pydicom stops in front of them, as this project does.",
        "",
        *headers(),
        "",
    ]
    PAGE.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    assert shutil.which("dcmdump"), "dcmtk is not installed"
    main()

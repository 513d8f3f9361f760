"""Whether every file of an output is there as it was written: size, checksum, and that its format's reader opens it.

It looks at no source (`source.py` does) and changes nothing.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator

from crawler.disk import fingerprint
from crawler.error_boundary import describe
from crawler.ledger.status import Reader
from crawler.paths import portable

MISSING = "it is missing"
CHANGED = "its content is not what was written (checksum)"
KNOWN_LATER = (
    None,
    None,
)  # of a file that was being written when a run was killed

Finding = tuple[str, str]
"""Path, as messages show it, and what is wrong with the file; empty when nothing is."""


def check_file(path: str, size: int | None, checksum: str | None) -> str:
    """What is wrong with a file; empty when it is as recorded."""
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode):
            return "it is no regular file any more"
        if size is not None and info.st_size != size:
            return f"it has {info.st_size:,} bytes, and {size:,} were written"
        if checksum is not None and fingerprint(path)[1] != checksum:
            return CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return _opened(path)


def own_files(ledger: Reader) -> Iterator[tuple[str, int | None, str | None]]:
    """(path, size, checksum) of tables, report and index, as recorded; places that hold no file are left out."""
    home = os.path.dirname(ledger.path)
    for name, size, checksum in ledger.execute("SELECT path, size, checksum FROM own_files ORDER BY path"):
        if (size, checksum) != KNOWN_LATER and size >= 0:
            yield os.path.normpath(os.path.join(home, os.fsdecode(name))), size, checksum


def check_rows(ledger: Reader, path: str, *, each: bool = True) -> Iterator[Finding]:
    """What is wrong with the JSONL: its bytes, and, with `each`, whether it has a row for each file that was read."""
    shown = portable(path)
    recorded = ledger.get("rows checksum")
    length = int(ledger.get("rows", 0))
    problem = check_file(path, length, recorded[1] if recorded and recorded[0] == length else None)
    yield shown, problem
    if problem or not each:
        return
    with open(path, "rb") as file:
        count = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    wanted = int(
        ledger.execute("SELECT count(*) FROM files WHERE scan IN (SELECT id FROM scans WHERE stop > start)").fetchone()[
            0
        ]
    )
    if count != wanted:
        yield shown, f"it has {count:,} rows, and {wanted:,} files were read"


def _opened(path: str) -> str:
    """Why a file's format cannot be opened; empty when it can, and for formats that have no reader here."""
    opens = next((opens for ending, opens in OPENERS.items() if path.lower().endswith(ending)), None)
    if opens is None:
        return ""
    try:
        opens(path)
    except (OSError, ValueError, LookupError, EOFError, SyntaxError, zlib.error) as error:
        return f"it cannot be opened: {describe(error)[0]}"
    return ""


def _hdf5(path: str) -> None:
    import h5py  # these are slow to load: for their formats only

    with h5py.File(path, "r") as file:
        if "image" in file and not file["image"].shape:
            raise ValueError("no array")


def _nifti(path: str) -> None:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        nibabel.load(path)
    except ImageFileError as error:
        raise ValueError(str(error)) from None


def _npz(path: str) -> None:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        archive["data"]


def _picture(path: str) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        picture.verify()


OPENERS: dict[str, Callable[[str], None]] = {
    ".h5": _hdf5,
    ".nii.gz": _nifti,
    ".nii": _nifti,
    ".npz": _npz,
    ".png": _picture,
    ".jpg": _picture,
    ".jpeg": _picture,
    ".tif": _picture,
    ".tiff": _picture,
    ".webp": _picture,
    ".gif": _picture,
}

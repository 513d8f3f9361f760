"""Names of formats of volumes, and endings of files that other packages read, as they are written."""

from __future__ import annotations

from typing import TypeGuard

FORMATS = ("hdf5", "nifti", "nii", "npz", "metaimage", "mhd", "mat")
SOME_FORMATS = "hdf5, nifti, nii, npz, metaimage, mhd or mat"
# What a format's files are called, for those who write that: .mha and .h5 are no names of formats.
_BY_ENDING = {"nii.gz": "nifti", "h5": "hdf5", "hdf": "hdf5", "mha": "metaimage", "numpy": "npz", "matlab": "mat"}


def read_formats(written: object) -> object:
    """Names of formats; ValueError for one that neither this package writes nor an installed one (``dme.writers``)."""
    unknown = [name for name in written if isinstance(name, str) and name not in FORMATS] if _is_list(written) else []
    if not unknown:
        return written
    from importlib.metadata import entry_points  # 10 ms, and for other packages' formats only

    installed = sorted(entry.name for entry in entry_points(group="dme.writers"))
    wrong = next((name for name in unknown if name not in installed), None)
    if wrong is None:
        return written
    import difflib  # for an error's text only

    named = _BY_ENDING.get(wrong.lower().lstrip("."))
    near = [named] if named else difflib.get_close_matches(wrong.lower(), [*FORMATS, *installed], n=1)
    more = f", or of installed packages {', '.join(installed)}" if installed else ""
    raise ValueError(f"{SOME_FORMATS}{more}{f'; nearest: {near[0]}' if near else ''}")


def read_endings(written: object) -> object:
    """Endings of files in lower case with their dots, of one or a list; anything but text unchanged."""
    listed = written if _is_list(written) else [written] if isinstance(written, str) else None
    if listed is None:
        return written
    return ["." + one.lower().removeprefix(".") if isinstance(one, str) and one else one for one in listed]


def _is_list(written: object) -> TypeGuard[list[object]]:
    return isinstance(written, list)

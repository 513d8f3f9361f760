"""What a user wants, as a configuration to begin from: the texts of `dme init --goal`, with the input put in."""

from __future__ import annotations

import json

from crawler.config.starters import starter

_STARTERS = {"tables": "tables", "training": "ml", "pictures": "cine", "everything": "tables"}
_EVERYTHING = """\
  templates: dicom_tags        # a table for each modality, with the columns that matter for it
image:                         # a picture for every single image
video:                         # a video for every cine
volume:
  formats: [hdf5]              # an array for every stack of slices; or npz, nifti, metaimage, mat
preview:                       # a thumbnail for every series, and report.html
quality:                       # measures of every image
"""
_FIRST_LINE = "# Everything: tables, volumes, pictures, videos, previews\n"
_INPUT = "dir: dicom_data "


def configuration(goal: str, source: str) -> str:
    """YAML for a goal.

    Parameters
    ----------
    goal
        One of `words.GOALS`.
    source
        Path of the input: absolute, or relative to the folder of the job.

    Raises
    ------
    KeyError
        There is no such goal.
    """
    head, found, tail = _text(goal).partition(_INPUT)
    if not found:
        raise AssertionError("the starter names its input otherwise")
    return f"{head}dir: {json.dumps(source, ensure_ascii=False)} {tail}"


def without_input(goal: str) -> str:
    """The same without a folder of input, for what comes from a PACS."""
    lines = _text(goal).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("dicom:") and _INPUT not in line)


def _text(goal: str) -> str:
    text = starter(_STARTERS[goal], "config.yml")
    return _FIRST_LINE + text.partition("\n")[2] + _EVERYTHING if goal == "everything" else text

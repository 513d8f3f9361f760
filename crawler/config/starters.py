"""Starter configurations, one a goal: short, commented, and valid as they stand. `config.yml` explains every key.

Texts alone: `dme init DIR --goal GOAL` writes them.
"""

from __future__ import annotations

_HEAD = """\
# {line}
# Run it:   dme {name} --dry-run     then     dme {name}
output: {{dir: output}}           # everything is written below this folder
dicom:
  dir: dicom_data              # your folder, file or archive, or a list of them
"""

_TEXTS = {
    "ml": (
        "Arrays and a table for training: one array a series, float32, with its geometry",
        """\
select:
  modality: [CT, MR, PT]       # what the model is to see; the rest keeps its row
  min_files: 10                # no localizers
  derived: false               # no reformats, no screenshots
metadata:
  tables: [csv]                # a row a file; series.csv: a row a series. parquet and xlsx need the extra tables
volume:
  formats: [npz]               # float32 [Z, Y, X] with an affine; or hdf5, to read single slices
  irregular: split             # a gap makes two arrays, and is told; refuse leaves such series out
quality:                       # measures of every image, to leave out what is black, cut off or a mask
preview:                       # a thumbnail a series, in report.html
""",
    ),
    "audit": (
        "What an archive holds, and what is wrong with it: headers alone, no pixel is decoded",
        """\
  group: tree                  # a series may lie anywhere below, as in the storage of a PACS; or: folder
num_workers: 8                 # reading headers waits for the disk: more than there are cores is all right
metadata:
  tables: [csv]                # or parquet, for programs, and xlsx, for people, with the extra tables
  templates: dicom_tags        # a table for each modality, with the columns that matter for it
""",
    ),
    "cine": (
        "Videos and pictures to look at: MP4 and GIF of cines, PNG of stills, headers as texts",
        """\
media:
  overwrite: false             # what other programs wrote stays
metadata:
  text: true                   # each header as a text beside its picture
image:
  bits: 8                      # 16 keeps all grey levels; most viewers show 8
  crop: us_region              # ultrasound without the banner, which often names the patient
video:
  extension: [.mp4, .gif]
  series: true                 # a stack of slices becomes a video, too
""",
    ),
    "neuro": (
        "NIfTI for neuroimaging: BIDS sidecars, diffusion gradients, one file an echo",
        """\
# Needs two extras: pip install "dicom-dme[formats,tables]"
select:
  modality: [MR, PT]
metadata:
  mr_clean: true               # a table of the series: class, orientation, contrast, phase, and the rule that said so
volume:
  formats: [nifti]             # .nii.gz, .json, for diffusion .bval and .bvec
  split: [te]                  # one echo a file, as BIDS has them
preview:
""",
    ),
    "tables": (
        "Tables of all headers, and nothing else",
        """\
metadata:
  tables: [csv]                # or parquet, or xlsx, with the extra tables
  columns: flat                # an element a column, Name (gggg,eeee), also inside sequences; or: nested
""",
    ),
    "pacs": (
        "From a PACS: retrieve what a query names, and export it while it comes",
        """\
pacs:
  host: 127.0.0.1              # or PACS_IP in the environment or in a file .env
  port: 4242
  called_aet: ORTHANC
  query: {StudyDate: 20240101-20240131, ModalitiesInStudy: [CT, MR]}
  window: 20:00-06:00          # transfers by night only; leave it out for any time
metadata:
volume:
preview:
""",
    ),
}

GOALS = {name: line for name, (line, _) in _TEXTS.items()}
"""Goal -> what its configuration does, in a line."""


def starter(goal: str, name: str) -> str:
    """Text of the configuration for a goal, to be written to a file of that name."""
    line, text = _TEXTS[goal]
    head = _HEAD.format(line=line, name=name)
    if goal == "pacs":  # its input is received
        head = head.partition("dicom:")[0]
    return head + text

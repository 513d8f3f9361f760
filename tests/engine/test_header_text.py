"""Text of a header stays in its row: no log, table of failures, summary, report or reason repeats it."""

from __future__ import annotations

import copy
import csv
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ImplicitVRLittleEndian
from support.runs import config, export, failures, rows

from crawler.cli.terminal import preflight_table
from crawler.dryrun.preflight import preflight

MARK = "ZQ7MARKS"
TEXT = ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
# Grey, RLE, JPEG in colour, functional groups over JPEG 2000, a report, no image and no preamble.
TEMPLATES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "test-SR.dcm",
    "rtplan.dcm",
)
# What decides on the way through the pipeline: planted in every template, other tags in the first that has them.
DECISIVE = {
    Tag(keyword)
    for keyword in ("TransferSyntaxUID", "SOPClassUID", "Modality", "PhotometricInterpretation", "SpecificCharacterSet")
}
# Cells that do not quote the header on purpose.
OURS = ("outcome", "stage", "reason", "media_type", "decoder", "media_notes", "header_notes")
TITLE = ("SeriesNumber", "SeriesDescription", "ProtocolName")
OF_SERIES = ("policy", "reason", "volume_notes", "verdict")

Place = tuple[Callable[[Dataset], Dataset], BaseTag]
"""Where an element lies: what finds its data set in a copy of the whole, and its tag."""


def places(dataset: Dataset, seen: set[int]) -> Iterator[Place]:
    """Elements that may hold text, of tags that were not seen before."""
    for tag in sorted(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ" and element.value:
            for find, inner in places(element.value[0], seen):
                yield (lambda whole, tag=tag, find=find: find(whole[tag].value[0])), inner
        elif element.VR in TEXT and (tag in DECISIVE or tag not in seen):
            seen.add(tag)
            yield (lambda whole: whole), tag


def planted(template: Dataset, seen: set[int]) -> Iterator[Dataset]:
    """Copies of a dataset, each with the marker in one more element."""
    meta = [((lambda whole: whole.file_meta), tag) for _, tag in places(template.file_meta, seen)]
    for find, tag in [*places(template, seen), *meta]:
        made = copy.deepcopy(template)
        owner = find(made)
        value = MARK.encode()
        owner[tag] = RawDataElement(tag, owner[tag].VR, len(value), value, 0, False, True)
        yield made


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder, seen = tmp_path_factory.mktemp("header-text") / "in", set[int]()
    for kind, name in enumerate(TEMPLATES):
        template = dcmread(get_testdata_file(name), force=True)
        implicit = template.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian) == ImplicitVRLittleEndian
        for number, dataset in enumerate(planted(template, seen)):
            path = folder / str(kind) / f"{number:03}" / "one.dcm"
            path.parent.mkdir(parents=True)
            with disable_value_validation(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    return folder


def test_the_dry_run_names_known_terms_alone(tree, tmp_path):
    table = preflight_table(preflight(config(tree, tmp_path / "out", metadata={}, image={}, volume={})), "dme")
    assert MARK not in table
    assert "an unknown value" in table


def test_text_of_a_header_is_in_no_message(tree, tmp_path, caplog):
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "out"
    sections = {"image": {"bits": 8}, "video": {"extension": "frames"}, "volume": {"formats": ["hdf5"]}}
    summary = export(tree, out, metadata={}, **sections)
    made = rows(out)
    assert len(made) == summary.found > 150
    assert sum(MARK in json.dumps(row) for row in made.values()) > 0.9 * len(made)  # they hold what was planted
    assert summary.failed["pixels: unsupported photometric interpretation"] > 1
    assert summary.failed["pixels: unknown transfer syntax"] > 1
    assert any("an unknown value" in row["detail"] for row in failures(out).values())
    assert MARK not in caplog.text
    for name in ("unreadable_files.csv", "summary.json"):
        assert MARK not in (out / name).read_text(encoding="utf-8"), name
    # The report names a series by its number and description, and quotes nothing else.
    titled = sum(MARK in json.dumps([row.get(key) for key in TITLE]) for row in made.values())
    assert titled > 0
    assert (out / "report.html").read_text(encoding="utf-8").count(MARK) <= titled
    for file, row in made.items():
        assert MARK not in json.dumps([row[key] for key in OURS if key in row]), file
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert MARK not in " ".join(row[key] for key in OF_SERIES), row["scan_id"]

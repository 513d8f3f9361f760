"""Templates: the lists that come with the package, and what is refused."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from support.factories import ct_series
from support.runs import export

from crawler.config.templates import COMPUTED, load_templates, warnings_of
from crawler.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "dicom_tags"


def test_those_that_come_with_the_package() -> None:
    found = {template.name: template for template in load_templates(str(SHIPPED))}
    assert found.keys() == {"ct", "dx", "mg", "mr", "nm", "pt", "us", "xa"}
    for template in found.values():
        assert not template.unknown
        assert all(tag_for_keyword(keyword) is not None for keyword in template.keywords if keyword not in COMPUTED)
        assert {"Modality", "SeriesInstanceUID", "SOPInstanceUID", "Rows"} <= set(template.keywords)
    assert {"KVP", "ConvolutionKernel"} <= set(found["ct"].keywords)
    assert {"RepetitionTime", "EchoTime", "MagneticFieldStrength"} <= set(found["mr"].keywords)
    assert found["dx"].modalities == {"DX", "CR", "DR", "IO", "PX"}


def test_no_modality_has_two_tables() -> None:
    modalities = [code for template in load_templates(str(SHIPPED)) for code in template.modalities]
    assert len(modalities) == len(set(modalities))


def test_a_list_of_its_own_takes_a_modality_from_its_neighbour(tmp_path: Path) -> None:
    for name in ("cr", "dx"):
        (tmp_path / f"{name}.json").write_text('["Modality"]')
    cr, dx = load_templates(str(tmp_path))
    assert cr.modalities == {"CR"}
    assert "CR" not in dx.modalities


def test_order_is_kept(tmp_path: Path) -> None:
    (tmp_path / "ct.json").write_text(json.dumps(["Rows", "KVP", "Columns"]))
    assert load_templates(str(tmp_path))[0].keywords == ("Rows", "KVP", "Columns")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ct.json", '["KVP",\n"Rows",\n"KVP"]', 'ct.json:3: "KVP": given twice'),
        ("ct.json", '["KVP",]', "ct.json:1: not valid JSON"),
        ("ct.json", '{"KVP": 1}', "ct.json:1: expected a list of DICOM keywords"),
        ("ct.json", "[]", "ct.json:1: expected a list of DICOM keywords"),
        ("ct.json", '["KVP", 3]', "ct.json:1: expected a list of DICOM keywords"),
        ("C T.json", '["KVP"]', "the name of a template is a modality in lower case"),
        ("mr_clean.json", "{}", "holds no template, such as ct.json"),
    ],
)
def test_refusal(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_templates(str(tmp_path))
    assert told in str(refused.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "ct.json").write_text('["Rows", "Rows", "KVP", "KVP"]')
    (tmp_path / "mr.json").write_text("{}")
    with pytest.raises(ConfigError) as refused:
        load_templates(str(tmp_path))
    assert len(str(refused.value).splitlines()) == 3


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "ct.json").write_bytes(b'["\xff"]')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_templates(str(tmp_path))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.templates: .*cannot be read"):
        load_templates(str(tmp_path / "none"))


def test_a_bad_template_stops_a_run_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "ct.json").write_text('{"Rows": 1}')
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match="expected a list"):
        export(tmp_path / "in", tmp_path / "out", metadata={"templates": str(tmp_path / "tags")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "[" + "9" * 5000 + "]", '{"a":' * 50_000, "9" * 5000])
def test_what_python_cannot_parse_is_no_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "ct.json").write_text(text)
    with pytest.raises(ConfigError, match=r"ct\.json:1: "):
        load_templates(str(tmp_path))


def test_a_pipe_is_no_template(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ct.json")
    with pytest.raises(ConfigError, match=r"ct\.json: cannot be read: it is a folder, a pipe or a device"):
        load_templates(str(tmp_path))


def test_words_that_are_no_keywords_are_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "ct.json").write_text('["KVP", "SliceThicknes", "FirstSOPInstanceUID", "zzzzzzzz"]')
    templates = load_templates(str(tmp_path))
    assert templates[0].unknown == ("SliceThicknes", "zzzzzzzz")
    first, second = warnings_of(templates)
    assert first == 'ct.json: "SliceThicknes": no DICOM keyword; nearest: SliceThickness; its column is empty'
    assert "zzzzzzzz" in second


def test_lists_of_the_earlier_program_are_taken_as_they_stand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = ["FirstSOPInstanceUID", "Rows", "MiddleSOPInstanceUID", "dcm", "metafilename", "b_value", "Rowz"]
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "ct.json").write_text(json.dumps(columns))
    paths = ct_series(tmp_path / "in", n=3, uid="1.2")
    export(tmp_path / "in", tmp_path / "out", metadata={"templates": str(tmp_path / "tags")})
    with open(tmp_path / "out" / "metadata_ct.csv", newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file))
    assert names[-len(columns) :] == columns
    uids = [dcmread(path).SOPInstanceUID for path in sorted(paths)]
    for number, row in enumerate(rows):
        name = sorted(path.name for path in paths)[number]
        assert row[-len(columns) :] == [uids[0], "16", uids[1], name, "metadata.jsonl", "", ""]
    assert "nearest: Rows" in caplog.text


FIRST = (
    "Modality StudyDate StudyInstanceUID SeriesInstanceUID PatientID AccessionNumber SeriesNumber SeriesDate SeriesTime"
    " SeriesDescription BodyPartExamined PatientPosition Manufacturer ManufacturerModelName StationName ProtocolName"
)
PIXELS = "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PhotometricInterpretation"
XRAY = (
    "WindowCenter WindowWidth KVP XRayTubeCurrent ExposureTime Exposure SOPInstanceUID InstanceNumber SamplesPerPixel"
)
OWN = {
    "dx": "DetectorType DetectorConfiguration DetectorDescription DetectorID DateOfLastDetectorCalibration"
    " TimeOfLastDetectorCalibration ExposureIndex TargetExposureIndex DeviationIndex Sensitivity ImagerPixelSpacing",
    "mg": "BreastImplantPresent PartialView OrganExposed AnodeTargetMaterial FilterMaterial CompressionForce"
    " BodyPartThickness ExposureControlMode ExposureControlModeDescription",
}
VIEW = {"dx": "ViewPosition ImageLaterality PatientOrientation", "mg": "ViewPosition ImageLaterality"}


@pytest.mark.parametrize(("name", "count"), [("dx", 50), ("mg", 47)])
def test_the_lists_of_the_earlier_program_come_first(name: str, count: int) -> None:
    last = "FirstSOPInstanceUID MiddleSOPInstanceUID dcm metafilename"
    earlier = " ".join((FIRST, PIXELS, VIEW[name], OWN[name], XRAY, last)).split()
    assert len(earlier) == count
    found = json.loads((SHIPPED / f"{name}.json").read_text())
    assert found[:count] == earlier

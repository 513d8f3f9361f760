"""`output.layout: bids`: a dataset that the BIDS validator accepts, named by the classes of MR series."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import pytest
from support.factories import ct_series, make_uid
from support.runs import ROOT, export

from crawler.config.loader import load_config
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.mr.bids_rules import Series, load_bids_rules, name_of

BIDS = {"metadata": {}, "volume": {"formats": ["nifti"], "split": ["te"]}}
MR = {
    "Modality": "MR",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "MagneticFieldStrength": 1.5,
    "MRAcquisitionType": "2D",
    "PatientSex": "F",
    "PatientAge": "095Y",
    "StudyDate": "20240131",
    "StudyTime": "101500",
    "RescaleIntercept": None,
    "RescaleSlope": None,
}
T1 = MR | {"RepetitionTime": 500.0, "EchoTime": 10.0, "EchoTrainLength": 1}
T2 = MR | {"RepetitionTime": 4000.0, "EchoTime": 100.0, "EchoTrainLength": 15}


def bids(source: Path, out: Path, **sections: Any) -> dict[str, tuple[str, str]]:
    """Run; return file -> name and reason as bids.csv has them."""
    output = {"dir": str(out), "layout": "bids"}
    run({"num_workers": 0, "output": output, "dicom": {"dir": str(source)}, **BIDS, **sections})
    with open(out / "bids.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: (row["name"], row["reason"]) for row in csv.DictReader(file)}


def validator() -> list[str]:
    """How it is started: by its module, as the script beside the interpreter may be another environment's."""
    pytest.importorskip("bids_validator_deno", reason="needs it: python -m pip install bids-validator-deno")
    return [sys.executable, "-c", "import sys; from bids_validator_deno import cli; sys.exit(cli())"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    """The sample tree and series of two patients whose identifiers have one label, in three studies."""
    folder = tmp_path_factory.mktemp("bids")
    source = folder / "in"
    shutil.copytree(ROOT / "dicom_data" / "mr_spine", source / "mr_spine")
    shutil.copytree(ROOT / "dicom_data" / "ct_head", source / "ct_head")
    for number, elements in enumerate((T1, T1, T2 | {"ProtocolName": "t2_tirm_fs"})):
        ct_series(source / f"a{number}", uid=f"1.2.{number}", PatientID="A-1", SeriesNumber=number + 1, **elements)
    ct_series(source / "b", uid="1.3", PatientID="A1", StudyInstanceUID=make_uid("b"), **T2)
    later = T2 | {"StudyTime": "120000", "StudyInstanceUID": make_uid("c")}
    ct_series(source / "c", uid="1.4", PatientID="A-1", **later)
    ct_series(source / "d", uid="1.5", PatientID="A-1", **T1 | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})
    return folder / "out", bids(source, folder / "out")


def test_series_are_named_by_class_session_and_run(dataset: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    out, listed = dataset
    first, other = (name for name in sorted(os.listdir(out / "bids")) if name.startswith("sub-A1x"))
    names = {name.rpartition("/")[2] for name, _ in listed.values() if name}
    subject = next(one for one in (first, other) if (out / "bids" / one / "ses-20240131x1").exists())
    assert {name for name in names if name.startswith(subject)} == {
        f"{subject}_ses-20240131x1_acq-ax_run-1_T1w",
        f"{subject}_ses-20240131x1_acq-ax_run-2_T1w",
        f"{subject}_ses-20240131x1_acq-stirax_T2w",
        f"{subject}_ses-20240131x2_acq-ax_T2w",
    }
    assert {name for name in names if name.startswith("sub-SAMPLE")} == {
        "sub-SAMPLE_ses-20240229_acq-sag_echo-1_PDw",
        "sub-SAMPLE_ses-20240229_acq-sag_echo-2_T2w",
    }
    reasons = {reason for name, reason in listed.values() if not name}
    assert "not MR" in reasons
    assert any(reason.startswith("LOCALIZER: ") for reason in reasons)
    assert all(bool(name) != bool(reason) for name, reason in listed.values())


def test_what_lies_there_are_the_volumes(dataset: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    out, listed = dataset
    for file, (name, _) in listed.items():
        if name:
            assert os.path.samefile(out / file, out / "bids" / f"{name}.nii.gz")
            assert nibabel.load(out / "bids" / f"{name}.nii.gz").shape[:2] > (1, 1)
    people = (out / "bids" / "participants.tsv").read_text().splitlines()
    assert people[0] == "participant_id\tage\tsex"
    assert len(people) == 4
    assert all(line.endswith("\t89\tF") for line in people[1:] if "A1" in line), "nobody is shown to be older than 89"


def test_the_bids_validator_finds_no_error(dataset: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    out, _ = dataset
    done = subprocess.run([*validator(), "--json", str(out / "bids")], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert done.returncode == 0


def test_rules_of_the_user_decide(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", uid="1.2", PatientID="A", **T1)
    shutil.copytree(ROOT / "dicom_tags", tmp_path / "tags")
    rules = [{"classes": ["T1_*"], "datatype": "anat", "suffix": "T1w", "acq": "mine"}]
    (tmp_path / "tags" / "bids.json").write_text(json.dumps({"rules": rules}))
    templates = {"templates": str(tmp_path / "tags")}
    [(name, _)] = bids(tmp_path / "in", tmp_path / "out", metadata=templates).values()
    assert name.endswith("acq-mineax_T1w")
    (tmp_path / "tags" / "bids.json").write_text(json.dumps({"rules": [rules[0] | {"suffix": "T2w"}]}))
    [(name, _)] = bids(tmp_path / "in", tmp_path / "out", metadata=templates).values()
    assert name.endswith("acq-mineax_T2w")
    assert len(list((tmp_path / "out" / "bids").rglob("*.nii.gz"))) == 1, "the old name goes"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"rules": [{"classes": ["T1_*"]}]}, "datatype and a suffix"),
        ({"rules": [{"classes": ["T1_*"], "datatype": "xray", "suffix": "T1w"}]}, "anat, func"),
        ({"rules": [{"classes": ["T1_*"], "datatype": "anat", "suffix": "T1-w"}]}, "letters and digits"),
        ({"rules": [{"class": ["T1_*"], "suffix": "T1w"}]}, "classes"),
        ({"rules": []}, "at least 1"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "bids.json").write_text(json.dumps(rules))
    with pytest.raises(ConfigError, match=told):
        load_bids_rules(str(tmp_path))


@pytest.mark.parametrize(
    ("cells", "axes", "endings", "told"),
    [
        ({"sequenceClass": "DWI"}, ["b"], [".nii.gz"], ".bval is missing"),
        ({"sequenceClass": "DTI_MC"}, ["b"], [".nii.gz", ".bval", ".bvec"], "dwi"),
        ({"sequenceClass": "DWI"}, [], [".nii.gz"], "without an axis b"),
        ({"sequenceClass": "T1_TSE"}, ["te"], [".nii.gz"], "volume.split: [te]"),
        ({"sequenceClass": "T1_TSE_ECHO2"}, [], [".nii.gz"], "T1w"),
        (
            {"sequenceClass": "fMRI_BOLD", "protocolName_lower": "rsfMRI bold"},
            ["time"],
            [".nii.gz"],
            "no RepetitionTime",
        ),
        ({"sequenceClass": "UNKNOWN"}, [], [".nii.gz"], "no rule"),
    ],
)
def test_what_an_array_lacks_is_told(cells: dict[str, Any], axes: list[str], endings: list[str], told: str) -> None:
    name = name_of(Series(cells, axes, geometry=True, endings=endings), load_bids_rules(None))
    assert told in (name.suffix or name.reason)


def test_a_task_is_named_after_the_protocol() -> None:
    cells = {"sequenceClass": "fMRI_BOLD", "protocolName_lower": "ep2d_bold_finger tapping 3mm"}
    series = Series(cells, ["time"], True, [".nii.gz"], {"RepetitionTime": 2.0})
    assert name_of(series, load_bids_rules(None)).task == "fingertapping"


@pytest.mark.parametrize(
    "sections", [{}, {"metadata": {}}, {"metadata": {}, "volume": {}}, {"volume": {"formats": ["nifti"]}}]
)
def test_what_the_layout_needs_is_told(sections: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"output\.layout.*nifti"):
        load_config({"output": {"layout": "bids"}, "dicom": {"dir": "in"}, **sections})


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", uid="1.2", PatientID="A", **T1)
    bids(tmp_path / "in", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "bids").rglob("*")}
    bids(tmp_path / "in", tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "bids").rglob("*")} == before
    export(tmp_path / "in", tmp_path / "out", **BIDS)
    assert all(path.exists() for path in before), "without the layout it stays"

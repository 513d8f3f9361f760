"""What the policy leaves as it was, and what it makes equally in every run, worker and order."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from support.factories import ct_series, make_uid, quick_dataset, save
from support.faults import Faults, in_child, kill
from support.runs import config, content, rows

from crawler.cluster.merge import merge
from crawler.cluster.run_shard import run_shard
from crawler.config.loader import load_config
from crawler.engine import plan
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError
from crawler.privacy.keys import make_key

OUTPUTS: dict[str, Any] = {"metadata": {}, "image": {}, "volume": {}, "preview": {}}


def private(folder: Path, key: str = "key", **keys: Any) -> dict[str, Any]:
    """A section with a key of its own name, made when it is not there."""
    path = folder / key
    if not path.exists():
        make_key(str(path))
    return {"private": str(folder / f"private-{key}"), "key": {"file": str(path)}, **keys}


def export(source: Path, out: Path, section: dict[str, Any] | None, workers: int = 0, **flags: Any) -> Any:
    section = None if section is None else {**section, "private": f"{section['private']}-{out.name}"}
    extra = {} if section is None else {"privacy": section}
    return run(config(source, out, workers, **OUTPUTS, **extra), **flags)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Three patients, in folders of their names, the files of one out of order; one has two studies."""
    source = tmp_path / "in"
    for number, name in enumerate(("Alder", "Birch", "Cedar")):
        for study in range(2 if name == "Birch" else 1):
            ct_series(
                source / name / f"study{study}",
                4,
                shuffle=number == 1,
                uid=make_uid("series", name, study),
                StudyInstanceUID=make_uid(name, study),
                PatientName=f"{name}^Anna",
                PatientID=f"ID{number}4711",
                PatientBirthDate="19300101",
                StudyDate=f"202001{10 + 7 * study:02d}",
                AcquisitionTime="101112",
                StudyDescription=f"Control of {name}",
            )
    return source


def volumes(out: Path) -> list[tuple[bytes, Any]]:
    """Voxels and geometry of all volumes, in an order of their own."""
    found = []
    for path in out.rglob("*.h5"):
        if path.name == "pixel_data.h5":
            continue
        with h5py.File(path) as file:
            found.append((file["image"][()].tobytes(), file["image"].attrs["affine"].tobytes()))
    return sorted(found)


def test_voxels_and_geometry_are_those_of_the_originals(cohort: Path, tmp_path: Path) -> None:
    export(cohort, tmp_path / "plain", None)
    export(cohort, tmp_path / "clean", private(tmp_path))
    assert volumes(tmp_path / "plain") == volumes(tmp_path / "clean")
    assert len(volumes(tmp_path / "clean")) == 4


def test_workers_and_later_runs_come_to_the_same(cohort: Path, tmp_path: Path) -> None:
    section = private(tmp_path)
    export(cohort, tmp_path / "one", section)
    export(cohort, tmp_path / "two", section, workers=2)
    aside = tmp_path / "aside"
    shutil.move(cohort / "Birch", aside)
    export(cohort, tmp_path / "steps", section)
    shutil.move(aside, cohort / "Birch")
    export(cohort, tmp_path / "steps", section)
    export(cohort, tmp_path / "steps", section)
    one = rows(tmp_path / "one")
    assert rows(tmp_path / "two") == one
    assert rows(tmp_path / "steps") == one
    assert content(tmp_path / "one").keys() == content(tmp_path / "steps").keys()


def test_another_key_has_nothing_in_common(cohort: Path, tmp_path: Path) -> None:
    def tokens(out: Path) -> set[str]:
        text = (out / "metadata.jsonl").read_text()
        return {*re.findall(r"2\.25\.\d+|P-[A-Z2-7]{16}", text), *re.findall(r"[a-z2-7]{16}", text)}

    export(cohort, tmp_path / "one", private(tmp_path, "key"))
    export(cohort, tmp_path / "two", private(tmp_path, "other"))
    assert len(tokens(tmp_path / "one")) > 30
    assert tokens(tmp_path / "one").isdisjoint(tokens(tmp_path / "two"))


def test_another_key_or_rule_on_an_output_is_refused(cohort: Path, tmp_path: Path) -> None:
    section = private(tmp_path)
    export(cohort, tmp_path / "out", section)
    make_key(str(tmp_path / "other"))
    with pytest.raises(LedgerError, match="was made with the key"):
        export(cohort, tmp_path / "out", section | {"key": {"file": str(tmp_path / "other")}})
    with pytest.raises(LedgerError, match="the rules differ"):
        export(cohort, tmp_path / "out", section | {"text": "drop"})
    with pytest.raises(LedgerError, match="no ledger of ours"):
        export(cohort, tmp_path / "out", None)


def test_intervals_references_and_ages(cohort: Path, tmp_path: Path) -> None:
    export(cohort, tmp_path / "out", private(tmp_path))
    found = rows(tmp_path / "out")
    by_patient: dict[str, set[str]] = {}
    for row in found.values():
        by_patient.setdefault(row["PatientID"], set()).add(row["StudyDate"])
        assert row["PatientAge"] == "090Y"  # 90 in 2020
        assert row["PatientBirthDate"] is None
        assert row["AcquisitionTime"] == "101112"
        assert row["StudyDescription"] == "Control of [removed]"
        assert row["LongitudinalTemporalInformationModified"] == "MODIFIED"
    assert len(by_patient) == 3
    (pair,) = (dates for dates in by_patient.values() if len(dates) == 2)
    first, second = sorted(pair)
    assert np.datetime64(f"{second[:4]}-{second[4:6]}-{second[6:]}") - np.datetime64(
        f"{first[:4]}-{first[4:6]}-{first[6:]}"
    ) == np.timedelta64(7, "D")
    assert len({row["SOPInstanceUID"] for row in found.values()}) == len(found)
    assert not any(re.search(r"20200110|20200117", value) for row in found.values() for value in map(str, row.values()))


def test_a_reference_names_the_new_uid(tmp_path: Path) -> None:
    (first, *_) = ct_series(tmp_path / "in" / "ct", 2)
    target = dcmread(first).SOPInstanceUID
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = target, "1.2.840.10008.5.1.4.1.1.2"
    other = quick_dataset(Modality="PR", SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1")
    other.ReferencedImageSequence = [item]
    save(other, tmp_path / "in" / "pr" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", private(tmp_path))
    found = rows(tmp_path / "out").values()
    (named,) = (row["ReferencedImageSequence"][0] for row in found if row["Modality"] == "PR")
    assert named["ReferencedSOPInstanceUID"] in {row["SOPInstanceUID"] for row in found if row["Modality"] == "CT"}
    assert named["ReferencedSOPClassUID"] == "1.2.840.10008.5.1.4.1.1.2"


def test_a_roster_makes_one_subject_of_two_identifiers(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("subject,PatientID\nA,ID04711\nA,ID14711\n")
    export(cohort, tmp_path / "out", private(tmp_path, patients=str(tmp_path / "roster.csv")))
    assert len({row["PatientID"] for row in rows(tmp_path / "out").values()}) == 2


def test_a_roster_says_what_else_is_searched_in_text(tmp_path: Path) -> None:
    """A maiden name that no element of the file holds; a line of another subject does nothing."""
    ct_series(tmp_path / "in", 1, PatientID="ID7", StudyDescription="Control of Vogelsang, was Amselberg")
    (tmp_path / "roster.csv").write_text("subject,PatientID,birth name\nA,ID7,Vogelsang\nB,ID8,Amselberg\n")
    export(tmp_path / "in", tmp_path / "out", private(tmp_path, patients=str(tmp_path / "roster.csv")))
    (row,) = rows(tmp_path / "out").values()
    assert row["StudyDescription"] == "Control of [removed], was Amselberg"


@pytest.mark.parametrize("way", ["folder", "tree", "large", "shards"])
def test_what_one_file_of_a_scan_says_is_searched_in_all(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The referring physician is in one file, and the operator in an item of another; the text is in all."""
    files = ct_series(tmp_path / "in", 4, PatientID="ID7", SeriesDescription="for Vogelsang by Amselberg axial")
    for path, name in ((files[1], "Vogelsang^Ada"), (files[3], "")):
        dataset = dcmread(path)
        dataset.ReferringPhysicianName = name
        if not name:
            item = Dataset()
            item.PersonName = "Amselberg^Ida"
            dataset.ParticipantSequence = [item]
        dataset.save_as(path)
    if way == "large":
        monkeypatch.setattr(plan, "FOLDER_FILES", 2)
    given = config(
        tmp_path / "in",
        tmp_path / "out",
        **OUTPUTS,
        dicom={"group": "tree" if way == "tree" else "folder"},
        privacy=private(tmp_path),
    )
    if way == "shards":
        for number in (1, 2):
            run_shard(given, number, 2)
        merge(given)
    else:
        run(given)
    texts = {row["SeriesDescription"] for row in rows(tmp_path / "out").values()}
    assert texts == {"for [removed] by [removed] axial"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"privacy": {}}, "privacy.private"),
        ({"image": {"overlays": True}}, "overlays"),
        ({"output": {"layout": "bids"}, "volume": {"formats": ["nifti"]}}, "layout: bids"),
        ({"select": {"where": {"PatientID": {"equals": "1"}}}}, "select.where.PatientID"),
        ({"dicom": {"readers": [".foo"]}}, "dicom.readers"),
        ({"dicom": {"dir": "s3://bucket/in"}}, "address in dicom.dir"),
        ({"output": {"dir": "s3://bucket/out", "staging": "stage"}}, "address in output.dir"),
        ({"volume": {"order": "SeriesDescription"}}, "volume.order"),
    ],
)  # fmt: skip
def test_what_is_not_covered_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    (tmp_path / "in").mkdir()
    document: dict[str, Any] = {
        "dicom": {"dir": str(tmp_path / "in")},
        "output": {"dir": str(tmp_path / "out")},
        "metadata": {},
        "privacy": {"private": str(tmp_path / "private")},
    }
    for name, value in changes.items():
        document[name] = {**document.get(name, {}), **value} if value else {}
    with pytest.raises(ConfigError, match=re.escape(told)):
        run(load_config(document))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["out/private", "out", "in"])
def test_the_private_folder_lies_apart(tmp_path: Path, place: str) -> None:
    (tmp_path / "in").mkdir()
    section = {"private": str(tmp_path / place)}
    with pytest.raises(ConfigError, match=r"privacy\.private"):
        run(config(tmp_path / "in", tmp_path / "out", **OUTPUTS, privacy=section))


def test_a_key_that_others_may_read_is_refused(cohort: Path, tmp_path: Path) -> None:
    section = private(tmp_path)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="read by others"):
        export(cohort, tmp_path / "out", section)


def test_what_identifies_is_for_its_user_alone(cohort: Path, tmp_path: Path) -> None:
    section = private(tmp_path)
    export(cohort, tmp_path / "out", section)
    folder = Path(f"{section['private']}-out")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "metadata.jsonl.ledger").exists()
    assert not list((tmp_path / "out").rglob("*.ledger"))


def test_names_do_not_tell_the_order_of_patients(cohort: Path, tmp_path: Path) -> None:
    export(cohort, tmp_path / "out", private(tmp_path))
    order = [name.split("/")[0] for name in rows(tmp_path / "out")]
    assert [name for name, _ in itertools.groupby(order)] == sorted(set(order))


def test_a_tree_is_as_clean_and_goes_on_as_well(cohort: Path, tmp_path: Path) -> None:
    """Scans that spread over folders; in the second run one of their files has changed, in the third one is gone."""
    for path in sorted((cohort / "Birch" / "study0").iterdir())[:2]:
        (cohort / "Cedar" / "more").mkdir(exist_ok=True)
        shutil.move(path, cohort / "Cedar" / "more" / f"x{path.name}")
    section = private(tmp_path)

    def tree(out: str) -> dict[str, Any]:
        place = {**section, "private": str(tmp_path / f"private-{out}")}
        run(config(cohort, tmp_path / out, **OUTPUTS, dicom={"group": "tree"}, privacy=place))
        return rows(tmp_path / out)

    found = tree("steps")
    assert len({row["scan_id"] for row in found.values()}) == 4
    text = (tmp_path / "steps" / "metadata.jsonl").read_text()
    assert not any(name in text for name in ("Alder", "Birch", "Cedar", "ID04711", "ID14711", "ID24711"))
    (cohort / "Cedar" / "more" / "x0000.dcm").touch()
    assert tree("steps") == found
    next((cohort / "Alder").rglob("*.dcm")).unlink()
    assert tree("steps") == tree("anew")
    run(config(cohort, tmp_path / "plain", **OUTPUTS, dicom={"group": "tree"}))
    assert volumes(tmp_path / "plain") == volumes(tmp_path / "anew")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.skipif(sys.platform == "win32", reason="a forked child is killed")
def test_a_run_that_was_killed_goes_on_to_the_same(cohort: Path, tmp_path: Path, share: float) -> None:
    section = private(tmp_path)

    def to(out: str) -> int:
        export(cohort, tmp_path / out, section)
        return 0

    counted = Faults(-1, kill, tmp_path / "whole")
    calls = len(in_child(lambda: to("whole"), counted).calls)
    ended = in_child(lambda: to("killed"), Faults(round(share * calls), kill, tmp_path / "killed"))
    assert ended.code == -9
    assert in_child(lambda: to("killed")).code == 0
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert volumes(tmp_path / "killed") == volumes(tmp_path / "whole")
    left = [path.name for path in (tmp_path / "private-key-killed").rglob("*") if path.suffix in (".spool", ".rows")]
    assert left == []

"""The keys of the section in every profile: dates, age, actions, a file of private elements; and what no UID holds."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from support.factories import ct_series, make_uid
from support.runs import config, rows

from crawler.engine.privacy import made_with, policy_of
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.privacy.keys import make_key

DAYS = ("20200110", "20200229", "20210301")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies of a patient of 95 years; UIDs with his number and the dates inside, as real ones have."""
    folder = tmp_path_factory.mktemp("choices")
    for day in DAYS:
        ct_series(
            folder / day,
            1,
            uid=f"1.2.840.113681.{day}.471108150.2",
            StudyInstanceUID=f"1.2.840.113681.{day}.471108150.1",
            PatientID="471108150",
            PatientBirthDate="19250101",
            PatientAge="095Y",
            StudyDate=day,
            AcquisitionDateTime=f"{day}101112",
            StudyTime="101112",
            StationName="CT-EAST",
            StudyDescription="Control",
        )
        for path in (folder / day).iterdir():
            dataset = dcmread(path)
            block = dataset.private_block(0x0029, "OURS", create=True)
            block.add_new(0x10, "DS", "1.5")
            block.add_new(0x11, "LO", "axial")
            block.add_new(0x12, "DS", "2.5")
            dataset.save_as(path)
    return folder


def section(folder: Path, **changes: Any) -> dict[str, Any]:
    if not (folder / "key").exists():
        make_key(str(folder / "key"))
    return {"private": str(folder / "private"), "key": {"file": str(folder / "key")}, **changes}


@pytest.mark.parametrize("profile", ["basic", "research", "public"])
@pytest.mark.parametrize("dates", ["weeks", "days", "remove", "keep"])
def test_dates_as_the_key_says_in_every_profile(source: Path, tmp_path: Path, profile: str, dates: str) -> None:
    run(config(source, tmp_path / "out", metadata={}, privacy=section(tmp_path, profile=profile, dates=dates)))
    found = list(rows(tmp_path / "out").values())
    told = sorted(str(row.get("StudyDate") or "") for row in found)
    said = {"keep": "UNMODIFIED", "remove": "REMOVED"}.get(dates, "MODIFIED")
    assert {row["LongitudinalTemporalInformationModified"] for row in found} == {said}
    assert {row.get("PatientAge") for row in found} == ({"090Y"} if profile != "basic" else {None})
    text = (tmp_path / "out" / "metadata.jsonl").read_text()
    assert "19250101" not in text
    uids = {uid for row in found for uid in re.findall(r"(?<=\")[012](?:\.\d+){3,}", str(row).replace("'", '"'))}
    assert not any(uid for uid in uids if "471108150" in uid or (not uid.startswith("2.25.") and "2020" in uid))
    if dates == "remove":
        assert not any(day in text for day in DAYS)
        return
    if dates == "keep":
        assert told == list(DAYS)
        return
    moved = [np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}") for day in told]
    meant = [np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}") for day in DAYS]
    assert np.diff(moved).tolist() == np.diff(meant).tolist()
    back = int((meant[0] - moved[0]).astype(int))
    assert 364 <= back <= 3640 + 7
    assert dates == "days" or back % 7 == 0
    for row in found:
        assert row["StudyTime"] == "101112"
        assert row["AcquisitionDateTime"] == row["StudyDate"] + "101112"


def test_ages_are_told_up_to_the_key(source: Path, tmp_path: Path) -> None:
    run(config(source, tmp_path / "out", metadata={}, privacy=section(tmp_path, age=95)))
    assert {row["PatientAge"] for row in rows(tmp_path / "out").values()} == {"095Y"}
    run(config(source, tmp_path / "less", metadata={}, privacy=section(tmp_path, age=70, private=f"{tmp_path}/p2")))
    assert {row["PatientAge"] for row in rows(tmp_path / "less").values()} == {"071Y"}


@pytest.mark.parametrize("profile", ["basic", "research", "public"])
def test_actions_go_before_all_rules(source: Path, tmp_path: Path, profile: str) -> None:
    actions = {"StationName": "keep", "Modality": "empty", "StudyDescription": "replace", "Rows": "remove"}
    run(config(source, tmp_path / "out", metadata={}, privacy=section(tmp_path, profile=profile, actions=actions)))
    for row in rows(tmp_path / "out").values():
        assert (row["StationName"], row["Modality"], row["StudyDescription"]) == ("CT-EAST", None, "REMOVED")
        assert "Rows" not in row


def test_a_file_says_which_private_elements_stay(source: Path, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text('creator,tag,vr\nOURS,"0029,xx10",DS\nOURS,"(0029,xx11)",LO\n')
    given = config(
        source, tmp_path / "out", metadata={}, privacy=section(tmp_path, private_tags=str(tmp_path / "tags.csv"))
    )
    run(given)
    for row in rows(tmp_path / "out").values():
        private = {key: value for key, value in row.items() if "OURS" in key or value == "OURS"}
        assert private == {"(0029,0010)": "OURS", "(0029,xx10) OURS": 1.5, "(0029,xx11) OURS": "axial"}
    before = made_with(policy_of(given))  # type: ignore[arg-type]
    (tmp_path / "tags.csv").rename(tmp_path / "moved.csv")
    moved = config(
        source, tmp_path / "out", metadata={}, privacy=section(tmp_path, private_tags=str(tmp_path / "moved.csv"))
    )
    assert made_with(policy_of(moved)) == before  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "creator,tag\n", "a,b\n1,2\n", 'creator,tag\nOURS,"0028,0010"\n', 'creator,tag,vr\nO,"0029,xx10",XX\n']
)
def test_a_file_of_private_elements_that_says_nothing_is_refused(source: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "tags.csv").write_text(text)
    given = section(tmp_path, private_tags=str(tmp_path / "tags.csv"))
    with pytest.raises(ConfigError, match=r"privacy\.private_tags"):
        run(config(source, tmp_path / "out", metadata={}, privacy=given))
    assert not (tmp_path / "out").exists()


def test_uids_of_one_key_are_those_of_every_run(tmp_path: Path) -> None:
    """And no two originals become one."""
    make_key(str(tmp_path / "key"))
    policy = policy_of(config(tmp_path, tmp_path / "out", metadata={}, privacy=section(tmp_path)))
    assert policy is not None
    made = [policy.uid(make_uid(number)) for number in itertools.chain(range(500), range(500))]
    assert made[:500] == made[500:]
    assert len(set(made)) == 500
    assert all(re.fullmatch(r"2\.25\.\d{1,39}", uid) and len(uid) <= 64 for uid in made)

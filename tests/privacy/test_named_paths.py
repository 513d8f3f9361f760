"""Paths that a configuration names: what the engine opens is what the web confines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.factories import ct_series
from support.runs import rows

from crawler.config.loader import Config
from crawler.engine.privacy import policy_of
from crawler.engine.run import run
from crawler.export.setup import setup_of
from crawler.privacy.keys import make_key
from crawler.privacy.sealing import make_pair
from crawler.web.confinement import named_paths

NAMED = ("key.file", "patients", "private_tags", "custodian", "private")


@pytest.fixture(params=["from the folder", "from home", "absolute"])
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """How paths begin; the home folder, the folder of the run, and the current one differ."""
    for name in ("home", "job", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "job")
    return {"from the folder": "", "from home": "~/", "absolute": f"{tmp_path}/elsewhere/"}[str(request.param)]


def job(start: str, folder: Path) -> tuple[Config, Path]:
    """A configuration whose files lie where its paths begin, and nowhere else; and that place."""
    pytest.importorskip("cryptography", reason="pip install cryptography")
    place = Path(os.path.expanduser(start) or folder / "job")
    make_key(str(place / "key"))
    make_pair(str(place / "pair"))
    (place / "roster.csv").write_text("subject,PatientID,other\nS1,MRN4711081,Quastenflosser\n")
    (place / "tags.csv").write_text('creator,tag,vr\nOURS,"0029,xx10",DS\n')
    ct_series(folder / "in", 1, PatientID="MRN4711081", SeriesDescription="axial Quastenflosser")
    section: dict[str, Any] = {
        "key": {"file": f"{start}key"},
        "patients": f"{start}roster.csv",
        "private_tags": f"{start}tags.csv",
        "custodian": f"{start}pair.pub",
        "private": f"{start}private",
    }
    document = {
        "dicom": {"dir": str(folder / "in")},
        "output": {"dir": str(folder / "out")},
        "metadata": {},
        "num_workers": 0,
        "privacy": section,
    }
    return Config.from_mapping(document), place


def test_the_engine_opens_what_the_web_confines(start: str, tmp_path: Path) -> None:
    given, place = job(start, tmp_path)
    confined = {name: path for name, path in named_paths(given) if name.startswith("privacy.")}
    names = dict(zip(NAMED, ("key", "roster.csv", "tags.csv", "pair.pub", "private"), strict=True))
    assert confined == {f"privacy.{key}": str(place / name) for key, name in names.items()}
    policy = policy_of(given)
    assert policy is not None
    assert policy.key.secret.hex() == (place / "key").read_text().strip()
    assert policy.roster.subjects == {"MRN4711081": "S1"}
    assert policy.listed is not None
    assert [*policy.listed.elements] == ["OURS"]
    setup = setup_of(given, str(tmp_path), "", policy)
    assert setup.custodian == confined["privacy.custodian"]
    assert setup.links == str(place / "private" / "linking")
    run(given)
    (row,) = rows(tmp_path / "out").values()
    assert row["SeriesDescription"] == "axial [removed]"
    assert (place / "private" / "linking").is_dir()

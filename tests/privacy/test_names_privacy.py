"""Further names under the policy: made of what rows say, in an order that tells nothing."""

from __future__ import annotations

import csv
from pathlib import Path

from support.factories import ct_series, make_uid
from support.runs import config, rows

from crawler.engine.run import run
from crawler.privacy.keys import make_key


def test_names_are_of_pseudonyms_and_shifted_dates(tmp_path: Path) -> None:
    for name in ("Alder", "Birch", "Cedar"):
        ct_series(
            tmp_path / "in" / name,
            2,
            uid=make_uid("series", name),
            StudyInstanceUID=make_uid(name),
            PatientName=f"{name}^Anna",
            PatientID=f"{name}4711",
            StudyDate="20200110",
            SeriesDescription=f"axial of {name}",
        )
    make_key(str(tmp_path / "key"))
    given = config(
        tmp_path / "in",
        tmp_path / "out",
        metadata={},
        image={},
        media={"name": "{PatientID}/{StudyDate}_{InstanceNumber}"},
        volume={"formats": ["hdf5"], "name": "{PatientID}/{SeriesDescription}"},
        privacy={"private": str(tmp_path / "private"), "key": {"file": str(tmp_path / "key")}},
    )
    run(given)
    found = list(rows(tmp_path / "out").values())
    assert len(found) == 6
    with (tmp_path / "out" / "names.csv").open() as file:
        names = {line["name"] for line in csv.DictReader(file)}
    meant = {f"{row['PatientID']}/{row['StudyDate']}_{row['InstanceNumber']}.png" for row in found}
    volumes = {f"{row['PatientID']}/axial_of_removed.h5" for row in found}
    assert len(volumes) == 3
    assert names == meant | volumes
    folder = tmp_path / "out" / "named"
    listed = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert listed == names
    told = "".join(names) + (tmp_path / "out" / "names.csv").read_text()
    assert not any(word in told for word in ("Alder", "Birch", "Cedar", "4711", "20200110"))

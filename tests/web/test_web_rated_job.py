"""From ratings in the browser to a job that exports by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.factories import ct_series
from support.web import Web, serving


def exported(web: Web, job: str) -> set[str]:
    """Folders of the input of which files were exported."""
    lines = (web.workspace / "jobs" / job / "output" / "metadata.jsonl").read_text("utf-8").splitlines()
    return {row["dicom_file"].split("/")[0] for row in map(json.loads, lines) if row["outcome"] == "exported"}


@pytest.mark.parametrize(("rated", "expected"), [("keep", {"a"}), ("undropped", {"a", "c", "d"})])
def test_a_job_by_ratings(tmp_path: Path, rated: str, expected: set[str]) -> None:
    for number, name in enumerate("abcd"):
        ct_series(tmp_path / "data" / name, 2, uid=f"1.2.3.{number}")
    with serving(tmp_path / "ws", tmp_path / "data") as web:
        old = web.new_job(tmp_path / "data")
        assert web.post(f"/jobs/{old}/rated", rated=rated).status == 409
        web.post(f"/jobs/{old}", action="start")
        web.wait(old, "finished")
        told = web.get(f"/look/{old}/series.json").json
        numbers = {row[told["columns"].index("scan_id")].split("/")[0]: row[0] for row in told["rows"]}
        for name, rating in {"a": "keep", "b": "drop", "c": "unsure"}.items():
            assert web.send(f"/look/{old}/rate", {"series": numbers[name], "rating": rating}).status == 200
        assert "New job of the kept series alone" in web.get(f"/look/{old}").text
        assert web.post(f"/jobs/{old}/rated", rated="all").status == 400
        job = web.post(f"/jobs/{old}/rated", rated=rated).headers["location"].split("/")[2]
        text = (web.workspace / "jobs" / job / "config.yml").read_text("utf-8")
        assert "list: ratings.csv" in text
        web.send(f"/look/{old}/rate", {"series": numbers["a"], "rating": "drop"})  # later: of no account
        assert web.post(f"/jobs/{job}", action="start").headers["location"] == f"/jobs/{job}"
        web.wait(job, "finished")
        assert exported(web, job) == expected
        assert exported(web, old) == set("abcd")
        assert "select.list: 1 series have no rating in the list" in web.get(f"/jobs/{job}/log/run").text

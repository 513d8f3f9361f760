"""`select.list` and `select.rated`: series by the ratings of a person, and what is told of a list that does not fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.factories import ct_series
from support.runs import accounts_hold, config, content, export, rows

from crawler.config.rated import Ratings, Row, read_rows
from crawler.errors import ConfigError

UIDS = {name: f"1.2.3.{number}" for number, name in enumerate("abcd", 1)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four series of two slices."""
    for name, uid in UIDS.items():
        ct_series(tmp_path / "in" / name, n=2, uid=uid)
    return tmp_path / "in"


def written(path: Path, ratings: dict[str, str], more: str = "") -> str:
    """A list of ratings by folder of `tree`, with the series' UIDs alone."""
    lines = [f"{UIDS[name]},{rating}" for name, rating in ratings.items()]
    path.write_text("\n".join(["SeriesInstanceUID,rating", *lines, more]), encoding="utf-8")
    return str(path)


def exported(out: Path) -> set[str]:
    """Folders that were exported; the others are marked with the key."""
    found = rows(out)
    assert all(row["stage"] == "select.list" for row in found.values() if row["outcome"] == "skipped")
    return {name.split("/")[0] for name, row in found.items() if row["outcome"] == "exported"}


@pytest.mark.parametrize(
    ("rated", "expected"),
    [
        (None, {"a", "c", "d"}),
        (["keep"], {"a"}),
        (["keep", "unsure"], {"a", "c"}),
        (["drop"], {"b"}),
        (["unrated"], {"d"}),
    ],
)
def test_series_by_rating(tree: Path, tmp_path: Path, rated: list[str] | None, expected: set[str]) -> None:
    ratings = written(tmp_path / "ratings.csv", {"a": "keep", "b": "drop", "c": "Unsure"})
    select = {"list": ratings} | ({} if rated is None else {"rated": rated})
    summary = export(tree, tmp_path / "out", metadata={}, volume={}, image={}, select=select)
    accounts_hold(summary, 8)
    assert exported(tmp_path / "out") == expected
    assert {path.parent.name for path in (tmp_path / "out" / "media").rglob("*.png")} == expected


def test_what_the_viewer_writes_is_what_a_run_reads(tree: Path, tmp_path: Path) -> None:
    from crawler.web import ratings

    export(tree, tmp_path / "first", metadata={})
    scans = {name.split("/")[0]: row["scan_id"] for name, row in rows(tmp_path / "first").items()}
    for name, rating in {"a": "keep", "b": "drop", "c": "drop", "d": "unsure"}.items():
        ratings.rate(str(tmp_path / "notes"), scans[name], UIDS[name], rating)
    export(tree, tmp_path / "out", metadata={}, select={"list": str(tmp_path / "notes" / ratings.NAME)})
    assert exported(tmp_path / "out") == {"a", "d"}


@pytest.mark.parametrize("workers", [0, 2])
def test_scans_of_one_series_each_by_its_own_row(tmp_path: Path, workers: int) -> None:
    for name in "abc":
        ct_series(tmp_path / "in" / name, n=1, uid="1.2.3")
    export(tmp_path / "in", tmp_path / "first", metadata={})
    scans = {name.split("/")[0]: row["scan_id"] for name, row in rows(tmp_path / "first").items()}
    lines = [f"{scans['a']},1.2.3,keep", f"{scans['b']},1.2.3,drop"]  # c: rows of its series disagree
    (tmp_path / "r.csv").write_text("\n".join(["scan_id,SeriesInstanceUID,rating", *lines]), encoding="utf-8")
    select: dict[str, Any] = {"list": str(tmp_path / "r.csv")}
    export(tmp_path / "in", tmp_path / "out", workers, metadata={}, select=select)
    assert exported(tmp_path / "out") == {"a", "c"}
    export(tmp_path / "in", tmp_path / "two", workers, metadata={}, select={**select, "rated": ["keep"]})
    assert exported(tmp_path / "two") == {"a"}


def test_a_scan_id_of_another_series_rates_nothing() -> None:
    ratings = Ratings([Row(2, "a/s1-12345678", "1.2.3", "drop")], ["keep", "unrated"])
    assert not ratings.takes("a/s1-12345678", "1.2.3")
    assert not ratings.takes("elsewhere/s1-12345678", "1.2.3")
    assert ratings.takes("a/s1-12345678", "1.2.4")
    assert ratings.takes("a/s1-12345678", "")


def test_stale_rows_and_unrated_series_are_told_by_line(tree: Path, tmp_path: Path, caplog: Any) -> None:
    ratings = written(tmp_path / "ratings.csv", {"a": "keep", "b": "drop"}, "1.2.99,drop\n1.2.98,keep")
    with caplog.at_level(logging.WARNING, "dme"):
        export(tree, tmp_path / "out", metadata={}, select={"list": ratings})
    told = [record.getMessage() for record in caplog.records if "select.list" in record.getMessage()]
    assert told == [
        "select.list: 2 of 4 rated series are not in the input (lines 4, 5)",
        "select.list: 2 series have no rating in the list: exported",
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "dme"):  # told again by a run that has nothing to do
        assert export(tree, tmp_path / "out", metadata={}, select={"list": ratings}).handled == 0
    assert [record.getMessage() for record in caplog.records if "select.list" in record.getMessage()] == told


def test_a_list_that_fits_is_silent(tree: Path, tmp_path: Path, caplog: Any) -> None:
    ratings = written(tmp_path / "ratings.csv", dict.fromkeys(UIDS, "keep"))
    with caplog.at_level(logging.WARNING, "dme"):
        export(tree, tmp_path / "out", metadata={}, select={"list": ratings, "rated": ["keep"]})
    assert "select.list" not in caplog.text
    assert exported(tmp_path / "out") == set(UIDS)


def test_other_ratings_are_refused_until_asked_for(tree: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "ratings.csv"
    select = {"list": written(path, {"a": "drop", "b": "keep"})}
    export(tree, out, metadata={}, image={}, volume={}, select=select)
    written(path, {"b": "unsure", "a": "drop"})  # leaves out the same: nothing to do
    assert export(tree, out, metadata={}, image={}, volume={}, select=select).handled == 0
    written(path, {"a": "keep", "b": "drop"})
    with pytest.raises(ConfigError, match=r"select\.list was of other ratings .* --rebuild select "):
        export(tree, out, metadata={}, image={}, volume={}, select=select)
    assert exported(out) == {"b", "c", "d"}
    export(tree, out, metadata={}, image={}, volume={}, select=select, rebuild="select")
    assert exported(out) == {"a", "c", "d"}
    export(tree, tmp_path / "fresh", metadata={}, image={}, volume={}, select=select)
    assert content(out) == content(tmp_path / "fresh")
    with pytest.raises(ConfigError, match=r"select\.list"):
        export(tree, out, metadata={}, image={}, volume={})


def test_pseudonymised_output_takes_a_list_of_originals(tree: Path, tmp_path: Path) -> None:
    ratings = written(tmp_path / "ratings.csv", {"a": "keep", "b": "drop"})
    privacy = {"private": str(tmp_path / "private")}
    export(tree, tmp_path / "out", metadata={}, image={}, privacy=privacy, select={"list": ratings, "rated": ["keep"]})
    found = rows(tmp_path / "out").values()
    assert sorted(row["outcome"] for row in found) == ["exported"] * 2 + ["skipped"] * 6
    assert UIDS["a"] not in (tmp_path / "out" / "metadata.jsonl").read_text(encoding="utf-8")


def test_relative_to_the_current_folder(tree: Path, tmp_path: Path, monkeypatch: Any) -> None:
    written(tmp_path / "ratings.csv", {"a": "drop"})
    monkeypatch.chdir(tmp_path)
    export(tree, tmp_path / "out", metadata={}, select={"list": "ratings.csv"})
    assert exported(tmp_path / "out") == {"b", "c", "d"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "expected the columns scan_id, SeriesInstanceUID (or one of them) and rating"),
        ("SeriesInstanceUID,rated\n1.2,keep\n", "expected the columns"),
        ("PatientID,rating\nx,keep\n", "expected the columns"),
        ("SeriesInstanceUID,rating\n1.2,keep\n1.3,good\n", ":3: expected a rating of keep, drop, unsure"),
        ("SeriesInstanceUID,rating\n1.2,keep\n1.2,drop\n", ":3: another rating than in line 2, of the same series"),
        ("SeriesInstanceUID,rating\n,keep\n", ":2: names no series"),
        ('SeriesInstanceUID,rating\n"1.2,keep\n', ": no CSV"),
        (b"SeriesInstanceUID,rating\n\xff,keep\n", "not UTF-8 text"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_before_any_work(
    tree: Path, tmp_path: Path, text: str | bytes | None, told: str
) -> None:
    path = tmp_path / "ratings.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        export(tree, tmp_path / "out", metadata={}, select={"list": str(path)})
    assert told in str(refused.value)
    assert str(refused.value).startswith("select.list: ")
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


def test_a_rating_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"select\.rated"):
        config(tmp_path, tmp_path / "out", select={"rated": ["good"]})


def test_a_row_without_rating_and_other_columns_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"\xef\xbb\xbfrated,rating,SeriesInstanceUID,note\r\n2026,,1.2,x\r\n2026, DROP ,1.3,y\r\n")
    assert read_rows(str(path)) == [Row(3, "", "1.3", "drop")]

"""metadata.csv put together from the cells of workers is what the rows give, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import ct_series, quick_dataset, save
from support.runs import export

from crawler.export.cells import CellWriter
from crawler.ledger.cells import CellSpool
from crawler.ledger.database import Ledger, ScanRow
from crawler.tables.csvfile import write_csv
from crawler.tables.joined_csv import write_joined
from crawler.tables.table import RowReader

TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=6)
NUMBERS = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 4.5, 1e300, 2**62, True, False, None])
PLAIN = st.one_of(TEXTS, NUMBERS, st.sampled_from(["", ",", '"', "\r\n", "=1", "\x1f", "\x1e", "\x1d"]))
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(TEXTS, PLAIN, max_size=2))
COLUMN = st.sampled_from(["Modality", "Rows", "PatientName", "(0019,xx10) A", "unknown", "dicom_file"])
ROWS = st.lists(st.dictionaries(COLUMN, VALUES, min_size=1), min_size=1, max_size=4)


@given(st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_cells_give_what_rows_give(tmp_path_factory, scans):
    """Of some scans there are cells, of others, as after a kill, there are none."""
    folder = tmp_path_factory.mktemp("joined")
    ledger = Ledger(str(folder / "x.ledger"))
    ledger.open_folder("", [])
    spool, writer, place = CellSpool(ledger, str(folder)), CellWriter(), 0
    with open(folder / "rows.jsonl", "wb") as file:
        for number, (rows, has_cells) in enumerate(scans):
            lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
            file.write(lines)
            span = (place, place := place + len(lines))
            ledger.put_scan("", ScanRow(f"s{number}", "", "", {}, span, (), ()))
            cells = writer(lines)
            assert cells is not None or any(mark in lines.decode() for mark in ("\\u001d", "\\u001e", "\\u001f"))
            if has_cells and cells is not None:
                spool.add(f"s{number}", *cells)
    reader = RowReader(str(folder / "rows.jsonl"), "keyword")
    if spool.is_whole:  # a worker that names columns once needs all of its answers
        spool.columns.update(name for rows, _ in scans for row in rows for name in row)
    count = write_joined(reader, spool, str(folder / "joined.csv"))
    spool.close()
    ledger.close()
    assert count == write_csv(reader.whole(), str(folder / "plain.csv"))
    assert (folder / "joined.csv").read_bytes() == (folder / "plain.csv").read_bytes()


def plain(out: Path) -> bytes:
    """The table as it is made of the rows alone."""
    write_csv(RowReader(str(out / "metadata.jsonl"), "keyword").whole(), str(out.parent / "plain.csv"))
    return (out.parent / "plain.csv").read_bytes()


def tree_of(folder: Path) -> None:
    for number, size in enumerate([(8, 8), (8, 12)]):
        ct_series(folder / str(number), n=3, size=size, uid=f"1.2.3.{number}", SeriesDescription='a, "b"')
    save(quick_dataset(SOPInstanceUID="1.2.9", PatientComments="line\r\nline"), folder / "one" / "a.dcm")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_and_those_that_add_to_it(tmp_path, workers):
    tree_of(tmp_path / "in")
    out = tmp_path / "out"
    export(tmp_path / "in", out, workers, metadata={})
    assert (out / "metadata.csv").read_bytes() == plain(out)
    ct_series(tmp_path / "in" / "more", n=2, uid="1.2.3.9", ImageComments="new column")
    save(quick_dataset(SOPInstanceUID="1.2.8"), tmp_path / "in" / "one" / "b.dcm")
    export(tmp_path / "in", out, workers, metadata={})
    assert (out / "metadata.csv").read_bytes() == plain(out)
    assert b"ImageComments" in (out / "metadata.csv").read_bytes().partition(b"\r\n")[0]
    shutil.rmtree(tmp_path / "in" / "more")
    export(tmp_path / "in", out, workers, metadata={})
    assert (out / "metadata.csv").read_bytes() == plain(out)
    assert b"ImageComments" not in (out / "metadata.csv").read_bytes()


def test_a_value_with_marks_is_read_from_its_row(tmp_path, monkeypatch):
    ct_series(tmp_path / "in" / "a", n=2)
    monkeypatch.setattr("crawler.export.cells.CELL", "1")  # occurs in values
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert (tmp_path / "out" / "metadata.csv").read_bytes() == plain(tmp_path / "out")


def test_cells_that_cannot_be_kept_cost_nothing(tmp_path, monkeypatch):
    """As when the disk is full; the table is made of the rows."""
    ct_series(tmp_path / "in" / "a", n=2)
    monkeypatch.setattr("crawler.ledger.cells.NAME", "no such folder/cells")
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert (tmp_path / "out" / "metadata.csv").read_bytes() == plain(tmp_path / "out")


def test_large_scans_go_through_files(tmp_path, monkeypatch):
    monkeypatch.setattr("crawler.export.result.INLINE", 1000)
    tree_of(tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert (tmp_path / "out" / "metadata.csv").read_bytes() == plain(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.cells"))


def test_the_duration_counts_the_tables(tmp_path, monkeypatch):
    """By a clock of the test: it moves while the table is written, and at no other time."""
    from crawler.engine import run as module
    from crawler.tables import metadata

    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    write = metadata.write_joined

    def slow(*values: Any) -> int:
        clock[0] += 1000
        return write(*values)

    monkeypatch.setattr(metadata, "write_joined", slow)
    tree_of(tmp_path / "in")
    summary = export(tmp_path / "in", tmp_path / "out", metadata={})
    assert summary.seconds == 1000
    told = orjson.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert told["run"]["seconds"] == 1000

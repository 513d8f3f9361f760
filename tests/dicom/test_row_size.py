"""Rows have a bounded size, whatever a header holds; what is cut is told."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import xxhash
from dicom.test_fast_header import SOP_CLASS, part10
from support.runs import export, rows
from support.streams import ITEM, explicit, head

from crawler.dicom.row_size import record_bytes


def test_ordinary_records_are_not_touched() -> None:
    record = {"Rows": 2, "ImageType": ["A", None], "X": [{"Y": 1.5}]}
    assert record_bytes(record) == (orjson.dumps(record), ())


def test_the_longest_values_give_way() -> None:
    record = {"A": "x" * 5000, "B": [{"C": "y" * 100}] * 300, "D": [1] * 10, "E": "z" * 3000}
    row, notes = record_bytes(record, 9000)
    assert len(row) <= 9000
    found = orjson.loads(row)
    assert (found["A"], found["D"], found["E"]) == (record["A"], record["D"], record["E"])
    content = orjson.dumps(record["B"])
    assert found["B"] == {
        "vr": "SQ",
        "items": 300,
        "length": len(content),
        "xxh3_128": xxhash.xxh3_128_hexdigest(content),
        "error": "too long for a row",
    }
    assert notes == (f"B: {len(content):,} bytes as JSON, too long for a row",)


def test_too_many_elements() -> None:
    record = {f"(0009,{number:04X})": None for number in range(2000)}
    row, notes = record_bytes(record, 9000)
    assert 8000 < len(row) <= 9000
    assert list(orjson.loads(row)) == list(record)[: len(orjson.loads(row))]
    assert len(notes) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_long_text_and_a_long_sequence_leave_a_short_row(tmp_path: Path, workers: int) -> None:
    item = explicit(0x00400441, "LT", b"x" * 9000)
    sequence = explicit(0x0040A730, "SQ", (head(ITEM, len(item)) + item) * 5000)
    source = tmp_path / "in"
    source.mkdir()
    (source / "text.dcm").write_bytes(part10(SOP_CLASS + explicit(0x00204000, "UT", b"x" * 40_000_000)))
    (source / "items.dcm").write_bytes(part10(SOP_CLASS + sequence + explicit(0x0040A491, "CS", b"COMPLETE")))
    export(source, tmp_path / "out", workers, metadata={})
    found = rows(tmp_path / "out")
    assert found["text.dcm"]["ImageComments"]["length"] == 40_000_000
    assert found["items.dcm"]["ContentSequence"]["items"] == 5000
    assert found["items.dcm"]["CompletionFlag"] == "COMPLETE"
    assert all(row["header_notes"] for row in found.values())
    assert (tmp_path / "out" / "metadata.jsonl").stat().st_size < 100_000

"""The writers of tables: what is read back is what the rows hold."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.tables import parquet, workbook
from crawler.tables.csvfile import write_csv
from crawler.tables.parquet import write_parquet
from crawler.tables.table import RowReader, Table, text_of
from crawler.tables.workbook import Workbook

MIXED: list[dict[str, Any]] = [
    {"name": "a", "n": 1, "x": 1, "t": "1", "v": 1.5, "s": [{"A": 1}], "big": 2**53 + 1, "huge": 2**63, "b": True},
    {"name": "b", "n": None, "x": 2.5, "t": 2, "v": [1, None], "s": {"vr": "OB", "length": 2}, "big": 0.5, "b": False},
    {"name": "c", "n": 2**62, "m": ["p", "q"], "e": None, "k": [], "huge": -1},
]


def grid(rows: Iterable[dict[str, Any]]) -> Table:
    kept = list(rows)
    columns = list(dict.fromkeys(column for row in kept for column in row))
    return Table(lambda: iter(kept), lambda found: [column for column in columns if column in found])


def sheets(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(path)
    return {sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets}


def write_book(table: Iterable[dict[str, Any]], folder: Path, **limits: int) -> tuple[Path, list[str]]:
    target = folder / "book.xlsx"
    with Workbook(str(target), str(folder), **limits) as book:
        book.add("Sheet", grid(table))
    return target, book.notes


# -- CSV ----------------------------------------------------------------------------------------------------------


def test_csv_is_verbatim(tmp_path: Path) -> None:
    rows = [{"a": "=1+1", "b": [1.5, None, "x"], "c": 'say "a,b"\nc'}, {"a": None, "d": [{"K": 1}]}]
    assert write_csv(grid(rows), str(tmp_path / "t.csv")) == 2
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert read[0] == {"a": "=1+1", "b": "1.5\\\\x", "c": 'say "a,b"\nc', "d": ""}
    assert read[1] == {"a": "", "b": "", "c": "", "d": '[{"K":1}]'}


# -- Parquet ------------------------------------------------------------------------------------------------------


def test_parquet_has_one_type_a_column(tmp_path: Path) -> None:
    assert write_parquet(grid(MIXED), str(tmp_path / "t.parquet")) == 3
    table = pq.read_table(tmp_path / "t.parquet")
    assert {field.name: field.type for field in table.schema} == {
        "name": pa.string(),
        "n": pa.int64(),
        "x": pa.float64(),
        "t": pa.string(),
        "v": pa.list_(pa.float64()),
        "s": pa.string(),
        "big": pa.string(),  # a double cannot hold both
        "huge": pa.string(),
        "b": pa.bool_(),
        "m": pa.list_(pa.string()),
        "e": pa.string(),
        "k": pa.list_(pa.string()),
    }
    columns = table.to_pydict()
    assert columns["n"] == [1, None, 2**62]
    assert columns["x"] == [1.0, 2.5, None]
    assert columns["t"] == ["1", "2", None]
    assert columns["v"] == [[1.5], [1.0, None], None]
    assert [None if text is None else orjson.loads(text) for text in columns["s"]] == [
        [{"A": 1}],
        {"vr": "OB", "length": 2},
        None,
    ]
    assert columns["big"] == ["9007199254740993", "0.5", None]
    assert columns["huge"] == ["9223372036854775808", None, "-1"]
    assert columns["k"] == [None, None, []]


def test_parquet_is_compressed_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP", 100)
    monkeypatch.setattr(parquet, "_BATCH", 30)
    rows = [{"n": number, "mixed": number if number % 2 else "even"} for number in range(1000)]
    write_parquet(grid(rows), str(tmp_path / "t.parquet"))
    metadata = pq.ParquetFile(tmp_path / "t.parquet").metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sum(sizes) == 1000
    assert max(sizes) == 100
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert pq.read_table(tmp_path / "t.parquet")["n"].to_pylist() == list(range(1000))


def test_parquet_without_rows(tmp_path: Path) -> None:
    assert write_parquet(Table(lambda: iter(()), lambda _: ["dicom_file"]), str(tmp_path / "t.parquet")) == 0
    assert pq.read_table(tmp_path / "t.parquet").column_names == ["dicom_file"]


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NESTED = VALUES | st.lists(VALUES) | st.dictionaries(st.text(), VALUES) | st.lists(st.dictionaries(st.text(), VALUES))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), NESTED, min_size=1), min_size=1, max_size=5))
def test_any_rows_make_a_parquet_table_that_holds_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "t.parquet"
    rows = [row for row in rows if _is_json(row)]
    write_parquet(grid(rows), str(path))
    table = pq.read_table(path)
    for name in table.column_names:
        for row, value in zip(rows, table[name].to_pylist(), strict=True):
            written = row.get(name)
            if written is None:
                assert value is None
            elif table.schema.field(name).type == pa.string():
                assert value == str(text_of(written))
            elif isinstance(value, list):
                assert len(value) == (len(written) if isinstance(written, list) else 1)
            else:
                assert value == written


def _is_json(row: dict[str, Any]) -> bool:
    """Whether the JSONL can hold it: orjson has 64-bit integers and valid Unicode."""
    try:
        return orjson.loads(orjson.dumps(row)) == row
    except TypeError:
        return False


# -- Excel --------------------------------------------------------------------------------------------------------


def test_excel_holds_the_values_with_their_types(tmp_path: Path) -> None:
    path, notes = write_book(MIXED, tmp_path)
    header, first, second, third = sheets(path)["Sheet"]
    assert header == ("name", "n", "x", "t", "v", "s", "big", "huge", "b", "m", "e", "k")
    assert first[:8] == ("a", 1, 1, "1", 1.5, '[{"A":1}]', "9007199254740993", "9223372036854775808")
    assert (first[8], second[8]) == (True, False)
    assert third[9] == "p\\q"
    assert third[1] == str(2**62)  # Excel keeps 15 digits
    assert notes == []


def test_excel_header_is_frozen_and_filtered(tmp_path: Path) -> None:
    path, _ = write_book(MIXED, tmp_path)
    sheet = openpyxl.load_workbook(path)["Sheet"]
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == "A1:L4"
    assert all(cell.font.bold for cell in sheet[1])


@pytest.mark.parametrize("text", ["=1+1", "=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "http://a.b"])
def test_excel_takes_no_text_for_a_formula(tmp_path: Path, text: str) -> None:
    path, _ = write_book([{"name": "x", "cell": text}], tmp_path)
    cell = openpyxl.load_workbook(path)["Sheet"]["B2"]
    assert cell.data_type in ("s", "inlineStr")
    assert cell.hyperlink is None
    assert cell.value.replace("_x000D_", "\r").strip() == text.strip()
    assert cell.quotePrefix is (not text.startswith("http"))  # stays a text when it is edited


def test_excel_rows_beyond_a_sheet_go_on_in_the_next(tmp_path: Path) -> None:
    path, notes = write_book(({"name": str(number), "n": number} for number in range(25)), tmp_path, rows=11)
    found = sheets(path)
    assert list(found) == ["Sheet", "Sheet_2", "Sheet_3", "Notes"]
    assert [row[1] for name in list(found)[:3] for row in found[name][1:]] == list(range(25))
    assert all(found[name][0] == ("name", "n") for name in list(found)[:3])
    assert notes == ["Sheet: 25 rows are more than a sheet holds; they go on in Sheet_2 and Sheet_3"]
    assert found["Notes"] == [(notes[0],)]


def test_excel_columns_beyond_a_sheet_go_on_in_the_next(tmp_path: Path) -> None:
    row = {"name": "a"} | {f"c{number}": number for number in range(7)}
    path, notes = write_book([row], tmp_path, columns=4)
    found = sheets(path)
    assert list(found) == ["Sheet", "Sheet_c2", "Sheet_c3", "Notes"]
    assert found["Sheet"] == [("name", "c0", "c1", "c2"), ("a", 0, 1, 2)]
    assert found["Sheet_c3"] == [("name", "c6"), ("a", 6)]
    assert "8 columns are more than a sheet holds" in notes[0]


def test_excel_limits_are_those_of_excel() -> None:
    assert (workbook.ROWS, workbook.COLUMNS, workbook.CHARACTERS) == (2**20, 2**14, 2**15 - 1)


@pytest.mark.parametrize(("letter", "most"), [("x", 32_767), ("\N{GRINNING FACE}", 16_383)])
def test_excel_texts_beyond_a_cell_are_cut_and_counted(tmp_path: Path, letter: str, most: int) -> None:
    rows = [{"name": "whole", "t": letter * most}, {"name": "cut", "t": letter * (most + 1)}]
    path, notes = write_book(rows, tmp_path)
    _, whole, cut = sheets(path)["Sheet"]
    assert whole[1] == letter * most
    assert cut[1].endswith("[cut, see the JSONL]")
    assert len(cut[1].encode("utf-16-le")) // 2 <= workbook.CHARACTERS
    assert notes == ["Sheet: t: 1 texts are longer than a cell holds and are cut"]


def test_excel_has_no_time_in_it(tmp_path: Path) -> None:
    path, _ = write_book(MIXED, tmp_path)
    with zipfile.ZipFile(path) as book:
        assert {entry.date_time[0] for entry in book.infolist()} == {1980}
        assert b"1980-01-01T00:00:00Z" in book.read("docProps/core.xml")


def test_what_the_disk_says_is_told_as_such(tmp_path: Path) -> None:
    """The library wraps it in an error of its own, which was a traceback."""
    target = tmp_path / "gone" / "book.xlsx"
    with pytest.raises(FileNotFoundError), Workbook(str(target), str(tmp_path)) as book:
        book.add("Sheet", grid(MIXED))


def test_a_failure_leaves_no_workbook(tmp_path: Path) -> None:
    def rows() -> Any:
        yield {"name": 1}
        raise OSError("gone")

    target = tmp_path / "book.xlsx"
    with pytest.raises(OSError, match="gone"), Workbook(str(target), str(tmp_path)) as book:
        book.add("Sheet", Table(rows, lambda _: ["name"]))
    assert not target.exists()


# -- the JSONL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (
            "keyword",
            ["StudyDate", "PatientName", "OverlayRows", "OverlayRows_6002", "(0019,xx0C) SIEMENS MR HEADER", "zz"],
        ),
        ("name", ["Study Date", "Patient's Name", "(0019,xx0C) SIEMENS MR HEADER"]),
        ("tag", ["(0008,0020)", "(0010,0010)", "(0019,100C)", "(6000,0010)"]),
    ],
)
def test_columns_stand_by_tag_whatever_the_style(keys: Any, found: list[str]) -> None:
    grid = RowReader("", keys).whole()
    assert [column for column in grid.order(reversed(found)) if column in found] == found

"""Finds that are not cut off in silence, over a server that does what servers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from support.fake_pacs import LONG, fake_pacs, reply, scripted

from crawler.errors import PacsError, RequestError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association
from crawler.pacs.cfind import FindScu
from crawler.pacs.command import Command
from crawler.pacs.contexts import PLAIN
from crawler.pacs.find import CutOff, SearchFinder
from crawler.pacs.matches import fits, to_identifier
from crawler.pacs.model import Finder, Level, Match, Server, Timeouts
from crawler.pacs.pieces import halves, suspicious
from crawler.pacs.scu import Scu

TODAY = date(2026, 6, 1)


@dataclass
class Archive:
    """Studies by UID: date, time and identifier of the patient; and how its server misbehaves."""

    studies: dict[str, tuple[str, str, str]]
    limit: int = 1 << 30
    status: int = 0x0000  # of an answer that was cut off
    ignored: frozenset[str] = frozenset()
    queries: list[dict[str, str]] = field(default_factory=list)

    def ask(self, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        """As an `Asker`, without a network."""
        assert level == "study"
        self.queries.append(dict(keys))
        count = 0
        for uid, values in self.studies.items():
            own = dict(zip(("StudyDate", "StudyTime", "PatientID"), values, strict=True))
            if all(fits(key, keys.get(key, ""), value) for key, value in own.items() if key not in self.ignored):
                if count == self.limit:
                    if self.status:
                        raise CutOff("more", "busy", self.status)
                    return
                count += 1
                yield {"StudyInstanceUID": uid, **own}

    def close(self) -> None:
        """Nothing is open."""

    def find(self, identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        """As a handler of pynetdicom's."""
        try:
            for match in self.ask("study", {element.keyword: str(element.value or "") for element in identifier}):
                answer = Dataset()
                for keyword, value in match.items():
                    setattr(answer, keyword, value)
                yield 0xFF00, answer
        except CutOff:
            yield self.status, None


def studies(count: int, days: int, identifiers: str = "P{}", clock: str = "{:02}{:02}00") -> dict[str, Any]:
    start = date(2019, 1, 1)
    return {
        f"1.2.{n}": (
            f"{start + timedelta(days=n * 7919 % days):%Y%m%d}",
            clock.format(n % 24, n % 60),
            identifiers.format(n),
        )
        for n in range(count)
    }


@contextmanager
def finder(server: Server) -> Iterator[Finder]:
    with closing(SearchFinder(FindScu(server))) as found:
        yield found


def ask(archive: Archive, keys: dict[str, str] | None = None) -> tuple[list[Match], list[str]]:
    notes: list[str] = []
    return list(SearchFinder(archive).find("study", keys or {}, notes.append)), notes


def uids(found: list[Match]) -> list[str]:
    return sorted(str(match["StudyInstanceUID"]) for match in found)


def test_a_small_answer_costs_one_query() -> None:
    archive = Archive(studies(42, 300))
    found, notes = ask(archive, {"StudyDate": "20190101-20190630"})
    expected = [uid for uid, (day, _, _) in archive.studies.items() if day <= "20190630"]
    assert uids(found) == sorted(expected)
    assert len(archive.queries) == 1
    assert not notes


@pytest.mark.parametrize(
    ("limit", "status"), [(500, 0x0000), (200, 0xA700), (250, 0xFE00)], ids=["in silence", "0xA700", "0xFE00"]
)
def test_a_find_that_is_cut_off_is_asked_again_in_pieces(limit: int, status: int) -> None:
    archive = Archive(studies(1730, 2000), limit, status)
    found, notes = ask(archive)
    assert uids(found) == sorted(archive.studies)
    assert any("asked again in pieces by StudyDate" in note for note in notes)
    assert any("studies without a StudyDate" in note for note in notes)


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xFE00])
def test_the_same_over_the_network(status: int) -> None:
    archive = Archive(studies(130, 400), 100, status)
    with fake_pacs(find=archive.find) as server, finder(server) as asked:
        assert uids(list(asked.find("study", {}))) == sorted(archive.studies)


def test_a_day_is_split_by_time_and_a_second_by_identifier() -> None:
    one_day = studies(450, 1)
    one_second = studies(330, 1, "{:03}x", "120000")
    archive = Archive({**one_day, **{f"9.{uid}": values for uid, values in one_second.items()}}, 100)
    found, notes = ask(archive, {"StudyDate": "20190101"})
    assert uids(found) == sorted(archive.studies)
    assert any("by StudyTime" in note for note in notes)
    assert any("by PatientID" in note for note in notes)
    assert any("begins with another sign" in note for note in notes)
    assert not any("cannot be split further" in note for note in notes)
    assert len(archive.queries) < 500


def test_what_cannot_be_split_is_said_to_be_perhaps_incomplete() -> None:
    archive = Archive(studies(150, 1, "SAME", "120000"), 100)
    found, notes = ask(archive, {"StudyDate": "20190101", "StudyTime": "120000", "PatientID": "SAME"})
    assert len(found) == 100
    assert any("100 studies, perhaps not all, and cannot be split" in note for note in notes)


def test_a_limit_that_was_met_is_remembered() -> None:
    """137 is no round number, but the server said so once, and means it when it says nothing."""
    archive = Archive(studies(400, 900), 137, 0xA700)
    asked = SearchFinder(archive)
    assert len(list(asked.find("study", {}))) == 400
    archive.status = 0
    assert len(list(asked.find("study", {}))) == 400


def test_a_round_count_that_is_true_is_confirmed() -> None:
    archive = Archive(studies(100, 300))
    found, notes = ask(archive)
    assert len(found) == 100
    assert len(archive.queries) < 10
    assert notes


def test_ten_thousand_answers() -> None:
    def script(association: Association, number: int, command: Command) -> None:
        for n in range(10_001):
            uid = f"1.2.{n:06}"
            pending = replace(reply(command, dimse.PENDING), data=dimse.WITH_DATA)
            association.send(number, pending, to_identifier("study", {"StudyInstanceUID": uid}, PLAIN[0]))
        association.send(number, reply(command, 0))

    with scripted(script, LONG) as server, finder(server) as asked:
        found = list(asked.find("study", {}))
    assert uids(found) == [f"1.2.{n:06}" for n in range(10_001)]


def test_a_server_that_leaves_a_key_out_of_account_does_not_decide_what_matches() -> None:
    archive = Archive(studies(300, 600), 200, ignored=frozenset({"StudyDate", "StudyTime", "PatientID"}))
    found, notes = ask(archive, {"StudyDate": "20190101-20190201"})
    days = {match["StudyDate"] for match in found}
    assert days
    assert max(days) <= "20190201"
    assert any("leaves the key StudyDate out of account" in note for note in notes)
    assert any("perhaps not all" in note for note in notes)
    assert len(archive.queries) < 200


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("PatientsID", "PatientID"), ("StudyDat", "StudyDate"), ("ModalityInStudy", "ModalitiesInStudy")],
)
def test_a_misspelt_key_is_refused_before_anything_is_asked(key: str, nearest: str) -> None:
    with scripted(lambda *_: None) as server:
        pass  # it is gone: asking it would be a RequestError
    with finder(server) as asked, pytest.raises(PacsError, match=nearest):
        asked.find("study", {key: "1"})


# -- levels ---------------------------------------------------------------------------------------------------------


def tree() -> list[Dataset]:
    """Two patients, three studies, five series, twelve instances."""
    found = []
    for study in range(3):
        for series in range(1 + study % 2, 3):
            for n in range(2 + series):
                dataset = Dataset()
                dataset.PatientID = f"P{study // 2}"
                dataset.StudyInstanceUID = f"1.{study}"
                dataset.SeriesInstanceUID = f"1.{study}.{series}"
                dataset.SOPInstanceUID = f"1.{study}.{series}.{n}"
                dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
                dataset.Modality = "CT" if series == 1 else "MR"
                dataset.StudyDate, dataset.StudyTime = f"2024010{study + 1}", "120000"
                dataset.file_meta = Dataset()
                dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
                found.append(dataset)
    return found


@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("patient", {}, {"P0", "P1"}),
        ("study", {}, {"1.0", "1.1", "1.2"}),
        ("study", {"Modality": "CT"}, {"1.0", "1.2"}),
        ("study", {"ModalitiesInStudy": "CT"}, {"1.0", "1.2"}),
        ("series", {}, {"1.0.1", "1.0.2", "1.1.2", "1.2.1", "1.2.2"}),
        ("series", {"Modality": "CT", "StudyDate": "20240102-"}, {"1.2.1"}),
        ("series", {"StudyInstanceUID": "1.0"}, {"1.0.1", "1.0.2"}),
        ("image", {"StudyInstanceUID": "1.1"}, {f"1.1.2.{n}" for n in range(4)}),
        ("image", {"StudyInstanceUID": "1.0", "SeriesInstanceUID": "1.0.1"}, {f"1.0.1.{n}" for n in range(3)}),
        ("image", {"Modality": "CT", "PatientID": "P1"}, {f"1.2.1.{n}" for n in range(3)}),
    ],
)
def test_levels(level: Level, keys: dict[str, str], expected: set[str]) -> None:
    unique = {
        "patient": "PatientID",
        "study": "StudyInstanceUID",
        "series": "SeriesInstanceUID",
        "image": "SOPInstanceUID",
    }
    # This server leaves all keys but UIDs out of account, as the poorest do.
    with fake_pacs(tree()) as server, finder(server) as asked:
        found = list(asked.find(level, keys))
    assert {match[unique[level]] for match in found} == expected
    assert len(found) == len(expected)
    assert level in {"patient", "study"} or all("StudyInstanceUID" in match for match in found)


@pytest.mark.parametrize("relational", [True, False])
@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("study", {"SeriesInstanceUID": "1.1.2"}, {"1.1"}),
        ("series", {"SeriesInstanceUID": "1.1.2"}, {"1.1.2"}),
        ("series", {"SeriesInstanceUID": "1.1.2\\1.2.1"}, {"1.1.2", "1.2.1"}),
        ("image", {"SeriesInstanceUID": "1.0.1"}, {f"1.0.1.{n}" for n in range(3)}),
        ("image", {"SOPInstanceUID": "1.2.2.3"}, {"1.2.2.3"}),
        ("study", {"SOPInstanceUID": "1.2.2.3\\1.0.1.1"}, {"1.0", "1.2"}),
        ("series", {"SeriesInstanceUID": "9.9"}, set()),
    ],
)
def test_a_series_alone_is_found_without_walking_all_studies(
    level: Level, keys: dict[str, str], expected: set[str], relational: bool
) -> None:
    """Servers that answer across levels are asked for the series itself; the others study by study, as ever."""
    asked: list[tuple[str, str]] = []

    def find(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        names = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
        at = ["STUDY", "SERIES", "IMAGE"].index(identifier.QueryRetrieveLevel)
        asked.append((identifier.QueryRetrieveLevel, str(identifier.get("StudyInstanceUID") or "")))
        if not relational and not all(identifier.get(name) for name in names[:at]):
            yield 0xA900, None
            return
        seen = set()
        for dataset in tree():
            wanted = {name: identifier.get(name) for name in names if identifier.get(name)}
            fit = all(dataset.get(name) in ([uid] if isinstance(uid, str) else uid) for name, uid in wanted.items())
            if fit and dataset.get(names[at]) not in seen:
                seen.add(dataset.get(names[at]))
                answer = Dataset()
                for name in names[: at + 1]:
                    setattr(answer, name, dataset.get(name))
                yield 0xFF00, answer

    unique = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "image": "SOPInstanceUID"}
    with fake_pacs(find=find) as server, finder(server) as found:
        matches = list(found.find(level, keys))
    assert {match[unique[level]] for match in matches} == expected
    assert len(matches) == len(expected)
    if relational and expected:
        assert ("STUDY", "") not in asked, "no query for all studies"


@pytest.mark.parametrize(("told", "note"), [("250", "counts 250"), ("200", ""), (None, "keeps no count")])
def test_a_round_count_of_instances_is_compared(told: str | None, note: str) -> None:
    def find(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        level = identifier.QueryRetrieveLevel
        for n in range(200 if level == "IMAGE" else 1):
            answer = Dataset()
            answer.StudyInstanceUID, answer.SeriesInstanceUID = "1.1", "1.1.1"
            if level == "IMAGE":
                answer.SOPInstanceUID = f"1.1.1.{n}"
            elif told is not None:
                answer.NumberOfSeriesRelatedInstances = told
            yield 0xFF00, answer

    notes: list[str] = []
    with fake_pacs(find=find) as server, finder(server) as asked:
        found = list(asked.find("image", {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}, notes.append))
    assert len(found) == 200
    assert [note in one for one in notes] == ([True] if note else [])


def test_names_in_other_scripts_are_asked_and_read() -> None:
    def find(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        assert identifier.SpecificCharacterSet == "ISO_IR 192"
        assert identifier.PatientName == "Müller*"
        for uid, charset in (("1.1", "ISO_IR 192"), ("1.2", "ISO_IR 100")):
            answer = Dataset()
            answer.SpecificCharacterSet = charset
            answer.StudyInstanceUID, answer.PatientName = uid, "Müller^Jörg"
            answer.ModalitiesInStudy = ["CT", "SR"]
            answer.StudyDescription = ""
            yield 0xFF00, answer

    with fake_pacs(find=find) as server, finder(server) as asked:
        found = list(asked.find("study", {"PatientName": "Müller*", "ModalitiesInStudy": "CT"}))
    assert [match["PatientName"] for match in found] == ["Müller^Jörg"] * 2
    assert found[0]["ModalitiesInStudy"] == ["CT", "SR"]
    assert found[0]["StudyDescription"] == ""
    assert "PatientID" not in found[0], "what the server does not return is absent"


# -- faults ---------------------------------------------------------------------------------------------------------


def fault(association: Association, how: str, number: int, command: Command) -> None:
    if how == "dropped":
        association.wire.close()
    elif how == "aborted":
        association.abort()
    elif how != "silent":
        association.send(number, reply(command, int(how, 16)))


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("dropped", "dropped"),
        ("aborted", "dropped"),
        ("silent", "silent"),
        ("A700", "busy"),
        ("A900", "refused"),
        ("0122", "refused"),
        ("C001", "failed"),
    ],
)
def test_a_fault_is_never_no_match(how: str, outcome: str) -> None:
    with scripted(lambda association, *rest: fault(association, how, *rest)) as server, finder(server) as asked:
        keys = {"StudyDate": "20240101", "StudyTime": "120000", "PatientID": "1"}
        with pytest.raises(RequestError) as caught:
            list(asked.find("study", keys))
    assert caught.value.outcome == outcome
    assert caught.value.reason


def test_an_association_that_the_server_closed_meanwhile_is_opened_again() -> None:
    calls: list[int] = []

    def script(association: Association, number: int, command: Command) -> None:
        calls.append(number)
        association.send(number, reply(command, 0))
        if len(calls) == 1:
            association.wire.close()

    with scripted(script, Timeouts(idle=10)) as server, finder(server) as asked:
        for _ in range(3):
            assert list(asked.find("study", {"PatientID": "1"})) == []
    assert len(calls) == 3


def test_a_server_that_refuses_the_model_or_is_away() -> None:
    with scripted(lambda *_: None, refuse={"1.2.840.10008.5.1.4.1.2.2.1": 3}) as server, finder(server) as asked:
        with pytest.raises(RequestError, match="does not support C-FIND") as caught:
            list(asked.find("study", {}))
        assert caught.value.outcome == "refused"
    with finder(server) as asked, pytest.raises(RequestError, match="no connection"):
        list(asked.find("study", {}))
    with (
        finder(replace(server, host="no-such-host.invalid")) as asked,
        pytest.raises(PacsError, match=r"pacs\.host"),
    ):
        list(asked.find("study", {}))


def test_titles_that_are_rejected_are_named() -> None:
    with (
        fake_pacs(require_called_aet=True) as server,
        finder(replace(server, called_aet="OTHER")) as asked,
        pytest.raises(PacsError, match="called AE title not recognised"),
    ):
        list(asked.find("study", {}))


def test_echo() -> None:
    with fake_pacs() as server, Scu(server, ["1.2.840.10008.1.1"]) as scu:
        for _ in range(50):
            scu.echo()
    with (
        scripted(lambda *_: None) as server,
        pytest.raises(RequestError, match="idle"),
        Scu(server, ["1.2.840.10008.1.1"]) as scu,
    ):
        scu.echo()


def test_no_response_is_swallowed_between_two_requests() -> None:
    """The guard on pynetdicom's reactor: while a request owns the queue, the thread may not read from it."""
    with fake_pacs() as server, Scu(server, ["1.2.840.10008.1.1"]) as scu:
        association = scu.association
        association._reactor_checkpoint.clear()
        association.dimse.msg_queue.put((1, "a response"))  # type: ignore[arg-type]
        assert association.dimse.get_msg(block=False) == (None, None)
        assert association.dimse.get_msg(block=True) == (1, "a response")
        association._reactor_checkpoint.set()


# -- pure -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "asked", "found", "expected"),
    [
        ("PatientID", "A*", "abc", True),
        ("PatientID", "A?", "abc", False),
        ("PatientID", "[A]", "a", False),
        ("PatientName", "X*", "Another", True),
        ("StudyDate", "20240101-", "20240101", True),
        ("StudyDate", "-20240101", "20240102", False),
        ("StudyDate", "20240101", "2024.01.01", True),
        ("StudyDate", "20240101-20240131", "", False),
        ("StudyTime", "12", "125959.99", True),
        ("StudyTime", "120000-120000.999999", "120000.5", True),
        ("StudyTime", "1200-1300", "130030", True),
        ("SeriesNumber", "07", "7", True),
        ("ModalitiesInStudy", "CT\\MR", ["SR", "MR"], True),
        ("ModalitiesInStudy", "CT", ["SR", "MR"], False),
        ("StudyInstanceUID", "1.2\\1.3", "1.3", True),
        ("AccessionNumber", "", "anything", True),
    ],
)
def test_fits(keyword: str, asked: str, found: str | list[str], expected: bool) -> None:
    assert fits(keyword, asked, found) is expected


@pytest.mark.parametrize("count", [100, 200, 500, 1000, 1024, 50_000, 65_536])
def test_counts_that_are_limits(count: int) -> None:
    assert suspicious(count)
    assert not suspicious(count - 1) or count - 1 == 65_535
    assert not suspicious(0)


DATES = st.dates(date(1850, 1, 1), date(2100, 12, 31))


@given(DATES, DATES, st.sampled_from(["{}-{}", "-{1}", "{}-", ""]), DATES)
def test_each_date_of_a_range_lies_in_one_piece(first: date, last: date, form: str, day: date) -> None:
    low, high = sorted([first, last])
    asked = form.format(f"{low:%Y%m%d}", f"{high:%Y%m%d}")
    keyword, pieces = halves({"StudyDate": asked, "StudyTime": "1200"}, frozenset({"PatientID"}), TODAY)
    if not pieces:
        assert low == high
        return
    assert keyword == "StudyDate"
    text = f"{day:%Y%m%d}"
    hits = [fits("StudyDate", piece["StudyDate"], text) for piece in pieces]
    assert hits.count(True) == fits("StudyDate", asked, text)


@given(st.integers(0, 86_399), st.integers(0, 86_399), st.integers(0, 86_399), st.integers(0, 999_999))
def test_each_second_of_a_range_lies_in_one_piece(first: int, last: int, second: int, fraction: int) -> None:
    def clock(seconds: int) -> str:
        return f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"

    low, high = sorted([first, last])
    asked = f"{clock(low)}-{clock(high)}.999999"
    keyword, pieces = halves({"StudyDate": "20240101", "StudyTime": asked}, frozenset({"PatientID"}), TODAY)
    assert bool(pieces) == (low != high)
    if pieces:
        assert keyword == "StudyTime"
        text = f"{clock(second)}.{fraction:06}"
        hits = [fits("StudyTime", piece["StudyTime"], text) for piece in pieces]
        assert hits.count(True) == (low <= second <= high)


def test_identifiers_are_split_by_their_next_sign() -> None:
    keys = {"StudyDate": "20240101", "StudyTime": "120000", "PatientID": "AB*"}
    keyword, pieces = halves(keys, frozenset(), TODAY)
    assert keyword == "PatientID"
    values = [piece["PatientID"] for piece in pieces]
    assert {"AB", "AB0*", "ABz*", "AB-*"} <= set(values)
    assert halves({**keys, "PatientID": "AB"}, frozenset(), TODAY) == ("", [])

"""A retrieval against a PACS in memory: everything arrives or is named, nothing twice, whatever the server does."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.archive import Archive, FakeFinder, FakeTransport, Instance, make_instance, received_of, refusing

from crawler.errors import LedgerError, OutputError, PacsError, RequestError
from crawler.pacs.accounts import Counts, incomplete_below
from crawler.pacs.fetching import Transports
from crawler.pacs.manifest import Manifest, open_manifest
from crawler.pacs.model import Answer, Request
from crawler.pacs.pauses import WAITS, Pauses
from crawler.pacs.retrieval import Retrieval, Standing
from crawler.pacs.schedule import Rate, Window
from crawler.pacs.wanted import Ask

ALL = [Ask(0, {"StudyDate": "2024*"})]


def archive_of(studies: int = 2, series: int = 2, instances: int = 5) -> Archive:
    numbers = itertools.product(range(studies), range(series), range(instances))
    return Archive([make_instance(number, one, study) for study, one, number in numbers])


def retrieve(
    root: Path,
    archive: Archive,
    asks: list[Ask] = ALL,
    *,
    names: tuple[str, ...] = ("get",),
    stopped: Callable[[], bool] = lambda: False,
    waits: tuple[float, ...] = (0.001,) * 4,
    window: Window | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    free_space: int = 0,
    **options: Any,
) -> Counts:
    makers: dict[str, Any] = {name: (lambda name=name: FakeTransport(archive, name)) for name in names}
    with open_manifest(root) as manifest:
        pauses = Pauses(root, stopped, window, free_space, waits, now)
        return Retrieval(manifest, FakeFinder(archive), Transports(makers), pauses, **options).run(asks)


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.dcm")}


def expected_tree(archive: Archive) -> dict[str, bytes]:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return {"/".join(one.attributes[name] for name in names) + ".dcm": one.data for one in archive.instances}


def check(counts: Counts, root: Path) -> None:
    """The identity of the accounts, and that they are about the files that lie there."""
    assert counts.found == counts.received + counts.missing + counts.refused
    assert counts.received + counts.others == len(tree(root))
    assert sum(counts.failed.values()) >= counts.missing + counts.refused


@pytest.mark.parametrize("level", ["study", "series", "image"])
@pytest.mark.parametrize("workers", [1, 3])
def test_everything_arrives_once(tmp_path: Path, level: str, workers: int) -> None:
    archive = archive_of()
    counts = retrieve(tmp_path, archive, level=level, workers=workers)
    assert tree(tmp_path) == expected_tree(archive)
    assert (counts.found, counts.received, counts.all_well) == (20, 20, True)
    assert (counts.series, counts.complete) == (4, 4)
    assert counts.bytes == sum(len(one.data) for one in archive.instances)
    assert set(archive.sent.values()) == {1}
    check(counts, tmp_path)


def test_a_second_retrieval_transfers_nothing(tmp_path: Path) -> None:
    archive = archive_of()
    first = retrieve(tmp_path, archive)
    archive.requests.clear()
    assert retrieve(tmp_path, archive) == first
    assert archive.requests == []


def test_deleted_and_changed_files_come_again(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 4)
    retrieve(tmp_path, archive)
    first, second, *_ = sorted(tmp_path.rglob("*.dcm"))
    first.unlink()
    second.write_bytes(b"cut short")
    counts = retrieve(tmp_path, archive)
    assert tree(tmp_path) == expected_tree(archive)
    assert sorted(archive.sent.values()) == [1, 1, 2, 2]
    assert counts.all_well


def test_missing_instances_are_asked_for_by_list_and_one_by_one(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 6)
    uids = [one.uid for one in archive.instances]

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        """Success is claimed every time; a list drops its last, the series its last two."""
        drop = 2 if not request.instance_uids else 1 if len(request.instance_uids) > 1 else 0
        return meant[: len(meant) - drop], Answer("get", "complete", 0, len(meant), 0)

    archive.fault = fault
    counts = retrieve(tmp_path, archive)
    assert counts.all_well
    assert [len(request.instance_uids) for request in archive.requests] == [0, 2, 1]
    assert archive.sent == dict.fromkeys(uids, 1)


def test_what_one_transport_does_not_bring_the_next_one_does(tmp_path: Path) -> None:
    archive = archive_of(1, 2, 3)
    stubborn = archive.instances[1].uid

    class Get(FakeTransport):
        def fetch(self, request: Request, *arguments: Any) -> Answer:
            if self.name == "get":
                self.archive.fault = refusing({stubborn}, 0xC123)
            else:
                self.archive.fault = lambda request, meant: None
            return super().fetch(request, *arguments)

    makers: dict[str, Any] = {name: (lambda name=name: Get(archive, name)) for name in ("get", "move", "web")}
    with open_manifest(tmp_path) as manifest:
        pauses = Pauses(tmp_path, lambda: False)
        counts = Retrieval(manifest, FakeFinder(archive), Transports(makers), pauses).run(ALL)
        ways = dict(manifest.execute("SELECT transport, count(*) FROM instances GROUP BY transport"))
    assert ways == {"get": 5, "move": 1}
    assert counts.all_well
    check(counts, tmp_path)


def test_refused_instances_are_named_with_their_status(tmp_path: Path) -> None:
    archive = archive_of(1, 2, 4)
    bad = archive.instances[2].uid
    archive.fault = refusing({bad}, 0xC123)
    counts = retrieve(tmp_path, archive)
    assert (counts.found, counts.received, counts.refused, counts.missing) == (8, 7, 1, 0)
    assert counts.failed == {"refused (0xC123)": 1}
    assert counts.complete == 1
    with open_manifest(tmp_path) as manifest:
        [failure] = manifest.failures()
        assert failure.path.endswith(f"/{bad}.dcm")
        assert failure.detail == "some failed"
        [(study, series)] = manifest.incomplete()
        assert manifest.incomplete()[study, series] == (3, 4)
    check(counts, tmp_path)
    archive.fault = lambda request, meant: None
    again = retrieve(tmp_path, archive)
    assert again.all_well
    assert set(archive.sent.values()) == {1}


def test_one_by_one_ends_when_nothing_comes(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 50)
    archive.fault = lambda request, meant: ([], Answer("get", "failed", 0xC000, 0, len(meant), reason="it failed"))
    counts = retrieve(tmp_path, archive)
    assert counts.missing == 50
    assert len(archive.requests) == 1 + 1 + 5
    with open_manifest(tmp_path) as manifest:
        assert {failure.detail for failure in manifest.failures()} == {"it failed"}


def test_busy_server_gets_pauses(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 3)
    times = iter(range(3))

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        if next(times, None) is None:
            return None
        return [], Answer("get", "busy", 0xA701, reason="out of resources")

    archive.fault = fault
    assert retrieve(tmp_path, archive).all_well
    assert len(archive.requests) == 4


@pytest.mark.parametrize("transports", [("get",), ("get", "web")])
def test_server_that_goes_away_for_a_minute_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transports: tuple[str, ...]
) -> None:
    """Finds and transfers meet no server, by a clock of the test's own; the pauses are those of real runs."""
    now, away = [0.0], (20.0, 80.0)
    monkeypatch.setattr(Pauses, "sleep", lambda self, seconds: now.__setitem__(0, now[0] + seconds))
    archive = archive_of(2, 2, 5)

    def gone() -> bool:
        now[0] += 3.0  # each request takes its time
        return away[0] < now[0] < away[1]

    def find_fault(level: str, keys: Mapping[str, str]) -> None:
        if gone():
            raise RequestError("no connection to the server (connection refused)", "dropped")

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        return ([], Answer("get", "dropped", reason="no connection to the server")) if gone() else None

    archive.find_fault, archive.fault = find_fault, fault
    counts = retrieve(tmp_path, archive, waits=WAITS, names=transports)
    check(counts, tmp_path)
    assert counts.all_well
    assert tree(tmp_path) == expected_tree(archive)
    assert max(archive.sent.values()) == 1
    assert now[0] > away[1]


def test_server_that_is_gone_ends_the_retrieval_with_its_reason(tmp_path: Path) -> None:
    archive = archive_of(30, 1, 2)
    archive.fault = lambda request, meant: ([], Answer("get", "dropped", reason="connection refused"))
    counts = retrieve(tmp_path, archive)
    assert counts.missing == 60
    with open_manifest(tmp_path) as manifest:
        reasons = {failure.detail for failure in manifest.failures()}
    assert reasons == {"connection refused", "the server was away, or too busy, for too long"}
    check(counts, tmp_path)


def test_instance_that_makes_the_server_hang_up_costs_itself(tmp_path: Path) -> None:
    archive = archive_of(1, 2, 6)
    poison = archive.instances[3].uid

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        before = list(itertools.takewhile(lambda one: one.uid != poison, meant))
        return None if len(before) == len(meant) else (before, Answer("get", "dropped", reason="connection reset"))

    archive.fault = fault
    counts = retrieve(tmp_path, archive)
    assert (counts.received, counts.missing) == (11, 1)
    assert set(archive.sent.values()) == {1}


def test_cut_off_association_goes_on_where_it_ended(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 10)
    archive.fault = lambda request, meant: (meant[:3], Answer("get", "dropped", reason="reset"))
    counts = retrieve(tmp_path, archive)
    assert counts.all_well or counts.received >= 8
    assert set(archive.sent.values()) == {1}


def test_duplicates_extras_and_strays_are_told_apart(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 3)
    beyond = make_instance(99, 0, 0)
    elsewhere = make_instance(0, 5, 7)
    mislabelled = Instance({**elsewhere.attributes, "SOPInstanceUID": "1.2.3.999"}, archive.instances[0].data)
    nameless = Instance({**beyond.attributes, "SOPInstanceUID": "1.2.3.1000"}, b"no DICOM at all")

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        more = [*meant, meant[0], beyond, elsewhere, mislabelled, nameless]
        return more, Answer("get", "complete", 0, len(more), 0)

    archive.fault = fault
    counts = retrieve(tmp_path, archive)
    assert (counts.found, counts.received, counts.extra, counts.duplicates, counts.wrong) == (4, 4, 1, 2, 2)
    assert counts.all_well
    check(counts, tmp_path)
    assert not list((tmp_path / ".dme-tmp").rglob("*.part"))


def test_stragglers_are_taken_whether_their_series_is_in_work_or_was_given_up(tmp_path: Path) -> None:
    """Instances of a C-MOVE that come when nobody waits for them any more."""
    archive = archive_of(studies=1, series=2, instances=3)
    first, second = archive.instances[:3], archive.instances[3:]
    makers: dict[str, Any] = {"move": lambda: FakeTransport(archive, "move")}
    transports = Transports(makers)
    taken: dict[str, list[bool]] = {}

    def comes(one: Instance) -> None:
        path = tmp_path / f"late-{len(taken)}.part"
        path.write_bytes(one.data)
        taken.setdefault(one.uid, []).append(transports.late(received_of(one, path)))
        path.unlink(missing_ok=True)

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer]:
        if request.series_uid == second[0].attributes["SeriesInstanceUID"]:
            comes(first[1])  # its series was given up as incomplete
            comes(make_instance(7, series=9))  # of a series that nobody asked for
            comes(make_instance(9, series=0))  # an instance that no find has listed
            if request.instance_uids:
                comes(second[0])  # of the series that is in work
        lost = (first[1].uid, second[0].uid)
        good = [one for one in meant if one.uid not in lost]
        return good, Answer("move", "complete", 0, len(good), 0, 0)

    archive.fault = fault
    with open_manifest(tmp_path) as manifest:
        pauses = Pauses(tmp_path, lambda: False, waits=())
        counts = Retrieval(manifest, FakeFinder(archive), transports, pauses).run(ALL)
        states = [row[0] for row in manifest.execute("SELECT state FROM series ORDER BY id")]
    check(counts, tmp_path)
    assert (counts.found, counts.received, counts.missing, counts.duplicates) == (6, 6, 0, 0)
    assert states == ["complete", "complete"]
    assert tree(tmp_path) == expected_tree(archive)
    assert taken[first[1].uid][0]
    assert taken[second[0].uid][0]
    assert not any(any(said) for uid, said in taken.items() if uid not in (first[1].uid, second[0].uid))


def test_dataset_with_another_uid_is_not_taken_for_the_wanted_one(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 3)
    first, second, _ = archive.instances
    archive.instances[0] = Instance(first.attributes, second.data)
    counts = retrieve(tmp_path, archive)
    assert (counts.received, counts.missing) == (2, 1)
    with open_manifest(tmp_path) as manifest:
        [failure] = manifest.failures()
    assert failure.detail == "wrong UID: another instance came in its place"
    check(counts, tmp_path)


def test_file_meta_information_that_is_wrong_loses_nothing(tmp_path: Path) -> None:
    """Over DICOMweb the announced UID is that of the file meta information, which some files have wrong."""
    archive = archive_of(1, 1, 3)

    class Web(FakeTransport):
        def fetch(self, request: Request, temp: Path, deliver: Any, stop: Any) -> Answer:
            return super().fetch(request, temp, lambda one: deliver(replace(one, sop_uid="1.2.3")), stop)

    with open_manifest(tmp_path) as manifest:
        transports = Transports({"web": lambda: Web(archive, "web")})
        counts = Retrieval(manifest, FakeFinder(archive), transports, Pauses(tmp_path, lambda: False)).run(ALL)
    assert (counts.received, counts.wrong, counts.all_well) == (3, 0, True)
    assert tree(tmp_path) == expected_tree(archive)


def test_coerced_series_uid_does_not_lose_the_instance(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 3)
    first = archive.instances[0]
    other = make_instance(0, 0, 0, SeriesInstanceUID="1.2.3.4")
    archive.instances[0] = Instance(first.attributes, other.data)
    counts = retrieve(tmp_path, archive)
    assert counts.all_well
    assert expected_tree(archive) == tree(tmp_path)


def test_foreign_file_is_not_written_over(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 3)
    paths = list(expected_tree(archive))
    for path, data in zip(paths, (b"the user's", archive.instances[1].data), strict=False):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    counts = retrieve(tmp_path, archive)
    assert (tmp_path / paths[0]).read_bytes() == b"the user's"
    assert (counts.received, counts.missing) == (2, 1)
    with open_manifest(tmp_path) as manifest:
        [failure] = manifest.failures()
    assert "another file lies in its place" in failure.detail


def test_study_that_grows_is_noticed_and_followed(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 4)
    late = [make_instance(10), make_instance(11), make_instance(0, series=1)]
    notes: list[str] = []

    def grow(instance: Instance) -> None:
        if late:
            archive.instances.append(late.pop())

    archive.before_send = grow
    counts = retrieve(tmp_path, archive, note=notes.append)
    assert tree(tmp_path) == expected_tree(archive)
    assert len(archive.instances) == 7
    assert counts.all_well
    assert any("grew" in note for note in notes)
    with open_manifest(tmp_path) as manifest:
        assert manifest.execute("SELECT count(*) FROM series WHERE reason LIKE 'grew by%'").fetchone()[0]


@pytest.mark.parametrize("counts_told", [True, False])
def test_server_that_lists_no_instances_is_counted(tmp_path: Path, counts_told: bool) -> None:
    archive = archive_of(1, 2, 4)
    archive.lists, archive.counts = False, counts_told
    counts = retrieve(tmp_path, archive)
    assert tree(tmp_path) == expected_tree(archive)
    assert (counts.found, counts.received, counts.all_well) == (8, 8, True)
    archive.requests.clear()
    assert retrieve(tmp_path, archive).received == 8
    assert archive.requests == []


def test_shortage_of_what_is_only_counted_is_a_number(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 5)
    archive.lists = False
    archive.fault = lambda request, meant: (meant[:3], Answer("get", "complete", 0, len(meant), 0))
    counts = retrieve(tmp_path, archive)
    assert (counts.found, counts.received, counts.missing) == (5, 3, 2)
    with open_manifest(tmp_path) as manifest:
        [failure] = manifest.failures()
    assert "3 of 5 came" in failure.detail
    check(counts, tmp_path)


def test_two_requests_for_one_series_fetch_it_once(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 5)
    uid = archive.instances[0].attributes["SeriesInstanceUID"]
    asks = [Ask(2, {"AccessionNumber": "ACC0"}), Ask(3, {"SeriesInstanceUID": uid}), Ask(4, {"PatientID": "P0"})]
    counts = retrieve(tmp_path, archive, asks)
    assert set(archive.sent.values()) == {1}
    assert (counts.found, counts.requests) == (5, 3)
    with open_manifest(tmp_path) as manifest:
        fared = list(manifest.requests())
    assert [(one.line, one.state, one.expected, one.received) for one in fared] == [
        (2, "found", 5, 5), (3, "found", 5, 5), (4, "found", 5, 5),
    ]  # fmt: skip


def test_requests_for_different_instances_of_a_series_are_all_met(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 5)
    study = archive.instances[0].attributes["StudyInstanceUID"]
    asks = [Ask(n + 2, {"StudyInstanceUID": study, "InstanceNumber": str(n)}) for n in (0, 3)]
    counts = retrieve(tmp_path, archive, asks)
    assert sorted(tree(tmp_path)) == sorted(list(expected_tree(archive))[n] for n in (0, 3))
    assert (counts.found, counts.received) == (2, 2)


def test_bad_requests_stop_no_other(tmp_path: Path) -> None:
    archive = archive_of(3, 1, 2)

    def find_fault(level: str, keys: Mapping[str, str]) -> None:
        if keys.get("AccessionNumber") == "ACC2":
            raise RequestError("unable to process", "failed", 0xC001)

    archive.find_fault = find_fault
    asks = [
        Ask(2, {"AccessionNumber": "ACC0"}),
        Ask(3, {"AccessionNumber": "NONE"}),
        Ask(4, {}, "holds no value"),
        Ask(5, {"AccessionNumber": "ACC2"}),
        Ask(6, {"StudyDate": "20240101"}),
        Ask(7, {"AccessionNumber": "ACC1", "Modality": "MR"}),
    ]
    counts = retrieve(tmp_path, archive, asks)
    with open_manifest(tmp_path) as manifest:
        fared = list(manifest.requests())
        failures = list(manifest.failures())
    assert [one.state for one in fared] == ["found", "none", "bad", "failed", "several", "none"]
    assert [one.reason for one in fared][4:] == ["3 studies match", "the study has no such series or instance"]
    assert (counts.received, counts.unanswered) == (6, 4)
    assert [failure.path for failure in failures] == [f"pacs.list, line {n}" for n in (3, 4, 5, 7)]


def test_busy_finds_are_repeated(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 2)
    times = iter(range(2))

    def find_fault(level: str, keys: Mapping[str, str]) -> None:
        if next(times, None) is not None:
            raise RequestError("out of resources", "busy", 0xA700)

    archive.find_fault = find_fault
    assert retrieve(tmp_path, archive).all_well


def test_series_that_are_not_accepted_are_not_asked_for(tmp_path: Path) -> None:
    archive = Archive([make_instance(0, 0), make_instance(0, 1, Modality="SR")])
    counts = retrieve(tmp_path, archive, accept=lambda match: match["Modality"] == "CT", level="study")
    assert (counts.found, counts.received) == (1, 1)
    assert archive.sent == {archive.instances[0].uid: 1}


def test_interrupt_ends_in_order(tmp_path: Path) -> None:
    archive = archive_of(4, 2, 10)
    asked, seen = threading.Event(), threading.Event()
    calls: list[Standing] = []

    def send(instance: Instance) -> None:
        if sum(archive.sent.values()) >= 20:
            asked.set()
            assert seen.wait(60)

    def show(standing: Standing) -> None:
        calls.extend([standing] if asked.is_set() else [])
        if len(calls) > 1:  # between two calls it has looked around
            seen.set()

    archive.before_send = send
    counts = retrieve(tmp_path, archive, stopped=asked.is_set, show=show)
    assert 20 <= counts.received <= 21
    check(counts, tmp_path)
    with open_manifest(tmp_path) as manifest:
        assert {failure.detail for failure in manifest.failures()} <= {"interrupted", "not asked: interrupted"}
    archive.before_send = lambda instance: None
    again = retrieve(tmp_path, archive)
    assert again.all_well
    assert again.received == 80
    assert set(archive.sent.values()) == {1}


def test_window_that_closes_halts_and_goes_on(tmp_path: Path) -> None:
    archive = archive_of(1, 4, 10)
    clock = [datetime(2024, 1, 1, 21, tzinfo=UTC)]
    waited: list[bool] = []

    def send(instance: Instance) -> None:
        if sum(archive.sent.values()) == 15:
            clock[0] = datetime(2024, 1, 2, 6, tzinfo=UTC)

    def show(standing: Standing) -> None:
        if standing.waiting:
            waited.append(True)
            clock[0] += timedelta(hours=3)  # soon it is night again

    archive.before_send = send
    window = Window.parse("20:00-06:00 UTC")
    counts = retrieve(tmp_path, archive, window=window, now=lambda: clock[0], show=show)
    assert waited
    assert counts.all_well
    assert tree(tmp_path) == expected_tree(archive)


def test_full_disk_stops_cleanly(tmp_path: Path) -> None:
    archive = archive_of()
    counts = retrieve(tmp_path, archive, free_space=10**18)
    assert counts.received == 0
    assert archive.requests == []
    with open_manifest(tmp_path) as manifest:
        [failure] = manifest.failures()
    assert "free" in failure.detail


def test_rate_is_kept(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 5)
    seconds: list[float] = []
    retrieve(tmp_path, archive, rate=Rate(files=50), show=lambda standing: seconds.append(standing.seconds))
    assert seconds[-1] >= 4 / 50  # a bound from below only: a slow machine takes longer


def test_server_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    def none_such() -> Any:
        raise PacsError("no such host")

    archive = archive_of()
    with open_manifest(tmp_path) as manifest:
        pauses = Pauses(tmp_path, lambda: False)
        retrieval = Retrieval(manifest, FakeFinder(archive), Transports({"get": none_such}), pauses)
        with pytest.raises(PacsError, match="no such host"):
            retrieval.run(ALL)


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    archive = archive_of(1, 1, 1)
    (tmp_path / archive.instances[0].attributes["StudyInstanceUID"]).write_bytes(b"a file, no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        retrieve(tmp_path, archive)


def test_second_retrieval_at_a_time_is_told_so(tmp_path: Path) -> None:
    with open_manifest(tmp_path), pytest.raises(LedgerError, match="another retrieval works in this folder"):
        Manifest(tmp_path)


def test_what_is_incomplete_is_not_waited_for_while_a_retrieval_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass of the engine asks, and the manifest is locked meanwhile: a wait would hold up every pass."""
    archive = archive_of(1, 1, 4)
    archive.fault = refusing({archive.instances[0].uid})
    retrieve(tmp_path, archive)
    series = archive.instances[0].attributes["SeriesInstanceUID"]
    assert incomplete_below(str(tmp_path)) == {series: "3 of 4"}
    with open_manifest(tmp_path):
        connect, waits = sqlite3.connect, []
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **how: waits.append(how["timeout"]) or connect(*args, **how)
        )
        assert incomplete_below(str(tmp_path)) == {}
        assert waits == [0.0]
    assert incomplete_below(str(tmp_path / "none")) == {}


def test_earlier_queries_are_counted_apart(tmp_path: Path) -> None:
    archive = archive_of(2, 1, 3)
    retrieve(tmp_path, archive, [Ask(0, {"AccessionNumber": "ACC0"})])
    counts = retrieve(tmp_path, archive, [Ask(0, {"AccessionNumber": "ACC1"})])
    assert (counts.found, counts.received, counts.others) == (3, 3, 3)
    check(counts, tmp_path)


def test_uids_that_are_none_stay_in_the_folder(tmp_path: Path) -> None:
    """A server's answer is not trusted with paths."""
    root = tmp_path / "in"
    archive = Archive([make_instance(0, StudyInstanceUID="../../outside")])
    counts = retrieve(root, archive, [Ask(0, {"AccessionNumber": "ACC0"})])
    assert counts.received == 1
    assert len(tree(root)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in"}

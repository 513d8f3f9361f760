"""Which files make a scan, and its name."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.layout import scan
from crawler.layout.scan import SeriesKey, group_scans, scan_members, series_key
from crawler.model import File, Instance


def instance(name: str, uid: str = "1.2.3", number: int | None = None) -> Instance:
    return Instance(File("/root", f"folder/{name}", 1, 1), {}, series_uid=uid, series_number=number)


def test_members_are_sorted_by_name() -> None:
    members = scan_members("a/b", ["c", "a", "b"], [SeriesKey("1.2", 4), SeriesKey("1.2", 3), SeriesKey("9.9", 7)])
    first, second = members
    assert re.fullmatch(r"a/b/s3-[0-9a-f]{8}", first)  # the number of the first file by name
    assert re.fullmatch(r"a/b/s7-[0-9a-f]{8}", second)
    assert list(members.values()) == [[1, 0], [2]]


def test_names_of_scans_without_folder_or_number() -> None:
    (name,) = scan_members("", ["a"], [SeriesKey("1.2", None)])
    assert re.fullmatch(r"s-[0-9a-f]{8}", name)


def test_the_name_of_a_uid_does_not_change() -> None:
    """Outputs of earlier runs are found by it."""
    assert list(scan_members("f", ["a"], [SeriesKey("1.2.3", 1)])) == ["f/s1-4cf59044"]


@pytest.mark.parametrize("number", [10**12, -(10**400)])
def test_a_number_that_no_is_can_hold_stays_out_of_the_name(number: int) -> None:
    (name,) = scan_members("f", ["a"], [SeriesKey("1.2", number)])
    assert re.fullmatch(r"f/s-[0-9a-f]{8}", name)


def test_files_without_uid_are_scans_of_their_own() -> None:
    members = scan_members("f", ["b", "a", "c"], [SeriesKey("", 1), SeriesKey("", 1), SeriesKey("1.2", 1)])
    assert sorted(members.values()) == [[0], [1], [2]]


def test_a_name_of_a_file_is_no_uid() -> None:
    members = scan_members("f", ["1.2", "x"], [SeriesKey("", None), SeriesKey("1.2", None)])
    assert sorted(members.values()) == [[0], [1]]


def test_colliding_hashes_get_more_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {"1": "aaaaaaaa11", "2": "aaaaaaaa12", "3": "bbbbbbbb11"}
    monkeypatch.setattr(scan, "series_hash", lambda uid, name: digests[uid])
    members = scan_members("", ["x", "y", "z"], [SeriesKey(uid, None) for uid in "123"])
    assert list(members) == ["s-aaaaaaaa11", "s-aaaaaaaa12", "s-bbbbbbbb"]


@given(
    st.lists(st.tuples(st.sampled_from(["", "1", "2", "3"]), st.none() | st.integers(0, 3)), max_size=12), st.randoms()
)
def test_order_of_the_input_does_not_matter(rows: list[tuple[str, int | None]], rng: random.Random) -> None:
    names = [f"{index:02}" for index in range(len(rows))]
    keys = [SeriesKey(*row) for row in rows]
    expected = {key: [names[index] for index in group] for key, group in scan_members("f", names, keys).items()}
    order = list(range(len(rows)))
    rng.shuffle(order)
    shuffled = [names[index] for index in order]
    found = scan_members("f", shuffled, [keys[index] for index in order])
    assert list(found) == list(expected)
    assert {key: [shuffled[index] for index in group] for key, group in found.items()} == expected
    assert sorted(index for group in found.values() for index in group) == list(range(len(rows)))


def test_instances_and_keys_give_one_grouping() -> None:
    instances = [instance("b", "1.2", 5), instance("a", "1.2", 6), instance("c", ""), instance("d", "")]
    scans = group_scans(instances, "folder")
    members = scan_members("folder", [one.file.name for one in instances], [series_key(one) for one in instances])
    assert [one.scan_id for one in scans] == list(members)
    assert [[instances.index(one) for one in found.instances] for found in scans] == list(members.values())
    assert [one.series_uid for one in scans] == ["1.2", "", ""]


def test_a_file_name_in_any_bytes() -> None:
    assert len(scan_members("f", ["\udcff", "\ud800"], [SeriesKey("", None)] * 2)) == 2


def test_a_number_of_a_series_is_in_its_name() -> None:
    for number in (0, 1000, 10**12 - 1, -5):
        (name,) = scan_members("f", ["a"], [SeriesKey("1.2", number)])
        assert name.startswith(f"f/s{number}-")


def test_hashes_are_no_longer_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {"1": "aaaaaaaa1111", "2": "aaaaaaaa2222", "3": "bbbbbbbb1111"}
    monkeypatch.setattr(scan, "series_hash", lambda uid, name: digests[uid])
    members = scan_members("", ["x", "y", "z"], [SeriesKey(uid, None) for uid in "123"])
    assert list(members) == ["s-aaaaaaaa1", "s-aaaaaaaa2", "s-bbbbbbbb"]

"""Windows over midnight, time zones and changes of the clock; rates over several threads."""

from __future__ import annotations

import itertools
import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crawler.pacs.schedule import Rate, Throttle, Window

UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("window", "moment", "hours"),
    [
        ("20:00-06:00 UTC", "2024-01-01T21:00", 0),
        ("20:00-06:00 UTC", "2024-01-01T05:59", 0),
        ("20:00-06:00 UTC", "2024-01-01T06:00", 14),
        ("20:00-06:00 UTC", "2024-01-01T19:00", 1),
        ("12:00-13:00 UTC", "2024-01-01T12:30", 0),
        ("12:00-13:00 UTC", "2024-01-01T13:00", 23),
        ("12:00-13:00 UTC", "2024-01-01T11:00", 1),
        ("20:00-06:00 Europe/Zurich", "2024-01-01T18:30", 0.5),
        ("20:00-06:00 Europe/Zurich", "2024-07-01T18:00", 0),
        ("12:00-13:00 Europe/Zurich", "2024-03-30T12:00", 22),  # the night in between has 23 hours
    ],
)
def test_seconds_until_a_window_opens(window: str, moment: str, hours: float) -> None:
    assert Window.parse(window).wait(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == hours * 3600


def test_every_minute_is_inside_or_counts_down() -> None:
    window = Window.parse("22:15-05:45 UTC")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    waits = [window.wait(start + timedelta(minutes=minute)) for minute in range(24 * 60)]
    assert waits.count(0.0) == 450
    assert all(after == before - 60 for before, after in itertools.pairwise(waits) if before)


@pytest.mark.parametrize("text", ["20:00", "25:00-06:00", "20:00-20:00", "8pm-6am", "20:00-06:00 Mars/Base", ""])
def test_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        Window.parse(text)


def test_rates() -> None:
    assert Rate.parse(20) == Rate(files=20.0)
    assert Rate.parse("5 MB") == Rate.parse("5MB/s") == Rate(bytes=5e6)
    assert Rate.parse("1.5 gb") == Rate(bytes=1.5e9)
    for wrong in ("fast", 0, -1, "0 MB", True):
        with pytest.raises(ValueError, match="files a second"):
            Rate.parse(wrong)


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_throttle_spaces_files() -> None:
    time = Time()
    throttle = Throttle(Rate(files=10), time.sleep, lambda: time.now)
    for _ in range(50):
        throttle.spend(1_000_000)
    assert time.now == pytest.approx(5.0)


def test_throttle_spaces_bytes() -> None:
    time = Time()
    throttle = Throttle(Rate(bytes=1e6), time.sleep, lambda: time.now)
    for size in (500_000, 2_000_000, 500_000):
        throttle.spend(size)
    assert time.now == pytest.approx(3.0)


def test_idle_time_is_not_saved_up() -> None:
    time = Time()
    throttle = Throttle(Rate(files=1), time.sleep, lambda: time.now)
    time.now = 1000.0
    throttle.spend(1)
    throttle.spend(1)
    assert time.now == pytest.approx(1002.0)


def test_threads_share_one_account() -> None:
    """The waits handed out are those of all together, whoever comes first."""
    slept: list[float] = []
    throttle = Throttle(Rate(files=10), slept.append, lambda: 0.0)
    threads = [threading.Thread(target=throttle.spend, args=(1,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slept) == pytest.approx([0.1 * n for n in range(1, 21)])


def test_no_rate_is_no_wait() -> None:
    time = Time()
    Throttle(Rate(), time.sleep, lambda: time.now).spend(10**12)
    assert time.slept == []

"""What signals ask of a run: Ctrl-C an end at once, SIGTERM and SIGUSR1 one after the tasks at hand."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from crawler.engine.interrupts import GRACE, interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.001)  # the handler runs between two steps of the interpreter


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_leaves_time_for_the_tasks_at_hand(number):
    grace = GRACE[signal.Signals(number).name]
    with interrupts() as stop:
        assert not stop.is_set()
        before = time.monotonic()
        send(number)
        after = time.monotonic()
        assert stop.is_set()
        assert stop.is_patient()
        assert before + grace <= stop.until <= after + grace


def test_sigterm_at_the_time_limit_shortens_what_sigusr1_gave():
    with interrupts() as stop:
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        assert stop.until - time.monotonic() <= GRACE["SIGTERM"]
        send(signal.SIGUSR1)
        assert stop.until - time.monotonic() <= GRACE["SIGTERM"], "a later signal never gives more"


def test_ctrl_c_ends_at_once_and_a_second_one_does_not_wait():
    with interrupts() as stop:
        send(signal.SIGINT)
        assert stop.is_set()
        assert not stop.is_patient()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with interrupts():
        assert signal.getsignal(signal.SIGUSR1) is not before[2]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before

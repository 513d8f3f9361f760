"""The state of all shards of an output: done, running, late, lost, stopped, or not begun; with rates and time left.

It reads ledgers that nobody works on, and the small files in which running shards say how far they are; it changes
nothing.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from crawler.cluster.beats import Beat, read_beat
from crawler.cluster.plan import read_plan
from crawler.cluster.shards import Shard, begun_shards, ledger_path_of
from crawler.config.loader import Config
from crawler.disk import is_absent
from crawler.errors import LedgerError
from crawler.ledger.status import reading

SILENT = 120.0  # seconds without a word after which a running shard is late: its machine, or its storage, hangs
SLOW = 0.5  # of the median rate of all shards, below which a running one is late


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known of one shard.

    Attributes
    ----------
    state
        "done"; "running"; "late": running, and silent or at less than half the rate of the others; "lost": it ended
        without a word, killed or with its machine; "stopped": it ended before all was done, and said so; "not begun".
    files
        That it has: as planned, or as it found them; 0 when that is not known.
    done, failed
        Files of these that are accounted for, and those among them that failed.
    rate
        Files a second in its last run, None before it has done any.
    left
        Seconds until it is done, when it is running.
    beat
        What it said last.
    """

    shard: Shard
    state: str
    files: int = 0
    done: int = 0
    failed: int = 0
    rate: float | None = None
    left: float | None = None
    beat: Beat | None = None


def read_states(config: Config, now: float | None = None) -> list[ShardState]:
    """Look at every shard of an output; empty when it has none.

    Parameters
    ----------
    now
        Seconds since the epoch; the present without it.

    Raises
    ------
    StopError
        The plan, or a ledger, is damaged.
    """
    plan, begun = read_plan(config), begun_shards(config)
    if plan is None and not begun:
        return []
    now = time.time() if now is None else now
    of = plan.shards if plan else begun[0].of
    states = [
        _state(config, Shard(number, of), plan.files[number - 1] if plan else 0, now) for number in range(1, of + 1)
    ]
    rates = [one.rate for one in states if one.rate]
    usual = statistics.median(rates) if rates else 0.0
    return [_late(one, usual, now) for one in states]


def _state(config: Config, shard: Shard, planned: int, now: float) -> ShardState:
    path, beat = ledger_path_of(config, shard), read_beat(config, shard)
    if is_absent(path):
        return ShardState(shard, "not begun", planned)
    rate = left = None
    if beat is not None and beat.done and beat.told > beat.began:
        rate = beat.done / (beat.told - beat.began)
    try:
        with reading(path) as ledger:
            if ledger is None:
                if beat is None:
                    return ShardState(shard, "running", planned)
                if rate:
                    left = max(0.0, (beat.to_do - beat.done) / rate - (now - beat.told))
                before = max(0, planned - beat.to_do) if beat.to_do else 0  # in earlier runs
                return ShardState(
                    shard, "running", planned or beat.to_do, before + beat.done, beat.failed, rate, left, beat
                )
            files, finished = ledger.count("files"), bool(ledger.get("finished", False))
            failed = sum(count for outcome, _, _, count, _ in ledger.accounts() if outcome == "failed")
    except LedgerError as error:
        if "a run was stopped before it began" not in str(error):
            raise
        return ShardState(shard, "lost", planned, beat=beat)
    said = beat is not None and beat.state in ("interrupted", "stopped", "finished")
    state = "done" if finished else "stopped" if said else "lost"
    return ShardState(shard, state, max(planned, files), files, failed, rate, None, beat)


def _late(one: ShardState, usual: float, now: float) -> ShardState:
    if one.state != "running" or one.beat is None:
        return one
    silent = now - one.beat.told > SILENT
    slow = one.rate is not None and one.rate < SLOW * usual
    if not (silent or slow):
        return one
    return ShardState(one.shard, "late", one.files, one.done, one.failed, one.rate, one.left, one.beat)

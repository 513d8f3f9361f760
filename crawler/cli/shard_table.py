"""The state of all shards as a table for the terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from crawler.cli.terminal import time_text
from crawler.cluster.states import ShardState
from crawler.config.loader import Config
from crawler.ledger.products import MERGED
from crawler.ledger.status import reading
from crawler.ledger.store import ledger_of

ENDED_EARLY = ("lost", "stopped", "not begun")


def shard_table(states: Sequence[ShardState], run: str, merge: str) -> str:
    """A line a shard, and what to do next.

    Parameters
    ----------
    run, merge
        Commands that run a shard (its number is added), and that merge.
    """
    lines = [f"{'shard':<10}{'state':<11}{'done':>12}{'files':>12}{'failed':>8}{'files/s':>9}{'left':>8}  where"]
    for one in states:
        rate = f"{one.rate:,.1f}" if one.rate else ""
        left = time_text(one.left) if one.left is not None else ""
        beat = one.beat
        where = f"{beat.where}{f' job {beat.job}' if beat.job else ''}" if beat and one.state != "done" else ""
        lines.append(
            f"{one.shard!s:<10}{one.state:<11}{one.done:>12,}{one.files or '':>12}{one.failed:>8,}{rate:>9}{left:>8}"
            f"  {where}".rstrip()
        )
    counts = Counter(one.state for one in states)
    files, done = sum(one.files for one in states), sum(one.done for one in states)
    rates = [one.rate for one in states if one.rate and one.state in ("running", "late")]
    text = f"{done:,} of {files:,} files" + (f", {sum(rates):,.1f} files/s together" if rates else "")
    lines.append(f"{', '.join(f'{count} {state}' for state, count in counts.items())}; {text}")
    open_ones = [one.shard for one in states if one.state in ENDED_EARLY]
    if counts["done"] == len(states):
        lines.append(f"All shards are done. To join them: {merge}")
    elif open_ones:
        lines.append(f"To go on with a shard: {run} --shard {open_ones[0]}")
    return "\n".join(lines)


def is_merged(config: Config) -> bool:
    """Whether the shards were joined once; an output that is being merged says so itself."""
    path = ledger_of(config)
    if not os.path.exists(path) or not os.path.getsize(path):
        return False
    with reading(path) as ledger:
        return ledger is None or ledger.get(MERGED) is not None

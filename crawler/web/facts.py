"""What is told of jobs again and again: states, counts, rates, time left, as JSON values.

Nothing is made up: what is not known is null.
"""

from __future__ import annotations

import os
from typing import Any

from crawler.web.catalogue import Translate
from crawler.web.jobs import LOG, Job
from crawler.web.words import STAGES, STATES


def facts(job: Job, translate: Translate) -> dict[str, Any]:
    """The present state of a job."""
    state, live = job.state(), job.live()
    told: dict[str, Any] = {
        "id": job.id,
        "state": state,
        "label": translate(STATES[state]),
        "log": _size(job.path(LOG)),
        "runs": job.runs,
        "stage": None,
        "done": None,
        "to_do": None,
        "failed": None,
        "done_size": None,
        "size": None,
        "rate": None,
        "left": None,
        "received": None,
        "wanted": None,
        "percent": None,
    }
    if live is None:
        return told
    told |= {
        "stage": translate(STAGES[live.state]) if live.state in STAGES else live.state,
        "failed": live.failed,
        "rate": round(live.rate, 1) or None,
        "left": None if live.seconds_left is None else round(live.seconds_left),
        "to_do": live.to_do,
        "size": live.size,
    }
    if live.state != "survey":
        told |= {"done": live.done, "done_size": live.done_size}
        if live.to_do:
            told["percent"] = min(100.0, round(100 * live.done / live.to_do, 1))
    if live.retrieval:
        told |= {"received": live.retrieval.get("received"), "wanted": live.retrieval.get("wanted")}
    return told


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

"""What a retrieval would bring, before it begins: counts by finds, bytes and time by a probe of a few instances.

The probes go to a temporary folder and are removed; nothing is written where a run would write. `retrieving.py` makes
the configuration's words into what is used here.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from crawler.config.loader import Config
from crawler.engine.retrieving import accept_of, cohort_of, finder_of, server_of, transports_of
from crawler.errors import CrawlerError, RequestError
from crawler.pacs.accounts import Snapshot
from crawler.pacs.fetching import Transports
from crawler.pacs.model import Answer, Received, Request
from crawler.pacs.names import MANIFEST
from crawler.pacs.planner import Planner
from crawler.pacs.wanted import Ask, Listed

log = logging.getLogger("dme")

PROBES = 5  # modalities of which one instance is fetched, those with most instances first


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to come by a probe; `bytes` and `seconds` are None when nothing can be said, for a `reason`."""

    bytes: int | None = None
    seconds: float | None = None
    probes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What finds say: counts, `here` of them received already, and reason -> requests that nothing comes of."""

    requests: int
    studies: int
    series: int
    instances: int
    here: int
    unanswered: dict[str, int]
    estimate: Estimate

    @property
    def missing(self) -> int:
        """Instances that a run would fetch."""
        return self.instances - self.here


def survey(config: Config, *, probe: bool = True) -> Found:
    """Ask what a retrieval would find, without beginning one.

    Parameters
    ----------
    probe
        Whether one instance of each modality is fetched, to estimate bytes and time.

    Raises
    ------
    ConfigError, PacsError
        As of `retrieve`.
    """
    section = config.pacs
    assert section is not None, "only a run with a section pacs retrieves"
    cohort = cohort_of(config)
    asks = cohort.asks if cohort else (Ask(0, section.keys),)
    studies: set[str] = set()
    found: dict[tuple[str, str], Listed] = {}
    unanswered: Counter[str] = Counter()
    server = server_of(config)
    with contextlib.closing(finder_of(server)) as finder:
        planner = Planner(finder, accept_of(config), log.info)
        for ask in asks:
            if ask.wrong:
                unanswered["wrong value"] += 1
                continue
            try:
                listed = [planner.study(uid, ask.keys) for uid in planner.studies(ask.keys)]
            except RequestError as error:
                unanswered[f"the server failed it: {error.reason}"] += 1
                continue
            unanswered["no match"] += not any(study.series for study in listed)
            for study in listed:
                studies.add(study.uid)
                found |= {(study.uid, one.uid): one for one in study.series}
    sizes = {key: len(one.instances or ()) or one.expected or 0 for key, one in found.items()}
    received = _received(Path(config.pacs_dir or ""))
    here = {key: min(received.get(key, 0), size) for key, size in sizes.items()}
    missing = Counter[str]()
    for key, one in found.items():
        missing[one.modality] += sizes[key] - here[key]
    estimate = Estimate(reason="no probe was asked for")
    if probe:
        series = [one for key, one in found.items() if here[key] < sizes[key]]
        with contextlib.closing(transports_of(section, server)) as transports:
            estimate = _estimate(transports, series, +missing, section.associations)
    return Found(
        len(asks), len(studies), len(found), sum(sizes.values()), sum(here.values()), dict(+unanswered), estimate
    )


def _received(root: Path) -> dict[tuple[str, str], int]:
    """(study, series) -> instances that were received."""
    if not (root / MANIFEST).exists():
        return {}
    with contextlib.closing(Snapshot(root / MANIFEST)) as accounts:
        return accounts.received_of_series()


def _estimate(transports: Transports, series: list[Listed], missing: Counter[str], workers: int) -> Estimate:
    """Bytes and time of what is missing (modality -> instances), by one instance of each modality."""
    if not missing:
        return Estimate(0, 0.0)
    probed: dict[str, tuple[int, float]] = {}
    reason = "the server lists no instances"
    for modality, _ in missing.most_common(PROBES):
        listed = [one for one in series if one.modality == modality and one.instances]
        if not listed:
            continue
        one = max(listed, key=lambda one: len(one.instances or ()))  # it weighs most
        try:
            got, answer = _fetch(transports, one)
        except CrawlerError as error:
            reason = str(error)
            continue
        if got:
            probed[modality] = got[0].size, got[0].seconds
        reason = answer.reason or reason
    if not probed:
        return Estimate(reason=reason)
    # Of a modality without a probe the mean of the others is taken.
    mean = tuple(sum(values) / len(probed) for values in zip(*probed.values(), strict=True))
    size = sum(number * probed.get(modality, mean)[0] for modality, number in missing.items())
    seconds = sum(number * probed.get(modality, mean)[1] for modality, number in missing.items())
    return Estimate(round(size), seconds / workers, len(probed))


def _fetch(transports: Transports, series: Listed) -> tuple[list[Received], Answer]:
    """Fetch one instance of a series into a temporary folder."""
    uids = sorted(series.instances or ())
    uid = uids[len(uids) // 2]
    sop_class, syntax = (series.instances or {})[uid]
    request = Request(
        series.study,
        series.uid,
        (uid,),
        tuple(filter(None, [sop_class])),
        tuple(filter(None, [series.modality])),
        tuple(filter(None, [syntax])),
    )
    received: list[Received] = []
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="dme-probe-") as temp:
        transport = transports.get(transports.names[0])
        answer = transport.fetch(request, Path(temp), received.append, threading.Event())
    log.info("a probe of one instance took %.2f s", monotonic() - began)
    return received, answer

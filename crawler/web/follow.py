"""A job's requests to a PACS, followed: row of the list, series, instances received, files exported, files on disk.

It reads the manifest of the retrieval and the ledger of the output, and changes neither. Addresses hold numbers alone.

Under `privacy` a request is its line: what the list says of persons is not shown, UIDs and places are those of the
outputs. They are keyed in memory, so the server must be able to read the key of the job; where it cannot, it says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crawler.config.loader import Config
from crawler.engine.privacy import LEDGER_KEY, policy_of
from crawler.errors import ConfigError, StopError
from crawler.ledger.status import Reader
from crawler.ledger.store import ledger_of
from crawler.pacs.accounts import STATES, Counts, Failure, Fared, Snapshot
from crawler.privacy.policy import Policy
from crawler.tables.received import failures, open_accounts, place_of, prefix_of
from crawler.web.jobs import Job
from crawler.web.outputs import output_of
from crawler.web.refusals import Refused
from crawler.web.site import site_of

SHOWN = 200  # rows of a page
_UNKNOWN = "{}: requests cannot be followed here; cohort.csv in the private folder tells of them"


class Followed(NamedTuple):
    """A series of a request: how many instances were wanted and are here, and what became of them.

    `folder` and `scan` are numbers in the ledger, None where it knows none.
    """

    study: str
    series: str
    expected: int
    received: int
    exported: int
    outputs: int
    folder: int | None
    scan: int | None


def requests(request: Request) -> Response:
    """Every request with its numbers; with `state=unanswered`, those that nothing came of."""
    job, config = _job(request)
    page = max(1, _number(request.query_params.get("page", "1")))
    unanswered = request.query_params.get("state") == "unanswered"
    with _accounts(config) as accounts, output_of(site_of(request), job.id).reading() as ledger:
        policy = _policy(config, ledger)
        numbered = enumerate(accounts.requests(), 1)
        wanted = ((number, fared) for number, fared in numbered if not unanswered or fared.state in STATES)
        some = list(islice(wanted, (page - 1) * SHOWN, page * SHOWN + 1))
        place = place_of(config, ledger, policy)
        rows = [(number, _told(fared, policy), _exported(ledger, place, fared)) for number, fared in some[:SHOWN]]
        columns, counts = [] if policy else accounts.columns(), accounts.counts()
    return site_of(request).page(
        request,
        "requests.html",
        job=job,
        rows=rows,
        columns=columns,
        private=policy is not None,
        counts=counts,
        unanswered=unanswered,
        page=page,
        more=len(some) > SHOWN,
        states=STATES,
    )


def one(request: Request) -> Response:
    """One request: its series, each from the PACS to its files."""
    job, config = _job(request)
    number = _number(str(request.path_params["number"]))
    with _accounts(config) as accounts, output_of(site_of(request), job.id).reading() as ledger:
        fared = next(islice(accounts.requests(), max(0, number - 1), None), None)
        if fared is None or number < 1:
            raise Refused(404, "there is no such request")
        policy = _policy(config, ledger)
        rows = _followed(config, accounts, ledger, fared.series, policy)
        columns = [] if policy else accounts.columns()
        fared = _told(fared, policy)
    cells = dict(zip(columns, [*fared.cells, *[""] * len(columns)], strict=False))
    shown: dict[str, Any] = {"fared": fared, "cells": cells, "rows": rows, "states": STATES}
    return site_of(request).page(
        request, "request_one.html", job=job, number=number, private=policy is not None, **shown
    )


def lacking(request: Request) -> Response:
    """What did not come, with its reasons; with `reason`, for that one."""
    job, config = _job(request)
    page = max(1, _number(request.query_params.get("page", "1")))
    reason = str(request.query_params.get("reason", ""))
    with _accounts(config) as accounts:
        counts = accounts.counts()
        found = (Failure(*one) for one in _failures(request, job, config, accounts) if reason in ("", one[1]))
        rows = list(islice(found, (page - 1) * SHOWN, page * SHOWN + 1))
    shown: dict[str, Any] = {"rows": rows[:SHOWN], "more": len(rows) > SHOWN, "page": page}
    return site_of(request).page(request, "lacking.html", job=job, counts=counts, reason=reason, **shown)


def retrieval_of(job: Job) -> Counts | None:
    """What the retrieval of a job came to; None where there is none, and while it goes on."""
    with contextlib.suppress(StopError, Refused):
        config = job.config()
        if config.pacs is not None:
            with open_accounts(config) as accounts:
                return None if accounts is None else accounts.counts()
    return None


def _policy(config: Config, ledger: Reader) -> Policy | None:
    """What made the names of an output of those of its input; None without the section `privacy`.

    Raises
    ------
    Refused
        The key that it was made with is not to be had.
    """
    if config.privacy is None:
        return None
    if config.privacy.key.file is None and config.privacy.key.env is None:
        raise Refused(
            409, _UNKNOWN.format("the run had a key of its own, which nobody keeps (privacy.key is not given)")
        )
    try:
        policy = policy_of(config)
    except ConfigError as error:
        raise Refused(409, _UNKNOWN.format(str(error).split("\n")[0])) from None
    made = ledger.get(LEDGER_KEY)
    if policy is None or not isinstance(made, dict) or made.get("key") != policy.key.name:
        raise Refused(409, _UNKNOWN.format("the output was made with another key"))
    return policy


def _told(fared: Fared, policy: Policy | None) -> Fared:
    """What may be shown of a request: under privacy neither its cells nor words of a server."""
    return fared if policy is None else fared._replace(cells=[], reason="")


def _failures(request: Request, job: Job, config: Config, accounts: Snapshot) -> Iterator[tuple[str, str, str]]:
    if config.privacy is None:
        yield from accounts.failures()
        return
    with output_of(site_of(request), job.id).reading() as ledger:
        yield from failures(accounts, prefix_of(config, ledger), _policy(config, ledger))


def _followed(
    config: Config, accounts: Snapshot, ledger: Reader, pairs: Sequence[tuple[str, str]], policy: Policy | None
) -> list[Followed]:
    place = place_of(config, ledger, policy)
    here, parts = accounts.received_of_series(), accounts.incomplete()
    rows = []
    for pair in pairs:
        received = here.get(pair, 0)
        path = place(*pair)
        folder = ledger.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()
        scan = folder and ledger.execute("SELECT id FROM scans WHERE folder = ?", folder).fetchone()
        outputs = int(ledger.execute("SELECT count(*) FROM products WHERE scan = ?", scan).fetchone()[0]) if scan else 0
        expected = parts[pair][1] if pair in parts else received
        numbers = (folder and int(folder[0]), scan and int(scan[0]))
        shown = pair if policy is None else (policy.uid(pair[0]), policy.uid(pair[1]))
        rows.append(Followed(*shown, expected, received, ledger.exported_in(path), outputs, *numbers))
    return rows


def _exported(ledger: Reader, place: Any, fared: Fared) -> int:
    return sum(ledger.exported_in(place(study, series)) for study, series in fared.series)


def _job(request: Request) -> tuple[Job, Config]:
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    try:
        config = job.config()
    except StopError:
        raise Refused(409, "the configuration of this job is wrong: correct it first") from None
    if config.pacs is None:
        raise Refused(404, "this job asks no PACS")
    for path in (config.pacs_dir or "", ledger_of(config)):
        site.places.inside(path)
    return job, config


@contextlib.contextmanager
def _accounts(config: Config) -> Iterator[Snapshot]:
    with open_accounts(config) as accounts:
        if accounts is None:
            raise Refused(404, "nothing was retrieved yet")
        yield accounts


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise Refused(400, "a number is expected")


ROUTES = [
    Route("/jobs/{job}/requests", requests),
    Route("/jobs/{job}/requests/{number}", one),
    Route("/jobs/{job}/lacking", lacking),
]

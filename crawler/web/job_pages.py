"""Jobs in the browser: one job with its live counts and log, and what can be done with it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from crawler.errors import ConfigError, StopError
from crawler.ledger.status import Status, read_status
from crawler.ledger.store import ledger_of
from crawler.web.confinement import checked, problems
from crawler.web.facts import facts
from crawler.web.fields import sections
from crawler.web.files import send_file
from crawler.web.follow import retrieval_of
from crawler.web.jobs import CANCELLED, DRY, INPUT, LOG, PAUSED, Job
from crawler.web.queue import ACTIVE, command_text
from crawler.web.refusals import Refused
from crawler.web.site import Form, Site, site_of
from crawler.web.yaml_edit import values_of, with_value

SHOWN = 200  # jobs that are told of
_NESTING = {"[": 1, "{": 1, "]": -1, "}": -1}
_DEEPEST, _LONGEST = 50, 200_000  # of YAML: its scanner takes seconds for 3,000 brackets, in the square of their number
CHUNK = 1 << 16  # bytes of a log that one answer holds
_EVERY, _PING = 1.0, 15.0  # seconds between two looks, and between two signs of life


def show(request: Request) -> Response:
    """One job."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    told = facts(job, site.translate(request))
    status, trouble = _status(job)
    return site.page(
        request,
        "job.html",
        job=job,
        facts=told,
        status=status,
        trouble=trouble,
        retrieval=None if told["state"] in ACTIVE else retrieval_of(job),
        text=job.text,
        active=told["state"] in ACTIVE,
        command=command_text(job, site.settings.command),
        disk=_disk(job.folder),
    )


def edit(request: Request) -> Response:
    """The configuration of a job: form and YAML side by side."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    text = job.text
    return site.page(
        request,
        "edit.html",
        job=job,
        text=text,
        sections=sections(),
        values=_values(text),
        problems=problems(text, job.folder, site.places),
        command=command_text(job, site.settings.command),
        state=job.state(),
        dry=os.path.exists(job.path(DRY)),
        upload=_is_upload(job),
        template_sets=site.templates.all(),
    )


def check(request: Request, given: dict[str, Any]) -> Response:
    """Answer for a configuration that is being written: its problems and values; with `path`, changed before."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    text, path = checked_text(given.get("yaml")), given.get("path")
    if isinstance(path, str):
        value = given.get("value")
        try:
            text = with_value(text, path, checked_text(value) if isinstance(value, str) else None)
        except ConfigError as error:
            return JSONResponse({"yaml": text, "problems": str(error).split("\n"), "values": None})
    found = problems(text, job.folder, site.places)
    return JSONResponse({"yaml": text, "problems": found, "values": _values(text)})


def save(request: Request, form: Form) -> Response:
    """Keep a configuration, right or wrong: it is checked again before it runs."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    site.queue.write(job.id, checked_text(form.get("yaml")).replace("\r\n", "\n"))
    return RedirectResponse(f"/jobs/{job.id}/edit", 303)


def act(request: Request, form: Form) -> Response:
    """Do what a button says."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    action = form.get("action", "")
    if action in ("start", "retry", "rebuild", "dry"):
        if "yaml" in form:
            site.queue.write(job.id, checked_text(form["yaml"]).replace("\r\n", "\n"))
        try:
            checked(job.text, job.folder, site.places)
        except ConfigError:
            return RedirectResponse(f"/jobs/{job.id}/edit", 303)
        if action == "dry":
            site.queue.dry_run(job.id)
            return RedirectResponse(f"/jobs/{job.id}/edit#dry", 303)
        site.queue.enqueue(job.id, {"start": (), "retry": _retry(form), "rebuild": ("--rebuild",)}[action])
    elif action in ("pause", "cancel"):
        site.queue.stop(job.id, PAUSED if action == "pause" else CANCELLED)
    elif action == "remove":
        if form.get("sure") != job.id:
            return site.page(request, "remove.html", job=job)
        site.queue.remove(job.id)
        return RedirectResponse("/", 303)
    else:
        raise Refused(400, "there is no such action")
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _retry(form: Form) -> tuple[str, ...]:
    """Flags that try failed files again: all, or those of a reason."""
    reason = form.get("reason", "")
    return (f"--retry-reason={checked_text(reason)}",) if reason else ("--retry-failed",)


def listing(request: Request) -> Response:
    """What `events` tells, once."""
    site = site_of(request)
    return JSONResponse(_all(site, request))


def log(request: Request) -> Response:
    """A piece of a job's log from a byte on; `next` in the headers is where the following piece begins."""
    job = site_of(request).jobs.get(request.path_params["job"])
    kind = request.path_params["kind"]
    if kind == "file":
        return send_file(request, site_of(request).places, job.path(LOG))
    name = DRY if kind == "dry" else LOG
    start = max(0, _number(request.query_params.get("from"), 0))
    try:
        with open(job.path(name), "rb") as file:
            file.seek(start)
            piece = file.read(CHUNK)
    except OSError:
        piece = b""
    if len(piece) == CHUNK:  # whole lines: no letter is cut in two
        piece = piece[: piece.rfind(b"\n") + 1 or CHUNK]
    return PlainTextResponse(piece.decode("utf-8", "replace"), headers={"x-next": str(start + len(piece))})


def events(request: Request) -> Response:
    """The states of all jobs as a stream, each time that one changes."""
    site = site_of(request)

    async def stream() -> AsyncIterator[str]:
        last, silence = "", 0.0
        while not await request.is_disconnected():
            told = json.dumps(await run_in_threadpool(_all, site, request))
            if told != last:
                last, silence = told, 0.0
                yield f"event: jobs\ndata: {told}\n\n"
            elif silence >= _PING:
                silence = 0.0
                yield ": here\n\n"
            await asyncio.sleep(_EVERY)
            silence += _EVERY

    return StreamingResponse(stream(), media_type="text/event-stream")


def _all(site: Site, request: Request) -> list[dict[str, Any]]:
    translate = site.translate(request)
    found = [facts(job, translate) for job, _ in zip(site.jobs.all(), range(SHOWN), strict=False)]
    wanted = request.query_params.get("job")
    if wanted and all(one["id"] != wanted for one in found):
        found.append(facts(site.jobs.get(wanted), translate))
    return found


def _status(job: Job) -> tuple[Status | None, str]:
    """What the ledger says, or why it says nothing; empty before the first run."""
    try:
        config = job.config()
    except StopError:
        return None, ""
    if not os.path.exists(ledger_of(config)):
        return None, ""
    try:
        return read_status(config), ""
    except StopError as error:
        return None, str(error)


def _values(text: str) -> dict[str, str] | None:
    try:
        return values_of(text)
    except ConfigError:
        return None


def checked_text(given: object) -> str:
    """A text of a request that a file can hold."""
    if not isinstance(given, str) or "\0" in given:
        raise Refused(400, "a text is expected")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Refused(400, "a text is expected") from None
    depth = max(accumulate(_NESTING.get(letter, 0) for letter in given), default=0)
    if depth > _DEEPEST or len(given) > _LONGEST:
        raise Refused(400, "no configuration is so long, or nested so deeply")
    return given


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else otherwise


def _disk(folder: str) -> tuple[int, int]:
    """Free and total bytes of the disk that a folder is on."""
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


def _is_upload(job: Job) -> bool:
    try:
        return job.path(INPUT) in job.config().roots
    except StopError:
        return True

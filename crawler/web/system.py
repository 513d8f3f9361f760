"""The machine and what dme does on it: disks, memory, processors, runs, PACS, jobs by state, sizes of folders, logs.

Nothing here costs more than a look: what does, a button asks for, and `monitor.py` keeps.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import psutil
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crawler.web import pacs_settings
from crawler.web.access import PRIVATE
from crawler.web.facts import facts
from crawler.web.jobs import LOG, Job
from crawler.web.monitor import Size
from crawler.web.queue import ACTIVE
from crawler.web.refusals import Refused
from crawler.web.site import Form, Site, site_of, with_form

SHOWN = 50  # jobs whose folders and logs are listed, the newest


class Disk(NamedTuple):
    """The disk that a folder is on, in bytes."""

    folder: str
    free: int
    total: int


class Run(NamedTuple):
    """A run that goes on: its job, stage, processes, their memory in bytes, processor time in seconds."""

    job: Job
    stage: str
    processes: int
    memory: int
    seconds: float


class Kept(NamedTuple):
    """A folder of the workspace: its job, its size when it was measured, and bytes of the job's log."""

    name: str
    job: Job | None
    size: Size | None
    log: int


def show(request: Request) -> Response:
    """The page."""
    site = site_of(request)
    translate = site.translate(request)
    jobs = list(site.jobs.all())
    states = {job.id: job.state() for job in jobs}
    memory = psutil.virtual_memory()
    runs = [_run(job, facts(job, translate)["stage"]) for job in jobs if states[job.id] in ACTIVE]
    return site.page(
        request,
        "system.html",
        disks=list(_disks(site)),
        memory=(memory.available, memory.total),
        mine=psutil.Process().memory_info().rss,
        cores=os.cpu_count(),
        busy=psutil.cpu_percent(0.1),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        states=Counter(states.values()),
        at_once=site.settings.at_once,
        runs=runs,
        pacs=pacs_settings.read(site.places.workspace),
        answer=site.monitor.pacs,
        kept=list(_kept(site, jobs)),
        measuring=site.monitor.is_measuring,
        most=SHOWN,
        count=len(jobs),
    )


def act(request: Request, form: Form) -> Response:
    """Do what a button says: measure folders, or ask the PACS."""
    site = site_of(request)
    action = form.get("action", "")
    if action == "measure":
        site.monitor.measure(folder for _, folder, _ in _folders(site, list(site.jobs.all())))
    elif action == "pacs":
        site.monitor.ask(site.places.workspace)
    else:
        raise Refused(400, "there is no such action")
    return RedirectResponse("/system", 303)


def _disks(site: Site) -> Iterator[Disk]:
    for folder in site.places.all:
        if os.path.isdir(folder):
            usage = shutil.disk_usage(folder)
            yield Disk(folder, usage.free, usage.total)


def _run(job: Job, stage: str | None) -> Run:
    live = job.live()
    memory, seconds, count = 0, 0.0, 0
    try:
        first = psutil.Process(job.process if job.is_alive() else live.process if live else 0)
        family = [first, *first.children(recursive=True)]
    except (psutil.Error, ValueError):
        family = []
    for process in family:
        try:
            memory += process.memory_info().rss
            seconds += sum(process.cpu_times()[:2])
            count += 1
        except psutil.Error:  # it ended meanwhile
            continue
    return Run(job, stage or "", count, memory, seconds)


def _folders(site: Site, jobs: list[Job]) -> Iterator[tuple[str, str, Job | None]]:
    for job in jobs[:SHOWN]:
        yield job.title or job.id, job.folder, job
    for name in (os.path.join(PRIVATE, "unpacked"), "ratings"):
        if os.path.isdir(folder := os.path.join(site.places.workspace, name)):
            yield name, folder, None


def _kept(site: Site, jobs: list[Job]) -> Iterator[Kept]:
    for name, folder, job in _folders(site, jobs):
        log = 0
        if job is not None and os.path.exists(job.path(LOG)):
            log = os.stat(job.path(LOG)).st_size
        yield Kept(name, job, site.monitor.size(folder), log)


ROUTES = [
    Route("/system", show, methods=["GET"]),
    Route("/system", with_form(act), methods=["POST"]),
]

"""The machine: disk, memory, processors, and jobs by state."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import NamedTuple

import psutil
from starlette.requests import Request
from starlette.responses import Response

from crawler.web.site import site_of


class Disk(NamedTuple):
    """The disk that a folder is on, in bytes."""

    folder: str
    free: int
    total: int


def show(request: Request) -> Response:
    """The page."""
    site = site_of(request)
    disks = []
    for folder in site.places.all:
        if os.path.isdir(folder):
            usage = shutil.disk_usage(folder)
            disks.append(Disk(folder, usage.free, usage.total))
    memory = psutil.virtual_memory()
    mine = psutil.Process().memory_info().rss
    states = Counter(job.state() for job in site.jobs.all())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return site.page(
        request,
        "system.html",
        disks=disks,
        memory=(memory.available, memory.total),
        mine=mine,
        cores=os.cpu_count(),
        load=load,
        states=states,
        at_once=site.settings.at_once,
    )

"""Files from a browser into the input folder of a job: streamed to the disk, and gone on with where they were cut off.

A file is written beside the folder and renamed into it when it is whole. Archives stay archives: the run reads what is
in them and extracts nothing to a path that an archive names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crawler.web.jobs import INPUT, Job
from crawler.web.places import upload_name
from crawler.web.queue import ACTIVE
from crawler.web.refusals import Refused
from crawler.web.site import site_of

PARTS = "uploads"  # folder of unfinished files, beside the input folder
RESERVE = 1 << 30  # bytes that stay free: a run's ledger and tables must still find room
_BLOCK = 1 << 20


def standing(request: Request, given: dict[str, Any]) -> Response:
    """How much of a file is here already: {"name", "size"} -> {"offset", "done"}."""
    job = _job(request)
    name, size = given.get("name"), given.get("size")
    if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refused(400, "name and size are expected")
    target = _target(request, job, name)
    if os.path.lexists(target):
        return JSONResponse({"offset": os.lstat(target).st_size, "done": os.lstat(target).st_size == size})
    part = _part(job, name, size)
    return JSONResponse({"offset": os.stat(part).st_size if os.path.exists(part) else 0, "done": False})


async def receive(request: Request) -> Response:
    """Take a file, or the rest of one. Its name and size come in headers: an address ends up in logs."""
    job = _job(request)
    name = unquote(str(request.headers.get("x-name", "")), errors="strict")
    offset, size = _count(request.headers.get("x-offset")), _count(request.headers.get("x-size"))
    target = _target(request, job, name)
    part = _part(job, name, size)
    await run_in_threadpool(_begin, job, part, target, offset, size)
    here = offset
    with open(part, "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.truncate()
        pending = bytearray()
        async for piece in request.stream():
            pending += piece
            here += len(piece)
            if here > size:
                raise Refused(413, "the file is longer than was said")
            if len(pending) >= _BLOCK:
                await run_in_threadpool(file.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(file.write, bytes(pending))
    if here == size:
        await run_in_threadpool(_finish, request, part, target)
    return JSONResponse({"offset": here, "done": here == size})


def _job(request: Request) -> Job:
    job = site_of(request).jobs.get(request.path_params["job"])
    if job.state() in (*ACTIVE, "queued"):
        raise Refused(409, "the job runs, or waits: its input does not change now")
    return job


def _target(request: Request, job: Job, name: str) -> str:
    path = os.path.join(job.path(INPUT), upload_name(name))
    site_of(request).places.inside(os.path.dirname(path))
    if not os.path.realpath(os.path.dirname(path)).startswith(os.path.realpath(job.path(INPUT))):
        raise Refused(403, "the path leads out of the input folder")
    return path


def _part(job: Job, name: str, size: int) -> str:
    digest = hashlib.sha256(f"{size} {name}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return os.path.join(job.path(PARTS), f"{digest}.part")


def _begin(job: Job, part: str, target: str, offset: int, size: int) -> None:
    if os.path.lexists(target):
        raise Refused(409, "a file of that name is there already, and stays")
    os.makedirs(job.path(PARTS), mode=0o700, exist_ok=True)
    here = os.stat(part).st_size if os.path.exists(part) else 0
    if offset > here:
        raise Refused(409, "the part before this one is not here")
    if size - here > shutil.disk_usage(job.folder).free - RESERVE:
        raise Refused(507, "the disk has no room for this file")


def _finish(request: Request, part: str, target: str) -> None:
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        site_of(request).places.inside(os.path.dirname(target))
        os.link(part, target)  # refuses to write over what came there meanwhile
        os.unlink(part)
    except FileExistsError:
        raise Refused(409, "a file of that name is there already, and stays") from None
    except OSError:
        raise Refused(409, "the file cannot be put there") from None


def _count(text: str | None) -> int:
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(411, "offset and size are expected")
    return int(text)

"""The application: addresses and what answers them, behind the guard."""

from __future__ import annotations

import logging
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crawler.errors import StopError
from crawler.web import (
    follow,
    history,
    job_pages,
    look,
    new_job,
    niivue,
    rated_job,
    search,
    sign_in,
    system,
    template_pages,
    uploads,
    word_filter,
)
from crawler.web.guard import Application, Guard
from crawler.web.refusals import Refused
from crawler.web.settings import Settings
from crawler.web.site import Site, site_of, with_form, with_json

_HERE = Path(__file__).parent


def build(settings: Settings, token: str) -> tuple[Application, Site]:
    """The application of a server, and its site."""
    site = Site(settings, token)
    inner = Starlette(
        routes=_routes(),
        exception_handlers={Refused: _refused, StopError: _stopped, 404: _missing, 405: _missing},
    )
    inner.state.site = site
    return Guard(inner, token=token, hosts=settings.hosts, cookie=site.cookie[0]), site


def _routes() -> list[Route | Mount]:
    post = ["POST"]
    return [
        *history.ROUTES,
        Route("/open", sign_in.show, methods=["GET"]),
        Route("/open", with_form(sign_in.enter), methods=post),
        Route("/leave", with_form(sign_in.leave), methods=post),
        Route("/language", with_form(sign_in.choose_language), methods=post),
        Route("/new", new_job.show, methods=["GET"]),
        Route("/new", with_form(new_job.make), methods=post),
        Route("/events", job_pages.events),
        Route("/jobs.json", job_pages.listing),
        Route("/jobs/{job}", job_pages.show, methods=["GET"]),
        Route("/jobs/{job}", with_form(job_pages.act), methods=post),
        Route("/jobs/{job}/edit", job_pages.edit, methods=["GET"]),
        Route("/jobs/{job}/edit", with_form(job_pages.save), methods=post),
        Route("/jobs/{job}/check", with_json(job_pages.check), methods=post),
        Route("/jobs/{job}/log/{kind}", job_pages.log),
        Route("/jobs/{job}/input", uploads.receive, methods=["PUT"]),
        Route("/jobs/{job}/input", with_json(uploads.standing), methods=post),
        *system.ROUTES,
        *follow.ROUTES,
        *niivue.ROUTES,
        *look.ROUTES,
        *rated_job.ROUTES,
        *search.ROUTES,
        *template_pages.ROUTES,
        *word_filter.ROUTES,
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]


async def _refused(request: Request, error: Refused) -> Response:
    return _told(request, error.status, error.text)


async def _stopped(request: Request, error: StopError) -> Response:
    return _told(request, 409, str(error))


async def _missing(request: Request, error: Exception) -> Response:
    return _told(request, getattr(error, "status_code", 404), "")


def _told(request: Request, status: int, text: str) -> Response:
    return site_of(request).page(request, "refused.html", status, number=status, text=text)


class QuietErrors(logging.Filter):
    """Keeps messages of exceptions out of the server's log: they may name files, and files may be named by patients."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave the type of an error and the line of ours that it came from."""
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            place = ""
            while trace is not None:
                code = trace.tb_frame.f_code
                if "crawler" in code.co_filename:
                    place = f" in {Path(code.co_filename).name}:{trace.tb_lineno}"
                trace = trace.tb_next
            record.msg, record.args = "%s%s", (kind.__name__, place)
            record.exc_info = record.exc_text = None
        return True

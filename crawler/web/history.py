"""The list of jobs: all of them, or those of a state, or with a text; in pages.

The text of a search goes in a form, never in an address: a title may name a person.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crawler.web.facts import facts
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of, with_form
from crawler.web.words import STATES

SHOWN = 200  # jobs of a page


def index(request: Request) -> Response:
    """All jobs, the newest first; with `state`, those of it."""
    return _page(request, "", request.query_params.get("state", ""), request.query_params.get("page", ""))


def search(request: Request, form: Form) -> Response:
    """Those whose title or state has a text."""
    return _page(request, form.get("q", "").strip()[:200], form.get("state", ""), form.get("page", ""))


def _page(request: Request, text: str, state: str, page_text: str) -> Response:
    site = site_of(request)
    translate = site.translate(request)
    if state not in (*STATES, ""):
        raise Refused(400, "there is no such state")
    found = [(job, facts(job, translate)) for job in site.jobs.all()]
    if state:
        found = [(job, told) for job, told in found if told["state"] == state]
    if text:
        word = text.casefold()
        found = [(job, told) for job, told in found if word in f"{job.title}\n{told['label']}\n{job.id}".casefold()]
    page = int(page_text) if page_text.isascii() and page_text.isdigit() and len(page_text) < 16 else 1
    page = max(1, page)
    shown = found[(page - 1) * SHOWN : page * SHOWN]
    more = len(found) > page * SHOWN
    return site.page(request, "jobs.html", jobs=shown, page=page, more=more, count=len(found), text=text, chosen=state)


ROUTES = [
    Route("/", index, methods=["GET"]),
    Route("/", with_form(search), methods=["POST"]),
]

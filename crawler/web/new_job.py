"""A new job: from a folder of the server, or from files of the browser, for a goal."""

from __future__ import annotations

import os
import shutil

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crawler.web.goals import configuration
from crawler.web.jobs import INPUT
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of
from crawler.web.words import GOALS
from crawler.web.yaml_edit import flow, with_value


def show(request: Request) -> Response:
    """The form."""
    site = site_of(request)
    free = shutil.disk_usage(site.places.workspace).free
    return site.page(
        request, "new.html", roots=site.places.all, free=free, wrong="", given={}, sets=site.templates.all()
    )


def make(request: Request, form: Form) -> Response:
    """Make the job, as a draft, and show its configuration."""
    site = site_of(request)
    goal, source = form.get("goal", ""), form.get("source", "")
    if goal not in GOALS or source not in ("folder", "upload"):
        raise Refused(400, "goal and source are expected")
    place = INPUT
    if source == "folder":
        place = form.get("folder", "").strip()
        translate = site.translate(request)
        if not os.path.isabs(place) or not site.places.allows(place):
            wrong = translate("The folder lies outside the workspace and the folders that the server was started with.")
        elif not os.path.exists(place):
            wrong = translate("There is no such folder or file.")
        else:
            wrong = ""
        if wrong:
            free = shutil.disk_usage(site.places.workspace).free
            shown = {"roots": site.places.all, "free": free, "wrong": wrong, "given": form}
            return site.page(request, "new.html", 422, sets=site.templates.all(), **shown)
    title = " ".join(form.get("title", "").split())
    if any(not (letter.isprintable()) for letter in title + place):
        raise Refused(400, "a text is expected")
    text = configuration(goal, place)
    if chosen := form.get("templates", ""):
        text = with_value(text, "metadata.templates", flow(site.templates.get(chosen).value))
    job = site.jobs.make(title, text)
    return RedirectResponse(f"/jobs/{job.id}/edit", 303)

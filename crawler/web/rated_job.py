"""A new job of an old one's input, without the series that were rated drop, or with those alone rated keep."""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crawler.errors import ConfigError, StopError
from crawler.web import ratings
from crawler.web.jobs import write_whole
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of, with_form
from crawler.web.yaml_edit import flow, with_value


def make(request: Request, form: Form) -> Response:
    """Make it, as a draft with a copy of the ratings, and show its configuration.

    What is rated later changes nothing in it.
    """
    site = site_of(request)
    old = site.jobs.get(request.path_params["job"])
    rated = {"keep": "[keep]", "undropped": None}.get(form.get("rated", ""), "")
    if rated == "":
        raise Refused(400, "rated is keep or undropped")
    if not os.path.exists(path := old.path(ratings.NAME)):
        raise Refused(409, "no series is rated yet")
    with site.places.open(path)[0] as file:
        listed = file.read().decode("utf-8", "replace")
    try:
        roots = list(old.config().roots)
        text = with_value(old.text, "pacs", None)  # what it gave lies among the roots
        for key, value in (
            ("dicom.dir", flow(roots[0] if len(roots) == 1 else roots)),
            ("output.dir", "output"),
            ("select.list", ratings.NAME),
            ("select.rated", rated),
        ):
            text = with_value(text, key, value)
    except (ConfigError, StopError):
        raise Refused(409, "the configuration of this job is wrong: correct it first") from None
    translate = site.translate(request)
    job = site.jobs.make(translate("{job}, by ratings", job=old.title or old.id), text)
    write_whole(os.path.join(job.folder, ratings.NAME), listed)
    return RedirectResponse(f"/jobs/{job.id}/edit", 303)


ROUTES = [Route("/jobs/{job}/rated", with_form(make), methods=["POST"])]

"""A volume in 3-D by NiiVue, where the package that brings it is installed: its script is served from there.

NiiVue loads a NIfTI volume whole into the browser.
"""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from crawler.paths import portable
from crawler.web.guard import POLICY_3D
from crawler.web.look import product_asked, shown_output
from crawler.web.refusals import Refused
from crawler.web.site import site_of
from crawler.web.threed import ENDINGS, how_to_install, script

LARGE = 200_000_000  # bytes of a file from which on the page asks before it loads it


def send_script(request: Request) -> Response:
    """NiiVue itself."""
    path = script()
    if path is None:
        raise Refused(404, f"this needs ipyniivue: {how_to_install()}")
    return FileResponse(path, media_type="text/javascript")


def show(request: Request) -> Response:
    """A page for one volume."""
    one = product_asked(request)
    if not one.path.lower().endswith(ENDINGS):
        raise Refused(415, "NiiVue is given NIfTI volumes")
    if script() is None:
        raise Refused(409, f"this needs ipyniivue: {how_to_install()}")
    answer = site_of(request).page(
        request,
        "niivue.html",
        output=shown_output(request),
        number=int(request.path_params["series"]),
        one=one,
        title=portable(os.path.basename(one.path)),
        ending=next(ending for ending in reversed(ENDINGS) if one.path.lower().endswith(ending)),
        is_large=one.size > LARGE,
    )
    answer.headers["content-security-policy"] = POLICY_3D
    return answer


ROUTES = [
    Route("/niivue.js", send_script),
    Route("/look/{output}/s/{series}/3d/{checksum}", show),
]

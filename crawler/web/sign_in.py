"""The first page of a browser: the token for a cookie. The token stands behind the # of the address: no log has it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crawler.web.access import same
from crawler.web.settings import LANGUAGES
from crawler.web.site import Form, site_of

_DAYS = 30


def show(request: Request) -> Response:
    """The page that reads the token out of the address, or asks for it."""
    return site_of(request).page(request, "open.html", wrong=False)


def enter(request: Request, form: Form) -> Response:
    """Give the cookie for the token."""
    site = site_of(request)
    if not same(form.get("token", "").strip(), site.token):
        return site.page(request, "open.html", 401, wrong=True)
    answer = RedirectResponse("/", 303)
    name, value = site.cookie
    secure = site.settings.tls is not None
    answer.set_cookie(name, value, max_age=_DAYS * 86_400, httponly=True, samesite="strict", secure=secure)
    return answer


def leave(request: Request, form: Form) -> Response:
    """Take the cookie back."""
    answer = RedirectResponse("/open", 303)
    answer.delete_cookie(site_of(request).cookie[0])
    return answer


def choose_language(request: Request, form: Form) -> Response:
    """Remember a language."""
    chosen, back = form.get("language", ""), form.get("back", "/")
    inside = back.startswith("/") and not back.startswith("//") and "\\" not in back and back.isprintable()
    answer = RedirectResponse(back if inside else "/", 303)
    if chosen in LANGUAGES:
        answer.set_cookie("dme-language", chosen, max_age=365 * 86_400, httponly=True, samesite="strict")
    return answer

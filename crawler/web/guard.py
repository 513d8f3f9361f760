"""The door: an ASGI application before all others that lets in what this user's browser sends, and nothing else.

Host names against DNS rebinding, the cookie against strangers, Origin and Sec-Fetch-Site against other sites and other
ports of this machine, and headers on every answer. It logs methods, kinds of pages and states: no path, no query.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from crawler.web.access import cookie_of, same

log = logging.getLogger("dme.web")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

READS, WRITES = ("GET", "HEAD"), ("POST", "PUT", "DELETE")
OPEN = ("/open", "/static/")  # what is answered without the cookie
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY_3D = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of the page of NiiVue, whose letters are a picture in its script (`data:`)."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers say `Origin: null` to forms of our own
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
}


class Guard:
    """Lets requests through to an application, or answers them."""

    def __init__(self, application: Application, *, token: str, hosts: frozenset[str], cookie: str) -> None:
        self._application, self._token, self._hosts = application, token, hosts
        self._name, self._value = cookie, cookie_of(token)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets
            return
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", [])
                own = [pair for pair in given if pair[0].lower().decode() not in HEADERS]
                ours = dict(HEADERS)
                if (b"content-security-policy", POLICY_3D.encode()) in given:
                    ours["content-security-policy"] = POLICY_3D
                message["headers"] = own + [(name.encode(), text.encode()) for name, text in ours.items()]
            await send(message)

        refused = self._refused(scope)
        if refused is None:
            await self._application(scope, receive, sending)
        else:
            await _answer(sending, *refused)
        log.info("%s %s %d", scope["method"], _kind(scope["path"]), status)

    def _refused(self, scope: Message) -> tuple[int, str] | None:
        """Status and text for what is not let in."""
        headers = _headers(scope)
        method, path = scope["method"], scope["path"]
        hosts = headers.get("host", [])
        if len(hosts) != 1 or _host_name(hosts[0]) not in self._hosts:
            return 400, "this server is not called by that name (Host)"
        if method not in (*READS, *WRITES):
            return 405, "method not allowed"
        if len(headers.get("origin", [])) > 1 or len(headers.get("sec-fetch-site", [])) > 1:
            return 400, "a header is given twice"
        bearer = self._has_token(headers)
        if not bearer and (text := _foreign(headers, scope.get("scheme", "http"), hosts[0], method)):
            return 403, text
        if bearer or self._has_cookie(headers) or path == OPEN[0] or path.startswith(OPEN[1]):
            return None
        return 401, "open the address that `dme web` printed, with its token"

    def _has_token(self, headers: dict[str, list[str]]) -> bool:
        """For programs: a page of another site cannot send this header."""
        given = headers.get("authorization", [])
        return len(given) == 1 and given[0].startswith("Bearer ") and same(given[0][7:], self._token)

    def _has_cookie(self, headers: dict[str, list[str]]) -> bool:
        for text in headers.get("cookie", []):
            jar = SimpleCookie()
            try:
                jar.load(text)
            except CookieError:
                continue
            if self._name in jar and same(jar[self._name].value, self._value):
                return True
        return False


def _foreign(headers: dict[str, list[str]], scheme: str, host: str, method: str) -> str:
    """Why a request comes from another site, or from another port of this machine; empty when it does not."""
    site = headers.get("sec-fetch-site", [""])[0]
    origin = headers.get("origin", [""])[0]
    if method in READS:
        inner = headers.get("sec-fetch-mode", [""])[0] != "navigate"
        return "another site asks for this (Sec-Fetch-Site)" if inner and site in ("cross-site", "same-site") else ""
    if site and site != "same-origin":
        return "another site sends this (Sec-Fetch-Site)"
    if origin and origin.lower() != f"{scheme}://{host}".lower():
        return "another site sends this (Origin)"
    return "" if site or origin else "a write must say where it comes from (Origin or Sec-Fetch-Site)"


def _headers(scope: Message) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _kind(path: str) -> str:
    """The first part of a path, when it is one of ours: the rest names jobs and files."""
    first = path.split("/")[1] if path.startswith("/") else ""
    return f"/{first}" if first.isascii() and first.isalpha() and len(first) <= 12 else "/?"


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

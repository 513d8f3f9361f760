"""What all pages share: settings, jobs, queue, templates, language, and how a request's body is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from crawler.config.sizes import size_text
from crawler.web import words
from crawler.web.access import cookie_of
from crawler.web.catalogue import Translate, script_texts, translator
from crawler.web.jobs import Jobs
from crawler.web.monitor import Monitor
from crawler.web.places import Places
from crawler.web.queue import Queue
from crawler.web.refusals import Refused
from crawler.web.settings import LANGUAGES, Settings
from crawler.web.template_sets import TemplateSets

LARGEST_BODY = 1 << 20  # bytes of a form: a configuration has some thousands
_FIELDS = 2000

Form = dict[str, str]


def _environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("crawler.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"size": size_text, "time": time_text, "number": lambda number: f"{number:,}"}
    return pages


def time_text(seconds: float) -> str:
    """A moment, in the time zone of the server."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@dataclass(slots=True)
class Site:
    """One server's."""

    settings: Settings
    token: str
    places: Places = field(init=False)
    jobs: Jobs = field(init=False)
    queue: Queue = field(init=False)
    templates: TemplateSets = field(init=False)
    monitor: Monitor = field(init=False, default_factory=Monitor)
    pages: Environment = field(init=False, default_factory=_environment)

    def __post_init__(self) -> None:
        self.places = Places(self.settings.workspace, self.settings.roots)
        self.jobs = Jobs(self.places.workspace)
        self.templates = TemplateSets(self.places, self.jobs)
        self.queue = Queue(self.jobs, self.settings.command, self.settings.at_once)

    @property
    def cookie(self) -> tuple[str, str]:
        """Name and value of the cookie that lets a browser in; two servers on one machine have two."""
        return f"dme-web-{self.settings.port}", cookie_of(self.token)

    def page(self, request: Request, name: str, code: int = 200, **values: Any) -> Response:
        """A page of a template."""
        language = self.language(request)
        text = self.pages.get_template(name).render(
            _=translator(language),
            language=language,
            languages=LANGUAGES,
            path=request.url.path,
            texts=json.dumps(script_texts(language)),
            words=words,
            **values,
        )
        return HTMLResponse(text, code)

    def language(self, request: Request) -> str:
        """The language that a browser chose, or prefers, or the server's."""
        chosen = str(request.cookies.get("dme-language", ""))
        if chosen in LANGUAGES:
            return chosen
        accepted = str(request.headers.get("accept-language", "")).lower().split(",")[0][:2]
        return accepted if accepted in LANGUAGES else self.settings.language

    def translate(self, request: Request) -> Translate:
        """The function `_` for a request."""
        return translator(self.language(request))


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site


async def read_body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """The body of a small request.

    Raises
    ------
    Refused
        It is larger.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise Refused(413, "the request is too large")
    return bytes(body)


def with_form(handler: Callable[[Request, Form], Response]) -> Callable[[Request], Any]:
    """An endpoint that is given the fields of a form, the last of each name, and runs in a thread."""

    async def endpoint(request: Request) -> Any:
        body = await read_body(request)
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS)
        except ValueError:
            raise Refused(400, "the form cannot be read") from None
        return await run_in_threadpool(handler, request, {name: given[-1] for name, given in fields.items()})

    return endpoint


def with_json(handler: Callable[[Request, dict[str, Any]], Response]) -> Callable[[Request], Any]:
    """An endpoint that is given an object of JSON, and runs in a thread."""

    async def endpoint(request: Request) -> Any:
        body = await read_body(request)
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise Refused(400, "an object of JSON is expected")
        return await run_in_threadpool(handler, request, given)

    return endpoint

"""The keyword filter of a job, `select.exclude_words`: one word a line, tried on the series that the job exported."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crawler.config.select import DESCRIPTIONS, words_pattern
from crawler.errors import ConfigError, StopError
from crawler.web.job_pages import checked_text
from crawler.web.jobs import Job
from crawler.web.outputs import output_of
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of, with_form
from crawler.web.yaml_edit import flow, with_value

SHOWN = 500  # series of a page
_MOST, _LONGEST = 500, 200  # words, and letters of one
_KEY = "select.exclude_words"


def show(request: Request) -> Response:
    """The words of the configuration."""
    job = site_of(request).jobs.get(request.path_params["job"])
    return _page(request, job, "\n".join(_of(job)))


def act(request: Request, form: Form) -> Response:
    """Try words, or write them into the configuration."""
    site = site_of(request)
    job = site.jobs.get(request.path_params["job"])
    text = checked_text(form.get("words")).replace("\r\n", "\n")
    words = _words(text)
    if form.get("action") == "try":
        return _page(request, job, text, words)
    if form.get("action") != "save":
        raise Refused(400, "there is no such action")
    try:
        changed = with_value(job.text, _KEY, flow(words) if words else None)
    except ConfigError:
        raise Refused(409, "the configuration of this job is wrong: correct it first") from None
    site.queue.write(job.id, changed)
    return RedirectResponse(f"/jobs/{job.id}/edit", 303)


def _page(request: Request, job: Job, text: str, words: list[str] | None = None) -> Response:
    site = site_of(request)
    rows: list[tuple[int, list[str], str]] = []
    refused = ""
    try:
        with output_of(site, job.id).reading() as ledger:
            numbers = dict(ledger.execute("SELECT scan_id, id FROM scans"))
            patterns = [(word, words_pattern([word])) for word in words or ()]
            for name, verdict, _ in ledger.scans():
                texts = [str(verdict.get(column) or "") for column in DESCRIPTIONS]
                word = next((one for one, pattern in patterns if any(map(pattern.search, texts))), "")
                rows.append((numbers[name], texts, word))
    except (Refused, StopError) as error:
        refused = str(error)
    rows.sort(key=lambda row: not row[2])
    return site.page(
        request,
        "words.html",
        job=job,
        text=text,
        tried=words is not None,
        rows=rows[:SHOWN],
        count=len(rows),
        left=sum(bool(word) for _, _, word in rows),
        refused=refused,
    )


def _of(job: Job) -> tuple[str, ...]:
    try:
        select = job.config().select
    except StopError:
        return ()
    return () if select is None else select.exclude_words


def _words(text: str) -> list[str]:
    words = list(dict.fromkeys(" ".join(line.split()) for line in text.split("\n")))
    words = [word for word in words if word]
    if len(words) > _MOST or any(len(word) > _LONGEST for word in words):
        raise Refused(413, "these are too many words, or too long ones")
    return words


ROUTES = [
    Route("/jobs/{job}/words", show, methods=["GET"]),
    Route("/jobs/{job}/words", with_form(act), methods=["POST"]),
]

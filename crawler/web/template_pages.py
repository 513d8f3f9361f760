"""Templates and rules in the browser: the sets that jobs can use, an editor, and a trial on a series of an output."""

from __future__ import annotations

import contextlib
import threading
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from crawler.config.loader import load_config
from crawler.errors import ConfigError, StopError
from crawler.web.job_pages import checked_text
from crawler.web.outputs import Output, output_of, scan_of
from crawler.web.refusals import Refused
from crawler.web.site import Form, Site, site_of, with_form, with_json
from crawler.web.template_check import Found, check, kind_of
from crawler.web.template_sets import TemplateSet, digest, is_file_name
from crawler.web.trial import Line, run_trial

_STARTER = '[\n  "PatientID",\n  "StudyDate",\n  "SeriesDescription"\n]\n'
_JOBS = 50  # outputs that are offered for a trial
_TRIALS = threading.BoundedSemaphore(2)  # processes at a time


def listing(request: Request) -> Response:
    """The sets, and what is in each."""
    site = site_of(request)
    job = str(request.query_params.get("job", ""))
    of_job = site.templates.of_job(job) if job else None
    sets = site.templates.all()
    if of_job is not None and all(one.name != of_job.name for one in sets):
        sets.append(of_job)
    users = _users(site)
    asked = {name: request.query_params[name] for name in ("output", "series") if name in request.query_params}
    query = f"?{urlencode(asked)}" if asked else ""
    return site.page(request, "templates.html", sets=sets, used=of_job, users=users, kind_of=kind_of, query=query)


def change(request: Request, form: Form) -> Response:
    """Copy a set to the workspace, or begin a file."""
    site = site_of(request)
    where = site.templates.get(form.get("set", ""))
    if form.get("action") == "copy":
        made = site.templates.copy(where, form.get("name", "").strip())
        return RedirectResponse(f"/templates#{made.name}", 303)
    file = form.get("file", "").strip().lower()
    file = file if file.endswith(".json") else f"{file}.json"
    if not where.is_own or not is_file_name(file):
        raise Refused(400, "a file is called by a modality in small letters, such as ct.json, or mr_clean.json")
    return RedirectResponse(f"/templates/{where.name}/{file}", 303)


def edit(request: Request) -> Response:
    """A file of a set."""
    site = site_of(request)
    where, file = _place(request)
    if where.is_own and file not in where.files():
        text, seen = _STARTER if kind_of(file) == "template" else "{}\n", ""
    else:
        text = site.templates.read(where, file)
        seen = digest(text)
    asked = {name: str(request.query_params.get(name, "")) for name in ("output", "series")}
    return _editor(request, where, file, text, seen, asked)


def act(request: Request, form: Form) -> Response:
    """Save, try or remove a file."""
    site = site_of(request)
    where, file = _place(request)
    action = form.get("action", "")
    if action == "remove":
        if form.get("sure") != file:
            return site.page(request, "template_remove.html", where=where, file=file)
        site.templates.remove(where, file)
        return RedirectResponse("/templates", 303)
    if action not in ("save", "try"):
        raise Refused(400, "there is no such action")
    text, seen = checked_text(form.get("text")).replace("\r\n", "\n"), form.get("seen", "")
    if action == "try":
        asked = {"output": form.get("output", ""), "series": form.get("series", ""), "row": form.get("row", "1")}
        return _tried(request, where, file, text, seen, asked)
    if check(file, text).problems:
        return _editor(request, where, file, text, seen, {}, code=422)
    try:
        site.templates.save(where, file, text, seen)
    except Refused as error:
        if error.status != 409:
            raise
        return _editor(request, where, file, text, seen, {}, code=409)
    return RedirectResponse(f"/templates/{where.name}/{file}?saved", 303)


def checking(request: Request, given: dict[str, Any]) -> Response:
    """Answer for a text that is being written."""
    file = given.get("file")
    if not isinstance(file, str) or not is_file_name(file):
        raise Refused(400, "there is no such file")
    return JSONResponse(check(file, checked_text(given.get("text")))._asdict())


def _tried(request: Request, where: TemplateSet, file: str, text: str, seen: str, asked: Form) -> Response:
    if check(file, text).problems:
        return _editor(request, where, file, text, seen, asked, code=422)
    site = site_of(request)
    try:
        lines = _trial(site, file, text, asked)
    except Refused as error:
        return _editor(request, where, file, text, seen, asked, code=error.status, refused=error.text)
    return _editor(request, where, file, text, seen, asked, lines=lines)


def _trial(site: Site, file: str, text: str, asked: Form) -> list[Line]:
    output = output_of(site, asked["output"])
    with output.reading() as ledger:
        row = ledger.execute("SELECT min(id) FROM scans").fetchone()
        number = _number(asked["series"]) if asked["series"] else int(row[0] or 0)
        scan_id, _ = scan_of(ledger, number)
    asked["series"] = str(number)
    site.places.open(output.rows)[0].close()  # a regular file that lies inside
    if not _TRIALS.acquire(blocking=False):
        raise Refused(503, "other trials are going on: try again")
    try:
        return run_trial(file, text, output.rows, _keys(site, output), scan_id, max(1, _number(asked["row"] or "1")))
    finally:
        _TRIALS.release()


def _keys(site: Site, output: Output) -> str:
    """The style of keys of an output's rows: of a job by its configuration, else by the copy beside the rows."""
    try:
        config = site.jobs.get(output.id).config()
    except (Refused, StopError):
        return _found_keys(site, output)
    return config.metadata.keys if config.metadata is not None else "keyword"


def _found_keys(site: Site, output: Output) -> str:
    path = f"{output.home}/config.yml"
    try:
        site.places.open(path)[0].close()
        config = load_config(path)
    except (Refused, ConfigError):
        return "keyword"
    return config.metadata.keys if config.metadata is not None else "keyword"


def _editor(
    request: Request,
    where: TemplateSet,
    file: str,
    text: str,
    seen: str,
    asked: Form,
    *,
    code: int = 200,
    refused: str = "",
    lines: list[Line] | None = None,
) -> Response:
    """The page of a file; `code` 409 says that it was changed meanwhile."""
    site = site_of(request)
    found = check(file, text) if len(text) < 1 << 20 else Found([], [], None)
    words: dict[str, int] = {}
    for _, _, word in lines or ():
        words[word] = words.get(word, 0) + 1
    return site.page(
        request,
        "template.html",
        code,
        where=where,
        file=file,
        kind=kind_of(file),
        text=text,
        seen=seen,
        found=found,
        conflict=code == 409,
        refused=refused,
        lines=lines,
        counts=words,
        asked=asked,
        outputs=_outputs(site, asked.get("output", "")),
        saved="saved" in request.query_params,
    )


def _outputs(site: Site, wanted: str) -> list[tuple[str, str]]:
    """(id, title) of jobs that a text can be tried on: the newest, and the one that is asked for."""
    found = []
    for job, _ in zip(site.jobs.all(), range(_JOBS), strict=False):
        if job.runs:
            found.append((job.id, job.title or job.id))
    if wanted and all(name != wanted for name, _ in found):
        with contextlib.suppress(Refused):
            found.append((wanted, output_of(site, wanted).title))
    return found


def _users(site: Site) -> dict[str, list[tuple[str, str]]]:
    """Value of `metadata.templates` -> (id, title) of the newest jobs that have it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for job, _ in zip(site.jobs.all(), range(_JOBS), strict=False):
        try:
            config = job.config()
        except (StopError, OSError, UnicodeDecodeError):
            continue
        if config.metadata is not None and config.metadata.templates is not None:
            found.setdefault(config.metadata.templates, []).append((job.id, job.title or job.id))
    return found


def _place(request: Request) -> tuple[TemplateSet, str]:
    file = str(request.path_params["file"])
    if not is_file_name(file):
        raise Refused(404, "there is no such file")
    return site_of(request).templates.get(str(request.path_params["set"])), file


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise Refused(400, "a number is expected")


ROUTES = [
    Route("/templates", listing, methods=["GET"]),
    Route("/templates", with_form(change), methods=["POST"]),
    Route("/templates/check", with_json(checking), methods=["POST"]),
    Route("/templates/{set}/{file}", edit, methods=["GET"]),
    Route("/templates/{set}/{file}", with_form(act), methods=["POST"]),
]

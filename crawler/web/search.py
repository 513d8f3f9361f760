"""Search a PACS, and make a job of what was selected, or of a list of requests.

Questions go in forms, never in addresses: those end up in histories and logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crawler.errors import ConfigError, PacsError, RequestError
from crawler.pacs.check import check
from crawler.pacs.cohort import read_cohort
from crawler.pacs.model import Match
from crawler.pacs.query import is_uid, text_of, wrong_key, wrong_value
from crawler.pacs.transports import open_finder
from crawler.web import pacs_settings
from crawler.web.access import private_folder
from crawler.web.goals import without_input
from crawler.web.jobs import INPUT, write_whole
from crawler.web.refusals import Refused
from crawler.web.site import Form, site_of, with_form
from crawler.web.words import GOALS
from crawler.web.yaml_edit import flow

LIST = "requests.csv"
MOST = 500  # series of one answer: more are no list that a person reads
ASKED = (
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDate",
    "ModalitiesInStudy",
    "StudyDescription",
    "StudyInstanceUID",
)
"""Conditions that the page has fields for."""
_COLUMNS = (
    *("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyDescription", "AccessionNumber"),
    *("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances"),
)


@dataclass(slots=True)
class Study:
    """A study of an answer, with its series."""

    uid: str
    date: str
    description: str
    accession: str
    series: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Patient:
    """A patient of an answer, with studies."""

    id: str
    name: str
    studies: dict[str, Study] = field(default_factory=dict)


def show(request: Request) -> Response:
    """The page, before a question."""
    return _page(request)


def search(request: Request, form: Form) -> Response:
    """Ask, and show what was found, or why nothing was."""
    site = site_of(request)
    asked = {name: text for name in ASKED if (text := form.get(name, "").strip())}
    try:
        keys = _checked(asked)
        finder = open_finder(pacs_settings.server(site.places.workspace))
        remarks: list[str] = []
        try:
            wanted = {**dict.fromkeys(_COLUMNS, ""), **keys}
            found = list(islice(finder.find("series", wanted, remarks.append), MOST + 1))
        finally:
            finder.close()
    except RequestError as error:
        return _page(request, asked=asked, wrong=error.reason)
    except (ConfigError, PacsError) as error:
        return _page(request, asked=asked, wrong=str(error))
    patients = _tree(found[:MOST])
    counts = {"count": len(found[:MOST]), "more": len(found) > MOST}
    return _page(request, asked=asked, patients=patients, remarks=remarks, **counts)


def keep(request: Request, form: Form) -> Response:
    """Keep the address of the PACS."""
    try:
        pacs_settings.write(site_of(request).places.workspace, form)
    except ConfigError as error:
        return _page(request, wrong=str(error), settings=dict(form))
    return RedirectResponse("/search", 303)


def test(request: Request, form: Form) -> Response:
    """What the PACS supports, as `dme pacs check` tells it."""
    try:
        findings = list(check(pacs_settings.server(site_of(request).places.workspace)))
    except RequestError as error:
        return _page(request, wrong=error.reason)
    except (ConfigError, PacsError) as error:
        return _page(request, wrong=str(error))
    return _page(request, findings=findings)


def select(request: Request, form: Form) -> Response:
    """A job of the selected series: a list of requests, and a configuration that names it."""
    pairs = [text.split("/") for text in form.get("series", "").split(",") if text]
    if not pairs or any(len(pair) != 2 or not all(map(is_uid, pair)) for pair in pairs):
        translate = site_of(request).translate(request)
        return _page(request, wrong=translate("Nothing is selected."))
    lines = ["StudyInstanceUID,SeriesInstanceUID", *(",".join(pair) for pair in pairs)]
    return _job(request, "\n".join(lines) + "\n", form)


def cohort(request: Request, form: Form) -> Response:
    """A list of requests, each row checked; a job of it when it is wanted, wrong rows or not."""
    text = form.get("list", "").replace("\r\n", "\n")
    folder = private_folder(site_of(request).places.workspace)
    path = Path(folder, f"list-{os.urandom(8).hex()}.csv")
    try:
        write_whole(str(path), text)
        asks = read_cohort(path).asks
    except ConfigError as error:
        return _page(request, wrong=str(error).replace(str(path), LIST), list=text)
    except UnicodeEncodeError:
        raise Refused(400, "a text is expected") from None
    finally:
        path.unlink(missing_ok=True)
    if form.get("make") == "yes" and any(not ask.wrong for ask in asks):
        return _job(request, text, form)
    return _page(request, list=text, count=len(asks), asks=[ask for ask in asks if ask.wrong or ask.remark])


def _job(request: Request, text: str, form: Form) -> Response:
    site, goal = site_of(request), form.get("goal", "tables")
    if goal not in GOALS:
        raise Refused(400, "there is no such goal")
    section = pacs_settings.read(site.places.workspace)
    try:
        pacs_settings.configuration(site.places.workspace, section)
    except ConfigError as error:
        return _page(request, wrong=str(error), list=text)
    yaml = f"{without_input(goal).rstrip()}\npacs: {flow({**section, 'list': LIST, 'dir': INPUT})}\n"
    job = site.jobs.make(" ".join(form.get("title", "").split()), yaml)
    write_whole(job.path(LIST), text)
    return RedirectResponse(f"/jobs/{job.id}/edit", 303)


def _checked(asked: Mapping[str, str]) -> dict[str, str]:
    """Conditions as a find takes them; ConfigError for what is none, or for none at all."""
    keys = {name: text_of(name, text) for name, text in asked.items()}
    for name, text in keys.items():
        if wrong := wrong_key(name) or wrong_value(name, text):
            raise ConfigError(f"{name}: {wrong}")
    if not keys:
        raise ConfigError("nothing is asked for: fill in one field at least")
    return keys


def _tree(found: Iterable[Match]) -> list[Patient]:
    """Patients with studies with series, in the order of the answer."""
    patients: dict[str, Patient] = {}
    for match in found:
        told = {name: _text(match, name) for name in _COLUMNS}
        patient = patients.setdefault(told["PatientID"], Patient(told["PatientID"], told["PatientName"]))
        uid = told["StudyInstanceUID"]
        study = Study(uid, told["StudyDate"], told["StudyDescription"], told["AccessionNumber"])
        patient.studies.setdefault(uid, study).series.append(told)
    return list(patients.values())


def _text(match: Match, name: str) -> str:
    value = match.get(name, "")
    return value if isinstance(value, str) else "\\".join(value)


def _page(request: Request, **values: Any) -> Response:
    site = site_of(request)
    shown: dict[str, Any] = {
        "settings": pacs_settings.read(site.places.workspace),
        "asked": {},
        "patients": None,
        "count": 0,
        "more": False,
        "remarks": [],
        "wrong": "",
        "findings": None,
        "list": "",
        "asks": None,
    }
    status = 422 if values.get("wrong") else 200
    return site.page(request, "search.html", status, names=pacs_settings.NAMES, fields=ASKED, **{**shown, **values})


ROUTES = [
    Route("/search", show, methods=["GET"]),
    Route("/search", with_form(search), methods=["POST"]),
    Route("/search/pacs", with_form(keep), methods=["POST"]),
    Route("/search/test", with_form(test), methods=["POST"]),
    Route("/search/select", with_form(select), methods=["POST"]),
    Route("/search/list", with_form(cohort), methods=["POST"]),
]

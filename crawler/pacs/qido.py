"""Queries by QIDO-RS (PS3.18 10.6), page by page until a page is empty.

One query at a time: levels, splitting and the second look at the answers are in `find.py`. It retrieves nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from crawler.errors import PacsError, RequestError
from crawler.pacs.find import CutOff
from crawler.pacs.http import WebClient, outcome_of, status_words, wait_of, whole
from crawler.pacs.matches import from_json
from crawler.pacs.model import Level, Match, Server
from crawler.pacs.query import is_universal

# No multiple of a server's limit, so that a total that is one shows.
PAGE = 333
_UNIQUE = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "image": "SOPInstanceUID"}


class QidoClient:
    """Asks by QIDO-RS."""

    def __init__(self, server: Server) -> None:
        self._client = WebClient(server)
        self._never = threading.Event()

    def close(self) -> None:
        """Close the connections that are not in use; idempotent."""
        self._client.close()

    def ask(self, level: Level, keys: Mapping[str, str]) -> Iterator[Match]:
        """Yield the answers to one query; see `Asker`."""
        path, rest = _resource(level, keys)
        conditions = [(keyword, value.replace("\\", ",")) for keyword, value in rest.items() if not is_universal(value)]
        wanted = [("includefield", keyword) for keyword, value in rest.items() if is_universal(value)]
        unique = _UNIQUE[level]
        seen: set[str] = set()
        offset = 0
        while True:
            page = [("limit", str(PAGE)), ("offset", str(offset))]
            answers = _json(
                self._client, f"{path}?{urlencode(conditions + wanted + page, quote_via=quote)}", self._never
            )
            if not answers:
                return
            new = False
            for match in map(from_json, answers):
                uid = str(match.get(unique, ""))
                if uid not in seen:
                    seen.add(uid)
                    new = True
                    yield match
            if not new:  # the server does not know `offset`, and sends its first page again and again
                if len(answers) == PAGE:
                    raise CutOff("the server sends the same page again and again", "failed")
                return
            offset += len(answers)


def series_of(client: WebClient, study_uid: str, sop_uid: str, stop: threading.Event) -> str:
    """Return the series of an instance, which WADO-RS must be told.

    Raises
    ------
    RequestError
        The server knows no such instance.
    """
    query = urlencode([("SOPInstanceUID", sop_uid), ("includefield", "SeriesInstanceUID")])
    for match in map(from_json, _json(client, f"/studies/{quote(study_uid)}/instances?{query}", stop)):
        if match.get("SOPInstanceUID") == sop_uid and isinstance(uid := match.get("SeriesInstanceUID"), str) and uid:
            return uid
    raise RequestError("the server knows no series of an instance that was asked for")


def _resource(level: Level, keys: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Path of a query, and the keys that are not in it."""
    rest = dict(keys)
    path = ""
    if level in {"series", "image"} and (study := rest.pop("StudyInstanceUID", "")):
        path += f"/studies/{quote(study)}"
        if level == "image" and (series := rest.pop("SeriesInstanceUID", "")):
            path += f"/series/{quote(series)}"
    resource = {"study": "studies", "series": "series", "image": "instances"}.get(level)
    if resource is None:
        raise PacsError("DICOMweb has no queries for patients")
    return f"{path}/{resource}", rest


def _json(client: WebClient, path: str, stop: threading.Event) -> list[Any]:
    """The objects of an answer."""
    with client.request("GET", path, stop, {"Accept": "application/dicom+json"}) as response:
        body = whole(response)
    if response.status == 204:
        return []
    if response.status == 413:  # PS3.18 table 10.6.3-1: the search was too broad
        raise CutOff(f"the server answers {status_words(413)}", "busy", 413)
    if response.status not in {200, 206}:
        status = response.status
        raise RequestError(f"the server answers {status_words(status)}", outcome_of(status), status, wait_of(response))
    try:
        answers = json.loads(body)
    except ValueError as error:
        raise RequestError("the server's answer is no JSON") from error
    if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
        raise RequestError("the server's answer is no list of datasets")
    return answers

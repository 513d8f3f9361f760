"""The section `pacs` of the configuration: which server, what of it, how, and where received files lie.

Addresses that the document leaves out come from the environment or a ``.env`` file. Secrets are never keys: user name
and password of DICOMweb are read from there when a connection is made, and are in no copy of the configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from crawler.config.sections import key
from crawler.config.sizes import A_SIZE, read_size
from crawler.config.yaml_nodes import Problem
from crawler.pacs.address import ADDRESSES, Address, is_address, parse_address, settings, wrong_aet
from crawler.pacs.query import is_number, text_of, wrong_key, wrong_request, wrong_value
from crawler.pacs.schedule import Rate, Window

Way = Literal["get", "move", "web"]

INCOMING = "incoming"
LARGEST_PORT = 65535
_URL = re.compile(r"https?://[^\s/@]+(/\S*)?", re.IGNORECASE)  # without name and password: they are no part of a file


def read_window(written: object) -> object:
    """A window as it was written; ValueError says what is expected."""
    if isinstance(written, str):
        Window.parse(written)
    return written


def read_rate(written: object) -> object:
    """A rate as it was written; ValueError says what is expected."""
    if isinstance(written, str | int | float):
        Rate.parse(written)
    return written


@dataclass(frozen=True, slots=True)
class TimeoutsSection:
    """How long to wait for a server."""

    connect: float = key(10.0, "time to connect, seconds", above=0, shapes=False)
    idle: float = key(60.0, "time without a byte, seconds; never that of a whole exchange", above=0, shapes=False)
    total: float | None = key(None, "time of one exchange, seconds; null: no bound", above=0, shapes=False)


@dataclass(frozen=True, slots=True)
class TlsSection:
    """Encrypted connections; present, they are used."""

    ca: str | None = key(
        None, "certificates of the authorities that are trusted, PEM; null: the system's", shapes=False
    )
    cert: str | None = key(None, "certificate of our own, PEM", shapes=False)
    hostname: str | None = key(None, "name in the server's certificate, where it is not pacs.host", shapes=False)
    # the last one: from here on, `key` is this field
    key: str | None = key(None, "private key of that certificate, PEM, without a password", shapes=False)


@dataclass(frozen=True, slots=True)
class PacsSection:
    """A PACS as the input."""

    host: str | None = key(None, "name or address of the server; else the variable PACS_IP", shapes=False)
    port: int | None = key(None, "its DICOM port; else PACS_PORT", minimum=1, shapes=False)
    called_aet: str | None = key(None, "its AE title; else CALLED_AET", shapes=False)
    calling_aet: str | None = key(None, "our AE title; else CALLING_AET, else DME", shapes=False)
    retrieve: Literal["auto", "get", "move", "web"] = key(
        "auto", "get: C-GET; move: C-MOVE; web: DICOMweb; auto: one after another for what is missing", shapes=False
    )
    calling_port: int | None = key(
        None, "port of our receiver, which C-MOVE needs; else CALLING_PORT", minimum=1, shapes=False
    )
    url: str | None = key(None, "root of DICOMweb, such as http://host:8042/dicom-web; else PACS_URL", shapes=False)
    query: Mapping[str, str | int | tuple[str | int, ...]] = key(
        dict, "conditions by keyword, with the wildcards and ranges of DICOM", shapes=False
    )
    list: str | None = key(None, "CSV file with one request a row; its columns are keywords", shapes=False)
    level: Literal["study", "series", "image"] = key("series", "what one request retrieves", shapes=False)
    dir: str = key(INCOMING, "folder of received files, the input of the run", shapes=False)
    associations: int = key(3, "retrievals at a time", minimum=1, shapes=False)
    rate: str | float | None = key(
        None,
        "files a second (20), or bytes a second (5 MB), at most; null: no bound",
        read=read_rate,
        expects="files a second (20), or bytes a second (5 MB)",
        above=0,
        shapes=False,
    )
    window: str | None = key(
        None, "hours in which to transfer, such as 20:00-06:00 Europe/Zurich; null: any", read=read_window, shapes=False
    )
    settle: float = key(2.0, "time that a count must hold before it is believed, seconds", minimum=0, shapes=False)
    timeouts: TimeoutsSection = key(TimeoutsSection, "how long to wait for the server", shapes=False)
    free_space: int = key(
        10**9, "space that stays free on the disk, bytes", read=read_size, expects=A_SIZE, minimum=1, shapes=False
    )
    tls: TlsSection | None = key(None, "encrypted connections", shapes=False)

    @property
    def keys(self) -> dict[str, str]:
        """The query as it is sent: keyword to value."""
        return {keyword: text_of(keyword, value) for keyword, value in self.query.items()}

    @property
    def methods(self) -> tuple[Way, ...]:
        """The ways to retrieve that can be tried, in their order."""
        if self.retrieve != "auto":
            return (self.retrieve,)
        dimse = self.port is not None
        ways: dict[Way, bool] = {"get": dimse, "move": dimse and self.calling_port is not None, "web": bool(self.url)}
        return tuple(way for way, usable in ways.items() if usable)


def input_of(data: Mapping[str, object]) -> dict[str, object]:
    """A document in which `dicom.dir` is said: with a section `pacs` it may be left out."""
    document, section = dict(data), data.get("pacs")
    dicom = document.get("dicom")
    if "pacs" not in document or section is False or not isinstance(dicom, dict | None) or "dir" in (dicom or {}):
        return document
    incoming = section.get("dir", INCOMING) if isinstance(section, dict) else INCOMING
    return document | {"dicom": {**(dicom or {}), "dir": incoming}}


def with_source(
    section: PacsSection | None, dirs: tuple[str, ...]
) -> tuple[PacsSection | None, tuple[str, ...], list[Problem]]:
    """Take PACS addresses out of the list of folders: the section, the folders that are left, what is wrong."""
    addresses = [path for path in dirs if is_address(path)]
    folders = tuple(path for path in dirs if not is_address(path))
    if not addresses:
        return section, folders, []
    where = ("dicom", "dir")
    if len(addresses) > 1:
        return section, folders, [Problem(where, "one PACS at most: run once for each", addresses)]
    try:
        address = parse_address(addresses[0])
    except ValueError as error:
        return section, folders, [Problem(where, f"expected {error}", addresses[0])]
    section = section or PacsSection()
    given = [section.host, section.port, section.called_aet]
    if any(given):
        return section, folders, [Problem(where, "the section pacs names a server, too: leave one out", addresses[0])]
    return _at(section, address), folders, []


def _at(section: PacsSection, address: Address) -> PacsSection:
    uids = {"StudyInstanceUID": address.study_uid, "SeriesInstanceUID": address.series_uid}
    query = dict(section.query) | {keyword: uid for keyword, uid in uids.items() if uid}
    return replace(section, host=address.host, port=address.port, called_aet=address.called_aet, query=query)


def with_environment(section: PacsSection, folders: Iterable[str]) -> tuple[PacsSection, list[Problem]]:
    """Fill in what the document leaves out; a variable that cannot be is a problem by its name."""
    found = settings(folders)
    problems: list[Problem] = []

    def number(name: str) -> int | None:
        text = found.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_PORT):
            problems.append(Problem(("pacs",), f"the variable {name} is no port: a number up to {LARGEST_PORT}"))
            return None
        return int(text)

    host, port, called, calling, calling_port, url = ADDRESSES
    filled = replace(
        section,
        host=section.host or found.get(host),
        port=section.port or number(port),
        called_aet=section.called_aet or found.get(called),
        calling_aet=section.calling_aet or found.get(calling),
        calling_port=section.calling_port or number(calling_port),
        url=section.url or found.get(url),
    )
    return filled, problems


def problems_of(section: PacsSection, retrieves: bool = True) -> Iterator[Problem]:
    """What cannot be, of the section as a whole; `retrieves` says whether it must name a server and what is wanted."""
    if retrieves:
        yield from missing_server(section)
        if section.retrieve == "move" and section.calling_port is None:
            yield Problem(("pacs", "calling_port"), "required for move, here or as the variable CALLING_PORT")
        if section.retrieve == "web" and section.url is None:
            yield Problem(("pacs", "url"), "required for web, here or as the variable PACS_URL")
        if not section.query and section.list is None:
            text = "required, or pacs.list: without either it would retrieve the whole archive"
            yield Problem(("pacs", "query"), text)
    yield from _wrong_server(section)
    named = False
    for keyword, text in section.keys.items():
        wrong = wrong_key(keyword) or _wrong_number(keyword, section.query[keyword]) or wrong_value(keyword, text)
        if wrong:
            named = True
            yield Problem(("pacs", "query", keyword), wrong)
    if section.query and not named and section.list is None and (wrong := wrong_request(section.keys)):
        yield Problem(("pacs", "query"), wrong)


def missing_server(section: PacsSection) -> Iterator[Problem]:
    """What is missing of the server's address."""
    web = section.url is not None and section.retrieve not in ("get", "move")
    if section.host is None and not web:
        yield Problem(("pacs", "host"), "required, here or as the variable PACS_IP")
    if section.port is None and not web:
        yield Problem(("pacs", "port"), "required, here or as the variable PACS_PORT")


def _wrong_number(keyword: str, written: object) -> str:
    """Refuse a number where text is meant: YAML 1.1 reads 0012 as ten, and 070000 as 28,672."""
    values = written if isinstance(written, tuple) else (written,)
    if any(isinstance(value, int) for value in values) and not is_number(keyword):
        return "expected text; put it in quotes, as YAML takes other meanings out of digits"
    return ""


def _wrong_server(section: PacsSection) -> Iterator[Problem]:
    for name in ("port", "calling_port"):
        port = getattr(section, name)
        if port is not None and port > LARGEST_PORT:
            yield Problem(("pacs", name), f"expected at most {LARGEST_PORT}", port)
    for name in ("called_aet", "calling_aet"):
        title = getattr(section, name)
        if title is not None and (wrong := wrong_aet(title)):
            yield Problem(("pacs", name), wrong, title)
    if section.url is not None and not _URL.fullmatch(section.url):
        yield Problem(("pacs", "url"), "expected http:// or https://, without name and password", NOT_SHOWN)
    if section.tls is not None and (section.tls.cert is None) != (section.tls.key is None):
        given, other = ("cert", "key") if section.tls.key is None else ("key", "cert")
        yield Problem(("pacs", "tls", given), f"cert and key belong together; give pacs.tls.{other}, too")


NOT_SHOWN = "(not shown)"  # an address may hold a password


def env_folders(source: str | None, directory: str) -> list[str]:
    """Where a ``.env`` may lie: beside the configuration, then in the current directory."""
    return [*([os.path.dirname(source)] if source else []), directory]

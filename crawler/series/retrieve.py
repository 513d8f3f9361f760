"""Series on a PACS, fetched by C-GET into a temporary folder, by the package's own client and its limits of time."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from crawler.errors import PacsError
from crawler.pacs.address import parse_address
from crawler.pacs.get import GetTransport
from crawler.pacs.model import Received, Request, Server, Timeouts
from crawler.series.places import TemporaryFolder


def timeouts_of(seconds: float | None) -> Timeouts:
    """Limits of time: those of the package, or one for every kind of waiting."""
    return Timeouts() if seconds is None else Timeouts(connect=float(seconds), idle=float(seconds))


def retrieve(address: str, calling_aet: str = "DME", timeout: float | None = None) -> TemporaryFolder:
    """Fetch what an address names: a study, or a series of it. The folder goes with the object.

    Raises
    ------
    PacsError
        The address names no study, the server cannot be asked, or not everything arrived.
    """
    try:
        place = parse_address(address)
    except ValueError as error:
        raise PacsError(f"{address}: {error}") from None
    if not place.study_uid:
        raise PacsError("to read from a PACS name a study: dicom://host:port/AET/study UID[/series UID]")
    folder = TemporaryFolder()
    target = Path(folder.name)
    names = iter(range(10**9))

    def deliver(received: Received) -> None:
        received.path.rename(target / f"{next(names):06d}.dcm")

    server = Server(place.host, place.port, place.called_aet, calling_aet, timeouts=timeouts_of(timeout))
    with tempfile.TemporaryDirectory(prefix="dme-get-", dir=folder.name) as temp:
        transport = GetTransport(server)
        request = Request(place.study_uid, place.series_uid or None)
        answer = transport.fetch(request, Path(temp), deliver, threading.Event())
    if not answer.ok or not answer.received:
        raise PacsError(f"{answer.received} images arrived, {answer.outcome}: {answer.reason or 'nothing was found'}")
    return folder

"""What a server supports, tried out: for one page that a PACS team can read. Nothing is retrieved, nothing is stored.

Every trial is on its own: one that fails is told and does not end the others. `pacs check` prints the findings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from time import perf_counter

from crawler.errors import PacsError, RequestError
from crawler.pacs import contexts
from crawler.pacs.cfind import FindScu
from crawler.pacs.find import CutOff
from crawler.pacs.http import WebClient, status_words, whole
from crawler.pacs.matches import to_identifier
from crawler.pacs.model import Server
from crawler.pacs.negotiation import associate
from crawler.pacs.pieces import suspicious
from crawler.pacs.receiver import Receiver
from crawler.pacs.scu import Scu

_TIMES = 5
# An answer of as many studies is long enough to show the usual limits, and short enough to be asked for.
MOST = 2000
# A UID that no study has: from a UUID, made once for this question.
_NOWHERE = "2.25.137716203137937205021838398346386812461"
_CLASSES = ("CT", "MR", "PT", "NM", "US", "XA", "CR", "DX", "MG", "SEG", "SR", "RTSTRUCT", "RTDOSE")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the page: what was tried, whether it works (None: neither yes nor no), and what was seen."""

    name: str
    works: bool | None
    detail: str = ""


def check(server: Server, stop: threading.Event | None = None) -> Iterator[Finding]:
    """Try a server out, and yield one finding after the other.

    Raises
    ------
    PacsError
        The host, the certificates or the AE titles are wrong.
    """
    stop = stop or threading.Event()
    if server.port:
        trials: list[Callable[[], Iterator[Finding]]] = [
            lambda: _echo(server, stop),
            lambda: _models(server, stop),
            lambda: _latency(server),
            lambda: _limit(server),
            lambda: _storage(server, stop),
            lambda: _receiver(server),
        ]
        for trial in trials:
            if stop.is_set():
                return
            yield from trial()
    if server.url is not None and not stop.is_set():
        yield from _web(server, stop)


def _echo(server: Server, stop: threading.Event) -> Iterator[Finding]:
    """Association and C-ECHO."""
    with _told("C-ECHO") as told:
        began = perf_counter()
        association = associate(server, [(contexts.VERIFICATION, contexts.PLAIN)], stop)
        opened = perf_counter() - began
        association.release()
        with Scu(server, [contexts.VERIFICATION]) as scu:
            times = [_timed(scu.echo) for _ in range(_TIMES)]
        told.append(
            Finding("C-ECHO", True, f"{median(times) * 1000:.1f} ms; the association took {opened * 1000:.1f} ms")
        )
    yield from told


def _models(server: Server, stop: threading.Event) -> Iterator[Finding]:
    """Which query and retrieve services are accepted, and who answers."""
    services = {
        "C-FIND (Study Root)": contexts.STUDY_FIND,
        "C-FIND (Patient Root)": contexts.PATIENT_FIND,
        "C-GET": contexts.STUDY_GET,
        "C-MOVE": contexts.STUDY_MOVE,
    }
    with _told("query and retrieve") as told:
        association = associate(server, [(uid, contexts.PLAIN) for uid in services.values()], stop)
        association.release()
        for name, uid in services.items():
            works = association.context_for(uid) is not None
            told.append(Finding(name, works, "the context is accepted" if works else "the context is refused"))
        told.append(Finding("implementation", None, association.implementation or "not told"))
    yield from told


def _latency(server: Server) -> Iterator[Finding]:
    """A query for nothing, with and without Nagle's algorithm on our side: two small messages in a row show it."""
    for name, nagle in (("query without Nagle's algorithm", False), ("query with Nagle's algorithm", True)):
        with _told(name) as told:
            with Scu(server, [contexts.STUDY_FIND], nagle=nagle) as scu:
                times = [_timed(lambda scu=scu: _nothing(scu)) for _ in range(_TIMES)]  # type: ignore[misc]
            told.append(Finding(name, True, f"{median(times) * 1000:.1f} ms"))
        yield from told


def _nothing(scu: Scu) -> None:
    from io import BytesIO

    from pydicom.filereader import read_dataset

    implicit = contexts.PLAIN[0]
    body = to_identifier("study", {"StudyInstanceUID": _NOWHERE}, implicit)
    for _ in scu.find(contexts.STUDY_FIND, read_dataset(BytesIO(body), True, True)):
        pass


def _limit(server: Server) -> Iterator[Finding]:
    """How many studies an answer holds."""
    name = "answer limit"
    with _told(name) as told, closing(FindScu(server)) as asker:
        count = 0
        try:
            for _ in islice(asker.ask("study", {"StudyInstanceUID": ""}), MOST):
                count += 1
        except CutOff as error:
            told.append(Finding(name, False, f"{count} studies, then: {error.reason}"))
        else:
            if count == MOST:
                told.append(Finding(name, True, f"none up to {MOST} studies"))
            elif suspicious(count):
                told.append(Finding(name, None, f"perhaps {count} studies: a count at which servers cut off"))
            else:
                told.append(Finding(name, True, f"none met: {count} studies"))
    yield from told


def _storage(server: Server, stop: threading.Event) -> Iterator[Finding]:
    """Which storage classes and transfer syntaxes a C-GET may have; those of some modalities stand for all."""
    name = "transfer syntaxes for C-GET"
    classes = [next(contexts.classes_for([modality])) for modality in _CLASSES]
    proposed = 0
    accepted: dict[str, set[str]] = {}
    with _told(name) as told:
        for plan in contexts.plans(classes, (), (), contexts.LIMIT - 1):
            pairs: list[tuple[str, tuple[str, ...]]] = [(contexts.STUDY_GET, contexts.PLAIN)]
            pairs += [(sop_class, (syntax,)) for sop_class, syntax in plan]
            association = associate(server, pairs, stop, scp=dict(plan))
            association.release()
            proposed += len(plan)
            for context in association.contexts.values():
                if context.sop_class != contexts.STUDY_GET:
                    accepted.setdefault(context.sop_class, set()).add(context.syntaxes[0])
        pairs_accepted = sum(map(len, accepted.values()))
        syntaxes = {syntax for found in accepted.values() for syntax in found}
        detail = f"{pairs_accepted} of {proposed} contexts accepted, {len(accepted)} of {len(classes)} SOP classes"
        compressed = syntaxes - {*contexts.PLAIN, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
        detail += f"; {len(compressed)} compressed syntaxes" if compressed else "; no compressed syntax"
        told.append(Finding(name, bool(accepted), detail))
    yield from told


def _receiver(server: Server) -> Iterator[Finding]:
    """Whether our own port for C-MOVE can be listened on."""
    name = "receiver for C-MOVE"
    if server.calling_port is None:
        yield Finding(name, None, "pacs.calling_port is not set")
        return
    try:
        receiver = Receiver(server, lambda _: None, lambda *_: False)
    except PacsError as error:
        yield Finding(name, False, str(error))
        return
    receiver.close()
    yield Finding(name, True, f"port {receiver.port}; the server must know {server.calling_aet} at this address")


def _web(server: Server, stop: threading.Event) -> Iterator[Finding]:
    """QIDO-RS, WADO-RS and STOW-RS, by what is answered for a study that is nowhere."""
    hurried = replace(server, timeouts=replace(server.timeouts, total=server.timeouts.idle))
    with closing(WebClient(hurried)) as client:
        length = {"Content-Type": _STOW, "Content-Length": str(len(_EMPTY))}
        json, wado = {"Accept": "application/dicom+json"}, {"Accept": _WADO}
        for name, method, path, headers, good, asked in (
            ("QIDO-RS", "GET", "/studies?limit=1", json, {200, 204}, "asked for one study"),
            ("WADO-RS", "GET", f"/studies/{_NOWHERE}", wado, {204, 404}, "asked for a study that is not there"),
            ("STOW-RS", "POST", "/studies", length, {200, 202, 400, 409}, "given a message without an instance"),
        ):
            with _told(name) as told:
                body = (lambda: [_EMPTY]) if method == "POST" else None
                with client.request(method, path, stop, headers, body) as response:
                    whole(response)
                answer = status_words(response.status) + (f", {asked}" if response.status >= 400 else "")
                told.append(Finding(name, response.status in good, answer))
            yield from told


_WADO = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_STOW = 'multipart/related; type="application/dicom"; boundary=none'
_EMPTY = b"--none--\r\n"


def _timed(action: Callable[[], None]) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began


@contextmanager
def _told(name: str) -> Iterator[list[Finding]]:
    """Findings of one trial; a request that fails is one."""
    found: list[Finding] = []
    try:
        yield found
    except RequestError as error:
        found.append(Finding(name, False, error.reason))

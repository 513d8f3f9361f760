"""PACS in this process: one by pynetdicom that behaves, and one that does what a script says, faults included."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from crawler.errors import CrawlerError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association, Discarded
from crawler.pacs.command import Command
from crawler.pacs.model import Server, Timeouts
from crawler.pacs.negotiation import accept
from crawler.pacs.pdu import Context

# Short enough for a test to wait for, long enough for a machine that is busy.
SHORT = Timeouts(connect=10, idle=0.3)
LONG = Timeouts(connect=30, idle=30)
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}

Find = Callable[[Dataset], Iterator[tuple[int, Dataset | None]]]


@contextmanager
def fake_pacs(
    datasets: Sequence[Dataset] = (),
    find: Find | None = None,
    calling_port: int = 0,
    title: str = "FAKE",
    syntaxes: Sequence[str] = tuple(ALL_TRANSFER_SYNTAXES),
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> Iterator[Server]:
    """pynetdicom's server over some instances; `options` are those of its AE."""

    def wanted(identifier: Dataset) -> list[Dataset]:
        def fits(dataset: Dataset) -> bool:
            for keyword in UNIQUE.values():
                asked = identifier.get(keyword)
                values = [asked] if isinstance(asked, str) else asked
                if asked and dataset.get(keyword) not in values:
                    return False
            return True

        return [dataset for dataset in datasets if fits(dataset)]

    def on_find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if find is not None:
            yield from find(event.identifier)
            return
        unique = UNIQUE[event.identifier.QueryRetrieveLevel]
        groups = {dataset[unique].value: dataset for dataset in wanted(event.identifier)}
        for dataset in groups.values():
            answer = Dataset()
            for element in event.identifier:
                setattr(answer, element.keyword, dataset.get(element.keyword, ""))
            yield 0xFF00, answer

    def on_get(event: Any) -> Iterator[Any]:
        found = wanted(event.identifier)
        yield len(found)
        for dataset in found:
            yield 0xFF00, dataset

    def on_move(event: Any) -> Iterator[Any]:
        yield "127.0.0.1", calling_port
        yield from on_get(event)

    ae = AE(title)
    for name, value in options.items():
        setattr(ae, name, value)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, list(syntaxes), scu_role=True, scp_role=True)
    for sop_class in (
        Verification,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(sop_class)
    for dataset in datasets:
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    handlers = [(evt.EVT_C_FIND, on_find), (evt.EVT_C_GET, on_get), (evt.EVT_C_MOVE, on_move)]
    listener = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        port = listener.socket.getsockname()[1]
        yield Server("127.0.0.1", port, title, "DME", calling_port, timeouts=LONG)
    finally:
        listener.shutdown()


Script = Callable[[Association, int, Command], None]


@contextmanager
def scripted(
    script: Script,
    timeouts: Timeouts = SHORT,
    refuse: Mapping[str, int] | None = None,
    calling_port: int = 0,
) -> Iterator[Server]:
    """A server that accepts associations and calls `script` with each command; `refuse`: SOP class -> result."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    threads: list[threading.Thread] = []

    def choose(context: Context) -> Context:
        result = (refuse or {}).get(context.sop_class, (refuse or {}).get(context.syntaxes[0], 0))
        return Context(context.number, context.sop_class, context.syntaxes[:1], result)

    def serve(sock: socket.socket) -> None:
        with sock, suppress(CrawlerError, OSError):
            association, _ = accept(sock, LONG, stop, choose, None)
            while (message := association.read(lambda *_: Discarded())) is not None:
                number, command, _ = message
                script(association, number, command)

    def run() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(sock,)))
                threads[-1].start()

    acceptor = threading.Thread(target=run)
    acceptor.start()
    try:
        port = listener.getsockname()[1]
        yield Server("127.0.0.1", port, "FAKE", "DME", calling_port, timeouts=timeouts)
    finally:
        stop.set()
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def reply(request: Command, status: int, **counts: int) -> Command:
    """A response to a request."""
    return Command(request.field | dimse.RESPONSE, request.sop_class, request.message, status=status, **counts)


def store(association: Association, sop_class: str, sop_uid: str, data: bytes = b"\x08\0\x60\0\x02\0\0\0CT") -> int:
    """Send an instance over an association that asked for it, and return the status of the answer."""
    context = association.context_for(sop_class)
    assert context is not None
    association.send(
        context.number,
        Command(dimse.STORE, sop_class, 77, priority=0, data=dimse.WITH_DATA, sop_uid=sop_uid),
        data,
    )
    message = association.read(lambda *_: Discarded())
    assert message is not None
    assert message[1].status is not None
    return message[1].status

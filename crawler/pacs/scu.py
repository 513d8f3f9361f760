"""C-ECHO and C-FIND through pynetdicom (PS3.7 9.1.5, 9.1.2): a second implementation, for looking at a server.

`check.py` uses it, so that what it says does not rest on our own associations alone. Work goes through `cfind.py`,
which is faster; instances never pass through here.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from crawler.errors import PacsError, RequestError
from crawler.pacs import contexts
from crawler.pacs.model import Server
from crawler.pacs.negotiation import rejection
from crawler.pacs.wire import client_context, connect

# As large as dcmtk's largest; answers to queries are small.
_MAX_PDU = 131072
# Its log lines hold identifiers of patients, and what matters in them is raised here.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom import AE
    from pynetdicom.association import Association
    from pynetdicom.events import Event


class Scu:
    """An association through pynetdicom, as a context manager.

    Parameters
    ----------
    sop_classes
        Verification and the FIND models that are wanted.
    nagle
        Whether Nagle's algorithm stays on, as pynetdicom leaves it: to measure what it costs.

    Raises
    ------
    PacsError
        The host, the certificates or the AE titles are wrong.
    RequestError
        There is no server, it is busy, or it supports none of these.
    """

    def __init__(self, server: Server, sop_classes: Sequence[str], *, nagle: bool = False) -> None:
        from pynetdicom import AE, evt  # 0.3 s; only runs that ask a PACS pay for it

        self._server = server
        ae = AE(ae_title=server.calling_aet)
        ae.acse_timeout = ae.dimse_timeout = server.timeouts.idle
        ae.connection_timeout = server.timeouts.connect
        ae.network_timeout = None  # would end an association while its consumer thinks
        for sop_class in sop_classes:
            ae.add_requested_context(sop_class, list(contexts.PLAIN))
        tls = server.tls and (client_context(server.tls), server.tls.hostname or server.host)
        handlers: list[Any] = [] if nagle else [(evt.EVT_CONN_OPEN, _no_delay)]
        self.association = self._associate(ae, handlers, tls)
        _guard(self.association)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None and self.association.is_established:
            self.association.release()
        else:
            self.association.abort()

    def supports(self, sop_class: str) -> bool:
        """Whether the server accepted a context for it."""
        return any(context.abstract_syntax == sop_class for context in self.association.accepted_contexts)

    def echo(self) -> None:
        """Ask for a sign of life.

        Raises
        ------
        RequestError
            None came.
        """
        since = monotonic()
        status = self.association.send_c_echo()
        if "Status" not in status:
            raise self._no_answer(since)
        if status.Status != 0:
            raise RequestError(f"C-ECHO failed with status 0x{status.Status:04X}", "failed", status.Status)

    def find(self, sop_class: str, identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        """Yield status and identifier of each response, the final one last; no answer is never "no match".

        Raises
        ------
        RequestError
            The server does not support it, fell silent, or broke off.
        """
        if not self.supports(sop_class):
            raise RequestError("the server does not support this C-FIND", "refused")
        if not self.association.is_established:
            raise RequestError("the other side closed the connection", "dropped")
        since = monotonic()
        for status, dataset in self.association.send_c_find(identifier, sop_class):
            if "Status" not in status:
                raise self._no_answer(since)
            yield status.Status, dataset
            since = monotonic()

    def _no_answer(self, since: float) -> RequestError:
        """Why there is none: pynetdicom tells a silence and a lost connection alike, by a status without Status."""
        idle = self._server.timeouts.idle
        if monotonic() - since >= idle:
            return RequestError(f"nothing came for {idle:g} s (timeouts.idle)", "silent")
        return RequestError("the other side closed the connection", "dropped")

    def _associate(self, ae: AE, handlers: list[Any], tls: Any) -> Association:
        server = self._server
        try:
            association = ae.associate(
                server.host,
                server.port,
                ae_title=server.called_aet,
                evt_handlers=handlers,
                tls_args=tls or None,
                max_pdu=_MAX_PDU,
            )
        except socket.gaierror as error:
            raise PacsError("pacs.host: no such host") from error
        if association.is_established:
            return association
        if association.is_rejected and (answer := association.acceptor.primitive) is not None:
            raise rejection(answer.result or 1, answer.result_source or 1, answer.diagnostic or 1)
        if association.rejected_contexts:
            raise RequestError("the server supports none of the queries", "refused")
        # pynetdicom only logs why there is no connection; ours raises it.
        connect(server).close()
        raise RequestError("the server ended the association while it was negotiated", "dropped")


def _no_delay(event: Event) -> None:
    """Turn Nagle's algorithm off; pynetdicom has no option for it."""
    sock = event.assoc.dul.socket
    if sock is not None and sock.socket is not None:
        sock.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _guard(association: Association) -> None:
    """Keep pynetdicom 3.0.4's reactor thread from swallowing a response.

    The thread is woken after a request; when the next one is sent at once, it may still take a message out of the
    queue, and the request then waits for its time-out (5 of 4,000 back-to-back C-ECHO; with this guard 0 of 10,400).
    """
    checkpoint = getattr(association, "_reactor_checkpoint", None)
    if checkpoint is None:
        return
    get_msg = association.dimse.get_msg

    def guarded(block: bool = False) -> Any:
        if not block and not checkpoint.is_set():
            return None, None  # a request owns the queue
        return get_msg(block)

    association.dimse.get_msg = guarded  # type: ignore[method-assign]

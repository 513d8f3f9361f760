"""How an association begins (PS3.8 section 7.1): asked for by us, or by another and answered.

Contexts, roles and the size of PDUs are agreed upon here; messages are up to `association.py`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence

from crawler.errors import CrawlerError, PacsError, RequestError
from crawler.pacs import pdu
from crawler.pacs.association import Association
from crawler.pacs.model import Server, Timeouts
from crawler.pacs.pdu import Associate, Context
from crawler.pacs.wire import Wire, connect

# What we announce, PS3.8 annex D.1: large enough that a slice of a CT is one PDU.
MAX_PDU = 1 << 20
_MAX_ASSOCIATE = 1 << 20  # 128 contexts of 60 syntaxes each take some 300 kB


def associate(
    server: Server,
    proposed: Sequence[tuple[str, Sequence[str]]],
    stop: threading.Event,
    *,
    scp: Iterable[str] = (),
    nagle: bool = False,
) -> Association:
    """Open an association.

    Parameters
    ----------
    proposed
        SOP class and its transfer syntaxes, a presentation context each; 128 at most.
    scp
        SOP classes for which we offer to be the SCP, as C-GET needs (PS3.7 D.3.3.4).

    Returns
    -------
    Association
        With the contexts that were accepted, perhaps none; `refused` holds the others.

    Raises
    ------
    PacsError
        The host, the certificates or the AE titles are wrong.
    RequestError
        There is no server, it is busy, or it broke off.
    """
    if len(proposed) > 128:
        raise ValueError("an association has 128 presentation contexts at most (PS3.8 9.3.2.2)")
    contexts = tuple(Context(2 * n + 1, uid, tuple(syntaxes)) for n, (uid, syntaxes) in enumerate(proposed))
    wire = Wire(connect(server, nagle=nagle), server.timeouts, stop)
    try:
        roles = {uid: (False, True) for uid in scp}
        offer = Associate(server.called_aet, server.calling_aet, contexts, MAX_PDU, roles)
        wire.send(pdu.encode_associate(offer, pdu.REQUEST))
        kind, length = wire.unpack(pdu.HEADER)
        if length > _MAX_ASSOCIATE:
            raise RequestError("the server does not speak DICOM: is this its DIMSE port?", "refused")
        body = wire.exactly(length)
        if kind == pdu.REJECT and length >= 4:
            raise rejection(*body[1:4])
        if kind == pdu.ABORT:
            raise RequestError("the server aborted the association while it was negotiated", "dropped")
        if kind != pdu.ACCEPT:
            raise RequestError("the server does not speak DICOM: is this its DIMSE port?", "refused")
        answer = pdu.decode_associate(body)
    except ValueError as error:
        wire.close()
        raise RequestError(f"the other side broke the protocol: {error}") from error
    except CrawlerError:
        wire.close()
        raise
    return _accepted(wire, contexts, answer)


def _accepted(wire: Wire, proposed: Sequence[Context], answer: Associate) -> Association:
    """The association, with the contexts as they were proposed and answered."""
    answers = {context.number: context for context in answer.contexts}
    accepted: dict[int, Context] = {}
    refused: list[Context] = []
    for context in proposed:
        its = answers.get(context.number)
        if its is not None and its.result == pdu.ACCEPTED and its.syntaxes and its.syntaxes[0] in context.syntaxes:
            accepted[context.number] = Context(context.number, context.sop_class, its.syntaxes[:1])
        else:
            result = its.result if its is not None and its.result else pdu.NO_REASON
            refused.append(Context(context.number, context.sop_class, context.syntaxes, result))
    return Association(wire, accepted, answer.max_length, answer.implementation, refused)


def rejection(result: int, source: int, reason: int) -> CrawlerError:
    """An A-ASSOCIATE-RJ as an error: wrong settings when asking again cannot help."""
    text = pdu.REJECTIONS.get((source, reason), f"reason {reason} of source {source}")
    if source == 1 and reason in {3, 7}:
        key = "calling_aet" if reason == 3 else "called_aet"
        return PacsError(f"pacs.{key}: the server rejects the association: {text}")
    outcome = "busy" if result == 2 or source == 3 else "refused"
    return RequestError(f"the server rejects the association: {text}", outcome)


def accept(
    sock: socket.socket,
    timeouts: Timeouts,
    stop: threading.Event,
    choose: Callable[[Context], Context],
    title: str | None,
) -> tuple[Association, Associate]:
    """Answer a request for an association.

    Parameters
    ----------
    choose
        Says of a proposed context which result and which one syntax it gets.
    title
        The AE title that the other side must call; None for any.

    Raises
    ------
    RequestError
        It was no request, or was rejected.
    """
    wire = Wire(sock, timeouts, stop)
    kind, length = wire.unpack(pdu.HEADER)
    if kind != pdu.REQUEST or length > _MAX_ASSOCIATE:
        raise RequestError("a caller does not speak DICOM")
    try:
        request = pdu.decode_associate(wire.exactly(length))
    except ValueError as error:
        raise RequestError(f"a caller broke the protocol: {error}") from error
    if title is not None and request.called != title:
        wire.send(pdu.encode_reject(1, 1, 7))
        raise RequestError("a caller was rejected: it called another AE title", "refused")
    answers = [choose(context) for context in request.contexts]
    # A requestor is the SCU unless it says otherwise; we are the SCP of all that is accepted.
    roles = {uid: (scu, False) for uid, (scu, _) in request.roles.items()}
    answer = Associate(request.called, request.calling, tuple(answers), MAX_PDU, roles)
    wire.send(pdu.encode_associate(answer, pdu.ACCEPT))
    accepted = {context.number: context for context in answers if context.result == pdu.ACCEPTED}
    return Association(wire, accepted, request.max_length, request.implementation), request

"""The conversation that C-GET and C-MOVE share (PS3.4 C.4.2, C.4.3): a request, pending responses, a final one.

Builds the identifier, reads until the final response, and notices a server that says "pending" without end. How the
instances arrive is up to `get.py` and `move.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from time import monotonic

from crawler.dicom import uids
from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs.association import Association, Collected, Discarded, Target
from crawler.pacs.command import Command
from crawler.pacs.model import Request
from crawler.pacs.storing import StoreScp

# A server that fetches from tape says "pending" for minutes on end, so responses without progress are borne this many
# times longer than silence is; dcm4che issues 199 and 366 are of servers that never stop.
_STALLED = 10
# UIDs of one request: some 16 kB, as much as a small PDU.
CHUNK = 256
_FAILED_LIST = 0x00080058


def identifier(request: Request, instance_uids: Sequence[str], syntax: str) -> bytes:
    """Return the identifier of a request, by the unique keys of its level and of those above (PS3.4 C.4.2.1.4)."""
    level = "IMAGE" if instance_uids else "SERIES" if request.series_uid else "STUDY"
    out = b""
    for group, element, vr, text in (
        (0x0008, 0x0018, b"UI", "\\".join(instance_uids)),
        (0x0008, 0x0052, b"CS", level),
        (0x0020, 0x000D, b"UI", request.study_uid),
        (0x0020, 0x000E, b"UI", request.series_uid or ""),
    ):
        if not text:
            continue
        value = text.encode("ascii", "replace")
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        if syntax == uids.ExplicitVRLittleEndian:
            out += struct.pack("<HH2sH", group, element, vr, len(value)) + value
        else:
            out += struct.pack("<HHI", group, element, len(value)) + value
    return out


def failed_uids(body: bytes, syntax: str) -> tuple[str, ...]:
    """Return the Failed SOP Instance UID List (0008,0058) of a response's identifier; () when there is none."""
    at = 0
    while at + 8 <= len(body):
        group, element, length = struct.unpack_from("<HHI", body, at)
        if syntax == uids.ExplicitVRLittleEndian:
            length >>= 16  # UI and all else that may stand here has 16 bits
        at += 8
        if group << 16 | element == _FAILED_LIST:
            text = body[at : at + length].decode("ascii", "replace")
            return tuple(uid for part in text.split("\\") if (uid := part.strip("\0 ")))
        at += length
    return ()


def converse(
    association: Association,
    number: int,
    request: Command,
    body: bytes,
    store: StoreScp | None,
    idle: float,
    arrived: Callable[[], int],
) -> tuple[Command, bytes]:
    """Send a C-GET-RQ or C-MOVE-RQ and read until its final response.

    Parameters
    ----------
    number
        Of the presentation context.
    store
        Takes the C-STORE requests of a C-GET; None in a C-MOVE.
    arrived
        How many instances have come so far.

    Returns
    -------
    Command, bytes
        The final response, and its identifier in the syntax of the context.

    Raises
    ------
    RequestError
        The connection broke, fell silent, or nothing but "pending" came.
    """
    association.send(number, request, body)
    progress: tuple[object, ...] = ()
    since = monotonic()

    def opener(context: int, command: Command) -> Target:
        if store is not None and command.field == dimse.STORE:
            return store.open(context, command)
        return Collected() if command.field == request.field | dimse.RESPONSE else Discarded()

    while True:
        message = association.read(opener)
        if message is None:
            raise RequestError("the server released the association before its last response", "dropped")
        context, command, target = message
        if store is not None and command.field == dimse.STORE:
            store.finish(context, command)
        elif command.field == request.field | dimse.RESPONSE:
            if not command.is_pending:
                return command, bytes(target.body) if isinstance(target, Collected) else b""
            now = (command.remaining, command.completed, command.failed, command.warning, arrived())
            if now != progress:
                progress, since = now, monotonic()
            elif monotonic() - max(since, association.wire.elsewhere()) > _STALLED * idle:
                raise RequestError(f"the server says pending, and nothing has come for {_STALLED * idle:g} s", "silent")
        elif not association.answer(context, command):
            raise RequestError(f"the server broke the protocol: command 0x{command.field:04X} in a retrieval")

"""Protocol data units of the upper layer (PS3.8 section 9): the bytes that open, refuse and end an association.

Pure functions from values to bytes and back; P-DATA-TF, where the instances are, is read by `association.py` as it
arrives. No sockets, no commands (`command.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# PS3.8 table 9-11 and following: PDU types.
REQUEST, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = 1, 2, 3, 4, 5, 6, 7
HEADER = struct.Struct(">BxI")
ITEM = struct.Struct(">BxH")

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 annex A.2.1
# From a UUID (PS3.5 annex B.2): uuid5(NAMESPACE_OID, "dme/implementation").
IMPLEMENTATION_UID = "2.25.249822453559503447030849469690528327849"
IMPLEMENTATION_NAME = "DME_1"  # at most 16 characters (PS3.7 D.3.3.2.3)

# PS3.8 table 9-18: results of a presentation context.
ACCEPTED, USER_REJECTION, NO_REASON, NO_SUCH_CLASS, NO_SUCH_SYNTAX = 0, 1, 2, 3, 4

# PS3.8 table 9-21, by (source, reason).
REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context: proposed with its syntaxes, or answered with a result and the syntax that was chosen."""

    number: int
    sop_class: str
    syntaxes: tuple[str, ...]
    result: int = ACCEPTED


@dataclass(frozen=True, slots=True)
class Associate:
    """A-ASSOCIATE-RQ or -AC (PS3.8 9.3.2, 9.3.3). `roles`: SOP class -> (SCU, SCP) of the requestor (PS3.7 D.3.3.4)."""

    called: str
    calling: str
    contexts: tuple[Context, ...]
    max_length: int = 0
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    implementation: str = ""


def encode_associate(value: Associate, kind: int) -> bytes:
    """Return the PDU of an association request (`REQUEST`) or of its acceptance (`ACCEPT`)."""
    items = [_item(0x10, _uid(APPLICATION_CONTEXT))]
    for context in value.contexts:
        if kind == REQUEST:
            names = _item(0x30, _uid(context.sop_class))
            body = bytes([context.number, 0, 0, 0]) + names
        else:
            body = bytes([context.number, 0, context.result, 0])
        body += b"".join(_item(0x40, _uid(syntax)) for syntax in context.syntaxes)
        items.append(_item(0x20 if kind == REQUEST else 0x21, body))
    user = _item(0x51, struct.pack(">I", value.max_length)) + _item(0x52, _uid(IMPLEMENTATION_UID))
    for uid, (scu, scp) in value.roles.items():
        name = _uid(uid)
        user += _item(0x54, struct.pack(">H", len(name)) + name + bytes([scu, scp]))
    user += _item(0x55, IMPLEMENTATION_NAME.encode())
    items.append(_item(0x50, user))
    body = struct.pack(">HH16s16s32x", 1, 0, _title(value.called), _title(value.calling)) + b"".join(items)
    return HEADER.pack(kind, len(body)) + body


def decode_associate(body: bytes) -> Associate:
    """Return what a PDU of either kind says, from its body after the header of 6 bytes.

    Raises
    ------
    ValueError
        Lengths do not fit.
    """
    if len(body) < 68:
        raise ValueError(f"A-ASSOCIATE of {len(body)} bytes")
    contexts: list[Context] = []
    roles: dict[str, tuple[bool, bool]] = {}
    max_length, implementation = 0, ""
    for kind, value in _items(body[68:]):
        if kind in {0x20, 0x21}:
            if len(value) < 4:
                raise ValueError("presentation context without its header")
            names = list(_items(value[4:]))
            sop_class = next((_text(name) for item, name in names if item == 0x30), "")
            syntaxes = tuple(_text(name) for item, name in names if item == 0x40)
            contexts.append(Context(value[0], sop_class, syntaxes, value[2]))
        elif kind == 0x50:
            for item, content in _items(value):
                if item == 0x51 and len(content) == 4:
                    (max_length,) = struct.unpack(">I", content)
                elif item == 0x52:
                    implementation = _text(content)
                elif item == 0x54 and len(content) >= 4:
                    end = 2 + int.from_bytes(content[:2])
                    if len(content) < end + 2:
                        raise ValueError("role selection is cut off")
                    roles[_text(content[2:end])] = bool(content[end]), bool(content[end + 1])
    called, calling = (body[at : at + 16].decode("ascii", "replace").strip("\0 ") for at in (4, 20))
    return Associate(called, calling, tuple(contexts), max_length, roles, implementation)


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return HEADER.pack(REJECT, 4) + bytes([0, result, source, reason])


def encode_end(kind: int, source: int = 0, reason: int = 0) -> bytes:
    """A-RELEASE-RQ, A-RELEASE-RP or A-ABORT (PS3.8 9.3.6 to 9.3.8)."""
    return HEADER.pack(kind, 4) + bytes([0, 0, source, reason])


def _item(kind: int, body: bytes) -> bytes:
    return ITEM.pack(kind, len(body)) + body


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and contents of items that follow each other."""
    at = 0
    while at < len(body):
        if at + 4 > len(body):
            raise ValueError("item without its header")
        kind, length = ITEM.unpack_from(body, at)
        at += 4 + length
        if at > len(body):
            raise ValueError(f"item {kind:02X} is cut off")
        yield kind, body[at - length : at]


def _uid(text: str) -> bytes:
    """UIDs of the upper layer have no padding (PS3.8 annex F)."""
    return text.encode("ascii")


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def _title(text: str) -> bytes:
    return text.encode("ascii", "replace")[:16].ljust(16)

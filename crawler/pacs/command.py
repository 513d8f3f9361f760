"""Command sets of DIMSE (PS3.7 section 9.3 and annex E): the first half of each message.

A `Command` to bytes and back, in Implicit VR Little Endian as the standard fixes. It knows no datasets and no sockets.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from operator import attrgetter

# PS3.7 table E.1-1, (0000,0100): command fields; a response has bit 15.
STORE, GET, FIND, MOVE, ECHO, CANCEL = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF
RESPONSE = 0x8000
NO_DATA, WITH_DATA = 0x0101, 0x0000  # (0000,0800); anything but 0101 announces a dataset
MEDIUM = 0x0000  # (0000,0700), the priority that servers expect

UNRECOGNIZED = 0x0211
SUCCESS, PENDING, PENDING_WARNING, CANCELLED = 0x0000, 0xFF00, 0xFF01, 0xFE00

_HEADER = struct.Struct("<HHI")
_NUMBER = struct.Struct("<HHIH")


@dataclass(frozen=True, slots=True)
class Command:
    """The elements of group 0000 that these services use; None for those that are absent."""

    field: int
    sop_class: str | None = None
    message: int | None = None  # Message ID, or the one that is responded to
    destination: str | None = None  # C-MOVE: AE title
    priority: int | None = None
    data: int = NO_DATA
    status: int | None = None
    comment: str | None = None
    sop_uid: str | None = None
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    originator: str | None = None  # C-STORE inside a C-MOVE: AE title and Message ID of the move
    originator_message: int | None = None

    @property
    def has_data(self) -> bool:
        """Whether a dataset follows."""
        return self.data != NO_DATA

    @property
    def is_pending(self) -> bool:
        """Whether more responses follow this one."""
        return self.status in {PENDING, PENDING_WARNING}


# Element of group 0000 -> attribute, VR; in the order of encoding.
_ELEMENTS = {
    0x0002: ("sop_class", "UI"),
    0x0100: ("field", "US"),
    0x0110: ("message", "US"),
    0x0120: ("message", "US"),
    0x0600: ("destination", "AE"),
    0x0700: ("priority", "US"),
    0x0800: ("data", "US"),
    0x0900: ("status", "US"),
    0x0902: ("comment", "LO"),
    0x1000: ("sop_uid", "UI"),
    0x1020: ("remaining", "US"),
    0x1021: ("completed", "US"),
    0x1022: ("failed", "US"),
    0x1023: ("warning", "US"),
    0x1030: ("originator", "AE"),
    0x1031: ("originator_message", "US"),
}


# The same as encoding and decoding need it: both run for every instance that comes.
_ENCODED = tuple((element, vr == "US", b"\0" if vr == "UI" else b" ") for element, (_, vr) in _ELEMENTS.items())
_DECODED = {element: (name, vr == "US") for element, (name, vr) in _ELEMENTS.items()}
_values = attrgetter(*(name for name, _ in _ELEMENTS.values()))


def encode(command: Command) -> bytes:
    """Return the command set with its group length."""
    skipped = 0x0110 if command.field & RESPONSE or command.field == CANCEL else 0x0120
    body = b""
    for (element, is_number, pad), value in zip(_ENCODED, _values(command), strict=True):
        if value is None or element == skipped:
            continue
        if is_number:
            body += _NUMBER.pack(0, element, 2, value)
        else:
            content = value.encode("ascii", "replace")
            if len(content) % 2:
                content += pad
            body += _HEADER.pack(0, element, len(content)) + content
    return _HEADER.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def decode(body: bytes | bytearray) -> Command:
    """Return the command of a whole command set.

    Raises
    ------
    ValueError
        It is cut off, or has no command field.
    """
    body = bytes(body)
    values: dict[str, int | str] = {}
    at, end = 0, len(body)
    while at < end:
        if at + 8 > end:
            raise ValueError("a command element without its header")
        group, element, length = _HEADER.unpack_from(body, at)
        if group and "field" in values:
            break  # Orthanc 1.10 puts (0008,0058), the instances that failed, behind the command of a C-GET response
        begin = at + 8
        at = begin + length
        if group or at > end:
            raise ValueError("a command set that is cut off")
        if (found := _DECODED.get(element)) is None:
            continue
        name, is_number = found
        if not is_number:
            values[name] = body[begin:at].decode("ascii", "replace").strip("\0 ")
        elif length >= 2:
            values[name] = body[begin] | body[begin + 1] << 8
    if "field" not in values:
        raise ValueError("a command set without its command field")
    return Command(**values)  # type: ignore[arg-type]  # names and types are those of the table

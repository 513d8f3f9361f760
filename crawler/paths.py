"""Paths as text: any file name as valid Unicode with forward slashes, and back; and as text that a person may read."""

from __future__ import annotations

import os
import re

_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
TEMP = ".dme-tmp"  # folder of unfinished files, in each output folder
SHARDS = "dme-shards"  # folder in the output folder: ledgers and rows of shards, and their plan


def portable(path: str) -> str:
    r"""A native path as valid Unicode with forward slashes, reversible for names in any bytes.

    Bytes that are not UTF-8 become ``\xNN``; a component that holds such a byte, or a literal ``\x``, has its
    backslashes doubled, so that two names never share a text.
    """
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    if "\\x" not in path and path.isprintable():
        return path  # printable excludes the surrogates that stand for undecodable bytes
    return "/".join(map(_escaped, path.split("/")))


def native(text: str) -> str:
    """The native path that `portable` made a text of."""
    if "\\x" in text:
        text = "/".join(map(_unescaped, text.split("/")))
    return text.replace("/", os.sep)


def printable(text: str) -> str:
    r"""A text on one line, for a log or a terminal: what would forge a line or steer the terminal is escaped.

    Control characters (C0, C1, DEL), separators of lines, marks that change the direction of writing, and lone
    surrogates become ``\n``, ``\x1b``, ``\u202e``; everything else stays.
    """
    return text if text.isprintable() else _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def readable(path: str) -> str:
    """A native path in a message: as `portable` gives it, on one line."""
    return printable(portable(path))


def absolute(path: str, start: str) -> str:
    """A path as an absolute one that begins at a folder; ``~`` is the home folder."""
    return os.path.abspath(os.path.join(start, os.path.expanduser(path)))


def within(inner: str, outer: str) -> bool:
    """Whether a path is another, or lies below it."""
    return inner == outer or inner.startswith(os.path.join(outer, ""))


def _escaped(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        if "\\x" not in name:
            return name
    return name.encode("utf-8", "surrogateescape").replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _unescaped(name: str) -> str:
    if "\\x" not in name:
        return name
    return os.fsdecode(re.sub(rb"\\(?:x([0-9a-f]{2})|(\\))", _byte, name.encode("utf-8")))


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else b"\\"

"""What `dme web` was started with, checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

PORT = 8765
LANGUAGES = {"en": "English", "zh": "中文"}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server was started with.

    Attributes
    ----------
    workspace
        Absolute real path of the folder of jobs, uploads and the token.
    roots
        Absolute real paths of further folders that input may lie in and outputs may go to.
    host, port
        What it listens on; port 0 takes a free one.
    names
        Further names that a browser may call it by.
    language
        The one that a browser without a choice gets.
    at_once
        Jobs that run at a time; the others wait.
    tls
        Paths of certificate and key, or None.
    command
        What starts `dme`: program and first arguments.
    """

    workspace: str
    roots: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = PORT
    names: tuple[str, ...] = ()
    language: str = "en"
    at_once: int = 1
    tls: tuple[str, str] | None = None
    command: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a browser may call the server by, in small letters and without a port."""
        return frozenset(name.lower() for name in (*LOOPBACK, self.host, *self.names))


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

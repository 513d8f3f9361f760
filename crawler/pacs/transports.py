"""The ways to talk to a server, by their names in the configuration: one door to the modules behind.

It holds no logic; each module is loaded when it is asked for.
"""

from __future__ import annotations

from typing import Literal

from crawler.errors import PacsError
from crawler.pacs.model import Finder, Late, Note, Server, Transport
from crawler.pacs.send import Channel

Way = Literal["get", "move", "web"]
ORDER: tuple[Way, ...] = ("get", "move", "web")


def usable(server: Server) -> tuple[Way, ...]:
    """Return the ways that a server's settings allow, in the order of `retrieve: auto`."""
    ways = {"get": bool(server.port), "move": bool(server.port) and server.calling_port is not None}
    ways["web"] = server.url is not None
    return tuple(way for way in ORDER if ways[way])


def open_transport(way: Way, server: Server, late: Late | None = None, note: Note | None = None) -> Transport:
    """Return a transport; `late` and `note` are for C-MOVE, whose instances come to a receiver of ours.

    Raises
    ------
    PacsError
        The settings do not allow it.
    """
    if way not in usable(server):
        missing = {"get": "port", "move": "calling_port", "web": "url"}[way]
        raise PacsError(f"pacs.{missing}: is needed to retrieve by {way}")
    if way == "get":
        from crawler.pacs.get import GetTransport

        return GetTransport(server)
    if way == "move":
        from crawler.pacs.move import MoveTransport

        return MoveTransport(server, late, note)
    from crawler.pacs.wado import WebTransport

    return WebTransport(server)


def open_finder(server: Server, *, web: bool = False) -> Finder:
    """Return a finder, over C-FIND or (`web`, or without a DIMSE port) over QIDO-RS."""
    from crawler.pacs.find import SearchFinder

    if web or not server.port:
        from crawler.pacs.qido import QidoClient

        return SearchFinder(QidoClient(server))
    from crawler.pacs.cfind import FindScu

    return SearchFinder(FindScu(server))


def open_channel(server: Server, *, web: bool = False) -> Channel:
    """Return what `send` stores through: C-STORE, or (`web`, or without a DIMSE port) STOW-RS."""
    if web or not server.port:
        from crawler.pacs.stow import StowClient

        return StowClient(server)
    from crawler.pacs.store import StoreScu

    return StoreScu(server)

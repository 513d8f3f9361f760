"""A C-STORE SCP that listens on a port of ours (PS3.4 annex B), for C-MOVE and for a PACS that sends by itself.

A thread an association, each with its own buffer; every instance goes to a temporary file and then to the taker. It
accepts the first syntax of each proposed context, so nothing is converted. It does not know who asked for what.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

from crawler.errors import CrawlerError, PacsError, RequestError
from crawler.pacs import command as dimse
from crawler.pacs import contexts, pdu
from crawler.pacs.association import Association, Discarded, Target
from crawler.pacs.command import Command
from crawler.pacs.model import Note, Received, Server
from crawler.pacs.negotiation import accept
from crawler.pacs.pdu import Context
from crawler.pacs.storing import StoreScp, temporary_names
from crawler.pacs.wire import SLICE, server_context, words

# A PACS opens some tens at most; each has a buffer of 1 MB.
_ASSOCIATIONS = 64


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends an instance: AE title of the caller, and the C-MOVE that it belongs to when the caller says so."""

    title: str
    originator: str
    message: int | None
    sop_uid: str


class Receiver:
    """Listens from the moment that it is made until `close`.

    Parameters
    ----------
    server
        Whose instances are expected; our title is `calling_aet`, our port `calling_port`.
    folder
        Where an instance is written, on the file system of its final place; None when it is not wanted.
    take
        Called with each complete instance, in the thread of its association; whether it was taken. The sender is told.
    note
        Told in a sentence without identifiers of callers that were rejected and of associations that broke.
    any_title
        Whether a caller may call us by another AE title.

    Raises
    ------
    PacsError
        The port is taken, or the certificates cannot be used.
    """

    def __init__(
        self,
        server: Server,
        folder: Callable[[Sender], Path | None],
        take: Callable[[Received, Sender], bool],
        note: Note | None = None,
        *,
        any_title: bool = False,
    ) -> None:
        self._server = server
        self._folder = folder
        self._take = take
        self._note = note or (lambda _: None)
        self._title = None if any_title else server.calling_aet
        self._names = temporary_names()
        self._stop = threading.Event()
        self._tls = server_context(server.tls) if server.tls else None
        self._threads: set[threading.Thread] = set()
        self._open: dict[threading.Thread, Association] = {}
        self.failure: CrawlerError | None = None
        self._last = monotonic()
        self._listener = _listen(server)
        self._listener.settimeout(SLICE)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="pacs-receiver", daemon=True)
        self._acceptor.start()

    def heard(self) -> float:
        """Return the time (`monotonic`) of the last byte that came from anyone."""
        return max([self._last, *(one.wire.heard for one in list(self._open.values()))])

    @property
    def associations(self) -> int:
        """How many are open."""
        return len(self._open)

    def close(self) -> None:
        """Stop listening and abort what is open; files that are not complete are removed. Idempotent."""
        self._stop.set()
        self._acceptor.join()
        self._listener.close()
        for thread in list(self._threads):
            thread.join()

    # -- threads ----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Wait for callers."""
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if not self._stop.is_set():  # out of file descriptors: callers wait in the queue meanwhile
                    self._note(f"a caller could not be accepted ({words(error)})")
                    self._stop.wait(SLICE)
                continue
            if len(self._threads) >= _ASSOCIATIONS:
                sock.close()
                self._note(f"a caller was turned away: {_ASSOCIATIONS} associations are open")
                continue
            thread = threading.Thread(target=self._serve, args=(sock,), name="pacs-association", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        """Serve one caller to the end."""
        thread = threading.current_thread()
        try:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self._server.timeouts.connect)
                if self._tls is None:
                    self._converse(sock, thread)
                else:
                    with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                        self._converse(wrapped, thread)
        except RequestError as error:
            if not self._stop.is_set() or error.outcome == "refused":  # who was turned away is told in any case
                self._note(error.reason)
        except CrawlerError as error:
            self.failure = error
            self._note(str(error))
        except OSError as error:
            self._note(f"a caller's connection failed ({words(error)})")
        finally:
            self._last = monotonic()  # before the association goes, so that `heard` never steps back
            self._open.pop(thread, None)
            self._threads.discard(thread)

    def _converse(self, sock: socket.socket, thread: threading.Thread) -> None:
        """Answer C-STORE and C-ECHO until the caller releases."""
        association, request = accept(sock, self._server.timeouts, self._stop, _choose, self._title)
        self._open[thread] = association

        def sender(command: Command) -> Sender:
            return Sender(request.calling, command.originator or "", command.originator_message, command.sop_uid or "")

        store = StoreScp(
            association,
            self._names,
            lambda command: self._folder(sender(command)),
            lambda received, command: self._take(received, sender(command)),
        )

        def opener(number: int, command: Command) -> Target:
            return store.open(number, command) if command.field == dimse.STORE else Discarded()

        try:
            while (message := association.read(opener)) is not None:
                number, command, _ = message
                if command.field == dimse.STORE:
                    store.finish(number, command)
                else:
                    association.answer(number, command)
        except BaseException:
            association.abort()
            raise
        finally:
            store.discard()


def _choose(context: Context) -> Context:
    """Accept a storage class, or C-ECHO, in the first syntax that the caller names: the one that it prefers."""
    if context.sop_class != contexts.VERIFICATION and not contexts.is_storage(context.sop_class):
        return Context(context.number, context.sop_class, context.syntaxes[:1], pdu.NO_SUCH_CLASS)
    result = pdu.ACCEPTED if context.syntaxes else pdu.NO_SUCH_SYNTAX
    return Context(context.number, context.sop_class, context.syntaxes[:1], result)


def _listen(server: Server) -> socket.socket:
    """A listening socket: on the loopback interface for a server there, else on all."""
    port = server.calling_port or 0
    try:
        if _is_loopback(server.host):
            return socket.create_server(("127.0.0.1", port), backlog=_ASSOCIATIONS)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_ASSOCIATIONS)
        return socket.create_server(("", port), backlog=_ASSOCIATIONS)
    except OSError as error:
        raise PacsError(f"pacs.calling_port: cannot listen on port {port} ({words(error)})") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

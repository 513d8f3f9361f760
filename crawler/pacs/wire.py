"""A connection to another machine: one reusable buffer for all that arrives, and clocks that bound every wait.

Opens plain and TLS sockets, reads into the buffer, sends, and turns what can go wrong into `RequestError` (the other
side's doing) or `PacsError` (ours). It knows bytes, no PDUs.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from time import monotonic

from crawler.errors import PacsError, RequestError
from crawler.pacs.model import Server, Timeouts, Tls

# Several reads of a socket; 1 MB and 4 MB took the same time for 450 CT of 530 kB on loopback.
BUFFER = 1 << 20
# Seconds between two looks at `stop`: a fraction of what a person notices.
SLICE = 0.2
# Left-over bytes are moved to the front when less room than this is behind them.
_ROOM = 1 << 17


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return the settings of TLS for a connection that we open: verified against the CA, BCP 195 versions.

    Raises
    ------
    PacsError
        A file is missing or is no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise PacsError(f"pacs.tls: certificate or key cannot be used ({error.strerror or 'not PEM'})") from error
    return context


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return the settings of TLS for our own listener; callers must show a certificate when a CA is given."""
    if tls.cert is None:
        raise PacsError("pacs.tls: a receiver needs `cert` and `key`")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
        context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise PacsError(f"pacs.tls: certificate or key cannot be used ({error.strerror or 'not PEM'})") from error
    if tls.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def connect(server: Server, *, nagle: bool = False) -> socket.socket:
    """Open a connection to the DIMSE port.

    Raises
    ------
    PacsError
        The host is unknown, or the certificates do not fit.
    RequestError
        It is refused, or not answered in time: "dropped".
    """
    context = client_context(server.tls) if server.tls else None
    try:
        sock: socket.socket = socket.create_connection((server.host, server.port), server.timeouts.connect)
    except socket.gaierror as error:
        raise PacsError("pacs.host: no such host") from error
    except OSError as error:
        raise RequestError(f"no connection to the server ({words(error)})", "dropped") from error
    # Without it each small message waits 40 ms for the acknowledgement of the last one.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not nagle)
    if context is None or server.tls is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname=server.tls.hostname or server.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise PacsError(f"pacs.tls: the server's certificate is not trusted ({error.verify_message})") from error
    except (ssl.SSLEOFError, ConnectionError, TimeoutError) as error:
        sock.close()
        raise RequestError(f"the server ended the TLS handshake ({words(error)})", "dropped") from error
    except ssl.SSLError as error:
        sock.close()
        raise PacsError(f"pacs.tls: the handshake failed ({error.reason or 'no TLS'})") from error


def words(error: OSError) -> str:
    """What went wrong with a socket, without addresses."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return (getattr(error, "reason", None) or error.strerror or type(error).__name__).lower()


def refused_certificate(sock: socket.socket | None, error: Exception) -> PacsError | None:
    """Return the error of a server that does not take our certificate, if that is why a connection broke.

    In TLS 1.3 it judges after the handshake, and what we send meanwhile fails before its alert is read.
    """
    if not isinstance(sock, ssl.SSLSocket):
        return None
    if "ALERT" not in (getattr(error, "reason", None) or ""):
        try:
            sock.recv(1)
        except (OSError, ValueError) as alert:
            error = alert
    reason = getattr(error, "reason", None) or ""
    return PacsError(f"pacs.tls: the server refuses our certificate ({reason})") if "ALERT" in reason else None


class Wire:
    """A connected socket with its buffer.

    `heard` is the time (`monotonic`) of the last byte in; `elsewhere` may give that of another connection of the same
    exchange, as in C-MOVE, where the instances come to our receiver.
    """

    def __init__(self, sock: socket.socket, timeouts: Timeouts, stop: threading.Event) -> None:
        self._sock = sock
        self._timeouts = timeouts
        self._stop = stop
        self._view = memoryview(bytearray(BUFFER))
        self._start = self._end = 0
        self.heard = monotonic()
        self.elsewhere: Callable[[], float] = lambda: 0.0
        self._last = self.heard + timeouts.total if timeouts.total else float("inf")
        sock.settimeout(min(SLICE, timeouts.idle))

    def hurry(self, seconds: float) -> None:
        """Give the rest of the exchange that many seconds, whether it was told to stop or not."""
        self._stop = threading.Event()
        self._last = monotonic() + seconds

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Read a few numbers."""
        at = self._need(layout.size)
        self._start = at + layout.size
        return layout.unpack_from(self._view, at)

    def glance(self, layout: struct.Struct) -> tuple[int, ...] | None:
        """Return the numbers that come next and leave them there; None when they have not arrived."""
        return layout.unpack_from(self._view, self._start) if self._end - self._start >= layout.size else None

    def skip(self, count: int) -> None:
        """Pass over bytes that were glanced at."""
        self._start += count

    def exactly(self, count: int) -> bytes:
        """Read `count` bytes, at most the size of the buffer."""
        at = self._need(count)
        self._start = at + count
        return bytes(self._view[at : at + count])

    def some(self, most: int) -> memoryview:
        """Read at least one and at most `most` bytes; the view holds until the next read."""
        if self._start == self._end:
            self._fill()
        at = self._start
        self._start = min(at + most, self._end)
        return self._view[at : self._start]

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        view = memoryview(data)
        waited = monotonic()
        while view:
            try:
                view = view[self._sock.send(view) :]
                waited = monotonic()
            except TimeoutError:
                self._look(waited)
            except OSError as error:
                raise self._lost(error) from error

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._sock.close()

    def _need(self, count: int) -> int:
        """Where `count` bytes lie in the buffer, read if need be."""
        if count > BUFFER:
            raise RequestError("the server sent a protocol unit larger than any that is allowed")
        while self._end - self._start < count:
            self._fill()
        return self._start

    def _fill(self) -> None:
        """Read what there is, behind what is left."""
        left = self._end - self._start
        if self._start and (not left or BUFFER - self._end < _ROOM):
            self._view[:left] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, left
        while True:
            try:
                got = self._sock.recv_into(self._view[self._end :])
            except TimeoutError:
                self._look(self.heard)
                continue
            except OSError as error:
                raise self._lost(error) from error
            if not got:
                raise RequestError("the other side closed the connection", "dropped")
            self._end += got
            self.heard = monotonic()
            if self.heard > self._last or self._stop.is_set():
                self._look(self.heard)
            return

    def _look(self, since: float) -> None:
        """Whether it is time to give up."""
        if self._stop.is_set():
            raise RequestError("stopped", "stopped")
        now = monotonic()
        if now > self._last:
            raise RequestError(f"not done after {self._timeouts.total:g} s (timeouts.total)", "silent")
        if now - max(since, self.elsewhere()) > self._timeouts.idle:
            raise RequestError(f"nothing came for {self._timeouts.idle:g} s (timeouts.idle)", "silent")

    def _lost(self, error: OSError) -> PacsError | RequestError:
        """A connection that broke."""
        return refused_certificate(self._sock, error) or RequestError(
            f"the connection was lost ({words(error)})", "dropped"
        )

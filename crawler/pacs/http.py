"""HTTP requests to the DICOMweb services (PS3.18 section 8) over connections that stay open.

The idle time-out bounds each wait for bytes, never the whole; a watcher shuts the connection down when it is told to
stop. What requests and answers hold is up to `wado.py`, `qido.py` and `stow.py`.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time
from urllib.parse import urljoin, urlsplit

from crawler.errors import PacsError, RequestError
from crawler.pacs.model import OutcomeOfRequest, Server, Tls
from crawler.pacs.wire import SLICE, client_context, refused_certificate, words

# Bytes of an answer that is no instance: a page of matches, or what a server says of an error.
_MOST = 64 << 20
# Longest wait that a server may ask for, seconds.
LONGEST_WAIT = 300.0
_REDIRECTIONS = {301, 302, 303, 307, 308}
_HOPS = 5
_PORTS = {"http": 80, "https": 443}
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # zlib finds out which of the two
_PACKED = 1 << 16
_BUSY = {408, 425, 429, 503}
_CLOSED = (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError)

Body = Callable[[], Iterable[bytes]]


def outcome_of(status: int) -> OutcomeOfRequest:
    """Return what an HTTP status says of a request."""
    if 200 <= status < 300:
        return "complete"
    if status in _BUSY:
        return "busy"
    return "refused" if 300 <= status < 500 and status != 404 else "failed"


def status_words(status: int) -> str:
    """Return a status as a person reads it: "HTTP 406 (Not Acceptable)"."""
    return f"HTTP {status} ({http.client.responses.get(status, 'unknown')})"


def wait_of(response: http.client.HTTPResponse) -> float:
    """Return the seconds that a server asks to be left alone (RFC 9110 10.2.3), at most `LONGEST_WAIT`; 0 for none."""
    text = response.getheader("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time()
    except ValueError:  # neither a number nor a date
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def whole(response: http.client.HTTPResponse) -> bytes:
    """Read a body that is no instance.

    Raises
    ------
    RequestError
        It is larger than any should be.
    """
    reader, body, view = Reader(response), bytearray(), memoryview(bytearray(1 << 16))
    while got := reader.readinto(view):
        body += view[:got]
        if len(body) > _MOST:
            raise RequestError(f"the server's answer has more than {_MOST >> 20} MB")
    return bytes(body)


class Reader:
    """Reads a body as it arrives: `HTTPResponse.readinto` waits until its buffer is full.

    Some servers compress although they are asked not to: gzip and deflate (RFC 9110 8.4.1) are undone.

    Raises
    ------
    RequestError
        The body is encoded in another way.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        encoding = response.getheader("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise RequestError("the server compresses its answer in a way that was not asked for", "refused")
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding not in {"", "identity"} else None
        self._packed = b""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read what there is, at least one byte; 0 at the end."""
        return self._raw(buffer) if self._inflater is None else self._inflated(buffer, self._inflater)

    def _raw(self, buffer: memoryview) -> int:
        response = self._response
        if response.chunked or response.length is None:
            data = response.read1(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        if not response.length:
            response.read()  # which ends the answer, so that the connection can be used again
            return 0
        # Straight into the buffer: `read1` would make an object and copy it.
        got: int = response.fp.readinto1(buffer[: response.length])
        response.length -= got
        if not got:
            raise RequestError("the server closed the connection in the middle of an answer", "dropped")
        return got

    def _inflated(self, buffer: memoryview, inflater: zlib._Decompress) -> int:
        while not inflater.eof:
            try:
                data = inflater.decompress(self._packed, len(buffer))
            except zlib.error as error:
                raise RequestError("the server's answer is not compressed as it says") from error
            self._packed = inflater.unconsumed_tail
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not self._packed and not inflater.eof:
                piece = bytearray(_PACKED)
                got = self._raw(memoryview(piece))
                if not got:
                    raise RequestError("the server's answer is cut off", "dropped")
                self._packed = bytes(piece[:got])
        rest = memoryview(bytearray(_PACKED))
        while self._raw(rest):  # to the end of the answer, so that the connection can be used again
            pass
        return 0


@dataclass(slots=True)
class _Exchange:
    """A connection while a request uses it; the watcher says why it shut it down."""

    connection: http.client.HTTPConnection | None = None
    ended: RequestError | None = None


class WebClient:
    """Sends requests below the root of a server's DICOMweb services; safe among threads.

    Raises
    ------
    PacsError
        The address is none, or the certificates cannot be used.
    """

    def __init__(self, server: Server) -> None:
        try:
            parts = urlsplit(server.url or "")
            self._scheme, self._port = parts.scheme, parts.port
        except ValueError as error:
            raise PacsError("pacs.url: no such address") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PacsError("pacs.url: must begin with http:// or https:// and name a host")
        self._host = parts.hostname
        self._root = parts.path.rstrip("/")
        self._timeouts = server.timeouts
        self._tls = client_context(server.tls or Tls()) if parts.scheme == "https" else None
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "dme", **server.headers}
        if server.token:
            self._headers["Authorization"] = f"Bearer {server.token}"
        elif server.user is not None:
            pair = base64.b64encode(":".join(server.user).encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._free: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that no request uses; idempotent."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        stop: threading.Event,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the answer's body is read inside the `with`.

        Parameters
        ----------
        path
            Below the root, with its query.
        body
            Makes the pieces of the body, with "Content-Length" among the headers; called again when a connection that
            was kept open turns out to be closed.

        Raises
        ------
        PacsError
            The host is unknown, or the certificate is not trusted.
        RequestError
            There is no connection, it broke, fell silent, or `stop` was set.
        """
        exchange = _Exchange()
        with self._watched(exchange, stop):
            try:
                response = self._follow(exchange, method, path, {**self._headers, **(headers or {})}, body)
                yield response
            except (OSError, http.client.HTTPException, RequestError) as error:
                known = exchange.ended or self._words(error, exchange)
                _close(exchange)
                raise known from error
            except BaseException:
                _close(exchange)
                raise
        connection = exchange.connection
        if connection is not None and connection.sock is not None and response.isclosed():
            with self._lock:
                self._free.append(connection)
        else:
            _close(exchange)

    def _follow(
        self, exchange: _Exchange, method: str, path: str, headers: Mapping[str, str], body: Body | None
    ) -> http.client.HTTPResponse:
        """Send, and send again where the server points to: on the same server only, which has our password."""
        place = self._root + path
        for _ in range(_HOPS):
            response = self._send(exchange, method, place, headers, body)
            location = response.getheader("Location", "")
            if response.status not in _REDIRECTIONS or not location or (method != "GET" and response.status == 303):
                return response
            whole(response)
            if exchange.connection is not None and exchange.connection.sock is None:  # the server closes it
                exchange.connection = None
            place = self._target(place, location)
            if not place:
                raise RequestError(
                    "the server redirects to another address: pacs.url must name that one", "refused", response.status
                )
        raise RequestError("the server redirects without end", "refused")

    def _target(self, place: str, location: str) -> str:
        """Path that a redirection points to; empty when it leads to another server."""
        ours = self._port or _PORTS[self._scheme]
        try:
            target = urlsplit(urljoin(f"{self._scheme}://{self._host}:{ours}{place}", location))
            port = target.port or _PORTS.get(target.scheme)
        except ValueError:  # no address at all
            return ""
        if (target.scheme, target.hostname, port) != (self._scheme, self._host, ours):
            return ""
        return (target.path or "/") + (f"?{target.query}" if target.query else "")

    def _send(
        self, exchange: _Exchange, method: str, path: str, headers: Mapping[str, str], body: Body | None
    ) -> http.client.HTTPResponse:
        """Send over a connection that was kept open, or else over a new one."""
        if exchange.connection is None:
            with self._lock:
                exchange.connection = self._free.pop() if self._free else None
        while True:
            kept = exchange.connection is not None
            if exchange.connection is None:
                exchange.connection = self._connect()
            try:
                exchange.connection.request(method, path, body() if body else None, dict(headers))
                return exchange.connection.getresponse()
            except _CLOSED:
                if not kept or exchange.ended is not None:
                    raise
                _close(exchange)  # servers close connections that were idle for a while
                exchange.connection = None

    def _connect(self) -> http.client.HTTPConnection:
        timeout = self._timeouts.connect
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.connect()
        except socket.gaierror as error:
            raise PacsError("pacs.url: no such host") from error
        except ssl.SSLCertVerificationError as error:
            raise PacsError(f"pacs.tls: the server's certificate is not trusted ({error.verify_message})") from error
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLEOFError):
                raise RequestError("the server ended the TLS handshake", "dropped") from error
            raise PacsError(f"pacs.tls: the handshake failed ({error.reason or 'no TLS'})") from error
        except OSError as error:
            raise RequestError(f"no connection to the server ({words(error)})", "dropped") from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(self._timeouts.idle)
        return connection

    def _words(self, error: Exception, exchange: _Exchange) -> RequestError | PacsError:
        """What went wrong, as an error of ours."""
        if isinstance(error, RequestError):
            return error
        if isinstance(error, TimeoutError):
            return RequestError(f"nothing came for {self._timeouts.idle:g} s (timeouts.idle)", "silent")
        connection = exchange.connection
        if isinstance(error, OSError) and connection is not None:
            refused = refused_certificate(connection.sock, error)
            if refused is not None:
                return refused
        if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
            return RequestError("the server closed the connection in the middle of an answer", "dropped")
        if isinstance(error, OSError):
            return RequestError(f"the connection was lost ({words(error)})", "dropped")
        return RequestError(f"the server does not speak HTTP ({type(error).__name__})")

    @contextmanager
    def _watched(self, exchange: _Exchange, stop: threading.Event) -> Iterator[None]:
        """While it lasts, shut the connection down when `stop` is set or the total time is over."""
        done = threading.Event()
        total = self._timeouts.total
        last = monotonic() + total if total else float("inf")

        def watch() -> None:
            while not done.wait(SLICE):
                if stop.is_set():
                    exchange.ended = RequestError("stopped", "stopped")
                elif monotonic() > last:
                    exchange.ended = RequestError(f"not done after {total:g} s (timeouts.total)", "silent")
                else:
                    continue
                connection = exchange.connection
                if connection is not None and connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=watch, name="pacs-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _close(exchange: _Exchange) -> None:
    if exchange.connection is not None:
        exchange.connection.close()

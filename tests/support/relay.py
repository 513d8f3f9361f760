"""A relay between a client and a PACS: passes all bytes on, and notes each instance that the PACS begins to send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crawler.pacs import command as dimse
from crawler.pacs import pdu


class Relay:
    """Counts transfers where they happen, whoever asks for them; `sent` are SOP Instance UIDs in order.

    Parameters
    ----------
    port
        Of the PACS, on the loopback interface. `self.port` is where clients go.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.sent: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Take no more callers."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(near, far, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, _Reader(self.sent)), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, reader: _Reader | None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                if reader is not None:
                    reader.feed(data)
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        source.close()  # the other thread closes the other one


class _Reader:
    """Finds the commands in what a PACS sends (PS3.8 9.3.5 and annex E)."""

    def __init__(self, sent: list[str]) -> None:
        self._sent = sent
        self._bytes = bytearray()
        self._command = bytearray()

    def feed(self, data: bytes) -> None:
        self._bytes += data
        while len(self._bytes) >= 6:
            kind, length = pdu.HEADER.unpack_from(self._bytes)
            if len(self._bytes) < 6 + length:
                return
            body = bytes(self._bytes[6 : 6 + length])
            del self._bytes[: 6 + length]
            if kind == pdu.DATA:
                self._fragments(body)

    def _fragments(self, body: bytes) -> None:
        at = 0
        while at < len(body):
            length = int.from_bytes(body[at : at + 4], "big")
            control = body[at + 5]
            if control & 1:
                self._command += body[at + 6 : at + 4 + length]
                if control & 2:
                    command = dimse.decode(self._command)
                    self._command.clear()
                    if command.field == dimse.STORE:
                        self._sent.append(command.sop_uid or "")
            at += 4 + length


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """A relay to a port, closed at the end."""
    between = Relay(port)
    try:
        yield between
    finally:
        between.close()

"""Starts the server: the token, the lock of the workspace, the queue's thread, and uvicorn without its own logs."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace

import uvicorn

from crawler.errors import StopError
from crawler.paths import readable
from crawler.web.access import private_folder, read_token
from crawler.web.app import QuietErrors, build
from crawler.web.settings import Settings

CONNECTIONS = 1000  # at a time; what comes beyond is told to come again (503)
_GRACE = 2  # seconds that open pages get at the end


def serve(settings: Settings, told: Callable[[str, int], None]) -> None:
    """Serve until a signal comes; `told` is given the token and the port when it listens.

    Raises
    ------
    StopError
        The workspace is in use or cannot be written, the address is taken, or the certificate cannot be used.
    """
    if settings.tls is not None:
        check_certificate(*settings.tls)
    token = read_token(settings.workspace)
    with Lock(settings.workspace):
        listening = listen(settings)
        port = int(listening.getsockname()[1])
        settings = _with_port(settings, port)
        server, ended, thread = prepare(settings, token)
        told(token, port)
        thread.start()
        try:
            server.run(sockets=[listening])
        finally:
            ended.set()
            thread.join()
            listening.close()


def prepare(settings: Settings, token: str) -> tuple[uvicorn.Server, threading.Event, threading.Thread]:
    """The server, and the thread of its queue with the event that ends it; nothing runs yet."""
    application, site = build(settings, token)
    certificate, key = settings.tls or (None, None)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    logging.getLogger("uvicorn.access").disabled = True  # it names every address; `guard` logs what may be told
    own = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, QuietErrors) for one in own.filters):
        own.addFilter(QuietErrors())
    ended = threading.Event()
    return uvicorn.Server(config), ended, threading.Thread(target=site.queue.run_until, args=(ended,), daemon=True)


def check_certificate(certificate: str, key: str) -> None:
    """Load both as the server will.

    Raises
    ------
    StopError
        One cannot be read, the key is of another certificate, or has a password: nobody would be there to type it.
    """
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        if asked:
            why = "the key has a password: write one without (openssl pkey -in KEY -out NEW)"
        elif isinstance(error, ssl.SSLError):
            why = "not two PEM files that belong together"
        else:
            why = getattr(error, "strerror", None) or "cannot be read"
        raise StopError(f"--tls {readable(certificate)} {readable(key)}: {why}") from None


def listen(settings: Settings) -> socket.socket:
    """The socket.

    Raises
    ------
    StopError
        The address is taken, or is none of this machine.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(1024)
        return listening
    except OSError as error:
        raise StopError(f"port {settings.port} of {settings.host} cannot be used: {error.strerror}") from None


class Lock:
    """One server a workspace: two would start a job twice."""

    def __init__(self, workspace: str) -> None:
        self._path = os.path.join(private_folder(workspace), "lock")
        self._workspace = workspace

    def __enter__(self) -> Lock:
        """Take it; StopError when another server has it."""
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise StopError(f"another server works on {readable(self._workspace)}") from None
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._handle)


def _with_port(settings: Settings, port: int) -> Settings:
    return replace(settings, port=port)

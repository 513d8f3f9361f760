"""An HTTP server in this process whose every request goes to a function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawler.pacs.model import Server, Timeouts
from support.fake_pacs import SHORT

Handler = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def web(handle: Handler, timeouts: Timeouts = SHORT) -> Iterator[Server]:
    """A server whose every request goes to `handle`."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            handle(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that leave are expected."""

    listener = Listener(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        port = listener.server_address[1]
        yield Server("127.0.0.1", 0, url=f"http://127.0.0.1:{port}/dicom-web/", timeouts=timeouts)
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def answer(handler: BaseHTTPRequestHandler, status: int, kind: str = "", body: bytes = b"") -> None:
    handler.send_response(status)
    if kind:
        handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)

"""What HTTP servers, and proxies before them, do to an answer: chunks, compression, redirections, Retry-After."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.archive import make_instance
from support.factories import make_uid
from support.web_server import answer, web

from crawler.config.loader import Config
from crawler.engine.retrieving import server_of
from crawler.errors import RequestError
from crawler.pacs.http import LONGEST_WAIT
from crawler.pacs.model import Answer, Received, Request, Server
from crawler.pacs.qido import QidoClient
from crawler.pacs.wado import WebTransport

STUDY, SERIES = make_uid("study"), make_uid("series")
FILE = make_instance(1).data
RELATED = 'multipart/related; type="application/dicom"; boundary=B'
BODY = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + FILE + b"\r\n--B\r\n\r\n" + FILE + b"\r\n--B--\r\n"
MATCHES = json.dumps([{"0020000D": {"vr": "UI", "Value": [STUDY]}}]).encode()


def fetch(server: Server, temp: Path) -> tuple[Answer, list[bytes]]:
    received: list[Received] = []
    with closing(WebTransport(server)) as transport:
        found = transport.fetch(Request(STUDY, SERIES), temp, received.append, threading.Event())
    return found, [one.path.read_bytes() for one in received]


def encoded(handler: BaseHTTPRequestHandler, encoding: str, body: bytes, kind: str = RELATED) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Encoding", encoding)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def chunked(handler: BaseHTTPRequestHandler, size: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", RELATED)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for at in range(0, len(BODY), size):
        piece = BODY[at : at + size]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", RELATED)
    handler.end_headers()
    handler.wfile.write(BODY)
    handler.close_connection = True


@pytest.mark.parametrize(
    "handle",
    [
        lambda handler: chunked(handler, 1),
        lambda handler: chunked(handler, 1000),
        without_length,
        lambda handler: encoded(handler, "gzip", gzip.compress(BODY)),
        lambda handler: encoded(handler, "X-GZIP", gzip.compress(BODY)),
        lambda handler: encoded(handler, "deflate", zlib.compress(BODY)),
        lambda handler: encoded(handler, "identity", BODY),
    ],
    ids=["chunks of a byte", "chunks", "no length", "gzip", "x-gzip", "deflate", "identity"],
)
def test_the_same_arrives_however_it_is_sent(tmp_path: Path, handle: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with web(handle) as server:
        found, files = fetch(server, tmp_path)
    assert (found.outcome, found.reason) == ("complete", "")
    assert files == [FILE, FILE]


@pytest.mark.parametrize(
    ("encoding", "body", "outcome"),
    [
        ("br", b"", "refused"),
        ("gzip", BODY, "failed"),
        ("gzip", gzip.compress(BODY)[:-400], "dropped"),
    ],
    ids=["another way", "not what it says", "cut off"],
)
def test_compression_that_cannot_be_undone(tmp_path: Path, encoding: str, body: bytes, outcome: str) -> None:
    with web(lambda handler: encoded(handler, encoding, body)) as server:
        found, _ = fetch(server, tmp_path)
    assert found.outcome == outcome
    assert found.reason


def test_compressed_matches_and_a_connection_that_is_kept() -> None:
    clients = set()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        clients.add(handler.client_address)
        if "offset=0" not in handler.path:
            answer(handler, 204)
            return
        encoded(handler, "gzip", gzip.compress(MATCHES), "application/dicom+json")

    with web(handle) as server, closing(QidoClient(server)) as client:
        assert [match["StudyInstanceUID"] for match in client.ask("study", {"PatientID": "A"})] == [STUDY]
    assert len(clients) == 1


# -- redirections ---------------------------------------------------------------------------------------------------


def redirect(handler: BaseHTTPRequestHandler, location: str, status: int = 307) -> None:
    handler.send_response(status)
    handler.send_header("Location", location)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_redirection_on_the_same_server_is_followed(tmp_path: Path, status: int, absolute: bool) -> None:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/other/"):
            answer(handler, 200, RELATED, BODY)
            return
        root = f"http://127.0.0.1:{handler.server.server_address[1]}" if absolute else ""  # type: ignore[index]
        redirect(handler, f"{root}/other{handler.path}", status)

    with web(handle) as server:
        found, files = fetch(server, tmp_path)
    assert found.ok
    assert len(files) == 2


@pytest.mark.parametrize("location", ["http://127.0.0.2/x", "https://127.0.0.1/x", "http://127.0.0.1:1/x", "http://[x"])
def test_a_password_goes_to_no_other_server(tmp_path: Path, location: str) -> None:
    with web(lambda handler: redirect(handler, location)) as server:
        found, _ = fetch(replace(server, user=("me", "s3cret")), tmp_path)
    assert found.outcome == "refused"
    assert "redirects to another address" in found.reason


def test_redirections_without_end(tmp_path: Path) -> None:
    with web(lambda handler: redirect(handler, handler.path)) as server:
        found, _ = fetch(server, tmp_path)
    assert (found.outcome, found.reason) == ("refused", "the server redirects without end")


# -- "come back later" ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("99999", LONGEST_WAIT, LONGEST_WAIT),
        (timedelta(hours=1), LONGEST_WAIT, LONGEST_WAIT),
        (timedelta(minutes=-1), 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("", 0, 0),
    ],
)
def test_the_wait_that_a_busy_server_asks_for_is_known(
    tmp_path: Path, asked: str | timedelta, least: float, most: float
) -> None:
    # A date is made here: two workers of pytest must collect one name of each test.
    text = asked if isinstance(asked, str) else format_datetime(datetime.now(UTC) + asked, usegmt=True)

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(503)
        handler.send_header("Retry-After", text)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with web(handle) as server:
        found, _ = fetch(server, tmp_path)
        with closing(QidoClient(server)) as client, pytest.raises(RequestError) as error:
            list(client.ask("study", {}))
    assert found.outcome == error.value.outcome == "busy"
    assert least <= found.wait <= most
    assert least <= error.value.wait <= most


# -- who we are -----------------------------------------------------------------------------------------------------


def test_a_token_of_the_environment_is_sent_and_is_told_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        answer(handler, 403)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACS_TOKEN", "t0ken")
    monkeypatch.setenv("PACS_USER", "me")
    with web(handle) as started:
        config = Config.from_mapping({"pacs": {"url": started.url, "retrieve": "web", "query": {"PatientID": "A"}}})
        server = server_of(config)
        found, _ = fetch(server, tmp_path)
    assert seen == ["Bearer t0ken"]
    assert "t0ken" not in repr((server, config, found))
    assert found.outcome == "refused"

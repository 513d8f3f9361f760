"""DICOMweb against an HTTP server in this process: parts, pages, faults."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import closing, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from support.factories import make_uid, quick_dataset, save
from support.fake_pacs import SHORT
from support.pacs_servers import free_port
from support.web_server import Handler, answer, web

from crawler.errors import PacsError, RequestError
from crawler.pacs.find import SearchFinder
from crawler.pacs.model import Answer, Received, Request, Server, Timeouts
from crawler.pacs.multipart import Parts, boundary_of
from crawler.pacs.qido import PAGE, QidoClient
from crawler.pacs.send import outgoing, send
from crawler.pacs.stow import StowClient
from crawler.pacs.wado import ACCEPT, WebTransport

STUDY = make_uid("study")
SERIES = make_uid("series")


def file_of(n: int) -> bytes:
    """A file of PS3.10, with what looks like a boundary inside."""
    stream = BytesIO()
    dataset = quick_dataset(SOPInstanceUID=make_uid(n), ImageComments="\r\n--BOUNDAR\r\n--")
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def multipart(files: list[bytes], lengths: bool, preamble: bytes = b"", closing: bytes = b"--\r\n") -> bytes:
    out = preamble
    for content in files:
        length = f"Content-Length: {len(content)}\r\n" if lengths else ""
        out += f"\r\n--BOUNDARY\r\nContent-Type: application/dicom\r\n{length}\r\n".encode() + content
    return out + b"\r\n--BOUNDARY" + closing


RELATED = 'multipart/related; type="application/dicom"; boundary="BOUNDARY"'


def fetch(server: Server, temp: Path, request: Request | None = None) -> tuple[Answer, list[Received]]:
    received: list[Received] = []
    with closing(WebTransport(server)) as transport:
        found = transport.fetch(request or Request(STUDY, SERIES), temp, received.append, threading.Event())
    return found, received


# -- WADO-RS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("preamble", [b"", b"what nobody reads"])
def test_parts_are_kept_byte_for_byte(tmp_path: Path, lengths: bool, preamble: bytes) -> None:
    files = [file_of(n) for n in range(4)]
    asked: list[tuple[str, str | None]] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers["Accept"]))
        answer(handler, 200, RELATED, multipart(files, lengths, preamble))

    with web(handle) as server:
        found, received = fetch(server, tmp_path)
    assert asked == [(f"/dicom-web/studies/{STUDY}/series/{SERIES}", ACCEPT)]
    assert found == Answer("web", "complete", 200, received=4)
    assert [one.path.read_bytes() for one in received] == files
    assert [one.sop_uid for one in received] == [make_uid(n) for n in range(4)]
    assert {(one.sop_class, one.transfer_syntax) for one in received} == {
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    }


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 16])
@pytest.mark.parametrize("lengths", [True, False])
def test_parts_are_found_however_they_are_chopped(size: int, lengths: bool) -> None:
    contents = [b"", b"\r\n", b"\r\n--BOUNDAR", b"x" * 100, b"--\r\n\r\n--"]

    class Chopped:
        def __init__(self, body: bytes) -> None:
            self.stream = BytesIO(body)

        def readinto(self, buffer: memoryview, /) -> int:
            return self.stream.readinto(buffer[:size])

    parts = Parts(Chopped(multipart(contents, lengths)[2:]), b"BOUNDARY")
    found = []
    for header in parts.headers():
        assert header["content-type"] == "application/dicom"
        content = bytearray()
        parts.copy(header, content.extend)
        found.append(bytes(content))
    assert found == contents


def test_single_instances_are_asked_for_one_by_one(tmp_path: Path) -> None:
    asked: list[str] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if "includefield" in handler.path:
            (uid,) = parse_qs(urlsplit(handler.path).query)["SOPInstanceUID"]
            match = {"00080018": {"vr": "UI", "Value": [uid]}, "0020000E": {"vr": "UI", "Value": [SERIES]}}
            answer(handler, 200, "application/dicom+json", json.dumps([match]).encode())
        elif handler.path.endswith(make_uid(2)):
            answer(handler, 404)
        else:  # without an envelope
            answer(handler, 200, "application/dicom", file_of(1))

    with web(handle) as server:
        found, received = fetch(server, tmp_path, Request(STUDY, None, (make_uid(1), make_uid(2))))
    assert (found.outcome, found.received, found.failed) == ("partial", 1, 1)
    assert [(one.uid, one.code) for one in found.refused] == [(make_uid(2), 404)]
    assert received[0].path.read_bytes() == file_of(1)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("status", "outcome", "again"),
    [(400, "refused", False), (401, "refused", False), (406, "refused", False), (404, "failed", True),
     (204, "failed", True), (429, "busy", True), (503, "busy", True), (500, "failed", True)],
)  # fmt: skip
def test_statuses(tmp_path: Path, status: int, outcome: str, again: bool) -> None:
    with web(lambda handler: answer(handler, status)) as server:
        found, _ = fetch(server, tmp_path)
    assert (found.outcome, found.status, found.again) == (outcome, status, again)
    assert f"HTTP {status}" in found.reason


def cut(handler: BaseHTTPRequestHandler) -> None:
    body = multipart([file_of(0), file_of(1)], True)
    handler.send_response(200)
    handler.send_header("Content-Type", RELATED)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:-200])
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    cut(handler)
    handler.wfile.flush()
    with suppress(OSError):
        handler.connection.recv(1)  # until the client leaves


@pytest.mark.parametrize(
    ("handle", "outcome", "count"),
    [
        (cut, "dropped", 1),
        (hang, "silent", 1),
        (lambda handler: answer(handler, 200, RELATED, multipart([file_of(0)], True, closing=b"")), "dropped", 1),
        (lambda handler: answer(handler, 200, "text/html", b"<html>log in</html>"), "refused", 0),
        (lambda handler: answer(handler, 200, RELATED, multipart([], True)), "partial", 0),
        (lambda handler: answer(handler, 200, RELATED, multipart([b"no DICOM"], True)), "complete", 0),
        (lambda handler: handler.wfile.write(b"SSH-2.0\r\n\r\n"), "failed", 0),
        (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "dropped", 0),
    ],
    ids=["cut", "silent", "no end", "another type", "no parts", "no DICOM", "no HTTP", "closed"],
)
def test_faults_are_named_and_leave_nothing(tmp_path: Path, handle: Handler, outcome: str, count: int) -> None:
    with web(handle) as server:
        found, received = fetch(server, tmp_path)
    assert found.received == len(received) == count
    assert {path.name for path in tmp_path.iterdir()} == {one.path.name for one in received}
    if outcome == "complete":  # a part that is no instance is named
        assert [one.kind for one in found.refused] == ["instance"]
    else:
        assert found.outcome == outcome
        assert found.reason
        assert not found.ok


def test_a_wrong_length_of_a_part_is_noticed(tmp_path: Path) -> None:
    body = multipart([file_of(0), file_of(1)], True)
    wrong = body.replace(
        f"Content-Length: {len(file_of(0))}".encode(), f"Content-Length: {len(file_of(0)) - 4}".encode(), 1
    )
    with web(lambda handler: answer(handler, 200, RELATED, wrong)) as server:
        found, received = fetch(server, tmp_path)
    assert (found.outcome, found.received) == ("failed", 0)
    assert "do not end where they say" in found.reason
    assert not received


def test_stop_and_the_total_time_end_it(tmp_path: Path) -> None:
    stop = threading.Event()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        stop.set()
        hang(handler)

    for total, outcome in ((None, "stopped"), (0.2, "silent")):
        with web(handle, Timeouts(idle=600, total=total)) as server, closing(WebTransport(server)) as transport:
            never = threading.Event()
            found = transport.fetch(Request(STUDY), tmp_path, lambda _: None, stop if total is None else never)
        assert found.outcome == outcome


def test_an_error_of_the_taker_is_raised(tmp_path: Path) -> None:
    def take(_: Received) -> None:
        raise OSError("disk")

    with (
        web(lambda handler: answer(handler, 200, RELATED, multipart([file_of(0)], True))) as server,
        closing(WebTransport(server)) as transport,
        pytest.raises(OSError, match="disk"),
    ):
        transport.fetch(Request(STUDY), tmp_path, take, threading.Event())
    assert not list(tmp_path.iterdir())


def test_connections_are_kept_and_renewed(tmp_path: Path) -> None:
    clients: list[object] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        clients.append(handler.client_address)
        answer(handler, 200, RELATED, multipart([file_of(0)], True))
        handler.close_connection = len(clients) == 2  # without a word, as servers do after a while

    with web(handle) as server, closing(WebTransport(server)) as transport:
        for _ in range(4):
            assert transport.fetch(Request(STUDY), tmp_path, lambda _: None, threading.Event()).ok
    assert clients[0] == clients[1]
    assert clients[2] == clients[3]
    assert clients[1] != clients[2]


def test_secrets_and_headers_are_sent(tmp_path: Path) -> None:
    seen: list[http.client.HTTPMessage] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers)
        answer(handler, 401)

    with web(handle) as server:
        found, _ = fetch(replace(server, user=("me", "s3cret"), headers={"X-Key": "k3y"}), tmp_path)
    assert seen[0]["Authorization"] == "Basic bWU6czNjcmV0"
    assert seen[0]["X-Key"] == "k3y"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:80", "http://", "http://127.0.0.1:x", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(PacsError, match=r"pacs\.url"):
        WebTransport(Server("127.0.0.1", 0, url=url))


def test_a_server_that_is_away(tmp_path: Path) -> None:
    server = Server("127.0.0.1", 0, url=f"http://127.0.0.1:{free_port()}", timeouts=SHORT)
    found, _ = fetch(server, tmp_path)
    assert (found.outcome, found.again) == ("dropped", True)
    with pytest.raises(PacsError, match="no such host"):
        fetch(replace(server, url="http://no-such-host.invalid"), tmp_path)


def test_boundaries() -> None:
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == ("multipart/related", b"a b")
    assert boundary_of("multipart/related;boundary=ab;type=x") == ("multipart/related", b"ab")
    assert boundary_of("application/dicom") == ("application/dicom", None)


# -- QIDO-RS --------------------------------------------------------------------------------------------------------


def qido(count: int, limit: int, offsets: bool = True, limits: bool = True) -> Handler:
    """A server of some studies that sends at most `limit` at once."""
    matches = [
        {
            "0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]},
            "00080020": {"vr": "DA", "Value": [f"2024{n % 12 + 1:02}{n % 28 + 1:02}"]},
            "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "C"}]},
            "00201208": {"vr": "IS", "Value": [n]},
            "00081030": {"vr": "LO"},
        }
        for n in range(count)
    ]

    def handle(handler: BaseHTTPRequestHandler) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(handler.path).query).items()}
        first = int(query.get("offset", 0)) if offsets else 0
        most = min(limit, int(query["limit"]) if limits else limit)
        low, _, high = query.get("StudyDate", "-").partition("-")
        found = [one for one in matches if low <= one["00080020"]["Value"][0] <= (high or "9")]  # type: ignore[index]
        page = found[first : first + most]
        answer(handler, 200 if page else 204, "application/dicom+json", json.dumps(page).encode() if page else b"")

    return handle


@pytest.mark.parametrize(
    ("count", "limit", "offsets", "limits"),
    [
        (0, 1000, True, True),
        (PAGE * 2 + 5, 1000, True, True),
        (PAGE * 2, 1000, True, True),
        (950, 100, True, True),
        (950, 200, False, True),
        (950, 100_000, False, True),
        (950, 100_000, False, False),
    ],
    ids=["none", "pages", "full pages", "a lower limit", "no offset", "no offset, no limit of its own", "no limit"],
)
def test_pages(count: int, limit: int, offsets: bool, limits: bool) -> None:
    with (
        web(qido(count, limit, offsets, limits), Timeouts(idle=30)) as server,
        closing(SearchFinder(QidoClient(server))) as finder,
    ):
        found = list(finder.find("study", {"StudyDate": "20240101-20241231"}))
    assert {match["StudyInstanceUID"] for match in found} == {f"1.2.{n}" for n in range(count)}
    assert len(found) == count


def test_values_of_json() -> None:
    with web(qido(1, 1)) as server, closing(SearchFinder(QidoClient(server))) as finder:
        (match,) = finder.find("study", {})
    assert match == {
        "StudyInstanceUID": "1.2.0",
        "StudyDate": "20240101",
        "ModalitiesInStudy": ["CT", "SR"],
        "PatientName": "A^B=C",
        "NumberOfStudyRelatedInstances": "0",
        "StudyDescription": "",
    }


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [(400, b"", "refused"), (503, b"", "busy"), (200, b"<html>", "failed"), (200, b'{"a": 1}', "failed")],
)
def test_answers_that_are_none(status: int, body: bytes, outcome: str) -> None:
    with (
        web(lambda handler: answer(handler, status, "application/json", body)) as server,
        closing(SearchFinder(QidoClient(server))) as finder,
        pytest.raises(RequestError) as caught,
    ):
        list(finder.find("study", {}))
    assert caught.value.outcome == outcome


# -- STOW-RS --------------------------------------------------------------------------------------------------------


def stored(tmp_path: Path, handle: Handler) -> tuple[str, int | None, int]:
    path = save(quick_dataset(), tmp_path / "one.dcm")
    with web(handle, Timeouts(idle=5)) as server, closing(StowClient(server)) as channel:
        (sent,) = send([outgoing("one", lambda: path.open("rb"))], channel, threading.Event(), attempts=2)
    return sent.outcome, sent.status, sent.attempts


def body_of(handler: BaseHTTPRequestHandler) -> bytes:
    return handler.rfile.read(int(handler.headers["Content-Length"]))


def test_a_file_is_stored_as_it_is(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        bodies.append(body_of(handler))
        kind, boundary = boundary_of(handler.headers["Content-Type"])
        assert kind == "multipart/related"
        assert boundary
        assert handler.path == "/dicom-web/studies"
        parts = Parts(BytesIO(bodies[-1]), boundary)  # type: ignore[arg-type]
        for header in parts.headers():
            content = bytearray()
            parts.copy(header, content.extend)
            bodies.append(bytes(content))
        answer(handler, 200, "application/dicom+json", b'{"00081199": {"vr": "SQ", "Value": [{}]}}')

    assert stored(tmp_path, handle) == ("stored", 200, 1)
    assert bodies[1:] == [(tmp_path / "one.dcm").read_bytes()]


FAILED = b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [%d]}}]}}'


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, FAILED % 0xA900, ("refused", 0xA900, 1)),
        (409, FAILED % 0xA700, ("failed", 0xA700, 2)),
        (409, b"", ("refused", 409, 1)),
        (503, b"", ("failed", 503, 2)),
        (500, b"", ("failed", 500, 2)),
        (202, b"", ("warning", 202, 1)),
        (
            202,
            b'{"00081199": {"vr": "SQ", "Value": [{"00081196": {"vr": "US", "Value": [45062]}}]}}',
            ("warning", 0xB006, 1),
        ),
    ],
)
def test_what_the_server_says_of_it(
    tmp_path: Path, status: int, body: bytes, expected: tuple[str, int | None, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.pacs.send._PAUSE", 0.01)

    def handle(handler: BaseHTTPRequestHandler) -> None:
        body_of(handler)
        answer(handler, status, "application/dicom+json", body)

    assert stored(tmp_path, handle) == expected


def test_a_dataset_without_meta_gets_one(tmp_path: Path) -> None:
    whole = save(quick_dataset(), tmp_path / "one.dcm").read_bytes()
    bare = tmp_path / "bare.dcm"
    found = outgoing("one", lambda: BytesIO(whole))
    bare.write_bytes(whole[found.offset :])
    bodies: list[bytes] = []

    def handle(handler: BaseHTTPRequestHandler) -> None:
        bodies.append(body_of(handler))
        answer(handler, 200)

    with web(handle, Timeouts(idle=5)) as server, closing(StowClient(server)) as channel:
        (sent,) = send([outgoing("bare", lambda: bare.open("rb"))], channel, threading.Event())
    assert (sent.outcome, sent.sop_uid) == ("stored", found.sop_uid)
    content = bodies[0].split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]
    assert pydicom.dcmread(BytesIO(content.removesuffix(b"\r\n"))) == pydicom.dcmread(BytesIO(whole))

"""TLS with a certificate authority of our own, over DIMSE and DICOMweb, and what is not trusted."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.factories import make_uid, quick_dataset, save
from support.fake_pacs import LONG, fake_pacs, scripted
from support.pacs_servers import ENVIRONMENT, free_port, orthanc, running

from crawler.errors import PacsError, RequestError
from crawler.pacs.model import Received, Request, Server, Tls
from crawler.pacs.qido import QidoClient
from crawler.pacs.receiver import Receiver
from crawler.pacs.scu import Scu
from crawler.pacs.send import outgoing, send
from crawler.pacs.transports import open_channel, open_finder, open_transport

pytestmark = pytest.mark.system

REQUEST = Request(make_uid("study"), sop_classes=("1.2.840.10008.5.1.4.1.1.2",))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, "ca" and "other", and certificates of the first one: "server" and "client"."""
    folder = tmp_path_factory.mktemp("tls")
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")

    def run(*arguments: str) -> None:
        subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2")
    for name in ("server", "client"):
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:pacs.example\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "extensions", "-out", f"{name}.pem")  # fmt: skip
    return folder


def tls(folder: Path, ca: str = "ca", client: bool = True) -> Tls:
    cert = (folder / "client.pem", folder / "client.key") if client else (None, None)
    return Tls(folder / f"{ca}.pem", *cert)


def server_side(folder: Path) -> ssl.SSLContext:
    """Asks for a certificate of the client's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_get_and_find_and_echo(authority: Path, tmp_path: Path) -> None:
    datasets = [quick_dataset(np.zeros((400, 400), np.uint16), SOPInstanceUID=make_uid(n)) for n in range(3)]
    received: list[Received] = []
    with fake_pacs(datasets, tls=server_side(authority)) as plain:
        server = replace(plain, tls=tls(authority))
        with closing(open_transport("get", server)) as transport:
            answer = transport.fetch(REQUEST, tmp_path, received.append, threading.Event())
        with closing(open_finder(server)) as finder:
            assert len(list(finder.find("study", {}))) == 1
        with Scu(server, ["1.2.840.10008.1.1"]) as scu:
            scu.echo()
    assert answer.ok
    assert len(received) == 3


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_trusted(authority: Path, tmp_path: Path) -> None:
    def fetch(server: Server) -> str:
        with closing(open_transport("get", server)) as transport:
            return transport.fetch(REQUEST, tmp_path, lambda _: None, threading.Event()).outcome

    with fake_pacs(tls=server_side(authority)) as plain:
        with pytest.raises(PacsError, match="server's certificate is not trusted"):
            fetch(replace(plain, tls=tls(authority, "other")))
        with pytest.raises(PacsError, match="server's certificate is not trusted"):
            fetch(replace(plain, tls=replace(tls(authority), hostname="elsewhere.example")))
        with pytest.raises(PacsError, match="server's certificate is not trusted"):
            fetch(replace(plain, tls=Tls()))
        with pytest.raises(PacsError, match="not trusted"), Scu(replace(plain, tls=tls(authority, "other")), ["1.2"]):
            pass
        assert fetch(replace(plain, tls=None, timeouts=LONG)) == "dropped"
        good = replace(plain, tls=replace(tls(authority), hostname="pacs.example"))
        assert fetch(good) == "partial", "nothing is there, but the name fits"
    with scripted(lambda *_: None) as server:
        assert fetch(replace(server, tls=tls(authority))) == "dropped", "it does not speak TLS"
    for wrong in (Tls(authority / "none.pem"), Tls(authority / "ca.pem", authority / "extensions")):
        with pytest.raises(PacsError, match=r"pacs\.tls: certificate or key cannot be used"):
            fetch(replace(plain, tls=wrong))


def test_orthanc(authority: Path, tmp_path: Path) -> None:
    """dcmtk's TLS on the other side, in Orthanc: send, find, get; and the wrong authority, which is refused."""
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(authority / "server.pem"),
        "DicomTlsPrivateKey": str(authority / "server.key"),
        "DicomTlsTrustedCertificates": str(authority / "ca.pem"),
    }
    paths = [save(quick_dataset(SOPInstanceUID=make_uid(n)), tmp_path / "in" / f"{n}.dcm") for n in range(3)]
    instances = [outgoing(path.name, partial(path.open, "rb")) for path in paths]
    received: list[Received] = []
    folder = tmp_path / "out"
    folder.mkdir()
    with orthanc(tmp_path / "server", **settings) as plain:
        server = replace(plain, tls=tls(authority))
        with closing(open_channel(server)) as channel:
            assert [one.outcome for one in send(instances, channel, threading.Event())] == ["stored"] * 3
        with closing(open_finder(server)) as finder:
            assert [match["StudyInstanceUID"] for match in finder.find("study", {"PatientID": "QUICK"})] == [
                REQUEST.study_uid
            ]
        with closing(open_transport("get", server)) as transport:
            answer = transport.fetch(REQUEST, folder, received.append, threading.Event())
        wrong = replace(plain, tls=tls(authority, "other"))
        with closing(open_transport("get", wrong)) as transport, pytest.raises(PacsError, match="is not trusted"):
            transport.fetch(REQUEST, folder, lambda _: None, threading.Event())
    assert answer.ok
    assert sorted(one.sop_uid for one in received) == sorted(make_uid(n) for n in range(3))
    assert all(pydicom.dcmread(one.path).PixelData == quick_dataset().PixelData for one in received)


def test_storescp(authority: Path, tmp_path: Path) -> None:
    program = shutil.which("storescp")
    if program is None:
        pytest.skip("storescp is not installed (apt-get install dcmtk)")
    path = save(quick_dataset(), tmp_path / "one.dcm")
    folder, port = tmp_path / "in", free_port()
    folder.mkdir()
    own = ("+tls", authority / "server.key", authority / "server.pem", "+cf", authority / "ca.pem")
    with running([program, "+B", *map(str, own), "-od", str(folder), str(port)], tmp_path, [port]):
        server = Server("127.0.0.1", port, "ANY", tls=tls(authority), timeouts=LONG)
        instance = outgoing("one", partial(path.open, "rb"))
        with closing(open_channel(server)) as channel:
            assert [one.outcome for one in send([instance], channel, threading.Event())] == ["stored"]
    [stored] = folder.iterdir()
    assert pydicom.dcmread(stored).PixelData == pydicom.dcmread(path).PixelData


def test_our_receiver_and_storescu(authority: Path, tmp_path: Path) -> None:
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("storescu is not installed (apt-get install dcmtk)")
    path = save(quick_dataset(), tmp_path / "one.dcm")
    received: list[Received] = []

    def take(one: Received, _: object) -> bool:
        received.append(one)
        return True

    own = Tls(authority / "ca.pem", authority / "server.pem", authority / "server.key")
    folder = tmp_path / "in"
    folder.mkdir()
    receiver = Receiver(Server("127.0.0.1", 0, tls=own, timeouts=LONG), lambda _: folder, take)

    def push(ca: str) -> int:
        keys = ("+tls", authority / "client.key", authority / "client.pem", "+cf", authority / f"{ca}.pem")
        command = [program, *keys, "-aec", "DME", "127.0.0.1", str(receiver.port), path]
        return subprocess.run(command, capture_output=True, check=False, env=ENVIRONMENT).returncode

    try:
        assert push("ca") == 0
        assert push("other") != 0
    finally:
        receiver.close()
    assert [pydicom.dcmread(one.path).SOPInstanceUID for one in received] == [pydicom.dcmread(path).SOPInstanceUID]


def test_our_receiver(authority: Path, tmp_path: Path) -> None:
    path = save(quick_dataset(), tmp_path / "one.dcm")
    received: list[Received] = []

    def take(one: Received, _: object) -> bool:
        received.append(one)
        return True

    notes: list[str] = []
    own = Tls(authority / "ca.pem", authority / "server.pem", authority / "server.key")
    folder = tmp_path / "in"
    folder.mkdir()
    receiver = Receiver(Server("127.0.0.1", 0, tls=own, timeouts=LONG), lambda _: folder, take, notes.append)
    try:
        instance = outgoing("one", lambda: path.open("rb"))
        server = Server("127.0.0.1", receiver.port, "DME", tls=tls(authority), timeouts=LONG)
        with closing(open_channel(server)) as channel:
            assert [one.outcome for one in send([instance], channel, threading.Event())] == ["stored"]
        stranger = replace(server, tls=tls(authority, client=False))
        with closing(open_channel(stranger)) as channel, pytest.raises(PacsError, match="refuses our certificate"):
            list(send([instance], channel, threading.Event(), attempts=1))
    finally:
        receiver.close()
    assert len(received) == 1
    assert any("connection failed" in note for note in notes)


@contextmanager
def web(folder: Path) -> Iterator[Server]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    class Listener(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that do not trust us are expected."""

        def get_request(self) -> tuple[ssl.SSLSocket, object]:
            sock, address = super().get_request()
            try:
                return context.wrap_socket(sock, server_side=True), address
            except OSError:
                sock.close()
                raise

    context = server_side(folder)
    listener = Listener(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        port = listener.server_address[1]
        yield Server("127.0.0.1", 0, url=f"https://127.0.0.1:{port}", tls=tls(folder), timeouts=LONG)
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def test_web(authority: Path) -> None:
    def ask(server: Server) -> list[object]:
        with closing(QidoClient(server)) as client:
            return list(client.ask("study", {}))

    with web(authority) as server:
        assert ask(server) == []
        with pytest.raises(PacsError, match="server's certificate is not trusted"):
            ask(replace(server, tls=tls(authority, "other")))
        with pytest.raises(PacsError, match="server's certificate is not trusted"):
            ask(replace(server, tls=None))
        with pytest.raises(PacsError, match="refuses our certificate"):
            ask(replace(server, tls=tls(authority, client=False)))
        with pytest.raises((PacsError, RequestError)):
            ask(replace(server, url=(server.url or "").replace("https", "http"), tls=None))

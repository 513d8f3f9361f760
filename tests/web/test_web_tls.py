"""`dme web --tls`: real HTTPS by the real command, and certificates that cannot be used."""

from __future__ import annotations

import http.client
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.web import ROOT

from crawler.cli.main import main

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


def certificate(folder: Path, name: str = "own", *more: str) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-subj", "/CN=127.0.0.1")
    also = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem))
    command = [str(OPENSSL), "req", "-x509", *new, *(more or ("-nodes",)), *also]
    subprocess.run(command, check=True, capture_output=True)
    return str(pem), str(key)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, str]]:
    """Port, token and certificate of a server that listens on all addresses."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = certificate(folder)
    command = [sys.executable, str(ROOT / "dme.py"), "web", "--dir", str(folder / "ws"), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--tls", pem, key], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    address, _, token = line.strip().removeprefix("dme: open ").partition("/open#")
    assert address.startswith("https://0.0.0.0:"), (line, process.stderr and process.stderr.read())
    yield int(address.rpartition(":")[2]), token, pem
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors


def asked(
    served: tuple[int, str, str], method: str, path: str, body: str = "", **headers: str
) -> http.client.HTTPResponse:
    """An answer over TLS, with the certificate checked."""
    port, _, pem = served
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=ssl.create_default_context(cafile=pem), timeout=30
    )
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_browser_signs_in_over_https(served: tuple[int, str, str]) -> None:
    port, token, _ = served
    origin = {"Origin": f"https://127.0.0.1:{port}", "Content-Type": "application/x-www-form-urlencoded"}
    entered = asked(served, "POST", "/open", urlencode({"token": token}), **origin)
    cookie = str(entered.getheader("set-cookie"))
    assert entered.status == 303
    assert {"secure", "httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    kept = {"Cookie": cookie.partition(";")[0]}
    assert asked(served, "GET", "/", **kept).status == 200
    assert asked(served, "POST", "/language", "language=zh&back=/", **kept, **origin).status == 303
    plain = {**origin, "Origin": f"http://127.0.0.1:{port}"}
    assert asked(served, "POST", "/language", "language=zh&back=/", **kept, **plain).status == 403
    assert asked(served, "GET", "/").status == 401


def test_a_program_sends_its_token(served: tuple[int, str, str]) -> None:
    assert asked(served, "GET", "/jobs.json", Authorization=f"Bearer {served[1]}").status == 200


def test_a_stranger_is_not_trusted_and_plain_http_is_not_answered(served: tuple[int, str, str]) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", served[0], context=ssl.create_default_context(), timeout=30)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/")
    plain = http.client.HTTPConnection("127.0.0.1", served[0], timeout=30)
    plain.request("GET", "/open")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    plain.close()


def test_certificates_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pem, key = certificate(tmp_path)
    _, other = certificate(tmp_path, "other")
    locked = certificate(tmp_path, "locked", "-passout", "pass:secret")
    for files, told in (
        ((pem, str(tmp_path / "none.key")), "No such file or directory"),
        ((pem, other), "not two PEM files that belong together"),
        ((key, pem), "not two PEM files that belong together"),
        (locked, "the key has a password"),
    ):
        assert main(["web", "--dir", str(tmp_path / "ws"), "--port", "0", "--tls", *files]) == 1
        assert told in capsys.readouterr().err
    assert main(["web", "--dir", str(tmp_path / "ws"), "--host", "0.0.0.0"]) == 1
    assert "--tls CERTIFICATE KEY" in capsys.readouterr().err

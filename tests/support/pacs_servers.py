"""Real PACS for tests marked `system`: Orthanc, and dcmtk's dcmqrscp as the poor one, on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.pacs.model import Server, Timeouts

ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PLUGINS = Path("/usr/share/orthanc/plugins")
# Without it dcmtk waits 40 ms for each acknowledgement.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
STARTED = 30.0  # seconds, on a machine that is busy


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: Sequence[str | Path], folder: Path, ports: Sequence[int]) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on its ports."""
    log = folder / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=ENVIRONMENT)
    try:
        end = time.monotonic() + STARTED
        for port in ports:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}") from None
                    time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Server]:
    """Orthanc with DICOMweb and GDCM; `calling_port` is the one that it sends to."""
    if not os.path.exists(ORTHANC):
        pytest.skip("Orthanc is not installed (apt-get install orthanc orthanc-dicomweb orthanc-gdcm)")
    http, dicom, calling = free_port(), free_port(), free_port()
    plugins = [PLUGINS / f"libOrthanc{name}.so" for name in ("DicomWeb", "Gdcm")]
    configuration = {
        "Name": "TESTPACS",
        "StorageDirectory": "db",
        "IndexDirectory": "db",
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpCompressionEnabled": False,
        "KeepAlive": True,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "DicomModalities": {"dme": ["DME", "127.0.0.1", calling]},
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "SynchronousCMove": True,
        "StableAge": 1,
        "DicomScpTimeout": 2,  # seconds that it ponders over a damaged dataset before it aborts
        "OverwriteInstances": False,
        "Plugins": [str(path) for path in plugins if path.exists()],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado"},
        **settings,
    }
    folder.mkdir(exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with running([ORTHANC, folder / "orthanc.json"], folder, [http, dicom]):
        yield Server(
            "127.0.0.1",
            dicom,
            "ORTHANC",
            "DME",
            calling,
            f"http://127.0.0.1:{http}/dicom-web",
            timeouts=Timeouts(connect=10, idle=30),
        )


@contextmanager
def dcmqrscp(folder: Path, *options: str) -> Iterator[Server]:
    """dcmtk's PACS: no DICOMweb, no counts in finds, uncompressed syntaxes only."""
    program = shutil.which("dcmqrscp")
    if program is None:
        pytest.skip("dcmqrscp is not installed (apt-get install dcmtk)")
    port, calling = free_port(), free_port()
    (folder / "db").mkdir(parents=True)
    (folder / "dcmqr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\ndme = (DME, 127.0.0.1, {calling})\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        "AETable BEGIN\nDCMQR  db  RW  (500, 1024mb)  ANY\nAETable END\n"
    )
    with running([program, "-c", "dcmqr.cfg", *options], folder, [port]):
        yield Server("127.0.0.1", port, "DCMQR", "DME", calling, timeouts=Timeouts(connect=10, idle=30))


def without_web(server: Server) -> Server:
    """The same, by DIMSE alone."""
    return replace(server, url=None)

"""`python -m benchmarks.pacs`: receiving from Orthanc and from storescu, against dcmtk and pynetdicom, as ratios.

Needs Orthanc and dcmtk. Every round measures all in turn, so that a machine that is busy slows them alike; the medians
of ratios inside a round are what counts. CPU is that of the receiving program, user and system: it depends less on who
else works. All write each instance to a file of its own, and nobody waits for the disk. With --large it also passes one
instance of 2 GB through, and prints memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from crawler.pacs.get import GetTransport
from crawler.pacs.model import Received, Request, Server, Timeouts
from crawler.pacs.receiver import Receiver
from crawler.pacs.wado import WebTransport

STUDY = "2.25.1"
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
PROGRAMS = ("getscu", "storescu", "storescp", "Orthanc")


def make(folder: Path, count: int, rows: int = 512, columns: int = 512) -> None:
    """CT instances of one study, of rows x columns pixels of 16 bits."""
    random = np.random.default_rng(0)
    for n in range(count):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(f"{STUDY}.1.{n}")
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = STUDY, f"{STUDY}.1", "BENCH"
        dataset.Rows, dataset.Columns = rows % 65536, columns % 65536
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        dataset.PixelData = random.integers(0, 4096, (rows, columns), np.uint16).tobytes()
        dataset.save_as(folder / f"{n}.dcm", enforce_file_format=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def started(command: list[str], folder: Path, port: int) -> Iterator[int]:
    """A program that listens on a port; yields its process id."""
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen(command, cwd=folder, stdout=nothing, stderr=nothing, env=ENVIRONMENT)
    try:
        for _ in range(1500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    """Orthanc with DICOMweb."""
    http, port = free_port(), free_port()
    settings = {
        "StorageDirectory": "db", "IndexDirectory": "db", "HttpPort": http, "DicomPort": port, "DicomAet": "ORTHANC",
        "AuthenticationEnabled": False, "DicomAlwaysAllowGet": True, "DicomAlwaysAllowFind": True,
        "HttpCompressionEnabled": False, "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    with started([program, "orthanc.json"], folder, port):
        url = f"http://127.0.0.1:{http}/dicom-web"
        yield Server("127.0.0.1", port, "ORTHANC", "DME", url=url, timeouts=Timeouts(idle=120))


def upload(server: Server, source: Path) -> None:
    """Give Orthanc the files."""
    for path in source.iterdir():
        url = f"{(server.url or '').removesuffix('/dicom-web')}/instances"
        with urllib.request.urlopen(urllib.request.Request(url, path.read_bytes())) as response:
            response.read()


def ours(transport: GetTransport | WebTransport, temp: Path, count: int) -> None:
    """Fetch the study."""
    received: list[Received] = []
    request = Request(STUDY, sop_classes=(CTImageStorage,))
    answer = transport.fetch(request, temp, received.append, threading.Event())
    if len(received) != count:
        raise SystemExit(f"{answer}")


def getscu(server: Server, temp: Path) -> None:
    """The same by dcmtk, bit-preserving."""
    key = f"StudyInstanceUID={STUDY}"
    command = ["getscu", "+B", "-aec", "ORTHANC", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", key, "-od", str(temp)]
    subprocess.run([*command, server.host, str(server.port)], env=ENVIRONMENT, check=True, capture_output=True)


def theirs(server: Server, temp: Path) -> None:
    """The same by pynetdicom: raw bytes of each dataset to a file."""
    from pynetdicom import AE, build_role, evt

    def on_store(event: evt.Event) -> int:
        (temp / next(names)).write_bytes(event.encoded_dataset())
        return 0

    names = map(str, itertools.count())
    ae = AE("DME")
    ae.add_requested_context("1.2.840.10008.5.1.4.1.2.2.3")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    role = build_role(CTImageStorage, scp_role=True)
    association = ae.associate(
        server.host, server.port, ext_neg=[role], evt_handlers=[(evt.EVT_C_STORE, on_store)], max_pdu=131072
    )
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", STUDY
    for _ in association.send_c_get(query, "1.2.840.10008.5.1.4.1.2.2.3"):
        pass
    association.release()


def push(port: int, source: Path) -> None:
    """Send the files by dcmtk."""
    command = ["storescu", "-aec", "DME", "127.0.0.1", str(port), "+sd", str(source)]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)


def own_cpu() -> float:
    """Seconds of CPU, user and system, that this process took."""
    return time.process_time()


def childrens_cpu() -> float:
    """The same of the programs that it started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(pid: int) -> float:
    """The same of a program that runs: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def clocked(action: Callable[[], None], cpu: Callable[[], float]) -> tuple[float, float]:
    """Seconds, and seconds of CPU of whoever received."""
    began, used = time.perf_counter(), cpu()
    action()
    return time.perf_counter() - began, cpu() - used


def rounds(folder: Path, count: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU of each way, a list over the rounds."""
    source, temp = folder / "source", folder / "temp"
    source.mkdir()
    temp.mkdir()
    make(source, count)
    found: dict[str, list[tuple[float, float]]] = {}

    def take(one: Received, _: object) -> bool:
        os.rename(one.path, temp / one.sop_uid)
        return True

    scp, plain = free_port(), free_port()
    receiver = Receiver(Server("127.0.0.1", 0), lambda _: temp, take)
    storescp = ["storescp", "--max-pdu", "131072", "-od", str(temp)]
    with (
        orthanc(folder) as server,
        started([*storescp, "+B", str(scp)], folder, scp) as pid,
        started([*storescp, str(plain)], folder, plain) as plain_pid,
    ):
        upload(server, source)
        get, web = GetTransport(server), WebTransport(server)
        ways: dict[str, Callable[[], None]] = {
            "C-GET, ours": lambda: ours(get, temp, count),
            "C-GET, getscu +B": lambda: getscu(server, temp),
            "C-GET, pynetdicom": lambda: theirs(server, temp),
            "WADO-RS, ours": lambda: ours(web, temp, count),
            "C-STORE SCP, ours": lambda: push(receiver.port, source),
            "C-STORE SCP, storescp": lambda: push(plain, source),
            "C-STORE SCP, storescp +B": lambda: push(scp, source),
        }
        clocks = {
            "C-GET, getscu +B": childrens_cpu,
            "C-STORE SCP, storescp": lambda: cpu_of(plain_pid),
            "C-STORE SCP, storescp +B": lambda: cpu_of(pid),
        }
        for turn in range(repeats + 1):
            for name, action in ways.items():
                measured = clocked(action, clocks.get(name, own_cpu))
                for path in temp.iterdir():
                    path.unlink()
                if turn:  # the first round warms caches up
                    found.setdefault(name, []).append(measured)
        web.close()
    receiver.close()
    return found


def large(folder: Path) -> None:
    """Pass an instance of 2 GB through, and print how much memory that took."""
    source, temp = folder / "large", folder / "large temp"
    source.mkdir()
    temp.mkdir()
    make(source, 1)
    path = source / "0.dcm"
    content = path.read_bytes()
    size = 2_000_000_000
    at = len(content) - 512 * 512 * 2
    with path.open("r+b") as stream:
        stream.seek(at - 4)
        stream.write(size.to_bytes(4, "little"))
        stream.truncate(at + size)

    def take(one: Received, _: object) -> bool:
        print(f"one instance of {one.size:,} bytes in {one.seconds:.1f} s")
        one.path.unlink()
        return True

    receiver = Receiver(Server("127.0.0.1", 0), lambda _: temp, take)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc(5)
    before = peak()
    push(receiver.port, source)
    receiver.close()
    print(f"memory grew by {peak() - before:,} kB")


def peak() -> int:
    """Largest resident set of this process, kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacs", description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="CT files of 530 kB (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("--folder", default=None, help="where files go; memory (/dev/shm) shows the code, not the disk")
    parser.add_argument("--large", action="store_true", help="also one instance of 2 GB")
    arguments = parser.parse_args()
    missing = [name for name in PROGRAMS if not (shutil.which(name) or Path("/usr/sbin", name).exists())]
    if missing:
        print(f"needs {', '.join(missing)}: apt-get install dcmtk orthanc orthanc-dicomweb", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        found = rounds(folder, arguments.files, arguments.repeats)
        print(f"{arguments.files} CT of 530 kB, {arguments.repeats} rounds; ratio: rate of ours to that of the other")
        for way, measured in found.items():
            seconds = median(one for one, _ in measured)
            cpu = median(cpu for _, cpu in measured) / arguments.files * 1000
            print(f"{way:26} {arguments.files / seconds:7.0f} files/s  {cpu:6.2f} ms CPU a file")
        for mine, other in (
            ("C-GET, ours", "C-GET, getscu +B"),
            ("C-GET, ours", "C-GET, pynetdicom"),
            ("C-STORE SCP, ours", "C-STORE SCP, storescp"),
            ("C-STORE SCP, ours", "C-STORE SCP, storescp +B"),
            ("WADO-RS, ours", "C-GET, getscu +B"),
        ):
            pairs = list(zip(found[mine], found[other], strict=True))
            rates = sorted(their[0] / our[0] for our, their in pairs)
            cpu = median(our[1] / max(their[1], 1e-9) for our, their in pairs)
            print(f"{mine} : {other}  {median(rates):.2f} ({rates[0]:.2f}-{rates[-1]:.2f}), CPU {cpu:.2f}")
        if arguments.large:
            large(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

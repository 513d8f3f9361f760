"""What goes wrong tells no value and no path: crashes, hangs, strange exceptions, warnings, character sets, ffmpeg."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.factories import ct_series, quick_dataset, save

from crawler.cli.main import main
from crawler.engine.pool import start_method
from crawler.export.heartbeat import Heartbeat
from crawler.instance.header import read_instance
from crawler.pixels.frames import frames
from crawler.privacy.containers import contents
from crawler.privacy.search import Needles
from crawler.sinks.ffmpeg import find_program

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or start_method() != "fork", reason="plants the fault in forked workers"
)
TEXTS = ("Quastenflosser", "Ludmilla", "MRN4711081", "Ward77Folder", "Scan88File", "ISO_99_MAR")
XA = "1.2.840.10008.5.1.4.1.1.12.1"


def crash() -> None:
    os.write(2, b"decoder: cannot go on with Quastenflosser\n")  # as a library does
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Never return, and have been at it for an hour already, by the notes that the parent reads."""
    frame: Any = sys._getframe()
    while not isinstance(heartbeat := heartbeat_in(frame), Heartbeat):
        frame = frame.f_back
    heartbeat._slots[2] -= 3600
    time.sleep(3600)


def heartbeat_in(frame: Any) -> Any:
    """The worker's heartbeat, if a frame has it."""
    found = frame.f_locals.get("heartbeat")
    return found if found is not None else getattr(frame.f_locals.get("self"), "heartbeat", None)


def strange() -> None:
    raise RuntimeError("Quastenflosser^Ludmilla in /in/Ward77Folder/Scan88File0.dcm is no number")


def unreadable() -> None:
    raise OSError(5, "Input/output error", "/in/Ward77Folder/Scan88File1.dcm")


def warn() -> None:
    warnings.warn("Invalid value for VR LO: 'MRN4711081'", stacklevel=1)


def plant(monkeypatch: pytest.MonkeyPatch, door: str, original: Any, deeds: dict[str, Callable[[], None]]) -> None:
    """Have a deed done when a file of that name comes to a function."""

    def with_culprit(subject: Any, *arguments: Any, **options: Any) -> Any:
        name = os.path.basename(getattr(subject, "file", subject).path)  # its name in outputs is another
        if name in deeds:
            deeds[name]()
        return original(subject, *arguments, **options)

    monkeypatch.setattr(door, with_culprit)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three series, a cine, and headers whose character set is not one."""
    who = {"PatientName": "Quastenflosser^Ludmilla", "PatientID": "MRN4711081"}
    folder = tmp_path / "in" / "Ward77Folder"
    for number, path in enumerate(ct_series(folder / "a", 10, **who)):
        path.rename(folder / f"Scan88File{number}.dcm")
    cine = np.arange(6 * 64 * 64, dtype=np.uint16).reshape(6, 64, 64)
    xa = quick_dataset(
        cine, SOPClassUID=XA, Modality="XA", BurnedInAnnotation="NO", SeriesInstanceUID="1.2.3.9", CineRate=5, **who
    )
    save(xa, folder / "cine" / "Scan88FileX.dcm")
    for number, charset in enumerate((b"ISO_99_MAR", b"ISO_IR 999", b"Ludmilla99")):
        text = {"SeriesInstanceUID": f"1.2.3.{number}", "StudyDescription": "of M\u00fcller Quastenflosser"}
        dataset = quick_dataset(SpecificCharacterSet="ISO_IR 192", **text, **who)
        path = folder / "sets" / f"Scan88File{number}c.dcm"
        save(dataset, path)
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", charset))
    return tmp_path / "in"


def job(source: Path, out: Path, **privacy: Any) -> Path:
    """A configuration with every output."""
    document = {
        "num_workers": 2,
        "limits": {"seconds": 600},
        "dicom": {"dir": str(source)},
        "output": {"dir": str(out / "output")},
        **{"config": {}, "metadata": {"tables": ["csv"]}, "image": {}, "video": {}, "preview": {}},
        "volume": {"formats": ["nifti"]},
        "privacy": {"private": str(out / "private"), **privacy},
    }
    path = out / "job.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def leaked(out: Path, said: str) -> dict[str, list[str]]:
    """Which text stands where."""
    needles = Needles(TEXTS)
    found: dict[str, list[str]] = {}
    places = [("what it said", said.encode())]
    for path in sorted((out / "output").rglob("*")):
        places.append(("a name", str(path.relative_to(out)).encode()))
        if path.is_file():
            places += [(f"{path.name} ({kind})", data) for kind, data in contents(path)]
    for place, data in places:
        for number in needles.found_in(data):
            found.setdefault(needles.texts[number], []).append(place)
    return found


@pytest.mark.parametrize("stage", ["header", "pixels"])
def test_a_fault_of_a_file_tells_nothing_of_it(
    stage: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    deeds = {
        f"Scan88File{number}.dcm": deed for number, deed in enumerate((strange, unreadable, crash, hang, warn), start=2)
    }
    if stage == "header":
        plant(monkeypatch, "crawler.export.tasks.read_instance", read_instance, deeds)
    else:
        plant(monkeypatch, "crawler.export.scan.frames", frames, deeds)
        plant(monkeypatch, "crawler.export.media.frames", frames, deeds)
    assert main([str(job(source, tmp_path)), "-v"]) == 3
    out, err = capfd.readouterr()
    assert leaked(tmp_path, out + err) == {}
    if stage == "pixels":
        log = (tmp_path / "private" / "workers.log").read_text()  # who may see it finds out
        assert "Scan88File2.dcm: pixels: internal error: RuntimeError" in log
        assert "cannot go on with Quastenflosser" in log


def test_a_complaint_of_ffmpeg_tells_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "ffmpeg"
    words = "/in/Ward77Folder/Scan88FileX.dcm: Invalid data in 'Quastenflosser MRN4711081'"
    program.write_text(
        f"""#!/bin/sh
case "$*" in *pipe:0*) cat > /dev/null; echo "{words}" >&2; exit 1;; esac
exec {find_program()} "$@"
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    assert main([str(job(source, tmp_path)), "-v"]) == 3
    out, err = capfd.readouterr()
    assert leaked(tmp_path, out + err) == {}
    reasons = (tmp_path / "output" / "unreadable_files.csv").read_text()
    assert "video not encoded" in reasons
    assert "Quastenflosser" in (tmp_path / "private" / "workers.log").read_text()


def test_without_workers_codecs_write_to_the_private_log(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def loud(*args: Any, **options: Any) -> Any:
        os.write(2, b"codec: /in/Ward77Folder/Scan88File1.dcm of Quastenflosser\n")
        os.write(1, b"codec: Quastenflosser\n")
        return read_instance(*args, **options)

    monkeypatch.setattr("crawler.export.tasks.read_instance", loud)
    path = job(source, tmp_path)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "num_workers": 0}))
    main([str(path), "-v"])
    out, err = capfd.readouterr()
    assert "codec:" not in out + err
    assert leaked(tmp_path, out + err) == {}
    assert "codec: /in/Ward77Folder" in (tmp_path / "private" / "workers.log").read_text()
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"

"""One flat folder of very many small files: time and memory of walk, plan, run with headers only, and second run.

    python -m benchmarks.flat [--files 100000 1000000] [--workers 2] [--keep FOLDER]

The files are real: a CT header of some 1 kB and 8 x 8 pixels, in series of 500, each with its own UIDs and position.
Each phase is a process of its own. Its largest memory is told, and that of the largest of its workers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PHASES = ("walk", "plan", "run", "again")
SERIES = 500  # files
SOP, SERIES_UID, NUMBER, PLACE = "1.2.826.0.1.9000000001", "1.2.826.0.1.8000000001", "70001", "-6000001.5"


def template() -> bytes:
    """One file, with values of a fixed width in place of those that differ."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    image = Dataset()
    image.SpecificCharacterSet, image.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = UID(SOP)
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20240102"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "101112.5"
    image.AccessionNumber, image.Modality, image.Manufacturer = "A1", "CT", "none"
    image.StudyDescription, image.SeriesDescription = "flat", "very many files"
    image.PatientName, image.PatientID, image.PatientSex = "Phantom^Flat", "flat", "O"
    image.BodyPartExamined, image.ScanOptions, image.KVP = "CHEST", "HELICAL MODE", "120"
    image.SliceThickness, image.GantryDetectorTilt, image.PatientPosition = "1.5", "0", "HFS"
    image.ExposureTime, image.XRayTubeCurrent, image.ConvolutionKernel = "500", "200", "STANDARD"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.1.7", SERIES_UID
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", "1", NUMBER
    image.FrameOfReferenceUID, image.ImageOrientationPatient = "1.2.826.0.1.6", [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = ["0", "0", PLACE]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = 8
    image.PixelSpacing = ["1", "1"]
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.RescaleIntercept, image.RescaleSlope = "-1024", "1"
    image.PixelData = bytes(range(128))
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = UID(SOP)
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def build(folder: Path, files: int) -> None:
    """Write the files."""
    folder.mkdir(parents=True)
    data = template()
    for number in range(files):
        series, place = divmod(number, SERIES)
        one = data.replace(SOP.encode(), b"1.2.826.0.1.9%09d" % number)
        one = one.replace(SERIES_UID.encode(), b"1.2.826.0.1.8%09d" % series)
        one = one.replace(NUMBER.encode(), b"%05d" % place).replace(PLACE.encode(), b"%10.1f" % (1.5 * place))
        with open(folder / f"IM{number:09d}.dcm", "wb") as file:
            file.write(one)


def phase(name: str, config: Path, files: int) -> dict[str, float]:
    """Do one phase in this process; seconds, and memory in MB."""
    from crawler.cluster.making import make_plan
    from crawler.config.loader import load_config
    from crawler.engine.run import run
    from crawler.sources.directory import roots_of, walk

    loaded = load_config(str(config))
    began = time.perf_counter()
    if name == "walk":
        assert sum(folder.count for root in roots_of(loaded.roots) for folder in walk(root)) == files
    elif name == "plan":
        make_plan(load_config(str(config.with_name("parts.yml"))), 2, estimate=False)
    else:
        summary = run(loaded)
        assert summary.found == files
        assert summary.handled == (files if name == "run" else 0)
    seconds = time.perf_counter() - began
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"seconds": seconds, "parent": peaks[0], "worker": peaks[1]}


def measure(folder: Path, files: int, workers: int, tell: Callable[[str], None]) -> None:
    """All phases over one folder, a row each."""
    source = folder / f"flat-{files}"
    if not source.exists():
        build(source, files)
    out = Path(tempfile.mkdtemp(dir=folder))
    try:
        for name in ("whole", "parts"):
            (out / f"{name}.yml").write_text(
                f"num_workers: {workers}\noutput: {{dir: {out / name}}}\ndicom: {{dir: {source}}}\n"
                "metadata: {tables: []}\n"
            )
        for name in PHASES:
            command = [sys.executable, "-m", "benchmarks.flat", "--phase", name, str(out / "whole.yml"), str(files)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            each = 1e6 * found["seconds"] / files
            memory = f"{found['parent']:.0f} | {found['worker']:.0f}"
            tell(f"| {files:,} | {name} | {found['seconds']:.1f} | {each:.1f} | {memory} |")
    finally:
        shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", type=Path, help="folder in which the files stay for another measurement")
    parser.add_argument("--phase", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        name, config, files = options.phase
        print(json.dumps(phase(name, Path(config), int(files))))
        return
    print("| files | phase | seconds | us a file | parent, MB | largest worker, MB |")
    print("|---|---|---|---|---|---|")
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for files in options.files:
            measure(folder, files, options.workers, lambda line: print(line, flush=True))
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""A soak: some 200,000 small files with every kind of output on. Memory stays flat, and a second run is the walk alone.

``python -m benchmarks.soak --files 200000 --folder DIR`` copies folders of 50 files (stacks, a cine, a document, a
waveform, damaged files and files that are no DICOM) by hard links, exports all, and looks at the memory of the parent
and of its workers all the while. Prints a table, and returns 1 when the memory grows with the files, when the accounts
do not hold, or when the second run handles a file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import psutil
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
)

ROOT = Path(__file__).parents[1]
KINDS = 8  # different folders: the rest are links to these
SECTIONS = {
    "metadata": {"tables": ["csv", "parquet"], "templates": "dicom_tags"},
    "image": {"bits": 8},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5", "nifti"]},
    "preview": {"size": 64},
    "quality": {},
    "config": {"file": "copy.yml"},
}
AGAIN = "import sys, crawler; done = crawler.run(sys.argv[1]); print(done.handled, done.exit_code)"
# Growth from the second tenth of the files to the last that is no leak: SQLite's cache and Python's pools fill slowly.
PARENT, WORKER = 40e6, 40e6


class Sample(NamedTuple):
    """Bytes resident at a moment, in the parent and in its largest worker, and files done."""

    seconds: float
    files: int
    parent: int
    worker: int


def build(tree: Path, files: int) -> int:
    """Write the tree; return how many files it has."""
    made = 0
    sources: list[list[Path]] = []
    for number in range(KINDS):
        folder = tree / f"{number:05d}"
        sources.append(write_folder(folder, number))
        made += len(sources[-1])
    number = KINDS
    while made < files:
        folder = tree / f"{number // 1000:03d}" / f"{number:05d}"
        folder.mkdir(parents=True)
        source = sources[number % KINDS]
        for path in source:
            os.link(path, folder / path.name)
        made += len(source)
        number += 1
    return made


def write_folder(folder: Path, kind: int) -> list[Path]:
    """One folder of 50 files: series of a stack each, a cine, a waveform, and what no tool can read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(kind)
    for series, slices in ((1, 24), (2, 16)):
        for number in range(slices):
            dataset = _dataset(CTImageStorage, kind, series, number)
            dataset.Modality, dataset.InstanceNumber = "CT", number + 1
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 1
            _pixels(dataset, rng.integers(0, 4000, (24, 24), dtype=np.uint16))
            dataset.save_as(folder / f"s{series}-{number:03d}.dcm", enforce_file_format=True)
    cine = _dataset(MultiFrameGrayscaleByteSecondaryCaptureImageStorage, kind, 3, 0)
    cine.Modality, cine.NumberOfFrames, cine.FrameTime = "US", 4, 40
    _pixels(cine, rng.integers(0, 255, (4, 24, 24), dtype=np.uint8))
    cine.save_as(folder / "cine.dcm", enforce_file_format=True)
    if not kind:  # its picture takes as long as a hundred others
        ecg = dcmread(str(get_testdata_file("waveform_ecg.dcm")))
        ecg.save_as(folder / "ecg.dcm")
    whole = (folder / "s1-000.dcm").read_bytes()
    for number in range(3):
        (folder / f"cut{number}.dcm").write_bytes(whole[: -100 - number])
    for number in range(5):
        (folder / f"notes{number}.txt").write_text("no DICOM")
    return sorted(folder.iterdir())


def _dataset(sop_class: str, kind: int, series: int, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"1.2.826.0.1.{kind}.{series}.{number}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"1.2.826.0.1.{kind}.{series}", f"1.2.826.0.1.{kind}"
    dataset.PatientID, dataset.SeriesNumber, dataset.SeriesDescription = f"soak{kind}", series, "a soak"
    return dataset


def _pixels(dataset: Dataset, values: np.ndarray) -> None:
    bits = values.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    dataset.PixelData = values.tobytes()


def watched(command: Sequence[str], rows: Path, every: float) -> tuple[int, float, list[Sample]]:
    """Run a command; return its code, its seconds, and the memory of its processes all the while."""
    samples: list[Sample] = []
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            workers = [child.memory_info().rss for child in parent.children()]
            size = rows.stat().st_size if rows.exists() else 0
            samples.append(Sample(time.monotonic() - began, size, parent.memory_info().rss, max(workers, default=0)))
        except (psutil.NoSuchProcess, FileNotFoundError):
            pass
        time.sleep(every)
    return process.returncode, time.monotonic() - began, samples


def walk(tree: Path) -> float:
    """Seconds that it takes to look at every file of a tree."""
    began = time.monotonic()
    for folder, _, names in os.walk(tree):
        for name in names:
            os.stat(os.path.join(folder, name))
    return time.monotonic() - began


def table(samples: Sequence[Sample], files: int) -> tuple[str, bool]:
    """Memory by tenths of the rows that were written, as Markdown; and whether it is flat."""
    last = max(sample.files for sample in samples)
    lines = ["| files | minutes | parent | largest worker |", "| --- | --- | --- | --- |"]
    tenths: list[tuple[float, float]] = []
    for number in range(10):
        inside = [one for one in samples if number * last <= 10 * one.files < (number + 1) * last and one.worker]
        if not inside:
            continue
        tenths.append((median(one.parent for one in inside), median(one.worker for one in inside)))
        parent, worker = tenths[-1]
        lines.append(
            f"| {files * (number + 1) // 10:,} | {inside[-1].seconds / 60:.1f} | {parent / 1e6:.0f} MB |"
            f" {worker / 1e6:.0f} MB |"
        )
    tail = [one for one in samples if not one.worker and one.files >= last * 0.9]
    if tail:
        lines.append(f"| tables | {samples[-1].seconds / 60:.1f} | {max(one.parent for one in tail) / 1e6:.0f} MB | |")
    flat = len(tenths) > 5 and all(tenths[-1][at] - tenths[1][at] < most for at, most in ((0, PARENT), (1, WORKER)))
    return "\n".join(lines), flat


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at the memory")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "dme-soak")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    tree, out = options.folder / "in", options.folder / "out"
    files = build(tree, options.files)
    settings = options.folder / "soak.yml"
    config = {"num_workers": options.workers, "output": {"dir": str(out)}, "dicom": {"dir": str(tree)}, **SECTIONS}
    settings.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, str(ROOT / "dme.py"), str(settings), "-q"]
    code, seconds, samples = watched(command, out / "metadata.jsonl", options.every)
    summary = json.loads((out / "summary.json").read_text())
    text, flat = table(samples, files)
    print(f"{files:,} files, {options.workers} workers: exit code {code}, {seconds / 60:.1f} minutes\n\n{text}\n")
    counted = {name: summary[name] for name in ("found", "exported", "skipped", "failed")}
    print(counted)
    holds = summary["found"] == files and code == 3
    looked = min(walk(tree) for _ in range(2))
    began = time.monotonic()
    heard = subprocess.run([sys.executable, "-c", AGAIN, str(settings)], cwd=ROOT, capture_output=True, text=True)
    again = time.monotonic() - began
    handled, code = map(int, heard.stdout.split())
    untouched = (handled, code) == (0, 3)
    print(f"second run: {again:.1f} s, {handled} files handled; os.walk and os.stat alone: {looked:.1f} s")
    for name, good in (("memory flat", flat), ("accounts hold", holds), ("second run by the walk alone", untouched)):
        print(f"{name}: {'yes' if good else 'NO'}")
    return 0 if flat and holds and untouched else 1


if __name__ == "__main__":
    sys.exit(main())

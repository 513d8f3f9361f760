"""`python -m benchmarks.series`: import, read and memory of `crawler.Series` beside imagedata, in turn, as ratios.

imagedata is looked for in another Python (``--imagedata``), since its requirements are its own. Each figure is that of
a process of its own; every round measures all in turn, and medians of the rounds are printed. Memory is the resident
set when the series is read, less that after the import.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from benchmarks.measure import ROOT

SLICES, SIDE = 10, 340
IMPORT = {"ours": "from crawler import Series", "imagedata": "from imagedata.series import Series"}
READ = {
    "eager": "a = Series({place!r})",
    "lazy": "a = Series.open({place!r})",
    "one frame": "a = Series.open({place!r})[0].values",
}
PROGRAM = """
import time, logging
logging.disable(logging.CRITICAL)
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096
import numpy
began, base = time.perf_counter(), resident()
{load}
loaded, after = time.perf_counter(), resident()
{read}
print(loaded - began, after - base, time.perf_counter() - loaded, resident() - after)
"""


def measured(python: str, load: str, read: str) -> tuple[float, float, float, float]:
    """Seconds and bytes of the import, then of the reading."""
    done = subprocess.run(
        [python, "-c", PROGRAM.format(load=load, read=read)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    first, second, third, fourth = map(float, done.stdout.split()[-4:])
    return first, second, third, fourth


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("--imagedata", default="", metavar="PYTHON", help="a Python that has imagedata")
    parser.add_argument("--files", type=int, default=90, help="files of the series (%(default)s)")
    parser.add_argument("--place", default="", help="a folder with one series, in place of a made one")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dme-series-") as folder:
        place = options.place or str(series_folder(Path(folder), options.files))
        contenders = [(f"ours, {how}", sys.executable, "ours", how) for how in READ]
        if options.imagedata:
            contenders.append(("imagedata", options.imagedata, "imagedata", "eager"))
        figures: dict[str, list[tuple[float, float, float, float]]] = {}
        for _ in range(options.repeats):
            for name, python, library, how in contenders:
                found = measured(python, IMPORT[library], READ[how].format(place=place))
                figures.setdefault(name, []).append(found)
    print("| | import s | import MB | read s | read MB |\n|---|---|---|---|---|")
    for name, rounds in figures.items():
        first, second, third, fourth = (median(column) for column in zip(*rounds, strict=True))
        print(f"| {name} | {first:.2f} | {second / 1e6:.0f} | {third:.2f} | {fourth / 1e6:.1f} |")
    return 0


def series_folder(folder: Path, files: int) -> Path:
    """A dynamic MR series of ten slices and as many times as `files` allow, 340 x 340 pixels of 16 bits."""
    random = np.random.default_rng(0)
    for number in range(files):
        time, place = divmod(number, SLICES)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(f"2.25.1.{number}")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "2.25.2", "2.25.3", "2.25.4"
        dataset.PatientID = dataset.PatientName = "BENCH"
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "MR", 1, number + 1
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        dataset.StudyDate, dataset.StudyTime, dataset.SeriesTime = "20200101", "100000", "100000"
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20200101", f"1000{time % 60:02d}"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * place], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness, dataset.EchoTime, dataset.RepetitionTime = [1, 1], 3, 2.5, 5
        dataset.Rows = dataset.Columns = SIDE
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        dataset.PixelData = random.integers(0, 1000, (SIDE, SIDE), dtype=np.uint16).tobytes()
        dataset.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())

"""The jobs of PERFORMANCE.md's bars, and how one is run: contenders in turn, round by round, over a warm tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.measure import Runs, settle, size_of, timed, warm
from benchmarks.peers import OURS, Contender, dcm2niix, imgtools, loop, ours
from benchmarks.trees import BenchmarkError, Tree, ct_tree, huge_tree, mr_tree, us_tree

CT, MR, US, MANY, HUGE = 4000, 1000, 6, 200_000, 8000  # files; HUGE: frames, 4.2 GB
CINE = 120  # frames of the ultrasound source
ONE = "dme, 1 worker"
PYDICOM, SEED_SCANS, SEED_MEDIA, WALK = "pydicom, 1 process", "seeds/004", "seeds/003", "scandir + stat"
BARE = "bare read and deflate, 2 processes"
NATIVE = "fastdicom (Rust), parsing alone, 1 process"


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the table, or several: a bar each.

    Attributes
    ----------
    frames
        Per file, where the unit of the rate is the frame; 0 for files.
    again
        Ours is run once before, untimed: what is measured is the second run.
    """

    name: str
    title: str
    tree: Tree
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...] = ()
    frames: int = 0
    again: bool = False

    @property
    def units(self) -> int:
        """What its rate counts."""
        return self.tree.files * (self.frames or 1)


def plan(scale: float = 1.0, large: bool = False, imgtools_path: str = "") -> list[Job]:
    """All jobs.

    Parameters
    ----------
    scale
        Share of the files that the bars ask for.
    large
        Also those that take many gigabytes or minutes.
    """
    ct, mr, us = ct_tree(_share(CT, scale)), mr_tree(_share(MR, scale)), us_tree(max(1, round(US * scale)))
    pydicom = loop("pydicom_json", PYDICOM, "metadata.jsonl", ("pydicom",))
    index = imgtools(imgtools_path)
    scans = loop("scan_hdf5", SEED_SCANS, "pixel_data.h5", ("pydicom", "h5py", "numpy"))
    deflating = loop("bare_deflate", BARE, "sizes.txt", ("isal", "numpy"))
    pngs = loop("media", SEED_MEDIA, "*.png", ("pydicom", "PIL"))
    cines = loop("media", SEED_MEDIA, "*.mp4", ("pydicom", "PIL", "av"))
    # The source's own window is narrow: it would leave 100 of the 4,742 levels that seeds/003 writes, in a quarter of
    # the bytes, and be no equal work. So the picture job below takes `window: full`.
    volume = {"volume": {"formats": ["hdf5"]}}
    nifti = {"volume": {"formats": ["nifti"]}}
    bare, fast, usual = dcm2niix(), dcm2niix("-z", "y", "-1"), dcm2niix("-z", "y")
    native = loop("native_headers", NATIVE, "headers.txt", ("fastdicom",))
    headers = (Bar(PYDICOM, 12), Bar(index.name, 6), Bar(NATIVE, 1))
    jobs = [
        Job("headers-ct", "CT headers to JSONL", ct, (ours({}, "metadata.jsonl"), pydicom, index, native), headers),
        Job(
            "headers-mr",
            "MR headers with CSA to JSONL",
            mr,
            (ours({}, "metadata.jsonl"), pydicom, index, native),
            (Bar(PYDICOM, 4), Bar(index.name, 6), Bar(NATIVE, 0)),
        ),
        Job(
            "hdf5-ct",
            "CT to gzip HDF5 + all headers",
            ct,
            (ours(volume, "s*.h5"), ours(volume, "s*.h5", 1, ONE), bare, scans, deflating),
            (Bar(bare.name, 1.5), Bar(SEED_SCANS, 4), Bar(ONE, 1.7), Bar(BARE, 1 / 3)),
        ),
        Job(
            "nifti-ct",
            "CT to .nii.gz + all headers",
            ct,
            (ours(nifti, "*.nii.gz", folders=True), fast, usual),
            (Bar(fast.name, 2), Bar(usual.name, 7)),
        ),
        Job(
            "png-ct",
            "CT to 16-bit PNG + all headers",
            ct,
            (ours({"image": {"bits": 16, "window": "full"}}, "*.png"), pngs),
            (Bar(SEED_MEDIA, 10),),
        ),
        Job(
            "mp4-us",
            "US cine to MP4 + all headers",
            us,
            (ours({"video": {}}, "*.mp4"), cines),
            (Bar(SEED_MEDIA, 2), Bar(SEED_MEDIA, 1, "size")),
            frames=CINE,
        ),
    ]
    if large:
        many, huge = ct_tree(_share(MANY, scale), 500, 16), huge_tree(_share(HUGE, scale))
        listing = loop("walk", WALK, "walk.txt", ())
        again = (ours({}, "metadata.jsonl"), listing)
        jobs += [
            Job("headers-many", "headers to JSONL", many, (ours({}, "metadata.jsonl"), native), (Bar(NATIVE, 1),)),
            Job("rerun", "second run, all files finished", many, again, (Bar(WALK, 1, "walk"),), again=True),
            Job("huge", "one multi-frame file to gzip HDF5", huge, (ours(volume, "s*.h5"),), frames=huge.frames),
        ]
    return jobs


def _share(whole: int, scale: float) -> int:
    return max(2, round(whole * scale))


def run(job: Job, folder: Path, repeats: int, tell: Callable[[str], None]) -> dict[str, Runs]:
    """Measure a job's contenders that are installed.

    Raises
    ------
    BenchmarkError
        One failed, or did not make what it should.
    """
    tree = job.tree.build(folder)
    warm(tree)
    outputs = folder / "out"
    contenders = [one for one in job.contenders if one.about]
    runs = {one.name: Runs() for one in contenders}
    if job.again:
        shutil.rmtree(outputs, ignore_errors=True)
    for number in range(repeats):
        for one in contenders:
            out = outputs / str(contenders.index(one))
            if not job.again:
                shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True, exist_ok=True)
            command, log = one.command(tree, out), outputs / "said.txt"
            if job.again and not number:
                timed(command, log)
            settle()
            seconds, peak = timed(command, log)
            mine = runs[one.name]
            mine.size = _check(job, one, out)
            mine.seconds.append(seconds)
            mine.peak = max(mine.peak, peak)
            tell(f"{job.name}: {one.name}: {seconds:.2f} s, {peak / 1e6:.0f} MB")
    shutil.rmtree(outputs)
    return runs


def _check(job: Job, one: Contender, out: Path) -> int:
    """Bytes of what a contender made.

    Raises
    ------
    BenchmarkError
        There is less than there should be: a run that fails early would be the fastest.
    """
    made, size = size_of(out, one.product)
    least = -(-job.tree.files // job.tree.per_folder) if one.folders else 1
    if one.product in ("*.png", "*.mp4"):
        least = job.tree.files
    if made < least or not size:
        raise BenchmarkError(f"{job.name}: {one.name} made {made} files {one.product}, not {least}")
    return size


def without_peers(job: Job) -> Job:
    """The same work by us and by pydicom alone."""
    kept = tuple(one for one in job.contenders if one.name.startswith(OURS) or one.name == PYDICOM)
    return replace(job, contenders=kept)

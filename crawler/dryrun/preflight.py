"""The dry run: what a run would find, what would go wrong, how long it would take and how much it would write.

Survey (listings), headers (headers of a sample) and trial (a small run into a temporary folder) as one. Nothing is
written in the input or the output, neither ledger nor log nor folder; what is done already is not looked up
(`status.py` does).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass

from crawler.config.loader import Config
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.header_sample import HeaderSample, sample_headers
from crawler.dryrun.survey import SPOOLED, Survey, survey
from crawler.dryrun.trial import Trial, trial
from crawler.errors import OutputError
from crawler.paths import portable
from crawler.sources.directory import roots_of

Span = tuple[float, float]
"""Smaller and larger estimate."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found out.

    Attributes
    ----------
    workers
        Worker processes that can be at work at once: as configured, but not more than there are processors.
    free
        Bytes free where the outputs will lie.
    trial
        None when no file of the sample is small enough for one.
    """

    survey: Survey
    headers: HeaderSample
    trial: Trial | None
    workers: int
    free: int

    @property
    def seconds(self) -> Span | None:
        """Time of a run from nothing, between what the number of files and what their bytes let expect."""
        if self.trial is None:
            return None
        low, high = self._scale(self.trial)
        of_one = self.trial.seconds / self.workers
        return self.survey.seconds + low * of_one, self.survey.seconds + high * of_one

    @property
    def written(self) -> Span | None:
        """Bytes of all outputs, between the same two."""
        if self.trial is None:
            return None
        low, high = self._scale(self.trial)
        return low * self.trial.written, high * self.trial.written

    def _scale(self, trial: Trial) -> Span:
        """How many times the trial's input the whole input is: by files and by bytes, the smaller first."""
        by_files = self.survey.expected_files / trial.files
        by_bytes = self.survey.expected_size / max(1, trial.size)
        return min(by_files, by_bytes), max(by_files, by_bytes)


def preflight(config: Config) -> Preflight:
    """Look at the input of a configuration, and try the run on a little of it.

    Raises
    ------
    StopError
        What would stop the run before its work: no input, a package that is missing.
    """
    roots = roots_of(config.roots, config.dicom.readers)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="dme-dry-run-", ignore_cleanup_errors=True) as spool,
            ContainedReader(config, SPOOLED) as reader,
        ):
            seen = survey(config, roots, spool, reader)
            told = sample_headers(config, seen, reader)
            tried = trial(config, seen, reader)
    except (OSError, OutputError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error).partition(";")[0]
        place = portable(tempfile.gettempdir())
        raise OutputError(f"the folder for temporary files, {place}: {text}; set TMPDIR to another folder") from error
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(1, min(config.num_workers, processors))
    return Preflight(seen, told, tried, workers, _free(config.output_dir))


def _free(path: str) -> int:
    """Bytes free on the disk that a folder lies on, or will lie on."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free

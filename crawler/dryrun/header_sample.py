"""What the headers of a sample say: kinds of objects, decoders that lack, scans that will be split or refused.

Counts headers, which workers read, and no pixel, and writes nothing. Counts are of the sample; how far they hold for
the whole input is for the reader to judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.config import IGNORE
from pydicom.uid import UID

from crawler.config.loader import Config
from crawler.config.sections import VolumeSection
from crawler.dicom.terms import UNKNOWN, modality_term
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.survey import Survey
from crawler.errors import PixelError
from crawler.layout.derived import split_axes
from crawler.layout.empty_slices import with_empty_slices
from crawler.layout.layouts import layouts
from crawler.layout.scan import group_scans
from crawler.model import File, Instance, Outcome
from crawler.pixels.codecs import register, require_decoder
from crawler.pixels.codestream import NATIVE_FRAMES

FOLDER_FILES = 1000  # a larger folder is not read whole: at some 1 ms a header this keeps a pre-flight within seconds
ALL_FILES = 2000  # headers read for whole folders, in total


@dataclass(frozen=True, slots=True)
class Prediction:
    """A scan that will not be one volume: its arrays, how many of them are refused, and why."""

    scan_id: str
    arrays: int
    refused: int
    reason: str


@dataclass(slots=True)
class HeaderSample:
    """What a sample of headers told.

    Attributes
    ----------
    files
        Headers of the even sample; the four counters below add up to it.
    dicom, not_dicom, indexes, failed
        Readable instances, other content, DICOMDIRs, and reasons why a header cannot be read.
    modalities, syntaxes
        (0008,0060) *Modality* and transfer syntax UID of the readable instances, as far as the standard knows them.
    undecodable
        Transfer syntax UID -> why images in it cannot be decoded here.
    folders, scans, arrays
        Folders read whole, the scans in them, and the volumes that these make.
    predictions
        Scans that are split or refused.
    scattered
        Folders that share a series with another one, for each such series.
    """

    files: int = 0
    dicom: int = 0
    not_dicom: int = 0
    indexes: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    syntaxes: Counter[str] = field(default_factory=Counter)
    undecodable: dict[str, str] = field(default_factory=dict)
    folders: int = 0
    scans: int = 0
    arrays: int = 0
    predictions: list[Prediction] = field(default_factory=list)
    scattered: list[list[str]] = field(default_factory=list)


def sample_headers(config: Config, survey: Survey, workers: ContainedReader) -> HeaderSample:
    """Read the headers of a survey's sample, and of some folders whole when volumes are wanted.

    With `group: tree` a scan lies anywhere: no folder tells how it will be placed, and no series is scattered.
    """
    register()
    reader = _Reader(workers)
    seen = HeaderSample()
    for answer in reader.read(survey.sample):
        _count(seen, answer)
    if config.dicom.group == "tree":
        return seen
    if config.volume is not None:
        for files in survey.some_folders():
            if len(files) <= FOLDER_FILES and len(reader.read_before) + len(files) <= ALL_FILES:
                _predict(seen, reader.instances(files), config.volume)
    seen.predictions.sort(key=lambda one: one.scan_id)
    seen.scattered = sorted(sorted(folders) for folders in reader.series.values() if len(folders) > 1)
    return seen


class _Reader:
    """Reads each header once, and notes which folders each series lies in."""

    def __init__(self, workers: ContainedReader) -> None:
        self._workers = workers
        self.read_before: dict[str, Instance | Outcome] = {}
        self.series: dict[str, set[str]] = {}

    def read(self, files: Sequence[File]) -> list[Instance | Outcome]:
        """The headers without their records, or what will become of the files."""
        new = list({file.key: file for file in files if file.key not in self.read_before}.values())
        for file, answer in zip(new, self._workers.headers(new), strict=True):
            self.read_before[file.key] = answer
            if isinstance(answer, Instance) and answer.series_uid:
                self.series.setdefault(answer.series_uid, set()).add(_folder(file.key))
        return [self.read_before[file.key] for file in files]

    def instances(self, files: Sequence[File]) -> list[Instance]:
        """Those that can be read, without indexes."""
        return [answer for answer in self.read(files) if isinstance(answer, Instance) and not answer.is_index]


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _count(seen: HeaderSample, answer: Instance | Outcome) -> None:
    seen.files += 1
    if isinstance(answer, Outcome):
        if answer.outcome == "skipped":
            seen.not_dicom += 1
        else:
            seen.failed[answer.reason] += 1
        return
    if answer.is_index:
        seen.indexes += 1
        return
    seen.dicom += 1
    syntax = answer.transfer_syntax
    told = syntax if not syntax or UID(syntax, IGNORE).type == "Transfer Syntax" else UNKNOWN
    seen.modalities[modality_term(answer.modality) or "none given"] += 1
    seen.syntaxes[told] += 1
    encapsulated = answer.pixels is not None and answer.pixels.keyword and answer.pixels.length is None
    if encapsulated and syntax not in NATIVE_FRAMES and told not in seen.undecodable:
        try:
            require_decoder(syntax)
        except PixelError as error:
            seen.undecodable[told] = str(error)


def _predict(seen: HeaderSample, instances: Sequence[Instance], volume: VolumeSection) -> None:
    """Place the scans of a whole folder, as a run will do."""
    seen.folders += 1
    for scan in group_scans(instances, _folder(instances[0].file.key) if instances else ""):
        seen.scans += 1
        plan = layouts(scan, volume.irregular, volume.axis, volume.tolerance)
        plan = split_axes(with_empty_slices(plan, scan.instances), volume.split)
        refused = [layout for layout in plan if layout.refused]
        seen.arrays += len(plan) - len(refused)
        if refused or len(plan) > 1:
            reasons = dict.fromkeys(layout.refused or layout.verdict.reason for layout in plan)
            reason = ", ".join(filter(None, reasons)) or "unlike images"
            seen.predictions.append(Prediction(scan.scan_id, len(plan), len(refused), reason))


def syntax_name(uid: str) -> str:
    """A transfer syntax in words (PS3.6 table A-1), or its UID."""
    return UID(uid, IGNORE).name or "none given"

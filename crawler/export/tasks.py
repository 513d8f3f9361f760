"""What a worker does with a task: read the headers of folders, group them, have each scan exported.

Four kinds of task, one answer each. A folder of ordinary size is one `FolderTask`, so one worker reads, groups and
exports it. The files of a larger one, or of a whole tree, first go through `IndexTask`s, which spool what they read and
return small keys; the parent groups these and sends `ScanTask`s. An `ArchiveTask` lists an archive. Poisoned items
(files that already killed a worker) are failed unread.
"""

from __future__ import annotations

import os
import pickle
import uuid
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import orjson

from crawler.dicom.files import headers_ahead, open_file
from crawler.dicom.row_size import record_bytes
from crawler.error_boundary import outcome_of
from crawler.errors import NotDicom, StopError
from crawler.export.cells import CellWriter
from crawler.export.earlier import Earlier
from crawler.export.exporter_rows import texts_of
from crawler.export.heartbeat import Heartbeat
from crawler.export.private_log import note, public_files
from crawler.export.result import Header, ScanResult, noted_keys, using_spool
from crawler.export.scan import ScanExport
from crawler.export.series_columns import series_keys
from crawler.export.setup import Setup
from crawler.instance.header import read_instance
from crawler.layout.columns import element_keys
from crawler.layout.scan import SeriesKey, scan_members, series_key
from crawler.ledger.series_index import Spooled
from crawler.model import File, Outcome
from crawler.naming import media_stems, scan_digest
from crawler.privacy.linking import LinkWriter
from crawler.privacy.messages import public_outcome
from crawler.privacy.pixels import searched
from crawler.sources.archive import Expanded, expand

if TYPE_CHECKING:
    from crawler.export.held import Reviewer

Culprits = Mapping[int, Outcome]


class FolderJob(NamedTuple):
    """One folder to be read, grouped and exported.

    Attributes
    ----------
    key, mirror
        The folder's name in outputs, as text and as native path.
    known
        Digests of scans that are exported already, by scan_id: they are left alone.
    earlier
        Scans that are exported in part, by scan_id: the rest is made.
    found
        Names in the output folders that are not ours, as in `ScanExport`.
    reserved
        Names that no output of its files may have, as in `media_stems`.
    """

    key: str
    mirror: str
    files: tuple[File, ...]
    known: Mapping[str, str] = {}
    earlier: Mapping[str, Earlier] = {}
    found: frozenset[str] = frozenset()
    reserved: tuple[str, ...] = ()


class FolderTask(NamedTuple):
    """Folders, handled one after the other; items count their files through."""

    jobs: tuple[FolderJob, ...]
    culprits: Culprits = {}


class IndexTask(NamedTuple):
    """Files of one large folder whose headers are to be spooled; items count the files."""

    files: tuple[File, ...]
    culprits: Culprits = {}


class ScanJob(NamedTuple):
    """One scan of a large folder."""

    scan_id: str
    mirror: str
    files: tuple[File, ...]
    stems: tuple[str, ...]
    spooled: tuple[Spooled, ...]
    found: frozenset[str] = frozenset()
    earlier: Earlier | None = None


class ArchiveTask(NamedTuple):
    """An archive whose members are to be listed, and spooled where they cannot be reached otherwise."""

    file: File
    spool: str
    culprits: Culprits = {}


class ScanTask(NamedTuple):
    """Scans of large folders; items count their files through."""

    jobs: tuple[ScanJob, ...]
    culprits: Culprits = {}


class FolderResult(NamedTuple):
    """A folder done: files outside scans, scans exported, scans left alone."""

    ungrouped: tuple[tuple[File, Outcome], ...]
    scans: tuple[ScanResult, ...]
    kept: tuple[str, ...]


class IndexResult(NamedTuple):
    """Per file of an index task: the key that grouping needs and where the rest is spooled, or its outcome."""

    entries: tuple[tuple[SeriesKey, Spooled] | Outcome, ...]


Task = FolderTask | IndexTask | ArchiveTask | ScanTask
Answer = list[FolderResult] | IndexResult | Expanded | list[ScanResult]


class Worker:
    """The function that workers run; it holds what is the same for all tasks of a run."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.private_log = setup.private_log
        self._cells = CellWriter()
        self._reviewer: Reviewer | None = None
        self._links = (
            LinkWriter(setup.links, setup.policy.key, setup.custodian) if setup.links and setup.policy else None
        )

    def __call__(self, task: Task, heartbeat: Heartbeat) -> Answer:
        """Do one task."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries' warnings quote values; what matters is in the outcomes
            answer = self._do(task, heartbeat)
            if self._links is not None:
                self._links.flush()
        return answer if self.setup.policy is None else public_answer(answer, self.private_log)

    def _do(self, task: Task, heartbeat: Heartbeat) -> Answer:
        if isinstance(task, IndexTask):
            return self._index(task, heartbeat)
        if isinstance(task, ArchiveTask):
            if 0 in task.culprits:
                return Expanded((), (), task.culprits[0])
            heartbeat.note(0, "find")
            note = partial(heartbeat.note, 0, "find")
            return expand(task.file, task.spool, advance=note, readers=self.setup.readers)
        base = 0
        if isinstance(task, FolderTask):
            folders: list[FolderResult] = []
            files = [file for job in task.jobs for file in job.files]
            with headers_ahead(_unmarked(files, task.culprits)):
                for job in task.jobs:
                    folders.append(self._folder(job, base, task.culprits, heartbeat))
                    base += len(job.files)
            return folders
        scans: list[ScanResult] = []
        for scan in task.jobs:
            items = range(base, base + len(scan.files))
            headers = _load(scan.spooled)
            scans.append(
                self._scan(scan.scan_id, scan, headers, scan.stems, items, task.culprits, heartbeat, scan.earlier)
            )
            base += len(scan.files)
        return scans

    def _folder(self, job: FolderJob, base: int, culprits: Culprits, heartbeat: Heartbeat) -> FolderResult:
        ungrouped: list[tuple[File, Outcome]] = []
        headers: list[Header] = []
        items: list[int] = []
        for item, file in enumerate(job.files, base):
            outcome = self._read(file, item, culprits, headers, heartbeat)
            if outcome is None:
                items.append(item)
            else:
                ungrouped.append((file, outcome))
        stems = media_stems([os.path.basename(file.mirror) for file in job.files], job.reserved)
        names = [os.path.basename(header.instance.file.mirror) for header in headers]
        order = [os.path.basename(header.instance.file.true) for header in headers]
        keys = [series_key(header.instance) for header in headers]
        members = scan_members(job.key, names, keys, order if self.setup.policy is not None else None)
        kept: list[str] = []
        scans: list[ScanResult] = []
        for scan_id, numbers in members.items():
            mine = [stems[names[number]] for number in numbers]
            digest = scan_digest((headers[number].instance.file for number in numbers), mine)
            if job.known.get(scan_id) == digest:
                kept.append(scan_id)
                continue
            chosen = [headers[number] for number in numbers]
            of_items = [items[number] for number in numbers]
            earlier = job.earlier.get(scan_id)
            earlier = earlier if earlier is not None and earlier.digest == digest else None
            scans.append(self._scan(scan_id, job, chosen, mine, of_items, culprits, heartbeat, earlier))
        return FolderResult(tuple(ungrouped), tuple(scans), tuple(kept))

    def _scan(
        self,
        scan_id: str,
        job: FolderJob | ScanJob,
        headers: list[Header],
        stems: Sequence[str],
        items: Sequence[int],
        culprits: Culprits,
        heartbeat: Heartbeat,
        earlier: Earlier | None = None,
    ) -> ScanResult:
        headers, lost = self._known_to_all(headers, items, culprits, heartbeat)
        headers = self._searched(headers, items, culprits, heartbeat)
        headers = self._reviewed(scan_id, headers, items, culprits, heartbeat)
        marked = {number: culprits[item] for number, item in enumerate(items) if item in culprits} | lost
        make = partial(ScanExport, self.setup, heartbeat, scan_id, job.mirror, headers, stems, items, marked, job.found)
        export = make() if earlier is None or marked else make(earlier)
        try:
            result = export.run()
            if export.earlier is not None and not export.is_complete():
                export.take_back()  # what is there was made with files that fail now: all is made anew, and told
                export = make()
                result = export.run()
            return result._replace(cells=self._cells(result.rows)) if self.setup.cells else result
        except StopError:
            raise
        except Exception as error:
            return export.give_up(outcome_of(error, "layout"))  # nobody foresaw it: it costs this scan, and no other

    def _known_to_all(
        self, headers: list[Header], items: Sequence[int], culprits: Culprits, heartbeat: Heartbeat
    ) -> tuple[list[Header], dict[int, Outcome]]:
        """Headers cleaned of what any of the scan's files says of persons, and outcomes of those that are lost.

        Files of a scan say the same, but for few: those that say less than others together are read again.
        """
        if self.setup.policy is None or len({header.said for header in headers}) < 2:
            return headers, {}
        together = frozenset().union(*(header.said for header in headers))
        found: list[Header] = []
        lost: dict[int, Outcome] = {}
        for number, (header, item) in enumerate(zip(headers, items, strict=True)):
            again: list[Header] = []
            if header.said != together and item not in culprits:
                outcome = self._read(header.instance.file, item, culprits, again, heartbeat, together)
                if outcome is not None:  # it changed meanwhile: what was read of it is not clean of all
                    lost[number] = outcome
                    again = [Header(header.instance._replace(record={}), b"{}")]
            found += again or [header]
        return found, lost

    def _searched(
        self, headers: list[Header], items: Sequence[int], culprits: Culprits, heartbeat: Heartbeat
    ) -> list[Header]:
        """Headers whose pictures were looked at for writing, where `privacy` wants it and pixels are wanted."""
        policy = self.setup.policy
        if policy is None or not self.setup.pictures:
            return headers
        found: list[Header] = []
        for header, item in zip(headers, items, strict=True):
            if header.instance.mask is not None and header.instance.mask.search and item not in culprits:
                heartbeat.note(item, "pixels")
                beat = partial(heartbeat.note, item, "pixels")
                looked = searched(header.instance, policy.section, self.setup.pixels, beat)
                header = header._replace(instance=looked)
            found.append(header)
        return found

    def _reviewed(
        self, scan_id: str, headers: list[Header], items: Sequence[int], culprits: Culprits, heartbeat: Heartbeat
    ) -> list[Header]:
        """Headers of which those that `privacy` holds back are noted, and are as a person's answers have them."""
        policy, private = self.setup.policy, self.setup.private
        if policy is None or private is None or not any(header.instance.held for header in headers):
            return headers
        from crawler.export.held import Reviewer  # draws, and few runs hold anything back

        if self._reviewer is None:
            self._reviewer = Reviewer(policy, private, self.setup.pixels)
        found: list[Header] = []
        for header, item in zip(headers, items, strict=True):
            if header.instance.held:
                advance = partial(heartbeat.note, item, "pixels")
                advance()
                looked = self._reviewer(scan_id, header.instance, advance, crashed=item in culprits)
                header = header._replace(instance=looked)
            found.append(header)
        return found

    def _read(
        self,
        file: File,
        item: int,
        culprits: Culprits,
        headers: list[Header],
        heartbeat: Heartbeat,
        also: frozenset[str] = frozenset(),
    ) -> Outcome | None:
        """Read one header into `headers`, or say why there is none; under privacy clean of the texts in `also`, too."""
        marked = culprits.get(item)
        if marked is not None and marked.stage in ("find", "header"):
            return marked
        heartbeat.note(item, "header")
        try:
            instance = read_instance(file, self.setup.keys, self.setup.volume.element if self.setup.volume else "")
            if self.setup.policy is not None:
                original, instance = instance, self.setup.policy(instance, also)
                if self._links is not None and not also:
                    self._links.add(self.setup.policy, original, instance)
            row, cut = record_bytes(instance.record) if self.setup.records else (b"", ())
            if self.setup.compat is not None:
                with open_file(file) as stream:
                    row += b"\n" + orjson.dumps(texts_of(stream, instance.record))
        except NotDicom as error:
            return Outcome("skipped", "", "not DICOM", error.reason)
        except StopError:
            raise
        except Exception as error:
            return outcome_of(error, "header")
        noted = {*series_keys(self.setup.keys)}
        if self.setup.volume is not None:
            noted |= {*noted_keys(self.setup.keys).values(), *element_keys(self.setup.keys)}
        record = {key: instance.record[key] for key in noted if key in instance.record}
        said = self.setup.policy.said if self.setup.policy is not None else frozenset()
        instance = instance._replace(record=record, header_notes=instance.header_notes + cut[:20])
        headers.append(Header(instance, row, said))
        return None

    def _index(self, task: IndexTask, heartbeat: Heartbeat) -> IndexResult:
        path = os.path.join(self.setup.spool, f"{uuid.uuid4().hex}.spool")
        entries: list[tuple[SeriesKey, Spooled] | Outcome] = []
        ahead = headers_ahead(_unmarked(task.files, task.culprits))
        with using_spool(), open(path, "wb") as spool, ahead:
            for item, file in enumerate(task.files):
                headers: list[Header] = []
                outcome = self._read(file, item, task.culprits, headers, heartbeat)
                if outcome is not None:
                    entries.append(outcome)
                    continue
                (header,) = headers
                state = pickle.dumps((header.instance, header.said), pickle.HIGHEST_PROTOCOL)
                row = header.whole()
                place = Spooled(path, spool.tell(), (len(state), len(row)))
                spool.write(state + row)
                entries.append((series_key(header.instance), place))
        return IndexResult(tuple(entries))


def public_answer(answer: Answer, path: str | None) -> Answer:
    """An answer whose outcomes name no value: they go to the ledger; `path` is the private file that keeps the rest."""
    if isinstance(answer, IndexResult):
        note(path, (("", one) for one in answer.entries if isinstance(one, Outcome)))
        return IndexResult(tuple(public_outcome(one) if isinstance(one, Outcome) else one for one in answer.entries))
    if isinstance(answer, Expanded):
        note(path, [*answer.faults, ("", answer.outcome)])
        faults = tuple((name, public_outcome(outcome)) for name, outcome in answer.faults)
        return answer._replace(faults=faults, outcome=public_outcome(answer.outcome))

    def public(scan: ScanResult) -> ScanResult:
        return scan._replace(files=public_files(path, scan.files))

    return [
        one._replace(ungrouped=public_files(path, one.ungrouped), scans=tuple(map(public, one.scans)))
        if isinstance(one, FolderResult)
        else public(one)
        for one in answer
    ]  # type: ignore[return-value]


def _unmarked(files: Sequence[File], culprits: Culprits) -> list[File]:
    """The files that may be touched."""
    return [file for item, file in enumerate(files) if item not in culprits]


def _load(places: Sequence[Spooled]) -> list[Header]:
    """Read instances back; rows stay in the spool until they are written."""
    headers: list[Header] = []
    for place in places:
        with using_spool(), open(place.path, "rb") as spool:
            spool.seek(place.start)
            instance, said = pickle.loads(spool.read(place.sizes[0]))
        headers.append(Header(instance, (place.path, place.start + place.sizes[0], place.sizes[1]), said))
    return headers

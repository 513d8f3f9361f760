"""One scan to its outputs: each frame is decoded once and handed to every sink that wants it.

This is the worker's boundary: what a stage raises for a file becomes that file's outcome here. A file whose pixels fail
leaves no hole: the layouts are planned anew without it, and those that come out as before are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from crawler.config import select
from crawler.config.sections import VolumeSection
from crawler.dicom.files import pixels_ahead
from crawler.disk import delete_published
from crawler.error_boundary import ErrorBoundary
from crawler.errors import LayoutError, PixelError
from crawler.export.companions import CompanionWriter
from crawler.export.duplicates import Duplicates
from crawler.export.earlier import Earlier, join_states, join_verdicts
from crawler.export.heartbeat import Heartbeat
from crawler.export.layouts import LayoutOutputs, Wanted
from crawler.export.media import MediaOutputs, Member, OpenMedia
from crawler.export.quality import ScanQuality
from crawler.export.result import Header, ScanResult, State, relative, write_rows
from crawler.export.series_columns import array_columns, as_printed, identification
from crawler.export.setup import Setup
from crawler.export.volumes import sharing
from crawler.instance.mosaic import tiles_of
from crawler.layout.derived import split_axes, with_colours
from crawler.layout.empty_slices import with_empty_slices
from crawler.layout.layouts import layouts, scan_verdict
from crawler.layout.verdict import join_reasons
from crawler.model import Frame, Instance, Layout, Outcome, Product, Scan
from crawler.naming import scan_digest
from crawler.pixels.frames import frames
from crawler.pixels.video import is_video
from crawler.privacy import hold
from crawler.privacy.messages import public_note

INDEX = Outcome("skipped", "", "index", "a DICOMDIR lists files and holds no image")
# Reasons of files that have frames all the same.
LEFT_OUT = (select.REASON, hold.REASON)
IN_PART = ("truncated pixel data", "frame missing", "damaged pixel data")


class ScanExport:
    """The export of one scan.

    Parameters
    ----------
    mirror
        Native relative path of the folder that the scan's volumes lie in; media follow their files.
    headers, stems, items
        Per instance, sorted by name: header, name of its media, number in the worker's task.
    culprits
        Outcomes of instances (by position) that must not be decoded: they killed a worker.
    found
        ``media/<path>``, ``volume/<path>`` and ``preview/<path>`` (native, relative) that lie in the output folders and
        are not ours.
    earlier
        What is there of it already: the rest is made, and joined to that.
    """

    def __init__(
        self,
        setup: Setup,
        heartbeat: Heartbeat,
        scan_id: str,
        mirror: str,
        headers: Sequence[Header],
        stems: Sequence[str],
        items: Sequence[int],
        culprits: Mapping[int, Outcome],
        found: frozenset[str],
        earlier: Earlier | None = None,
    ) -> None:
        self.whole, self.earlier = setup, earlier
        setup = setup if earlier is None else setup.narrowed(setup.parts - earlier.parts)
        self.setup, self.heartbeat = setup, heartbeat
        self.headers, self.stems, self.items, self.found = headers, stems, items, found
        instances = tuple(header.instance for header in headers)
        self.scan = Scan(scan_id, instances[0].series_uid, instances)
        self.states = [State() for _ in headers]
        for state, instance in zip(self.states, instances, strict=True):
            if instance.header_fault is not None:
                state.exclude(instance.header_fault)
        for number, outcome in culprits.items():
            self.states[number].exclude(outcome)
        members = [Member(*one) for one in zip(instances, stems, items, self.states, strict=True)]
        # Without a reference to this object: a circle would keep the rows of whole scans until garbage is looked for.
        first = partial(_first_frame, setup, heartbeat, members)
        self.media_outputs = MediaOutputs(setup, heartbeat, members, first, found)
        self.quality = ScanQuality(setup, headers, self.states)
        self.media_pending = {
            number for number, one in enumerate(instances) if self.media_outputs.section(one) is not None
        }
        self.media: list[Product] = []
        self.reasons: list[str] = []
        base = os.path.join(mirror, scan_id.rpartition("/")[2])
        self.outputs = LayoutOutputs(setup, heartbeat, base, headers, self.states, items, self.media_outputs, found)

    def give_up(self, outcome: Outcome) -> ScanResult:
        """What remains of a scan whose export failed as a whole: its rows, and one outcome for all of its files."""
        self.outputs.discard()
        for state in self.states:
            state.volumes = []
            state.record(outcome)
        return self._result({})

    def run(self) -> ScanResult:
        """Write every output."""
        self._apply_selection()
        self._exclude_from_volumes()
        while True:
            self.heartbeat.note(self.items[0], "layout")
            members = [number for number, state in enumerate(self.states) if state.usable]
            part = self.scan._replace(instances=tuple(self.scan.instances[number] for number in members))
            plan = self._plan(part, members)
            if self._write(plan, members, part):
                break
        self._write_companions()
        self.outputs.finish(plan, members)
        self._check_unplaced(plan, members)
        self.heartbeat.note(self.items[0], "layout")
        arrays = {**self.outputs.statements(), **array_columns(self.headers, plan)}
        verdict = scan_verdict(plan, part)
        reason = join_reasons(str(verdict["reason"]), *self.reasons)
        return self._result({**verdict, "n_files": len(self.headers), "reason": reason, **arrays})

    def _result(self, verdict: dict[str, Any]) -> ScanResult:
        files = tuple((h.instance.file, state.outcome) for h, state in zip(self.headers, self.states, strict=True))
        digest = scan_digest((file for file, _ in files), self.stems)
        products = [*self.media, *self.outputs.products()]
        verdict = as_printed(identification(self.headers, self.setup.keys) | verdict | self.quality.finish())
        kept = frozenset[str]()
        if self.earlier is not None:
            kept = self.earlier.parts
            join_states(self.earlier, self.whole, self.scan.instances, self.stems, self.states)
            verdict = join_verdicts(self.earlier, self.whole, self.setup.parts - kept, verdict)
        if self.setup.policy is not None:
            for state in self.states:
                state.notes = list(dict.fromkeys(map(public_note, state.notes)))
        rows = write_rows(self.setup, self.scan.scan_id, self.headers, self.states)
        return ScanResult(self.scan.scan_id, self.scan.series_uid, digest, files, tuple(products), verdict, rows, kept)

    def is_complete(self) -> bool:
        """Whether no file failed: only then can what is made now join what earlier runs made."""
        return all(state.outcome.outcome != "failed" and state.outcome.reason != "exists" for state in self.states)

    def take_back(self) -> None:
        """Delete everything that was written."""
        self.outputs.discard()
        for product in self.media:
            delete_published(product.path, self.setup.temp(self.setup.media_dir or ""))
        self.media = []

    def _plan(self, part: Scan, members: Sequence[int]) -> list[Layout]:
        """Layouts of what is left of the scan, with the axes that the configuration takes apart, and colours."""
        volume = self.setup.volume or VolumeSection()
        records = partial(_record, [self.headers[number] for number in members])
        plan = layouts(part, volume.irregular, volume.axis, volume.tolerance, self.setup.keys, records)
        plan = with_empty_slices(plan, part.instances)
        plan = split_axes(plan, volume.split)
        return plan if volume.values == "stored" else with_colours(plan, part.instances)

    def _apply_selection(self) -> None:
        """Mark what the section `select` leaves out: no pixel of it is read, and it has no media and no volume."""
        self._hold_back()
        if self.setup.select is None:
            return
        scan = [select.Candidate(header.instance, header.record) for header in self.headers]
        ratings = self.setup.ratings
        takes = ratings is None or ratings.takes(self.scan.scan_id, self.scan.series_uid)
        for number, outcome in select.excluded(self.setup.select, scan, self.setup.keys, takes).items():
            self.states[number].exclude(outcome)
            self.media_pending.discard(number)
            self.quality.pending.discard(number)

    def _hold_back(self) -> None:
        """Mark what the section `privacy` holds back: it keeps its row, and has nothing else."""
        if self.setup.policy is None:
            return
        for number, instance in enumerate(self.scan.instances):
            if instance.held:
                self.states[number].exclude(Outcome("skipped", instance.held, hold.REASON))
                self.media_pending.discard(number)
                self.quality.pending.discard(number)

    def _exclude_from_volumes(self) -> None:
        """Mark indexes, videos, and files that are the same instance as another one.

        A video that is encoded already has no geometry, and as an array it would take some hundred times its size.
        """
        instances: dict[int, Instance] = {}
        for number, instance in enumerate(self.scan.instances):
            if instance.is_index:
                self.states[number].exclude(INDEX)
            elif self.states[number].usable and self.states[number].outcome.reason not in LEFT_OUT:
                instances[number] = instance
            if is_video(instance):
                self.states[number].usable = False
        duplicates = Duplicates(
            lambda number, stage: self.heartbeat.note(self.items[number], stage),
            lambda number, outcome: self.states[number].exclude(outcome),
            partial(frames, limit=self.setup.pixels) if self.outputs.wanted else None,
        )
        self.reasons = duplicates.find(instances)

    def _write(self, plan: Sequence[Layout], members: Sequence[int], part: Scan) -> bool:
        """Write all media and volumes; False when a file failed that a volume needs: plan again without it."""
        if self.setup.volume is not None:
            for layout in plan:
                outcome = Outcome("failed", "layout", "refused by volume.irregular", layout.refused)
                for place in layout.placement if layout.refused else ():
                    self.states[members[place.instance]].record(outcome)
        for group in sharing(layout for layout in plan if not layout.refused) if self.outputs.wanted else ():
            with self.outputs.open(group, members, part) as opened, self._pixels_ahead(opened.wanted):
                if not all(self._decode(number, of_file) for number, of_file in opened.wanted.items()):
                    return False
                opened.close()
        rest = sorted(self.media_pending | self.quality.pending)
        with self._pixels_ahead(rest):
            for number in rest:
                self._decode(number, {})
        return True

    def _pixels_ahead(self, numbers: Iterable[int]) -> AbstractContextManager[None]:
        """Announce which pixels are read next."""
        return pixels_ahead([self.scan.instances[number] for number in numbers if self.states[number].usable])

    def _write_companions(self) -> None:
        """Write documents, waveforms and reports of all files that `select` did not leave out."""
        companions = CompanionWriter(self.setup, self.found)
        for number, (header, state) in enumerate(zip(self.headers, self.states, strict=True)):
            if state.outcome.reason not in LEFT_OUT:
                advance = partial(self.heartbeat.note, self.items[number], "write")
                advance()
                self.media += companions.write(header, self.stems[number], state, advance)

    # -- one file --------------------------------------------------------------------------------------------------

    def _decode(self, number: int, wanted: Wanted) -> bool:
        """Decode one file once, for its media, its quality and for volumes; False when its pixels fail."""
        instance, state, item = self.scan.instances[number], self.states[number], self.items[number]
        opened = self.media_outputs.open(number) if number in self.media_pending else None
        self.media_pending.discard(number)
        measured = number in self.quality.pending and state.outcome.outcome != "failed"
        inspect = self.quality.open(number)
        consumers = [consumer for some in wanted.values() for consumer, _ in some]
        if opened is None and not measured and not any(consumer.sinks for consumer in consumers):
            return state.usable or not wanted
        self.heartbeat.note(item, "pixels")
        shown, table = 0, self.outputs.tables.get(number)
        with ErrorBoundary("pixels", state.exclude) as decoding:
            # All tiles lie in the only frame; the quality is that of all frames.
            numbers = None if measured else [0] if instance.mosaic is not None else sorted(wanted)
            rgb = all(isinstance(consumer, OpenMedia) or consumer.rgb for consumer in consumers)
            source = frames(instance, numbers, self.setup.pixels, rgb) if opened is None else opened.source(rgb)
            for frame in source:
                state.decoder = frame.decoder
                self.heartbeat.note(item, "write")
                inspect(frame)
                if opened is not None:
                    opened.put((frame.number,), frame)
                    shown += 1
                if table is not None:
                    frame = replace(frame, table=table)
                for part in tiles_of(instance, frame) if wanted else ():
                    for consumer, index in wanted.get(part.number, ()):
                        consumer.put(index, part)
                self.heartbeat.note(item, "pixels")
        # The good frames of a file that is cut short or damaged are shown; its outcome says what is missing.
        if opened is not None and (not decoding.failed or (shown and state.outcome.reason in IN_PART)):
            self._close_media(opened, number)
        if opened is not None:
            opened.abort()  # does nothing to one that is closed
        return state.usable

    def _close_media(self, opened: OpenMedia, number: int) -> None:
        self.heartbeat.note(self.items[number], "write")
        products = opened.close()
        self.media.extend(products)
        self.states[number].media.extend(relative(product, self.setup.media_dir) for product in products)

    def _check_unplaced(self, plan: Sequence[Layout], members: Sequence[int]) -> None:
        """An image that no layout could take has failed, and its pixels say why."""
        placed = {members[place.instance] for layout in plan for place in layout.placement}
        for number in members if self.setup.makes_volumes else ():
            if number in placed or self.scan.instances[number].pixels is None:
                continue
            self.heartbeat.note(self.items[number], "pixels")
            with ErrorBoundary("pixels", self.states[number].record):
                next(iter(frames(self.scan.instances[number], [0], self.setup.pixels)), None)
                raise LayoutError("no layout", "its header does not describe an image that can be placed")


def _record(headers: Sequence[Header], number: int) -> dict[str, Any]:
    """The whole record of an instance, of which `Instance.record` may hold a part."""
    return headers[number].record()


def _first_frame(setup: Setup, heartbeat: Heartbeat, members: Sequence[Member], number: int) -> Frame:
    """A frame of one file, for the range that the files of a series share; not of one that is out."""
    member = members[number]
    if member.state.outcome.outcome == "failed" or member.state.outcome.reason in LEFT_OUT:
        raise PixelError("frame missing", "the file failed before, or is not selected")
    heartbeat.note(member.item, "pixels")
    return next(iter(frames(member.instance, [0], setup.pixels)))

"""One scan to its outputs: each frame is decoded once and handed to every sink that wants it.

This is the worker's border: what a stage raises for a file becomes that file's outcome here. A file whose pixels fail
leaves no hole: the layouts are planned anew without it, and those that come out as before are kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import orjson

from crawler import choice
from crawler.beside import EXISTS, Beside
from crawler.border import Border
from crawler.dataset.dictionary import key_for
from crawler.dataset.mosaic import tiles_of
from crawler.encoded import is_encoded
from crawler.errors import LayoutError, PixelError
from crawler.files import open_file
from crawler.inspection import Inspection
from crawler.layout import layouts, scan_verdict
from crawler.media import Gallery, Medium, Member, is_stack
from crawler.model import Frame, Layout, Outcome, Product, Scan
from crawler.naming import scan_digest
from crawler.paths import portable
from crawler.pixels import frames
from crawler.previews import Previews
from crawler.result import Header, ScanResult, Setup, State, write_rows
from crawler.shown.lut import Lut, modality_lut
from crawler.shown.tables import Tables
from crawler.sinks import LAYOUT_SINKS, NOTED, LayoutSubject, Target
from crawler.values import value_type
from crawler.volumes import Identity, Volume, files_of, identity_of, photometric_of, sharing
from crawler.worker import Watch

DUPLICATE = Outcome("skipped", "", "duplicate", "byte-identical to another file of its scan: row and media, no volume")
INDEX = Outcome("skipped", "", "index", "a DICOMDIR lists files and holds no image")
CUT_SHORT = ("truncated pixel data", "frame missing")

Wanted = dict[int, list[tuple[Volume | Medium, tuple[int, ...]]]]
"""Frame number -> the volumes and videos of stacks that want it, and where it lands in each."""


class ScanExport:
    """The export of one scan.

    Parameters
    ----------
    mirror
        Native relative path of the folder that the scan's volumes lie in; media follow their files.
    headers, stems, items
        Per instance, sorted by name: header, name of its media, number in the worker's task.
    poison
        Outcomes of instances (by position) that must not be decoded: they killed a worker.
    found
        ``media/<path>``, ``volume/<path>`` and ``preview/<path>`` (native, relative) that lie in the output folders and
        are not ours.
    """

    def __init__(
        self,
        setup: Setup,
        watch: Watch,
        scan_id: str,
        mirror: str,
        headers: Sequence[Header],
        stems: Sequence[str],
        items: Sequence[int],
        poison: Mapping[int, Outcome],
        found: frozenset[str],
    ) -> None:
        self.setup, self.watch, self.mirror = setup, watch, mirror
        self.headers, self.stems, self.items, self.found = headers, stems, items, found
        instances = tuple(header.instance for header in headers)
        self.scan = Scan(scan_id, instances[0].series_uid, instances)
        self.states = [State() for _ in headers]
        for number, outcome in poison.items():
            self.states[number].bar(outcome)
        members = [Member(*one) for one in zip(instances, stems, items, self.states, strict=True)]
        self.gallery = Gallery(setup, watch, members, self._first_frame, found)
        self.inspection = Inspection(setup, headers, self.states)
        self.unshown = {number for number, one in enumerate(instances) if self.gallery.section(one) is not None}
        self.media: list[Product] = []
        self.tables: dict[int, Lut | None] = {}
        self.written: dict[Identity, list[Product]] = {}
        self.stacks: dict[Identity, list[Product]] = {}
        self.previews: dict[Identity, list[Product]] = {}
        self.of_layouts = (self.written, self.stacks, self.previews)

    def give_up(self, outcome: Outcome) -> ScanResult:
        """What remains of a scan whose export failed as a whole: its rows, and one outcome for all of its files."""
        for made in self.of_layouts:
            for product in (product for some in made.values() for product in some):
                os.unlink(product.path)
            made.clear()
        for state in self.states:
            state.volumes = []
            state.settle(outcome)
        return self._result({})

    def run(self) -> ScanResult:
        """Write every output."""
        self._leave_out()
        self._bar_what_makes_no_volume()
        while True:
            self.watch.note(self.items[0], "layout")
            members = [number for number, state in enumerate(self.states) if state.usable]
            part = replace(self.scan, instances=tuple(self.scan.instances[number] for number in members))
            plan = layouts(part, *((volume.irregular, volume.order) if (volume := self.setup.volume) else ()))
            if self._write(plan, members, part):
                break
        self._write_beside()
        self._settle_volumes(plan, members)
        self._check_left_over(plan, members)
        self.watch.note(self.items[0], "layout")
        return self._result({**scan_verdict(plan, part), "n_files": len(self.headers)})

    def _result(self, verdict: dict[str, Any]) -> ScanResult:
        files = tuple((h.instance.file, state.outcome) for h, state in zip(self.headers, self.states, strict=True))
        digest = scan_digest((file for file, _ in files), self.stems)
        of_layouts = (some for made in self.of_layouts for some in made.values())
        products = [*self.media, *(product for some in of_layouts for product in some)]
        verdict = verdict | self.inspection.settle()
        rows = write_rows(self.setup, self.scan.scan_id, self.headers, self.states)
        return ScanResult(self.scan.scan_id, self.scan.series_uid, digest, files, tuple(products), verdict, rows)

    def _leave_out(self) -> None:
        """Mark what the section `select` leaves out: no pixel of it is read, and it has no media and no volume."""
        if self.setup.select is None:
            return
        scan = [choice.Candidate(header.instance, partial(_record, header)) for header in self.headers]
        for number, outcome in choice.left_out(self.setup.select, scan, self.setup.keys).items():
            self.states[number].bar(outcome)
            self.unshown.discard(number)
            self.inspection.waiting.discard(number)

    def _bar_what_makes_no_volume(self) -> None:
        """Mark indexes, videos, and files that equal another byte for byte; only equal UIDs and sizes are read.

        A video that is encoded already has no geometry, and as an array it would take some hundred times its size.
        """
        twins: dict[tuple[str, int], list[int]] = {}
        for number, instance in enumerate(self.scan.instances):
            if instance.is_index:
                self.states[number].bar(INDEX)
            elif instance.sop_uid and self.states[number].outcome.reason != choice.REASON:
                twins.setdefault((instance.sop_uid, instance.file.size), []).append(number)
            if is_encoded(instance):
                self.states[number].usable = False
        for numbers in twins.values():
            seen: set[bytes] = set()
            for number in numbers if len(numbers) > 1 else ():
                self.watch.note(self.items[number], "header")
                with Border("header", self.states[number].bar), open_file(self.scan.instances[number].file) as stream:
                    digest = hashlib.file_digest(stream, "blake2b").digest()  # type: ignore[arg-type]
                    if digest in seen:
                        self.states[number].bar(DUPLICATE)
                    seen.add(digest)

    def _write(self, plan: Sequence[Layout], members: Sequence[int], part: Scan) -> bool:
        """Write all media and volumes; False when a file failed that a volume needs: plan again without it."""
        if self.setup.volume is not None:
            for layout in plan:
                outcome = Outcome("failed", "layout", "refused by volume.irregular", layout.refused)
                for place in layout.placement if layout.refused else ():
                    self.states[members[place.instance]].settle(outcome)
        if self.setup.volume is not None or self.setup.stacks or self.setup.preview is not None:
            for group in sharing(layout for layout in plan if not layout.refused):
                if not self._write_group(group, members, part):
                    return False
        for number in sorted(self.unshown | self.inspection.waiting):
            self._decode(number, {})
        return True

    def _write_beside(self) -> None:
        """Write documents, waveforms and reports of all files that `select` did not leave out."""
        beside = Beside(self.setup, self.found)
        for number, (header, state) in enumerate(zip(self.headers, self.states, strict=True)):
            if state.outcome.reason != choice.REASON:
                advance = partial(self.watch.note, self.items[number], "write")
                advance()
                self.media += beside.write(header, self.stems[number], state, advance)

    def _write_group(self, group: Sequence[Layout], members: Sequence[int], part: Scan) -> bool:
        """Write layouts that share files."""
        wanted: dict[int, Wanted] = {}
        volumes: list[Volume] = []
        pictures: list[tuple[Identity, Medium, dict[Identity, list[Product]]]] = []
        for layout in group:
            identity = identity_of(layout, members)
            takers: list[Volume | Medium] = []
            preview, needed = None, frozenset[tuple[int, ...]]()
            if self.setup.volume is not None and identity not in self.written:
                volumes.append(self._open_volume(layout, members, part))
                takers.append(volumes[-1])
            if self.setup.stacks and identity not in self.stacks and is_stack(layout, part.instances):
                stack = self._open_stack(layout, members)
                takers.append(stack)
                pictures.append((identity, stack, self.stacks))
            if self.setup.preview is not None and identity not in self.previews:
                preview, needed = self._open_preview(layout, members)
                pictures.append((identity, preview, self.previews))
            for place in layout.placement:
                needing = [*takers, preview] if preview is not None and place.index in needed else takers
                if needing:
                    of_file = wanted.setdefault(members[place.instance], {})
                    of_file.setdefault(place.frame, []).extend((taker, place.index) for taker in needing)
        try:
            for number, of_file in wanted.items():
                if not self._decode(number, of_file):
                    return False
            for volume in volumes:
                self._close_volume(volume)
            for identity, picture, made in pictures:
                self.watch.note(self.items[files_of(identity)[0]], "write")
                made[identity] = picture.close()
        finally:
            for volume in volumes:
                volume.abort()
            for _, picture, _ in pictures:
                picture.abort()
        return True

    # -- one file --------------------------------------------------------------------------------------------------

    def _decode(self, number: int, wanted: Wanted) -> bool:
        """Decode one file once, for its media, its quality and for volumes; False when its pixels fail."""
        instance, state, item = self.scan.instances[number], self.states[number], self.items[number]
        medium = self.gallery.open(number) if number in self.unshown else None
        self.unshown.discard(number)
        measured = number in self.inspection.waiting and state.outcome.outcome != "failed"
        inspect = self.inspection.open(number)
        if medium is None and not measured and not any(taker.sinks for some in wanted.values() for taker, _ in some):
            return state.usable or not wanted
        self.watch.note(item, "pixels")
        shown = 0
        with Border("pixels", state.bar) as decoding:
            # All tiles lie in the only frame; the quality is that of all frames.
            numbers = None if measured else [0] if instance.mosaic is not None else sorted(wanted)
            source = frames(instance, numbers, self.setup.pixels) if medium is None else medium.source()
            for frame in source:
                state.decoder = frame.decoder
                self.watch.note(item, "write")
                inspect(frame)
                if medium is not None:
                    medium.put((frame.number,), frame)
                    shown += 1
                for part in tiles_of(instance, frame) if wanted else ():
                    part = replace(part, table=self.tables.get(number))
                    for taker, index in wanted.get(part.number, ()):
                        taker.put(index, part)
                self.watch.note(item, "pixels")
        # What a file that is cut short holds is shown; its outcome says that it is not all.
        if medium is not None and (not decoding.failed or (shown and state.outcome.reason in CUT_SHORT)):
            self._close_medium(medium, number)
        if medium is not None:
            medium.abort()  # does nothing to one that is closed
        return state.usable

    def _first_frame(self, number: int) -> Frame:
        """A frame of one file, for the range that the files of a series share; not of one that is out."""
        state = self.states[number]
        if state.outcome.outcome == "failed" or state.outcome.reason == choice.REASON:
            raise PixelError("frame missing", "the file failed before, or is not selected")
        self.watch.note(self.items[number], "pixels")
        return next(iter(frames(self.scan.instances[number], [0], self.setup.pixels)))

    def _close_medium(self, medium: Medium, number: int) -> None:
        self.watch.note(self.items[number], "write")
        products = medium.close()
        self.media.extend(products)
        self.states[number].media.extend(self._relative(product, self.setup.media_dir) for product in products)

    # -- one layout ------------------------------------------------------------------------------------------------

    def _open_volume(self, layout: Layout, members: Sequence[int], part: Scan) -> Volume:
        section, root = self.setup.volume, self.setup.volume_dir
        placed = [part.instances[number] for number in sorted({place.instance for place in layout.placement})]
        planes = [part.instances[place.instance].plane(place.frame) for place in layout.placement]
        values = section.values if section else "stored"
        photometric = photometric_of(placed[0], values)
        identity = identity_of(layout, members)
        settle = partial(self._fail_files, files_of(identity))
        volume = Volume(identity, np.dtype(np.float64), photometric == "RGB" and values == "modality", settle)
        with Border("pixels", settle) as border:
            tables = self._tables(layout, members) if values == "modality" else ()
            volume.dtype = dtype = value_type(placed, planes, values, tables)
        if border.failed:
            return volume
        subject = LayoutSubject(part, layout, dtype, values, photometric, self._noted(volume.files))
        base = self._base(layout)
        for name in section.formats if section and root else ():
            sink = LAYOUT_SINKS[name]()
            if f"volume/{base}{sink.extension}" in self.found:
                for number in volume.files:
                    self.states[number].volumes.append(portable(base + sink.extension))
                    self.states[number].settle(EXISTS)
                continue
            target = Target(os.path.join(root or "", base), self.setup.temp(root or ""))
            volume.add(sink, target, subject)
        return volume

    def _open_stack(self, layout: Layout, members: Sequence[int]) -> Medium:
        numbers = [members[place.instance] for place in layout.placement]
        return self.gallery.open_stack(self._base(layout), numbers, partial(self._fail_files, sorted(numbers)))

    def _open_preview(self, layout: Layout, members: Sequence[int]) -> tuple[Medium, frozenset[tuple[int, ...]]]:
        files = sorted({members[place.instance] for place in layout.placement})
        previews = Previews(self.setup, self.gallery, self.states, self.found)
        return previews.open(self._base(layout), layout, members, partial(self._fail_files, files))

    def _base(self, layout: Layout) -> str:
        """Native relative path of what is made of a layout, without extension."""
        base = os.path.join(self.mirror, self.scan.scan_id.rpartition("/")[2])
        return f"{base}-{layout.name}" if layout.name else base

    def _tables(self, layout: Layout, members: Sequence[int]) -> list[Lut]:
        """Read the Modality LUTs of a layout's files, which also their frames will need."""
        for number in sorted({members[place.instance] for place in layout.placement}):
            instance = self.scan.instances[number]
            if instance.pixels is not None and instance.pixels.has_luts and number not in self.tables:
                self.tables[number] = modality_lut(Tables(instance))
        found = (self.tables.get(members[place.instance]) for place in layout.placement)
        return [table for table in found if table is not None]

    def _noted(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Elements that volumes note, by keyword, where all of their files agree."""
        keys = {keyword: key_for(keyword, self.setup.keys) for keyword in NOTED}
        common: dict[str, Any] = {}
        for place, number in enumerate(numbers):
            record = _record(self.headers[number])
            values = {keyword: record.get(key) for keyword, key in keys.items()}
            common = values if not place else {k: v for k, v in common.items() if values[k] == v}
        return {keyword: value for keyword, value in common.items() if value is not None}

    def _close_volume(self, volume: Volume) -> None:
        if not volume.sinks:
            return
        self.watch.note(self.items[volume.files[0]], "write")
        self.written[volume.identity] = volume.close()

    def _fail_files(self, numbers: Sequence[int], outcome: Outcome) -> None:
        """A volume that cannot be written fails all of its files; their rows, media and other volumes stay."""
        for number in numbers:
            self.states[number].settle(outcome)

    def _settle_volumes(self, plan: Sequence[Layout], members: Sequence[int]) -> None:
        """Tell each file of its volumes and stacks' videos, and delete those that a file's failure made obsolete."""
        valid = {identity_of(layout, members) for layout in plan}
        for made in self.of_layouts:
            obsolete = [made.pop(identity) for identity in list(made) if identity not in valid]
            current = {product.path for some in made.values() for product in some}
            for product in (product for some in obsolete for product in some):
                if product.path not in current:
                    os.unlink(product.path)
        for identity, products in self.written.items():
            for number in files_of(identity):
                paths = (self._relative(p, self.setup.volume_dir) for p in products if p.kind == "volume")
                self.states[number].volumes.extend(paths)
        for identity, products in self.stacks.items():
            for number in files_of(identity) if products else ():
                self.states[number].media_type = self.states[number].media_type or "video"
                self.states[number].media.extend(self._relative(p, self.setup.media_dir) for p in products)

    def _check_left_over(self, plan: Sequence[Layout], members: Sequence[int]) -> None:
        """An image that no layout could take has failed, and its pixels say why."""
        placed = {members[place.instance] for layout in plan for place in layout.placement}
        for number in members if self.setup.volume is not None else ():
            if number in placed or self.scan.instances[number].pixels is None:
                continue
            self.watch.note(self.items[number], "pixels")
            with Border("pixels", self.states[number].settle):
                next(iter(frames(self.scan.instances[number], [0], self.setup.pixels)), None)
                raise LayoutError("no layout", "its header does not describe an image that can be placed")

    def _relative(self, product: Product, root: str | None) -> str:
        return portable(os.path.relpath(product.path, root))


def _record(header: Header) -> dict[str, Any]:
    record: dict[str, Any] = orjson.loads(header.text() or b"{}")
    return record

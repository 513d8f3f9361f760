"""One scan to its outputs: each frame is decoded once and handed to every sink that wants it.

This is the worker's border: what a stage raises for a file becomes that file's outcome here. A file whose pixels fail
leaves no hole: the layouts are planned anew without it, and those that come out as before are kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import orjson

from crawler.border import Border
from crawler.dataset.dictionary import key_for
from crawler.display import display_for
from crawler.errors import LayoutError
from crawler.files import open_file
from crawler.layout import layouts, scan_verdict
from crawler.model import Frame, Instance, Layout, Outcome, Product, Scan
from crawler.naming import scan_digest
from crawler.paths import portable
from crawler.pixels import frames
from crawler.result import Header, ScanResult, Setup, State, write_rows
from crawler.sections import ImageSection, VideoSection
from crawler.sinks import LAYOUT_SINKS, NOTED, FileSubject, LayoutSubject, Sink, Target, media_sink
from crawler.values import value_type
from crawler.volumes import Identity, Volume, files_of, identity_of, photometric_of, sharing
from crawler.worker import Watch

EXISTS = Outcome("skipped", "", "exists", "media.overwrite is false and the file is not ours")
DUPLICATE = Outcome("skipped", "", "duplicate", "byte-identical to another file of its scan: row and media, no volume")
INDEX = Outcome("skipped", "", "index", "a DICOMDIR lists files and holds no image")

Wanted = dict[int, list[tuple[Volume, tuple[int, ...]]]]
"""Frame number -> the volumes that want it, and where it lands in each."""


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
        ``media/<path>`` and ``volume/<path>`` (native, relative) that lie in the output folders and are not ours.
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
        self.unshown = {number for number, one in enumerate(instances) if self._media_section(one) is not None}
        self.media: list[Product] = []
        self.written: dict[Identity, list[Product]] = {}

    def give_up(self, outcome: Outcome) -> ScanResult:
        """What remains of a scan whose export failed as a whole: its rows, and one outcome for all of its files."""
        for product in (product for some in self.written.values() for product in some):
            os.unlink(product.path)
        self.written = {}
        for state in self.states:
            state.volumes = []
            state.settle(outcome)
        return self._result({})

    def run(self) -> ScanResult:
        """Write every output."""
        self._bar_what_makes_no_volume()
        while True:
            self.watch.note(self.items[0], "layout")
            members = [number for number, state in enumerate(self.states) if state.usable]
            part = replace(self.scan, instances=tuple(self.scan.instances[number] for number in members))
            plan = layouts(part, *((volume.irregular, volume.order) if (volume := self.setup.volume) else ()))
            if self._write(plan, members, part):
                break
        self._settle_volumes(plan, members)
        self._check_left_over(plan, members)
        self.watch.note(self.items[0], "layout")
        return self._result({**scan_verdict(plan, part), "n_files": len(self.headers)})

    def _result(self, verdict: dict[str, Any]) -> ScanResult:
        files = tuple((h.instance.file, state.outcome) for h, state in zip(self.headers, self.states, strict=True))
        digest = scan_digest((file for file, _ in files), self.stems)
        products = [*self.media, *(product for some in self.written.values() for product in some)]
        rows = write_rows(self.setup, self.scan.scan_id, self.headers, self.states)
        return ScanResult(self.scan.scan_id, self.scan.series_uid, digest, files, tuple(products), verdict, rows)

    def _bar_what_makes_no_volume(self) -> None:
        """Mark indexes, and files that equal another byte for byte; only equal UIDs and sizes are read for that."""
        twins: dict[tuple[str, int], list[int]] = {}
        for number, instance in enumerate(self.scan.instances):
            if instance.is_index:
                self.states[number].bar(INDEX)
            elif instance.sop_uid:
                twins.setdefault((instance.sop_uid, instance.file.size), []).append(number)
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
            for group in sharing(layout for layout in plan if not layout.refused):
                if not self._write_group(group, members, part):
                    return False
        for number in sorted(self.unshown):
            self._decode(number, {})
        return True

    def _write_group(self, group: Sequence[Layout], members: Sequence[int], part: Scan) -> bool:
        """Write layouts that share files."""
        wanted: dict[int, Wanted] = {}
        volumes: list[Volume] = []
        for layout in group:
            if identity_of(layout, members) in self.written:
                continue
            volume = self._open_volume(layout, members, part)
            volumes.append(volume)
            for place in layout.placement:
                of_file = wanted.setdefault(members[place.instance], {})
                of_file.setdefault(place.frame, []).append((volume, place.index))
        try:
            for number, of_file in wanted.items():
                if not self._decode(number, of_file):
                    return False
            for volume in volumes:
                self._close_volume(volume)
        finally:
            for volume in volumes:
                volume.abort()
        return True

    # -- one file --------------------------------------------------------------------------------------------------

    def _decode(self, number: int, wanted: Wanted) -> bool:
        """Decode one file once, for its media and for volumes; False when its pixels fail."""
        instance, state, item = self.scan.instances[number], self.states[number], self.items[number]
        medium = self._open_medium(number) if number in self.unshown else None
        self.unshown.discard(number)
        if medium is None and not any(volume.sinks for some in wanted.values() for volume, _ in some):
            return state.usable or not wanted
        self.watch.note(item, "pixels")
        with Border("pixels", state.bar) as decoding:
            for frame in frames(instance, sorted(wanted) if medium is None else None, self.setup.pixels):
                self.watch.note(item, "write")
                if medium is not None:
                    with Border("write", state.settle) as border:
                        medium.put((frame.number,), frame)
                    if border.failed:  # it costs this medium and no volume
                        medium.abort()
                        medium = None
                for volume, index in wanted.get(frame.number, ()):
                    volume.put(index, frame)
                self.watch.note(item, "pixels")
        if medium is not None and not decoding.failed:
            self._close_medium(medium, number)
        if medium is not None:
            medium.abort()  # does nothing to one that is closed
        return state.usable

    def _media_section(self, instance: Instance) -> ImageSection | VideoSection | None:
        if instance.pixels is None or instance.is_index or self.setup.media_dir is None:
            return None
        return self.setup.video if instance.pixels.frames > 1 else self.setup.image

    def _open_medium(self, number: int) -> Sink | None:
        """The sink for a file's still or video; None when it is barred, or another's file lies in the way."""
        instance, state, root = self.scan.instances[number], self.states[number], self.setup.media_dir
        section = self._media_section(instance)
        if section is None or root is None or state.outcome.outcome == "failed":
            return None
        state.media_type = "video" if isinstance(section, VideoSection) else "image"
        path = os.path.join(os.path.dirname(instance.file.mirror), self.stems[number])
        if f"media/{path}{section.extension}" in self.found:
            state.media.append(portable(path + section.extension))
            state.settle(EXISTS)
            return None

        def sample(numbers: Iterable[int]) -> Iterator[Frame]:
            for frame in frames(instance, list(numbers), self.setup.pixels):
                self.watch.note(self.items[number], "pixels")
                yield frame

        self.watch.note(self.items[number], "pixels")
        sink = media_sink(section)
        with Border("pixels", state.settle) as border:
            display = display_for(instance, self.setup.window, sample)
            target = Target(os.path.join(root, path), self.setup.temp(root))
            sink.open(target, FileSubject(instance, display))
        if border.failed:
            sink.abort()
        return None if border.failed else sink

    def _close_medium(self, medium: Sink, number: int) -> None:
        self.watch.note(self.items[number], "write")
        state = self.states[number]
        with Border("write", state.settle):
            products = medium.close()
            self.media.extend(products)
            state.media.extend(self._relative(product, self.setup.media_dir) for product in products)

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
            volume.dtype = dtype = value_type(placed, planes, values)
        if border.failed:
            return volume
        subject = LayoutSubject(part, layout, dtype, values, photometric, self._noted(volume.files))
        base = os.path.join(self.mirror, self.scan.scan_id.rpartition("/")[2])
        base += f"-{layout.name}" if layout.name else ""
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

    def _noted(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Elements that volumes note, by keyword, where all of their files agree."""
        keys = {keyword: key_for(keyword, self.setup.keys) for keyword in NOTED}
        common: dict[str, Any] = {}
        for place, number in enumerate(numbers):
            record = orjson.loads(self.headers[number].text() or b"{}")
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
        """Tell each file of its volumes, and delete those that a file's failure made obsolete."""
        valid = {identity_of(layout, members) for layout in plan}
        obsolete = [self.written.pop(identity) for identity in list(self.written) if identity not in valid]
        current = {product.path for some in self.written.values() for product in some}
        for product in (product for some in obsolete for product in some):
            if product.path not in current:
                os.unlink(product.path)
        for identity, products in self.written.items():
            for number in files_of(identity):
                paths = (self._relative(p, self.setup.volume_dir) for p in products if p.kind == "volume")
                self.states[number].volumes.extend(paths)

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

"""What is made of the layouts of a scan: volumes, videos of stacks, previews.

Opens, closes and accounts for them; which frame goes where is handed to `scan.py`, which decodes. Layouts that come
out of a second plan as they were keep what was written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from crawler import display
from crawler.config.sections import VolumeSection
from crawler.dicom.dictionary import key_for
from crawler.disk import delete_published
from crawler.error_boundary import ErrorBoundary
from crawler.errors import PixelError
from crawler.export.description import Describer, Description, real_world_text
from crawler.export.foreign import EXISTS, foreign_outcome, may_replace
from crawler.export.heartbeat import Heartbeat
from crawler.export.media import MediaOutputs, OpenMedia, is_stack
from crawler.export.result import Header, State, relative
from crawler.export.setup import Setup
from crawler.export.volumes import Identity, Volume, files_of, identity_of, photometric_of
from crawler.layout.derived import has_palette
from crawler.model import Instance, Layout, Outcome, Product, Scan
from crawler.paths import portable
from crawler.pixels.modality import value_type
from crawler.sinks import LayoutSubject, Target, layout_sink
from crawler.sinks.statistics import StatisticsSink

Wanted = dict[int, list[tuple[Volume | OpenMedia, tuple[int, ...]]]]
"""Frame number -> the volumes and pictures that want it, and where it lands in each."""
Written = dict[Identity, list[Product]]


@dataclass(eq=False, slots=True)
class OpenOutputs:
    """Outputs of layouts that share files, being written. A context: what is not closed at its end is given up.

    Attributes
    ----------
    wanted
        Position of each instance in the scan -> its frames that are wanted.
    """

    heartbeat: Heartbeat
    items: Sequence[int]
    wanted: dict[int, Wanted] = field(default_factory=dict)
    consumers: list[tuple[Identity, Volume | OpenMedia, Written]] = field(default_factory=list)

    def want(self, number: int, frame: int, consumers: Sequence[Volume | OpenMedia], index: tuple[int, ...]) -> None:
        """Have a frame handed to `consumers`, for their place `index`."""
        if consumers:
            self.wanted.setdefault(number, {}).setdefault(frame, []).extend((consumer, index) for consumer in consumers)

    def close(self) -> None:
        """Finish everything."""
        for identity, consumer, made in self.consumers:
            if isinstance(consumer, OpenMedia) or consumer.sinks:
                self.heartbeat.note(self.items[files_of(identity)[0]], "write")
                made[identity] = consumer.close()

    def __enter__(self) -> OpenOutputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, consumer, _ in self.consumers:
            consumer.abort()


class LayoutOutputs:
    """The outputs of one scan's layouts.

    Parameters
    ----------
    base
        Native relative path of the scan's volumes, without layout and extension.
    headers, states, items
        Per instance: header, what became of it, number in the worker's task.
    media_outputs
        Makes the displays and media of the scan.
    found
        As in `ScanExport`.
    """

    def __init__(
        self,
        setup: Setup,
        heartbeat: Heartbeat,
        base: str,
        headers: Sequence[Header],
        states: Sequence[State],
        items: Sequence[int],
        media_outputs: MediaOutputs,
        found: frozenset[str],
    ) -> None:
        self.setup, self.heartbeat, self.base = setup, heartbeat, base
        self.headers, self.states, self.items = headers, states, items
        self.media_outputs, self.found = media_outputs, found
        self.describer = Describer(headers, setup.keys)
        self.tables: dict[int, display.Lut | None] = {}
        self.volumes: Written = {}
        self.notes: dict[Identity, tuple[str, list[str]]] = {}
        self.statistics: dict[Identity, tuple[str, StatisticsSink]] = {}
        self.stacks: Written = {}
        self.previews: Written = {}

    @property
    def wanted(self) -> bool:
        """Whether anything is made of layouts."""
        return self.setup.makes_volumes or self.setup.stacks or self.setup.preview is not None

    def products(self) -> Iterator[Product]:
        """Everything that was written."""
        for made in (self.volumes, self.stacks, self.previews):
            for some in made.values():
                yield from some

    def discard(self) -> None:
        """Delete everything that was written."""
        for product in self.products():
            self._delete(product)
        for made in (self.volumes, self.stacks, self.previews):
            made.clear()

    def _delete(self, product: Product) -> None:
        roots = {"volume": self.setup.volume_dir, "sidecar": self.setup.volume_dir, "preview": self.setup.preview_dir}
        root = roots.get(product.kind, self.setup.media_dir)
        delete_published(product.path, self.setup.temp(root or ""))

    def open(self, group: Sequence[Layout], members: Sequence[int], part: Scan) -> OpenOutputs:
        """Open the outputs of layouts that share files, as far as they are not written yet.

        Parameters
        ----------
        group, members, part
            Layouts of the scan `part`, whose instances are those at the positions `members` of the whole scan.
        """
        opened = OpenOutputs(self.heartbeat, self.items)
        for layout in group:
            identity = identity_of(layout, members)
            consumers: list[Volume | OpenMedia] = []
            if self.setup.makes_volumes and identity not in self.volumes:
                consumers.append(self._volume(layout, members, part))
                opened.consumers.append((identity, consumers[-1], self.volumes))
            if self.setup.stacks and identity not in self.stacks and is_stack(layout, part.instances):
                consumers.append(self._stack(layout, members))
                opened.consumers.append((identity, consumers[-1], self.stacks))
            for place in layout.placement:
                opened.want(members[place.instance], place.frame, consumers, place.index)
            if self.setup.preview is not None and identity not in self.previews:
                preview, needed = self._preview(layout, members)
                opened.consumers.append((identity, preview, self.previews))
                for place in layout.placement if needed else ():
                    if place.index in needed:
                        opened.want(members[place.instance], place.frame, [preview], place.index)
        return opened

    def finish(self, plan: Sequence[Layout], members: Sequence[int]) -> None:
        """Tell each file of its volumes and stacks' videos, and delete those that a file's failure made obsolete."""
        valid = {identity_of(layout, members) for layout in plan}
        self.notes = {identity: note for identity, note in self.notes.items() if identity in valid}
        self.statistics = {identity: one for identity, one in self.statistics.items() if identity in valid}
        for made in (self.volumes, self.stacks, self.previews):
            obsolete = [made.pop(identity) for identity in list(made) if identity not in valid]
            current = {product.path for some in made.values() for product in some}
            for product in (product for some in obsolete for product in some):
                if product.path not in current:
                    self._delete(product)
        for identity, products in self.volumes.items():
            for number in files_of(identity):
                volumes = [product for product in products if product.kind == "volume"]
                self.states[number].volumes.extend(relative(product, self.setup.volume_dir) for product in volumes)
        for identity, products in self.stacks.items():
            for number in files_of(identity) if products else ():
                self.states[number].media_type = self.states[number].media_type or "video"
                self.states[number].media.extend(relative(product, self.setup.media_dir) for product in products)

    def _volume(self, layout: Layout, members: Sequence[int], part: Scan) -> Volume:
        section, root = self.setup.volume, self.setup.volume_dir
        placed = [part.instances[number] for number in sorted({place.instance for place in layout.placement})]
        planes = [part.instances[place.instance].plane(place.frame) for place in layout.placement]
        told = self.describer.describe(layout, members)
        values = section.values if section else "stored"
        if values == "real_world" and not told.mappings:
            values = "modality"
        photometric = photometric_of(placed[0], values)
        identity = identity_of(layout, members)
        fail = partial(self._fail, files_of(identity))
        rgb = photometric == "RGB" and values != "stored"
        volume = Volume(identity, np.dtype(np.float64), rgb, fail, mappings=told.mappings)
        with ErrorBoundary("pixels", fail) as boundary:
            tables = self._tables(layout, members) if values != "stored" else ()
            dtype = np.dtype(np.uint8) if rgb and has_palette(placed) else value_type(placed, planes, values, tables)
            volume.dtype = dtype
        if boundary.failed:
            return volume
        vendor = partial(self.describer.vendor, layout, members)
        noted = told.common | (self._palette_table(placed) if photometric == "PALETTE COLOR" else {})
        if part.series_uid in self.setup.incomplete:
            noted |= {"RetrievedInstances": self.setup.incomplete[part.series_uid]}
        subject = LayoutSubject(part, layout, dtype, values, photometric, noted, told.by_frame, vendor)
        self.notes[identity] = (real_world_text(told), [*told.notes, *_notes_of(section, told)])
        volume.omitted = self.notes[identity][1]
        base = self._name(layout)
        if section and section.statistics:
            self.statistics[identity] = layout.name, StatisticsSink()
            volume.add(self.statistics[identity][1], Target("", self.setup.temp(root or ""), _never), subject)
        for name in section.formats if section and root else ():
            sink = layout_sink(name, section.compression if section else "gzip")()
            outcome = foreign_outcome(self.found, f"volume/{base}{sink.extension}")
            if outcome is not None:
                for number in volume.files:
                    if outcome == EXISTS:
                        self.states[number].volumes.append(portable(base + sink.extension))
                    self.states[number].record(outcome)
                continue
            replace_of = partial(may_replace, self.found, f"volume/{base}")
            target = Target(os.path.join(root or "", base), self.setup.temp(root or ""), replace_of)
            volume.add(sink, target, subject)
        return volume

    def _stack(self, layout: Layout, members: Sequence[int]) -> OpenMedia:
        numbers = [members[place.instance] for place in layout.placement]
        return self.media_outputs.open_stack(self._name(layout), numbers, partial(self._fail, sorted(numbers)))

    def _preview(self, layout: Layout, members: Sequence[int]) -> tuple[OpenMedia, frozenset[tuple[int, ...]]]:
        from crawler.export.previews import Previews  # it loads what shows frames

        files = sorted({members[place.instance] for place in layout.placement})
        previews = Previews(self.setup, self.media_outputs, self.states, self.found)
        return previews.open(self._name(layout), layout, members, partial(self._fail, files))

    def _name(self, layout: Layout) -> str:
        """Native relative path of what is made of a layout, without extension."""
        return f"{self.base}-{layout.name}" if layout.name else self.base

    def _tables(self, layout: Layout, members: Sequence[int]) -> list[display.Lut]:
        """Read the Modality LUTs of a layout's files, which their frames will need too.

        A table that cannot be read bars its own file, and the layouts are planned again without it.
        """
        numbers = sorted({members[place.instance] for place in layout.placement})
        key = key_for("ModalityLUTSequence", self.setup.keys)
        for number in numbers:
            header = self.headers[number]
            pixels = header.instance.pixels
            if number not in self.tables and pixels is not None and pixels.has_luts and key in header.record():
                with ErrorBoundary("pixels", self.states[number].exclude):
                    self.tables[number] = display.modality_lut(display.DisplayAttributes(header.instance))
            elif number not in self.tables and has_palette([header.instance]):
                with ErrorBoundary("pixels", self.states[number].exclude):
                    self.tables[number] = _palette(header.instance)
        return [
            table
            for number in numbers
            if (table := self.tables.get(number)) is not None and not has_palette([self.headers[number].instance])
        ]

    def statements(self) -> dict[str, str | None]:
        """What is said of the scan's volumes in its row of series.csv, where each says the same only once."""
        mappings = dict.fromkeys(mapping for mapping, _ in self.notes.values() if mapping)
        notes = dict.fromkeys(note for _, some in self.notes.values() for note in some)
        found = {"real_world_values": "; ".join(mappings) or None, "volume_notes": "; ".join(notes) or None}
        if self.setup.volume is not None and self.setup.volume.statistics:
            texts = [f"{name}: {one.text}" if name else one.text for name, one in self.statistics.values() if one.text]
            found["volume_statistics"] = "; ".join(texts) or None
        return found

    def _palette_table(self, placed: Sequence[Instance]) -> dict[str, Any]:
        """The colours that a volume's indices stand for, where its files share them."""
        palettes: list[display.Lut] = []
        for instance in placed:
            with ErrorBoundary("pixels", lambda outcome: None):
                palettes.append(_palette(instance))
        same = all(one.first == palettes[0].first and np.array_equal(one.table, palettes[0].table) for one in palettes)
        if len(palettes) != len(placed) or not same:
            return {}
        return {"PaletteFirstValue": palettes[0].first, "PaletteColors": palettes[0].table.tolist()}

    def _fail(self, numbers: Sequence[int], outcome: Outcome) -> None:
        """An output that cannot be written fails all of its files; their rows, media and other outputs stay."""
        for number in numbers:
            self.states[number].record(outcome)


def _never(extension: str) -> bool:
    """Whether a file at a target may be replaced; of a sink that writes none."""
    return False


def _notes_of(section: VolumeSection | None, told: Description) -> list[str]:
    """Why a volume does not hold the quantities that were asked for."""
    if section is None or section.values != "real_world" or told.mappings:
        return []
    return ["modality values: no single Real World Value Mapping for all frames"]


def _palette(instance: Instance) -> display.Lut:
    """The palette of an image whose values are its indices."""
    palette = display.palette_of(display.DisplayAttributes(instance))
    if palette is None:
        raise PixelError("missing palette", "PALETTE COLOR without tables")
    return palette

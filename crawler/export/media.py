"""The media of a scan's files: which sinks a file or a stack of slices gets, and how they are fed and finished.

It opens no volume and settles no order; `scan.py` decodes, and says which frame is whose.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

from crawler import display
from crawler.config.sections import ImageSection, VideoSection
from crawler.error_boundary import ErrorBoundary
from crawler.export.foreign import EXISTS, folder_outcome, foreign_outcome, may_replace
from crawler.export.heartbeat import Heartbeat
from crawler.export.result import State
from crawler.export.setup import Setup
from crawler.instance.frame_rate import is_absurd
from crawler.model import Frame, Instance, Layout, Outcome, Product
from crawler.paths import portable
from crawler.pixels.frames import frames
from crawler.pixels.masking import masked_frames
from crawler.pixels.video import is_video
from crawler.sinks import FileSubject, Sink, Target, media_sinks

# Slices a second of a stack whose files name no rate: as seeds/001 shows every video.
STACK_RATE = 10.0


class Member(NamedTuple):
    """One file of a scan: its name in the media folder, without extension, and its number in the worker's task."""

    instance: Instance
    stem: str
    item: int
    state: State


@dataclass(slots=True)
class OpenMedia:
    """The still or the videos of one file, or of one stack, while they are written: one sink a format.

    A sink that fails is dropped, `record` is told, and the others go on.
    """

    record: Callable[[Outcome], None]
    sinks: list[Sink] = field(default_factory=list)
    source: Callable[[bool], Iterator[Frame]] = lambda rgb: iter(())

    def open(self, sink: Sink, target: Target, subject: Any) -> None:
        """Have it written in one more format; the subject is what the sink is opened with."""
        self.sinks.append(sink)
        self._attempt(sink, "pixels", partial(sink.open, target, subject))

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Hand a frame to every sink."""
        for sink in tuple(self.sinks):
            self._attempt(sink, "write", partial(sink.put, index, frame))

    def close(self) -> list[Product]:
        """Finish every sink that is left."""
        products: list[Product] = []
        for sink in tuple(self.sinks):
            self._attempt(sink, "write", lambda sink=sink: products.extend(sink.close()))  # type: ignore[misc]
        self.sinks = []
        return products

    def abort(self) -> None:
        """Leave nothing unfinished behind."""
        for sink in self.sinks:
            sink.abort()
        self.sinks = []

    def _attempt(self, sink: Sink, stage: str, deed: Callable[[], None]) -> None:
        with ErrorBoundary(stage, self.record) as boundary:
            deed()
        if boundary.failed:
            sink.abort()
            self.sinks.remove(sink)


class MediaOutputs:
    """Opens the media of one scan.

    Parameters
    ----------
    members
        The scan's files.
    decode
        Returns frame 0 of the file of a number; an error leaves the file out of what its series has in common.
    found
        ``media/<path>`` (native, relative) of what lies in the media folder and is not ours.
    """

    def __init__(
        self,
        setup: Setup,
        heartbeat: Heartbeat,
        members: Sequence[Member],
        decode: Callable[[int], Frame],
        found: frozenset[str],
    ) -> None:
        self.setup, self.heartbeat, self.members, self.decode, self.found = setup, heartbeat, members, decode, found

    @cached_property
    def _scan_display(self) -> display.ScanDisplay:
        """How the files are shown, by themselves and by what they share."""
        instances = [member.instance for member in self.members]
        return display.ScanDisplay(instances, self.decode, self.setup.window, self.setup.overlays)

    def section(self, instance: Instance) -> ImageSection | VideoSection | None:
        """The section of the configuration that a file's pixels fall under; None when nothing is made of them."""
        if instance.pixels is None or instance.is_index or self.setup.media_dir is None:
            return None
        moving = instance.pixels.frames > 1 or is_video(instance)
        return self.setup.video_todo() if moving else self.setup.image_todo()

    def open(self, number: int) -> OpenMedia | None:
        """The still or videos of the file of a number; None when it failed, or other files lie in the way."""
        member = self.members[number]
        instance, state, root = member.instance, member.state, self.setup.media_dir
        section = self.section(instance)
        if section is None or root is None or state.outcome.outcome == "failed":
            return None
        from crawler.sinks.remux import RemuxSink  # as the other media, when a file needs it

        state.media_type = "video" if isinstance(section, VideoSection) else "image"
        path = os.path.join(os.path.dirname(instance.file.mirror), member.stem)
        opened = OpenMedia(state.record)
        self.heartbeat.note(member.item, "pixels")
        with ErrorBoundary("pixels", state.record) as boundary:
            box = display.us_region(instance) if self.setup.crops else None
            sinks = self._free(self._sinks(section, member, box), path, [state])
            opened.source = partial(self._source, member, all(isinstance(sink, RemuxSink) for sink in sinks))
            shown = self._display(number, box) if sinks else display.Display()
            if sinks and isinstance(section, VideoSection) and section.fps == "auto":
                state.notes.extend(_rate_notes(instance, section.default_fps))
        if not boundary.failed:
            target = self._target(root, path)
            if isinstance(section, VideoSection) and (instance.frame_rate is None or is_absurd(instance.frame_rate)):
                instance = instance._replace(frame_rate=section.default_fps)
            for sink in sinks:
                opened.open(sink, target, FileSubject(instance, shown))
        return opened if opened.sinks else None

    def open_stack(self, path: str, numbers: Sequence[int], record: Callable[[Outcome], None]) -> OpenMedia:
        """The video through a stack of slices; without sinks when other files lie in the way.

        Parameters
        ----------
        path
            Native, below the media folder, without extension.
        numbers
            The files of the slices, in array order.
        record
            Told of what fails.
        """
        opened, section, root = OpenMedia(record), self.setup.video_todo("stack"), self.setup.media_dir
        assert section is not None
        assert root is not None
        members = [self.members[number] for number in numbers]
        sinks = self._free(
            media_sinks(section, self._bits(members[0].instance)), path, [member.state for member in members]
        )
        if not sinks:
            return opened
        first = members[0].instance
        rate = first.frame_rate
        subject = first._replace(frame_rate=STACK_RATE if rate is None or is_absurd(rate) else rate)
        with ErrorBoundary("pixels", record) as boundary:
            shown = self.stack_display(numbers)
        if not boundary.failed:
            target = self._target(root, path)
            for sink in sinks:
                opened.open(sink, target, FileSubject(subject, shown))
        return opened

    def _bits(self, instance: Instance) -> int:
        bits = self.setup.bits
        if bits != "auto":
            return bits
        return 8 if instance.pixels is not None and 0 < instance.pixels.bits_stored <= 8 else 16

    def _target(self, root: str, path: str) -> Target:
        replace_of = partial(may_replace, self.found, f"media/{path}")
        return Target(os.path.join(root, path), self.setup.temp(root), replace_of)

    def _sinks(self, section: ImageSection | VideoSection, member: Member, box: display.Box | None) -> list[Sink]:
        """What a section asks for; the MP4 of an encoded video is its own stream, unless it is to be cut or masked."""
        from crawler.sinks.remux import RemuxOptions, RemuxSink  # for encoded videos

        sinks = media_sinks(section, self._bits(member.instance))
        as_it_is = box is None and member.instance.mask is None
        if isinstance(section, VideoSection) and is_video(member.instance) and as_it_is:
            options = RemuxOptions(section.fps, partial(self.heartbeat.note, member.item, "pixels"))
            return [RemuxSink(options) if sink.extension == RemuxSink.extension else sink for sink in sinks]
        return sinks

    def _free(self, sinks: Iterable[Sink], path: str, states: Sequence[State]) -> list[Sink]:
        """Those sinks whose place is free; the files' states learn of the others."""
        free: list[Sink] = []
        for sink in sinks:
            name = path + sink.extension
            folder = os.path.dirname(name)
            # The pictures of a cine have a folder of their own: a strange file anywhere in it is in the way.
            outcome = foreign_outcome(self.found, f"media/{name}")
            if outcome is None and folder != os.path.dirname(path):
                outcome = folder_outcome(self.found, f"media/{folder}")
            if outcome is None:
                free.append(sink)
                continue
            for state in states:
                if outcome == EXISTS:
                    state.media.append(portable(name))
                state.record(outcome)
        return free

    def _display(self, number: int, box: display.Box | None) -> display.Renderer:
        member = self.members[number]

        def sample(numbers: Iterable[int]) -> Iterator[Frame]:
            for frame in frames(member.instance, list(numbers), self.setup.pixels, go_on=True):
                self.heartbeat.note(member.item, "pixels")
                yield frame

        # What ffmpeg decodes is RGB of 8 bits, whatever the header says.
        shown = display.Display() if is_video(member.instance) else self._scan_display.of(number, sample)
        member.state.notes.extend(shown.notes)
        return display.Cropped(shown, box) if box is not None else shown

    def stack_display(self, numbers: Sequence[int]) -> display.Display:
        """One window for all slices: the one that they share, else the range of all. Overlays are a slice's own."""
        instances = [self.members[number].instance for number in numbers]
        alike = len({_levels(instance) for instance in instances}) == 1
        window: display.Window = self.setup.window if alike or isinstance(self.setup.window, tuple) else "series"
        return display.ScanDisplay(instances, lambda place: self.decode(numbers[place]), window).of(0)

    def _source(self, member: Member, copies: bool, rgb: bool) -> Iterator[Frame]:
        """The frames to be shown, `rgb` as for `pixels.frames`; none for a stream that is only rewrapped."""
        if not is_video(member.instance):
            return frames(member.instance, None, self.setup.pixels, rgb, go_on=True)
        if copies:
            return iter(())
        from crawler.sinks.video_frames import decoded  # it starts ffmpeg

        folder = self.setup.temp(self.setup.media_dir or "")
        note = partial(self.heartbeat.note, member.item, "pixels")
        return masked_frames(member.instance, decoded(member.instance, folder, self.setup.pixels, note))


def _levels(instance: Instance) -> tuple[Any, ...]:
    """What the grey levels of a single frame depend on beside its values."""
    plane = instance.plane(0)
    return instance.windows, instance.window_function, plane.slope, plane.intercept, instance.inverse


def _rate_notes(instance: Instance, default: float) -> list[str]:
    """What is to be said of a header whose rate cannot be meant."""
    rate = instance.frame_rate
    if rate is None or not is_absurd(rate):
        return []
    return [f"its rate of {rate:.6g} frames a second cannot be meant: shown at {default:g}"]


def is_stack(layout: Layout, instances: Sequence[Instance]) -> bool:
    """Whether a layout of a scan's instances is a stack of at least two slices, each of which is a file."""
    if "slice" not in layout.axes or layout.shape[layout.axes.index("slice")] < 2:
        return False
    files = {place.instance for place in layout.placement}
    placed = [(instances[number].pixels, instances[number].mosaic) for number in files]
    single = all(pixels is not None and pixels.frames == 1 and mosaic is None for pixels, mosaic in placed)
    return single and len(files) == len(layout.placement)

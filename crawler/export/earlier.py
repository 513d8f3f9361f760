"""What earlier runs made of a series, and how what is made now joins it: rows, verdict, outcomes.

A run that adds a part (a format, previews, measures) makes that part alone. Its result has to be what a run that makes
everything at once would have written, in the same order. No file is read here but the rows of the series.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crawler.config.parts import section_of
from crawler.export.result import State
from crawler.export.setup import Setup
from crawler.model import Instance, Outcome
from crawler.naming import FRAMES
from crawler.paths import portable

STATEMENTS = ("real_world_values", "volume_notes", "volume_statistics")
"""Columns of a verdict that tell of volumes which were written."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A series as earlier runs left it.

    Attributes
    ----------
    digest
        Of its files: with another one, nothing of it is of use.
    parts
        What is made of it, as in `config/parts.py`.
    rows
        Its rows: the JSONL, and where they begin and end in it; None when there are none.
    skipped
        Outcomes of its files that were not exported, by name in outputs.
    dropped
        Outputs, as rows name them, that are to be made anew.
    """

    digest: str
    parts: frozenset[str]
    verdict: Mapping[str, Any]
    rows: tuple[str, int, int] | None = None
    skipped: Mapping[str, Outcome] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()

    def has(self, *sections: str) -> bool:
        """Whether any part of these sections is there."""
        return any(section_of(part) in sections for part in self.parts)

    def read_rows(self) -> dict[str, dict[str, Any]]:
        """Rows by the file that they tell of."""
        if self.rows is None:
            return {}
        path, start, stop = self.rows
        with open(path, "rb") as file:
            file.seek(start)
            lines = file.read(stop - start).splitlines()
        rows: dict[str, dict[str, Any]] = {row["dicom_file"]: row for row in map(orjson.loads, lines)}
        for row in rows.values():
            if row.get("media_file") and "media_files" not in row:  # of `metadata.compat`, which names no more than one
                row["media_files"] = [row["media_file"]]
        return rows


def join_states(
    earlier: Earlier, setup: Setup, instances: Sequence[Instance], stems: Sequence[str], states: Sequence[State]
) -> None:
    """Add to the states of a series' files what is known of them.

    Parameters
    ----------
    setup
        Of the whole run, not narrowed to what is made now.
    stems
        Names of the files' media.
    """
    rows = earlier.read_rows()
    pictures = earlier.has("image", "video")
    for instance, stem, state in zip(instances, stems, states, strict=True):
        known = earlier.skipped.get(instance.file.key)
        if known is not None and state.outcome.outcome == "exported":
            state.outcome = known
        row = rows.get(instance.file.key, {})
        own = portable(os.path.join(os.path.dirname(instance.file.mirror), stem)) + "."
        if not any(path.startswith(own) for path in state.media):  # its own medium says what it is, not a stack's video
            state.media_type = row.get("media_type") or state.media_type
        state.media = _joined(row.get("media_files"), state.media, earlier.dropped, _MediaOrder(setup, own))
        state.volumes = _joined_volumes(row.get("volume_files"), state.volumes, earlier.dropped, setup)
        state.decoder = state.decoder or row.get("decoder")
        if pictures:
            notes = row.get("media_notes") or []
            state.notes = [*notes, *(note for note in state.notes if note not in notes)]
        if not state.quality:
            state.quality = {name: value for name, value in row.items() if name.startswith("quality_")}


def join_verdicts(earlier: Earlier, setup: Setup, todo: frozenset[str], verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of a series of which `todo` was made now."""
    joined = {**verdict, **{name: value for name, value in earlier.verdict.items() if name not in verdict}}
    if earlier.has("volume"):
        fresh = any(section_of(part) == "volume" for part in todo)
        for name in STATEMENTS:
            told = [earlier.verdict.get(name), verdict.get(name) if fresh else None]
            texts = dict.fromkeys(text for one in told if one for text in one.split("; "))
            if name in joined:
                joined[name] = "; ".join(texts) or None
        if setup.volume is None:  # the arrays that are there were made by the section that was
            joined |= {name: value for name, value in earlier.verdict.items() if not name.startswith("quality_")}
    return joined


@dataclass(frozen=True, slots=True)
class _MediaOrder:
    """The order in which a run names the media of a file: its own, by format, then videos of stacks."""

    setup: Setup
    own: str

    def __call__(self, path: str) -> tuple[bool, int]:
        formats = self.setup.video.formats if self.setup.video is not None else ()
        extension = "frames" if f"{FRAMES}/" in path else os.path.splitext(path)[1]
        place = formats.index(extension) if extension in formats else len(formats)
        return not path.startswith(self.own), place


def _joined(before: Iterable[str] | None, now: Sequence[str], dropped: frozenset[str], order: _MediaOrder) -> list[str]:
    kept = [path for path in before or () if path not in dropped and path not in now]
    return sorted([*kept, *now], key=order)


def _joined_volumes(
    before: Iterable[str] | None, now: Sequence[str], dropped: frozenset[str], setup: Setup
) -> list[str]:
    """By array, and of each array by format."""
    kept = [path for path in before or () if path not in dropped and path not in now]
    if not kept:
        return list(now)
    from crawler.sinks import LAYOUT_SINKS, layout_sink  # loads formats; only runs that add one come here

    formats = (
        [layout_sink(name, "gzip")().extension for name in setup.volume.formats] if setup.volume is not None else []
    )
    endings = sorted({*formats, *(sink().extension for sink in LAYOUT_SINKS.values())}, key=len, reverse=True)

    def split(path: str) -> tuple[str, str]:
        ending = next((one for one in endings if path.endswith(one)), "")
        return path.removesuffix(ending), ending

    arrays = {stem: number for number, stem in enumerate(dict.fromkeys(split(path)[0] for path in [*kept, *now]))}

    def order(path: str) -> tuple[int, int]:
        stem, ending = split(path)
        return arrays[stem], formats.index(ending) if ending in formats else len(formats)

    return sorted([*kept, *now], key=order)

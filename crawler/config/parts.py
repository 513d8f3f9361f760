"""The parts that the outputs of a series consist of, and which keys of the configuration shape each of them.

A part is what can be made, kept or made anew by itself: the rows, the stills, the videos of one format, the volumes of
one format. The ledger keeps for each series which parts it has, and for each part the values that it was made with. It
knows nothing of series and makes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Shaping = Mapping[str, Any]
"""Key path -> JSON value, as `Config.shaping` gives it: keys of the sections that are on."""

DEFAULTS: dict[str, Any] = {
    "metadata.compat": None,
    "image.window": "auto",
    "image.overlays": False,
    "image.crop": "none",
    "volume.irregular": "split",
    "volume.tolerance": 0.1,
    "volume.order": "auto",
    "volume.split": [],
    "volume.values": "modality",
}
"""What these keys come to where their section is off and another part asks for them."""
DISPLAY = ("image.window", "image.overlays", "image.crop")
PLAN = ("volume.irregular", "volume.tolerance", "volume.order", "volume.split", "volume.values")
SECTIONS = ("metadata", "media", "image", "video", "volume", "preview", "quality", "select", "dicom")
"""What `--rebuild SECTION` takes; `media` stands for everything in `media.dir`."""
_IN_MEDIA = ("image", "video", "media")


def parts_of(shaping: Shaping) -> dict[str, dict[str, Any]]:
    """Part -> key path -> value that shapes it."""
    return {part: {key: _value(shaping, part, key) for key in keys} for part, keys in _keys(shaping)}


def _value(shaping: Shaping, part: str, key: str) -> Any:
    value = shaping.get(key, DEFAULTS.get(key))
    of_plan = not part.startswith(("volume:", "statistics"))
    if key == "volume.values" and of_plan:  # of which it decides whether palettes are colours
        return "stored" if value == "stored" else "modality"
    return value


def _keys(shaping: Shaping) -> Iterator[tuple[str, Iterable[str]]]:
    def below(section: str, *without: str) -> list[str]:
        return [key for key in shaping if key.startswith(f"{section}.") and key not in without]

    if "metadata.file" in shaping:
        yield "rows", ("metadata.file", "metadata.keys", "metadata.compat")
    if shaping.get("metadata.text"):
        yield "text", ("media.dir", "metadata.keys")
    for name in ("documents", "waveforms"):
        if shaping.get(f"media.{name}"):
            yield name, ("media.dir",)
    if "image.extension" in shaping:
        yield "image", ("media.dir", *below("image"))
    written = shaping.get("video.extension") or ()
    for name in [written] if isinstance(written, str) else written:
        saved = below("video", "video.extension", "video.series", "video.fps") if name == ".mp4" else []
        keys = ("media.dir", "video.fps", *DISPLAY, *saved, *(["image.bits"] if name == "frames" else []))
        yield f"video:{name}", keys
        if shaping.get("video.series"):
            yield f"stack:{name}", (*keys, *PLAN)
    for name in shaping.get("volume.formats", ()):
        others = ["volume.statistics"] if name == "hdf5" else ["volume.statistics", "volume.compression"]
        yield f"volume:{name}", below("volume", "volume.formats", *others)
    if shaping.get("volume.statistics"):
        yield "statistics", PLAN
    if "preview.dir" in shaping:
        yield "preview", (*below("preview"), *DISPLAY, *PLAN)
    if "quality.share" in shaping:
        yield "quality", below("quality")


def section_of(part: str) -> str:
    """The section of the configuration that a part belongs to."""
    name = part.partition(":")[0]
    places = {
        "rows": "metadata",
        "text": "metadata",
        "documents": "media",
        "waveforms": "media",
        "stack": "video",
        "statistics": "volume",
    }
    return places.get(name, name)


def sections_of(names: Iterable[str]) -> frozenset[str]:
    """Sections that are made anew when these are asked for: `media` is all that lies in `media.dir`."""
    given = frozenset(names)
    return given | frozenset(_IN_MEDIA) if "media" in given else given


def section_of_product(kind: str, path: bytes) -> str:
    """The section that a product of the ledger belongs to."""
    if kind == "image" and b".frames/" in path.replace(b"\\", b"/"):
        return "video"
    return {"sidecar": "volume", "document": "media", "waveform": "media", "text": "metadata"}.get(kind, kind)


@dataclass(frozen=True, slots=True)
class Change:
    """A key that was changed, and the sections whose outputs it shapes."""

    key: str
    before: Any
    now: Any
    sections: tuple[str, ...]


def changes(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """Keys that shape parts which are there, and that have another value now, by name."""
    found: dict[str, tuple[Any, Any, set[str]]] = {}
    for part in before.keys() & now.keys():
        for key, value in now[part].items():
            if key in before[part] and before[part][key] != value:
                found.setdefault(key, (before[part][key], value, set()))[2].add(section_of(part))
    return [Change(key, old, new, tuple(sorted(sections))) for key, (old, new, sections) in sorted(found.items())]


def selection_of(shaping: Shaping) -> dict[str, Any]:
    """What the section `select` leaves out; empty where it is off, or leaves out nothing."""
    nothing: dict[str, Any] = {
        "select.modality": None,
        "select.min_files": 1,
        "select.derived": True,
        "select.exclude_words": [],
        "select.where": {},
    }
    return {key: value for key, value in shaping.items() if key in nothing and value != nothing[key]}

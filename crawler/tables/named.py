"""named/ and names.csv: products by the patterns of `volume.name` and `media.name`, beside their names by path.

Rows and series.csv go on naming files by path: a pattern may be changed, or left out, and nothing is exported anew.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from crawler.config.loader import NAMED, Config
from crawler.config.patterns import Pattern, parse
from crawler.ledger.database import Ledger
from crawler.ledger.store import output_root
from crawler.paths import native, portable
from crawler.tables.base import Context, View, rows_of
from crawler.tables.link_tree import LinkTree, Target

log = logging.getLogger("dme")

MEDIA = ("image", "video", "document", "waveform", "text")
VOLUMES = ("volume", "sidecar")
# What may end the name of a file's media: pictures of a cine in a folder, a further group of a waveform.
_ENDING = re.compile(r"(\.frames/[^/]+|(-group[0-9]+)?\.[^./]+)$")


def folder(config: Config) -> str:
    """Where the further names lie."""
    return config.own_path(NAMED)


def patterns(config: Config) -> tuple[Pattern | None, Pattern | None]:
    """Those of volumes and of media; None for what has no further names."""
    volume = config.volume.name if config.volume else None
    media = config.media.name if config.media else None
    return parse(volume) if volume else None, parse(media) if media else None


def personal(config: Config) -> list[str]:
    """Elements in the names that may tell who a person is."""
    return list(dict.fromkeys(keyword for pattern in patterns(config) if pattern for keyword in pattern.personal))


def path(config: Config) -> str | None:
    """names.csv beside the summary, where there are patterns; packs have such names inside, and their own index."""
    return config.own_path("names.csv") if any(patterns(config)) and config.output.pack is None else None


def shape(config: Config) -> Any:
    """The patterns, and whether somebody deleted the folder."""
    listed = path(config)
    deleted = listed is not None and os.path.exists(listed) and not os.path.isdir(folder(config))
    return [config.volume and config.volume.name, config.media and config.media.name, deleted]


def build(context: Context, target: str) -> None:
    """Bring the folder up to date, and list its names."""
    config, ledger = context.config, context.ledger
    tree = LinkTree(ledger, folder(config))
    for key, stem, files in wanted_names(config, ledger, rows_of(config).rows()):
        tree.add(key, stem, files)
    tree.settle()
    tree.write()
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "file"])
        for _, source, name in tree.names():
            writer.writerow([name, portable(os.path.relpath(source, os.path.dirname(target)))])


def wanted_names(
    config: Config, ledger: Ledger, rows: Iterable[dict[str, Any]]
) -> Iterator[tuple[str, str, list[tuple[str, Target]]]]:
    """What the patterns make of rows, as `LinkTree.add` takes it: key, stem, and endings with their files."""
    volume, media = patterns(config)
    style = rows_of(config).keys
    seen: set[str] = set()
    for row in rows:
        scan_id = row.get("scan_id")
        if volume is not None and scan_id and scan_id not in seen:
            seen.add(scan_id)
            stem = volume.expand(row, style)
            for layout, files in volumes_of(config, ledger, scan_id).items():
                yield f"{scan_id}-{layout}", f"{stem}-{layout}" if layout else stem, files
        if media is not None and row.get("media_files"):
            files = list(_media_of(config, ledger, row, seen))
            if files:
                yield str(row["dicom_file"]), media.expand(row, style), files


def volumes_of(config: Config, ledger: Ledger, scan_id: str) -> dict[str, list[tuple[str, Target]]]:
    """Ending and file of everything that a scan's volumes consist of, by layout."""
    found: dict[str, list[tuple[str, Target]]] = {}
    base = scan_id.rpartition("/")[2]
    for layout, place, size, checksum in ledger.products_of(scan_id, VOLUMES):
        name = os.path.basename(os.fsdecode(place))
        ending = name.removeprefix(f"{base}-{layout}" if layout else base)
        file = os.path.join(output_root(config, "volume"), os.fsdecode(place))
        found.setdefault(layout, []).append((ending, Target(file, size, checksum)))
    return found


def _media_of(config: Config, ledger: Ledger, row: dict[str, Any], seen: set[str]) -> Iterator[tuple[str, Target]]:
    """Ending and file of the media of a row; that of a whole stack goes with its first file."""
    scan = str(row.get("scan_id")).rpartition("/")[2]
    root = output_root(config, "image")
    places = [native(str(name)) for name in row["media_files"]]
    stems = {_stem(place) for place in places if not os.path.basename(place).startswith(f"{scan}")}
    texts = [f"{stem}.txt" for stem in sorted(stems)]
    for place in dict.fromkeys([*places, *texts]):
        known = ledger.product(MEDIA, os.fsencode(place))
        if known is None or (os.path.basename(place).startswith(scan) and place in seen):
            continue
        if os.path.basename(place).startswith(scan):
            seen.add(place)
        yield place.removeprefix(_stem(place)).replace(os.sep, "/"), Target(os.path.join(root, place), *known)


def _stem(place: str) -> str:
    """A native path without its ending."""
    found = _ENDING.search(place.replace(os.sep, "/"))
    return place[: found.start()] if found else place


VIEW = View("names", path, build, shape)

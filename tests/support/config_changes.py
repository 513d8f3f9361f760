"""What a change of the configuration costs a finished run, key by key: `docs/reference/changes.md`, measured.

``PYTHONPATH=.:tests .venv/bin/python -m support.config_changes`` writes the page. Each key is added to, changed in and
removed from the configuration of a finished run; opened files and decoded frames are counted, and the result is
compared with a fresh run of the new configuration.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import crawler.dicom.files
import crawler.pixels.frames
from crawler.config.checking import keys
from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.errors import ConfigError, LedgerError
from support import source_changes
from support.cines import cine
from support.encapsulated import document
from support.factories import ct_series, quick_dataset, save
from support.runs import ROOT, content

PAGE = ROOT / "docs" / "reference" / "changes.md"
FILES, FRAMES = 8, 9
"""Files in the tree, and frames in them: 4 slices, a copy of one, a still, a cine of 3, a document."""

BASE: dict[str, Any] = {
    "metadata": {},
    "media": {},
    "image": {},
    "video": {},
    "volume": {"formats": ["nifti"]},
    "preview": {},
    "quality": {},
    "config": {},
}
_LISTS = ROOT / "tests" / "support"
_ENCODING = "video.save_method_kwargs.encoding_args"
# Key -> two values beside the default: the first is added, changed to the second, and removed.
VALUES: dict[str, tuple[Any, Any]] = {
    "num_workers": (1, 2),
    "output.min_free": (1, 2),
    "output.layout": ("bids", "mirror"),
    "output.report": (False, True),
    "output.mode": ("group", "umask"),
    "output.durable": (True, False),
    "limits.seconds": (60, 90),
    "limits.memory": ("3GB", "5GB"),
    "limits.pixels": ("1GB", "3GB"),
    "dicom.recursive": (False, True),
    "dicom.group": ("tree", "folder"),
    "dicom.max_lost": (0.9, 1),
    "config.file": ("copy.yml", "other.yml"),
    "metadata.append": (True, True),
    "metadata.keys": ("name", "tag"),
    "metadata.compat": ("seed003", None),
    "metadata.text": (True, False),
    "metadata.tables": (["csv", "parquet"], ["xlsx"]),
    "metadata.columns": ("flat", "nested"),
    "metadata.templates": (str(ROOT / "dicom_tags"), None),
    "metadata.mr_clean": (True, False),
    "media.dir": ("pictures", "others"),
    "media.overwrite": (True, False),
    "media.documents": (False, True),
    "media.waveforms": (False, True),
    "media.name": ("{PatientID}/{InstanceNumber}", "{Modality}{InstanceNumber}"),
    "image.extension": (".jpg", ".tif"),
    "image.bits": (8, "auto"),
    "image.window": ("full", [40, 80]),
    "image.overlays": (True, False),
    "image.crop": ("us_region", "none"),
    "image.save_method_kwargs.pil_writer_params": ({"compress_level": 1}, {"compress_level": 9}),
    "video.extension": ([".mp4", ".gif"], [".mp4", "frames"]),
    "video.fps": (7, 9),
    "video.default_fps": (7, 9),
    "video.series": (True, False),
    "video.save_method_kwargs.encoding_format": ("mpeg4", "libx264"),
    f"{_ENCODING}.pix_fmt": ("yuv444p", "yuv422p"),
    f"{_ENCODING}.options": ({"crf": "23"}, {"crf": "30"}),
    f"{_ENCODING}.bit_rate": (200_000, 300_000),
    f"{_ENCODING}.gop_size": (5, 6),
    f"{_ENCODING}.profile": ("high", "main"),
    "volume.dir": ("arrays", "others"),
    "volume.formats": (["nifti", "npz"], ["npz"]),
    "volume.values": ("stored", "real_world"),
    "volume.irregular": ("keep", "refuse"),
    "volume.tolerance": (0.2, 0.3),
    "volume.compression": ("none", "gzip"),
    "volume.order": ("none", "time"),
    "volume.statistics": (True, False),
    "volume.split": (["te"], ["b"]),
    "volume.name": ("{PatientID}/{SeriesNumber}", "{Modality}{SeriesNumber}"),
    "preview.dir": ("small", "others"),
    "preview.size": (64, 128),
    "select.modality": (["CT"], ["US"]),
    "select.min_files": (2, 3),
    "select.derived": (False, True),
    "select.exclude_words": (["scout"], ["sample"]),
    "select.list": (str(_LISTS / "ratings_1.csv"), str(_LISTS / "ratings_2.csv")),
    "select.where": ({"Modality": {"equals": "CT"}}, {"Modality": {"equals": "US"}}),
    "quality.share": (0.5, 0.7),
    "quality.thresholds": ({"CT": {"contrast": 8}}, {"CT": {"contrast": 9}}),
}
SECTIONS = ("metadata", "media", "image", "video", "volume", "preview", "quality", "config")
ELSEWHERE = {
    "dicom.dir": "roots, below",
    "metadata.file": "another file is another output: everything is made",
    "output.dir": "another folder is another output: everything is made",
    "output.staging": "a folder on the way to an address; outputs are the same",
    "output.pack.format": "packs of another format hold the same files: they are packed anew",
    "output.pack.size": "packs of another size hold the same files",
    "output.pack.dir": "packs in another folder hold the same files",
    "select.rated": "of the ratings in `select.list`, as that key",
    "dicom.readers": "of installed packages: with another list, other files are images",
}
"""Keys that are not tried as the others are."""


class Cost(NamedTuple):
    """What a change came to: section to make anew, or none; files opened, frames decoded, what the result equals."""

    rebuild: str
    opened: int
    decoded: int
    result: str

    def cell(self) -> str:
        """As the page has it."""
        first = f"refused; `--rebuild {self.rebuild}`: " if self.rebuild else ""
        return f"{first}{self.opened} / {self.decoded}, {self.result}"


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count files that are opened, and frames that are decoded, in this process."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    opened, frame = crawler.dicom.files.open_file, crawler.pixels.frames.Frame

    def open_file(file: Any) -> Any:
        seen.add(file.key)
        counts["opened"] = len(seen)
        return opened(file)

    def made(*values: Any, **named: Any) -> Any:
        counts["decoded"] += 1
        return frame(*values, **named)

    with pytest.MonkeyPatch.context() as patch:
        for module in [one for name, one in sys.modules.items() if name.startswith("crawler.")]:
            if getattr(module, "open_file", None) is opened:
                patch.setattr(module, "open_file", open_file)
        patch.setattr(crawler.pixels.frames, "Frame", made)
        yield counts


def make_tree(folder: Path) -> Path:
    """The input of every run."""
    paths = ct_series(folder / "ct", n=4, WindowCenter=40, WindowWidth=400, SeriesDescription="sample")
    shutil.copy(paths[1], folder / "ct" / "copy.dcm")
    cine(folder / "us" / "cine.dcm", 3)
    document(folder / "doc" / "letter.dcm", b"%PDF-1.4\n%%EOF\n")
    single = quick_dataset(SOPInstanceUID="1.2.3.9", SeriesInstanceUID="1.2.3.8", WindowCenter=40, WindowWidth=400)
    save(single, folder / "a.dcm")
    return folder


def document_of(tree: Path, out: Path, key: str = "", value: Any = None) -> dict[str, Any]:
    """`BASE` with a key set; nothing is set without one."""
    made: dict[str, Any] = {name: dict(section) for name, section in BASE.items()}
    made |= {"num_workers": 0, "output": {"dir": str(out)}, "dicom": {"dir": str(tree)}}
    if key == "dicom.recursive":
        made["dicom"]["max_lost"] = 1
    *sections, last = key.split(".")
    if last:
        place = made
        for name in sections:
            place = place.setdefault(name, {})
        place[last] = value
    if key == f"{_ENCODING}.bit_rate" and value is not None:
        made["video"]["save_method_kwargs"]["encoding_args"]["options"] = {}
    return made


def moved(document: dict[str, Any], fresh: Path) -> dict[str, Any]:
    """A configuration whose output goes elsewhere."""
    return {**document, "output": {**document["output"], "dir": str(fresh)}}


def cost_of(
    before: dict[str, Any],
    after: dict[str, Any],
    out: Path,
    fresh: Path,
    elsewhere: Callable[[dict[str, Any], Path], dict[str, Any]] = moved,
) -> Cost:
    """Run one configuration, then another one, and see what that took; `elsewhere` is the latter for a fresh run."""
    for folder in (out, fresh):
        shutil.rmtree(folder, ignore_errors=True)
    run(before)
    there = content(out)
    rebuild = ""
    counts: Counter[str]
    with counted() as counts:
        try:
            run(after)
        except (ConfigError, LedgerError) as error:
            found = re.search(r"--rebuild(?: ([a-z,]+))?(?:[ ,]|$)", str(error))
            if not found or counts:  # refused without a way out, or after work
                raise
            rebuild = found[1] if found[1] and found[1] != "to" else "all"
            run(after, rebuild=True if rebuild == "all" else rebuild.split(","))
    run(elsewhere(after, fresh))
    return Cost("" if rebuild == "" else rebuild, counts["opened"], counts["decoded"], _verdict(there, out, fresh))


def _verdict(there: dict[str, Any], out: Path, fresh: Path) -> str:
    """Whether an output equals a fresh one, or what else it holds: outputs of before, which rows and tables name."""
    copies = {"config.yml", "copy.yml", "other.yml"}  # they name the folder
    now, new, there = (
        {name: value for name, value in one.items() if name not in copies}
        for one in (content(out), content(fresh), there)
    )
    if now == new:
        return "equal"
    stays = now.keys() - new.keys()
    tables = re.compile(r"(metadata|series|named|names|bids|report|pixel_data|mr_cleaned|summary)[^/]*\.\w+")
    different = {name for name in now.keys() & new.keys() if now[name] != new[name]}
    wrong = {name for name in different if not tables.fullmatch(name)} | (new.keys() - now.keys())
    wrong |= {name for name in stays if now[name] != there.get(name) and not tables.fullmatch(name)}
    if (fresh / "metadata.jsonl").exists() and _rows(out) != _rows(fresh):
        wrong.add("metadata.jsonl")
    columns = any(name.endswith(".csv") for name in different)  # of what is made no longer
    for name in different if not stays else ():
        held = name.endswith(".csv") and _holds(out / name, fresh / name)
        if not held and not (columns and name in ("report.html", "metadata.jsonl")):  # rows are compared below
            wrong.add(name)
    if wrong:
        return f"NOT EQUAL: {', '.join(sorted(wrong))[:100]}"
    return "equal, and what was there stays"


def _holds(path: Path, fresh: Path) -> bool:
    """Whether a table has the cells of a fresh one: columns of what is made no longer stay."""
    tables = []
    for one in (path, fresh):
        with open(one, newline="", encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    now, new = tables
    return len(now) == len(new) and all(
        mine[name] == row[name] for mine, row in zip(now, new, strict=True) for name in row
    )


def _rows(out: Path) -> list[dict[str, Any]]:
    """Rows without what names outputs, or measures."""
    path = out / "metadata.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    others = ("media_", "volume_file", "decoder", "quality_")
    return [{key: value for key, value in json.loads(line).items() if not key.startswith(others)} for line in lines]


def measured(work: Path, chosen: list[str] | None = None) -> dict[str, tuple[Cost, Cost, Cost]]:
    """Key, or section -> what it costs to add it, to change it and to remove it."""
    tree, out, fresh = make_tree(work / "in"), work / "out", work / "fresh"
    found: dict[str, tuple[Cost, Cost, Cost]] = {}
    for key in chosen if chosen is not None else [*VALUES]:
        plain = document_of(tree, out)
        if key == "dicom.recursive":
            plain["dicom"]["max_lost"] = 1
        first, second = (document_of(tree, out, key, value) for value in VALUES[key])
        pairs = ((plain, first), (first, second), (second, plain) if VALUES[key][1] is None else (first, plain))
        found[key] = (cost_of(*pairs[0], out, fresh), cost_of(*pairs[1], out, fresh), cost_of(*pairs[2], out, fresh))
    return found


def of_sections(work: Path) -> dict[str, tuple[Cost, Cost]]:
    """Section -> what it costs to add it and to remove it."""
    tree, out, fresh = make_tree(work / "in2"), work / "out", work / "fresh"
    whole = document_of(tree, out)
    found = {}
    for name in SECTIONS:
        gone = {"media", "image", "video"} if name == "media" else {name}
        less = {key: value for key, value in whole.items() if key not in gone}
        found[name] = cost_of(less, whole, out, fresh), cost_of(whole, less, out, fresh)
    return found


def of_roots(work: Path) -> tuple[Cost, Cost, Cost]:
    """What it costs to add a root, to take another one in its place, and to remove it."""
    for number, name in enumerate("abc"):
        ct_series(work / "roots" / name, n=2, uid=f"1.2.3.4.{number}")
    out, fresh = work / "out", work / "fresh"

    def of(*names: str) -> dict[str, Any]:
        return {**document_of(work, out), "dicom": {"dir": [str(work / "roots" / name) for name in names]}}

    pairs = ((of("a", "b"), of("a", "b", "c")), (of("a", "b"), of("a", "c")), (of("a", "b", "c"), of("a", "b")))
    added, changed, removed = (cost_of(*pair, out, fresh) for pair in pairs)
    return added, changed, removed


def untried() -> set[str]:
    """Keys that nothing tries, here or in `source_changes.py`."""
    tried = {*VALUES, *ELSEWHERE, *source_changes.PACS, *source_changes.PRIVACY, *source_changes.ELSEWHERE}
    return {one.path for one in keys(Config)} - tried


HEAD = f"""\
# What a change costs

Every key, added to the configuration of a finished run, changed in it and removed from it. The tree has {FILES} files
with {FRAMES} frames: four slices of CT and a copy of one, a still, a cine of three frames, a document. Numbers are
files opened / frames decoded. "Equal" is equal to a fresh run of the new configuration: rows, tables, values and
attributes of volumes, bytes of media. What is made no longer stays where it is; rows, tables and report go on naming
it. A change that would make other outputs of what is there is refused by name, before any work; the numbers are then
those of the run with `--rebuild` for the sections that the refusal names.

Measured by `tests/support/config_changes.py`, which writes this page.

"""


def page(work: Path) -> str:
    """The page, measured now."""
    lines = [HEAD, "## Sections\n\n", "| section | added | removed |\n|---|---|---|\n"]
    for name, costs in of_sections(work).items():
        lines.append(f"| `{name}` | {' | '.join(cost.cell() for cost in costs)} |\n")
    lines += ["\n## Keys\n\n", "| key | added | changed | removed |\n|---|---|---|---|\n"]
    lines.append(f"| `dicom.dir` | {' | '.join(cost.cell() for cost in of_roots(work))} |\n")
    for key, costs in measured(work).items():
        lines.append(f"| `{key}` | {' | '.join(cost.cell() for cost in costs)} |\n")
    lines += source_changes.lines(work)
    lines.append("\n`dicom.dir` is of three folders with two slices each: one is added, replaced, taken out.\n")
    others = {**ELSEWHERE, **source_changes.ELSEWHERE}
    texts: dict[str, list[str]] = {}
    for key, text in others.items():
        texts.setdefault(text, []).append(f"`{key}`")
    lines += [f"\n{', '.join(named)}: {text}.\n" for text, named in texts.items() if named != ["`dicom.dir`"]]
    return "".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(Path(folder)), encoding="utf-8")

"""Imports inside `crawler/` go downward only (DESIGN.md, "Layout of the code"), and its modules stay small.

The table is the whole rule: a module sees the tiers above its own line, and beside it only what `PAIRS` lists.
"""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

CRAWLER = Path(__file__).parents[1] / "crawler"
TIERS = (
    "errors faults paths uids dataset.charsets dataset.vocabulary",
    "model nodes heartbeat",
    "typed renderer dataset.dictionary border archives archives.members archives.quota archives.streams",
    "sections dataset dataset.elements geometry naming worker interrupts earlier earlier.folders placing preview",
    "config record dataset.csa dataset.sniff placing.planes archives.zips",
    "files codestream fragments schema dataset.fields dataset.flat dataset.plans placing.repeats placing.verdict",
    "dataset.component dataset.traits dataset.level dataset.memory",
    "dataset.mosaic dataset.multiframe dataset.vendor dataset.walker",
    "dataset.functional dataset.custom dataset.mould placing.axes placing.parts",
    "dataset.describe dataset.quick codecs values",
    "bulk encoded header pixels shown shown.colour shown.tables",
    "shown.lut shown.overlays waveforms",
    "shown.palette shown.spread shown.voi",
    "display quality scan layout",
    "sketches.planes",
    "sketches.canvas",
    "sketches.flat sketches.triplane",
    "sketches",
    "mr mr.words mr.cells",
    "mr.facts mr.rules",
    "mr.physics",
    "mr.sequence",
    "mr.attributes mr.dynamics",
    "mr_clean",
    "sources.* sinks.*",
    "accounts rows crop footage preload",
    "ledger",
    "roster setup volumes choice templates",
    "result",
    "store summary tabular tabular.grid earlier.catalogue",
    "tabular.*",
    "views.* pool progress status api earlier.scan_csv earlier.scan_h5",
    "beside inspection recorder ours",
    "media",
    "previews",
    "outputs",
    "export",
    "work",
    "plan",
    "tree",
    "engine",
    "runner preview.survey earlier.crawl earlier.convert",
    "preview.glance preview.trial",
    "preview.preflight",
    "tables",
    "common",
    "cli",
    "earlier.front",
)
# What a module may import from its own tier.
PAIRS = {
    ("sources.archive", "sources.*"),
    ("sources.zipped", "sources.expanded"),
    ("sources.tarred", "sources.expanded"),
    ("sources.tarred", "sources.spool"),
    ("sources.tarred", "sources.tape"),
    ("sources", "sources.*"),  # a package's __init__ is its table of members
    ("sinks", "sinks.*"),
    ("sinks.*", "sinks.base"),
    ("sinks.*", "sinks.deflate"),
    ("sinks.*", "sinks.cine"),
    ("sinks.*", "sinks.ffmpeg"),
    ("sinks.*", "sinks.picture"),
    ("sinks.*", "sinks.pending"),
    ("sinks.*", "sinks.provenance"),
    ("sinks.*", "sinks.raster"),
    ("sinks.*", "sinks.timing"),
    ("sinks.nifti", "sinks.bids"),
    ("sinks.npz", "sinks.zipped"),
    ("sinks.picture", "sinks.png"),
    ("sinks.waveform", "sinks.chart"),
    ("sinks.nifti", "sinks.gradients"),
    ("views", "views.*"),
    ("views.*", "views.base"),
    ("views.excel", "views.metadata"),
    ("views.excel", "views.mr_cleaned"),
    ("views.metadata", "views.mr_cleaned"),
}
LINES = 400  # STYLE.md, rule 1: "past 400, find the second noun"


def name_of(path: Path) -> str:
    """`crawler/sinks/image.py` -> "sinks.image", `crawler/__init__.py` -> "" (the door for users, above all)."""
    parts = path.relative_to(CRAWLER).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in sorted(CRAWLER.rglob("*.py"))}

# The sample tree is written beside the pipeline: only cli imports it, and it knows nothing but the types.
ASIDE = "sample.*"
ASIDE_MAY_IMPORT = "errors model"


def matches(name: str, pattern: str) -> bool:
    """`pattern` as in `TIERS`: "sinks.*" is the package and every member."""
    return fnmatch(name, pattern) or name == pattern.removesuffix(".*")


def tier(name: str) -> int | None:
    """Line of `TIERS` that the module is on; None when it is on no line."""
    lines = (i for i, line in enumerate(TIERS) if any(matches(name, pattern) for pattern in line.split()))
    return next(lines, None)


def modules_imported(name: str, tree: ast.AST) -> set[str]:
    """Names of the crawler's modules that `tree`, the source of module `name`, imports anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"crawler.{name}, line {node.lineno}: write imports in full (from crawler...)"
            base = node.module or ""
            for alias in node.names:
                # `from crawler.sinks import base` imports a module, `from crawler.model import File` a thing in one.
                member = f"{base}.{alias.name}"
                found.add(member if member.removeprefix("crawler.") in MODULES else base)
    return {full.removeprefix("crawler").removeprefix(".") for full in found if re.match(r"crawler\b", full)}


def allowed(name: str, other: str) -> bool:
    """Whether module `name` may import module `other`."""
    if matches(name, ASIDE):
        return matches(other, ASIDE) or other in ASIDE_MAY_IMPORT.split()
    if matches(other, ASIDE) or not other:
        return name in ("cli", "common")
    if any(fnmatch(name, mine) and fnmatch(other, its) for mine, its in PAIRS):
        return True
    above, below = tier(name), tier(other)
    return above is not None and below is not None and below < above


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_module_imports_only_downward(name: str) -> None:
    assert matches(name, ASIDE) or tier(name) is not None, f"crawler.{name} has no line in TIERS: say where it belongs"
    tree = ast.parse(MODULES[name].read_bytes())
    wrong = sorted(other or "crawler itself" for other in modules_imported(name, tree) if not allowed(name, other))
    assert not wrong, f"crawler.{name} may not import {', '.join(wrong)}: that is beside or above it in TIERS"


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short(name: str) -> None:
    lines = len(MODULES[name].read_bytes().splitlines())
    assert lines <= LINES, f"crawler.{name or '__init__'} has {lines} lines: find the second noun"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("model", "runner"),
        ("header", "pixels"),
        ("sinks.image", "sinks.video"),
        ("sinks.base", "sinks"),
        ("sources.directory", "ledger"),
        ("runner", "sample"),
        ("sample.tree", "header"),
        ("ledger", "nowhere"),
        ("runner", ""),
    ],
)
def test_rule_refuses(name: str, other: str) -> None:
    assert not allowed(name, other)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import crawler.files", {"files"}),
        ("def f():\n    from crawler.errors import PixelError", {"errors"}),
        ("from crawler import model, errors, load_config", {"model", "errors", ""}),
        ("from crawler.model import File", {"model"}),
        ("import numpy, os\nfrom crawling import model", set()),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert modules_imported("here", ast.parse(source)) == expected

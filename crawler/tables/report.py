"""report.html: one page about a run, for people: counts, failures with their reasons, every series with its preview.

The page holds its style, its script and its data, and asks no network for anything; previews and outputs are relative
links. Of headers it shows coded values, sizes, and number and description of a series: nothing of a patient. The look
is in `report.css`, what it does in `report.js`, what is said of the run in `report_run.py`.
"""

from __future__ import annotations

import html
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote

import orjson

from crawler.config.loader import Config
from crawler.dicom.terms import modality_term
from crawler.disk import is_there
from crawler.ledger.store import output_root
from crawler.tables.base import Context, View
from crawler.tables.report_run import about_run, methods
from crawler.tables.series import verdict_word

SERIES = 100_000  # more rows than a browser searches without a wait: series.csv has them all
FILES = 50  # named a reason: unreadable_files.csv names them all
# Product kind whose folder holds what the page links to, under the name that `report.js` has for it.
LINKED = {"previews": "preview", "volumes": "volume", "media": "image"}


@dataclass(slots=True)
class _ScanOutputs:
    """What was made of a scan: quoted paths, and how many files of it were not exported."""

    previews: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    media: tuple[int, str] = (0, "")
    failed: int = 0
    skipped: int = 0


@dataclass(slots=True)
class _Reason:
    """Files that failed for one reason: how many, and the first of them with their details."""

    files: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)


def path(config: Config) -> str | None:
    """In the output folder, unless it is switched off."""
    return config.own_path("report.html") if config.output.report else None


def shape(config: Config) -> list[Any]:
    """Where the links lead, and which tables there are."""
    rows: list[Any] = []
    if config.metadata is not None and config.metadata_path is not None:
        path = _relative(config.metadata_path, config)
        rows = [path, list(config.metadata.tables), config.metadata.mr_clean]
    return [*_roots(config).values(), *rows]


def build(context: Context, target: str) -> None:
    """Write the page; the series go into it one after the other."""
    about = {"roots": _roots(context.config), "total": context.summary.scans}
    parts = {
        "style": _asset("report.css"),
        "script": _asset("report.js"),
        "run": about_run(context),
        "methods": methods(context),
        "counts": _counts(context) + _retrieval(context),
        "failures": _failures(context),
        "links": "\n".join(_anchor(*table) for table in _tables(context)),
        "about": _embedded(about).decode(),
    }
    before, after = _filled(_asset("report.html"), parts).split("{{series}}")
    with open(target, "wb") as file:
        file.write(before.encode())
        file.write(b"[")
        for number, row in enumerate(islice(_series(context), SERIES)):
            file.write((b",\n" if number else b"\n") + _embedded(row))
        file.write(b"]")
        file.write(after.encode())


def _series(context: Context) -> Iterator[list[Any]]:
    """A row a scan, in the order that `report.js` reads: names would be most of the page."""
    made = _made(context)
    for scan_id, verdict, _ in context.ledger.scans():
        mine = made.get(scan_id) or _ScanOutputs()
        word, grade = verdict_word(verdict)
        size = [verdict.get(name) for name in ("columns", "rows", "n_planes")]
        spacing = verdict.get("spacing")
        yield [
            scan_id,
            modality_term(str(verdict.get("modality") or "")),
            verdict.get("n_files") or 0,
            *size,
            None if spacing is None else round(spacing, 3),
            verdict.get("n_layouts") or 0,
            word,
            grade,
            verdict.get("reason") or "",
            mine.failed,
            mine.skipped,
            mine.previews,
            mine.volumes,
            *mine.media,
            _title(verdict),
            _extent(verdict),
            verdict.get("quality_reasons") or "low" if verdict.get("quality_low") else "",
        ]


def _title(verdict: dict[str, Any]) -> str:
    """Number and description of a series, as people know it."""
    number, words = verdict.get("SeriesNumber"), verdict.get("SeriesDescription") or verdict.get("ProtocolName")
    return " ".join(str(part) for part in (number, words) if part not in (None, ""))


def _extent(verdict: dict[str, Any]) -> str:
    """Size of the only array of a series that has more axes than three, columns first: "64 x 64 x 30 x 150 time"."""
    shapes, axes = verdict.get("shapes") or [], verdict.get("axes") or []
    if len(shapes) != 1 or len(axes) != 1:
        return ""
    steps = [
        (axis, size) for axis, size in zip(axes[0].split(","), shapes[0].split("x"), strict=False) if axis != "sample"
    ]
    if len(steps) < 4:
        return ""
    space = ("column", "row", "slice")
    plain = [dict(steps).get(axis, "") for axis in space]
    further = [f"{size} {axis}" for axis, size in steps if axis not in space]
    return " \u00d7 ".join([*filter(None, plain), *further])


def _made(context: Context) -> dict[str, _ScanOutputs]:
    made: dict[str, _ScanOutputs] = defaultdict(_ScanOutputs)
    for scan_id, file in context.ledger.previews():
        made[scan_id].previews.append(_short(file, scan_id))
    for scan_id, _, file in context.ledger.volumes():
        made[scan_id].volumes.append(_short(file, scan_id))
    for scan_id, count, file in context.ledger.media():
        made[scan_id].media = (count, _url(file))
    for scan_id, outcome, count in context.ledger.losses():
        if outcome == "failed":
            made[scan_id].failed = count
        else:
            made[scan_id].skipped = count
    return made


def _counts(context: Context) -> str:
    """The accounts as a list of numbers, and what was skipped for which reason."""
    summary = context.summary
    skipped, failed = sum(summary.skipped.values()), sum(summary.failed.values())
    tiles = [("files found", summary.found, ""), ("exported", summary.exported, "good"), ("skipped", skipped, "")]
    tiles += [("failed", failed, "bad" if failed else "")]
    tiles += [("series", summary.scans, ""), ("volumes", summary.volumes, "")]
    counts = "\n".join(f'<div class="{grade}"><dt>{name}</dt><dd>{count:,}</dd></div>' for name, count, grade in tiles)
    reasons = ", ".join(f"{html.escape(reason)} {count:,}" for reason, count in sorted(summary.skipped.items()))
    return f"<dl>\n{counts}\n</dl>" + (f'\n<p class="quiet">Skipped: {reasons}</p>' if reasons else "")


def _retrieval(context: Context) -> str:
    """What a PACS was asked for and sent; empty without one."""
    counts = context.summary.retrieval
    if counts is None:
        return ""
    tiles = [("expected", counts.found, ""), ("received", counts.received, "good" if counts.all_well else "")]
    tiles += [
        (name, number, "bad" if number else "")
        for name, number in (("missing", counts.missing), ("refused", counts.refused))
    ]
    tiles += [("series", counts.series, ""), ("of them whole", counts.complete, "")]
    numbers = "\n".join(f'<div class="{grade}"><dt>{name}</dt><dd>{count:,}</dd></div>' for name, count, grade in tiles)
    further = {
        "requests": counts.requests,
        "of them without an answer": counts.unanswered,
        "not listed before": counts.extra,
    }
    further |= {
        "came again": counts.duplicates,
        "came in place of another": counts.wrong,
        "of earlier requests": counts.others,
    }
    told = ", ".join(f"{name} {number:,}" for name, number in further.items() if number)
    return f'\n<h2>Retrieval</h2>\n<dl>\n{numbers}\n</dl>\n<p class="quiet">{told}</p>'


def _not_retrieved(context: Context) -> Iterator[tuple[str, str, str]]:
    """Place, reason and detail of what did not come."""
    if context.config.pacs is None:
        return
    from crawler.tables.received import failures, open_accounts  # only runs with a PACS need it

    with open_accounts(context.config) as accounts:
        yield from failures(accounts, "", context.policy)


def _failures(context: Context) -> str:
    """Failed files by reason, the most frequent first; empty when nothing failed."""
    reasons: dict[str, _Reason] = defaultdict(_Reason)
    for name, reason, detail in _not_retrieved(context):
        group = reasons[f"retrieve: {reason}"]
        group.files += 1
        if group.files <= FILES:
            group.first.append((name, detail))
    for folder, name, stage, reason, detail in context.ledger.failures():
        group = reasons[f"{stage}: {reason}"]
        group.files += 1
        if group.files <= FILES:
            group.first.append(("/".join(filter(None, (folder, name))) or ".", detail))
    if not reasons:
        return ""
    parts = ["<section>\n<h2>Failures</h2>"]
    for reason, group in sorted(reasons.items(), key=lambda item: (-item[1].files, item[0])):
        parts.append(f"<details>\n<summary><b>{group.files:,}</b> {html.escape(reason)}</summary>\n<ul>")
        for name, detail in group.first:
            parts.append(f"<li><code>{html.escape(name)}</code> <span>{html.escape(detail)}</span></li>")
        beyond = group.files - len(group.first)
        parts.append("</ul>")
        if beyond:
            parts.append(f"<p>and {beyond:,} more, in unreadable_files.csv</p>")
        parts.append("</details>")
    return "\n".join([*parts, "</section>"])


def _anchor(name: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{html.escape(name)}</a>'


def _tables(context: Context) -> list[tuple[str, str]]:
    """Name and link of what else tells about the run, as far as it is there."""
    config = context.config
    places = [place for place in context.views if place != path(config)]
    places += [place for place in (config.metadata_path, config.copy_path) if place]
    places.append(config.own_path("run.log"))
    there = [place for place in places if is_there(place)]  # one that cannot be looked at stops the page
    return [(os.path.basename(place), _relative(place, config)) for place in there]


def _roots(config: Config) -> dict[str, str]:
    """Links to the folders of outputs, by the names that `report.js` has for them."""
    return {name: _relative(output_root(config, kind), config) for name, kind in LINKED.items()}


def _relative(place: str, config: Config) -> str:
    """A link from the page; outputs on another drive have an absolute one."""
    try:
        return _url(os.fsencode(os.path.relpath(place, os.path.dirname(config.own_path("report.html")))))
    except ValueError:
        from pathlib import Path

        return Path(place).as_uri()


def _url(native: bytes) -> str:
    return quote(native.replace(os.fsencode(os.sep), b"/"))


def _short(file: bytes, scan_id: str) -> str:
    """A link in which "*" (which `quote` never gives) stands for the scan_id, as nearly all of them begin with it."""
    url, start = _url(file), quote(scan_id)
    return "*" + url.removeprefix(start) if url.startswith(start) else url


def _embedded(value: Any) -> bytes:
    """JSON that no HTML parser takes for the end of its element, or for a comment."""
    return orjson.dumps(value).replace(b"<", b"\\u003c")


def _filled(page: str, parts: dict[str, str]) -> str:
    """The template with its places filled; what is filled in is not looked at again."""
    pieces = page.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts.get(name, f"{{{{{name}}}}}"), rest]
    return "".join(filled)


def _asset(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


VIEW = View("report", path, build, shape)

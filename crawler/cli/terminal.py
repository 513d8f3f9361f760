"""Text tables for the terminal: a dry run, the state of an output, and numbers as a person reads them.

It makes texts and prints nothing (`cli.py` does).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from crawler.config.sizes import size_text
from crawler.paths import portable, printable

if TYPE_CHECKING:  # a run prints no such table
    from crawler.dryrun.header_sample import HeaderSample
    from crawler.dryrun.preflight import Preflight, Span
    from crawler.dryrun.survey import Archives
    from crawler.dryrun.trial import Trial
    from crawler.ledger.live import Live
    from crawler.ledger.status import Status

SHOWN = 8  # lines of one kind: a terminal shows the largest, the run itself names them all
WIDTH = 17  # of the first column
STAGES = {
    "starting": "starting",
    "retrieving": "retrieving from the PACS",
    "survey": "listing folders",
    "running": "exporting",
    "finishing": "making the tables",
}


def time_text(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def reasons(counts: Mapping[str, int]) -> str:
    """A line a reason, the most frequent first, each beginning with a line break."""
    return "".join(f"\n{'':<12}{count:>8,}  {reason}" for reason, count in by_count(counts))


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first; those of equal number by name, so that equal runs give equal tables."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def preflight_table(found: Preflight, command: str) -> str:
    """What a dry run found out; `command` is what starts the run."""
    survey, headers = found.survey, found.headers
    lines = [_line("found", f"{survey.files:,} files   {size_text(survey.size)}   in {survey.folders:,} folders")]
    if survey.faults:
        lines.append(_line("", f"{survey.faults:,} entries that are no files or cannot be listed"))
    lines += _archives(survey.archives)
    if not survey.files:
        return "\n".join([*lines, "Nothing was found: check dicom.dir and dicom.recursive"])
    lines += _headers(headers, survey.complete)
    lines += _volumes(headers)
    if headers.scattered:
        lines.append(_line("series", f"{len(headers.scattered):,} lie in several folders, a scan in each:"))
        lines += _few(", ".join(folder or "." for folder in folders) for folders in headers.scattered)
    lines += _trial(found.trial)
    seconds, written = found.seconds, found.written
    if seconds and written:
        workers = f"{found.workers} at a time" if found.workers > 1 else "one at a time"
        lines.append(_line("estimate", f"{span_text(seconds, time_text)}, {workers}, for everything from nothing"))
        lines.append(_line("", f"{span_text(written, size_text)} of outputs; {size_text(found.free)} are free there"))
        if written[0] > found.free:
            lines.append("The disk is too small for the outputs: choose another output.dir")
    lines.append(f"Nothing was written. To run: {command}")
    return "\n".join(lines)


def status_table(status: Status, command: str) -> str:
    """What the ledger of an output knows; `command` is what goes on with the run."""
    changed = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.changed))
    lines = [_line("ledger", portable(status.ledger)), _line("last change", changed)]
    if status.summary is None:
        lines.append(_line("state", "a run is going on"))
        return "\n".join([*lines, *_live(status.live)])
    summary = status.summary
    state = "finished" if status.finished else f"interrupted: {command} goes on"
    lines.append(_line("state", state))
    if status.unfinished:
        lines.append(_line("", f"{status.unfinished:,} folders are to be done again"))
    if status.lost:
        lines.append(_line("", f"{status.lost:,} outputs are gone: {command} makes them again"))
    if (counts := summary.retrieval) is not None:
        asked = f"{counts.found:>10,} instances of {counts.series:,} series, {counts.requests:,} requests"
        lines += [_line("in PACS", asked), _line("received", f"{counts.received:>10,}   {size_text(counts.bytes)}")]
        lines.append(_line("missing", f"{counts.missing + counts.refused:>10,}"))
        lines += [_line("", f"{count:>10,}  {reason}") for reason, count in by_count(counts.failed)]
    lines.append(_line("found", f"{summary.found:>10,} files   {size_text(summary.bytes)}"))
    lines.append(_line("exported", f"{summary.exported:>10,}"))
    for name, reasons in (("skipped", summary.skipped), ("failed", summary.failed)):
        lines.append(_line(name, f"{sum(reasons.values()):>10,}"))
        lines += [_line("", f"{count:>10,}  {reason}") for reason, count in by_count(reasons)]
    lines.append(f"{summary.scans:,} scans, {summary.volumes:,} volumes")
    return "\n".join(lines)


def _live(live: Live | None) -> list[str]:
    """How far a run is that goes on."""
    if live is None:
        return []
    lines = [_line("stage", STAGES.get(live.state, live.state))]
    if live.retrieval:
        received, wanted = live.retrieval.get("received", 0), live.retrieval.get("wanted", 0)
        lines.append(_line("received", f"{received:,} of {wanted:,} instances"))
    if live.state == "survey":
        lines.append(_line("found", f"{live.to_do:,} files   {size_text(live.size)}   up to now"))
    elif live.to_do:
        done = f"{live.done:,} of {live.to_do:,} files   {size_text(live.done_size)} of {size_text(live.size)}"
        lines.append(_line("done", f"{done}   {live.failed:,} failed"))
    if live.seconds_left is not None:
        lines.append(_line("rate", f"{live.rate:,.0f} files/s, {time_text(live.seconds_left)} left"))
    return lines


def _archives(archives: Archives) -> list[str]:
    if not archives.count:
        return []
    opened = "all opened" if archives.opened == archives.count else f"{archives.opened:,} opened"
    inside = f"{archives.members:,} files, {size_text(archives.members_size)}, in these"
    lines = [_line("archives", f"{archives.count:,}   {size_text(archives.size)}   {opened}: {inside}")]
    if archives.faults:
        lines.append(_line("", f"{archives.faults:,} entries of archives that are no files to be read"))
    return lines + _few(f"{count:>6,}  {reason}" for reason, count in by_count(archives.refused))


def _headers(headers: HeaderSample, complete: bool) -> list[str]:
    which = "all headers" if complete else "headers of a sample, spread evenly"
    lines = [_line("read", f"{headers.files:,}: {which}")]
    share = max(1, headers.files)
    for name, count in (("not DICOM", headers.not_dicom), ("DICOMDIR", headers.indexes)):
        if count:
            lines.append(_line(name, f"{count:,}  ({count / share:.1%})"))
    if headers.failed:
        lines.append(_line("unreadable", f"{headers.failed.total():,}  ({headers.failed.total() / share:.1%})"))
        lines += _few(f"{count:>6,}  {reason}" for reason, count in by_count(headers.failed))
    if headers.modalities:
        from crawler.dryrun.header_sample import syntax_name

        shown = ", ".join(f"{name} {count:,}" for name, count in by_count(headers.modalities)[: 2 * SHOWN])
        lines.append(_line("modalities", shown))
        lines.append(_line("transfer syntaxes", "").rstrip())
        lines += _few(
            f"{count:>6,}  {syntax_name(uid)}"
            + (f"   CANNOT BE DECODED: {headers.undecodable[uid]}" if uid in headers.undecodable else "")
            for uid, count in by_count(headers.syntaxes)
        )
    return lines


def _volumes(headers: HeaderSample) -> list[str]:
    if not headers.folders:
        return []
    text = f"{headers.scans:,} in {headers.folders:,} folders read whole make {headers.arrays:,} volumes"
    if not headers.predictions:
        return [_line("scans", text)]
    refused = sum(one.refused > 0 for one in headers.predictions)
    split = sum(one.arrays > 1 for one in headers.predictions)
    lines = [_line("scans", f"{text}; split: {split:,}, refused in part or whole: {refused:,}")]
    return lines + _few(
        f"{one.scan_id}: {one.arrays} arrays" + (f", {one.refused} refused" if one.refused else "") + f" ({one.reason})"
        for one in headers.predictions
    )


def _trial(trial: Trial | None) -> list[str]:
    if trial is None:
        return [_line("trial run", "none, all files of the sample are too large; so there are no estimates")]
    failed = sum(trial.failed.values())
    text = f"{trial.files:,} files, {size_text(trial.size)}, gave {size_text(trial.written)} in {trial.seconds:.1f} s"
    lines = [_line("trial run", text + (f"; {failed:,} failed:" if failed else ", none failed"))]
    return lines + _few(f"{count:>6,}  {reason}" for reason, count in by_count(trial.failed))


def _line(name: str, text: str) -> str:
    return f"{name:<{WIDTH}}  {printable(text)}"


def _few(texts: Iterable[str]) -> list[str]:
    """At most `SHOWN` lines, and how many there are beyond them."""
    lines = [_line("", text) for text in texts]
    beyond = len(lines) - SHOWN
    return lines if beyond <= 0 else [*lines[:SHOWN], _line("", f"... and {beyond:,} more")]


def span_text(span: Span, text: Callable[[float], str]) -> str:
    """Smaller and larger estimate."""
    low, high = map(text, span)
    return low if low == high else f"{low} to {high}"

"""The results as Markdown: bars, rates of all contenders, own pieces, and the bars of docs/speed.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bars import MEMORY, Verdict, judge
from benchmarks.jobs import Job
from benchmarks.measure import Runs
from benchmarks.micro import Pair
from benchmarks.peers import OURS

BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
"""Around what docs/speed.md shows of RESULTS.md."""
INTRODUCTION = (
    "Written by `python -m benchmarks --publish`. All contenders of a work ran in turn, round by round. A ratio is how "
    "many times as fast dme was: the peer's median time over ours, start of the processes included; the spread is that "
    "of the rounds."
)
MARKS = {True: "yes", False: "**no**", None: ""}


@dataclass(slots=True)
class Results:
    """All that one run measured."""

    date: str
    machine: str
    repeats: int
    jobs: list[tuple[Job, dict[str, Runs]]] = field(default_factory=list)
    micro: list[tuple[Pair, Runs, Runs]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """A bar and how it was met, ready to be shown."""

    work: str
    peer: str
    verdict: Verdict


def lines(results: Results) -> Iterator[Line]:
    """Every bar whose peer ran, and memory last."""
    for job, runs in results.jobs:
        for bar in job.bars:
            if verdict := judge(bar, runs):
                work = job.title + (", size" if bar.kind == "size" else "")
                yield Line(f"{work}: {job.units:,} {unit(job)}", bar.peer, verdict)
    peaks = [one.peak for _, runs in results.jobs for name, one in runs.items() if name.startswith(OURS)]
    if peaks:
        ratio = MEMORY / max(peaks)
        text = f"largest process {max(peaks) / 1e6:.0f} MB of {MEMORY / 1e6:.0f}"
        verdict = Verdict(ratio, ratio, ratio, f"≤ {MEMORY / 1e6:.0f} MB", ratio >= 1)
        yield Line("memory on all of the above", text, verdict)


def unit(job: Job) -> str:
    """What a job's rates count."""
    return "frames" if job.frames else "files"


def bars_table(results: Results) -> str:
    """The table of ratios, with its date and machine: what docs/speed.md shows."""
    rows = [
        (
            line.work,
            line.peer,
            f"**{line.verdict.ratio:.1f}x**",
            f"{line.verdict.low:.1f}-{line.verdict.high:.1f}" if line.verdict.low < line.verdict.high else "",
            line.verdict.text,
            MARKS[line.verdict.met],
        )
        for line in lines(results)
    ]
    head = f"{results.date}, {results.machine}; medians of {results.repeats}, two workers, warm cache."
    return f"{head}\n\n{_table(('work', 'against', 'ratio', 'spread', 'bar', 'met'), rows)}"


def markdown(results: Results) -> str:
    """The whole of RESULTS.md."""
    parts = [
        "# Benchmarks",
        INTRODUCTION,
        f"{BEGIN}\n{bars_table(results)}\n{END}",
    ]
    rates = [
        (
            job.name,
            name,
            about(job, name),
            f"{job.units / one.middle:,.0f} {unit(job)}/s",
            _seconds(one),
            f"{one.peak / 1e6:.0f} MB",
            f"{one.size / 1e6:,.1f} MB",
        )
        for job, runs in results.jobs
        for name, one in runs.items()
    ]
    if rates:
        titles = ("work", "by", "version", "rate", "seconds (median, least-most)", "largest process", "output")
        parts += ["## Rates", _table(titles, rates)]
    absent = sorted({one.name for job, _ in results.jobs for one in job.contenders if not one.about})
    if absent:
        parts.append(f"Not installed, so not measured: {', '.join(absent)}.")
    own = [
        (
            pair.name,
            pair.library,
            f"**{its.middle / mine.middle:.1f}x**",
            f"{pair.count / mine.middle:,.0f} {pair.unit}/s",
            f"{mine.size / its.size:.2f}" if its.size else "",
        )
        for pair, mine, its in results.micro
    ]
    if own:
        parts.append("## Own pieces beside the libraries that they replace, one core (the pool: two workers)")
        parts.append(_table(("piece", "library", "ratio", "rate", "size"), own))
    return "\n\n".join(parts) + "\n"


def about(job: Job, name: str) -> str:
    """Version of a contender."""
    return next(one.about for one in job.contenders if one.name == name)


def shown(text: str) -> str:
    """What stands between the markers.

    Raises
    ------
    ValueError
        There are no markers.
    """
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}", text, re.DOTALL)
    if not found:
        raise ValueError(f"no {BEGIN} ... {END}")
    return found[1]


def publish(results: Results, folder: Path, page: Path) -> None:
    """Write RESULTS.md into a folder, and its table into the page about speed."""
    (folder / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    text = page.read_text("utf-8")
    page.write_text(text.replace(shown(text), bars_table(results)), encoding="utf-8")


def _seconds(runs: Runs) -> str:
    return f"{runs.middle:.2f} ({min(runs.seconds):.2f}-{max(runs.seconds):.2f})"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every: list[Sequence[str]] = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in every)

"""The bars as a picture: one line each, its ratio on a logarithmic axis, its spread, and the demand as a tick."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.report import Line, Results, lines

MET, MISSED = "#2a7f62", "#b3432b"
HEIGHT = 0.34  # inches a line


def plot(results: Results, path: Path) -> None:
    """Draw the bars of speed into an SVG; needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "dme"  # equal results, equal files
    from matplotlib import pyplot

    drawn = [line for line in lines(results) if line.verdict.text.startswith("≥")]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + HEIGHT * len(drawn)), layout="constrained")
    for number, line in enumerate(drawn):
        one = line.verdict
        axes.barh(number, one.ratio, height=0.6, color=MET if one.met else MISSED)
        axes.plot([one.low, one.high], [number, number], color="black", linewidth=1)
        axes.plot([demand(line)] * 2, [number - 0.42, number + 0.42], color="black", linewidth=2)
        axes.annotate(
            f"{one.ratio:.1f}x", (max(one.high, demand(line)), number), (5, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(
        range(len(drawn)), [f"{line.work.partition(':')[0]}\nagainst {line.peer}" for line in drawn], fontsize=7
    )
    axes.set_xscale("log")
    axes.set_xlim(left=0.5, right=2 * max((line.verdict.high for line in drawn), default=1))
    axes.set_xlabel("times as fast as the peer; the tick is the bar, the thin line the spread")
    axes.invert_yaxis()
    axes.set_title(f"dme, two workers, {results.date}", fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def demand(line: Line) -> float:
    """The ratio that a bar asks for."""
    found = re.search(r"[\d.]+", line.verdict.text)
    return float(found[0]) if found else 1.0

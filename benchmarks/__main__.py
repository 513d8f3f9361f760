"""`python -m benchmarks`: arguments, order of work, and all that is printed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks import jobs, micro, report, scale
from benchmarks.measure import ROOT
from benchmarks.peers import machine
from benchmarks.trees import BenchmarkError, Tree, ct_tree, mr_tree, require_space

MICRO = "micro"


def build_parser() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure dme against its peers and its bars, in turn, in one run, and print tables of ratios.",
    )
    cache = Path(tempfile.gettempdir()) / "dme-benchmarks"
    parser.add_argument("--folder", type=Path, default=cache, help="where trees are kept (default: %(default)s)")
    parser.add_argument(
        "--files", type=int, default=jobs.CT, help="CT files; the other trees shrink alike (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--large", action="store_true", help="also the second run over 200,000 files, and a file of 4 GB"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--ours", action="store_true", help="leave out all peers but pydicom")
    parser.add_argument(
        "--imgtools", default="", metavar="PATH", help="med-imagetools' program, where it lies elsewhere"
    )
    parser.add_argument("--list", action="store_true", help="list the names, and end")
    parser.add_argument("--scale", action="store_true", help="instead: cost against files and against workers")
    parser.add_argument(
        "--publish", action="store_true", help="write RESULTS.md, results.svg, and the table of docs/speed.md"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        return _scale(options) if options.scale else _bars(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _bars(options: argparse.Namespace) -> int:
    plan = jobs.plan(options.files / jobs.CT, options.large or options.list, options.imgtools)
    names = [*(job.name for job in plan), MICRO]
    if options.list:
        print("\n".join([*(f"{job.name:<12} {job.title}" for job in plan), f"{MICRO:<12} own pieces beside libraries"]))
        return 0
    if wrong := set(options.only) - set(names):
        raise BenchmarkError(f"{', '.join(sorted(wrong))}: not one of {', '.join(names)}")
    chosen = [job for job in plan if not options.only or job.name in options.only]
    if options.ours:
        chosen = [jobs.without_peers(job) for job in chosen]
    small = [ct_tree(min(options.files, micro.FILES)), mr_tree(min(options.files, micro.FILES))]
    wants_micro = not options.only or MICRO in options.only
    _say_size([*(job.tree for job in chosen), *(small if wants_micro else [])], options.folder)
    results = report.Results(date.today().isoformat(), machine(), options.repeats)
    for job in chosen:
        results.jobs.append((job, jobs.run(job, options.folder, options.repeats, _tell)))
    if wants_micro:
        ct, mr = (tree.build(options.folder) for tree in small)
        results.micro = micro.measure(micro.pairs(ct, mr), options.repeats, _tell)
    print(report.markdown(results))
    if options.publish:
        from benchmarks.plot import plot

        here = Path(__file__).parent
        report.publish(results, here, ROOT / "docs" / "speed.md")
        plot(results, here / "results.svg")
    return 0


def _scale(options: argparse.Namespace) -> int:
    files = [max(2, round(count * options.files / jobs.CT)) for count in scale.FILES]
    _say_size(scale.trees(files), options.folder)
    print(scale.table(scale.measure(options.folder, options.repeats, _tell, files)))
    return 0


def _say_size(trees: list[Tree], folder: Path) -> None:
    total = require_space(list(dict.fromkeys(trees)), folder)
    _tell(f"trees: {total / 1e9:.2f} GB in {folder}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""What the section `privacy` costs on headers: the same CT files to rows, with it and without, in turn.

    python -m benchmarks.privacy_cost [--files 2000] [--rounds 5] [--folder CACHE]

Processor time of whole runs without workers, so that others on the machine disturb little; the last column leaves out
what a run over one file takes. Two trees: series of 200 files, of which most headers are alike, and series of one file
each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import ROOT, warm
from benchmarks.trees import ct_tree


def run(tree: Path, out: Path, private: bool) -> float:
    """Seconds of processor time that a run over the headers of a tree took."""
    settings = {
        "num_workers": 0,
        "dicom": {"dir": str(tree)},
        "output": {"dir": str(out / "output")},
        "metadata": {"tables": []},
        **({"privacy": {"private": str(out / "private"), "pixels": {"detect": "none"}}} if private else {}),
    }
    config = out / "job.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(ROOT / "dme.py"), str(config), "-q"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


Seconds = dict[bool, list[float]]


def compared(trees: list[Path], rounds: int) -> list[Seconds]:
    """Seconds of each tree without and with the policy, round by round; which is first changes with the round."""
    found: list[Seconds] = [{False: [], True: []} for _ in trees]
    for number in range(-1, rounds):
        for private in (False, True) if number % 2 else (True, False):
            for tree, seconds in zip(trees, found, strict=True):
                with tempfile.TemporaryDirectory() as out:
                    took = run(tree, Path(out), private)
                if number >= 0:  # the first round compiles and fills caches
                    seconds[private].append(took)
    return found


def ratio(of: Seconds, start: Seconds | None = None) -> float:
    """Median of the rounds' ratios."""
    less = start or {False: [0.0] * len(of[False]), True: [0.0] * len(of[True])}
    pairs = zip(of[True], less[True], of[False], less[False], strict=True)
    return median((on - on_start) / (off - off_start) for on, on_start, off, off_start in pairs)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy_cost", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "dme-benchmarks")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    one = ct_tree(1, 1, 16).build(options.folder)
    print("| headers of CT | off, s | on, s | ratio | without start |\n|---|---|---|---|---|")
    for per_folder in (200, 1):
        tree = ct_tree(options.files, per_folder, 16).build(options.folder)
        warm(tree)
        start, whole = compared([one, tree], options.rounds)
        kind = f"{options.files:,}, {per_folder} a series"
        seconds = f"{median(whole[False]):.2f} | {median(whole[True]):.2f}"
        print(f"| {kind} | {seconds} | {ratio(whole):.2f} | {ratio(whole, start):.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main())

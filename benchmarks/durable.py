"""What `output.durable` costs: CT to HDF5 and pictures with it and without, in turns, on a disk of this machine.

``python -m benchmarks.durable --files 2000 --repeats 7 --folder DIR``: DIR lies on the disk that is measured. Prints
the medians and their ratio, and returns 1 above 1.05: then `auto` should mean off (`crawler/config/sections.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.jobs import Job, run
from benchmarks.peers import Contender, ours
from benchmarks.trees import ct_tree

MOST = 1.05
SECTIONS = {"volume": {"formats": ["hdf5"]}, "image": {"bits": 8}}


def contender(durable: bool) -> Contender:
    """This project, with one value of the key."""
    base = ours(SECTIONS, "s*.h5", name=f"durable: {str(durable).lower()}")

    def command(tree: Path, out: Path) -> list[str]:
        made = base.command(tree, out)
        settings = json.loads(Path(made[2]).read_text())
        settings["output"]["durable"] = durable
        Path(made[2]).write_text(json.dumps(settings))
        return made

    return replace(base, command=command)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/cache"), help="for trees and outputs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    job = Job("durable", "", ct_tree(options.files), (contender(True), contender(False)))
    runs = run(job, options.folder, options.repeats, lambda text: print(text, file=sys.stderr, flush=True))
    durable, plain = (one.middle for one in runs.values())
    for name, one in runs.items():
        print(f"{name}: {one.middle:.2f} s (of {', '.join(f'{seconds:.2f}' for seconds in sorted(one.seconds))})")
    print(f"ratio {durable / plain:.3f}, {MOST} at most")
    return int(durable / plain > MOST)


if __name__ == "__main__":
    sys.exit(main())
